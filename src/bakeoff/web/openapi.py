"""The OpenAPI document of the serving app, made of its routes and of the structs that their bodies are read as.

Source: OpenAPI 3.1.1, https://spec.openapis.org/oas/v3.1.1.html
"""

import re
from collections.abc import Callable, Sequence
from inspect import getdoc
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import bakeoff
from bakeoff.core.types import Json
from bakeoff.web.permissions import permission, permission_of
from bakeoff.web.problems import JsonResponse

__all__ = ["DocumentRoutes", "document", "takes"]

H = TypeVar("H", bound=Callable[..., Any])
BODY, MEDIA = "bakeoff_body", "bakeoff_media"
JSON = "application/json"
TEXT: Json = {"type": "string"}
ANSWERS: Json = {
    "2XX": {"description": "What was asked for."},
    "4XX": {"description": "What was wrong, and what was expected, in the form of the path's protocol."},
    "503": {"description": "Nothing answers now: ask again after `Retry-After` seconds."},
}


def takes(body: type[msgspec.Struct] | None = None, *media: str) -> Callable[[H], H]:
    """Declare the struct that a handler reads its body as, and other media types that it takes."""

    def declare(handler: H) -> H:
        setattr(handler, BODY, body)
        setattr(handler, MEDIA, media)
        return handler

    return declare


class DocumentRoutes:
    """The document of routes at `/openapi.json`, itself among them."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = [Route("/openapi.json", self.show)]
        self._document = document([*routes, *self.routes])

    @permission("read")
    async def show(self, _request: Request) -> Response:
        """What is served here, as OpenAPI."""
        return JsonResponse(self._document)


def document(routes: Sequence[Route]) -> Json:
    """The document of these routes."""
    bodies = {kind for route in routes if (kind := getattr(route.endpoint, BODY, None)) is not None}
    kinds = sorted(bodies, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Json]] = {}
    for route in routes:
        path = re.sub(r":\w+}", "}", route.path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            paths.setdefault(path, {})[method.lower()] = _operation(route, path, method, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "bakeoff serving", "version": bakeoff.__version__},
        "paths": {**paths},
        "components": {"schemas": components},
    }


def _operation(route: Route, path: str, method: str, schema_of: dict[Any, Any]) -> Json:
    parameters: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": TEXT} for name in re.findall(r"{(\w+)}", path)
    ]
    operation: dict[str, Json] = {
        "operationId": f"{method.lower()} {path}",
        "summary": (getdoc(route.endpoint) or "").partition("\n")[0],
        "x-permission": permission_of(route.endpoint),
        "parameters": parameters,
        "responses": ANSWERS,
    }
    body, media = getattr(route.endpoint, BODY, None), getattr(route.endpoint, MEDIA, ())
    content: dict[str, Json] = {JSON: {"schema": schema_of[body]}} if body is not None else {}
    content |= {each: {"schema": {"type": "object"} if "form" in each else TEXT} for each in media}
    if content:
        operation["requestBody"] = {"required": True, "content": content}
    return operation
