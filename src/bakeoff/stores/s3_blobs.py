"""Blobs in a bucket of S3, or of a server that speaks its protocol: `s3://BUCKET/PREFIX`.

The objects are those of a folder (`KIND/ab/cd/abcd…`), and so are all rules about them. What differs: nothing is
locked. What is put anew has a new time, and who collects leaves alone what is younger than the grace period, by the
clock of the service. So a grace period must be longer than from a put until a record names it.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bakeoff.core.protocols import Clock
from bakeoff.stores.blobs import Blobs
from bakeoff.stores.bucket import Bucket
from bakeoff.stores.encrypted_objects import EncryptedObjects
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.objects import KINDS, Joined, Kind, Put, apart

__all__ = ["S3Objects", "open_blobs"]

FRESH = timedelta(hours=1)
"""What was put less long ago is not put again, if it is the same: it is younger than every sensible grace period."""
AT_ONCE = 8
RESOLUTION_S = 1
"""Services date objects by whole seconds (HTTP's Last-Modified), and the clock is of such a date."""


def open_blobs(url: str, *, folder: Path, clock: Clock, keyring: Keyring | None = None) -> Blobs:
    """Open the blobs at `s3://BUCKET/PREFIX`, encrypted if there is a keyring; the bucket must be there.

    Raises:
        UsageError: no such URL. MissingExtraError: the client is not installed.
    """
    del folder, clock  # a bucket has its own
    return Blobs(EncryptedObjects(S3Objects(url), keyring or Keyring(), spare=False))


class S3Objects:
    """Objects in a bucket; safe to use from several threads, processes and hosts. Pickled, it is the URL alone."""

    def __init__(self, url: str) -> None:
        self._bucket = Bucket(url)
        self._store = self._bucket.store
        self._clock: datetime | None = None

    def __reduce__(self) -> "tuple[Callable[[str], S3Objects], tuple[str]]":
        return S3Objects, (self._bucket.url,)

    def put(self, kind: Kind, name: str, data: bytes) -> None:
        """Put it, unless the same is there and young; what is damaged or old is put anew."""
        import obstore

        with self._errors():
            there = self._head(self._key(kind, name))
            if there is None or not _same(there, data) or self._now() - there["last_modified"] > FRESH:
                obstore.put(self._store, self._key(kind, name), data, use_multipart=False)

    @contextmanager
    def together(self) -> Generator[Put]:
        """Some at a time; those of kind `whole` are there when it ends, and before any of another kind."""
        waiting = deque[Future[None]]()
        pool = ThreadPoolExecutor(AT_ONCE)

        def put(kind: Kind, name: str, data: bytes) -> None:
            if kind != "whole":
                wait(0)
                self.put(kind, name, data)
                return
            waiting.append(pool.submit(self.put, kind, name, data))
            wait(2 * AT_ONCE)

        def wait(most: int) -> None:
            while len(waiting) > most:
                waiting.popleft().result()

        try:
            yield put
            wait(0)
        finally:
            pool.shutdown(cancel_futures=True)

    def renew(self, names: Sequence[str]) -> list[str]:
        """What is old is put anew; what is young is not fetched. Those that are not there."""
        return _those_not(names, lambda name: self._renew("whole", name) or self._renew("lists", name))

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Those that are not there."""
        return _those_not(names, partial(self.has, "whole"))

    def _renew(self, kind: Kind, name: str) -> bool:
        with self._errors():
            there = self._head(self._key(kind, name))
            old = there is not None and self._now() - there["last_modified"] > FRESH
        if old and (data := self.get(kind, name)) is not None:
            self.put(kind, name, data)
        return there is not None

    def wholes(self, names: Sequence[str]) -> Iterator[bytes | None]:
        """Some at a time, as each is a call over the network."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(names), AT_ONCE):
                yield from pool.map(partial(self.get, "whole"), names[start : start + AT_ONCE])

    def joined(self, names: Sequence[str]) -> Iterator[Joined]:
        """Each is one by itself in a bucket."""
        return apart(self.wholes(names))

    def copies(self, kind: Kind, name: str) -> Iterator[tuple[str, bytes]]:
        """In its one place."""
        if (data := self.get(kind, name)) is not None:
            yield self.where(kind, name), data

    def unreadable(self, *, repair: bool) -> Iterator[tuple[str, str]]:
        """None: every object is one of the bucket's."""
        del repair
        yield from ()

    def get(self, kind: Kind, name: str) -> bytes | None:
        """Its bytes, or None."""
        there = self._bucket.get(self._key(kind, name))
        return None if there is None else there[0]

    def has(self, kind: Kind, name: str) -> bool:
        """Whether it is there."""
        with self._errors():
            return self._head(self._key(kind, name)) is not None

    def where(self, kind: Kind | None = None, name: str = "") -> str:
        """Its URL, or that of all."""
        return self._bucket.where(None if kind is None else self._key(kind, name))

    def names(self, kind: Kind) -> Iterator[str]:
        """Names of all objects of a kind."""
        for path in self._bucket.paths(self._path(kind)):
            yield path.rpartition("/")[2]

    @contextmanager
    def locked(self, *, alone: bool, reads: bool = False) -> Generator[None]:
        """Nothing: times do it (see above)."""
        del alone, reads
        yield

    def rewrite(self, change: Callable[[Kind, str, bytes], bytes | None]) -> int:
        """One by one; those that are written are new."""
        count = 0
        for kind in KINDS:
            for name in self.names(kind):
                data = self.get(kind, name)
                new = None if data is None else change(kind, name, data)
                if new is not None:
                    self.put(kind, name, new)
                    count += 1
        return count

    def put_aside(self, kind: Kind, name: str, whole: Callable[[bytes], bool] | None = None) -> str:
        """Copy a damaged object to `damaged/`, and delete it."""
        import obstore

        del whole  # it lies in one place
        target = self._path("damaged", f"{kind}-{name}")
        with self._errors():
            obstore.copy(self._store, self._key(kind, name), target)
            obstore.delete(self._store, self._key(kind, name))
        return self._bucket.where(target)

    def sweep(self, doomed: Iterable[tuple[Kind, str]], grace_s: float, *, delete: bool = True) -> int:
        """Delete those older than the grace period by the service's clock, whose ages are right to a second.

        Bytes freed, or that would be.
        """
        import obstore

        freed, doomed_paths = 0, list[str]()
        with self._errors():
            youngest = self._now() - timedelta(seconds=grace_s - RESOLUTION_S)
            for kind, name in doomed:
                there = self._head(self._key(kind, name))
                if there is not None and there["last_modified"] <= youngest:
                    freed += there["size"]
                    doomed_paths.append(there["path"])
            if delete and doomed_paths:
                obstore.delete(self._store, doomed_paths)
        return freed

    def problem(self) -> str | None:
        """Why the bucket cannot be used at the moment, as far as is known."""
        return self._bucket.patience.problem(lambda: self.has("whole", "0" * 64))

    def _path(self, *parts: str) -> str:
        return self._bucket.path(*parts)

    def _key(self, kind: Kind, name: str) -> str:
        return self._path(kind, name[:2], name[2:4], name)

    def _head(self, path: str) -> Any:
        return self._bucket.head(path)

    def _errors(self) -> AbstractContextManager[None]:
        return self._bucket.errors()

    def _now(self) -> datetime:
        """The service's time, as it dates objects: looked up once, and counted on from there."""
        import obstore

        clock = self._clock
        if clock is None:
            path = self._path("clock")
            obstore.put(self._store, path, b"", use_multipart=False)
            clock = self._clock = self._head(path)["last_modified"] - timedelta(seconds=time.monotonic())
        return clock + timedelta(seconds=time.monotonic())


def _those_not(names: Sequence[str], there: Callable[[str], bool]) -> list[str]:
    """Those for which it does not hold; some are looked at at a time, as each is a call over the network."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [name for name, here in zip(names, pool.map(there, names), strict=True) if not here]


def _same(there: Any, data: bytes) -> bool:
    """Whether an object has this content, by size and, where the service says it so, MD5."""
    tag = str(there["e_tag"] or "").strip('"')
    return there["size"] == len(data) and tag == hashlib.md5(data, usedforsecurity=False).hexdigest()
