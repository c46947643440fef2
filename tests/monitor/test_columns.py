"""Sums of raw events, by whole columns or row by row, are those of the events to the last digit."""

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.core.events import as_raw, whole
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.monitor import reference as references
from bakeoff.monitor.columns import columns_of
from bakeoff.monitor.sums import PredictionSums
from bakeoff.testing.events import failure, prediction

INPUTS = (
    Column(name="x", kind="numeric", dtype="Float64"),
    Column(name="city name", kind="categorical", dtype="String"),
    Column(name="paid", kind="boolean", dtype="Boolean"),
    Column(name="text", kind="text", dtype="String"),
)
INPUTS_BY_NAME = [column.name for column in INPUTS]
CLASSES = ("no", "yes", "a: b")
SIGNATURE = Signature(task="classification", inputs=INPUTS, classes=CLASSES)
ODD = {
    "x": [7, 2**60, 10**30, True, "12", "1,5", "n/a", [1.0], {"a": 1}, None, -0.0, 1e308],
    "city name": [3, 2.5, False, None, "", " rome ", ["rome"], "NA", "\U0001f600"],
    "paid": [1, 0, "true", "no", "perhaps", None, 0.5],
    "text": [5, None, "", ["a"], [{"role": "user", "content": "hi"}], "\u00e9 \n \t", "NULL"],
}


def row(rng, odd: float):
    made = {
        "x": float(rng.normal()),
        "city name": str(rng.choice(["rome", "oslo", "bonn"])),
        "paid": bool(rng.random() < 0.5),
        "text": " ".join(rng.choice(["good", "bad", "film", "\u00fc"], rng.integers(0, 9))),
    }
    made = {name: value for name, value in made.items() if rng.random() > 0.1}
    for name in ODD:
        if rng.random() < odd:
            made[name] = ODD[name][rng.integers(len(ODD[name]))]
    return made | ({"more": {"deep": [1, "x"]}} if rng.random() < 0.3 else {})


def event(rng, number: int, odd: float):
    if rng.random() < 0.1:
        return failure(rows_in_call=2)
    shares = dict(zip(CLASSES, rng.dirichlet(np.ones(3)).tolist(), strict=True))
    if rng.random() < 0.1:
        shares = {"yes": 1, "other": 0.25}
    return prediction(
        f"{number}",
        row=row(rng, odd),
        label=str(rng.choice(CLASSES)),
        probabilities=shares if rng.random() < 0.9 else None,
        latency_ms=float(rng.lognormal()),
        violations=(("x", "range"),) if rng.random() < 0.1 else (),
        absent=("city name",) if rng.random() < 0.2 else (),
        tokens_in=int(rng.integers(9)) if rng.random() < 0.5 else None,
    )


@pytest.fixture(scope="module")
def reference():
    rng = np.random.default_rng(0)
    rows = [row(rng, 0.0) for _ in range(300)]
    table = pl.DataFrame({column.name: [each.get(column.name) for each in rows] for column in INPUTS})
    said = Predictions.of_probabilities(rng.dirichlet(np.ones(3), 300), CLASSES)
    return references.make(table, INPUTS, said, task="classification", metric="f1_macro", value=0.8)


def raw(events):
    return [as_raw(each) if hasattr(each, "row") else each for each in events]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("odd", [0.0, 0.1, 0.5])
def test_sums_of_raw_events_are_those_of_the_events(reference, odd, seed):
    rng = np.random.default_rng(seed)
    events = [event(rng, at, odd) for at in range(150)]
    sums = PredictionSums.of(raw(events), SIGNATURE, reference)
    assert msgspec.to_builtins(sums) == msgspec.to_builtins(PredictionSums.of(events, SIGNATURE, reference))
    assert sums.rows > 100
    assert bool(sums.misfits) == (odd > 0)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ODD.items() for value in values])
def test_each_odd_value_counts_as_it_did(reference, name, value):
    events = [prediction(str(at), row={**row(np.random.default_rng(at), 0.0)}, label="no") for at in range(9)]
    events.append(prediction("odd", row={name: value}, label="no"))
    by_event, by_column = (PredictionSums.of(each, SIGNATURE, reference) for each in (events, raw(events)))
    assert msgspec.to_builtins(by_column) == msgspec.to_builtins(by_event)


def test_rows_of_fitting_values_are_read_by_column(reference):
    rng = np.random.default_rng(1)
    fitting = [as_raw(prediction("a", row=row(rng, 0.0), probabilities={"yes": 1})) for _ in range(9)]
    columns = columns_of([*fitting, as_raw(prediction("b", row={}))], SIGNATURE)
    assert columns.known.tolist() == list(range(9))
    assert columns.shares_nk.tolist() == [[0.0, 1.0, 0.0]] * 9
    assert columns.table.columns == ["x", "paid", "text"]
    assert columns.table.height == 10
    assert columns.table.row(9) == (None, None, None)
    assert sum(columns.levels["city name"].values()) == 10
    assert columns.levels["city name"][None] >= 1
    assert columns_of([as_raw(prediction("a", row={"x": "12"}))], SIGNATURE) is None
    times = Signature(task="regression", inputs=(Column(name="at", kind="datetime", dtype="Datetime"),))
    assert columns_of([as_raw(prediction("a", row={"at": "2026-01-01"}))], times) is None


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
FITTING = {
    "x": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**64) | st.none(),
    "city name": st.sampled_from(["rome", "oslo", "bonn", " rome", "\u00e9\u0000", "NA"]) | st.none(),
    "paid": st.booleans() | st.none(),
    "text": st.text(max_size=20) | st.none(),
}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.fixed_dictionaries({}, optional=FITTING | {"more": ANY}), min_size=1, max_size=4),
    st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(INPUTS_BY_NAME, ANY)), max_size=1),
    st.sampled_from([1, 260]),
)
def test_whatever_rows_are_by_column_they_count_as_row_by_row(reference, fitting, odd, times):
    logged = [as_raw(prediction(str(at), row=row, label="no")) for at, row in enumerate([*fitting * times, *odd])]
    events = [whole(each) for each in logged]  # as they are read: what JSON lacks (NaN, the infinities) is null
    by_event, by_column = (PredictionSums.of(each, SIGNATURE, reference) for each in (events, logged))
    assert msgspec.to_builtins(by_column) == msgspec.to_builtins(by_event)


def test_a_level_that_comes_late_is_counted_as_one_that_was_expected(reference):
    rows = [{"city name": "rome"}] * 600 + [{"city name": "lima"}, {"city name": None}] + [{"city name": "oslo"}] * 300
    events = [as_raw(prediction(str(at), row=each)) for at, each in enumerate(rows)]
    columns = columns_of(events, SIGNATURE, {"city name": ("rome", "oslo", "bonn")})
    assert columns.levels["city name"] == {"rome": 600, "lima": 1, None: 1, "oslo": 300}


def test_texts_that_are_generated_count_alike():
    signature = Signature(task="generation", inputs=(Column(name="text", kind="text", dtype="String"),))
    table = pl.DataFrame({"text": ["a question"] * 20})
    said = Predictions(values_n=np.asarray(["an answer"] * 20, dtype=object))
    reference = references.make(table, signature.inputs, said, task="generation", metric="token_f1", value=0.5)
    values = ["an answer", "", "sorry, I cannot", None]
    events = [prediction(str(at), row={"text": f"q {at}"}, value=values[at % 4], tokens_out=at) for at in range(40)]
    sums = PredictionSums.of(raw(events), signature, reference)
    assert msgspec.to_builtins(sums) == msgspec.to_builtins(PredictionSums.of(events, signature, reference))
