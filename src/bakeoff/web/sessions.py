"""Sessions of people in browsers: a cookie that only this site gets, and tokens against forged requests.

The cookie is a random secret of 256 bits, of which the records have the hash: there is nothing to forge, a copy of the
records signs nobody in, and a session that was ended is refused within half a second. It is HttpOnly, SameSite=Lax, and
with TLS `__Host-` (Secure, of this host alone). Each sign-in makes a new one, so that none can be planted.
"""

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request, cookie_parser
from starlette.responses import Response

from bakeoff.core.principals import Principal
from bakeoff.web.problems import HttpError

__all__ = ["FILE_HEADERS", "PAGE_HEADERS", "SAFE_METHODS", "cookie_of", "form_of", "local_target", "require_form"]
__all__ += ["require_same_origin", "set_cookie"]

NAME = "bakeoff_session"
MOST_FORM = 1 << 20
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PAGE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Of pages that hold no script."""
FILE_HEADERS = {**PAGE_HEADERS, "Content-Security-Policy": "frame-ancestors 'none'"}
"""Of a page that is one file with a policy of its own, which cannot say who may frame it."""


def _named(name: str, *, secure: bool) -> str:
    """The name of a cookie: with TLS one that a browser takes from this host alone, so that no other can plant it."""
    return f"__Host-{name}" if secure else name


def cookie_of(headers: Mapping[str, str], *, secure: bool, name: str = NAME) -> str | None:
    """The value of a cookie of ours in a request."""
    return cookie_parser(headers.get("cookie", "")).get(_named(name, secure=secure))


def set_cookie(response: Response, value: str, *, secure: bool, seconds: int, name: str = NAME) -> None:
    """Give a browser a cookie; with no seconds, take it."""
    response.set_cookie(
        _named(name, secure=secure),
        value,
        max_age=seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


async def form_of(request: Request, *, most_bytes: int = MOST_FORM) -> dict[str, str]:
    """The fields of a form that a browser sent.

    Raises:
        HttpError: it is no form (415, 400), or too large (413).
    """
    if request.headers.get("content-type", "").split(";")[0] != "application/x-www-form-urlencoded":
        raise HttpError(415, "BadRequest", "expected a form (application/x-www-form-urlencoded)")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > most_bytes:
            raise HttpError(413, "TooLarge", f"expected a form of at most {most_bytes} bytes")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except UnicodeDecodeError:
        raise HttpError(400, "BadRequest", "expected a form in UTF-8") from None


def require_form(principal: Principal, token: str | None) -> None:
    """See that a form is one of this person's session; whoever calls with a token needs none.

    Raises:
        HttpError: it is not (403).
    """
    expected = principal.form_token
    if expected is not None and not hmac.compare_digest(expected.encode(), (token or "").encode()):
        raise HttpError(403, "ForeignForm", "expected a form of this session, received another: load the page again")


def require_same_origin(headers: Mapping[str, str], scheme: str) -> None:
    """See that a request which a browser's cookie speaks for was made by a page of this site.

    Raises:
        HttpError: another site's page made it, or the browser does not say (403).
    """
    site, origin, host = headers.get("sec-fetch-site"), headers.get("origin"), headers.get("host", "")
    same = origin in {f"https://{host}", f"{scheme}://{host}"} if origin is not None else site == "same-origin"
    if not same or site not in {None, "same-origin"}:
        raise HttpError(403, "ForeignOrigin", "expected a page of this site to ask for a change, received another's")


def local_target(target: str | None) -> str:
    """A place of this site to go to after signing in; the start, for whatever may lead elsewhere."""
    if not target or not target.startswith("/") or any(ord(each) <= ord(" ") or each == "\\" for each in target):
        return "/"
    parts = urlsplit(target)
    return target if not parts.scheme and not parts.netloc and not target.startswith("//") else "/"
