"""Roles: those that there are, and those that a project declares by permissions, some of them denied."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from bakeoff.core.errors import UsageError
from bakeoff.core.plugins import suggestion
from bakeoff.core.principals import PERMISSIONS, ROLES, Permission

__all__ = ["Declared", "Roles"]


class Declared(Protocol):
    """A role of the project file: the permissions that it has, and those that it must not have."""

    @property
    def allow(self) -> Sequence[Permission]:
        """What it may do."""
        ...

    @property
    def deny(self) -> Sequence[Permission]:
        """What it may not, whatever another of a principal's roles allows."""
        ...


class Roles:
    """All roles of a project.

    Args:
        own: the project's, by name; one that is called like a role that there is replaces it.

    Raises:
        UsageError: a role allows nothing.
    """

    def __init__(self, own: Mapping[str, Declared]) -> None:
        self._allow: dict[str, frozenset[Permission]] = dict(ROLES)
        self._deny: dict[str, frozenset[Permission]] = {}
        for name, role in own.items():
            self._allow[name], self._deny[name] = frozenset(role.allow), frozenset(role.deny)
            if not self._allow[name] - self._deny[name] and not role.deny:
                raise UsageError(f"auth.roles.{name}: expected permissions to allow or to deny, found none")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all roles."""
        return tuple(self._allow)

    def permissions(self, roles: Sequence[str]) -> frozenset[Permission]:
        """What a principal of these roles may do; what one of them denies, none of them allows.

        Raises:
            UsageError: there is no such role.
        """
        for role in roles:
            if role not in self._allow:
                hint = suggestion(role, self.names)
                raise UsageError(
                    f"expected a role of {', '.join(self.names)}; received {role!r}" + (f". {hint}" if hint else "")
                )
        allowed = frozenset[Permission]().union(*(self._allow[role] for role in roles))
        return allowed - frozenset[Permission]().union(*(self._deny.get(role, frozenset()) for role in roles))

    def table(self) -> dict[str, dict[Permission, bool]]:
        """Each role's permissions, for people to read."""
        return {
            role: {each: each in self.permissions([role]) for each in PERMISSIONS if each != "public"}
            for role in self.names
        }
