"""What goes wrong, as HTTP: the only place that knows status codes of errors."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from bakeoff.chat.client import RefusedError, ServiceError
from bakeoff.core.errors import (
    BakeoffError,
    CandidateError,
    ConflictError,
    ContextLengthError,
    ContractError,
    DataError,
    NotFoundError,
    OptionError,
    SecurityError,
    StoreError,
    UsageError,
)
from bakeoff.core.explain import explained
from bakeoff.serve.gateway.allowances import LimitError
from bakeoff.serve.gateway.upstream import FailureKind, UpstreamError

__all__ = [
    "HEADERS",
    "UNAVAILABLE",
    "HttpError",
    "JsonResponse",
    "anthropic_error",
    "error_body",
    "error_response",
    "openai_error",
]
__all__ += ["status_of"]

UNAVAILABLE = 503
HEADERS = {
    UNAVAILABLE: {"retry-after": "1"},
    401: {"www-authenticate": 'Bearer realm="bakeoff", Basic realm="bakeoff"'},
}
SERVER_ERROR = 500
OPENAI, ANTHROPIC, INFERENCE, SCORING = "/v1/", "/v1/messages", "/v2/", "/invocations"
"""Paths under them (those of the last end so) speak other APIs, also of errors: OpenAI's, Anthropic's, the Open
Inference Protocol, MLflow's scoring."""
SCORING_CODES = {404: "RESOURCE_DOES_NOT_EXIST", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED"}
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}
"""Anthropic's names of errors; all others are an `api_error`."""

STATUS: tuple[tuple[type[BakeoffError], int], ...] = (
    (ContextLengthError, 400),
    (DataError, 422),
    (UsageError, 400),
    (NotFoundError, 404),
    (ConflictError, 409),
    (SecurityError, 403),
    (StoreError, UNAVAILABLE),
    (RefusedError, 400),
    (LimitError, 429),
    (ServiceError, 502),
    (CandidateError, 500),
)
UPSTREAM: Mapping[FailureKind, int] = {"silent": 504, "busy": 429, "resting": 503}
"""What a caller gets for failures of the services behind a gateway; for all others 502."""
CODES: tuple[tuple[type[BakeoffError], str], ...] = (
    (ContextLengthError, "context_length_exceeded"),
    (ContractError, "contract_violated"),
    (OptionError, "unsupported_parameter"),
    (NotFoundError, "model_not_found"),
    (RefusedError, "upstream_refused"),
    (LimitError, "rate_limit_exceeded"),
    (ServiceError, "upstream_error"),
    (StoreError, "unavailable"),
)


class HttpError(Exception):
    """A request that never reaches bakeoff's own words.

    Args:
        status: The status code of the answer.
        kind: A name for programs.
        message: Expected, received, what to do.
        param: The key of the request that it is about, if one.
        code: A name for clients of the OpenAI API.
        retry_after_s: When to come again.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        param: str | None = None,
        code: str | None = None,
        *,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(status, kind, message, param, code)
        self.status, self.kind, self.message, self.param, self.code = status, kind, message, param, code
        self.retry_after_s = retry_after_s


class JsonResponse(Response):
    """A JSON body written by msgspec (NaN and infinities become null)."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return msgspec.json.encode(content)


def error_response(error: BaseException, path: str = "/") -> JsonResponse:
    """The answer for an error, in the form of the path's API; what we did not foresee is told without its details."""
    error = explained(error)
    openai = path.startswith(OPENAI)
    status = status_of(error)
    if openai and type(error) is DataError:
        status = 400
    after_s = error.retry_after_s if isinstance(error, HttpError | LimitError | UpstreamError) else None
    after_s = 1 if after_s is None and status == UNAVAILABLE else after_s
    headers = dict(HEADERS.get(status, {})) if after_s is None else {"retry-after": str(math.ceil(after_s))}
    body = openai_error(error, status) if openai else error_body(error)
    if path.startswith(ANTHROPIC):
        body = anthropic_error(error, status)
    elif path.startswith(INFERENCE):
        body = {"error": body["error"]["message"]}
    elif path.endswith(SCORING):
        code = "INTERNAL_ERROR" if status >= SERVER_ERROR else SCORING_CODES.get(status, "BAD_REQUEST")
        body = {"error_code": code, "message": body["error"]["message"]}
    return JsonResponse(body, status_code=status, headers=headers)


def status_of(error: BaseException) -> int:
    """The status code of an error."""
    if isinstance(error, HttpError):
        return error.status
    if isinstance(error, UpstreamError):
        return UPSTREAM.get(error.kind, 502)
    return next((code for cls, code in STATUS if isinstance(error, cls)), SERVER_ERROR)


def error_body(error: BaseException) -> dict[str, Any]:
    """What an error says in our own API."""
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


def openai_error(error: BaseException, status: int | None = None) -> dict[str, Any]:
    """What an error says in the OpenAI API, for answers and for streams whose status is sent already."""
    error = explained(error)
    body = error_body(error)["error"]
    kind = "invalid_request_error" if (status or status_of(error)) < SERVER_ERROR else "server_error"
    return {"error": body | {"type": kind, "param": _param(error), "code": _code(error)}}


def anthropic_error(error: BaseException, status: int | None = None) -> dict[str, Any]:
    """What an error says in Anthropic's API."""
    error = explained(error)
    kind = KINDS.get(status_of(error) if status is None else status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": error_body(error)["error"]["message"]}}


def _param(error: BaseException) -> str | None:
    if isinstance(error, HttpError):
        return error.param
    if isinstance(error, ContextLengthError):
        return "messages"
    return error.option if isinstance(error, OptionError) else None


def _code(error: BaseException) -> str | None:
    if isinstance(error, HttpError):
        return error.code
    return next((code for cls, code in CODES if isinstance(error, cls)), None)
