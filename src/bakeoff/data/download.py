"""Fetch one URL into a file: https only (http from loopback), with a size limit and a timeout."""

import base64
import ipaddress
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, cast

from bakeoff.core.errors import DataError, NotFoundError, SecurityError

__all__ = ["Fetched", "check_url", "download", "download_part", "file_name"]

LIMIT_BYTES = 8 << 30
STALL_S = 60.0
TOTAL_S = 3600.0
PIECE = 1 << 20
PARTIAL, NOT_MODIFIED = 206, 304
MISSING = (404, 410)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What came: the URL after redirects, the server's ETag, and whether it said "unchanged" (no file then)."""

    url: str
    etag: str | None = None
    unchanged: bool = False


def file_name(url: str) -> str:
    """The last part of a URL's path, safe as a file's name.

    >>> file_name("https://example.org/a/rows%20new.csv?x=1"), file_name("https://example.org/%2e%2e")
    ('rows new.csv', 'file')
    """
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).rstrip("/").rpartition("/")[2]
    return "file" if name in {"", ".", ".."} or "\0" in name else name


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str, *, files: bool = False) -> None:
    """Raise `SecurityError` unless it is https, or http on loopback (or a file, where allowed)."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (files and parts.scheme == "file"):
        return
    if parts.scheme == "http" and _is_loopback(parts.hostname or ""):
        return
    raise SecurityError(f"expected an https:// URL, received {_without_secrets(url)!r}; nothing was fetched.")


def _without_secrets(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to URLs that would be allowed themselves."""

    def redirect_request(  # noqa: PLR0917 - the parent's signature
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # pyright: ignore[reportArgumentType]


def _request(url: str, etag: str | None) -> urllib.request.Request:
    parts = urllib.parse.urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    bare = urllib.parse.urlunsplit(parts._replace(netloc=host))
    request = urllib.request.Request(bare, headers={"User-Agent": "bakeoff"})  # noqa: S310 - by check_url
    if at:
        token = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {token}")
    if etag:
        request.add_header("If-None-Match", etag)
    return request


def download(
    url: str, target: Path, *, etag: str | None = None, certificates: str | None = None, limit_bytes: int = LIMIT_BYTES
) -> Fetched:
    """Write what the URL holds into `target`, or nothing when it still has the `etag`.

    Args:
        url: https, http on loopback, or file.
        target: Where to write; its folder exists.
        etag: That of the copy at hand.
        certificates: A file of certificate authorities instead of the system's.
        limit_bytes: More than this is refused.

    Raises:
        NotFoundError: there is nothing at the URL.
        SecurityError: the URL, or one that it redirects to, is not allowed.
        DataError: it could not be fetched whole.
    """
    check_url(url, files=True)
    opener = _opener(url, certificates)
    shown = _without_secrets(url)
    try:
        with opener.open(_request(url, etag), timeout=STALL_S) as response:
            _write(cast("IO[bytes]", response), response.headers.get("Content-Length"), target, shown, limit_bytes)
            return Fetched(url=str(response.url), etag=response.headers.get("ETag"))
    except urllib.error.HTTPError as error:
        if error.code == NOT_MODIFIED and etag:
            return Fetched(url=url, etag=etag, unchanged=True)
        kind = NotFoundError if error.code in MISSING else DataError
        raise kind(f"{shown}: expected a file, the server answered {error.code} {error.reason}.") from None
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, FileNotFoundError):
            raise NotFoundError(f"{shown}: expected a file, found none.") from None
        raise DataError(f"{shown}: could not be fetched: {reason}. Check the network and try again.") from error


def download_part(url: str, span: str, *, certificates: str | None = None) -> tuple[bytes, int] | None:
    """Some bytes of what the URL holds, and how many it holds in all; None where that cannot be had.

    Args:
        url: https, or http on loopback.
        span: as in HTTP's header Range: "0-99", or "-100" for the last hundred bytes.
        certificates: A file of certificate authorities instead of the system's.
    """
    check_url(url)
    request = _request(url, None)
    request.add_header("Range", f"bytes={span}")
    try:
        with _opener(url, certificates).open(request, timeout=STALL_S) as response:
            if response.status != PARTIAL:
                return None
            total = str(response.headers.get("Content-Range", "")).rpartition("/")[2]
            return (response.read(), int(total)) if total.isdecimal() else None
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError):
        return None


def _opener(url: str, certificates: str | None) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cafile=certificates) if url.startswith("https:") else None
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Redirects())


def _write(response: IO[bytes], announced: str | None, target: Path, shown: str, limit_bytes: int) -> None:
    started = time.monotonic()
    written = 0
    with target.open("wb") as out:
        while piece := response.read(PIECE):
            written += len(piece)
            if written > limit_bytes:
                raise DataError(f"{shown}: expected at most {limit_bytes:,} bytes, received more.")
            if time.monotonic() - started > TOTAL_S:
                raise DataError(f"{shown}: expected a download within {TOTAL_S:.0f} s; it took longer.")
            out.write(piece)
    if announced is not None and written != int(announced):
        raise DataError(f"{shown}: expected {announced} bytes, received {written}; the connection broke. Try again.")
