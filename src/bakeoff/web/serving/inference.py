"""The Open Inference Protocol (v2) over REST: health, metadata and inference, with tensors as JSON or as bytes.

Source: github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md; the binary
extension of Triton (see `bakeoff.web.serving.tensors`).
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import bakeoff
from bakeoff.core import narrow
from bakeoff.core.principals import Principal
from bakeoff.core.types import Json
from bakeoff.serve.engine import Call, Engine
from bakeoff.web.auth import principal_of
from bakeoff.web.openapi import takes
from bakeoff.web.permissions import permission
from bakeoff.web.problems import HttpError, JsonResponse
from bakeoff.web.serving.bodies import decoded, refused, shown
from bakeoff.web.serving.context import Serving, caller_key
from bakeoff.web.serving.inference_models import InferenceCounts, index_entry, model_config, statistics, steered
from bakeoff.web.serving.names import Names
from bakeoff.web.serving.rows import deadline_s
from bakeoff.web.serving.tensors import (
    BYTES,
    Tensor,
    input_tensors,
    output_tensors,
    packed,
    rows_of,
    tensors_of,
    unpacked,
)

__all__ = ["InferenceRequest", "InferenceRoutes", "engine_of", "model_metadata", "version_of"]

HEADER = "inference-header-content-length"
EXAMPLE = '{"inputs": [{"name": …, "shape": [n], "datatype": …, "data": […]}]}'
EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class InferenceRequest(msgspec.Struct):
    """The body of an inference. `parameters` that are not known here change nothing."""

    inputs: list[_Input]
    id: str | None = None
    outputs: list[_Output] | None = None
    parameters: dict[str, Any] | None = None


class IndexRequest(msgspec.Struct):
    """The body that asks for the index; `ready`: of models that answer alone."""

    ready: bool = False


class InferenceRoutes:
    """Handlers of the paths under `/v2`."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._counts: dict[str, InferenceCounts] = {}

    @property
    def routes(self) -> list[Route]:
        """What is served."""
        model, versioned = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        return [
            Route("/v2", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            Route("/v2/models/stats", self.all_statistics),
            Route("/v2/repository/index", self.index, methods=["POST"]),
            Route("/v2/repository/models/{model}/load", self.load, methods=["POST"]),
            Route("/v2/repository/models/{model}/unload", self.unload, methods=["POST"]),
            *(Route(path, self.model) for path in (model, versioned)),
            *(Route(f"{path}/ready", self.model_ready) for path in (model, versioned)),
            *(Route(f"{path}/config", self.config) for path in (model, versioned)),
            *(Route(f"{path}/stats", self.model_statistics) for path in (model, versioned)),
            *(Route(f"{path}/infer", self.infer, methods=["POST"]) for path in (model, versioned)),
        ]

    @permission("public")
    async def live(self, _request: Request) -> Response:
        """200 as long as the process answers."""
        return JsonResponse({"live": True})

    @permission("public")
    async def ready(self, _request: Request) -> Response:
        """200 when every endpoint answers, else 503."""
        ready = self._serving.plane.ready
        return JsonResponse({"ready": ready}, status_code=200 if ready else 503)

    @permission("list")
    async def server(self, _request: Request) -> Response:
        """The server's name, version and extensions."""
        return JsonResponse({"name": "bakeoff", "version": bakeoff.__version__, "extensions": EXTENSIONS})

    @permission("list")
    async def model(self, request: Request) -> Response:
        """An endpoint's live version, and the tensors that it takes and gives."""
        engine = self._engine(request)
        return JsonResponse(await self._serving.in_thread(lambda: model_metadata(engine)))

    @permission("list")
    async def model_ready(self, request: Request) -> Response:
        """200 when an endpoint answers, else 503."""
        ready = self._engine(request).health().ready
        return JsonResponse({"ready": ready}, status_code=200 if ready else 503)

    @permission("list")
    async def config(self, request: Request) -> Response:
        """How an endpoint's model is served, as clients of Triton ask for it."""
        engine = self._engine(request)
        return JsonResponse(await self._serving.in_thread(lambda: model_config(engine)))

    @permission("list")
    async def model_statistics(self, request: Request) -> Response:
        """Counts of an endpoint's calls to `infer` since the process began; `/metrics` has those of all protocols."""
        return self._statistics([self._engine(request)])

    @permission("list")
    async def all_statistics(self, request: Request) -> Response:
        """The same of all endpoints that the caller may know of."""
        return self._statistics(self._engines(request))

    @permission("list")
    @takes(IndexRequest)
    async def index(self, request: Request) -> Response:
        """The endpoints as models, and which of them answer."""
        body = await request.body()
        only_ready = decoded(body, IndexRequest, '{"ready": true}').ready if body else False
        entries = [index_entry(engine, version_of(engine)) for engine in self._engines(request)]
        return JsonResponse([each for each in entries if each["state"] == "READY" or not only_ready])

    @permission("list")
    async def load(self, request: Request) -> Response:
        """Refused: releases decide which model an endpoint serves."""
        raise steered(self._engine(request).endpoint, "load")

    @permission("list")
    async def unload(self, request: Request) -> Response:
        """Refused: releases decide which model an endpoint serves."""
        raise steered(self._engine(request).endpoint, "unload")

    def _engines(self, request: Request) -> list[Engine]:
        plane = self._serving.plane
        served = (name for name in self._serving.names(request) if name not in plane.gateways and plane.is_served(name))
        return [plane.engine(name) for name in served]

    def _statistics(self, engines: Sequence[Engine]) -> Response:
        counted = [statistics(each, version_of(each), self._counted(each)) for each in engines]
        return JsonResponse({"model_stats": counted})

    def _counted(self, engine: Engine) -> InferenceCounts:
        return self._counts.setdefault(engine.endpoint, InferenceCounts())

    def _engine(self, request: Request) -> Engine:
        path = request.path_params
        return engine_of(self._serving.known, principal_of(request), path["model"], path.get("version"))

    @permission("predict")
    @takes(InferenceRequest, "application/octet-stream")
    async def infer(self, request: Request) -> Response:
        """Answer the rows that tensors hold."""
        engine = self._engine(request)
        with self._counted(engine).call() as count:
            asked, tensors = _request(await request.body(), request.headers.get(HEADER))
            binary = _binary(asked)
            signature = await self._serving.in_thread(lambda: engine.signature)
            call = Call(rows_of(tensors, signature), caller_key(request))
            answers = await self._serving.turns(engine).answered(call, deadline_s(request))
            count(len(answers))
            outputs = tensors_of(answers, signature, [each.name for each in asked.outputs or ()])
        body: dict[str, Json] = {"model_name": engine.endpoint, "model_version": version_of(engine)}
        if signature.classes:
            body["parameters"] = {"classes": msgspec.json.encode(signature.classes).decode()}
        return _response(body | ({} if asked.id is None else {"id": asked.id}), outputs, binary)


def version_of(engine: Engine) -> str:
    """The number of the version that is live on an endpoint; empty when none is."""
    return (engine.model_version or "").rpartition("/")[2]


def engine_of(names: Names, principal: Principal, model: str, version: str | None) -> Engine:
    """The endpoint that a caller names, whose version (if one is named) must be live.

    Raises:
        HttpError: there is no such endpoint, or another version is live (404).
    """
    engine, wanted = names.engine(principal, model), version
    live = version_of(engine)
    if wanted not in {None, live}:
        raise HttpError(404, "NotFoundError", f"expected version {live or '(none is live)'}, received {shown(wanted)}")
    return engine


def model_metadata(engine: Engine) -> dict[str, Json]:
    """What an endpoint takes and gives.

    Raises:
        NotFoundError: nothing is released on it.
    """
    signature = engine.signature
    described = {"inputs": input_tensors(signature), "outputs": output_tensors(signature)}
    tensors: dict[str, Json] = {
        side: [{"name": name, "datatype": kind, "shape": list(shape)} for name, kind, shape in listed]
        for side, listed in described.items()
    }
    return {"name": engine.endpoint, "versions": [version_of(engine)], "platform": "bakeoff", **tensors}


def _request(body: bytes, header: str | None) -> tuple[InferenceRequest, list[Tensor]]:
    """The request in a body, and its tensors: their elements in the JSON, or in order behind it."""
    if header is None:
        end = len(body)
    elif header.isdecimal() and len(header) < len(str(2**63)) and int(header) <= len(body):
        end = int(header)
    else:
        problem = f"expected the length of the JSON in {HEADER}, up to {len(body)}; received {shown(header)}"
        raise HttpError(400, "BadRequest", problem)
    asked, rest = decoded(body[:end], InferenceRequest, EXAMPLE), body[end:]
    tensors: list[Tensor] = []
    for at, each in enumerate(asked.inputs):
        size = (each.parameters or {}).get("binary_data_size")
        if size is None:
            values = _flat(each.data or [], f"inputs[{at}].data")
            values = values if each.datatype != BYTES else list(map(_text, values))
        elif isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= len(rest) and each.data is None:
            values, rest = unpacked(each.name, each.datatype, rest[:size]), rest[size:]
        else:
            param = f"inputs[{at}].parameters.binary_data_size"
            expected = f"{param}: expected at most the {len(rest)} bytes that are left, and no data beside it"
            raise HttpError(400, "BadRequest", f"{expected}; received {shown(size)}", param)
        tensors.append(Tensor(name=each.name, datatype=each.datatype, shape=tuple(each.shape), values=values))
    if rest:
        raise HttpError(400, "BadRequest", f"expected no bytes behind those of the inputs; received {len(rest)}")
    return asked, tensors


def _text(value: object) -> object:
    """A JSON element of BYTES: a text as it is; a number is taken as it is written."""
    return value if value is None or isinstance(value, str) else msgspec.json.encode(value).decode()


def _flat(values: Sequence[Any], place: str) -> list[Any]:
    """The elements of nested lists in row-major order; the shape says how they are nested."""
    flat: list[Any] = list(values)
    while any(isinstance(value, list) for value in flat):
        if not all(narrow.is_array(value) for value in flat):
            problem = f"{place}: expected elements, or lists of them of one depth; received both"
            raise HttpError(400, "BadRequest", problem, place)
        flat = [element for value in flat for element in value]
    return flat


def _binary(asked: InferenceRequest) -> set[str] | None:
    """The outputs that are wanted as bytes; None for all."""
    everything = bool((asked.parameters or {}).get("binary_data_output"))
    if asked.outputs is None:
        return None if everything else set()
    for at, each in enumerate(asked.outputs):
        if count := (each.parameters or {}).get("classification"):
            expected = "it to be left out: the output probabilities has all classes"
            raise refused(f"outputs[{at}].parameters.classification", expected, count, code="unsupported_parameter")
    return {each.name for each in asked.outputs if (each.parameters or {}).get("binary_data", everything)}


def _response(body: dict[str, Json], outputs: Sequence[Tensor], binary: set[str] | None) -> Response:
    listed: list[Json] = []
    parts: list[bytes] = []
    for tensor in outputs:
        told: dict[str, Json] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if binary is None or tensor.name in binary:
            parts.append(packed(tensor))
            listed.append(told | {"parameters": {"binary_data_size": len(parts[-1])}})
        else:
            listed.append(told | {"data": list(tensor.values)})
    if not parts:
        return JsonResponse(body | {"outputs": listed})
    head = msgspec.json.encode(body | {"outputs": listed})
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return Response(head + b"".join(parts), media_type="application/octet-stream", headers=headers)
