"""A bucket of S3, or of a server that speaks its protocol: `s3://BUCKET/PREFIX`.

Keys, region and endpoint are read as all clients of AWS read them (`AWS_ACCESS_KEY_ID`, `AWS_REGION`,
`AWS_ENDPOINT_URL`, …); they, and how many seconds a request may take, may stand in the URL:
`s3://BUCKET/PREFIX?endpoint=…&region=…&timeout=…`.
"""

import os
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from bakeoff.core.errors import MissingExtraError, StoreError, UsageError
from bakeoff.stores.patience import LostError, Patience

if TYPE_CHECKING:
    from obstore.store import RetryConfig, S3Store

__all__ = ["Bucket"]

CONNECT_TIMEOUT = "3s"
TIMEOUT_S = 5.0
"""Of a request; the largest object is a chunk of 2 MiB."""
RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": timedelta(seconds=4)}
OPTIONS = frozenset({"endpoint", "region", "timeout"})
LOST = ("GenericError", "JoinError")
"""Errors of obstore that say that the service could not be asked."""
CHANGED = ("AlreadyExistsError", "PreconditionError")
"""Those that say that an object is not what it was expected to be."""
REFUSED = ("PermissionDeniedError", "UnauthenticatedError")
STATUS = re.compile(r"status code: (\d{3})")
REFUSALS = frozenset({"401", "403"})
ROLE = "169.254.169.254"
"""Where a machine of AWS asks for the keys of its role."""


class Bucket:
    """What is below a prefix of a bucket; safe to use from several threads.

    Raises:
        UsageError: no such URL. MissingExtraError: the client is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.scheme != "s3" or not parts.netloc or options.keys() - OPTIONS:
            raise UsageError(f"expected a URL such as s3://bucket/prefix?endpoint=https://…&region=…, received {url!r}")
        self._name, self._prefix = parts.netloc, parts.path.strip("/")
        self.store = _client(self._name, options, url)
        self.patience = Patience(f"the blobs at s3://{self._name}")

    def path(self, *parts: str) -> str:
        """The key of what is called so below the prefix."""
        return "/".join(filter(None, (self._prefix, *parts)))

    def where(self, path: str | None = None) -> str:
        """The URL of a key, or of all."""
        return f"s3://{self._name}/{self._prefix if path is None else path}"

    def head(self, path: str) -> Any:
        """What is known of an object; None: it is not there."""
        import obstore

        try:
            return obstore.head(self.store, path)
        except FileNotFoundError:
            return None

    def get(self, path: str) -> tuple[bytes, str] | None:
        """The bytes of an object and its revision (an ETag), or None."""
        import obstore

        with self.errors():
            try:
                result = obstore.get(self.store, path)
                return bytes(result.bytes()), str(result.meta["e_tag"] or "")
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def put_if(self, path: str, data: bytes, expected: str | None) -> bool:
        """Put an object that has this revision (None: is not there yet); whether it had."""
        import obstore
        from obstore.exceptions import BaseError

        with self.errors():
            mode: Any = "create" if expected is None else {"e_tag": expected}
            try:
                obstore.put(self.store, path, data, mode=mode, use_multipart=False)
            except BaseError as error:
                if type(error).__name__ not in CHANGED or "NoSuchBucket" in str(error):
                    raise
                return False
            return True

    def paths(self, below: str) -> Iterator[str]:
        """The keys of all objects below a key."""
        import obstore

        with self.errors():
            for page in obstore.list(self.store, prefix=below):
                yield from (each["path"] for each in page)

    @contextmanager
    def errors(self) -> Generator[None]:
        """The client's errors in our words."""
        from obstore.exceptions import BaseError

        with self.patience.asking():
            try:
                yield
            except (BaseError, FileNotFoundError) as error:
                raise self._in_words(error) from error

    def _in_words(self, error: Exception) -> StoreError:
        kind, line = type(error).__name__, " ".join(str(error).partition("Debug source")[0].split())
        status = STATUS.search(line)
        if kind in LOST and ROLE in line:
            return LostError(
                f"cannot use {self.where()}: no keys are set here (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), and "
                f"this machine has no role that gives some: {line}"
            )
        refused = kind in REFUSED or (status is not None and status[1] in REFUSALS)
        if kind in LOST and not refused and "NoSuchBucket" not in line:
            return LostError(f"{self.where()} gave no answer: {line}; check the service and AWS_* here")
        advice = "check its keys (AWS_ACCESS_KEY_ID, …)" if refused else "check that the bucket is there"
        return StoreError(f"cannot use {self.where()}: {line}; {advice}")


def _client(bucket: str, options: dict[str, str], url: str) -> "S3Store":
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
        client_options={
            "connect_timeout": CONNECT_TIMEOUT,
            "timeout": timedelta(seconds=_timeout_s(options, url)),
            "allow_http": (endpoint or "").startswith("http://"),
        },
        retry_config=RETRIES,
        **config,
    )


def _timeout_s(options: dict[str, str], url: str) -> float:
    text = options.get("timeout", str(TIMEOUT_S))
    if not re.fullmatch(r"\d{1,4}(\.\d{1,3})?", text) or not float(text):
        raise UsageError(f"expected the seconds that a request may take, as in ?timeout=60, received {url!r}")
    return float(text)
