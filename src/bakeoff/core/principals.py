"""Who calls, and what they may do: permissions, roles that bundle them, scopes that bound them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias, get_args

from bakeoff.core.errors import UsageError
from bakeoff.core.plugins import suggestion

__all__ = [
    "ANONYMOUS",
    "PERMISSIONS",
    "ROLES",
    "SCOPE_KINDS",
    "SERVICE",
    "Need",
    "Permission",
    "Principal",
    "ScopeKind",
]
__all__ += ["parsed_scopes"]

Permission: TypeAlias = Literal[
    "public", "read", "predict", "feedback", "annotate", "track", "run", "release", "administer"
]
"""What a route may need: nothing; looking; answers of an endpoint; what was true of them; labels of the review queue;
logging of runs, models and traces; starting runs; moving routes and aliases; tokens and settings."""
Need: TypeAlias = Permission | Literal["list"]
"""What a route asks for: a permission, or either of those to read and to predict ("list"): clients of language models
look for the names of models before they ask one."""
ScopeKind: TypeAlias = Literal["endpoint", "experiment", "model"]

SERVICE = "token "
"""What stands before a token's name where principals are named, so that it is not taken for a person."""

PERMISSIONS: tuple[Permission, ...] = get_args(Permission)
SCOPE_KINDS: tuple[ScopeKind, ...] = get_args(ScopeKind)
_EVERYTHING = frozenset[Permission](PERMISSIONS)
_CONTRIBUTES = frozenset[Permission]({"read", "predict", "feedback", "annotate", "track", "run"})
ROLES: Mapping[str, frozenset[Permission]] = {
    "viewer": frozenset[Permission]({"read"}),
    "annotator": frozenset[Permission]({"read", "feedback", "annotate"}),
    "caller": frozenset[Permission]({"predict", "feedback"}),
    "contributor": _CONTRIBUTES,
    "operator": _CONTRIBUTES | frozenset[Permission]({"release"}),
    "admin": _EVERYTHING,
}
"""The roles that there are without the project's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A person or a token, with what it may do, and on what.

    `scopes` are (kind, pattern); without any, everything. With some, only what a pattern names: a token for
    `endpoint:reviews` sees no experiment. `form_token` is of people who signed in with a browser: their forms hold it,
    so that no other site's page can send one in their name; None of whoever calls with a token.
    """

    name: str
    permissions: frozenset[Permission]
    scopes: tuple[tuple[ScopeKind, str], ...] = ()
    form_token: str | None = None

    def may(self, need: Need) -> bool:
        """Whether it has the permission, on something at least.

        >>> Principal(name="ci", permissions=ROLES["caller"]).may("list")
        True
        """
        if need == "list":
            return not self.permissions.isdisjoint({"read", "predict"})
        return need == "public" or need in self.permissions

    def reaches(self, kind: ScopeKind, name: str) -> bool:
        """Whether it may know of a thing: whatever it is not allowed to, does not exist for it."""
        return not self.scopes or any(of == kind and fnmatchcase(name, pattern) for of, pattern in self.scopes)

    def everything(self, kind: ScopeKind) -> bool:
        """Whether all things of a kind are within its reach."""
        return not self.scopes or (kind, "*") in self.scopes


ANONYMOUS = Principal(name="anonymous", permissions=_EVERYTHING)
"""Whoever calls a server that asks nobody: one on loopback, where all who can call it may."""


def parsed_scopes(scopes: Iterable[str]) -> tuple[tuple[ScopeKind, str], ...]:
    """Scopes as they are written: `endpoint:reviews`, `experiment:*`.

    >>> parsed_scopes(["endpoint:rev*"])
    (('endpoint', 'rev*'),)
    """
    parsed: list[tuple[ScopeKind, str]] = []
    for scope in scopes:
        kind, separator, pattern = scope.strip().partition(":")
        known: ScopeKind | None = next((each for each in SCOPE_KINDS if each == kind), None)
        if known is None or not separator or not pattern:
            hint = suggestion(kind, SCOPE_KINDS)
            raise UsageError(
                f"expected scopes such as endpoint:reviews or experiment:*, of the kinds {', '.join(SCOPE_KINDS)}; "
                f"received {scope!r}" + (f". {hint}" if hint else "")
            )
        parsed.append((known, pattern))
    return tuple(parsed)
