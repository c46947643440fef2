"""OpenID Connect: the authorization code flow with PKCE, by which people sign in with a provider.

Source: OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE, S256); RFC 9207 (`iss` in answers). Nothing is stored meanwhile:
state, nonce and verifier follow from one random value, which the browser that began has in a cookie.
"""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib.util import find_spec
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from blake3 import blake3

from bakeoff.core.addresses import is_loopback
from bakeoff.core.errors import MissingExtraError, SecurityError, StoreError, UsageError
from bakeoff.core.protocols import Clock

__all__ = ["OpenId", "Person"]

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
LEEWAY_S = 60
TIMEOUT_S = 10
MOST_BYTES = 1 << 20
FRESH_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who signed in with a provider, and the values of the claim that roles go by."""

    name: str
    groups: tuple[str, ...]


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class OpenId:
    """One provider; safe to call from many threads.

    Args:
        issuer: its URL, with https unless it is on this machine.
        client_id: as which we are registered there.
        secret: the client's, if it has one.
        scopes: what is asked for.
        claim: of the ID token, that roles go by.
        clock: milliseconds since 1970.

    Raises:
        UsageError: the issuer is no such URL. MissingExtraError: joserfc is not installed.
    """

    def __init__(
        self, issuer: str, client_id: str, *, secret: str | None, scopes: Sequence[str], claim: str, clock: Clock
    ) -> None:
        if find_spec("joserfc") is None:
            raise MissingExtraError.of("Signing in with OpenID Connect", "people", "joserfc")
        self._issuer, self._client_id, self._secret = _secure(issuer), client_id, secret
        self._scopes, self._claim, self._clock = tuple(scopes), claim, clock
        self._lock, self._known = threading.Lock(), dict[str, tuple[int, Any]]()

    def begin(self, secret: str, redirect: str) -> str:
        """Where to send a browser that has this random secret in a cookie; it comes back to `redirect`."""
        challenge = hashlib.sha256(_derived(secret, "verifier").encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect,
            "scope": " ".join(self._scopes),
            "state": _derived(secret, "state"),
            "nonce": _derived(secret, "nonce"),
            "code_challenge": base64.urlsafe_b64encode(challenge).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        address = _secure(str(self._metadata()["authorization_endpoint"]))
        return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(query)}"

    def finish(self, secret: str, answer: Mapping[str, str], redirect: str) -> Person:
        """Who came back with this answer of the provider.

        Raises:
            SecurityError: the answer is not to what this browser began, or its token is none for us.
            StoreError: the provider cannot be reached.
        """
        if not hmac.compare_digest(answer.get("state", ""), _derived(secret, "state")):
            raise SecurityError("expected to come back from the sign-in that began here: begin again")
        if answer.get("iss", self._issuer) != self._issuer or "code" not in answer:
            raise SecurityError(
                f"expected the provider to sign you in, it said {answer.get('error', 'nothing')[:80]!r}"
            )
        form = {
            "grant_type": "authorization_code",
            "code": answer["code"],
            "redirect_uri": redirect,
            "client_id": self._client_id,
            "code_verifier": _derived(secret, "verifier"),
            **({} if self._secret is None else {"client_secret": self._secret}),
        }
        tokens = _fetched(_secure(str(self._metadata()["token_endpoint"])), urlencode(form).encode())
        return self._person(str(tokens.get("id_token", "")), _derived(secret, "nonce"))

    def _person(self, token: str, nonce: str) -> Person:
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        try:
            claims = jwt.decode(token, KeySet.import_key_set(self._keys()), algorithms=list(ALGORITHMS)).claims
        except (JoseError, ValueError, KeyError, TypeError):
            with self._lock:
                self._known.pop("keys", None)  # the provider may have others by now: the next one asks
            raise SecurityError("expected an ID token that the provider signed, received another") from None
        now_s, audience = self._clock() / 1000, claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        right = (
            claims.get("iss") == self._issuer
            and self._client_id in audiences
            and (len(audiences) == 1 or claims.get("azp") == self._client_id)
            and isinstance(claims.get("exp"), int | float)
            and claims["exp"] + LEEWAY_S > now_s
            and float(claims.get("iat", now_s)) - LEEWAY_S <= now_s
            and hmac.compare_digest(str(claims.get("nonce")), nonce)
            and bool(claims.get("sub"))
        )
        if not right:
            raise SecurityError("expected an ID token of this sign-in, for this client and of now, received another")
        groups = claims.get(self._claim, ())
        email = claims.get("email") if claims.get("email_verified") is True else None
        return Person(
            name=str(email or f"{claims['sub']} of {urlsplit(self._issuer).hostname}"),
            groups=tuple(map(str, groups if isinstance(groups, list | tuple) else [groups])),
        )

    def _metadata(self) -> Mapping[str, Any]:
        found = self._remembered("metadata", f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if found.get("issuer") != self._issuer:
            raise SecurityError(f"expected metadata of {self._issuer!r}, received that of {found.get('issuer')!r}")
        return found

    def _keys(self) -> Any:
        return self._remembered("keys", _secure(str(self._metadata()["jwks_uri"])))

    def _remembered(self, name: str, address: str) -> Any:
        with self._lock:
            read_ms, value = self._known.get(name, (None, None))
        now_ms = self._clock()
        if read_ms is not None and 0 <= now_ms - read_ms < FRESH_MS:
            return value
        value = _fetched(address, None)
        with self._lock:
            self._known[name] = now_ms, value
        return value


def _derived(secret: str, purpose: str) -> str:
    """What follows from a secret for one purpose: 43 letters, as PKCE wants them."""
    digest = blake3(secret.encode(), derive_key_context=f"bakeoff 2026-11 sign-in {purpose}").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _secure(address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        raise UsageError(f"auth.openid: expected addresses with https, received {address!r}")
    return address


def _fetched(address: str, body: bytes | None) -> dict[str, Any]:
    request = Request(address, body, {"Accept": "application/json"})  # noqa: S310 - `_secure` has looked at it
    try:
        with build_opener(_NoRedirects()).open(request, timeout=TIMEOUT_S) as answer:
            value = json.loads(answer.read(MOST_BYTES)) if answer.status == HTTPStatus.OK else None
    except (URLError, OSError, ValueError) as error:
        raise StoreError(f"cannot sign in with {urlsplit(address).hostname}: {error}; try again later") from error
    if not isinstance(value, dict):
        raise StoreError(f"cannot sign in with {urlsplit(address).hostname}: expected an object of JSON")
    return value
