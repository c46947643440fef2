"""A client of an endpoint with the standard library alone: one kept connection, timeouts, our own errors."""

import http.client
import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from bakeoff.core.errors import (
    BakeoffError,
    CandidateError,
    ContractError,
    DataError,
    NotFoundError,
    StoreError,
    UsageError,
)
from bakeoff.core.types import Json

__all__ = ["Client", "EndpointError"]

KINDS: Mapping[str, type[BakeoffError]] = {
    kind.__name__: kind for kind in (DataError, ContractError, NotFoundError, StoreError, CandidateError)
}


class EndpointError(BakeoffError, ConnectionError):
    """An endpoint that does not answer, or with something that is no answer."""


class Client:
    """Talks to one endpoint; not for several threads at once.

    Args:
        url: `http://host:port`, or with `/endpoints/NAME` behind it.
        timeout_s: the longest wait for any one answer.
    """

    def __init__(self, url: str, *, timeout_s: float = 30.0) -> None:
        wrong = UsageError(f"expected the URL of an endpoint (http://host:port), received {url!r}")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise wrong from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise wrong
        make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._connection = make(parts.hostname, port, timeout=timeout_s)

    def predict(self, rows: Sequence[Mapping[str, Json]]) -> dict[str, Any]:
        """Answers for the rows: `{"predictions": […], "model_version", "release_id"}`.

        Raises:
            DataError: a row does not fit. NotFoundError: nothing is released there.
            EndpointError: no answer. StoreError: the endpoint cannot log at the moment.
        """
        return self._post("/predict", {"rows": list(rows)})

    def feedback(self, items: Sequence[Mapping[str, Json]]) -> dict[str, Any]:
        """Send feedback items; the errors of `predict`.

        The answer has `accepted`, `unmatched` and `unusable` (counts that sum to the items), and `problems`: the id,
        kind and reason of the first items that do not count.
        """
        return self._post("/feedback", {"items": list(items)})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            data = json.dumps(body, allow_nan=False).encode()
        except (ValueError, TypeError) as error:
            raise DataError(f"expected values that JSON can hold, found: {error}") from error
        reused = self._connection.sock is not None
        try:
            status, answer = self._exchange(path, data)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if not reused:
                raise self._silent(error) from error
            # The server had closed a connection that lay idle: that says nothing about this call.
            status, answer = self._retried(path, data)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._silent(error) from error
        return self._understood(status, answer)

    def _retried(self, path: str, data: bytes) -> tuple[int, bytes]:
        try:
            return self._exchange(path, data)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._silent(error) from error

    def _exchange(self, path: str, data: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", self._path + path, data, {"content-type": "application/json"})
        response = self._connection.getresponse()
        return response.status, response.read()

    def _silent(self, error: Exception) -> EndpointError:
        return EndpointError(f"no answer from {self.url}: {error or type(error).__name__}; is 'bakeoff serve' running?")

    def _understood(self, status: int, answer: bytes) -> dict[str, Any]:
        try:
            body = json.loads(answer)
            if status == http.client.OK:
                return body
            problem = body["error"]
            message, kind = str(problem["message"]), KINDS.get(problem["type"], EndpointError)
        except (ValueError, KeyError, TypeError) as error:
            raise EndpointError(f"expected JSON from {self.url}, received status {status}: {answer[:80]!r}") from error
        raise kind(message)
