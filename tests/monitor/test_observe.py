"""Signals from logs: what is there is seen, and chance alone raises no alert."""

import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.events import Cursor, PredictionEvent, Reading
from bakeoff.core.ledger import Loss
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find
from bakeoff.monitor import reference as references
from bakeoff.monitor.observe import observe
from bakeoff.monitor.reference import MonitoringReference
from bakeoff.testing.events import failure, prediction
from bakeoff.testing.memory import MemoryEvents

INPUTS = (
    Column(name="x", kind="numeric", dtype="Float64"),
    Column(name="city", kind="categorical", dtype="String"),
    Column(name="at", kind="datetime", dtype="Datetime"),
)
SIGNATURE = Signature(task="classification", inputs=INPUTS, classes=("no", "yes"))
CITIES = np.array(["ulm", "bonn", "kiel"])
QUIET = MonitorConfig()


def table(rng: np.random.Generator, n: int, *, shift: float = 0.0) -> pl.DataFrame:
    at = ["2026-01-01T00:00:00"] * n
    return pl.DataFrame({"x": rng.normal(shift, 1.0, n), "city": rng.choice(CITIES, n), "at": at})


def said_of(rows: pl.DataFrame) -> Predictions:
    yes_n = 1 / (1 + np.exp(-rows["x"].to_numpy()))
    return Predictions.of_probabilities(np.stack([1 - yes_n, yes_n], axis=1), ("no", "yes"))


def truth_of(rng: np.random.Generator, rows: pl.DataFrame, *, wrong: float = 0.2) -> list[str]:
    """The model's label, but for a share of rows."""
    right = said_of(rows).values_n
    other = np.where(right == "yes", "no", "yes")
    return np.where(rng.random(len(right)) < wrong, other, right).tolist()


@pytest.fixture(scope="module")
def reference() -> MonitoringReference:
    rng = np.random.default_rng(1)
    rows = table(rng, 4000)
    measure = find("f1_macro", "classification")
    value = measure(outcome(truth_of(rng, rows), said_of(rows), "classification"))
    return references.make(rows, INPUTS, said_of(rows), task="classification", metric="f1_macro", value=value)


def predictions(rows: pl.DataFrame, **changes) -> list[PredictionEvent]:
    labels = said_of(rows).values_n.tolist()
    changes = {"latency_ms": 2.0} | changes
    return [
        prediction(str(i), row=row, label=label, **changes)
        for i, (row, label) in enumerate(zip(rows.to_dicts(), labels, strict=True))
    ]


def predict(events: MemoryEvents, rows: pl.DataFrame, **changes) -> None:
    events.append(predictions(rows, **changes))


def fail(events: MemoryEvents, n: int) -> None:
    events.append([failure()] * n)


def log() -> MemoryEvents:
    return MemoryEvents(lambda: 5_000)


def look(events, reference, config=QUIET, **given):
    return observe(
        events,
        "late",
        signature=SIGNATURE,
        reference=reference,
        config=config,
        since_ms=given.pop("since_ms", 0),
        until_ms=10_000,
        **given,
    )


def test_an_empty_window_is_calm(reference):
    report = look(log(), reference)
    assert [(signal.name, signal.alert) for signal in report.signals] == [
        ("volume", False),
        ("latency", False),
        ("errors", False),
        ("contract", False),
        ("inputs", False),
        ("drift", False),
        ("quality", False),
        ("estimated", False),
        ("calibration", False),
        ("slices", False),
        ("joint", False),
        ("outliers", False),
        ("answers", False),
        ("cost", False),
        ("language", False),
        ("meaning", False),
        ("tokens", False),
        ("judged", False),
    ]
    assert (report.since_ms, report.until_ms) == (0, 10_000)


def test_rows_like_the_reference_are_calm(reference):
    rng = np.random.default_rng(2)
    events, rows = log(), table(rng, 1000)
    predict(events, rows)
    report = look(events, reference, truth=truth_of(rng, rows), said=said_of(rows))
    assert report.alerts == ()
    assert report.signal("volume").value == 1000
    assert report.signal("drift").value < 0.05
    assert report.signal("quality").rows == 1000


def test_only_this_endpoint_release_and_window_count(reference):
    events = log()
    predict(events, table(np.random.default_rng(3), 10), endpoint="other")
    predict(events, table(np.random.default_rng(3), 20), release_id="r2")
    predict(events, table(np.random.default_rng(3), 40))
    assert look(events, reference).signal("volume").value == 60
    assert look(events, reference, release_id="r2").signal("volume").value == 20
    assert look(events, reference, since_ms=5_001).signal("volume").value == 0


def test_a_column_that_moved_is_named(reference):
    events = log()
    predict(events, table(np.random.default_rng(4), 1000, shift=1.0))
    signal = look(events, reference).signal("drift")
    assert signal.alert
    assert next(iter(signal.detail["columns"])) == "x"
    assert "PSI of 'x'" in signal.detail["reason"]
    assert {"x", "prediction"} <= set(signal.detail["over"])
    assert "at" not in signal.detail["columns"]


def test_a_new_category_is_seen(reference):
    events = log()
    rows = table(np.random.default_rng(5), 1000).with_columns(city=pl.lit("oslo"))
    predict(events, rows)
    assert look(events, reference).signal("drift").detail["over"] == ["city"]


def test_few_rows_say_nothing(reference):
    events = log()
    predict(events, table(np.random.default_rng(4), 199, shift=3.0))
    signal = look(events, reference, MonitorConfig(min_rows=200)).signal("drift")
    assert (signal.value, signal.alert, signal.detail["reason"]) == (None, False, "199 rows, at least 200 needed")


def test_latency_has_a_limit_only_when_the_project_sets_one(reference):
    events = log()
    predict(events, table(np.random.default_rng(6), 300), latency_ms=80.0)
    assert not look(events, reference).signal("latency").alert
    signal = look(events, reference, MonitorConfig(latency_p95_ms=50)).signal("latency")
    assert (signal.alert, signal.value, signal.detail["p50_ms"]) == (True, 80.0, 80.0)


@pytest.mark.parametrize(("failed", "alert"), [(1, False), (3, False), (30, True)])
def test_errors_alert_when_they_are_surely_too_many(reference, failed, alert):
    events = log()
    predict(events, table(np.random.default_rng(7), 100))
    fail(events, failed)
    signal = look(events, reference).signal("errors")
    assert signal.alert is alert
    assert signal.value == pytest.approx(failed / (100 + failed))
    assert signal.detail["by_type"] == {"DataError": failed}


def test_rows_without_an_answer_and_feedback_that_does_not_count_are_in_the_ledger(reference):
    rng, events = np.random.default_rng(2), log()
    predict(events, table(rng, 300))
    events.append([failure(rows_in_call=rows) for rows in (40, 2)])
    unmatched = Loss(kind="feedback", reason="no prediction has this id", count=3)
    ledger = look(events, reference, losses=(unmatched,)).ledger
    assert (ledger.rows_in, ledger.rows_used, ledger.balanced) == (342, 300, True)
    assert [(loss.kind, loss.reason, loss.count) for loss in ledger.losses] == [
        ("row", "not answered: DataError", 42),
        ("feedback", "no prediction has this id", 3),
    ]


def test_quality_that_fell_is_an_alert_with_numbers(reference):
    rng = np.random.default_rng(8)
    rows = table(rng, 1000)
    signal = look(log(), reference, truth=truth_of(rng, rows, wrong=0.35), said=said_of(rows)).signal("quality")
    assert signal.alert
    assert signal.detail["low"] < signal.value < signal.detail["high"] < signal.detail["reference"]
    assert "worse than the reference" in signal.detail["reason"]


def test_quality_that_rose_is_none(reference):
    rng = np.random.default_rng(9)
    rows = table(rng, 1000)
    signal = look(log(), reference, truth=truth_of(rng, rows, wrong=0.05), said=said_of(rows)).signal("quality")
    assert (signal.alert, signal.detail["drop"] < 0) == (False, True)


def test_a_small_drop_is_none_however_sure(reference):
    rng = np.random.default_rng(10)
    rows = table(rng, 20_000)
    signal = look(
        log(), reference, MonitorConfig(quality_drop=0.1), truth=truth_of(rng, rows, wrong=0.25), said=said_of(rows)
    ).signal("quality")
    assert signal.detail["high"] < signal.detail["reference"]
    assert not signal.alert


def test_little_feedback_and_one_class_say_nothing(reference):
    rows = table(np.random.default_rng(11), 99)
    assert look(log(), reference, truth=["no"] * 99, said=said_of(rows)).signal("quality").value is None
    auc = MonitoringReference(inputs={}, predictions={}, metric="roc_auc", value=0.7)
    rows = table(np.random.default_rng(11), 200)
    signal = look(log(), auc, truth=["no"] * 200, said=said_of(rows)).signal("quality")
    assert (signal.value, signal.alert) == (None, False)
    assert "undefined" in signal.detail["reason"]


def test_lower_is_better_for_errors_of_numbers():
    signature = Signature(task="regression", inputs=INPUTS)
    rng = np.random.default_rng(12)
    truth_n = rng.normal(size=500)
    known = MonitoringReference(inputs={}, predictions={}, metric="rmse", value=1.0)
    for spread, alert in [(1.0, False), (2.0, True), (0.5, False)]:
        said = Predictions(values_n=truth_n + rng.normal(0, spread, 500))
        report = observe(
            log(),
            "late",
            signature=signature,
            reference=known,
            config=QUIET,
            truth=truth_n.tolist(),
            said=said,
            since_ms=0,
            until_ms=1,
        )
        assert report.signal("quality").alert is alert


def test_chance_alone_rarely_alerts(reference):
    """60 calm windows; each may alert for quality with 2.5% at most, and never for drift."""
    alerts = {"quality": 0, "drift": 0}
    for seed in range(60):
        rng = np.random.default_rng(100 + seed)
        events, rows = log(), table(rng, 300)
        predict(events, rows)
        report = look(events, reference, truth=truth_of(rng, rows), said=said_of(rows), seed=seed)
        for name in alerts:
            alerts[name] += report.signal(name).alert
    assert alerts["drift"] == 0
    assert alerts["quality"] <= 5


def test_a_reference_survives_being_stored(reference):
    assert references.from_bytes(references.to_bytes(reference)) == reference


def test_a_hundred_and_forty_thousand_predictions_take_seconds(reference):
    rng = np.random.default_rng(13)
    rows = table(rng, 140_000)

    class Stored:
        """Events as a store would give them, without a store's own time."""

        def __init__(self) -> None:
            self.events = predictions(rows, time_ms=5_000)

        def read(self, *kinds, after=None, since_ms=None, until_ms=None):
            return Reading(iter(self.events), lambda: Cursor(""))

    stored, truth, said = Stored(), truth_of(rng, rows), said_of(rows)
    started = time.perf_counter()
    report = look(stored, reference, truth=truth, said=said)
    assert time.perf_counter() - started < 15
    assert report.signal("drift").rows == 140_000
    assert report.alerts == ()


def test_a_metric_without_a_class_means_the_second_of_two_as_when_it_was_released():
    rng = np.random.default_rng(13)
    rows = table(rng, 400)
    truth = truth_of(rng, rows)
    known = MonitoringReference(inputs={}, predictions={}, metric="pr_auc", value=0.7)
    signal = look(log(), known, truth=truth, said=said_of(rows)).signal("quality")
    named = find("pr_auc[yes]", "classification")(outcome(truth, said_of(rows), "classification"))
    assert signal.value == pytest.approx(named)
    assert signal.detail["metric"] == "pr_auc[yes]"
    other = replace(known, metric="recall[no]")
    assert look(log(), other, truth=truth, said=said_of(rows)).signal("quality").detail["metric"] == "recall[no]"


def test_what_rows_lacked_is_counted_by_name(reference):
    rng, events = np.random.default_rng(4), log()
    predict(events, table(rng, 30))
    predict(events, table(rng, 10), absent=["city"], imputed=["city", "x"])
    predict(events, table(rng, 5), unknown=["ctiy"], unseen=["city"])
    signal = look(events, reference).signal("inputs")
    assert (signal.value, signal.rows, signal.alert) == (15 / 45, 45, False)
    assert signal.detail["absent"] == {"city": 10}
    assert signal.detail["imputed"] == {"city": 10, "x": 10}
    assert signal.detail["unknown"] == {"ctiy": 5}
    assert signal.detail["unseen"] == {"city": 5}
    assert signal.detail["reason"].startswith("15 rows: absent 'city' 10; imputed")


def test_tokens_are_added_up(reference):
    events = log()
    rows = table(np.random.default_rng(31), 30)
    predict(events, rows[:10], tokens_in=100, tokens_out=20)
    predict(events, rows[10:])
    signal = look(events, reference).signal("tokens")
    assert (signal.value, signal.rows, signal.alert) == (1200.0, 10, False)
    assert (signal.detail["read"], signal.detail["written_per_answer"]) == (1000, 20.0)
    assert look(log(), reference).signal("tokens").detail == {"reason": "no answer with tokens"}
