"""Spans as OpenTelemetry sends them (OTLP/HTTP, protobuf or JSON, gzip or not), read into one form.

Source: the OpenTelemetry protocol 1.9, https://opentelemetry.io/docs/specs/otlp/: in JSON, ids are hexadecimal and
numbers of 64 bits may be texts; unknown fields are ignored.
"""

import base64
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bakeoff.core.errors import MissingExtraError
from bakeoff.web.tracking.wire import TrackingError, number, snake

__all__ = ["OtlpSpan", "answered", "attributes_of", "events_of", "proto_json", "spans_of", "with_attributes"]

PROTOBUF, JSON = "application/x-protobuf", "application/json"
MOST_BYTES = 64 * 2**20
"""Of a request, unpacked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSpan:
    """One span. `trace` and `id` are hexadecimal; `attributes` are plain values; times are nanoseconds since the epoch.

    `body` is all of it in OTLP's fields, by their names in protobuf, with ids in hexadecimal.
    """

    trace: str
    id: str
    parent: str | None
    name: str
    start_ns: int
    end_ns: int | None
    status: int
    attributes: Mapping[str, Any]
    events: Sequence[tuple[str, Mapping[str, Any]]]
    body: Mapping[str, Any]


def spans_of(data: bytes, *, kind: str | None, encoding: str | None) -> list[OtlpSpan]:
    """The spans of one export.

    Raises:
        TrackingError: another content type or encoding, too much, or what is none.
        MissingExtraError: protobuf, and nothing that reads it is installed.
    """
    media = (kind or "").partition(";")[0].strip()
    if media not in {PROTOBUF, JSON}:
        raise TrackingError("BAD_REQUEST", f"Invalid Content-Type: {kind}. Expected: {PROTOBUF} or {JSON}")
    data = _unpacked(data, encoding)
    try:
        body = _of_json(data) if media == JSON else _of_protobuf(data)
        spans = [_span(span, resource) for span, resource in _all(body)]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise TrackingError("BAD_REQUEST", "Invalid OpenTelemetry format") from None
    if not body.get("resource_spans"):
        raise TrackingError("BAD_REQUEST", "Invalid OpenTelemetry format - no spans found")
    return spans


def _unpacked(data: bytes, encoding: str | None) -> bytes:
    if not encoding or encoding == "identity":
        return data
    if encoding not in {"gzip", "deflate"}:
        raise TrackingError("BAD_REQUEST", f"Unsupported Content-Encoding: {encoding}")
    reader = zlib.decompressobj(wbits=zlib.MAX_WBITS | (16 if encoding == "gzip" else 0))
    try:
        plain = reader.decompress(data, MOST_BYTES)
    except zlib.error:
        raise TrackingError("BAD_REQUEST", f"Failed to decompress {encoding} payload") from None
    if reader.unconsumed_tail:
        raise TrackingError(
            "BAD_REQUEST", f"expected at most {MOST_BYTES} bytes of spans; send them in several requests"
        )
    return plain


def _of_protobuf(data: bytes) -> dict[str, Any]:
    try:
        from google.protobuf.json_format import MessageToDict
        from google.protobuf.message import DecodeError
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    except ImportError as error:
        raise MissingExtraError.of("traces in protobuf", "tracking", "opentelemetry-proto") from error
    message = ExportTraceServiceRequest()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    body = MessageToDict(message, preserving_proto_field_name=True)
    for span, _ in _all(body):
        span.update(_ids(span, lambda text: base64.b64decode(text).hex()))
    return body


def _ids(span: Mapping[str, Any], written: Callable[[str], str]) -> dict[str, Any]:
    """The ids of a span, and its links with theirs, written in another way."""
    names = ("trace_id", "span_id", "parent_span_id")
    result: dict[str, Any] = {name: written(span[name]) for name in names if span.get(name)}
    links = [{**link, **_ids(link, written)} for link in span.get("links", [])]
    return {**result, "links": links} if links else result


def _of_json(data: bytes) -> dict[str, Any]:
    return _snake(msgspec.json.decode(data, type=dict[str, Any]))


def _snake(value: Any) -> Any:
    """Names as protobuf has them: `traceId` → `trace_id`; keys and values of attributes stay."""
    if isinstance(value, dict):
        return {snake(key): _snake(each) for key, each in value.items()}
    return [_snake(each) for each in value] if isinstance(value, list) else value


def _all(body: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    """The spans, each with its resource."""
    for of_resource in body.get("resource_spans", []):
        for of_scope in of_resource.get("scope_spans", []):
            for span in of_scope.get("spans", []):
                yield span, of_resource.get("resource", {})


def _span(body: dict[str, Any], resource: Mapping[str, Any]) -> OtlpSpan:
    attributes, of_resource = attributes_of(body), attributes_of(resource)
    service = of_resource.get("service.name")
    if service and not body.get("parent_span_id") and not str(service).startswith("unknown_service"):
        attributes = {"service.name": service, **attributes}
        body = with_attributes(body, {"service.name": attributes["service.name"]})
    status: Any = (body.get("status") or {}).get("code", 0)
    codes = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}
    return OtlpSpan(
        trace=_id(body["trace_id"], 32),
        id=_id(body["span_id"], 16),
        parent=_id(body["parent_span_id"], 16) if body.get("parent_span_id") else None,
        name=str(body.get("name", "")),
        start_ns=_nanoseconds(body.get("start_time_unix_nano", 0)),
        end_ns=_nanoseconds(body.get("end_time_unix_nano", 0)) or None,
        status=codes[status] if isinstance(status, str) else int(status),
        attributes=attributes,
        events=events_of(body),
        body=body,
    )


def attributes_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a span, a resource or an event, as plain values."""
    return {each["key"]: _plain(each.get("value", {})) for each in body.get("attributes", [])}


def events_of(body: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The events of a span by name, with their attributes."""
    return [(str(each.get("name", "")), attributes_of(each)) for each in body.get("events", [])]


def with_attributes(body: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """A span's body with more attributes, in the place of those that are called alike."""
    rest = [each for each in body.get("attributes", []) if each["key"] not in more]
    return {**body, "attributes": [*rest, *({"key": key, "value": _any(value)} for key, value in more.items())]}


def _nanoseconds(value: str | int) -> int:
    since = int(value)
    if not 0 <= since < 2**64:
        raise ValueError(value)
    return since


def _id(value: str, digits: int) -> str:
    if len(value) != digits or set(value.lower()) - set("0123456789abcdef"):
        raise ValueError(value)
    return value.lower()


def _plain(value: Mapping[str, Any]) -> Any:
    """A value of an attribute as Python has it."""
    for kind, content in value.items():
        if kind in {"string_value", "bool_value", "double_value"}:
            return content
        if kind == "int_value":
            return int(content)
        if kind == "array_value":
            return [_plain(each) for each in content.get("values", [])]
        if kind == "kvlist_value":
            return {each["key"]: _plain(each.get("value", {})) for each in content.get("values", [])}
        if kind == "bytes_value":
            return content
    return None


def _any(value: Any) -> dict[str, Any]:
    """A plain value as a value of an attribute; whole numbers of more than 64 bits have no place but a text."""
    if isinstance(value, Mapping):
        return {"kvlist_value": {"values": [{"key": str(key), "value": _any(each)} for key, each in value.items()]}}
    if isinstance(value, list | tuple):
        return {"array_value": {"values": [_any(each) for each in value]}}
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, float):
        return {"double_value": number(value)}
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return {"int_value": str(value)}
    return {} if value is None else {"string_value": str(value)}


def proto_json(body: Mapping[str, Any]) -> dict[str, Any]:
    """A span's body in protobuf's own JSON, where ids are base64."""
    return {**body, **_ids(body, lambda text: base64.b64encode(bytes.fromhex(text)).decode())}


def answered(kind: str | None) -> tuple[bytes, str]:
    """The body and type of an answer that takes everything: an empty message."""
    if (kind or "").startswith(JSON):
        return json.dumps({}).encode(), JSON
    return b"", PROTOBUF
