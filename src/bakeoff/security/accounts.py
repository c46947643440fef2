"""Accounts of people: a name, roles, and a password that only its hash is stored of (argon2id).

Who guesses is slowed: after some failures a name is closed for a while. An unknown name takes as long as a wrong
password, and is answered alike.
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

from bakeoff.core import narrow
from bakeoff.core.errors import ConflictError, MissingExtraError, NotFoundError, UsageError
from bakeoff.core.principals import parsed_scopes
from bakeoff.core.protocols import Clock, DocumentRecords
from bakeoff.core.records import DocumentChange
from bakeoff.core.types import Json
from bakeoff.security.audit import apply_with
from bakeoff.security.roles import Roles

__all__ = ["Account", "Accounts"]

ACCOUNTS = "accounts"
SHORTEST, LONGEST = 12, 1024
FAILURES, CLOSED_MS = 5, 15 * 60_000
MOST_NAMES = 10_000
COSTS: Mapping[str, Any] = MappingProxyType({})
"""What a hash costs, where that is not what argon2-cffi recommends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person who may sign in, without the password."""

    name: str
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    created_ms: int


Audit: TypeAlias = Callable[[Account], Iterable[DocumentChange]]
"""The record of a change, to be written in one commit with it."""


class Accounts:
    """The accounts of a project; safe to call from many threads.

    Args:
        documents: where they are.
        roles: the project's roles.
        clock: milliseconds since 1970.

    Raises:
        MissingExtraError: argon2-cffi is not installed.
    """

    def __init__(self, documents: DocumentRecords, roles: Roles, clock: Clock) -> None:
        try:
            from argon2 import PasswordHasher
        except ModuleNotFoundError:
            raise MissingExtraError.of("Accounts of people", "people", "argon2") from None
        self._documents, self._roles, self._clock = documents, roles, clock
        self._hasher: Any = PasswordHasher(**COSTS)
        self._lock = threading.Lock()
        self._failures: dict[str, tuple[int, int]] = {}
        self._nobody = ""

    def add(
        self,
        name: str,
        password: str,
        *,
        roles: Sequence[str],
        scopes: Sequence[str] = (),
        audit: Audit | None = None,
    ) -> Account:
        """A new account; what `audit` gives is written in the same commit.

        Raises:
            UsageError: the password is too short, or there is no such role or scope. ConflictError: the name is taken.
        """
        if not SHORTEST <= len(password) <= LONGEST:
            raise UsageError(f"expected a password of {SHORTEST} to {LONGEST} characters, received {len(password)}")
        if not name.strip() or len(name) > LONGEST or not roles:
            raise UsageError(
                f"expected a name of at most {LONGEST} characters and a role, received {name!r} and {list(roles)!r}"
            )
        self._roles.permissions(roles)
        parsed_scopes(scopes)
        body: dict[str, Json] = {
            "name": name,
            "roles": list(roles),
            "scopes": list(scopes),
            "created_ms": self._clock(),
            "hash": self._hasher.hash(password),
        }
        account = _account(body)

        def changes() -> list[DocumentChange]:
            if self._documents.get(ACCOUNTS, name) is not None:
                raise ConflictError(f"expected a name that nobody has yet, {name!r} is taken")
            change = DocumentChange(collection=ACCOUNTS, key=name, body=body, expected=0)
            return [change, *(audit(account) if audit else ())]

        apply_with(self._documents, changes)
        return account

    def all(self) -> list[Account]:
        """Every account, by name."""
        return [_account(each.body) for each in self._documents.find(ACCOUNTS)]

    def remove(self, name: str, *, audit: Audit | None = None) -> Account:
        """Take an account away, and write what `audit` gives in the same commit.

        Raises:
            NotFoundError: there is none.
        """
        document = self._documents.get(ACCOUNTS, name)
        if document is None:
            raise NotFoundError(f"expected the name of an account, received {name!r}; 'bakeoff people list' has all")
        account = _account(document.body)
        change = DocumentChange(collection=ACCOUNTS, key=name, body=None)
        apply_with(self._documents, lambda: [change, *(audit(account) if audit else ())])
        return account

    def signed_in(self, name: str, password: str) -> Account | None:
        """The account, when name and password are right and the name is not closed for having been guessed at."""
        from argon2.exceptions import InvalidHashError, VerificationError

        with self._lock:  # one hash at a time: each takes 64 MiB
            # Before any name is looked up, so that the first one of a process takes as long whether it is known or not.
            self._nobody = self._nobody or self._hasher.hash("nobody has this password")
            now_ms = self._clock()
            count, since_ms = self._failures.get(name, (0, now_ms))
            if now_ms - since_ms >= CLOSED_MS:
                count, since_ms = 0, now_ms
            document = self._documents.get(ACCOUNTS, name) if len(name) <= LONGEST else None
            known = self._nobody if document is None else narrow.text(document.body["hash"])
            try:
                right = self._hasher.verify(known, password[:LONGEST]) and document is not None
            except (VerificationError, InvalidHashError):
                right = False
            if document is not None and right and count < FAILURES:
                self._failures.pop(name, None)
                return _account(document.body)
            if len(name) > LONGEST:  # nobody is called so: there is nothing to close
                return None
            if len(self._failures) > MOST_NAMES:
                self._failures.clear()
            self._failures[name] = count + 1, since_ms
            return None


def _account(body: Mapping[str, Json]) -> Account:
    return Account(
        name=narrow.text(body["name"]),
        roles=tuple(narrow.texts(body["roles"])),
        scopes=tuple(narrow.texts(body["scopes"])),
        created_ms=narrow.whole(body["created_ms"]),
    )
