"""The privacy switch: rows leave this machine only where a project's `[privacy] remote` says so."""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from bakeoff.core.addresses import is_local_url
from bakeoff.core.errors import SecurityError

__all__ = ["may_call", "remote_calls"]

# Scoped, not global: what `remote_calls` sets ends with its block, and nothing else allows anything.
_ALLOWED: ContextVar[bool] = ContextVar("remote_calls_allowed", default=False)


@contextmanager
def remote_calls(*, allowed: bool) -> Generator[None]:
    """Clients made within the block may (or may not) send rows to other machines; elsewhere none may."""
    token = _ALLOWED.set(allowed)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def may_call(url: str) -> SecurityError | None:
    """Why a client that is made here must not call the URL; None when it may."""
    if _ALLOWED.get() or is_local_url(url):
        return None
    return SecurityError(
        f"expected a service on this machine (127.0.0.1, ::1 or localhost), received {url!r}: it would be sent rows of "
        "your data. Allow it with 'remote = true' in [privacy]."
    )
