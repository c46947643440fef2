"""What goes wrong, as HTTP: the only place that knows status codes of errors."""

from typing import Any

import msgspec
from starlette.responses import Response

from bakeoff.core.errors import (
    BakeoffError,
    CandidateError,
    ConflictError,
    ContractError,
    DataError,
    NotFoundError,
    SecurityError,
    StoreError,
    UsageError,
)

__all__ = ["HttpError", "JsonResponse", "error_body", "error_response"]

UNAVAILABLE = 503
STATUS: tuple[tuple[type[BakeoffError], int], ...] = (
    (DataError, 422),
    (UsageError, 400),
    (NotFoundError, 404),
    (ConflictError, 409),
    (SecurityError, 403),
    (StoreError, UNAVAILABLE),
    (CandidateError, 500),
)


class HttpError(Exception):
    """A request that never reaches bakeoff's own words: its status, a name and a message."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(status, kind, message)
        self.status, self.kind, self.message = status, kind, message


class JsonResponse(Response):
    """A JSON body written by msgspec (NaN and infinities become null)."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return msgspec.json.encode(content)


def error_response(error: Exception) -> JsonResponse:
    """The answer for an error; what we did not foresee is told without its details."""
    status = _status(error)
    headers = {"retry-after": "1"} if status == UNAVAILABLE else None
    return JsonResponse(error_body(error), status_code=status, headers=headers)


def _status(error: Exception) -> int:
    if isinstance(error, HttpError):
        return error.status
    return next((code for cls, code in STATUS if isinstance(error, cls)), 500)


def error_body(error: Exception) -> dict[str, Any]:
    """What an error says, for answers and for streams whose status is sent already."""
    if isinstance(error, HttpError):
        kind, message = error.kind, error.message
    elif isinstance(error, BakeoffError):
        kind, message = type(error).__name__, str(error)
    else:
        kind, message = "InternalError", "unexpected error; the server's log has the details"
    body: dict[str, Any] = {"message": message, "type": kind}
    if isinstance(error, ContractError):
        body["violations"] = error.violations
    return {"error": body}
