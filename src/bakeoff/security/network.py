"""Where a server may listen: on loopback by itself, elsewhere with authentication and TLS alone."""

from bakeoff.core.addresses import is_loopback
from bakeoff.core.errors import SecurityError

__all__ = ["is_loopback", "require_guarded"]


def require_guarded(host: str, *, authenticated: bool = False, encrypted: bool = False) -> None:
    """Refuse to listen where others could reach a server without authentication and TLS.

    Raises:
        SecurityError: the host is not loopback, and one of the two is lacking.
    """
    if is_loopback(host) or (authenticated and encrypted):
        return
    lacking = [
        *([] if authenticated else ["authentication ([auth] required = true, then 'bakeoff tokens create')"]),
        *([] if encrypted else ["TLS ([tls] certificate and key; 'bakeoff certs dev' makes a pair to try)"]),
    ]
    raise SecurityError(
        f"expected a loopback address (127.0.0.1, ::1 or localhost), received {host!r}. Listening in public needs "
        f"{' and '.join(lacking)}; or keep the default and put a proxy in front."
    )
