"""LightGBM without what it imports for others: scikit-learn, pandas and joblib, for estimators that are not used here.

These take most of a second and some 80 MB in every process that fits or serves trees. Where nobody has imported
LightGBM before, its modules are loaded under a name of their own, with a `compat` module that does not see them: a
user's `import lightgbm` later, in the same process, is the whole one, and both call the same native library.

Only on Linux on x86-64. On macOS, and with the thread-local storage of ARM, LightGBM imports scikit-learn first for the
sake of the OpenMP library (https://github.com/lightgbm-org/LightGBM/issues/6509).
"""

import builtins
import importlib
import platform
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["lgb"]

NAME = "bakeoff_lightgbm"
WHOLE = "lightgbm"
UNSEEN = frozenset({"sklearn", "pandas", "joblib"})


def _library() -> Any:
    known = sys.modules.get(WHOLE)
    spec = None if known is not None else find_spec(WHOLE)
    alone = sys.platform == "linux" and platform.machine() == "x86_64"
    if spec is None or spec.origin is None or not alone:
        return importlib.import_module(WHOLE)
    try:
        return _alone(Path(spec.origin))
    except Exception:  # noqa: BLE001 - one that is arranged otherwise, in whatever way, is taken as it is
        for name in [each for each in sys.modules if each.partition(".")[0] == NAME]:
            del sys.modules[name]
        return importlib.import_module(WHOLE)


def _alone(init: Path) -> ModuleType:
    """The package of this `__init__.py`, under the name of its own."""
    package = _module(NAME, init, [str(init.parent)])
    compat = _module(f"{NAME}.compat", init.with_name("compat.py"))
    compat.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import_seen}
    for each in (compat, package):
        assert each.__spec__ is not None
        assert each.__spec__.loader is not None
        each.__spec__.loader.exec_module(each)
    return package


def _module(name: str, file: Path, folders: list[str] | None = None) -> ModuleType:
    """A module that is not run yet, known by its name."""
    spec = spec_from_file_location(name, file, submodule_search_locations=folders)
    assert spec is not None
    module = sys.modules[name] = module_from_spec(spec)
    return module


def _import_seen(name: str, *more: Any, **named: Any) -> Any:
    if name.partition(".")[0] in UNSEEN:
        raise ImportError(f"{name} is not looked for here", name=name)
    return builtins.__import__(name, *more, **named)


lgb: Any = _library()
