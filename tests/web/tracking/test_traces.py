"""Traces: spans by OTLP in every writing, what follows from them, search, tags, assessments."""

import gzip
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

TRACES = "3.0/mlflow/traces"


def found(client, text=None, **more):
    where = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]
    given = {"locations": where, **more} | ({} if text is None else {"filter": text})
    return [each["trace_id"] for each in client("POST", f"{TRACES}/search", **given)["traces"]]


def test_a_trace_follows_from_its_spans(client, send, span):
    send(span(2, parent=1, name="inner", start_ms=1001, gen_ai__usage__input_tokens=3, gen_ai__usage__output_tokens=2))
    trace_id = f"tr-{1:032x}"
    info = client("GET", f"{TRACES}/{trace_id}")["trace"]["trace_info"]
    assert info["state"] == "IN_PROGRESS"
    send(span(1, name="outer", took_ms=40, mlflow__spanInputs="what?", mlflow__spanOutputs="this", session__id="s1"))
    info = client("GET", f"{TRACES}/{trace_id}")["trace"]["trace_info"]
    assert (info["state"], info["request_time"], info["execution_duration"]) == (
        "OK",
        "1970-01-01T00:00:01.000Z",
        "0.040s",
    )
    assert (info["request_preview"], info["response_preview"]) == ('"what?"', '"this"')
    assert info["tags"]["mlflow.traceName"] == "outer"
    assert info["trace_metadata"]["mlflow.trace.session"] == "s1"
    assert json.loads(info["trace_metadata"]["mlflow.trace.tokenUsage"]) == {
        "input_tokens": 3,
        "output_tokens": 2,
        "total_tokens": 5,
    }
    whole = client("GET", f"{TRACES}/get", trace_id=trace_id)["trace"]
    assert [each["name"] for each in whole["spans"]] == ["outer", "inner"]


def test_spans_sent_twice_count_once(client, send, span):
    for _ in range(2):
        send(span(1, gen_ai__usage__input_tokens=3, gen_ai__usage__output_tokens=2))
    info = client("GET", f"{TRACES}/tr-{1:032x}")["trace"]["trace_info"]
    assert json.loads(info["trace_metadata"]["mlflow.trace.tokenUsage"])["input_tokens"] == 3
    assert len(client("GET", f"{TRACES}/get", trace_id=f"tr-{1:032x}")["trace"]["spans"]) == 1


def test_usage_counts_once_however_often_and_in_what_order_a_span_comes(client, send, span):
    """Twice in one request, or first as it began and then as it ended."""
    whole = {"gen_ai__usage__input_tokens": 3, "gen_ai__usage__output_tokens": 2}
    send(span(1, **whole), span(1, **whole))
    send(span(1, trace=2))
    send(span(1, trace=2, **whole), span(2, parent=1, trace=2, **whole))
    send(span(1, trace=2, **whole))
    for trace, tokens in ((1, 3), (2, 6)):
        metadata = client("GET", f"{TRACES}/tr-{trace:032x}")["trace"]["trace_info"]["trace_metadata"]
        assert json.loads(metadata["mlflow.trace.tokenUsage"])["input_tokens"] == tokens
    assert found(client, "input_tokens = 6") == [f"tr-{2:032x}"]


def test_texts_of_two_exports_do_not_run_together(client, send, span):
    send(span(2, parent=1, name="inner"))
    send(span(1, name="outer"))
    assert found(client, "text LIKE '%{}outer%'") == []
    assert found(client, "text LIKE '%inner%outer%'") == [f"tr-{1:032x}"]


def test_protobuf_and_gzip_are_read_alike(client, send, span):
    proto = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    message = proto.ExportTraceServiceRequest()
    sent = message.resource_spans.add().scope_spans.add().spans.add()
    sent.trace_id, sent.span_id, sent.name = bytes(15) + b"\x07", bytes(7) + b"\x01", "pb"
    sent.start_time_unix_nano, sent.end_time_unix_nano = 10**9, 2 * 10**9
    sent.attributes.add(key="n").value.int_value = 2**60
    data = gzip.compress(message.SerializeToString())
    headers = {"content_type": "application/x-protobuf", "content_encoding": "gzip"}
    assert client.raw("POST", "/v1/traces", data, **headers)[0] == 200
    send(span(1, name="js", trace=8), encode=gzip.compress, content_encoding="gzip")
    names = [client("GET", f"{TRACES}/get", trace_id=f"tr-{n:032x}")["trace"]["spans"][0]["name"] for n in (7, 8)]
    assert names == ["pb", "js"]


def test_what_is_no_export_is_refused(client):
    for data, headers in (
        (b"{}", {"content_type": "application/json"}),
        (b"{", {"content_type": "application/json"}),
        (b"\xff\xff", {"content_type": "application/x-protobuf"}),
        (b"{}", {"content_type": "text/plain"}),
        (b"{}", {"content_type": "application/json", "content_encoding": "gzip"}),
        (
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"zz","spanId":"1"}]}]}]}',
            {"content_type": "application/json"},
        ),
    ):
        status, answer, _ = client.raw("POST", "/v1/traces", data, **headers)
        assert status == 400, (data, answer)
    bomb = gzip.compress(b" " * (80 << 20))
    status, answer, _ = client.raw("POST", "/v1/traces", bomb, content_type="application/json", content_encoding="gzip")
    assert status == 400, answer


def test_traces_are_searched(client, send, span):
    for number, (code, took) in enumerate([(1, 5), (2, 50), (1, 500)], start=1):
        send(
            span(
                1,
                trace=number,
                code=code,
                took_ms=took,
                start_ms=1000 * number,
                name=f"n{number}",
                color=f"c{number}",
                gen_ai__usage__input_tokens=number,
            )
        )
    ids = [f"tr-{number:032x}" for number in (1, 2, 3)]
    assert found(client) == ids[::-1]
    for text, expected in (
        ("status = 'ERROR'", [ids[1]]),
        ("trace.execution_time_ms > 20", [ids[2], ids[1]]),
        ("trace.text LIKE '%c3%'", [ids[2]]),
        ("span.name = 'n2'", [ids[1]]),
        ("span.attributes.color LIKE 'c1'", [ids[0]]),
        ("attributes.input_tokens >= 2 AND status = 'OK'", [ids[2]]),
        ("tags.`mlflow.traceName` = 'n1'", [ids[0]]),
    ):
        assert found(client, text) == expected, text
    assert found(client, order_by=["execution_time_ms ASC"], max_results=2) == ids[:2]


def test_tags_links_and_deletion(client, send, span):
    send(span(1, trace=1), span(1, trace=2, start_ms=2000))
    one, two = (f"tr-{number:032x}" for number in (1, 2))
    run = client.run()
    client("PATCH", f"{TRACES}/{one}/tags", key="k", value="v")
    client("POST", "2.0/mlflow/traces/link-to-run", trace_ids=[two], run_id=run)
    assert found(client, "tags.k = 'v'") == [one]
    assert found(client, f"run_id = '{run}'") == [two]
    assert client("POST", f"{TRACES}/delete-traces", experiment_id="0", request_ids=[one])["traces_deleted"] == 1
    assert client.refused("GET", f"{TRACES}/{one}", "RESOURCE_DOES_NOT_EXIST", 404)
    assert (
        client("POST", f"{TRACES}/delete-traces", experiment_id="0", max_timestamp_millis=10**13)["traces_deleted"] == 1
    )
    assert found(client) == []


def test_a_correction_overrides_and_its_removal_restores(client, send, span):
    send(span(1))
    trace = f"tr-{1:032x}"
    source = {"source_type": "HUMAN", "source_id": "ada"}
    made = client(
        "POST",
        f"{TRACES}/{trace}/assessments",
        assessment={"assessment_name": "good", "feedback": {"value": True}, "source": source},
    )
    first = made["assessment"]["assessment_id"]
    assert found(client, "feedback.good = 'true'") == [trace]
    correction = {"assessment_name": "good", "feedback": {"value": False}, "source": source, "overrides": first}
    second = client("POST", f"{TRACES}/{trace}/assessments", assessment=correction)["assessment"]["assessment_id"]
    assert client("GET", f"{TRACES}/{trace}/assessments/{first}")["assessment"]["valid"] is False
    assert found(client, "feedback.good = 'true'") == []
    client(
        "PATCH",
        f"{TRACES}/{trace}/assessments/{second}",
        assessment={"rationale": "seen twice"},
        update_mask="rationale",
    )
    assert client("GET", f"{TRACES}/{trace}/assessments/{second}")["assessment"]["rationale"] == "seen twice"
    client("DELETE", f"{TRACES}/{trace}/assessments/{second}")
    assert client("GET", f"{TRACES}/{trace}/assessments/{first}")["assessment"]["valid"] is True


def test_links_that_come_at_once_are_all_kept(client, send, span):
    send(span(1))
    trace_id, runs = f"tr-{1:032x}", [client.run() for _ in range(8)]

    def link(run_id):
        client("POST", "2.0/mlflow/traces/link-to-run", trace_ids=[trace_id], run_id=run_id)
        prompt = {"name": run_id, "version": "1"}
        client("POST", "2.0/mlflow/traces/link-prompts", trace_id=trace_id, prompt_versions=[prompt])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(link, runs))
    assert all(found(client, f"run_id = '{run_id}'") == [trace_id] for run_id in runs)
    tags = client("GET", f"{TRACES}/{trace_id}")["trace"]["trace_info"]["tags"]
    assert sorted(each["name"] for each in json.loads(tags["mlflow.linkedPrompts"])) == sorted(runs)


def test_what_an_old_client_says_of_its_trace_goes_before_what_spans_say(client, send, span):
    started = client(
        "POST", "2.0/mlflow/traces", experiment_id="0", timestamp_ms=500, tags=[{"key": "a", "value": "b"}]
    )
    trace_id = started["trace_info"]["request_id"]
    path = f"2.0/mlflow/traces/{trace_id}"
    ended = client("PATCH", path, timestamp_ms=700, status="ERROR", request_metadata=[{"key": "k", "value": "v"}])
    assert (ended["trace_info"]["status"], ended["trace_info"]["execution_time_ms"]) == ("ERROR", 200)
    send(span(1, start_ms=400, took_ms=900, mlflow__traceRequestId=trace_id))
    info = client("GET", f"{path}/info")["trace_info"]
    assert (info["status"], info["timestamp_ms"], info["execution_time_ms"]) == ("ERROR", 500, 200)
    assert {each["key"]: each["value"] for each in info["request_metadata"]} == {"k": "v"}
    message = client.refused("PATCH", path, "INVALID_PARAMETER_VALUE", timestamp_ms=700, status="DONE")
    assert message == "Invalid value 'DONE' for parameter 'status' supplied."


def test_links_may_come_before_their_trace(client, send, span):
    trace_id, run = f"tr-{1:032x}", client.run()
    client("POST", "2.0/mlflow/traces/link-to-run", trace_ids=[trace_id], run_id=run)
    prompt = {"name": "greeting", "version": "3"}
    client("POST", "2.0/mlflow/traces/link-prompts", trace_id=trace_id, prompt_versions=[prompt])
    client.refused("GET", f"{TRACES}/{trace_id}", "RESOURCE_DOES_NOT_EXIST", 404)
    client.refused("PATCH", f"{TRACES}/{trace_id}/tags", "RESOURCE_DOES_NOT_EXIST", 404, key="k", value="v")
    assert found(client) == []
    send(span(1, start_ms=1000))
    for text in (f"run_id = '{run}'", f"run_id IN ('{run}')", "prompt = 'greeting/3'"):
        assert found(client, text) == [trace_id], text
    assert found(client, "prompt = 'greeting/2'") == []
    body = client("GET", f"{TRACES}/{trace_id}")["trace"]["trace_info"]
    assert json.loads(body["tags"]["mlflow.linkedPrompts"]) == [prompt]


def test_a_trace_is_fetched_as_a_file(client, send, span):
    send(span(1, code=2, n=7), span(2, parent=1, inner__value="x"))
    path = f"/ajax-api/2.0/mlflow/get-trace-artifact?request_id=tr-{1:032x}"
    status, answer, headers = client.raw("GET", path)
    assert (status, headers["content-disposition"]) == (200, "attachment; filename=traces.json")
    outer, inner = json.loads(answer)["spans"]
    assert (outer["parent_span_id"], outer["status"]["code"], outer["attributes"]["n"]) == (
        None,
        "STATUS_CODE_ERROR",
        "7",
    )
    assert (inner["parent_span_id"], inner["end_time_unix_nano"]) == (outer["span_id"], 1_005_000_000)
    assert client.raw("GET", "/ajax-api/2.0/mlflow/get-trace-artifact")[0] == 400


def test_the_first_span_is_given_back_with_the_name_of_its_service(client, span):
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}
    export = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span(1), span(2, parent=1)]}]}]}
    client.raw("POST", "/v1/traces", json.dumps(export).encode(), content_type="application/json")
    spans = client("GET", f"{TRACES}/get", trace_id=f"tr-{1:032x}")["trace"]["spans"]
    assert ["service.name" in [each["key"] for each in one.get("attributes", [])] for one in spans] == [True, False]


def test_foreign_spans_are_given_back_as_mlflow_reads_them(client, send, span):
    call = {"openinference__span__kind": "LLM", "input__value": '{"q": 1}', "output__value": "4"}
    tokens = {"llm__token_count__prompt": 1_000_000, "llm__token_count__completion": 0, "llm__model_name": "gpt-4o"}
    send(span(1, **call, **tokens, user__id="ada"))
    trace = client("GET", f"{TRACES}/get", trace_id=f"tr-{1:032x}")["trace"]
    attributes = {each["key"]: each["value"] for each in trace["spans"][0]["attributes"]}
    assert attributes["mlflow.spanType"] == {"string_value": "LLM"}
    assert attributes["mlflow.spanInputs"] == {
        "kvlist_value": {"values": [{"key": "q", "value": {"int_value": "1"}}]},
    }
    assert attributes["mlflow.spanOutputs"] == {"string_value": "4"}
    metadata = trace["trace_info"]["trace_metadata"]
    assert json.loads(metadata["mlflow.trace.cost"])["total_cost"] == 2.5
    assert metadata["mlflow.trace.user"] == "ada"
    ids = [f"tr-{1:032x}"]
    for text, expected in (
        ("attributes.cost_usd > 2", ids),
        ("attributes.cost_usd > 3", []),
        ("metadata.`mlflow.trace.user` = 'ada'", ids),
        ("span.type = 'LLM'", ids),
        ("span.attributes.mlflow.llm.model = 'gpt-4o'", ids),
    ):
        assert found(client, text) == expected, text


def test_times_that_cannot_be_written_are_refused(client, send, span):
    message = client.refused(
        "POST", "2.0/mlflow/traces", "INVALID_PARAMETER_VALUE", experiment_id="0", timestamp_ms=2**60
    )
    assert "request_time" in message
    send(span(1, start_ms=10**30), expected=400)
    send(span(1))
    path, judged = f"{TRACES}/tr-{1:032x}/assessments", {"assessment_name": "a", "feedback": {"value": 1}}
    client.refused("POST", path, "INVALID_PARAMETER_VALUE", assessment={**judged, "create_time": "soon"})
    client.refused("POST", path, "INVALID_PARAMETER_VALUE", assessment={**judged, "feedback": 1})
