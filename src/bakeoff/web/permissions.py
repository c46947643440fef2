"""Every route declares who may use it; a route that does not stops the start."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from bakeoff.core.errors import SecurityError
from bakeoff.core.principals import Need

__all__ = ["Need", "permission", "permission_of", "require_permissions"]

H = TypeVar("H", bound=Callable[..., Awaitable[Response]])

ATTRIBUTE = "bakeoff_permission"


def permission(name: Need) -> Callable[[H], H]:
    """Declare what a caller must be allowed to do; `public` means nothing."""

    def declare(handler: H) -> H:
        setattr(handler, ATTRIBUTE, name)
        return handler

    return declare


def permission_of(handler: object) -> Need | None:
    """What the handler declared, or None."""
    return getattr(handler, ATTRIBUTE, None)


def require_permissions(routes: Iterable[BaseRoute]) -> None:
    """Check that every route declares a permission.

    Raises:
        SecurityError: one does not; the message names it.
    """
    for route in routes:
        if isinstance(route, Mount) and route.routes:  # an app that was mounted whole declares nothing
            require_permissions(route.routes)
        elif not (isinstance(route, Route) and permission_of(route.endpoint)):
            raise SecurityError(
                f"expected every route to declare a permission, but {getattr(route, 'path', route)!r} does not; "
                "decorate its handler with @permission(...)"
            )
