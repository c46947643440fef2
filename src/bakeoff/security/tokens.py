"""Service tokens: random, shown once, stored hashed, with roles, scopes and an end, revoked within a second.

A token is `bkf_ID_SECRET`. The secret has 256 random bits, so that nobody finds it by trying, whatever the hash costs:
BLAKE3 under a key of its own purpose is enough, and each request pays a microsecond for it. (What people choose
themselves would need a slow hash.) A stolen copy of the records holds no secret that a server takes.
"""

import hmac
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from blake3 import blake3

from bakeoff.core import narrow
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.principals import SERVICE, Principal, parsed_scopes
from bakeoff.core.protocols import Clock, DocumentRecords
from bakeoff.core.records import Document, DocumentChange
from bakeoff.core.types import Json
from bakeoff.security.audit import apply_with
from bakeoff.security.roles import Roles

__all__ = ["AccessToken", "AccessTokens"]

PREFIXES = {"token": "bkf", "session": "bks"}
PURPOSE = "bakeoff 2026-11 service tokens"
MOST_KNOWN = 10_000
FRESH_MS = 500
"""How long a server believes what it has read of a token: a revoked one is refused after that in every process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What is known of a token: all but its secret. Times are milliseconds since 1970."""

    id: str
    name: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None = None

    def valid(self, now_ms: int) -> bool:
        """Whether a server takes it."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)


Audit: TypeAlias = Callable[[AccessToken], Iterable[DocumentChange]]
"""The record of a change, to be written in one commit with it."""


class AccessTokens:
    """The tokens of a project; safe to call from many threads.

    Args:
        documents: where they are.
        roles: the project's roles.
        clock: milliseconds since 1970.
        kind: "token", or "session": what a browser has of somebody who signed in.
    """

    def __init__(
        self, documents: DocumentRecords, roles: Roles, clock: Clock, *, kind: Literal["token", "session"] = "token"
    ) -> None:
        self._documents, self._roles, self._clock = documents, roles, clock
        self._kind, self._collection = kind, f"{kind}s"
        self._shape = re.compile(rf"{PREFIXES[kind]}_([0-9a-f]{{16}})_([A-Za-z0-9_-]{{43}})")
        self._lock = threading.Lock()
        self._known: dict[str, tuple[int, AccessToken | None, bytes]] = {}
        self._principals: dict[str, tuple[int, int | None, Principal]] = {}

    def create(
        self,
        name: str,
        *,
        roles: Sequence[str],
        scopes: Sequence[str] = (),
        lifetime_ms: int | None = None,
        until_ms: int | None = None,
        audit: Audit | None = None,
    ) -> tuple[AccessToken, str]:
        """A new token, and the text that its owner calls with, which nobody can read again.

        It ends after `lifetime_ms`, and at the moment `until_ms`, whichever comes first. What `audit` gives is written
        in the same commit. A new session takes those away that have ended.

        Raises:
            UsageError: no name that can be shown, no role or one that there is not, a scope that means nothing, or an
                end that is past.
        """
        if not name.strip() or not name.isprintable():
            raise UsageError(f"expected a name of printable characters, received {name!r}")
        if not roles:
            raise UsageError(f"expected a role of {', '.join(self._roles.names)}; received none")
        self._roles.permissions(roles)
        parsed_scopes(scopes)
        if lifetime_ms is not None and lifetime_ms <= 0:
            raise UsageError(f"expected a time until the token ends, received {lifetime_ms} ms")
        now_ms, identity, secret = self._clock(), secrets.token_hex(8), secrets.token_urlsafe(32)
        ends = [None if lifetime_ms is None else now_ms + lifetime_ms, until_ms]
        token = AccessToken(
            id=identity,
            name=name,
            roles=tuple(roles),
            scopes=tuple(scopes),
            created_ms=now_ms,
            expires_ms=min((each for each in ends if each is not None), default=None),
        )
        body = _body(token) | {"hash": _hash(secret).hex()}
        change = DocumentChange(collection=self._collection, key=identity, body=body, expected=0)
        apply_with(self._documents, lambda: [change, *(audit(token) if audit else ())])
        if self._kind == "session":
            for each in self.all():
                if not each.valid(now_ms):
                    self._documents.delete(self._collection, each.id)
        return token, f"{PREFIXES[self._kind]}_{identity}_{secret}"

    def all(self) -> list[AccessToken]:
        """Every token, also those that have ended, newest first."""
        tokens = [_token(document) for document in self._documents.find(self._collection)]
        return sorted(tokens, key=lambda each: each.created_ms, reverse=True)

    def revoke(self, token: str, *, audit: Audit | None = None) -> AccessToken:
        """End a token now, by its id or its name, and write what `audit` gives in the same commit.

        Raises:
            NotFoundError: there is none. UsageError: several are called so.
        """
        identity = token if self._kind == "session" else self._id_of(token)
        ended = self._document(identity)

        def changes() -> list[DocumentChange]:
            nonlocal ended
            ended = self._document(identity)
            made = list[DocumentChange]()
            if ended.body.get("revoked_ms") is None:
                revision, body = ended.revision, dict(ended.body) | {"revoked_ms": self._clock()}
                ended = replace(ended, body=body)
                made.append(DocumentChange(collection=self._collection, key=identity, body=body, expected=revision))
            return [*made, *(audit(_token(ended)) if audit else ())]

        apply_with(self._documents, changes)
        with self._lock:  # here at once, in other processes when what they know is stale
            self._known.pop(identity, None)
            self._principals = {t: p for t, p in self._principals.items() if self.identity(t) != identity}
        return _token(ended)

    def _document(self, identity: str) -> Document:
        document = self._documents.get(self._collection, identity)
        if document is None:
            raise NotFoundError(
                f"expected the id or name of a {self._kind}, received {identity!r}; 'bakeoff tokens list' has all"
            )
        return document

    def _id_of(self, token: str) -> str:
        named = [each for each in self.all() if token in {each.id, each.name}]
        valid = [each for each in named if each.revoked_ms is None] or named
        if len(valid) > 1:
            ids = ", ".join(each.id for each in valid)
            raise UsageError(f"expected one token, found {len(valid)} that are called {token!r}; name its id: {ids}")
        return valid[0].id if valid else token

    def of(self, text: str) -> AccessToken | None:
        """The valid token that a text calls with, read of the records now, with those of its roles that there are."""
        shape = self._shape.fullmatch(text)
        document = None if shape is None else self._documents.get(self._collection, shape[1])
        if shape is None or document is None:
            return None
        same = hmac.compare_digest(_hash(shape[2]).hex(), narrow.text(document.body["hash"]))
        token = _token(document)
        roles = tuple(role for role in token.roles if role in self._roles.names)
        return replace(token, roles=roles) if same and roles and token.valid(self._clock()) else None

    def end_all(self, name: str, *, audit: Audit | None = None) -> list[AccessToken]:
        """End all valid ones that are called so, each with what `audit` gives in one commit; those that were ended."""
        ended = list[AccessToken]()
        for each in self.all():
            if each.name == name and each.valid(self._clock()):
                with suppress(NotFoundError):  # another ended it, and a sign-in took it away
                    ended.append(self.revoke(each.id, audit=audit))
        return ended

    def identity(self, text: str) -> str | None:
        """The id in a text that has the form of one of these; None of another."""
        shape = self._shape.fullmatch(text)
        return None if shape is None else shape[1]

    def is_fresh(self, text: str) -> bool:
        """Whether `principal` answers without asking the records."""
        if self.remembered(text) is not None:
            return True
        shape = self._shape.fullmatch(text)
        if shape is None:
            return True
        with self._lock:
            read_ms, _, _ = self._known.get(shape[1], (None, None, b""))
        return read_ms is not None and 0 <= self._clock() - read_ms < FRESH_MS

    def principal(self, text: str) -> Principal | None:
        """Who calls with this text; None when no valid token has it."""
        if (principal := self.remembered(text)) is not None:
            return principal
        shape = self._shape.fullmatch(text)
        if shape is None:
            return None
        read_ms, token, expected = self._read(shape[1])
        # Compared even where there is none, so that an id that exists takes as long as one that does not.
        same = hmac.compare_digest(_hash(shape[2]), expected)
        if token is None or not same or not token.valid(self._clock()):
            return None
        permissions = self._roles.permissions([role for role in token.roles if role in self._roles.names])
        name = f"{SERVICE}{token.name}" if self._kind == "token" else token.name
        form_token = _form_token(text) if self._kind == "session" else None
        scopes = parsed_scopes(token.scopes)
        principal = Principal(name=name, permissions=permissions, scopes=scopes, form_token=form_token)
        with self._lock:
            if len(self._principals) > MOST_KNOWN:
                self._principals.clear()
            self._principals[text] = read_ms, token.expires_ms, principal
        return principal

    def remembered(self, text: str) -> Principal | None:
        """Who called with this text a moment ago, if that was read of the records lately and has not ended."""
        known = self._principals.get(text)
        if known is None:
            return None
        read_ms, expires_ms, principal = known
        now_ms = self._clock()
        fresh = 0 <= now_ms - read_ms < FRESH_MS and (expires_ms is None or now_ms < expires_ms)
        return principal if fresh else None

    def _read(self, identity: str) -> tuple[int, AccessToken | None, bytes]:
        now_ms = self._clock()
        with self._lock:
            read_ms, token, expected = self._known.get(identity, (None, None, b""))
            if read_ms is not None and 0 <= now_ms - read_ms < FRESH_MS:
                return read_ms, token, expected
        document = self._documents.get(self._collection, identity)
        token = None if document is None else _token(document)
        expected = bytes(32) if document is None else bytes.fromhex(narrow.text(document.body["hash"]))
        with self._lock:
            if len(self._known) > MOST_KNOWN:  # ids that somebody makes up must not fill the memory
                self._known.clear()
            self._known[identity] = now_ms, token, expected
        return now_ms, token, expected


def _hash(secret: str) -> bytes:
    return blake3(secret.encode(), derive_key_context=PURPOSE).digest()


def _form_token(session: str) -> str:
    """What forms of a session hold, and no other site knows."""
    return blake3(session.encode(), derive_key_context="bakeoff 2026-11 forms of a session").hexdigest()


def _body(token: AccessToken) -> dict[str, Json]:
    return {
        "name": token.name,
        "roles": list(token.roles),
        "scopes": list(token.scopes),
        "created_ms": token.created_ms,
        "expires_ms": token.expires_ms,
        "revoked_ms": token.revoked_ms,
    }


def _token(document: Document) -> AccessToken:
    body = document.body
    return AccessToken(
        id=document.key,
        name=narrow.text(body["name"]),
        roles=tuple(narrow.texts(body["roles"])),
        scopes=tuple(narrow.texts(body["scopes"])),
        created_ms=narrow.whole(body["created_ms"]),
        expires_ms=None if body["expires_ms"] is None else narrow.whole(body["expires_ms"]),
        revoked_ms=None if body["revoked_ms"] is None else narrow.whole(body["revoked_ms"]),
    )
