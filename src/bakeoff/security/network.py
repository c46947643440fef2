"""Where a server may listen: on loopback, until it has authentication and TLS."""

import ipaddress

from bakeoff.core.errors import SecurityError

__all__ = ["is_loopback", "require_loopback"]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address. Names but "localhost" are not looked up.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("example.org")
    (True, True, False, False)
    """
    bare = host.strip("[]")
    try:
        return bare == "localhost" or ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


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
