"""Where a server may listen: on loopback, until it has authentication and TLS."""

from bakeoff.core.addresses import is_loopback
from bakeoff.core.errors import SecurityError

__all__ = ["is_loopback", "require_loopback"]


def require_loopback(host: str) -> None:
    """Refuse to listen where others could reach a server without authentication and TLS.

    Raises:
        SecurityError: the host is not loopback.
    """
    if not is_loopback(host):
        raise SecurityError(
            f"expected a loopback address (127.0.0.1, ::1 or localhost), received {host!r}. Listening in public "
            "needs authentication and TLS, which are not set up here: keep the default and put a proxy in front."
        )
