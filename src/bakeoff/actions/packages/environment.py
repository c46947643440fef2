"""The packages that a release needs, as they are installed here: which they are, and their files in a folder."""

import importlib.util
import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement

from bakeoff.actions.extras import requirements_of
from bakeoff.core import plugins
from bakeoff.core.errors import MissingExtraError, UsageError
from bakeoff.core.families import load_family, missing_distributions
from bakeoff.prepare.steps import preparation

if TYPE_CHECKING:
    from bakeoff.actions.packages.module import PackagedModule

__all__ = ["copy_packages", "needed", "packages_of"]

LEFT_OUT = frozenset({"__pycache__", ".pyc"})


def needed(module: "PackagedModule") -> tuple[str, ...]:
    """Distributions that the release needs by name: bakeoff, what its families and steps say that they do.

    A family that asks a service needs the extra `chat`, which it imports when it does.
    """
    params: Any = module.model.model_origin.params if module.model else {}
    families = {module.release.family, *_families(params)}
    names = {"bakeoff"}
    for name in families:
        family = load_family(name)
        names.update(family.requires)
        own = plugins.distribution_of("bakeoff.families", name)
        names.update({own} if own else ())
        if hasattr(family, "service"):
            names.update(each.name for each in requirements_of("chat"))
    steps = preparation(module.release.steps).requires
    names.update(set(steps) - set(missing_distributions(steps)))  # one that is not here was not used here
    return tuple(sorted(map(_normal, names)))


def _families(params: Any) -> Iterator[str]:
    """Families that parameters name, at any depth: members of blends, what stands behind steps."""
    if isinstance(params, Mapping):
        if isinstance(name := params.get("family"), str):
            yield name
        for each in params.values():
            yield from _families(each)
    elif isinstance(params, list | tuple):
        for each in params:
            yield from _families(each)


def packages_of(names: tuple[str, ...]) -> dict[str, Distribution]:
    """These distributions and all that they need, by name, sorted.

    Raises:
        MissingExtraError: one of them is not installed here.
    """
    packages: dict[str, Distribution] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(name, frozenset()) for name in names]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            here = packages.setdefault(name, distribution(name))
        except PackageNotFoundError:
            raise MissingExtraError(
                f"expected {name} to be installed, as the release needs it: pip install {name}"
            ) from None
        for line in here.requires or ():
            wanted = Requirement(line)
            if wanted.marker is None or any(wanted.marker.evaluate({"extra": each}) for each in ("", *extras)):
                waiting.append((_normal(wanted.name), frozenset(wanted.extras)))
    return dict(sorted(packages.items()))


def copy_packages(packages: Mapping[str, Distribution], folder: Path) -> None:
    """Copy their files into a folder for `PYTHONPATH`.

    Raises:
        UsageError: one is installed in a way that its files cannot be told.
    """
    for name, each in packages.items():
        files = 0
        for relative, path in _files(name, each):
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)  # with its mode: some packages bring programs
            files += path.suffix in {".py", ".so"}
        if not files:
            raise UsageError(f"expected the code of package {name!r}, found none; install it anew from a wheel")


def _files(name: str, package: Distribution) -> Iterator[tuple[Path, Path]]:
    """Files by where they go; of one that was installed from a folder, those of the modules that it registers."""
    recorded = [
        file
        for file in package.files or ()
        if file.parts[0] != ".." and LEFT_OUT.isdisjoint((*file.parts, file.suffix))
    ]
    code = [file for file in recorded if file.suffix in {".py", ".so"} and not file.name.startswith("__editable__")]
    if code:
        yield from (
            (Path(*file.parts), Path(str(file.locate()))) for file in recorded if Path(str(file.locate())).is_file()
        )
        return
    info = (
        Path(str(package.locate_file(""))) / f"{package.metadata['Name'].replace('-', '_')}-{package.version}.dist-info"
    )
    for part in ("METADATA", "entry_points.txt"):
        if (info / part).is_file():
            yield Path(info.name, part), info / part
    registered = {point.value.partition(":")[0].partition(".")[0] for point in package.entry_points}
    stated = set((package.read_text("top_level.txt") or "").split())
    for top in sorted(registered or stated or {name.replace("-", "_")}):
        yield from _module_files(top)


def _module_files(top: str) -> Iterator[tuple[Path, Path]]:
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None:
        return
    origin = Path(spec.origin)
    if not spec.submodule_search_locations:
        yield Path(origin.name), origin
        return
    for path in sorted(origin.parent.rglob("*")):
        relative = path.relative_to(origin.parent.parent)
        if path.is_file() and LEFT_OUT.isdisjoint((*relative.parts, path.suffix)):
            yield relative, path


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
