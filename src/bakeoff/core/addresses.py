"""Which addresses only this machine can reach."""

import ipaddress
from urllib.parse import urlsplit

__all__ = ["is_local_url", "is_loopback"]


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


def is_local_url(url: str) -> bool:
    """Whether a request to the URL stays on this machine; a URL that cannot be read does not.

    >>> is_local_url("http://[::1]:8000/v1"), is_local_url("http://127.0.0.1@example.org/v1"), is_local_url("v1")
    (True, False, False)
    """
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
