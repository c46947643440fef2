"""What addresses are: which only this machine can reach, what kind of place they name, how people may see them."""

import ipaddress
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

__all__ = ["is_local_url", "is_loopback", "place_scheme", "without_password"]


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


def place_scheme(place: str) -> str:
    """The scheme of a URL, or "file" for the path of a folder.

    >>> place_scheme("s3://bucket/team"), place_scheme("../shared")
    ('s3', 'file')
    """
    return place.partition("://")[0] if "://" in place else "file"


_SECRET = ("passw", "pwd", "token", "secret", "key", "sig", "credential", "auth")


def without_password(url: str) -> str:
    """The URL as people may see it: a password in it, and values of keys that name a secret, are `***`.

    >>> without_password("postgresql://me:open@host/db?sslpassword=sesame&sslmode=require")
    'postgresql://me:***@host/db?sslpassword=***&sslmode=require'
    >>> without_password("https://ghp_abc@host/a?sv=1&sig=b")
    'https://***@host/a?sv=1&sig=***'
    >>> without_password("sqlite:///.bakeoff/records.db")
    'sqlite:///.bakeoff/records.db'
    >>> without_password("what?key=1.csv")  # a path
    'what?key=1.csv'
    """
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return "***"
    place, pairs = parts.netloc, parse_qsl(parts.query, keep_blank_values=True)
    user, at, host = place.rpartition("@")
    hidden = [(name, "***" if any(word in name.lower() for word in _SECRET) else value) for name, value in pairs]
    lone = bool(user) and ":" not in user and parts.scheme in {"http", "https"}  # a token stands there
    if ":" not in user and not lone and hidden == pairs:
        return url
    place = f"{user.partition(':')[0]}:***{at}{host}" if ":" in user else f"***{at}{host}" if lone else place
    return urlunsplit(parts._replace(netloc=place, query=urlencode(hidden, safe="*/:")))
