"""Modules of numpy that scipy asks for and does not use: they are loaded when somebody uses them.

`scipy._lib.array_api_compat` looks at every name of numpy, and numpy imports `f2py` (a compiler's front end) and
`testing` for the asking: as long as all else that a process of a run imports of scipy.
"""

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec

__all__ = ["spare", "waits"]

UNUSED = ("numpy.f2py", "numpy.testing")


def spare() -> None:
    """Let these modules wait, where they are not loaded yet; a use of theirs loads them as always."""
    for name in UNUSED:
        package, _, last = name.rpartition(".")
        spec = None if name in sys.modules else find_spec(name)
        if spec is None or spec.loader is None:
            continue
        spec.loader = LazyLoader(spec.loader)
        module = sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(module)
        setattr(sys.modules[package], last, module)


def waits(name: str) -> bool:
    """Whether a module is still not loaded: to look at it would load it."""
    return name in UNUSED and type(sys.modules[name]).__name__ == "_LazyModule"
