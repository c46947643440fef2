"""Vectors of texts by content, in one SQLite file that several processes may use at once.

A vector belongs to the encoder's digest and the text's digest; what a killed process had not committed is
simply encoded again, and so is what is not as it was written: a checksum stands behind each vector.
"""

import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

__all__ = ["VectorCache"]

Vectors: TypeAlias = NDArray[Any]

TABLE = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
CHUNK = 512
"""Texts between two commits: what a kill can lose."""
WAIT_S = 60.0


class VectorCache:
    """Vectors of one encoder in `folder`; `encoder` is the digest of all that decides them."""

    def __init__(self, folder: Path, encoder: str, width: int, *, dtype: type[np.floating[Any]] = np.float16) -> None:
        self._path = folder / "vectors.sqlite"
        self._encoder = encoder.encode()
        self._width = width
        self._dtype = np.dtype(dtype)

    def vectors(
        self,
        texts: Sequence[str],
        encode: Callable[[Sequence[str]], Vectors],
        progress: Callable[[str], None] = lambda _: None,
    ) -> Vectors:
        """The vectors (n, width) of texts; those that are not kept yet are encoded, each text once."""
        keys = [blake3(self._encoder + b"\0" + text.encode()).digest() for text in texts]
        by_key = dict(zip(keys, texts, strict=True))
        try:
            found = self._found(by_key, encode, progress)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            self._path.unlink()  # damaged: it is only a cache, start anew
            found = self._found(by_key, encode, progress)
        return np.stack([found[key] for key in keys]) if keys else np.empty((0, self._width), dtype=self._dtype)

    def _found(
        self,
        by_key: dict[bytes, str],
        encode: Callable[[Sequence[str]], Vectors],
        progress: Callable[[str], None],
    ) -> dict[bytes, Vectors]:
        with self._open() as connection:
            found = self._read(connection, list(by_key))
            lacking = sorted((key for key in by_key if key not in found), key=lambda key: len(by_key[key]))
            for start in range(0, len(lacking), CHUNK):
                part = lacking[start : start + CHUNK]
                encoded = encode([by_key[key] for key in part])
                found.update(zip(part, encoded, strict=True))
                vectors = [(key, vector.tobytes()) for key, vector in zip(part, encoded, strict=True)]
                rows = [(key, vector + _check(key, vector)) for key, vector in vectors]
                with connection:
                    connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
                progress(f"encoded {start + len(part)} of {len(lacking)} new texts")
        return found

    def _read(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        found: dict[bytes, Vectors] = {}
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            marks = ",".join("?" * len(part))
            rows = connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)  # noqa: S608
            for key, vector in rows:
                size = self._dtype.itemsize * self._width
                data, check = vector[:size], vector[size:]
                # Vectors of before have no checksum; what is of another length was made by something else.
                if len(data) == size and check in {b"", _check(key, data)}:
                    found[key] = np.frombuffer(data, dtype=self._dtype)
        return found

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=WAIT_S)) as connection:
            try:
                connection.execute(TABLE)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self._path.unlink()  # no database: it is only a cache, start anew
                with closing(sqlite3.connect(self._path, timeout=WAIT_S)) as fresh:
                    fresh.execute(TABLE)
                    yield fresh
                return
            yield connection


def _check(key: bytes, vector: bytes) -> bytes:
    return blake3(key + vector).digest(8)
