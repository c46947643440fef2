"""Questions in SQL: each view on both databases, what a query cannot reach, and the forms of an answer."""

import datetime as dt
import itertools
import json
import math
import re
import sqlite3
from pathlib import Path

import polars as pl
import pytest

from bakeoff import Project
from bakeoff.actions.sql import answered, document, read_answer, write_answer
from bakeoff.actions.sql_views import EVENTS, VIEWS, sql_of
from bakeoff.config.sections import StoreConfig
from bakeoff.core.errors import DataError
from bakeoff.core.events import FailureEvent, PredictionEvent
from bakeoff.core.records import Metric, RegisteredChange, RunChange, RunInput, Series
from bakeoff.project import wiring
from bakeoff.stores.history import pack
from bakeoff.web.tracking import otlp, traces
from bakeoff.web.tracking.context import Tracking


@pytest.fixture(params=["sqlite", "postgresql"])
def records(request, tmp_path):
    url = "sqlite:///records.db" if request.param == "sqlite" else request.getfixturevalue("empty_postgresql")
    made, _ = wiring.open_stores(
        tmp_path, StoreConfig(records=url, blobs="file://blobs"), itertools.count(1000).__next__
    )
    yield made
    made.close()


def ask(records, query, **how):
    with answered(query, records, None, **how) as path:
        return read_answer(path).collect().rows()


@pytest.fixture
def run(records):
    """A run with everything."""
    experiment = records.experiments.open("e").experiment_id
    run = records.runs.start(experiment, "first", start_ms=2000)
    values = [Metric(key="loss", value=math.nan), Metric(key="loss", value=math.inf, step=1, time_ms=7)]
    series = Series(model_id="m-1", dataset_name="d", dataset_digest="v")
    change = RunChange(
        run_id=run.run_id,
        metrics=[*values, Metric(key="acc", value=0.5, step=2, series=series)],
        params={"depth": "3"},
        tags={"who": "ü"},
        inputs=[RunInput(name="d", version="v", context="test")],
        status="FINISHED",
        end_ms=4500,
    )
    records.runs.apply([change])
    records.runs.apply([RunChange(run_id=run.run_id, metrics=[Metric(key="acc", value=0.75, step=3)])])
    return run.run_id


def test_runs_and_what_they_logged(records, run):
    started, ended = (dt.datetime(1970, 1, 1, 0, 0, second, micro) for second, micro in ((2, 0), (4, 500_000)))  # noqa: DTZ001
    assert ask(records, "SELECT name, experiment, status, started, ended, seconds FROM runs") == [
        ("first", "e", "FINISHED", started, ended, 2.5)
    ]
    latest = ask(records, "SELECT key, value, step FROM metrics WHERE run_id = (SELECT run_id FROM runs) ORDER BY key")
    assert latest == [("acc", 0.75, 3), ("loss", math.inf, 1)]
    history = ask(records, "SELECT * EXCLUDE (run_id, logged_at) FROM metric_history ORDER BY key, step")
    assert history[:2] == [("acc", 0.5, 2, "m-1", "d", "v"), ("acc", 0.75, 3, None, None, None)]
    assert math.isnan(history[2][1])
    assert history[3][:3] == ("loss", math.inf, 1)
    assert ask(records, "SELECT key, value FROM params UNION ALL SELECT key, value FROM tags") == [
        ("depth", "3"),
        ("who", "ü"),
    ]
    assert ask(records, "SELECT name, version, context FROM inputs") == [("d", "v", "test")]


def test_a_history_is_the_same_as_the_store_reads_it(records):
    """Blocks of one value and of many, of several runs, keys and models."""
    experiment = records.experiments.open("e").experiment_id
    runs = [records.runs.start(experiment, name).run_id for name in "ab"]
    for at in range(40):
        some = [Metric(key=f"k{n % 3}", value=at + n / 7, step=at, time_ms=n) for n in range(1 + at % 5)]
        of_model = Metric(key="k0", value=at, step=at, series=Series(model_id=f"m{at % 2}"))
        records.runs.apply([RunChange(run_id=runs[at % 2], metrics=[*some, of_model])])
    theirs = {
        (run, each.key, each.value, each.step, each.series.model_id if each.series else None)
        for run in runs
        for key in ("k0", "k1", "k2")
        for each in records.runs.history(run, key).items
    }
    ours = ask(records, "SELECT run_id, key, value, step, model_id FROM metric_history")
    assert len(ours) == len(theirs) == 160
    assert set(ours) == theirs


def test_models_with_aliases_and_tags(records):
    for content in ("one", "two"):
        records.versions.register("model", "films", content, tags={"team": "a", "of": content}, lineage={"run": 1})
    records.versions.apply([RegisteredChange(kind="model", name="films", aliases={"live": 2, "best": 2})])
    records.versions.register("dataset", "rows", "hash")
    assert ask(records, "SELECT version, aliases, tags['of'], lineage->>'run' FROM models ORDER BY version") == [
        (1, None, "one", "1"),
        (2, ["best", "live"], "two", "1"),
    ]
    assert ask(records, "SELECT name, version, content FROM datasets") == [("rows", 1, "hash")]


def test_traces_with_spans_and_assessments(records, tmp_path):
    tracking = Tracking(records=records, blobs=None, clock=lambda: 5, scratch=tmp_path)  # pyright: ignore[reportArgumentType]
    tracking.prepare()

    def attribute(key, kind, value):
        return {"key": key, "value": {f"{kind}Value": value}}

    span = {
        "traceId": "a" * 32, "spanId": "b" * 16, "name": "ask",
        "startTimeUnixNano": "2000000000", "endTimeUnixNano": "2500000000", "status": {"code": 1},
        "attributes": [
            attribute("gen_ai.request.model", "string", "tiny"), attribute("gen_ai.usage.input_tokens", "int", "7"),
            attribute("gen_ai.usage.output_tokens", "int", "5"), attribute("ok", "bool", True),
        ],
    }  # fmt: skip
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    traces.take(tracking, "0", otlp.spans_of(json.dumps(body).encode(), kind="application/json", encoding=None))
    feedback = {"assessment_name": "good", "feedback": {"value": True}, "source": {"source_type": "HUMAN"}}
    said = {"trace_id": f"tr-{'a' * 32}", "state": "OK", "assessments": [feedback]}
    traces.start(tracking, {"trace": {"trace_info": said}})
    assert ask(
        records, "SELECT trace_id, name, status, input_tokens, output_tokens, total_tokens, spans FROM traces"
    ) == [(f"tr-{'a' * 32}", "ask", "OK", 7, 5, 12, 1)]
    query = (
        "SELECT name, seconds, attributes['gen_ai.request.model'], attributes['ok'] FROM spans JOIN traces USING (name)"
    )
    assert ask(records, query.replace("SELECT name, seconds", "SELECT name, spans.seconds")) == [
        ("ask", 0.5, "tiny", "true")
    ]
    assert ask(records, "SELECT name, kind, value, source, valid FROM assessments") == [
        ("good", "feedback", "true", "HUMAN", True)
    ]


def test_predictions_feedback_and_signals_of_a_project(ran):
    with Project(ran) as project:
        answers = project.predict([{"review": "good film", "year": 2000}] * 3)
        project.feedback([{"id": answers[0].id, "label": "yes"}])
        project.monitor()
        joined = "SELECT p.label, f.label, p.inputs->>'year' FROM predictions p JOIN feedback f USING (id)"
        assert project.sql(joined).rows() == [("yes", '"yes"', "2000")]
        shadow = {"endpoint": "films", "release_id": "r", "model_version": "films/2", "role": "shadow"}
        project.events.append(
            [PredictionEvent(id="s", row={}, **shadow), FailureEvent(error="CandidateError", **shadow)]
        )
        assert project.sql("SELECT role, count(*) FROM predictions GROUP BY ALL").rows() == [("live", 3)]
        assert project.sql("SELECT count(*) FROM failures").item() == 0
        signals = project.sql("SELECT name, value FROM signals WHERE name = 'volume'", frames="pandas")
        assert signals.to_dict("list") == {"name": ["volume"], "value": [3.0]}


def test_every_view_has_the_columns_that_are_documented(records):
    text = (Path(__file__).parents[2] / "docs" / "sql.md").read_text("utf-8")
    for name, view in VIEWS.items():
        with answered(f"SELECT * FROM {name}", records, None) as path:
            table = read_answer(path).collect()
        columns = [
            each for each in table.columns if name not in EVENTS or each in view.columns
        ]  # events get new fields
        assert columns == list(view.columns), name
        (line,) = re.findall(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
        assert re.findall(r"`(\w+)`", line) == [name, *view.columns]
        assert sql_of(name)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT * FROM runz", "Did you mean 'runs'"),
        ("SELECT * FROM runs; SELECT 1", "expected one SELECT"),
        ("SELECT nothing FROM runs", "nothing"),
        ("SELEC 1", "syntax error"),
        ("", "expected one SELECT"),
        ("DELETE FROM runs", "expected one SELECT"),
        ("DROP VIEW runs", "expected one SELECT"),
        ("COPY runs TO '/tmp/x.csv'", "expected one SELECT"),
        ("INSTALL httpfs", "expected one SELECT"),
        ("ATTACH 'x.db'", "expected one SELECT"),
        ("SET enable_external_access = true", "expected one SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", "disabled by configuration"),
        ("SELECT * FROM '/etc/passwd'", ""),
        ("SELECT * FROM read_text('../*')", "disabled by configuration"),
        ("SELECT * FROM 'https://127.0.0.1/rows.parquet'", "disabled by configuration"),
        ("SELECT * FROM sqlite_scan('records.db', 'runs')", ""),
    ],
)
def test_a_query_reaches_nothing_else_and_its_error_is_one(tmp_path, query, says):
    made, _ = wiring.open_stores(tmp_path, StoreConfig(records="sqlite:///records.db", blobs="file://blobs"), lambda: 1)
    try:
        with pytest.raises(DataError, match=r"^sql: ") as error:
            ask(made, query)
        assert says in str(error.value)
    finally:
        made.close()


def test_a_query_that_takes_too_long_is_ended(tmp_path):
    made, _ = wiring.open_stores(tmp_path, StoreConfig(records="sqlite:///records.db", blobs="file://blobs"), lambda: 1)
    with pytest.raises(DataError, match=r"longer than 0\.2 s and was ended"):
        ask(made, "SELECT count(*) FROM range(1000000000000)", timeout_s=0.2)
    made.close()


def test_damaged_history_is_told(tmp_path):
    made, _ = wiring.open_stores(tmp_path, StoreConfig(records="sqlite:///records.db", blobs="file://blobs"), lambda: 1)
    run = made.runs.start(made.experiments.open("e").experiment_id, "a").run_id
    made.runs.apply([RunChange(run_id=run, metrics=[Metric(key="k", value=1.0)])])
    series, points = pack([Metric(key="k", value=2.0)])
    with sqlite3.connect(tmp_path / "records.db") as raw:
        raw.execute("UPDATE metric_blocks SET points = ?, series = ?", (points[:-1] + b"\0", series))
    with pytest.raises(Exception, match="verify --repair"):
        ask(made, "SELECT * FROM metric_history")
    made.close()


def test_an_answer_in_every_form(records, run, tmp_path):
    query = "SELECT name, started, [1, 2] AS pair, map {'a': 0.5} AS shares, 'nan'::DOUBLE AS none FROM runs"
    with answered(query, records, None) as path:
        assert document(path)["rows"] == [
            {"name": "first", "started": "1970-01-01T00:00:02", "pair": [1, 2], "shares": {"a": 0.5}, "none": None}
        ]
        for form in ("csv", "parquet", "json"):
            assert write_answer(path, form, tmp_path / f"answer.{form}") == 1
    text = (tmp_path / "answer.csv").read_text()
    assert text.splitlines() == [
        "name,started,pair,shares,none",
        'first,1970-01-01T00:00:02.000000,"[1, 2]","{""a"": 0.5}",NaN',
    ]
    assert pl.read_parquet(tmp_path / "answer.parquet")["name"].to_list() == ["first"]
    assert json.loads((tmp_path / "answer.json").read_text())["rows"][0]["pair"] == [1, 2]
