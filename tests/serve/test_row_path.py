"""What the row path answers and logs is what a table would have given, to the last bit; the rest it leaves."""

# ruff: noqa: DTZ001 - columns of times store them without a zone; the log is looked into

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import DataError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.protocols import FitJob
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, ColumnFormat, Schema
from bakeoff.data.contract import from_bytes
from bakeoff.data.contract_rows import compiled
from bakeoff.families.boosting import BoostingFamily, BoostingParams
from bakeoff.families.linear import LinearFamily, LinearParams
from bakeoff.serve.engine import Call, Engine, _random_id
from bakeoff.serve.runtime import Runtime
from bakeoff.testing.memory import MemoryEvents

COLUMNS = (
    Column(name="size", kind="numeric", dtype="Float64"),
    Column(name="count of rooms", kind="numeric", dtype="Int64", format=ColumnFormat(missing=("-999",))),
    Column(name="colour", kind="categorical", dtype="String"),
    Column(name="new", kind="boolean", dtype="Boolean"),
    Column(name="at", kind="datetime", dtype="Datetime(time_unit='us', time_zone=None)"),
    Column(name="note", kind="text", dtype="String"),
)
WIDE = Column(name="wide", kind="numeric", dtype="Float64")
PLAIN = ("size", "wide")
"""Numbers alone, stored as they come."""
NUMBERS = ("size", "count of rooms", "new")
ODD = st.one_of(
    st.sampled_from(
        [None, "", "3,5", "3.5", "NA", -999, 2**70, -(10**400), 1e308, 0, 1, True, [], {}, "2026-01-01", "ja"]
    ),
    st.text(max_size=5),
    st.floats(allow_nan=False, allow_infinity=False),
)
USUAL = {
    "size": st.one_of(st.none(), st.floats(-5, 5), st.integers(-5, 5)),
    "count of rooms": st.one_of(st.none(), st.integers(-5, 5), st.just(-999)),
    "colour": st.one_of(st.none(), st.sampled_from(["red", "green", " red", "never", ""])),
    "new": st.one_of(st.none(), st.booleans()),
    "at": st.one_of(st.none(), st.sampled_from(["2026-01-02T03:04:05", "2026-01-02", "2025-05-05T01:02:03Z"])),
    "note": st.one_of(st.none(), st.sampled_from(["good", "bad thing", "Ünlike"])),
    "wide": st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**80), 2**80)),
}
KEYS = st.sampled_from(["id", "extra", "Size", "target"])


def fitted(family, params, names, folder):
    rng = np.random.default_rng(3)
    rows = 120
    table = pl.DataFrame(
        {
            "size": rng.normal(size=rows),  # no gaps: they are filled with the middle
            "count of rooms": [None if at % 9 == 0 else int(v) for at, v in enumerate(rng.integers(-5, 5, rows))],
            "colour": [["red", "green", "blue"][at % 3] for at in range(rows)],
            "new": [bool(v) for v in rng.integers(0, 2, rows)],
            "at": [datetime(2026, 1 + at % 12, 1 + at % 28) for at in range(rows)],
            "note": [["good", "bad", "fine thing"][at % 3] for at in range(rows)],
            "wide": rng.lognormal(0, 3, rows),
        }
    )
    target = ["no" if v < 0 else "yes" for v in table["size"].to_numpy() + rng.normal(size=rows)]
    table = table.select(names).with_columns(target=pl.Series(target))
    columns = tuple(column for column in (*COLUMNS, WIDE) if column.name in names)
    schema = Schema(
        columns=(*columns, Column(name="target", kind="categorical", dtype="String")), target="target", inputs=names
    )
    job = FitJob(
        task="classification", schema=schema, train=table[:90], validation=table[90:], params=params, metric="f1_macro",
        seed=1, threads=1, cache=folder, progress=lambda _: None,
    )  # fmt: skip
    return family.fit(job)


CONTRACT = {
    "size": {"type": {"kind": "numeric"}, "range": {"min": -4, "max": 4.5}},
    "colour": {"type": {"kind": "categorical"}, "allowed": {"values": ["red", "green", "blue"]}},
}


class NoPath:
    """The model without its short way."""

    def __init__(self, model) -> None:
        self.signature, self.chosen, self._model = model.signature, model.chosen, model

    def predict(self, table):
        return self._model.predict(table)

    def save(self, folder) -> None:
        raise NotImplementedError


def engine_of(model, **settings):
    release = Release(
        release_id="r1", endpoint="e", model="m", number=1, family="f", blob_id="b",
        columns=("id", *(column.name for column in model.signature.inputs), "target"), aside=("other",),
        contract_id="c",
    )  # fmt: skip
    made = Engine(
        "e", load=lambda _: model, routes=lambda: [release], prepare=lambda table, steps, columns: table,
        events=MemoryEvents(lambda: 7), clock=lambda: 7, ids=iter(map(str, range(10**9))).__next__,
        timer=lambda: 0.0, **settings,
    )  # fmt: skip
    made.refresh()
    return made


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    made = []
    for family, params in (
        (LinearFamily(), LinearParams()),
        (BoostingFamily(), BoostingParams(max_trees=20, min_leaf_rows=5)),
    ):
        for names in (NUMBERS, tuple(column.name for column in COLUMNS), PLAIN):
            model = fitted(family, params, names, tmp_path_factory.mktemp("cache"))
            assert model.derived is None
            contract = from_bytes(contract_bytes(names))
            check = lambda _, columns, contract=contract: compiled(contract, columns)  # noqa: E731
            made.append((names, engine_of(model, check=check), engine_of(NoPath(model), check=check)))
    return sorted(made, key=lambda each: each[0] == PLAIN)  # last


def contract_bytes(names):
    return json.dumps({"columns": {name: rules for name, rules in CONTRACT.items() if name in names}}).encode()


def by_path(engine, rows):
    """The answers of the row path to these rows as JSON; None where it leaves them to the table's way."""
    runtime = engine.direct
    answered = engine.predict_read(runtime, msgspec.json.decode(json.dumps(rows), type=list[msgspec.Raw]))
    if answered is None:
        return None
    engine.recorder.submit(answered[1])
    return answered[0]


@given(data=st.data())
@settings(deadline=None, max_examples=100)
def test_as_by_a_table_to_the_last_bit(engines, data):
    for names, path_engine, table_engine in engines:
        usual = st.fixed_dictionaries({name: USUAL[name] for name in names}, optional={"id": st.integers(0, 9)})
        odd = st.dictionaries(st.one_of(st.sampled_from(names), KEYS), ODD, max_size=2)
        rows = data.draw(st.lists(usual, min_size=1, max_size=3))
        if data.draw(st.booleans()):
            rows[0] = rows[0] | data.draw(odd)
        if data.draw(st.integers(0, 4)) == 0:
            rows[-1].pop(names[0], None)
        seen = len(list(path_engine.recorder._events.read(PredictionEvent)))
        short = by_path(path_engine, rows)
        if short is None:
            continue
        read = json.loads(json.dumps(rows))
        before = len(list(table_engine.recorder._events.read(PredictionEvent)))
        long = table_engine.predict(read)
        assert [replace(each, id="") for each in short] == [replace(each, id="") for each in long]
        logged = [
            [msgspec.structs.replace(event, id="") for event in engine.recorder._events.read(PredictionEvent)][first:]
            for engine, first in ((path_engine, seen), (table_engine, before))
        ]
        assert logged[0] == logged[1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64(2.0), np.int64(2), True, "2"], ids=repr)
def test_values_of_python_that_json_has_not_are_left_to_tables(engines, value):
    _, engine, _ = engines[0]
    row = {"size": value, "count of rooms": 3, "new": True}
    assert engine.direct.row_path.read([row]) is None
    if type(value) is float:
        assert engine.predict([row])[0].gaps.imputed == ("size",)


def test_calls_of_python_take_the_path_too(engines, monkeypatch):
    """Until a row needs a table: then all of its call do."""
    _, engine, _ = engines[0]
    rows = [{"size": at / 7, "count of rooms": at, "new": at % 2 == 0} for at in range(20)]
    alone = [engine.predict([row])[0].probabilities for row in rows]
    monkeypatch.setattr(engine.direct, "admitted", None)  # what makes tables
    assert [answer.probabilities for answer in engine.predict(rows)] == alone
    calls = engine.predict_calls([Call(rows[:3]), Call(rows[3:4])])
    assert [[answer.probabilities for answer in call] for call in calls] == [alone[:3], alone[3:4]]
    with pytest.raises(TypeError):
        engine.predict([{"size": "1", "count of rooms": 3, "new": True}])


def test_a_canary_and_a_shadow_take_the_path_as_the_live_release_does(engines, monkeypatch):
    """Else they would look slow beside it, and be rolled back for it."""
    model, live = engines[0][1].direct.model, engines[0][1].direct.release
    share = [1.0]
    events = MemoryEvents(lambda: 7)
    engine = Engine(
        "e", load=lambda _: model, prepare=lambda table, steps, columns: table, events=events, clock=lambda: 7,
        routes=lambda: [
            replace(live, status="live"),
            replace(live, release_id="r2", status="canary", share=share[0]),
            replace(live, release_id="r3", status="shadow", share=1.0),
        ],
    )  # fmt: skip
    row = {"size": 1.0, "count of rooms": 3, "new": True}
    monkeypatch.setattr(Runtime, "admitted", None)  # what makes tables
    answers = engine.predict([row])
    share[0] = 0.0
    engine.refresh()
    answers += engine.predict([row])
    engine.mirror.wait()
    assert [answer.release_id for answer in answers] == ["r2", live.release_id]
    logged = list(events.read(PredictionEvent))
    assert [(event.role, event.shadow_of) for event in logged] == [
        ("canary", None),
        ("live", None),
        ("shadow", answers[1].id),
    ]
    assert len({tuple(event.probabilities.items()) for event in logged}) == 1


def test_rows_are_logged_as_they_came_with_null_for_what_else_is_logged(engines):
    """To the last digit, whatever a float would make of it."""
    _, engine, _ = engines[0]
    row = b'{"size": 0.50000000000000000001,\n "new": true, "count of rooms": 3, "id": 7}'
    _, (event,) = engine.predict_read(engine.direct, [msgspec.Raw(row)])
    logged = msgspec.json.encode(event.row)
    assert logged == row[:-1] + b',"target":null}'
    assert msgspec.json.decode(logged) == {"size": 0.5, "new": True, "count of rooms": 3, "id": 7, "target": None}
    for other in (b"null", b"[]", b"{", b'{"size": 1', b'{"size": 01, "new": true, "count of rooms": 3}', b""):
        assert engine.predict_read(engine.direct, [msgspec.Raw(other)]) is None


def test_numbers_alone_need_no_mapping_of_each_row(engines, monkeypatch):
    names, engine, table = engines[-1]
    monkeypatch.setattr(type(engine.direct.row_path), "_of_rows", None)
    rows = [{"size": at / 7 - 1, "wide": at} for at in range(20)]
    answers = by_path(engine, rows)
    assert names == PLAIN
    assert [each.probabilities for each in answers] == [each.probabilities for each in table.predict(rows)]
    assert by_path(engine, [{"size": 1, "wide": None}]) is None  # which a mapping answers


def test_ids_are_new_ones_in_every_thread():
    with ThreadPoolExecutor(4) as pool:
        ids = [each for some in pool.map(lambda _: [_random_id() for _ in range(1000)], range(8)) for each in some]
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in ids)


def test_numbers_of_many_rows_keep_the_contract_as_each_value_does():
    """What is said to keep it keeps it; numbers that are too large for that are looked at one by one."""
    columns = tuple(Column(name=name, kind="numeric", dtype="Float64") for name in "abc")
    most = 2**53
    rules = {"a": {"type": {"kind": "numeric"}, "range": {"min": -4, "max": most}}, "c": {"type": {"kind": "numeric"}}}
    check = compiled(from_bytes(json.dumps({"columns": rules}).encode()), columns)
    within = check.within("abc")
    values = (-4, -4.5, 0, 2.5, most - 1, most, most + 1, 1e300)
    sure = {a: within(np.array([[0.0, 0.0, 0.0], [float(a), 7.0, 1.0]])) for a in values}
    assert [a for a, is_sure in sure.items() if is_sure] == [-4, 0, 2.5, most - 1]
    assert [a for a in values if not check([{"a": a, "b": 7.0, "c": 1.0}])] == [-4, 0, 2.5, most - 1, most, most + 1]
    assert not within(np.array([[1.0, 1.0, math.nan]]))
    assert check.within("ab") is None  # there are rules of another column


@pytest.mark.parametrize("at", range(4))
def test_usual_rows_are_not_left(engines, at):
    names, engine, table = engines[at]
    usual = {"size": 1, "count of rooms": 3, "colour": "red", "new": True, "at": "2026-01-02T03:04:05", "note": "good"}
    row = {name: usual[name] for name in names}
    assert by_path(engine, [row])[0].probabilities == table.predict([row])[0].probabilities
    assert by_path(engine, [row | {"id": 5, "target": "yes"}]) is not None
    assert (by_path(engine, [row, row]) is None) == (names != NUMBERS)  # several at once, if they are numbers
    with_gap = by_path(engine, [row | {"size": None}])[0]
    assert with_gap.gaps.imputed == ("size",) == table.predict([row | {"size": None}])[0].gaps.imputed
    assert engine.direct.row_path.seconds(1) < 0.05


@pytest.mark.parametrize(
    "change",
    [
        {"size": "1"},
        {"size": True},
        {"new": 1},
        {"size": 4.6},
        {"unknown": 1},
        {"other": 1},
        {"size": [1]},
        {"SIZE": 2},
    ],
    ids=str,
)
def test_what_it_does_not_know_it_leaves_to_tables(engines, change):
    _, engine, table = engines[0]
    row = {"size": 1, "count of rooms": 3, "new": True} | change
    assert by_path(engine, [row]) is None
    if change in ({"size": 4.6}, {"size": [1]}):
        with pytest.raises(DataError):
            table.predict([row])


def test_an_absent_input_is_left_to_tables(engines):
    _, engine, table = engines[0]
    assert by_path(engine, [{"size": 1, "new": True}]) is None
    assert table.predict([{"size": 1, "new": True}])[0].gaps.absent == ("count of rooms",)


def test_steps_and_vectors_need_tables(engines):
    _, engine, _ = engines[0]
    runtime = engine.direct
    from bakeoff.serve import row_path

    release, model = runtime.release, runtime.model
    assert row_path.compiled(replace(release, steps=("squeeze_whitespace",)), model, runtime.inputs, None) is None
    assert row_path.compiled(replace(release, columns=("size",)), model, runtime.inputs, None) is None
    assert row_path.compiled(release, model, runtime.inputs, None) is not None
