"""The OpenAPI document of a server, made from its routes and from what each says that it takes.

Source: OpenAPI 3.1.1, https://spec.openapis.org/oas/v3.1.1.html
"""

import re
from collections.abc import Callable, Mapping, Sequence
from inspect import getdoc
from typing import Any, TypeVar

import msgspec
from starlette.routing import Route

from bakeoff.core.types import Json
from bakeoff.web.permissions import permission_of
from bakeoff.web.tracking.wire import Shape, Want

__all__ = ["document", "takes"]

H = TypeVar("H", bound=Callable[..., Any])
TAKES = "bakeoff_takes"
BODY_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
WHOLE: Json = {"type": "integer", "format": "int64"}
TEXT: Json = {"type": "string"}
SCHEMAS: Mapping[Shape, Json] = {
    "text": TEXT,
    "int": {"anyOf": [WHOLE, {"type": "string", "pattern": "^-?[0-9]{1,19}$"}]},
    "float": {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]},
    "bool": {"type": "boolean"},
    "list": {"type": "array", "items": {"type": "object"}},
    "texts": {"type": "array", "items": TEXT},
    "any": {},
}
ERROR: Json = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {"error_code": TEXT, "message": TEXT},
}
ANSWERS: Json = {
    "200": {"description": "What was asked for, or that it is done."},
    "4XX": {
        "description": "What was wrong, and what was expected.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    },
    "503": {"description": "The database or the disk cannot be used now: ask again after `Retry-After` seconds."},
}


def takes(wanted: Mapping[str, Want], does: object, *, body: Sequence[str] = ()) -> Callable[[H], H]:
    """Declare of an endpoint what it takes, and whose words say what it does.

    Args:
        wanted: the arguments; in the query where the method has no JSON body, or where a `body` is given.
        does: what the endpoint calls.
        body: the media types of a body that is more than an object of arguments.
    """

    def declare(endpoint: H) -> H:
        setattr(endpoint, TAKES, (wanted, does, body))
        return endpoint

    return declare


def document(routes: Sequence[Route], version: str) -> Json:
    """The document of these routes; `version` is that of the protocol."""
    paths: dict[str, dict[str, Json]] = {}
    kinds: dict[str, Any] = {}
    for route in routes:
        path = re.sub(r":\w+}", "}", route.path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(path, {})[method.lower()] = _operation(route, path, method)
        wanted: Mapping[str, Want] = getattr(route.endpoint, TAKES, ({},))[0]
        kinds |= {_name(want.of): want.of for want in wanted.values() if want.of is not None}
    schemas, messages = msgspec.json.schema_components(kinds.values(), ref_template="#/components/schemas/{name}")
    own: dict[str, Json] = dict(zip(kinds, schemas, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {"title": "bakeoff tracking", "version": version},
        "paths": {**paths},
        "components": {"schemas": {"Error": ERROR, **own, **messages}},
    }


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", "Mask")


def _operation(route: Route, path: str, method: str) -> Json:
    wanted, does, media = getattr(route.endpoint, TAKES, ({}, route.endpoint, ()))
    in_path = re.findall(r"{(\w+)}", path)
    others = {name: want for name, want in wanted.items() if name not in in_path}
    in_body = method in BODY_METHODS and not media
    parameters: list[Json] = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in in_path]
    if not in_body:
        parameters += [
            {"name": name, "in": "query", "required": want.required, "schema": _schema(want)}
            for name, want in others.items()
        ]
    result: dict[str, Json] = {
        "operationId": f"{method.lower()} {path}",
        "summary": (getdoc(does) or "").partition("\n")[0],
        "x-permission": permission_of(route.endpoint),
        "parameters": parameters,
        "responses": ANSWERS,
    }
    if media:
        result["requestBody"] = {"content": {each: {"schema": {}} for each in media}}
    elif in_body:
        required: list[Json] = [name for name, want in others.items() if want.required]
        body: Json = {
            "type": "object",
            "properties": {name: _schema(want) for name, want in others.items()},
            **({"required": required} if required else {}),
        }
        result["requestBody"] = {"content": {"application/json": {"schema": body}}, "required": bool(required)}
    return result


def _schema(want: Want) -> Json:
    schema = SCHEMAS[want.shape]
    if want.of is not None:
        message: Json = {"$ref": f"#/components/schemas/{_name(want.of)}"}
        return {"type": "array", "items": message} if want.shape == "list" else message
    if want.most is None:
        return schema
    return {"allOf": [schema, {"maximum": want.most}]}
