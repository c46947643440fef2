"""Who may use the server of pages and tracking: tokens, sessions of people, and under which names it is called."""

import os
from typing import Protocol
from urllib.parse import urlsplit

from bakeoff.config.sections import AuthConfig
from bakeoff.core.errors import MissingExtraError
from bakeoff.core.protocols import RecordStore
from bakeoff.project import wiring
from bakeoff.web.auth import TokenAuthenticator
from bakeoff.web.server import local_hosts
from bakeoff.web.sign_in import SignIn

__all__ = ["Guarded", "access", "hosts"]


class Guarded(Protocol):
    """What is served, and who may use it."""

    @property
    def records(self) -> RecordStore:
        """Where tokens, accounts and sessions are."""
        ...

    @property
    def auth(self) -> AuthConfig:
        """The settings of it."""
        ...


def access(of: Guarded, *, secure: bool) -> tuple[TokenAuthenticator | None, SignIn | None]:
    """What says who calls, and how people sign in; None of both where nobody is asked.

    Where people have neither accounts nor a provider, there is nothing to sign in with: browsers ask for a token.

    Raises:
        UsageError: the provider's settings make no sense.
    """
    config, documents, clock = of.auth, of.records.documents, wiring.now_ms
    tokens = wiring.authenticator(config, documents, clock)
    if tokens is None:
        return None, None
    secure = secure or (config.public_url or "").startswith("https://")
    try:
        accounts = wiring.people(config, documents, clock)
    except MissingExtraError:  # without accounts, people have tokens
        accounts = None
    openid = None if config.openid is None else wiring.provider(config.openid, os.environ, clock)
    if accounts is None and openid is None:
        return TokenAuthenticator(tokens, secure=secure), None
    sessions = wiring.open_sessions(config, documents, clock)
    people = SignIn(
        sessions=sessions,
        tokens=tokens,
        accounts=accounts,
        openid=openid,
        roles=config.openid.roles if config.openid else {},
        default_role=config.openid.default_role if config.openid else None,
        session_ms=int(config.session_hours * 3_600_000),
        public_url=config.public_url,
        secure=secure,
    )
    return TokenAuthenticator(tokens, sessions, secure=secure), people


def hosts(host: str, config: AuthConfig) -> frozenset[str] | None:
    """The names under which the server may be called: on loopback its own; else that of `public_url`, if it is set."""
    named = urlsplit(config.public_url or "").hostname
    local = local_hosts(host)
    if named is None:
        return local
    return frozenset({named}) | (local or frozenset())
