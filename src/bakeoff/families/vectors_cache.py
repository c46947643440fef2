"""Vectors of texts by content, in one SQLite file that several processes may use at once.

A vector belongs to the encoder's digest and the text's digest; what a killed process had not committed is
simply encoded again.
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
        with self._open() as connection:
            found = self._read(connection, list(by_key))
            lacking = sorted((key for key in by_key if key not in found), key=lambda key: len(by_key[key]))
            for start in range(0, len(lacking), CHUNK):
                part = lacking[start : start + CHUNK]
                encoded = encode([by_key[key] for key in part])
                found.update(zip(part, encoded, strict=True))
                rows = [(key, vector.tobytes()) for key, vector in zip(part, encoded, strict=True)]
                with connection:
                    connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
                progress(f"encoded {start + len(part)} of {len(lacking)} new texts")
        return np.stack([found[key] for key in keys]) if keys else np.empty((0, self._width), dtype=self._dtype)

    def _read(self, connection: sqlite3.Connection, keys: Sequence[bytes]) -> dict[bytes, Vectors]:
        found: dict[bytes, Vectors] = {}
        for start in range(0, len(keys), CHUNK):
            part = keys[start : start + CHUNK]
            marks = ",".join("?" * len(part))
            rows = connection.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)  # noqa: S608
            for key, vector in rows:
                if len(vector) == self._dtype.itemsize * self._width:  # else made by something else: encode again
                    found[key] = np.frombuffer(vector, dtype=self._dtype)
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
