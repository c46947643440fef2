"""Blobs in a bucket of S3, or of a server that speaks its protocol: `s3://BUCKET/PREFIX`.

The objects are those of a folder (`KIND/ab/cd/abcd…`), and so are all rules about them. What differs: nothing is
locked. What is put anew has a new time, and who collects leaves alone what is younger than the grace period, by the
clock of the service. So a grace period must be longer than from a put until a record names it.

Keys, region and endpoint are read as all clients of AWS read them (`AWS_ACCESS_KEY_ID`, `AWS_REGION`,
`AWS_ENDPOINT_URL`, …); the endpoint and the region may stand in the URL: `s3://BUCKET/PREFIX?endpoint=…&region=…`.
"""

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from bakeoff.core.errors import MissingExtraError, StoreError, UsageError
from bakeoff.core.protocols import Clock
from bakeoff.stores.blobs import Blobs
from bakeoff.stores.encrypted_objects import EncryptedObjects
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.objects import KINDS, Kind, Put
from bakeoff.stores.patience import LostError, Patience

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Store

__all__ = ["S3Objects", "open_blobs"]

FRESH = timedelta(hours=1)
"""What was put less long ago is not put again, if it is the same: it is younger than every sensible grace period."""
TIMEOUTS: "ClientConfig" = {"connect_timeout": "3s", "timeout": "5s"}
"""Of a request; the largest object is a chunk of 2 MiB."""
RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=4)}
OPTIONS = frozenset({"endpoint", "region"})
AT_ONCE = 8
LOST = ("GenericError", "JoinError")
"""Errors of obstore that say that the service could not be asked."""
REFUSED = ("PermissionDeniedError", "UnauthenticatedError")


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
        self._url = url
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.scheme != "s3" or not parts.netloc or options.keys() - OPTIONS:
            raise UsageError(f"expected a URL such as s3://bucket/prefix?endpoint=https://…&region=…, received {url!r}")
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._store = _client(self._bucket, options)
        self._clock: datetime | None = None
        self._patience = Patience(f"the blobs at s3://{self._bucket}")

    def __reduce__(self) -> "tuple[Callable[[str], S3Objects], tuple[str]]":
        return S3Objects, (self._url,)

    def put(self, kind: Kind, name: str, data: bytes) -> None:
        """Put it, unless the same is there and young; what is damaged or old is put anew."""
        import obstore

        with self._errors():
            there = self._head(self._key(kind, name))
            if there is None or not _same(there, data) or self._now() - there["last_modified"] > FRESH:
                obstore.put(self._store, self._key(kind, name), data, use_multipart=False)

    @contextmanager
    def together(self) -> Generator[Put]:
        """One by one: a bucket has no syncs to save."""
        yield self.put

    def renew(self, names: Sequence[str]) -> list[str]:
        """What is old is put anew; what is young is not fetched. Those that are not there."""
        return [name for name in names if not (self._renew("whole", name) | self._renew("lists", name))]

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
        import obstore

        with self._errors():
            try:
                return bytes(obstore.get(self._store, self._key(kind, name)).bytes())
            except FileNotFoundError:
                return None

    def has(self, kind: Kind, name: str) -> bool:
        """Whether it is there."""
        with self._errors():
            return self._head(self._key(kind, name)) is not None

    def where(self, kind: Kind | None = None, name: str = "") -> str:
        """Its URL, or that of all."""
        return f"s3://{self._bucket}/{self._prefix if kind is None else self._key(kind, name)}"

    def names(self, kind: Kind) -> Iterator[str]:
        """Names of all objects of a kind."""
        import obstore

        with self._errors():
            for page in obstore.list(self._store, prefix=self._path(kind)):
                yield from (each["path"].rpartition("/")[2] for each in page)

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
        return f"s3://{self._bucket}/{target}"

    def sweep(self, doomed: Iterable[tuple[Kind, str]], grace_s: float, *, delete: bool = True) -> int:
        """Delete those older than the grace period by the service's clock; bytes freed, or that would be."""
        import obstore

        freed, doomed_paths = 0, list[str]()
        with self._errors():
            now = self._now()
            for kind, name in doomed:
                there = self._head(self._key(kind, name))
                if there is not None and (now - there["last_modified"]).total_seconds() >= grace_s:
                    freed += there["size"]
                    doomed_paths.append(there["path"])
            if delete and doomed_paths:
                obstore.delete(self._store, doomed_paths)
        return freed

    def problem(self) -> str | None:
        """Why the bucket cannot be used at the moment, as far as is known."""
        return self._patience.problem(lambda: self.has("whole", "0" * 64))

    def _path(self, *parts: str) -> str:
        return "/".join(filter(None, (self._prefix, *parts)))

    def _key(self, kind: Kind, name: str) -> str:
        return self._path(kind, name[:2], name[2:4], name)

    def _head(self, path: str) -> Any:
        import obstore

        try:
            return obstore.head(self._store, path)
        except FileNotFoundError:
            return None

    def _now(self) -> datetime:
        """The service's time, as it dates objects: looked up once, and counted on from there."""
        import obstore

        clock = self._clock
        if clock is None:
            path = self._path("clock")
            obstore.put(self._store, path, b"", use_multipart=False)
            clock = self._clock = self._head(path)["last_modified"] - timedelta(seconds=time.monotonic())
        return clock + timedelta(seconds=time.monotonic())

    @contextmanager
    def _errors(self) -> Generator[None]:
        """The client's errors in our words."""
        from obstore.exceptions import BaseError

        with self._patience.asking():
            try:
                yield
            except (BaseError, FileNotFoundError) as error:
                kind, line = type(error).__name__, " ".join(str(error).partition("Debug source")[0].split())
                if kind in LOST and "NoSuchBucket" not in line:
                    raise LostError(
                        f"{self.where()} gave no answer: {line}; check the service and AWS_* here"
                    ) from error
                advice = (
                    "check its keys (AWS_ACCESS_KEY_ID, …)" if kind in REFUSED else "check that the bucket is there"
                )
                raise StoreError(f"cannot use {self.where()}: {line}; {advice}") from error


def _client(bucket: str, options: dict[str, str]) -> "S3Store":
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError as error:
        raise MissingExtraError.of("blobs on S3", "s3", "obstore") from error
    endpoint = options.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    config: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return S3Store(
        bucket,
        region=region or "us-east-1",
        client_options={**TIMEOUTS, "allow_http": (endpoint or "").startswith("http://")},
        retry_config=RETRIES,
        **config,
    )


def _same(there: Any, data: bytes) -> bool:
    """Whether an object has this content, by size and, where the service says it so, MD5."""
    tag = str(there["e_tag"] or "").strip('"')
    return there["size"] == len(data) and tag == hashlib.md5(data, usedforsecurity=False).hexdigest()
