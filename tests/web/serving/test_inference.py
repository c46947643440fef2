"""The Open Inference Protocol over a real socket: by Triton's own client, by hand, and what is wrong."""

import http.client
import json
import struct

import numpy as np
import pytest

from bakeoff.core.types import Column, ColumnFormat, Signature
from bakeoff.web.problems import HttpError
from bakeoff.web.serving.tensors import Tensor, packed, rows_of, unpacked


def tensor(client, name, values, datatype):
    made = client.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values)
    return made


@pytest.fixture
def triton():
    return pytest.importorskip("tritonclient.http")


@pytest.fixture
def stock(triton, row_world):
    with triton.InferenceServerClient(row_world.server.url.removeprefix("http://")) as client:
        yield client


def send(row_world, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", row_world.server.port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read() or b"null")
    finally:
        connection.close()


def test_the_stock_client_finds_out_what_is_served(stock) -> None:
    assert stock.is_server_live()
    assert stock.is_server_ready()
    assert stock.is_model_ready("signs")
    assert stock.is_model_ready("signs", "3")
    assert stock.get_server_metadata()["name"] == "bakeoff"
    assert stock.get_model_metadata("signs") == {
        "name": "signs",
        "versions": ["3"],
        "platform": "bakeoff",
        "inputs": [
            {"name": "x", "datatype": "FP64", "shape": [-1, 1]},
            {"name": "note", "datatype": "BYTES", "shape": [-1, 1]},
        ],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
            {"name": "prediction_id", "datatype": "BYTES", "shape": [-1]},
        ],
    }


def test_the_stock_client_reads_index_configuration_and_statistics(triton, stock) -> None:
    assert stock.get_model_repository_index() == [
        {"name": name, "version": "3", "state": "READY"} for name in ("signs", "topics", "sums")
    ]
    assert stock.get_model_config("signs", "3") == {
        "name": "signs",
        "platform": "bakeoff",
        "backend": "bakeoff",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": [
            {"name": "x", "data_type": "TYPE_FP64", "dims": [-1, 1]},
            {"name": "note", "data_type": "TYPE_STRING", "dims": [-1, 1]},
        ],
        "output": [
            {"name": "label", "data_type": "TYPE_STRING", "dims": [-1]},
            {"name": "probabilities", "data_type": "TYPE_FP64", "dims": [-1, 2]},
            {"name": "prediction_id", "data_type": "TYPE_STRING", "dims": [-1]},
        ],
    }

    def counted(*model):
        listed = stock.get_inference_statistics(*model)["model_stats"]
        return next(each for each in listed if each["name"] == "sums")

    before = counted("sums")
    stock.infer("sums", [tensor(triton, "data", np.array([[1, 2], [3, 4.5]]), "FP64")])
    with pytest.raises(triton.InferenceServerException, match="unknown keys"):
        stock.infer("sums", [tensor(triton, "z", np.array([1.0]), "FP64")])
    after = counted()
    assert after["inference_count"] - before["inference_count"] == 2
    assert after["execution_count"] - before["execution_count"] == 1
    assert after["inference_stats"]["fail"]["count"] - before["inference_stats"]["fail"]["count"] == 1
    assert after["inference_stats"]["success"]["ns"] > before["inference_stats"]["success"]["ns"]
    assert after["last_inference"] > 1.7e12


def test_models_are_loaded_by_releases_alone(triton, stock) -> None:
    with pytest.raises(triton.InferenceServerException, match="bakeoff endpoints release MODEL --endpoint signs"):
        stock.load_model("signs")
    with pytest.raises(triton.InferenceServerException, match="expected no 'unload'"):
        stock.unload_model("signs")
    with pytest.raises(triton.InferenceServerException, match="expected model 'signs'"):
        stock.load_model("nothing")
    assert stock.is_model_ready("signs")


@pytest.mark.parametrize("binary", [True, False])
def test_rows_with_texts_by_the_stock_client(triton, stock, row_world, binary) -> None:
    x = triton.InferInput("x", [2, 1], "FP64")
    x.set_data_from_numpy(np.array([[1.5], [-2.0]]), binary_data=binary)
    note = triton.InferInput("note", [2], "BYTES")
    note.set_data_from_numpy(np.array(["größer", ""], dtype=object), binary_data=binary)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("label", "probabilities")]
    result = stock.infer("signs", [x, note], outputs=outputs, request_id="call-7", model_version="3")
    labels = result.as_numpy("label").tolist()
    assert labels == ([b"pos", b"neg"] if binary else ["pos", "neg"])
    assert result.as_numpy("probabilities").tolist() == [[0.25, 0.75], [0.75, 0.25]]
    response = result.get_response()
    assert (response["id"], response["model_version"], response["parameters"]) == (
        "call-7",
        "3",
        {"classes": '["neg","pos"]'},
    )
    assert [dict(event.row) for event in row_world.logged()][-2:] == [
        {"x": 1.5, "note": "größer"},
        {"x": -2.0, "note": ""},
    ]


def test_one_tensor_holds_all_numbers_in_order(triton, stock) -> None:
    result = stock.infer("sums", [tensor(triton, "data", np.array([[1, 2], [3, 4.5]]), "FP64")])
    assert result.as_numpy("value").tolist() == [21.0, 48.0]
    a = tensor(triton, "a", np.array([1, 3], dtype=np.int64), "INT64")
    b = tensor(triton, "b", np.array([0.5, np.nan], dtype=np.float32), "FP32")
    assert stock.infer("sums", [b, a]).as_numpy("value").tolist() == [6.0, 3.0]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_requests_of_the_stock_client(triton, stock, encoding) -> None:
    data = tensor(triton, "data", np.array([[1, 2], [3, 4.5]]), "FP64")
    result = stock.infer("sums", [data], request_compression_algorithm=encoding)
    assert result.as_numpy("value").tolist() == [21.0, 48.0]


def test_what_would_be_answered_in_another_form_is_refused(triton, stock) -> None:
    with pytest.raises(triton.InferenceServerException, match=r"a\.\.shape: expected \[1, 2\] for one row"):
        stock.infer("sums", [tensor(triton, "a.", np.array([1.0, 2.0]), "FP64")])
    x = tensor(triton, "x", np.array([1.0]), "FP64")
    wanted = triton.InferRequestedOutput("probabilities", class_count=1)
    with pytest.raises(triton.InferenceServerException, match="the output probabilities has all classes"):
        stock.infer("signs", [x], outputs=[wanted])


def test_answers_have_ids_for_feedback(triton, stock, row_world) -> None:
    text = tensor(triton, "text", np.array(["short"], dtype=object), "BYTES")
    answer_id = stock.infer("topics", [text]).as_numpy("prediction_id")[0]
    answer_id = answer_id.decode() if isinstance(answer_id, bytes) else answer_id
    items = json.dumps({"items": [{"id": answer_id, "label": "short"}]})
    status, recorded = send(row_world, "POST", "/endpoints/topics/feedback", items)
    assert (status, recorded["accepted"]) == (200, 1)


def test_json_of_any_nesting_and_no_rows(row_world) -> None:
    def values(inputs):
        status, body = send(row_world, "POST", "/v2/models/sums/infer", json.dumps({"inputs": inputs}))
        assert status == 200, body
        return body["outputs"][0]["data"]

    flat = {"name": "all", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4]}
    assert values([flat]) == values([flat | {"data": [[1, 2], [3, 4]]}]) == [21.0, 43.0]
    assert values([flat | {"shape": [0, 2], "data": []}]) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": [2, 1]}, "2 elements, as the shape [2, 1] says"),
        ({"datatype": "FLOAT"}, "expected BOOL or UINT8"),
        ({"shape": [1, 2], "data": [1, 2]}, "expected [1] or [1, 1]"),
        ({"shape": [-1]}, "whole numbers from 0"),
        ({"data": [[1], 2]}, "lists of them of one depth"),
        ({"data": ["many"]}, "row 1"),
        ({"name": "z"}, "unknown keys: 'z'"),
        ({"parameters": {"binary_data_size": 8}}, "at most the 0 bytes"),
    ],
)
def test_what_is_wrong_is_told_in_the_form_of_the_protocol(row_world, change, message) -> None:
    inputs = [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]} | change]
    status, body = send(row_world, "POST", "/v2/models/signs/infer", json.dumps({"inputs": inputs}))
    assert status in {400, 422}
    assert message in body["error"], body


def test_names_and_versions_that_there_are_not(row_world) -> None:
    status, body = send(row_world, "GET", "/v2/models/nothing")
    assert status == 404
    assert "expected model 'signs' or 'topics' or 'sums'" in body["error"]
    assert send(row_world, "GET", "/v2/models/signs/versions/4")[1] == {"error": "expected version 3, received '4'"}
    body = json.dumps({"inputs": [], "outputs": [{"name": "score"}]})
    assert send(row_world, "POST", "/v2/models/signs/infer", body)[0] == 400


def test_a_header_that_is_no_length_is_refused(row_world) -> None:
    for header in ("-1", "99999", "x", "9" * 40):
        status, body = send(
            row_world, "POST", "/v2/models/signs/infer", b"{}", **{"Inference-Header-Content-Length": header}
        )
        assert status == 400
        assert "expected the length of the JSON" in body["error"]


def test_bytes_are_read_as_they_were_written() -> None:
    texts = Tensor(name="t", datatype="BYTES", shape=(3,), values=["a", "", "ßß"])
    assert packed(texts) == b"\x01\0\0\0a\0\0\0\0\x04\0\0\0\xc3\x9f\xc3\x9f"
    assert unpacked("t", "BYTES", packed(texts)) == ["a", "", "ßß"]
    assert unpacked("t", "INT16", struct.pack("<2h", -2, 300)) == [-2, 300]
    assert unpacked("t", "BOOL", b"\x01\x00") == [True, False]
    for data in (b"\x01", b"\x05\0\0\0ab", b"\xff\xff\xff\xff"):
        with pytest.raises(HttpError, match="behind its length"):
            unpacked("t", "BYTES", data)
    with pytest.raises(HttpError, match="UTF-8"):
        unpacked("t", "BYTES", b"\x01\0\0\0\xff")
    with pytest.raises(HttpError, match="8 for each element"):
        unpacked("t", "FP64", b"1234567")


def test_a_vector_is_a_tensor_of_its_width() -> None:
    parts = [
        Column(name=f"v[{at}]", kind="numeric", dtype="Float64", format=ColumnFormat(vector="v", position=at, length=3))
        for at in range(3)
    ]
    signature = Signature(task="regression", inputs=tuple(parts))
    vectors = Tensor(name="v", datatype="FP64", shape=(2, 3), values=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert rows_of([vectors], signature) == [{"v": [1.0, 2.0, 3.0]}, {"v": [4.0, 5.0, 6.0]}]
    with pytest.raises(HttpError, match=r"inputs\.v\.shape: expected rows of one element or more"):
        rows_of([Tensor(name="v", datatype="FP64", shape=(2, 0), values=[])], signature)
