"""The code that a job runs: the hash of all source files that its modules import, directly or not.

The key of a step has this hash, so that a change in any of these files makes the step anew, and a change elsewhere does
not. Imports are read from the source, those within functions too, as they run when the function does; those for type
checkers alone do not. A package's `__init__` runs when a module below it is imported: of it, the imports at the top
count. What is loaded by name (an engine, a step, a metric) stands in no import: where a module names the group of such
plug-ins, all that are registered in it count. Families do not: a job names its own.
"""

import importlib.util
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import cast

from bakeoff.core import plugins
from bakeoff.core.hashing import digest, digest_json, digest_sources

__all__ = ["code_of", "modules_of", "own_code"]

IMPORT = re.compile(
    r"^([ \t]*)(?:from[ \t]+([\w.]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+([^\n]*))", re.MULTILINE
)
TYPES_ONLY = re.compile(r"^([ \t]*)if (?:typing\.)?TYPE_CHECKING:\n(?:(?:\1[ \t]+[^\n]*)?\n)*", re.MULTILINE)
TEXT = re.compile(r'[rbfuRBFU]{0,2}"""(?:[^"\\]|\\.|"(?!""))*"""', re.DOTALL)
PLUGIN = re.compile(r'plugins\.(?:load|names)\(\s*"(bakeoff\.\w+)"')
NAMED_BY_JOBS = frozenset({"bakeoff.families", "bakeoff.stores", "bakeoff.compute"})


def code_of(*modules: str) -> str:
    """BLAKE3 over the names and contents of all source files that these modules import.

    Of a module of another distribution, files of its own top package count, and those of bakeoff that they import; what
    else it imports has a version, which is in the key by the family's `requires`.

    Raises:
        ModuleNotFoundError: one of them is named as bakeoff's, and is not there.
    """
    return digest_json([[name, source.content] for name, source in _closure(tuple(sorted(modules)))])


def modules_of(*modules: str) -> tuple[str, ...]:
    """The names of the modules that `code_of` reads."""
    return tuple(name for name, _ in _closure(tuple(sorted(modules))))


@cache
def own_code() -> str:
    """The hash of bakeoff's sources as they were when this process first looked: it goes on with what it imported."""
    return digest_sources(Path(__file__).parents[1])


class _Source:
    """A module's file: its content's digest, what runs with it (imports, packages above), its groups of plug-ins."""

    def __init__(self, name: str, path: Path) -> None:
        data = path.read_bytes()
        self.content = digest(data)
        text = TEXT.sub('""', TYPES_ONLY.sub("", data.decode()))
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        found = [(not match[1], imported) for match in IMPORT.finditer(text) for imported in _named(match, package)]
        lazy = path.name != "__init__.py"
        self.imports = frozenset(imported for at_top, imported in found if at_top or lazy)
        self.runs = self.imports.union(_parents(name))
        self.groups = tuple(dict.fromkeys(group for group in PLUGIN.findall(text) if group not in NAMED_BY_JOBS))


def _named(match: re.Match[str], package: str) -> Iterator[str]:
    """The modules that an import statement may name: `from a import b` names a.b, if that is one, and a."""
    if match[4] is not None:
        yield from (name.split()[0] for name in match[4].partition("#")[0].split(",") if name.split())
        return
    origin = match[2]
    if origin.startswith("."):
        level = len(origin) - len(origin.lstrip("."))
        above = package.split(".")[: len(package.split(".")) - level + 1]
        origin = ".".join([*above, origin.lstrip(".")]).rstrip(".")
    yield origin
    names = re.sub(r"#[^\n]*", "", match[3]).strip("() \n\t")
    yield from (f"{origin}.{name.split()[0]}" for name in names.split(",") if name.split())


def _closure(modules: Sequence[str]) -> list[tuple[str, _Source]]:
    if lacking := [name for name in modules if name.partition(".")[0] == "bakeoff" and _source(name) is None]:
        raise ModuleNotFoundError(f"expected modules of bakeoff, found none named {', '.join(lacking)}")
    tops = {"bakeoff", *(name.partition(".")[0] for name in modules)}
    sources: dict[str, _Source] = {}
    waiting = seen = set(modules)
    while waiting:
        further: set[str] = set()
        for name in waiting:
            source = _source(name) if name.partition(".")[0] in tops else None
            if source is not None:
                sources[name] = source
                further |= source.runs
                further.update(place for group in source.groups for place in _registered(group))
        waiting = further - seen
        seen = seen | waiting
    return sorted(sources.items())


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _registered(name_of_group: str) -> list[str]:
    """The modules of the plug-ins of a group."""
    group = cast("plugins.Group", name_of_group)
    return [place for name in plugins.names(group) if (place := plugins.module_of(group, name)) is not None]


@lru_cache(maxsize=4096)
def _source(name: str) -> _Source | None:
    path = _path(name)
    return None if path is None else _Source(name, path)


@lru_cache(maxsize=4096)
def _path(name: str) -> Path | None:
    """The source file of a module, found without running it or the packages above it."""
    parent, _, last = name.rpartition(".")
    if not parent:
        spec = importlib.util.find_spec(name)
        return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None
    above = _path(parent)
    if above is None or above.name != "__init__.py":
        return None
    candidates = (above.parent / last / "__init__.py", above.parent / f"{last}.py")
    return next((path for path in candidates if path.is_file()), None)
