"""The outermost layer: foreign hosts and origins are refused, big bodies cut, every request measured.

Each answer tells browsers to take it for what it says it is; what was read, to show it to no other site and to keep no
copy of it, unless the answer says otherwise.
"""

import logging
import time
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bakeoff.core.errors import BakeoffError
from bakeoff.web.encodings import unpacked
from bakeoff.web.measures import Measures
from bakeoff.web.problems import HttpError, error_response

__all__ = ["Guard"]

LOOKED_AT = frozenset({b"host", b"origin", b"content-length", b"content-encoding"})
ENCODED = frozenset({b"content-length", b"content-encoding"})
"""Headers that are true no more of a body once it is unpacked."""
NO_HOST = frozenset("@/?#\\ \t")

AS_IT_IS = ((b"x-content-type-options", b"nosniff"),)
PRIVATE = (*AS_IT_IS, (b"cache-control", b"no-store"), (b"cross-origin-resource-policy", b"same-origin"))

MOST_HOSTS = 100
"""Spellings of hosts that are remembered as good."""

logger = logging.getLogger(__name__)


class Guard:
    """ASGI middleware.

    Args:
        app: what stands behind it.
        hosts: names that the Host header may have (without port); None lets all pass. A page of another
            site whose name resolves to this machine (DNS rebinding) has its own name there.
        max_body_bytes: more is answered with 413 before it is read into memory, of a compressed body also unpacked.
        measures: where requests are counted.
        uploads: the most bytes of bodies with files, by their path.
        as_encoded: how paths begin whose bodies go on as they came, compressed or not.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str] | None,
        max_body_bytes: int,
        measures: Measures,
        uploads: Mapping[str, int] = MappingProxyType({}),
        as_encoded: tuple[str, ...] = (),
    ) -> None:
        self._app, self._hosts, self._max, self._uploads = app, hosts, max_body_bytes, dict(uploads)
        self._measures, self._as_encoded = measures, as_encoded
        self._admitted: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status, headers = message["status"], message.get("headers", ())
                known = {name for name, _ in headers}
                usual = PRIVATE if scope["method"] in {"GET", "HEAD"} else AS_IT_IS
                message["headers"] = [*headers, *(each for each in usual if each[0] not in known)]
            await send(message)

        try:
            encoding, limited = self._admit(scope), self._limited(scope, receive)
            if encoding != b"" and not scope["path"].startswith(self._as_encoded):
                limited = self._limited(scope, unpacked(limited, encoding))
                scope["headers"] = [each for each in scope["headers"] if each[0] not in ENCODED]
            await self._app(scope, limited, noting)
        except Exception as error:
            if status:
                raise
            if not isinstance(error, HttpError | BakeoffError):
                logger.exception("unexpected error", extra={"path": scope["path"]})
            await error_response(error, scope["path"])(scope, receive, noting)
        finally:
            route = scope.get("route")
            pattern = getattr(route, "path", "other")
            self._measures.add(pattern, status or 499, time.perf_counter() - started)

    def _admit(self, scope: Scope) -> bytes:
        """Refuse whom the headers give away; the encoding of the body, if any."""
        given: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in LOOKED_AT:
                given.setdefault(name, value)
        host = given.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and host not in self._admitted:
            if _name_of(host) not in self._hosts:
                raise HttpError(421, "WrongHost", f"expected a local host name, received {host[:80]!r}")
            if len(self._admitted) < MOST_HOSTS:
                self._admitted.add(host)
        if (origin := given.get(b"origin")) is not None:
            _require_same_site(origin.decode("latin-1"), scope["scheme"], host)
        length = given.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._most(scope):
            raise self._too_big(scope)
        encoding = given.get(b"content-encoding", b"")
        return b"" if encoding.lower() == b"identity" else encoding

    def _most(self, scope: Scope) -> int:
        return self._uploads.get(scope["path"], self._max)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        seen, most = 0, self._most(scope)  # whatever length is declared

        async def counting() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise self._too_big(scope)
            return message

        return counting

    def _too_big(self, scope: Scope) -> HttpError:
        most, is_file = self._most(scope), scope["path"] in self._uploads
        advice = "'bakeoff fine-tune FILE' takes larger ones" if is_file else "send the rows in several calls"
        return HttpError(413, "TooLarge", f"expected {'a file of ' * is_file}at most {most} bytes; {advice}")


def _require_same_site(origin: str, scheme: str, host: str) -> None:
    """Refuse pages of other sites; one behind a proxy that ends TLS is of this one."""
    if origin != f"https://{host}" and (scheme != "http" or origin != f"http://{host}"):
        raise HttpError(403, "ForeignOrigin", f"expected no page of another site, received {origin[:80]!r}")


def _name_of(host: str) -> str | None:
    """The name in a Host header, in small letters, or None when it is none."""
    if not NO_HOST.isdisjoint(host):
        return None  # of "evil.example@localhost" an address would have the name "localhost"
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
