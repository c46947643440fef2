"""Find families, stores, compute backends, steps and metrics by entry point; built-ins register as third parties do."""

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeAlias, get_args

from bakeoff.core.errors import BakeoffError, MissingExtraError, NotFoundError

__all__ = ["Group", "distribution_of", "forget", "load", "module_of", "name_of", "names", "suggestion"]

Group: TypeAlias = Literal[
    "bakeoff.families",
    "bakeoff.stores",
    "bakeoff.compute",
    "bakeoff.prepare",
    "bakeoff.metrics",
    "bakeoff.engines",
]


@cache
def _registered() -> Mapping[Group, dict[str, EntryPoint]]:
    """By group and name; of all groups at once, as each look reads the metadata of every distribution."""
    every = entry_points()
    return {group: {point.name: point for point in every.select(group=group)} for group in get_args(Group)}


def forget() -> None:
    """Look anew at what is registered when it is next asked for: packages are now looked for elsewhere."""
    _registered.cache_clear()


def names(group: Group) -> tuple[str, ...]:
    """Names registered under the group, sorted."""
    return tuple(sorted(_registered()[group]))


def name_of(group: Group, place: str) -> str | None:
    """The name under which what stands at "module:attribute" is registered."""
    return next((name for name, point in _registered()[group].items() if point.value == place), None)


def module_of(group: Group, name: str) -> str | None:
    """The module of what is registered as `name`, without importing it; None when nothing is."""
    point = _registered()[group].get(name)
    return None if point is None else point.module


def distribution_of(group: Group, name: str) -> str | None:
    """The distribution that registers `name`; None when nothing does."""
    point = _registered()[group].get(name)
    return None if point is None or point.dist is None else point.dist.name


def suggestion(word: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?` when something known is close to the word, else the empty string.

    >>> suggestion(" Amount", ["amount", "mount"]), suggestion("zip", ["amount"])
    ("Did you mean 'amount'?", '')
    """
    folded = {name.strip().casefold(): name for name in reversed(list(known))}
    close = difflib.get_close_matches(word.strip().casefold(), list(reversed(folded)), n=1, cutoff=0.6)
    return f"Did you mean {folded[close[0]]!r}?" if close else ""


def load(group: Group, name: str) -> Any:
    """The object registered as `name`.

    Raises:
        NotFoundError: nothing of that name is registered.
        MissingExtraError: it is, but a module that it needs is not installed.
    """
    points = _registered()[group]
    if name not in points:
        known = ", ".join(sorted(points)) or "none"
        hint = suggestion(name, points)
        raise NotFoundError(f"expected one of {group}: {known}; received {name!r}. {hint}".rstrip())
    try:
        return points[name].load()
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{group} {name!r} needs the module {error.name!r}, which is not installed: pip install it, "
            f"or the extra of bakeoff that holds it"
        ) from error
    except BakeoffError:
        raise
    except Exception as error:  # whatever the code of a third party does when it is imported
        raise NotFoundError(
            f"expected {group} {name!r} ({points[name].value}) to be importable, "
            f"found {type(error).__name__}: {error}; mend or reinstall the package that holds it"
        ) from error
