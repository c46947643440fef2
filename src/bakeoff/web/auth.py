"""Who calls, and whether the route that is called is for them: one check before every handler.

A route declares its permission (`web.permissions`). Where a server asks who calls, each request needs a token, as
`Authorization: Bearer …`, as the password of Basic (clients of MLflow), or as `x-api-key` and `api-key` (clients of
Anthropic's and Azure's APIs).
"""

import asyncio
import base64
import logging
import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bakeoff.core.principals import ANONYMOUS, Need, Principal, ScopeKind
from bakeoff.security.audit import current_user
from bakeoff.security.tokens import AccessTokens
from bakeoff.web.permissions import permission_of, require_permissions
from bakeoff.web.problems import HttpError
from bakeoff.web.sessions import SAFE_METHODS, cookie_of, require_same_origin

__all__ = [
    "Authenticator",
    "TokenAuthenticator",
    "caller",
    "known",
    "missed",
    "origin_of",
    "principal_of",
    "protect",
    "require_everything",
    "token_texts",
    "who_of",
]

PRINCIPAL, MISSED = "bakeoff.principal", "bakeoff.missed"
BEARER = b"bearer "
NOT_THERE = frozenset({403, 404, 409})
STEP_S = 0.05
"""In steps of so much time a caller with scopes is told that something is not there: whether it is another's, which
takes longer to see, must not show. What differs after a step is lost in up to a fifth of one more, by chance."""
RawHeaders: TypeAlias = Iterable[tuple[bytes, bytes]]
"""Names, in small letters, and values, as they came."""
logger = logging.getLogger(__name__)


class Authenticator(Protocol):
    """Says who calls."""

    async def __call__(self, headers: Headers) -> Principal | None:
        """The caller; None when the request does not say, or says wrongly."""
        ...

    def remembered(self, headers: RawHeaders) -> Principal | None:
        """The caller, where that takes no question to anybody; None says nothing."""
        ...


class TokenAuthenticator:
    """Callers by their token.

    Args:
        tokens: says who a token is of.
        sessions: says who a browser's cookie is of, where people sign in; a request with a token goes by that alone.
        secure: whether browsers reach this server by TLS.
    """

    def __init__(self, tokens: AccessTokens, sessions: AccessTokens | None = None, *, secure: bool = False) -> None:
        self._tokens, self._sessions, self._secure = tokens, sessions, secure

    async def __call__(self, headers: Headers) -> Principal | None:
        """The caller; the records are asked in a thread, so that others do not wait for them."""
        texts = list(token_texts(headers))
        for text in texts:
            if (principal := await known(self._tokens, text)) is not None:
                return principal
        if self._sessions is None or texts:
            return None
        session = cookie_of(headers, secure=self._secure)
        return None if session is None else await known(self._sessions, session)

    def remembered(self, headers: RawHeaders) -> Principal | None:
        """The caller by a bearer token that was read a moment ago: all of this that most requests pay for."""
        for name, value in headers:
            if name == b"authorization":
                if value[: len(BEARER)].lower() != BEARER:
                    return None
                return self._tokens.remembered(value[len(BEARER) :].strip().decode("latin-1"))
        return None


async def caller(authenticator: Authenticator, scope: Scope) -> Principal | None:
    """Who sends the request of this scope; None when it does not say, or says wrongly."""
    principal = authenticator.remembered(scope["headers"])
    return await authenticator(Headers(scope=scope)) if principal is None else principal


async def known(tokens: AccessTokens, text: str) -> Principal | None:
    """Who a token or session is of; the records are asked in a thread, if they have to be."""
    return tokens.principal(text) if tokens.is_fresh(text) else await asyncio.to_thread(tokens.principal, text)


def protect(routes: Iterable[BaseRoute], authenticator: Authenticator | None) -> None:
    """See that each route declares a permission, and have callers checked before it; without an authenticator none is.

    Raises:
        SecurityError: a route declares none.
    """
    routes = list(routes)
    require_permissions(routes)
    if authenticator is None:
        return
    for route in routes:
        if isinstance(route, Mount):
            protect(route.routes, authenticator)
            continue
        permission = permission_of(route.endpoint) if isinstance(route, Route) else None
        if isinstance(route, Route) and permission is not None and permission != "public":
            route.app = _Protected(route.app, permission, authenticator)


def principal_of(request: Request) -> Principal:
    """Who sent a request; anonymous, who may everything, where nobody is asked."""
    principal = request.scope.get(PRINCIPAL, ANONYMOUS)
    assert isinstance(principal, Principal)
    return principal


def missed(request: Request, *, but_made: bool = False) -> None:
    """Note that a request names what is not there, or not for its sender, so that how long it takes says not which.

    What was looked for and then made need not be noted any more.
    """
    request.scope[MISSED] = not but_made


def origin_of(request: Request) -> str:
    """Where a request comes from: the address of the other end of its connection."""
    return request.client.host if request.client else ""


def who_of(principal: Principal) -> str:
    """Whom histories name: the caller, or where nobody is asked, the user of this process."""
    return current_user() if principal is ANONYMOUS else principal.name


def require_everything(principal: Principal, kind: ScopeKind) -> None:
    """See that the caller reaches all things of a kind, for what belongs to none of them.

    Raises:
        HttpError: its token has scopes that do not (403).
    """
    if not principal.everything(kind):
        problem = f"expected a token that reaches everything of {kind!r} (no scopes, or {kind}:*)"
        raise HttpError(403, "PermissionDenied", f"{problem}; {principal.name} does not", code="permission_denied")


class _Protected:
    """The app of one route behind the check."""

    def __init__(self, app: ASGIApp, permission: Need, authenticator: Authenticator) -> None:
        self._app, self._authenticator = app, authenticator
        self._permission: Need = permission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or go on."""
        began = time.monotonic()
        principal = await caller(self._authenticator, scope)
        if principal is not None and principal.form_token is not None and scope["method"] not in SAFE_METHODS:
            require_same_origin(
                Headers(scope=scope), scope["scheme"]
            )  # a cookie speaks for it, which browsers send unasked
        if principal is None:
            raise HttpError(
                401,
                "Unauthenticated",
                "expected a valid token (Authorization: Bearer …, or the password of Basic), received none; "
                "'bakeoff tokens create' makes one",
                code="invalid_api_key",
            )
        if not principal.may(self._permission):
            logger.warning("%s may not %s", principal.name, self._permission, extra={"path": scope["path"]})
            raise HttpError(
                403,
                "PermissionDenied",
                f"expected a caller who may {self._permission}; {principal.name} may not",
                code="permission_denied",
            )
        scope[PRINCIPAL] = principal
        await self._app(scope, receive, _even(scope, send, began) if principal.scopes else send)


def _even(scope: Scope, send: Send, began: float) -> Send:
    """Send what tells that something is not there at a step of time after the request began."""

    async def even(message: Message) -> None:
        if message["type"] == "http.response.start" and (message["status"] in NOT_THERE or scope.get(MISSED)):
            chance = secrets.randbelow(1000) / 5000
            await asyncio.sleep((began - time.monotonic()) % STEP_S + chance * STEP_S)
        await send(message)

    return even


def token_texts(headers: Mapping[str, str]) -> Iterable[str]:
    """What may be a token in the headers of a request, whose names are in small letters or found in any."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        yield value.strip()
    elif kind.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except ValueError:  # no base64, or no text in it: another header may have a token
            pass
        else:
            yield from (password, user)
    for name in ("x-api-key", "api-key"):
        if name in headers:
            yield headers[name]
