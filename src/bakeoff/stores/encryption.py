"""Encryption at rest: bytes are sealed with a key for the place where they lie, and opened there alone.

Sealed bytes: magic (4), the key's id (8), salt (24), then the content in AES-256-GCM with its tag (16). The salt is a
keyed hash of place and content, and the data key a keyed hash of the salt (BLAKE3): so each content has a data key of
its own, used once, with a nonce of zeros; and the same content at the same place gives the same bytes, which can be
compared with what is there. Magic, id, salt and place are the associated data.

Sources: NIST SP 800-38D (AES-GCM); Rogaway and Shrimpton 2006, "A provable-security treatment of the key-wrap problem"
(an initialization vector made of the content, which may be made twice).
"""

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blake3 import blake3

from bakeoff.core.errors import CorruptError, MissingExtraError, MissingKeyError, SecurityError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["Key", "Keyring", "key_id_of", "new_key", "parse_keys"]

_MAGIC = b"\x00bke"
_ID, _SALT, _TAG = 8, 24, 16
_SEALED = len(_MAGIC) + _ID + _SALT + _TAG
_KEY_BYTES = 32
_NONCE = bytes(12)
_SOURCE = "[store.encryption]"
_AGAIN_S = 1.0
"""For so long a source that lacked a key is not read again: a command may take a while."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key of 32 random bytes, which nothing shows; its id tells nothing of them."""

    secret: bytes = field(repr=False)
    id: bytes = field(init=False, repr=False)
    _salts: bytes = field(init=False, repr=False, compare=False)
    _data: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, size in (("id", _ID), ("_salts", _KEY_BYTES), ("_data", _KEY_BYTES)):
            derived = blake3(self.secret, derive_key_context=f"bakeoff encryption at rest, 2026-11, {name.strip('_')}")
            object.__setattr__(self, name, derived.digest(size))

    def salt(self, place: bytes, content: bytes) -> bytes:
        """What nobody can foresee, and what comes again for the same content at the same place."""
        hasher = blake3(len(place).to_bytes(8, "little") + place, key=self._salts)
        return hasher.update(content).digest(_SALT)

    def cipher(self, salt: bytes) -> "AESGCM":
        """The cipher of one content."""
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ModuleNotFoundError as error:
            raise MissingExtraError.of("encryption at rest", "tls", "cryptography") from error
        return AESGCM(blake3(salt, key=self._data).digest())


def new_key() -> str:
    """A new key as key sources have it: base64 of 32 random bytes."""
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def parse_keys(text: str, *, source: str) -> tuple[Key, ...]:
    """The keys of a text, in base64 or hexadecimal, with lines, spaces or commas between; after # stands a comment.

    Raises:
        UsageError: a line is no key (it is not shown), or there is none.
    """
    keys: list[Key] = []
    words = [(number, word) for number, line in enumerate(text.splitlines(), 1) for word in _words(line)]
    for number, word in words:
        try:
            hexadecimal = len(word) == 2 * _KEY_BYTES
            secret = bytes.fromhex(word) if hexadecimal else base64.b64decode(word, validate=True)
        except (ValueError, binascii.Error):
            secret = b""
        if len(secret) != _KEY_BYTES:
            raise UsageError(
                f"expected {_KEY_BYTES} bytes in base64 or hexadecimal in line {number} of {source}, received "
                f"{len(word)} characters that are none: 'bakeoff keys create --show' makes such a key"
            )
        keys.append(Key(secret))
    if not keys:
        raise UsageError(f"expected a key in {source}, received none: 'bakeoff keys create --show' makes one")
    return tuple(dict.fromkeys(keys))


def _words(line: str) -> list[str]:
    return line.partition("#")[0].replace(",", " ").split()


def key_id_of(stored: bytes) -> str | None:
    """The id of the key that bytes are sealed with; None of plain ones."""
    sealed = stored.startswith(_MAGIC) and len(stored) >= _SEALED
    return stored[len(_MAGIC) : len(_MAGIC) + _ID].hex() if sealed else None


class Keyring:
    """Keys, the newest first: what is written is sealed with that one, what is read with any of them, or plain.

    Pickled, it is where its keys come from, never the keys.

    Args:
        read: gives the text with the keys; called when they are needed, and again for a key that is not known.
            None: nothing is encrypted.
        source: the setting that says where they come from, for messages.
        required: plain bytes are refused.
    """

    def __init__(self, read: Callable[[], str] | None = None, *, source: str = _SOURCE, required: bool = False) -> None:
        self._read, self.source, self.required = read, source, required
        self._keys: tuple[Key, ...] | None = None
        self._again_s = 0.0

    def __bool__(self) -> bool:
        return self._read is not None

    def __reduce__(self) -> "tuple[Callable[..., Keyring], tuple[Callable[[], str] | None, str, bool]]":
        return _keyring, (self._read, self.source, self.required)

    def ids(self) -> list[str]:
        """The ids of its keys, the newest first."""
        return [key.id.hex() for key in self._all()] if self else []

    def seal(self, place: str, content: bytes) -> bytes:
        """The content as it is stored; plain where nothing is encrypted."""
        return self._sealed(self._all()[0], place.encode(), content) if self else content

    def open(self, place: str, stored: bytes) -> bytes:
        """The content of what is stored at a place.

        Raises:
            MissingKeyError: it is sealed with a key that is not here.
            CorruptError: it is not what was sealed for this place.
            SecurityError: it is plain, and that is refused.
        """
        if (key_id := key_id_of(stored)) is None:
            if self.required:
                raise SecurityError(
                    f"expected {place} to be encrypted ({_SOURCE} required = true), received plain bytes: "
                    "run 'bakeoff keys encrypt' without it, if they are yours"
                )
            return stored
        key = self._key(bytes.fromhex(key_id), place)
        start = len(_MAGIC) + _ID
        salt, body = stored[start : start + _SALT], memoryview(stored)[start + _SALT :]
        cipher = key.cipher(salt)
        from cryptography.exceptions import InvalidTag

        try:
            return cipher.decrypt(_NONCE, body, _associated(key, salt, place.encode()))
        except InvalidTag as error:
            raise CorruptError(
                f"{place} is not what was encrypted with key {key_id}: it was changed, cut or put in another's place"
            ) from error

    def keyed_numbers(self, text: str) -> Iterator[int]:
        """By each key, 64 bits (signed) that stand for a text: looked for by who has the key, and by nobody else."""
        for key in self._all() if self else ():
            yield int.from_bytes(key.salt(b"number", text.encode())[:8], "little", signed=True)

    def is_current(self, stored: bytes) -> bool:
        """Whether bytes are sealed with the newest key; plain, where nothing is encrypted."""
        return key_id_of(stored) == (self._all()[0].id.hex() if self else None)

    def _sealed(self, key: Key, place: bytes, content: bytes) -> bytes:
        salt = key.salt(place, content)
        body = key.cipher(salt).encrypt(_NONCE, content, _associated(key, salt, place))
        return b"".join((_MAGIC, key.id, salt, body))

    def _all(self) -> Sequence[Key]:
        keys = self._keys
        return self._reread() if keys is None else keys

    def _reread(self) -> Sequence[Key]:
        keys = () if self._read is None else parse_keys(self._read(), source=self.source)
        self._keys = keys
        return keys

    def _key(self, key_id: bytes, place: str) -> Key:
        key = next((key for key in self._all() if key.id == key_id), None)
        if key is None and time.monotonic() >= self._again_s:  # another process may have added one
            key = next((key for key in self._reread() if key.id == key_id), None)
            self._again_s = time.monotonic() + _AGAIN_S if key is None else self._again_s
        if key is not None:
            return key
        known = f"has {', '.join(self.ids())}" if self else "is not set"
        raise MissingKeyError(
            f"{place} is encrypted with key {key_id.hex()}, and {self.source} {known}: add that key there, as a line "
            "after the newest; nothing was changed"
        )


def _keyring(read: Callable[[], str] | None, source: str, required: bool) -> Keyring:  # noqa: FBT001 - pickle's call
    return Keyring(read, source=source, required=required)


def _associated(key: Key, salt: bytes, place: bytes) -> bytes:
    return b"".join((_MAGIC, key.id, salt, place))
