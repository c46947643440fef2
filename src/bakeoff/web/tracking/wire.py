"""MLflow's way to write requests, answers and errors.

Facts of the protocol: MLflow 3.18, `mlflow/protos/service.proto` and its REST documentation. Numbers of 64 bits are
JSON numbers, NaN and the infinities are texts, and an error is `{"error_code": …, "message": …}` with a status of its
code.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bakeoff.core.errors import BakeoffError, ConflictError, NotFoundError, SecurityError, UsageError
from bakeoff.core.types import Json

__all__ = [
    "MISSING",
    "STATUS",
    "TrackingError",
    "Want",
    "answer",
    "arguments",
    "bounded",
    "enum_of",
    "exists",
    "float_of",
    "int_of",
    "invalid",
    "invalid_value",
    "missing",
    "number",
    "of_pairs",
    "paged",
    "pairs",
    "refusal",
    "rejected",
    "required",
    "snake",
    "unknown",
]

Shape: TypeAlias = Literal["text", "int", "float", "bool", "list", "texts", "any"]
STATUS: Mapping[str, int] = {
    "INVALID_PARAMETER_VALUE": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "BAD_REQUEST": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "NOT_FOUND": 404,
    "RESOURCE_CONFLICT": 409,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "INVALID_STATE": 500,
    "INTERNAL_ERROR": 500,
    "NOT_IMPLEMENTED": 501,
    "TEMPORARILY_UNAVAILABLE": 503,
}
RETRIED, RETRY_S = frozenset({429, 503}), 1
JSON = "application/json"
MOST_BODY = 16 * 2**20
SEE = " See the API docs for more information about request parameters."
MISSING = "Missing value for required parameter '{}'."


class TrackingError(Exception):
    """A refusal in MLflow's words: its code, and what is said."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def invalid(message: str) -> TrackingError:
    """A value that cannot be used."""
    return TrackingError("INVALID_PARAMETER_VALUE", message)


def unknown(message: str) -> TrackingError:
    """Something that there is none of."""
    return TrackingError("RESOURCE_DOES_NOT_EXIST", message)


def exists(message: str) -> TrackingError:
    """Something that there is one of already."""
    return TrackingError("RESOURCE_ALREADY_EXISTS", message)


def missing(name: str) -> TrackingError:
    """A value that must be given."""
    return invalid(MISSING.format(name))


def invalid_value(name: str, value: object, why: str = "") -> TrackingError:
    """A value that cannot be used, with its name, as clients look for it in the message."""
    shown = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return invalid(f"Invalid value {shown} for parameter '{name}' supplied{': ' + why if why else '.'}")


def refusal(error: Exception) -> TrackingError:
    """An error of ours in MLflow's words."""
    if isinstance(error, TrackingError):
        return error
    if isinstance(error, NotFoundError):
        return unknown(str(error))
    if isinstance(error, ConflictError):
        return TrackingError("RESOURCE_CONFLICT", str(error))
    if isinstance(error, UsageError):
        return invalid(str(error))
    if isinstance(error, SecurityError):
        return TrackingError("PERMISSION_DENIED", str(error))
    code = "TEMPORARILY_UNAVAILABLE" if isinstance(error, BakeoffError) else "INTERNAL_ERROR"
    return TrackingError(code, str(error) if isinstance(error, BakeoffError) else "the server failed; its log says why")


def rejected(error: TrackingError) -> Response:
    """An error as a response."""
    status = STATUS.get(error.code, 400)
    response = answer({"error_code": error.code, "message": error.message}, status=status)
    if status in RETRIED:
        response.headers["retry-after"] = str(RETRY_S)
    return response


def answer(body: object, *, status: int = 200) -> Response:
    """JSON as a response."""
    return Response(msgspec.json.encode(body), status_code=status, media_type=JSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """What an argument must be: its shape, whether it must be given, and what else must hold of it.

    `most` is the largest number, with the message that clients look for; `of` is the type of the message, or of those
    in the list.
    """

    shape: Shape = "text"
    required: bool = False
    most: int | None = None
    of: Any = None
    check: Callable[[Any], None] | None = None


def required(shape: Shape = "text", *, of: Any = None) -> Want:
    """An argument that must be given."""
    return Want(shape=shape, required=True, of=of)


def arguments(
    request: Request, raw: bytes, wanted: Mapping[str, Want], whole: msgspec.json.Decoder[Any] | None = None
) -> dict[str, Any]:
    """The arguments of a call, from its path and its query or JSON body, each checked as MLflow checks it.

    `whole` reads a body as nearly all clients write it at once; what it does not take is read, or refused, as others.
    """
    if whole is not None and _is_json(request):
        try:
            return msgspec.structs.asdict(whole.decode(raw))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    given = _query(request, wanted) if request.method == "GET" else _body(request, raw)
    if request.method == "DELETE":
        given = {**_query(request, wanted), **given}
    given |= request.path_params
    if "run_id" in wanted and given.get("run_id") is None and "run_uuid" in given:
        given["run_id"] = given["run_uuid"]
    return {**given, **{name: _checked(name, want, given) for name, want in wanted.items()}}


def _query(request: Request, wanted: Mapping[str, Want]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for name in request.query_params:
        values = request.query_params.getlist(name)
        want = wanted.get(name)
        given[name] = values if want is not None and want.shape in {"list", "texts"} else values[-1]
    return given


def _body(request: Request, raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        return {}
    if not _is_json(request):
        kind = _media_type(request)
        raise invalid(f"Bad Request. Content-Type must be one of ['application/json'], received {kind!r}")
    try:
        body = msgspec.json.decode(raw)
        if isinstance(body, str):  # old clients encode twice
            body = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise TrackingError("BAD_REQUEST", "expected a JSON object as the body") from None
    if not isinstance(body, dict):
        raise TrackingError("BAD_REQUEST", "expected a JSON object as the body")
    return body


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", JSON).partition(";")[0].strip()


def _is_json(request: Request) -> bool:
    return _media_type(request) == JSON


async def bounded(request: Request, *, most: int = MOST_BODY, longer: TrackingError | None = None) -> bytes:
    """A body of at most so many bytes; `longer` is the refusal of others, which are not read to their end."""
    pieces, size, more = list[bytes](), 0, True
    while more:
        message = await request.receive()
        if message["type"] != "http.request":
            raise ClientDisconnect
        pieces.append(message.get("body", b""))
        size, more = size + len(pieces[-1]), message.get("more_body", False)
        if size > most:
            raise longer or TrackingError("BAD_REQUEST", f"expected a body of at most {most} bytes; split it up")
    return b"".join(pieces) if len(pieces) > 1 else pieces[0]


def _checked(name: str, want: Want, given: Mapping[str, Any]) -> Any:
    value = given.get(name)
    if value is None or (want.required and value in ("", [])):
        if want.required:
            raise invalid(MISSING.format(name) + SEE)
        return [] if want.shape in {"list", "texts"} else None
    value = _SHAPES[want.shape](name, value)
    if want.most is not None and value > want.most:
        raise _not(name, value)
    if want.of is not None:
        for at, each in enumerate(value) if want.shape == "list" else [(None, value)]:
            _message(name if at is None else f"{name}[{at}]", each, want.of)
    if want.check is not None:
        want.check(value)
    return value


def _message(name: str, value: object, kind: Any) -> None:
    try:
        msgspec.convert(value, kind, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise invalid(f"{_not(name, value).message} {error}") from None


def _not(name: str, value: object) -> TrackingError:
    error = invalid_value(name, value, f" Hint: Value was of type '{type(value).__name__}'.")
    return invalid(error.message + SEE)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _not(name, value)
    return value


def int_of(name: str, value: object) -> int:
    """A whole number of 64 bits, which clients may write as text."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    try:
        whole = None if isinstance(value, bool | float) else int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        whole = None
    if whole is None or not -(2**63) <= whole < 2**63:
        raise _not(name, value)
    return whole


def float_of(name: str, value: object) -> float:
    """A number, which clients write as text where JSON has none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _not(name, value)
    try:
        return float(value)
    except (ValueError, OverflowError):
        raise _not(name, value) from None


def _bool(name: str, value: object) -> bool:
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise _not(name, value)
    return value


def _list(name: str, value: object) -> list[Any]:
    """A list of messages."""
    if not isinstance(value, list):
        raise _not(name, value)
    for at, each in enumerate(value):
        if not isinstance(each, dict):
            raise _not(f"{name}[{at}]", each)
    return value


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _not(name, value)
    return value


_SHAPES: Mapping[str, Callable[[str, Any], Any]] = {
    "text": _text,
    "int": int_of,
    "float": float_of,
    "bool": _bool,
    "list": _list,
    "texts": _texts,
    "any": lambda _, value: value,
}


def enum_of(name: str, value: object, choices: Sequence[str], *, first: int = 0) -> str:
    """A value of an enumeration, which clients write by its name or its number; `first` is that of the first choice."""
    for at, choice in enumerate(choices, first):
        if value in (choice, at, str(at)):
            return choice
    raise invalid(f"Invalid value '{value}' for parameter '{name}' supplied.")


def paged(body: Mapping[str, Json], following: str | None) -> Json:
    """A page as clients read it, with how the next one is asked for."""
    return {**body} if following is None else {**body, "next_page_token": following}


def snake(name: str) -> str:
    """A name of JSON as protobuf has it.

    >>> snake("traceId")
    'trace_id'
    """
    return "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name)


def number(value: float) -> float | str:
    """A number as JSON has it, or the text for what JSON has no number for."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def pairs(values: Mapping[str, str]) -> list[Json]:
    """Tags or params, as a list of keys and values."""
    return [{"key": key, "value": value} for key, value in values.items()]


def of_pairs(name: str, given: Sequence[Any]) -> dict[str, str]:
    """Tags or params from a list of keys and values."""
    result: dict[str, str] = {}
    for at, each in enumerate(given):
        if not isinstance(each, dict) or each.get("key") in (None, ""):
            raise invalid(MISSING.format(f"{name}[{at}].key") + SEE)
        value = each.get("value")
        if value is not None and not isinstance(value, str):
            raise _not(f"{name}[{at}].value", value)
        result[_text(f"{name}[{at}].key", each["key"])] = value or ""
    return result
