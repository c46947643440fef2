"""A single row is answered as a table of it would be, to the last bit."""

# ruff: noqa: DTZ001 - columns of times store them without a zone

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.core.abilities import abilities_of
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column, Schema, Signature
from bakeoff.data.cast import stored_type
from bakeoff.families.boosting import BoostingFamily, BoostingParams
from bakeoff.families.features.derived import Derived
from bakeoff.families.features.one_row import TYPES, NumberReader, RowReader
from bakeoff.families.features.trend import Trend
from bakeoff.families.linear import LinearFamily, LinearParams

WORDS = ["good", "bad", "fine", "Ünlike", "cheap!", "a", "Zürich", "?"]
KINDS = {
    "size": ("numeric", pl.Float64),
    "count": ("numeric", pl.Int64),
    "colour": ("categorical", pl.String),
    "town": ("categorical", pl.String),
    "new": ("boolean", pl.Boolean),
    "at": ("datetime", pl.Datetime("us")),
    "note": ("text", pl.String),
    "title": ("text", pl.String),
}
MIXED, DENSE = tuple(KINDS), tuple(name for name in KINDS if name not in {"note", "title"})
TEXTS = st.one_of(st.none(), st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), st.text(max_size=30))
VALUES = {
    "size": st.one_of(st.none(), st.floats(), st.floats(-3, 3)),
    "count": st.one_of(st.none(), st.integers(-(10**6), 10**6)),
    "colour": st.one_of(st.none(), st.sampled_from(["red", "green", "never"])),
    "town": st.one_of(st.none(), st.integers(0, 90).map(str)),
    "new": st.one_of(st.none(), st.booleans()),
    "at": st.one_of(st.none(), st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))),
    "note": TEXTS,
    "title": TEXTS,
}


def rows_of(names, rows=240):
    rng = np.random.default_rng(3)
    table = pl.DataFrame(
        {
            "size": rng.normal(size=rows),  # no gaps: they are filled with the middle
            "count": [None if at % 9 == 0 else int(v) for at, v in enumerate(rng.integers(-50, 50, rows))],
            "colour": [None if at % 11 == 0 else ["red", "green", "blue"][at % 3] for at in range(rows)],
            "town": [str(v) for v in rng.integers(0, 80, rows)],
            "new": [bool(v) for v in rng.integers(0, 2, rows)],
            "at": [datetime(2020 + at % 4, 1 + at % 12, 1 + at % 28, at % 24, at % 60) for at in range(rows)],
            "note": [" ".join(rng.choice(WORDS, 5)) for _ in range(rows)],
            "title": [" ".join(rng.choice(WORDS, 2)) for _ in range(rows)],
        },
        schema={name: dtype for name, (_, dtype) in KINDS.items()},
    )
    return table.select(names)


def target_of(table, kind):
    value = table["size"].to_numpy() + table["new"].to_numpy() + 0.3 * np.random.default_rng(0).normal(size=len(table))
    if kind == "numbers":
        return pl.Series("target", value, dtype=pl.Float64)
    classes = ["no", "yes"] if kind == "two" else ["low", "middle", "much"]
    edges = [0.5] if kind == "two" else [0.0, 1.0]
    return pl.Series("target", [classes[at] for at in np.digitize(value, edges)])


def fitted(family, params, names, kind, folder):
    table = rows_of(names)
    columns = tuple(Column(name=name, kind=KINDS[name][0], dtype=str(table[name].dtype)) for name in names)
    task = "regression" if kind == "numbers" else "classification"
    table = table.with_columns(target_of(table, kind))
    other = Column(name="target", kind="numeric" if kind == "numbers" else "categorical", dtype="String")
    job = FitJob(
        task=task,
        schema=Schema(columns=(*columns, other), target="target", inputs=tuple(names)),
        train=table[:180],
        validation=table[180:],
        params=params,
        metric="rmse" if kind == "numbers" else "f1_macro",
        seed=1,
        threads=1,
        cache=folder,
        progress=lambda _: None,
    )
    return family.fit(job)


FAMILIES = {
    "linear": (LinearFamily(), LinearParams(max_categories=20)),
    "boosting": (BoostingFamily(), BoostingParams(max_trees=30, max_categories=20, min_leaf_rows=5)),
    "seeds": (BoostingFamily(), BoostingParams(trees=10, max_categories=20, min_leaf_rows=5, seeds=3)),
}


class Models(dict):
    """Models by name; not shown whole with each example that fails."""

    def __repr__(self):
        return f"{len(self)} models"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    fitted_models = {
        (name, names, kind): fitted(*FAMILIES[name], names, kind, tmp_path_factory.mktemp("cache"))
        for name in FAMILIES
        for names in (MIXED, DENSE)
        for kind in ("two", "three", "numbers")
    }
    return Models(fitted_models)


def _by_table(model, table):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RowReader, "of", lambda *_: None)
        return model.predict(table)


@given(row=st.fixed_dictionaries(VALUES))
@settings(max_examples=20, deadline=None)
def test_to_the_last_bit(models, row):
    for (_, names, _), model in models.items():
        given_row = {name: row[name] for name in names}
        table = pl.DataFrame([given_row], schema={name: KINDS[name][1] for name in names})
        short = abilities_of(model).predict_rows([given_row])
        assert short is not None
        long = _by_table(model, table)
        for found in (short, model.predict(table)):
            assert found.values_n.tolist() == long.values_n.tolist()
            assert found.classes == long.classes
            if long.probabilities_nk is not None:
                assert found.probabilities_nk.tolist() == long.probabilities_nk.tolist()


ODD = st.one_of(st.just(float("nan")), st.just(float("inf")), st.sampled_from(["3.5", "7", "", " "]), st.just(2**63))
ODDER = {name: st.one_of(values, ODD) for name, values in VALUES.items()}


@given(row=st.fixed_dictionaries(ODDER))
@settings(max_examples=20, deadline=None)
def test_a_row_that_is_read_here_is_answered_as_a_table_of_its_own(models, row):
    """Whatever stands in it: numbers as texts, gaps that are floats. What is not answered is left to the table."""
    for (_, names, _), model in models.items():
        given_row = {name: row[name] for name in names}
        short = model.predict_rows([given_row])
        stored = all(value is None or type(value) in TYPES[KINDS[name][0]] for name, value in given_row.items())
        assert (short is not None) == (stored and given_row["count"] != 2**63 and given_row["size"] != 2**63)
        if short is None:
            continue
        schema = {name: stored_type(KINDS[name][0]) for name in names}
        long = _by_table(model, pl.DataFrame([given_row], schema=schema, strict=False))
        assert short.values_n.tolist() == long.values_n.tolist()
        if long.probabilities_nk is not None:
            assert short.probabilities_nk.tolist() == long.probabilities_nk.tolist()


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_row_alone_cannot_tell_is_left_to_tables(name, models, tmp_path):
    """Derived columns and trends are worked out of tables; then no row is read for nothing."""
    model = models[name, DENSE, "numbers"]
    row = rows_of(DENSE).row(5, named=True)
    derived = Derived.fit(
        rows_of(DENSE), model.signature.inputs, [("weekend", ("at",))], Schema(columns=(), target="t", inputs=())
    )
    for more in ({"derived": derived}, {"trend": Trend(column="at", scaled=False)}):
        changed = replace(model, **more)
        assert model.predict_rows([row]) is not None
        assert changed.predict_rows([row]) is None
        assert changed._reader.of(rows_of(DENSE)[:1]) is None


@pytest.mark.parametrize(
    "change",
    [
        *({"size": "3.5"}, {"colour": 3}, {"note": ["good"]}, {"at": "2020-01-01"}, {"new": 1}),
        *({name: float("nan")} for name in ("colour", "note", "new", "at")),
        *({"at": datetime(2020, 1, 1, tzinfo=UTC)}, {"count": 2**63}, {"size": -(10**400)}),
    ],
)
def test_values_of_other_types_are_left_to_tables(models, change):
    model = models["linear", MIXED, "two"]
    row = rows_of(MIXED).row(5, named=True)
    assert model.predict_rows([row]) is not None
    assert model.predict_rows([row | change]) is None
    assert model.predict_rows([{name: value for name, value in row.items() if name != "new"}]) is None


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["two", "three", "numbers"])
def test_rows_of_numbers_alone_at_once_to_the_last_bit(family, kind, tmp_path):
    names = tuple(name for name in KINDS if KINDS[name][0] in {"numeric", "boolean"})
    model = fitted(*FAMILIES[family], names, kind, tmp_path)
    rows = rows_of(names)[:100].to_dicts()
    rows += [{**rows[0], "size": value} for value in (None, float("inf"), -1e300, 3, True, 2**70)]
    rows.append(dict.fromkeys(names))
    stored = [[row[name] if row[name] is None or name == "new" else float(row[name]) for row in rows] for name in names]
    table = pl.DataFrame(stored, schema=names)
    short, long = model.predict_rows(rows), model.predict(table)
    assert short.values_n.tolist() == long.values_n.tolist()
    each = [model.predict_rows([row]) for row in rows]
    assert [one.values_n[0] for one in each] == long.values_n.tolist()
    if long.probabilities_nk is not None:
        assert short.probabilities_nk.tolist() == long.probabilities_nk.tolist()
        assert [one.probabilities_nk[0].tolist() for one in each] == long.probabilities_nk.tolist()
    turned = dict(reversed(rows[0].items()))
    assert model.predict_rows([rows[0], turned]) is None
    assert model.predict_rows([rows[0], rows[1] | {"size": "3.5"}]) is None


def test_rows_pass_the_steps_before_a_model(tmp_path: Path):
    from bakeoff.families.wrappers.prepared import PreparedFamily, PreparedParams, StepSpec

    steps = (StepSpec(name="impute", version=1, params={}),)
    model = fitted(PreparedFamily(), PreparedParams(family="linear", steps=steps), DENSE, "two", tmp_path)
    predict_rows = abilities_of(model).predict_rows
    for row in rows_of(DENSE)[:50].to_dicts():
        long = model.predict(pl.DataFrame([row], schema={name: KINDS[name][1] for name in DENSE}))
        assert predict_rows([row]).probabilities_nk.tolist() == long.probabilities_nk.tolist()
    assert predict_rows([{"size": 1.0}]) is None


def test_a_row_among_others_is_answered_as_alone(models):
    for (_, names, _), model in models.items():
        table = rows_of(names)[:70]  # more than a block of rows
        together = model.predict(table)
        for at in (0, 9, 11, 63, 64, 69):
            alone = model.predict_rows([table.row(at, named=True)])
            assert alone.values_n[0] == together.values_n[at]
            if together.probabilities_nk is not None:
                assert alone.probabilities_nk[0].tolist() == together.probabilities_nk[at].tolist()


@pytest.mark.parametrize("value", [10**400, -(10**400)], ids=["large", "small"])
def test_whole_numbers_beyond_all_floats_are_left_to_the_tables_way(value):
    columns = tuple(Column(name=name, kind="numeric", dtype="Float64") for name in ("size", "count"))
    reader = NumberReader(Signature(task="regression", inputs=columns))
    assert reader([{"size": 1.5, "count": value}]) is None
    assert RowReader(reader.signature)({"size": 1.5, "count": value}) is None
