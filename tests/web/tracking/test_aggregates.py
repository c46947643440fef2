"""What many traces come to, as MLflow's clients ask for it."""

import pytest

TRACES = "3.0/mlflow/traces"


@pytest.fixture
def metrics(client):
    def metrics(view, name, *kinds, expected=200, **more):
        aggregations = [
            {"aggregation_type": "PERCENTILE", "percentile_value": kind}
            if isinstance(kind, int)
            else {"aggregation_type": kind}
            for kind in kinds
        ]
        given = {"experiment_ids": ["0"], "view_type": view, "metric_name": name, "aggregations": aggregations, **more}
        answer = client("POST", f"{TRACES}/metrics", expected, **given)
        if expected != 200:
            return answer["message"]
        return [(tuple(point["dimensions"].values()), point["values"]) for point in answer["data_points"]]

    return metrics


@pytest.fixture
def logged(client, send, span):
    """Four traces, a minute apart, two of which ask a model of a known price."""
    for number, (name, took, code) in enumerate([("a", 10, 1), ("a", 20, 1), ("b", 40, 2), ("b", 80, 1)], start=1):
        outer = span(
            1, trace=number, name=name, took_ms=took, code=code, start_ms=60_000 * number, session__id=f"s{name}"
        )
        inner = span(
            2,
            trace=number,
            parent=1,
            name="ask",
            took_ms=took // 2,
            start_ms=60_000 * number,
            gen_ai__request__model="gpt-4o" if name == "a" else "unknown",
            gen_ai__provider__name="openai",
            gen_ai__usage__input_tokens=100_000 * number,
            gen_ai__usage__output_tokens=10_000,
        )
        send(outer, inner)
    return [f"tr-{number:032x}" for number in (1, 2, 3, 4)]


def test_traces_are_counted_and_timed_by_name_status_and_time(logged, metrics):
    assert metrics("TRACES", "trace_count", "COUNT") == [((), {"COUNT": 4})]
    assert metrics(1, "trace_count", 1, dimensions=["trace_status"], expected=400).startswith("Found invalid aggreg")
    assert metrics("TRACES", "trace_count", "COUNT", dimensions=["trace_name", "trace_status"]) == [
        (("a", "OK"), {"COUNT": 2}),
        (("b", "ERROR"), {"COUNT": 1}),
        (("b", "OK"), {"COUNT": 1}),
    ]
    assert metrics("TRACES", "session_count", "COUNT") == [((), {"COUNT": 2})]
    assert metrics("TRACES", "latency", "AVG", "MIN", "MAX", 50, 75) == [
        ((), {"AVG": 37.5, "MIN": 10, "MAX": 80, "P50.0": 30.0, "P75.0": 50.0})
    ]
    over_time = {"time_interval_seconds": 120, "start_time_ms": 0, "end_time_ms": 200_000}
    assert metrics("TRACES", "latency", "SUM", **over_time) == [
        (("1970-01-01T00:00:00+00:00",), {"SUM": 10}),
        (("1970-01-01T00:02:00+00:00",), {"SUM": 60}),
    ]


def test_tokens_and_costs_are_summed_by_model(logged, metrics):
    assert metrics("TRACES", "input_tokens", "SUM", dimensions=["trace_name"]) == [
        (("a",), {"SUM": 300_000}),
        (("b",), {"SUM": 700_000}),
    ]
    (of_model,) = metrics("SPANS", "total_cost", "SUM", dimensions=["span_model_name"])
    assert of_model == (("gpt-4o",), {"SUM": pytest.approx(0.3 * 2.5 + 0.02 * 10)})
    assert metrics("SPANS", "span_count", "COUNT", dimensions=["span_type", "span_model_provider"]) == [
        (("LLM", "openai"), {"COUNT": 4})
    ]
    assert metrics("SPANS", "latency", "MAX", filters=["span.name = 'ask'", "trace.status = 'ERROR'"]) == [
        ((), {"MAX": 20})
    ]


def test_judgements_are_averaged(client, logged, metrics):
    for trace, value in zip(logged, (True, "yes", "no", "so-so"), strict=True):
        source = {"source_type": "HUMAN", "source_id": "ada"}
        client(
            "POST",
            f"{TRACES}/{trace}/assessments",
            assessment={"assessment_name": "good", "feedback": {"value": value}, "source": source},
        )
    assert metrics("ASSESSMENTS", "assessment_value", "AVG", dimensions=["assessment_name"]) == [
        (("good",), {"AVG": pytest.approx(2 / 3)})
    ]
    assert metrics("ASSESSMENTS", "assessment_count", "COUNT", dimensions=["assessment_value"]) == [
        (('"no"',), {"COUNT": 1}),
        (('"so-so"',), {"COUNT": 1}),
        (('"yes"',), {"COUNT": 1}),
        (("true",), {"COUNT": 1}),
    ]
    assert metrics("ASSESSMENTS", "assessment_count", "COUNT", filters=["assessment.type = 'expectation'"]) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"filters": ["status = 'OK'"]}, "Invalid identifier 'status'"),
        ({"filters": ["trace.status != 'OK'"]}, "Invalid comparator: '!=', only '=' operator is supported"),
        ({"filters": ["trace.name LIKE 'a%'"]}, "Invalid entity 'name' specified for view type 'trace'"),
        ({"filters": ["trace.tag = 'a'"]}, "Filtering by tag requires a key"),
        ({"filters": ["span.name = 'a'"]}, "Filtering by span is only supported for SPANS view type"),
        ({"filters": ["trace.status = OK"]}, "Expected a quoted string value"),
        ({"filters": ["'"]}, "Invalid filter"),
        ({"dimensions": ["span_name"]}, "Found invalid dimension(s): ['span_name']"),
        ({"metric_name": "age"}, "metric_name must be one of"),
        ({"time_interval_seconds": 60}, "start_time_ms and end_time_ms are required"),
        ({"time_interval_seconds": 0}, "time_interval_seconds must be 1 or more"),
        ({"view_type": "ROWS"}, "Invalid value 'ROWS' for parameter 'view_type'"),
    ],
)
def test_a_wrong_question_is_refused(metrics, changed, message):
    given = {"view": "TRACES", "name": "trace_count", **changed}
    view, name = given.pop("view_type", given.pop("view")), given.pop("metric_name", given.pop("name"))
    assert message in metrics(view, name, "COUNT", expected=400, **given)


def test_a_quote_in_a_value_is_written_as_in_other_filters(client, send, span, metrics):
    send(span(1, name="it's"), span(2, parent=1, name='say "x"'))
    for text in ("'it''s'", r"'it\'s'", '"it\'s"'):
        assert metrics("SPANS", "span_count", "COUNT", filters=[f"span.name = {text}"]) == [((), {"COUNT": 1})], text
    assert metrics("SPANS", "span_count", "COUNT", filters=['span.name = "say ""x"""']) == [((), {"COUNT": 1})]


def test_groups_come_page_by_page(client, logged):
    given = {
        "experiment_ids": ["0"], "view_type": "TRACES", "metric_name": "trace_count", "max_results": 2,
        "aggregations": [{"aggregation_type": "COUNT"}], "dimensions": ["trace_name", "trace_status"],
    }  # fmt: skip
    first = client("POST", f"{TRACES}/metrics", **given)
    last = client("POST", f"{TRACES}/metrics", **given, page_token=first["next_page_token"])
    points = [*first["data_points"], *last["data_points"]]
    assert [tuple(each["dimensions"].values()) for each in points] == [("a", "OK"), ("b", "ERROR"), ("b", "OK")]
    assert "next_page_token" not in last
    for page in ("x", '["a"]', "7", "[1, 2]"):
        message = client.refused("POST", f"{TRACES}/metrics", "INVALID_PARAMETER_VALUE", **given, page_token=page)
        assert "expected a page_token that an answer to the same question named" in message


def test_a_percentile_outside_of_its_range_is_refused(metrics):
    assert "between 0 and 100" in metrics("TRACES", "latency", 101, expected=400)
