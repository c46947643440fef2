"""Traces as the stock client, and exporters of other conventions, log and search them."""

import json
import urllib.request

import pytest

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def ids(mlflow):
    """Of the traces that a filter finds, oldest first."""

    def ids(text=None, **more):
        traces = mlflow.search_traces(
            filter_string=text, return_type="list", order_by=["timestamp_ms ASC"], include_spans=False, **more
        )
        return [each.info.trace_id for each in traces]

    return ids


def ask(mlflow, question, *, tokens=0, fails=False, user="ada", session="s1"):
    """One trace of two spans, the inner one a call to a model of a known price."""

    @mlflow.trace(name="answer", span_type="CHAIN")
    def answer(question):
        mlflow.update_current_trace(metadata={"mlflow.trace.user": user, "mlflow.trace.session": session})
        with mlflow.start_span("model", span_type="LLM") as span:
            span.set_inputs({"messages": [{"role": "user", "content": question}]})
            span.set_attribute("mlflow.llm.model", "tiny")
            span.set_attribute(
                "mlflow.chat.tokenUsage", {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}
            )
            span.set_attribute("topic", question.split()[0])
            if fails:
                raise ValueError(question)
            span.set_outputs("yes")
        return "yes"

    try:
        answer(question)
    except ValueError:
        assert fails
    return mlflow.get_last_active_trace_id()


def test_nested_spans_come_back(mlflow):
    trace_id = ask(mlflow, "rain tomorrow?", tokens=5)
    trace = mlflow.get_trace(trace_id)
    outer, inner = trace.data.spans
    assert (outer.name, inner.name, inner.parent_id) == ("answer", "model", outer.span_id)
    assert (inner.span_type, inner.outputs) == ("LLM", "yes")
    assert trace.info.token_usage == {"input_tokens": 5, "output_tokens": 0, "total_tokens": 5}
    assert trace.info.cost["total_cost"] == pytest.approx(5 * 10.0 / 1e6)


def test_traces_are_found_by_what_people_ask_for(mlflow, ids):
    cheap = ask(mlflow, "rain tomorrow?", tokens=1000)
    dear = ask(mlflow, "snow tomorrow?", tokens=1_000_000, user="bob")
    failed = ask(mlflow, "rain forever?", fails=True, session="s2")
    mlflow.set_trace_tag(dear, "reviewed", "no")
    for text, expected in (
        (None, [cheap, dear, failed]),
        ("trace.text LIKE '%forever%'", [failed]),
        ("span.attributes.topic = 'rain'", [cheap, failed]),
        ("span.name = 'model' AND span.type = 'LLM' AND span.status = 'ERROR'", [failed]),
        ("attributes.cost_usd > 1", [dear]),
        ("attributes.total_tokens < 2000 AND attributes.total_tokens > 0", [cheap]),
        ("trace.status = 'ERROR'", [failed]),
        ("trace.execution_time_ms >= 0", [cheap, dear, failed]),
        ("trace.execution_time_ms > 1000000", []),
        ("metadata.`mlflow.trace.user` = 'bob'", [dear]),
        ("metadata.`mlflow.trace.session` = 's2'", [failed]),
        ("tags.reviewed = 'no'", [dear]),
        ("tags.reviewed IS NULL AND trace.status = 'OK'", [cheap]),
        ("trace.name = 'answer' AND trace.text ILIKE '%SNOW%'", [dear]),
    ):
        assert ids(text) == expected, text


def test_judgements_are_logged_corrected_and_searched(mlflow, ids):
    trace_id = ask(mlflow, "rain tomorrow?")
    first = mlflow.log_feedback(trace_id=trace_id, name="good", value=False)
    mlflow.override_feedback(trace_id=trace_id, assessment_id=first.assessment_id, value=True)
    mlflow.log_expectation(trace_id=trace_id, name="answer", value={"rain": True})
    assert ids("feedback.good = 'true'") == [trace_id]
    assert ids("feedback.good = 'false'") == []
    assessments = {each.name: each for each in mlflow.get_trace(trace_id).info.assessments if each.valid is not False}
    assert (assessments["good"].value, assessments["answer"].value) == (True, {"rain": True})


def test_runs_and_prompts_are_linked_to_traces(mlflow, ids):
    prompt = mlflow.genai.register_prompt("greeting", "Say {{what}}")
    with mlflow.start_run() as run:
        inside = ask(mlflow, "rain tomorrow?")
    outside = ask(mlflow, "snow tomorrow?")
    client = mlflow.MlflowClient()
    client.link_traces_to_run([outside], run.info.run_id)
    client.link_prompt_versions_to_trace([prompt], outside)
    assert ids(f"attributes.run_id = '{run.info.run_id}'") == [inside, outside]
    assert ids("prompt = 'greeting/1'") == [outside]


def test_sums_by_model_over_the_rest_protocol(mlflow):
    ask(mlflow, "rain tomorrow?", tokens=1_000_000)
    ask(mlflow, "rain tomorrow?", tokens=500_000)
    from mlflow.entities.trace_metrics import AggregationType, MetricAggregation, MetricViewType

    store = mlflow.MlflowClient()._tracing_client.store
    experiment = mlflow.get_experiment(mlflow.search_traces(return_type="list")[0].info.experiment_id)
    (point,) = store.query_trace_metrics(
        experiment_ids=[experiment.experiment_id],
        view_type=MetricViewType.SPANS,
        metric_name="total_cost",
        aggregations=[
            MetricAggregation(AggregationType.SUM),
            MetricAggregation(AggregationType.PERCENTILE, percentile_value=50.0),
        ],
        dimensions=["span_model_name"],
    )
    assert point.dimensions == {"span_model_name": "tiny"}
    assert point.values == {"SUM": pytest.approx(15.0), "P50.0": pytest.approx(7.5)}


def openllmetry(**more):
    return {
        "gen_ai.system": "openai",
        "gen_ai.request.model": "tiny",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "hi",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "ho",
        "gen_ai.usage.prompt_tokens": 7,
        "gen_ai.usage.completion_tokens": 2,
        "llm.request.type": "chat",
        **more,
    }


def opentelemetry(**more):
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "tiny",
        "gen_ai.input.messages": json.dumps([{"role": "user", "content": "hi"}]),
        "gen_ai.output.messages": json.dumps([{"role": "assistant", "content": "ho"}]),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2,
        **more,
    }


def openinference(**more):
    return {
        "openinference.span.kind": "LLM",
        "llm.provider": "openai",
        "llm.model_name": "tiny",
        "input.value": json.dumps([{"role": "user", "content": "hi"}]),
        "output.value": json.dumps([{"role": "assistant", "content": "ho"}]),
        "llm.token_count.prompt": 7,
        "llm.token_count.completion": 2,
        **more,
    }


@pytest.mark.parametrize("convention", [openllmetry, opentelemetry, openinference])
def test_spans_of_the_opentelemetry_sdk_land_in_one_schema(mlflow, server, ids, convention):
    """The SDK makes the spans and its encoder the protobuf; only the sending is ours."""
    pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("app").start_as_current_span("chat tiny") as span:
        span.set_attributes(convention(**{"session.id": "s9", "user.id": "eve"}))
    experiment = mlflow.set_experiment(f"otel-{convention.__name__}")
    (made,) = exporter.get_finished_spans()
    request = urllib.request.Request(
        f"{server}/v1/traces",
        data=encoded(made),
        headers={"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment.experiment_id},
    )
    with urllib.request.urlopen(request) as response:
        assert response.status == 200
    (trace_id,) = ids("metadata.`mlflow.trace.user` = 'eve'")
    trace = mlflow.get_trace(trace_id)
    (span,) = trace.data.spans
    assert (span.inputs, span.outputs) == (
        [{"role": "user", "content": "hi"}],
        [{"role": "assistant", "content": "ho"}],
    )
    assert span.span_type in {"LLM", "CHAT_MODEL"}
    assert trace.info.token_usage == {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    assert trace.info.cost["total_cost"] == pytest.approx((7 * 10 + 2 * 20) / 1e6)
    assert (trace.info.request_preview, trace.info.response_preview) == ("hi", "ho")
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s9"


def encoded(span):
    """A span of the SDK as an export in protobuf."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    message = ExportTraceServiceRequest()
    sent = message.resource_spans.add().scope_spans.add().spans.add()
    sent.trace_id = span.context.trace_id.to_bytes(16, "big")
    sent.span_id = span.context.span_id.to_bytes(8, "big")
    sent.name, sent.start_time_unix_nano, sent.end_time_unix_nano = span.name, span.start_time, span.end_time
    for key, content in span.attributes.items():
        attribute = sent.attributes.add(key=key)
        setattr(attribute.value, "int_value" if isinstance(content, int) else "string_value", content)
    return message.SerializeToString()
