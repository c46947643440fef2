"""Objects that are encrypted in the store below them; their names, which are hashes of their content, stay."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec

from bakeoff.core.errors import CorruptError, MissingKeyError, SecurityError, StoreError
from bakeoff.core.hashing import digest
from bakeoff.stores.encryption import Keyring, key_id_of
from bakeoff.stores.objects import Joined, Kind, Put, StoredObjects, apart

__all__ = ["EncryptedObjects"]


class EncryptedObjects:
    """`StoredObjects` over others; without keys it writes plain ones, and knows what it cannot read from damage.

    Args:
        inner: where they lie.
        keyring: with which keys.
        spare: leave an object that is there under another key as it is when it is put again, where it would else lie
            there twice.
    """

    def __init__(self, inner: StoredObjects, keyring: Keyring, *, spare: bool) -> None:
        self._inner, self._keyring, self._spare = inner, keyring, spare

    def put(self, kind: Kind, name: str, data: bytes) -> None:
        """Durable when it returns."""
        self._inner.put(kind, name, self._sealed(kind, name, data))

    @contextmanager
    def together(self) -> Generator[Put]:
        """As of the store below."""
        with self._inner.together() as put:
            yield lambda kind, name, data: put(kind, name, self._sealed(kind, name, data))

    def renew(self, names: Sequence[str]) -> list[str]:
        """Their time becomes now; those that are not there."""
        return self._inner.renew(names)

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Those that are not there."""
        return self._inner.lacking(names)

    def wholes(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """Opened; where the first place has none that can be, from another."""
        for name, stored in zip(names, self._inner.wholes(names), strict=True):
            try:
                yield None if stored is None else self._opened("whole", name, stored)
            except (CorruptError, SecurityError):
                yield self.get("whole", name)

    def joined(self, names: Sequence[str]) -> Iterator[Joined]:
        """One by one where some may be sealed; without keys, what is sealed comes as it lies, which matches no hash."""
        return apart(self.wholes(names)) if self._keyring else self._inner.joined(names)

    def get(self, kind: Kind, name: str) -> bytes | None:
        """Its content, or None."""
        return next((data for _, data in self.copies(kind, name)), None)

    def copies(self, kind: Kind, name: str) -> Iterator[tuple[str, bytes]]:
        """Where it is, with its content; of what is damaged, the bytes as they lie, which match no hash."""
        refused, count = None, 0
        for where, stored in self._inner.copies(kind, name):
            try:
                content = self._opened(kind, name, stored)
            except SecurityError as error:
                refused = error
                continue
            except CorruptError:
                content = stored
            count += 1
            yield where, content
        if refused is not None and not count:
            raise refused

    def has(self, kind: Kind, name: str) -> bool:
        """Whether it is there."""
        return self._inner.has(kind, name)

    def where(self, kind: Kind | None = None, name: str = "") -> str:
        """Where it lies, or would."""
        return self._inner.where(kind, name)

    def names(self, kind: Kind) -> Iterator[str]:
        """Names of all objects of a kind."""
        return self._inner.names(kind)

    def locked(self, *, alone: bool, reads: bool = False) -> AbstractContextManager[None]:
        """The lock of the store below."""
        return self._inner.locked(alone=alone, reads=reads)

    def problem(self) -> str | None:
        """Why nothing can be put or had at the moment, as far as is known."""
        return self._inner.problem()

    def put_aside(self, kind: Kind, name: str, whole: Callable[[bytes], bool] | None = None) -> str:
        """Move the damaged copies of an object away."""
        is_whole = whole or (lambda content: digest(content) == name)

        def good(stored: bytes) -> bool:
            try:
                return is_whole(self._opened(kind, name, stored))
            except (CorruptError, SecurityError):
                return False

        return self._inner.put_aside(kind, name, good)

    def unreadable(self, *, repair: bool) -> Iterator[tuple[str, str]]:
        """Places of which no object can be told any more."""
        return self._inner.unreadable(repair=repair)

    def sweep(self, doomed: Iterable[tuple[Kind, str]], grace_s: float, *, delete: bool = True) -> int:
        """Delete those older than the grace period."""
        return self._inner.sweep(doomed, grace_s, delete=delete)

    def rewrite(self, change: Callable[[Kind, str, bytes], bytes | None]) -> int:
        """Write again those for whose stored bytes `change` gives others."""
        return self._inner.rewrite(change)

    def encrypt(self, *, look: bool = False) -> tuple[int, int]:
        """Write again what is not under the newest key, or `look` at it: how many objects, and how many are damaged.

        Raises:
            MissingKeyError: the key of an object is not here; those before it have been written.
        """
        count, damaged = 0, set[tuple[Kind, str]]()

        def change(kind: Kind, name: str, stored: bytes) -> bytes | None:
            nonlocal count
            if self._keyring.is_current(stored):
                return None
            try:
                content = stored if key_id_of(stored) is None else self._opened(kind, name, stored)
            except CorruptError:
                content = b""
            if not (_is_list(content) if kind == "lists" else digest(content) == name):
                damaged.add((kind, name))
                return None
            count += 1
            return None if look else self._keyring.seal(_place(kind, name), content)

        self.rewrite(change)
        return count, len(damaged)

    def _opened(self, kind: Kind, name: str, stored: bytes) -> bytes:
        try:
            return self._keyring.open(_place(kind, name), stored)
        except (CorruptError, MissingKeyError):
            if kind != "lists" and digest(stored) == name:
                return stored  # a plain object that begins as sealed ones do: a copy of one, perhaps
            raise

    def _sealed(self, kind: Kind, name: str, data: bytes) -> bytes:
        sealed = self._keyring.seal(_place(kind, name), data)
        if not self._spare or sealed is data:
            return sealed
        for _, stored in self._inner.copies(kind, name):
            try:
                if self._opened(kind, name, stored) == data:
                    return stored
            except (StoreError, SecurityError):
                continue  # it is damaged, or not to be read any more: the new one takes its place
        return sealed


def _is_list(content: bytes) -> bool:
    """Whether it can be a list of chunks, whose name is no hash of it."""
    try:
        return bool(msgspec.json.decode(content, type=list[tuple[str, int]]))
    except msgspec.DecodeError:
        return False


def _place(kind: Kind, name: str) -> str:
    return f"blob {kind}/{name}"
