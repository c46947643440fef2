"""How people sign in to pages: by an account, or with a provider of OpenID Connect; and out again."""

import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from urllib.parse import quote, unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from bakeoff.core.errors import NotFoundError, SecurityError, StoreError
from bakeoff.core.principals import SERVICE
from bakeoff.security.accounts import Accounts
from bakeoff.security.openid import OpenId
from bakeoff.security.tokens import AccessToken, AccessTokens
from bakeoff.web.auth import known
from bakeoff.web.permissions import permission
from bakeoff.web.problems import HttpError
from bakeoff.web.sessions import (
    PAGE_HEADERS,
    cookie_of,
    form_of,
    local_target,
    require_form,
    require_same_origin,
    set_cookie,
)

__all__ = ["SignIn"]

BEGUN = "bakeoff_sign_in"
BEGUN_S = 600
MOST_FORM = 1 << 16
SEE_OTHER = 303
ATTEMPTS = 4
"""Passwords looked at or waiting for it at once: they wait in threads which all requests share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """The routes by which people sign in.

    Attributes:
        sessions: what browsers get.
        tokens: of callers; who has one may sign in with it, as whatever it is for.
        accounts: of people; None where there are none.
        openid: the provider; None where there is none.
        roles: the role of each value of the provider's claim.
        default_role: of who has none of these; None refuses them.
        session_ms: how long a session lasts.
        public_url: where browsers reach this site; else as they say.
        secure: whether that is by TLS.
    """

    sessions: AccessTokens
    tokens: AccessTokens | None = None
    accounts: Accounts | None = None
    openid: OpenId | None = None
    roles: Mapping[str, str] = field(default_factory=dict[str, str])
    default_role: str | None = None
    session_ms: int = 12 * 3_600_000
    public_url: str | None = None
    secure: bool = False
    _attempts: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(ATTEMPTS), repr=False)

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/sign-in", self.page, methods=["GET"]),
            Route("/sign-in", self.enter, methods=["POST"]),
            Route("/sign-in/openid", self.begin, methods=["GET"]),
            Route("/sign-in/callback", self.finish, methods=["GET"]),
            Route("/sign-out", self.leave, methods=["POST"]),
        ]

    @permission("public")
    async def page(self, request: Request) -> Response:
        """The form; for who is signed in, the one to sign out."""
        return await self._form(request, local_target(request.query_params.get("next")))

    @permission("public")
    async def enter(self, request: Request) -> Response:
        """Sign in with name and password; a token is a password of any name."""
        require_same_origin(request.headers, request.url.scheme)
        form = await form_of(request, most_bytes=MOST_FORM)
        target, name, password = local_target(form.get("next")), form.get("name", ""), form.get("password", "")
        token = await run_in_threadpool(self._token, password)
        if token is not None:
            return await self._with_token(request, target, token, password)
        if not self._attempts.acquire(blocking=False):
            raise HttpError(503, "Overloaded", f"{ATTEMPTS} people sign in at the moment; try again in a second")
        try:
            account = (
                None if self.accounts is None else await run_in_threadpool(self.accounts.signed_in, name, password)
            )
        finally:
            self._attempts.release()
        if account is None:
            return await self._refused(request, target)
        return await self._signed_in(request, target, account.name, account.roles, account.scopes)

    def _token(self, text: str) -> AccessToken | None:
        return None if self.tokens is None else self.tokens.of(text.strip())

    async def _with_token(self, request: Request, target: str, token: AccessToken, text: str) -> Response:
        """A session that ends when its token does: where that was revoked meanwhile, at once."""
        name = f"{SERVICE}{token.name}"
        response = await self._signed_in(request, target, name, token.roles, token.scopes, until_ms=token.expires_ms)
        if await run_in_threadpool(self._token, text) is None:
            await run_in_threadpool(self.sessions.end_all, name)
            return await self._refused(request, target)
        return response

    async def _refused(self, request: Request, target: str) -> Response:
        problem = "Name or password are not right, or were not too often."
        return await self._form(request, target, problem, status=401)

    @permission("public")
    async def begin(self, request: Request) -> Response:
        """Go to the provider."""
        if self.openid is None:
            raise HttpError(404, "NotFoundError", "expected an account to sign in with: there is no provider here")
        secret, target = secrets.token_urlsafe(32), local_target(request.query_params.get("next"))
        address = await run_in_threadpool(self.openid.begin, secret, self._callback(request))
        response = RedirectResponse(address, SEE_OTHER, headers=dict(PAGE_HEADERS))
        set_cookie(response, f"{secret}{quote(target)}", secure=self.secure, seconds=BEGUN_S, name=BEGUN)
        return response

    @permission("public")
    async def finish(self, request: Request) -> Response:
        """Come back from the provider."""
        secret, slash, rest = (cookie_of(request.headers, secure=self.secure, name=BEGUN) or "").partition("/")
        if self.openid is None or not secret:
            raise HttpError(400, "UsageError", "expected to come back from a sign-in that began here: begin again")
        answer = dict(request.query_params)
        try:
            person = await run_in_threadpool(self.openid.finish, secret, answer, self._callback(request))
        except (SecurityError, StoreError) as error:
            return await self._form(request, "/", str(error), status=403 if isinstance(error, SecurityError) else 502)
        roles = tuple(dict.fromkeys(self.roles[each] for each in person.groups if each in self.roles))
        roles = roles or (() if self.default_role is None else (self.default_role,))
        if not roles:
            problem = f"{person.name} has no role here: ask who runs this site."
            return await self._form(request, "/", problem, status=403)
        response = await self._signed_in(request, local_target(unquote(slash + rest)), person.name, roles, ())
        set_cookie(response, "", secure=self.secure, seconds=0, name=BEGUN)
        return response

    @permission("public")
    async def leave(self, request: Request) -> Response:
        """Sign out: the session ends in every process."""
        require_same_origin(request.headers, request.url.scheme)
        principal = await known(self.sessions, self._session(request))
        if principal is not None:
            require_form(principal, (await form_of(request, most_bytes=MOST_FORM)).get("csrf"))
        await run_in_threadpool(self._end, request)
        response = RedirectResponse("/sign-in", SEE_OTHER, headers=dict(PAGE_HEADERS))
        set_cookie(response, "", secure=self.secure, seconds=0)
        return response

    async def _signed_in(
        self,
        request: Request,
        target: str,
        name: str,
        roles: Sequence[str],
        scopes: Sequence[str],
        *,
        until_ms: int | None = None,
    ) -> Response:
        """A new session, whatever the browser had before, which ends."""
        await run_in_threadpool(self._end, request)
        _, text = await run_in_threadpool(
            lambda: self.sessions.create(
                name, roles=roles, scopes=scopes, lifetime_ms=self.session_ms, until_ms=until_ms
            )
        )
        response = RedirectResponse(target, SEE_OTHER, headers=dict(PAGE_HEADERS))
        set_cookie(response, text, secure=self.secure, seconds=self.session_ms // 1000)
        return response

    def _end(self, request: Request) -> None:
        session = self._session(request)
        identity = self.sessions.identity(session)
        if identity is not None and self.sessions.principal(session) is not None:
            try:
                self.sessions.revoke(identity)
            except NotFoundError:  # it has just gone
                return

    def _session(self, request: Request) -> str:
        return cookie_of(request.headers, secure=self.secure) or ""

    def _callback(self, request: Request) -> str:
        base = self.public_url or f"{request.url.scheme}://{request.headers.get('host', '')}"
        return f"{base.rstrip('/')}/sign-in/callback"

    async def _form(self, request: Request, target: str, problem: str = "", *, status: int = 200) -> Response:
        principal = await known(self.sessions, self._session(request))
        parts = [f"<p role=alert>{escape(problem)}</p>" if problem else ""]
        if principal is not None:
            hidden = f'<input type=hidden name=csrf value="{principal.form_token}">'
            parts += [f"<p>Signed in as {escape(principal.name)}.</p>"]
            parts += [f"<form method=post action=/sign-out>{hidden}<button>Sign out</button></form>"]
        if self.accounts is not None or self.tokens is not None:
            parts += [
                f'<form method=post action=/sign-in><input type=hidden name=next value="{escape(target)}">',
                "<p><label>Name <input name=name autocomplete=username></label></p>",
                "<p><label>Password, or a token without a name ",
                "<input name=password type=password autocomplete=current-password required></label>",
                "</p><button>Sign in</button></form>",
            ]
        if self.openid is not None:
            parts += [f'<p><a href="/sign-in/openid?next={quote(target)}">Sign in with your organisation</a></p>']
        head = "<!doctype html><html lang=en><meta charset=utf-8><title>Sign in</title>"
        return HTMLResponse(f"{head}<main><h1>Sign in</h1>{''.join(parts)}</main>", status, headers=dict(PAGE_HEADERS))
