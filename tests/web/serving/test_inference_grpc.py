"""The Open Inference Protocol over gRPC, by Triton's own client."""

import socket
import ssl

import numpy as np
import pytest

from bakeoff.core.errors import SecurityError, UsageError
from bakeoff.security.certificates import Tls, local_authority

pytest.importorskip("grpc")
triton = pytest.importorskip("tritonclient.grpc")

from bakeoff.web.serving.inference_grpc import GrpcServer  # noqa: E402 - where it is installed


@pytest.fixture(scope="module")
def stock(row_world):
    with (
        GrpcServer(row_world.plane) as server,
        triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client,
    ):
        yield client


def tensor(name, values, datatype):
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values)
    return made


def test_the_stock_client_finds_out_what_is_served(stock) -> None:
    assert stock.is_server_live()
    assert stock.is_server_ready()
    assert stock.is_model_ready("signs", "3")
    assert stock.get_server_metadata().name == "bakeoff"
    metadata = stock.get_model_metadata("signs", as_json=True)
    assert metadata["inputs"] == [
        {"name": "x", "datatype": "FP64", "shape": ["-1", "1"]},
        {"name": "note", "datatype": "BYTES", "shape": ["-1", "1"]},
    ]
    assert [each["name"] for each in metadata["outputs"]] == ["label", "probabilities", "prediction_id"]


def test_rows_are_answered(stock) -> None:
    inputs = [
        tensor("x", np.array([[1.5], [-2.0]]), "FP64"),
        tensor("note", np.array(["ß", ""], dtype=object), "BYTES"),
    ]
    wanted = [triton.InferRequestedOutput(name) for name in ("probabilities", "label")]
    result = stock.infer("signs", inputs, outputs=wanted, request_id="c7")
    assert result.as_numpy("label").tolist() == [b"pos", b"neg"]
    assert result.as_numpy("probabilities").tolist() == [[0.25, 0.75], [0.75, 0.25]]
    response = result.get_response()
    assert (response.id, response.model_version, response.parameters["classes"].string_param) == (
        "c7",
        "3",
        '["neg","pos"]',
    )
    matrix = tensor("all", np.array([[1, 2], [3, 4]], dtype=np.float32), "FP32")
    assert stock.infer("sums", [matrix]).as_numpy("value").tolist() == [21.0, 43.0]


def test_tensors_in_fields_of_their_own(stock) -> None:
    pb = triton.service_pb2
    request = pb.ModelInferRequest(model_name="sums")
    request.inputs.add(name="a", datatype="INT64", shape=[2]).contents.int64_contents.extend([1, 2])
    request.inputs.add(name="b", datatype="FP64", shape=[2]).contents.fp64_contents.extend([0.5, 1.0])
    response = stock._client_stub.ModelInfer(request)
    assert np.frombuffer(response.raw_output_contents[0]).tolist() == [6.0, 12.0]


@pytest.mark.parametrize(
    ("asked", "name", "code", "message"),
    [
        (("nothing", ""), "x", "NOT_FOUND", "expected model 'signs' or 'topics' or 'sums', received 'nothing'"),
        (("signs", "2"), "x", "NOT_FOUND", "expected version 3"),
        (("signs", ""), "z", "INVALID_ARGUMENT", "unknown keys: 'z'"),
    ],
)
def test_what_is_wrong_has_its_code(stock, asked, name, code, message) -> None:
    with pytest.raises(triton.InferenceServerException, match=message) as raised:
        stock.infer(asked[0], [tensor(name, np.array([[1.0]]), "FP64")], model_version=asked[1])
    assert raised.value.status() == f"StatusCode.{code}"


def test_what_is_no_message_is_the_callers_fault(row_world) -> None:
    """Of gRPC's own accord it would be INTERNAL, as if the server had failed."""
    grpc = pytest.importorskip("grpc")
    with GrpcServer(row_world.plane) as server, grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError, match="expected a ModelInferRequest, received 10 bytes") as raised:
            infer(b"\xff" * 10, timeout=10)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_open_port_is_refused(row_world) -> None:
    with pytest.raises(SecurityError):
        GrpcServer(row_world.plane, "0.0.0.0")


# --- TLS --------------------------------------------------------------------------------------------


def live(port, **options) -> bool:
    with triton.InferenceServerClient(f"localhost:{port}", **options) as client:
        return client.is_server_live(client_timeout=5)


def served_certificate(port) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("localhost", port), timeout=5) as raw, context.wrap_socket(raw) as wrapped:
        return wrapped.getpeercert(binary_form=True)


def test_with_a_certificate_connections_are_encrypted_and_others_refused(row_world, tmp_path) -> None:
    tls = local_authority(tmp_path)
    local_authority(tmp_path / "other")
    with GrpcServer(row_world.plane, tls=tls) as server:
        assert live(server.port, ssl=True, root_certificates=str(tmp_path / "authority.pem"))
        with pytest.raises(triton.InferenceServerException):
            live(server.port)  # in the clear
        with pytest.raises(triton.InferenceServerException):
            live(server.port, ssl=True, root_certificates=str(tmp_path / "other" / "authority.pem"))


def test_mutual_tls_takes_clients_of_its_authority_alone(row_world, tmp_path) -> None:
    made, other = local_authority(tmp_path / "ours"), local_authority(tmp_path / "theirs")
    authority = tmp_path / "ours" / "authority.pem"
    tls = Tls(certificate=made.certificate, key=made.key, client_authority=authority)
    with GrpcServer(row_world.plane, tls=tls) as server:

        def live_as(client: Tls | None) -> bool:
            own = (
                {} if client is None else {"private_key": str(client.key), "certificate_chain": str(client.certificate)}
            )
            return live(server.port, ssl=True, root_certificates=str(authority), **own)

        assert live_as(made)
        for stranger in (None, other):
            with pytest.raises(triton.InferenceServerException):
                live_as(stranger)


def test_a_renewed_certificate_is_served_without_a_restart(row_world, tmp_path, caplog) -> None:
    tls, renewed = local_authority(tmp_path / "old"), local_authority(tmp_path / "new")
    with GrpcServer(row_world.plane, tls=tls) as server:
        before = served_certificate(server.port)
        tls.certificate.write_bytes(renewed.certificate.read_bytes())  # whose key is not there yet
        assert served_certificate(server.port) == before
        assert "the certificate of gRPC was not renewed" in caplog.text
        tls.key.write_bytes(renewed.key.read_bytes())
        assert served_certificate(server.port) == ssl.PEM_cert_to_DER_cert(renewed.certificate.read_text())


def test_what_is_no_certificate_is_an_error_of_the_settings(row_world, tmp_path) -> None:
    (tmp_path / "certificate.pem").write_text("nothing")
    with pytest.raises(UsageError, match=r"tls\.certificate: expected a file in PEM, found none"):
        GrpcServer(row_world.plane, tls=Tls(certificate=tmp_path / "certificate.pem", key=tmp_path / "key.pem"))


def test_in_public_grpc_needs_tls_and_tokens(row_world, tmp_path) -> None:
    with pytest.raises(SecurityError, match="authentication"):
        GrpcServer(row_world.plane, "0.0.0.0", tls=local_authority(tmp_path))
