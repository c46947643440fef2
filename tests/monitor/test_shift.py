"""Drift over windows that roll: the rate of false alarms is the one that is set, and shifts are seen soon."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.metrics.drift import calendar, dispersion, profile, tally
from bakeoff.monitor import shift
from bakeoff.monitor.hours import HOUR_MS
from bakeoff.monitor.reference import make
from bakeoff.monitor.sums import PredictionSums, Sampled

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "monitor_alarms.py"


@pytest.fixture(scope="module")
def simulation():
    spec = importlib.util.spec_from_file_location("monitor_alarms", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("columns", "reference", "rows"), [(5, 100, 200), (20, 500, 300), (30, 200, 80)])
def test_weeks_without_drift_alarm_at_no_more_than_the_rate(simulation, columns, reference, rows):
    """Of all looks near the limit, in weeks of few rows, which are the hard ones, none alarms."""
    made = simulation.stream(1, columns, reference, rows, 3)
    near = np.logical_or.reduce([made.may_alarm(hours) for hours in made.look.config.windows])
    assert near.any()
    assert made.alarms() == []


def test_a_large_shift_is_seen_within_a_day_and_not_before(simulation):
    made = simulation.stream(2, 5, 1000, 2000, 2, moved=2.0)
    alarms = made.alarms(enough=0)
    assert simulation.HOURS < alarms[0] <= simulation.HOURS + 24


def test_fifty_quiet_weeks_do_not_dilute_a_shift(simulation):
    """The window rolls: a shift after a year is seen as soon as one after a week."""
    rng = np.random.default_rng(3)
    look = simulation.look_of(simulation.rows_of(rng, 1000, 4))
    hours = 54 * simulation.HOURS
    hour_n = np.sort(rng.integers(0, hours, 54 * 500))
    before = int((hour_n < 52 * simulation.HOURS).sum())
    parts = [simulation.rows_of(rng, before, 4), simulation.rows_of(rng, len(hour_n) - before, 4, moved=1.0)]
    made = simulation.Stream(look, {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}, hour_n, hours)
    assert 0 < made.alarms(enough=0)[0] - 52 * simulation.HOURS < 96


INPUTS = (
    Column(name="x", kind="numeric", dtype="Float64"),
    Column(name="month", kind="numeric", dtype="Float64"),
    Column(name="text", kind="text", dtype="String"),
)
SIGNATURE = Signature(task="classification", inputs=INPUTS, classes=("no", "yes"))


def table(rng, n, *, month=None, shift=0.0) -> pl.DataFrame:
    months = rng.integers(1, 13, n).astype(float) if month is None else np.full(n, float(month))
    words = [" ".join(rng.choice(["late", "parcel", "refund"], rng.integers(1, 9))) for _ in range(n)]
    return pl.DataFrame({"x": rng.normal(shift, 1, n), "month": months, "text": words})


@pytest.fixture(scope="module")
def look(simulation):
    rows = table(np.random.default_rng(0), 1000)
    said = Predictions(values_n=np.asarray(["no", "yes"] * 500), classes=("no", "yes"))
    reference = make(rows, INPUTS, said, task="classification", metric="f1_macro", value=0.8)
    base = simulation.look_of(simulation.rows_of(np.random.default_rng(0), 10, 4))
    return replace(base, signature=SIGNATURE, reference=reference, until_ms=1000 * HOUR_MS)


def sums_of(look, rows) -> PredictionSums:
    sample = [Sampled(draw=at, row=row) for at, row in enumerate(rows.to_dicts()[:400])]
    return PredictionSums(rows=rows.height, inputs=tally(look.reference.inputs, rows), sample=sample)


def test_a_new_month_moves_the_calendar_and_raises_no_alarm(look):
    rows = table(np.random.default_rng(1), 900, month=7)
    assert calendar(look.reference.inputs) == {"month"}
    signal = shift.drift([shift.Window(hours=168, sums=sums_of(look, rows))], look)
    assert (signal.alert, signal.detail["calendar"]) == (False, ["month"])
    assert "month" not in shift.joint(sums_of(look, rows), look).detail["columns"]


@pytest.mark.parametrize(
    ("name", "values", "moves"),
    [
        ("Month", range(1, 13), True),
        ("day_of_week", range(1, 8), True),
        ("hour", [4, 99], False),
        ("size", [1, 2], False),
    ],
)
def test_parts_of_dates_are_known_by_name_and_values(name, values, moves):
    numbers = pl.DataFrame({name: [float(value) for value in values] * 20})
    known = profile(numbers, (Column(name=name, kind="numeric", dtype="Float64"),))
    assert calendar(known) == ({name} if moves else set())


def test_days_that_differ_by_themselves_are_no_drift(look):
    """A slow series: each day lies elsewhere. Without the days before, the last one would alarm."""
    rng = np.random.default_rng(4)
    days = [sums_of(look, table(rng, 300, shift=level)) for level in rng.normal(0, 0.8, 7)]
    today = sums_of(look, table(rng, 300, shift=0.9))
    assert shift.drift([shift.Window(hours=24, sums=today)], look).alert
    assert not shift.drift([shift.Window(hours=24, sums=today, days=tuple(days))], look).alert
    calm = [sums_of(look, table(rng, 300)) for _ in range(7)]
    assert shift.drift([shift.Window(hours=24, sums=today, days=tuple(calm))], look).alert
    assert dispersion(look.reference.inputs, [each.inputs for each in calm])["x"] < 1.6
    assert dispersion(look.reference.inputs, [each.inputs for each in days])["x"] > 10


def test_the_baseline_may_be_the_window_before_or_the_weeks_before(look):
    """After a step that stays, the window before knows it, and the training data does not."""
    rng = np.random.default_rng(5)
    step = 1000 - 5 * 168 - 1  # hours: for five weeks now

    def span(first, last):
        if last <= first:
            return PredictionSums()
        return sums_of(look, table(rng, 400, shift=1.0 if last > step else 0.0))

    for baseline, alert in (("training", True), ("previous", False), ("seasonal", False)):
        config = MonitorConfig(baseline=baseline, windows=(168,))
        of = replace(look, config=config)
        signal = shift.drift(shift.windows(span, of), of)
        assert (signal.alert, signal.detail["baseline"]) == (alert, baseline)
    with pytest.raises(ValueError, match="previous"):
        MonitorConfig(baseline="last week")


def test_what_no_column_shows_the_columns_show_together(look):
    rng = np.random.default_rng(6)
    first = rng.normal(size=2000)
    together = pl.DataFrame({"a": first, "b": first + 0.1 * rng.normal(size=2000)})
    apart = pl.DataFrame({"a": first, "b": rng.permutation(together["b"].to_numpy())})
    columns = tuple(Column(name=name, kind="numeric", dtype="Float64") for name in "ab")
    said = Predictions(values_n=np.asarray(["no", "yes"] * 1000), classes=("no", "yes"))
    reference = make(together, columns, said, task="classification", metric="f1_macro", value=0.8)
    of = replace(look, reference=reference)
    window = sums_of(of, apart)
    assert not shift.drift([shift.Window(hours=168, sums=window)], of).alert
    signal = shift.joint(window, of)
    assert (signal.alert, signal.value > 0.8) == (True, True)
    assert not shift.joint(sums_of(of, together), of).alert


def seen_by_day(tables) -> tuple[PredictionSums, list[PredictionSums]]:
    """Sums of a week, and of its days."""
    days = [
        PredictionSums(
            rows=each.height,
            sample=[Sampled(draw=at, row=row, id=f"{day}/{at}") for at, row in enumerate(each.to_dicts())],
        )
        for day, each in enumerate(tables)
    ]
    return PredictionSums.total(days), days


def test_rows_that_are_sent_again_are_no_joint_drift(look):
    rng = np.random.default_rng(7)
    rows = table(rng, 1000)
    signal = shift.joint(sums_of(look, rows.sample(90, seed=0).select(pl.all().repeat_by(4).explode())), look)
    assert (signal.value, signal.alert) == (None, False)
    assert "different sampled rows" in signal.detail["reason"]
    of = replace(look, config=MonitorConfig(false_alarms=0.9))
    signal = shift.joint(sums_of(look, table(rng, 150).select(pl.all().repeat_by(2).explode())), of)
    assert (signal.rows, signal.alert) == (150, False)


def test_days_that_differ_by_themselves_are_no_joint_drift_and_a_change_of_all_days_is(look):
    rng, alarms, blind = np.random.default_rng(8), 0, 0
    of = replace(look, config=MonitorConfig(joint_auc=0.51).model_copy(update={"false_alarms": 2.3}))
    of = replace(of, reference=reference_of(table(rng, 20, shift=level) for level in rng.normal(0, 1.0, 50)))
    for _ in range(20):
        sums, days = seen_by_day([table(rng, 40, shift=level) for level in rng.normal(0, 1.0, 7)])
        alarms += shift.joint(sums, of, days).alert
        blind += shift.joint(sums, of).alert
    # The rate of a day is a seventh of the week's, times 6/π². Where days are not known, it does not hold.
    assert alarms / 20 <= 0.2 + 2 * (0.2 * 0.8 / 20) ** 0.5 < blind / 20
    sums, days = seen_by_day([table(rng, 40, shift=1.5) for _ in range(7)])
    signal = shift.joint(sums, look, days)
    assert (signal.alert, signal.value > 0.75) == (True, True)


def reference_of(tables):
    rows = pl.concat(list(tables))
    said = Predictions(values_n=np.asarray((["no", "yes"] * rows.height)[: rows.height]), classes=("no", "yes"))
    return make(rows, INPUTS, said, task="classification", metric="f1_macro", value=0.8)


def test_refusals_that_become_frequent_are_an_alert(look):
    said = Predictions(values_n=np.asarray(["Fine, here it is."] * 195 + [""] * 5, dtype=object))
    rows = pl.DataFrame({"text": ["a question"] * 200})
    columns = (Column(name="text", kind="text", dtype="String"),)
    reference = make(rows, columns, said, task="generation", metric="token_f1", value=0.5)
    of = replace(look, reference=reference, signature=Signature(task="generation", inputs=columns))
    calm = shift.answers(PredictionSums(rows=400, signs={"empty": 12}), of)
    assert (calm.alert, calm.detail["signs"]["empty"]["reference"]) == (False, 0.025)
    signal = shift.answers(PredictionSums(rows=400, signs={"empty": 10, "refusal": 60}), of)
    assert (signal.alert, signal.value) == (True, 0.15)
    assert "refusal" in signal.detail["reason"]


def test_numbers_far_outside_are_counted(look):
    rows = table(np.random.default_rng(7), 100)
    rows = rows.with_columns(x=pl.when(pl.int_range(pl.len()) < 3).then(1e6).otherwise(pl.col("x")))
    from bakeoff.monitor.reference import outlying

    signal = shift.outliers(PredictionSums(rows=100, outlying=outlying(look.reference.inputs, rows)), look)
    assert (signal.value, signal.detail["reference"]) == (0.03, 0.0)
