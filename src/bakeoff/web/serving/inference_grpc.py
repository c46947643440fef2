# pyright: basic
# grpcio comes without types, and the classes of messages are made here
"""The Open Inference Protocol (v2) over gRPC, for clients that speak nothing else; translated as over REST.

The messages are made of a table when the server starts, so that nothing is generated or vendored. A field's number is
its place in the table. Calls are answered in threads of this server, each by itself. Connections are encrypted as those
over HTTP are ([tls]).

Source: github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.proto
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import msgspec

import bakeoff
from bakeoff.core.errors import MissingExtraError, StoreError, UsageError
from bakeoff.core.principals import ANONYMOUS, Need, Principal
from bakeoff.security.certificates import Tls
from bakeoff.security.network import require_guarded
from bakeoff.security.tokens import AccessTokens
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.web.auth import token_texts
from bakeoff.web.problems import HttpError, error_body, status_of
from bakeoff.web.serving.context import KEY
from bakeoff.web.serving.inference import engine_of, model_metadata, version_of
from bakeoff.web.serving.names import Names
from bakeoff.web.serving.tensors import BYTES, Tensor, packed, rows_of, tensors_of, text_of, unpacked

__all__ = ["GrpcServer"]

logger = logging.getLogger(__name__)

PACKAGE, SERVICE = "inference", "inference.GRPCInferenceService"
THREADS = 16
DRAIN_S = 15
MAX_BYTES = 10 * 2**20
MESSAGES: dict[str, tuple[str, ...]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("bool ready",),
    "ModelReadyRequest": ("string name", "string version"),
    "ModelReadyResponse": ("bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("string name", "string version", "string* extensions"),
    "ModelMetadataRequest": ("string name", "string version"),
    "TensorMetadata": ("string name", "string datatype", "int64* shape"),
    "ModelMetadataResponse": (
        "string name",
        "string* versions",
        "string platform",
        "TensorMetadata* inputs",
        "TensorMetadata* outputs",
    ),
    "InferParameter": ("bool bool_param", "int64 int64_param", "string string_param"),
    "Parameter": ("string key", "InferParameter value"),
    "InferTensorContents": (
        "bool* bool_contents",
        "int32* int_contents",
        "int64* int64_contents",
        "uint32* uint_contents",
        "uint64* uint64_contents",
        "float* fp32_contents",
        "double* fp64_contents",
        "bytes* bytes_contents",
    ),
    "InferTensor": (
        "string name",
        "string datatype",
        "int64* shape",
        "Parameter* parameters",
        "InferTensorContents contents",
    ),
    "InferRequestedOutputTensor": ("string name", "Parameter* parameters"),
    "ModelInferRequest": (
        "string model_name",
        "string model_version",
        "string id",
        "Parameter* parameters",
        "InferTensor* inputs",
        "InferRequestedOutputTensor* outputs",
        "bytes* raw_input_contents",
    ),
    "ModelInferResponse": (
        "string model_name",
        "string model_version",
        "string id",
        "Parameter* parameters",
        "InferTensor* outputs",
        "bytes* raw_output_contents",
    ),
}
"""Fields of the messages, in the order of their numbers; * repeated. A map is, on the wire, a list of key and value."""
CONTENTS = {"BOOL": "bool", "INT64": "int64", "UINT64": "uint64", "FP32": "fp32", "FP64": "fp64", BYTES: "bytes"}
CONTENTS |= dict.fromkeys(("INT8", "INT16", "INT32"), "int") | dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint")
STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and the key that calls of one user share (metadata as the header of HTTP)."""

    principal: Principal
    key: str | None


class GrpcServer:
    """The protocol on a port; a context manager.

    Args:
        plane: the endpoints.
        host: a loopback address, or with tokens and TLS any.
        port: 0 for a free one.
        tokens: who calls; without them whoever can call may.
        model_names: what the default endpoint may be called beside its name; "*" for whatever callers like.
        trusted_network: whether something else says who reaches the address.
        tls: the certificate; where it is renewed, connections that begin afterwards have the new one. With a
            `client_authority`, callers must have a certificate of it.

    Raises:
        MissingExtraError: grpcio is not installed. StoreError: the port is taken.
        SecurityError: the host is not a loopback address, and callers are not asked or connections not encrypted.
        UsageError: the certificate cannot be read.
    """

    def __init__(
        self,
        plane: DataPlane,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tokens: AccessTokens | None = None,
        model_names: Sequence[str] = (),
        trusted_network: bool = False,
        tls: Tls | None = None,
    ) -> None:
        if not trusted_network:
            require_guarded(host, authenticated=tokens is not None, encrypted=tls is not None)
        try:
            import grpc
        except ImportError:
            raise MissingExtraError("serving gRPC needs grpcio: pip install 'bakeoff[grpc]'") from None
        self._grpc, self._plane, self._tokens = grpc, plane, tokens
        self._names = Names(plane, model_names)
        self._messages = _classes()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="grpc")
        options = [("grpc.max_receive_message_length", MAX_BYTES), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(self._pool, options=options)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers()),))
        address = f"[{host}]" if ":" in host else host
        try:
            if tls is None:
                self.port = self._server.add_insecure_port(f"{address}:{port}")
            else:
                self.port = self._server.add_secure_port(f"{address}:{port}", _credentials(grpc, tls))
        except RuntimeError as error:
            raise StoreError(f"expected port {port} of {host} to be free for gRPC: {error}") from error

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(DRAIN_S).wait()
        self._pool.shutdown()

    def _calls(self) -> dict[str, tuple[Need, Callable[[Any, Caller], Any]]]:
        """What can be called, by name: what a caller must be allowed to do, and what is done."""
        return {
            "ServerLive": ("public", lambda _, __: {"live": True}),
            "ServerReady": ("public", lambda _, __: {"ready": self._plane.ready}),
            "ServerMetadata": ("list", lambda _, __: {"name": "bakeoff", "version": bakeoff.__version__}),
            "ModelReady": ("list", self._ready),
            "ModelMetadata": ("list", self._metadata),
            "ModelInfer": ("predict", self._infer),
        }

    def _handlers(self) -> dict[str, Any]:
        return {
            name: self._grpc.unary_unary_rpc_method_handler(
                self._answering(permission, call, name),
                response_serializer=lambda message: message.SerializeToString(),
            )
            for name, (permission, call) in self._calls().items()
        }

    def _answering(
        self, permission: Need, call: Callable[[Any, Caller], Any], name: str
    ) -> Callable[[bytes, Any], Any]:
        response = self._messages[f"{name}Response"]

        def answer(message: bytes, context: Any) -> Any:
            try:
                metadata = {name: str(value) for name, value in context.invocation_metadata() or ()}
                caller = Caller(self._principal(permission, metadata), metadata.get(KEY))
                body = call(self._read(f"{name}Request", message), caller)
                return response(**body) if isinstance(body, dict) else body
            except Exception as error:
                code = getattr(self._grpc.StatusCode, STATUS.get(status_of(error), "INTERNAL"))
                if code == self._grpc.StatusCode.INTERNAL:
                    logger.exception("unexpected error of gRPC")
                problem = error_body(error)["error"]["message"]
            return context.abort(code, problem)  # it raises

        return answer

    def _read(self, name: str, message: bytes) -> Any:
        """The message; gRPC itself would tell a caller who sends another that the server has failed."""
        from google.protobuf.message import DecodeError

        try:
            return self._messages[name].FromString(message)
        except DecodeError:
            raise HttpError(400, "BadRequest", f"expected a {name}, received {len(message)} bytes of another") from None

    def _principal(self, permission: Need, metadata: Mapping[str, str]) -> Principal:
        if self._tokens is None or permission == "public":
            return ANONYMOUS
        principal = next(filter(None, map(self._tokens.principal, token_texts(metadata))), None)
        if principal is None:
            raise HttpError(401, "Unauthenticated", "expected a valid token as authorization: Bearer …, received none")
        if not principal.may(permission):
            raise HttpError(403, "PermissionDenied", f"expected a caller who may {permission}")
        return principal

    def _engine(self, name: str, version: str, principal: Principal) -> Engine:
        return engine_of(self._names, principal, name, version or None)

    def _ready(self, request: Any, caller: Caller) -> dict[str, Any]:
        return {"ready": self._engine(request.name, request.version, caller.principal).health().ready}

    def _metadata(self, request: Any, caller: Caller) -> dict[str, Any]:
        return dict(model_metadata(self._engine(request.name, request.version, caller.principal)))

    def _infer(self, request: Any, caller: Caller) -> Any:
        engine = self._engine(request.model_name, request.model_version, caller.principal)
        signature = engine.signature
        answers = engine.predict(rows_of(_tensors(request), signature), key=caller.key)
        outputs = tensors_of(answers, signature, [each.name for each in request.outputs])
        response = self._messages["ModelInferResponse"](
            model_name=engine.endpoint, model_version=version_of(engine), id=request.id
        )
        if signature.classes:
            classes = response.parameters.add(key="classes")
            classes.value.string_param = msgspec.json.encode(signature.classes).decode()
        for tensor in outputs:
            response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            response.raw_output_contents.append(packed(tensor))
        return response


def _credentials(grpc: Any, tls: Tls) -> Any:
    """Of the server, whose files are looked at before each connection; ones that cannot be read leave the old ones."""

    def read() -> Any:
        tls.context()  # says what is wrong with them
        authority = tls.client_authority and tls.client_authority.read_bytes()
        pair = tls.key.read_bytes(), tls.certificate.read_bytes()
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=authority)

    stamp = tls.stamp()

    def renewed() -> Any:
        nonlocal stamp
        if (now := tls.stamp()) == stamp:
            return None
        stamp = now
        try:
            return read()
        except (UsageError, OSError) as error:
            logger.warning("the certificate of gRPC was not renewed: %s", error)
            return None

    return grpc.dynamic_ssl_server_credentials(read(), renewed, tls.client_authority is not None)


def _tensors(request: Any) -> list[Tensor]:
    """The tensors of a request: all in `raw_input_contents`, or each in its `contents`."""
    raw: Sequence[bytes] = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise HttpError(
            400,
            "BadRequest",
            f"raw_input_contents: expected {len(request.inputs)}, one for each input; received {len(raw)}",
        )
    tensors: list[Tensor] = []
    for at, each in enumerate(request.inputs):
        if raw:
            values = unpacked(each.name, each.datatype, raw[at])
        else:
            field = CONTENTS.get(each.datatype)
            values = list(getattr(each.contents, f"{field}_contents")) if field else []
            place = f"inputs.{each.name[:80]}"
            values = [text_of(value, place) if isinstance(value, bytes) else value for value in values]
        tensors.append(Tensor(name=each.name, datatype=each.datatype, shape=tuple(each.shape), values=values))
    return tensors


def _classes() -> dict[str, Any]:
    """A class for each message, in a pool of their own: another library's messages of these names do no harm."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, declared in enumerate(fields, start=1):
            kind, field_name = declared.split()
            repeated, kind = kind.endswith("*"), kind.removesuffix("*")
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=number, label=label)
            if kind in MESSAGES:
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            else:
                field.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}
