"""What a page is made from, a `PageCall`, and what it comes to: a template with its values, or another address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from bakeoff.core.errors import UsageError
from bakeoff.core.principals import Permission, Principal, ScopeKind
from bakeoff.core.protocols import RecordStore
from bakeoff.web.auth import require_everything, who_of
from bakeoff.web.problems import HttpError
from bakeoff.web.tracking.context import Tracking

if TYPE_CHECKING:
    from bakeoff.project.endpoints import EndpointStatus
    from bakeoff.project.project import Project
    from bakeoff.web.pages.previews import Previews
    from bakeoff.web.pages.traffic import Traffic

__all__ = ["PageCall", "Redirect", "Shown", "address"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A template, and the values that it shows."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Another page, to which the reader is sent; with what was done, to be said there once."""

    url: str
    done: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageCall:
    """One request for a page.

    `tracking` is what of the records the caller may know of, `now_ms` the time of the request. `alone`: the
    browser opens the address itself, and not a script of ours, so that a part of a page must be a page.
    """

    query: QueryParams
    form: Mapping[str, str]
    path: Mapping[str, str]
    principal: Principal
    tracking: Tracking
    now_ms: int
    alone: bool = False
    of_project: "Project | None" = None
    traffic: "Traffic | None" = None
    previews: "Previews | None" = None

    @property
    def records(self) -> RecordStore:
        """The records within the caller's reach."""
        return self.tracking.records

    def any_project(self) -> "Project":
        """The project, for a page that shows of it what the caller reaches.

        Raises:
            HttpError: there is no project (404).
        """
        if self.of_project is None:
            raise HttpError(
                404,
                "NotFoundError",
                "expected a project, but this server was started on records alone: start 'bakeoff ui' in the folder "
                "of a project to see its verdicts, endpoints and loop",
            )
        return self.of_project

    def project(self, kind: ScopeKind, name: str | None = None) -> "Project":
        """The project, for a caller that reaches a thing of a kind in it (without a name: all of that kind).

        Raises:
            HttpError: there is no project (404), or it is out of the caller's reach (403).
        """
        project = self.any_project()
        if name is None:
            require_everything(self.principal, kind)
        elif not self.principal.reaches(kind, name):
            raise HttpError(403, "PermissionDenied", f"expected a caller that reaches {kind}:{name}")
        return project

    def endpoints(self, project: "Project") -> "list[EndpointStatus]":
        """The project's endpoints within the caller's reach."""
        return [each for each in project.endpoints.all() if self.principal.reaches("endpoint", each.name)]

    @property
    def who(self) -> str:
        """Whom a history names."""
        return who_of(self.principal)

    def may(self, permission: Permission) -> bool:
        """Whether the caller may do something, so that what one may not is not offered."""
        return self.principal.may(permission)

    def number(self, name: str) -> float | None:
        """A number of the query; None where it is left out.

        Raises:
            UsageError: it is none.
        """
        return number_of(name, self.query.get(name, ""))

    def whole(self, name: str, default: int, *, most: int) -> int:
        """A whole number of the query, from 1 to `most`."""
        value = self.query.get(name, "")
        if not value:
            return default
        if not (value.isascii() and value.isdigit() and 1 <= int(value[:9]) <= most):
            raise UsageError(f"{name}: expected a whole number from 1 to {most}, received {value[:40]!r}")
        return int(value)


def number_of(name: str, text: str) -> float | None:
    """A number that somebody wrote into a field; None where it is empty."""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        raise UsageError(f"{name}: expected a number, received {text[:40]!r}") from None
    if value != value or value in {float("inf"), float("-inf")}:  # noqa: PLR0124 - NaN
        raise UsageError(f"{name}: expected a finite number, received {text[:40]!r}")
    return value


def address(path: str, /, **query: str | Sequence[str] | None) -> str:
    """A path with its query; what is empty is left out.

    >>> address("/runs", filter="metrics.f1 > 0.5", page=None, run=["a", "b"])
    '/runs?filter=metrics.f1+%3E+0.5&run=a&run=b'
    """
    listed = {key: value for key, value in query.items() if value}
    return f"{path}?{urlencode(listed, doseq=True)}" if listed else path
