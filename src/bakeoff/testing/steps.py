"""What every fitted step must do; derive from `FittedStepConformance` and give the fixture `step`.

    class TestMine(FittedStepConformance):
        @pytest.fixture
        def step(self):
            return my_step

Override `params` to test other parameters than the defaults.
"""

# ruff: noqa: D102  # the names of the tests say it

import dataclasses
from functools import cache
from typing import Any

import msgspec
import polars as pl
import pytest

from bakeoff.config.params import check
from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import FittedStep, RowTransform, TrainingRows, Transform
from bakeoff.core.types import Column, ColumnKind, Task
from bakeoff.data.cast import conform, stored_type
from bakeoff.testing.families import sample_table

__all__ = ["FittedStepConformance", "sample_rows"]

KINDS: tuple[ColumnKind, ...] = ("text", "categorical", "numeric", "boolean", "datetime")
TRAINING = 160
STRANGE: dict[ColumnKind, list[object]] = {
    "text": ["", "völlig neu 🙂", None],
    "categorical": ["never seen", "", None],
    "numeric": [float("inf"), -1e308, float("nan")],
    "boolean": [None, True, None],
    "datetime": ["1066-10-14T00:00:00", None, "2999-12-31T23:59:59"],
}


def sample_rows(task: Task = "classification", *, classes: int = 2) -> TrainingRows:
    """Training rows with a column of each kind, named as the kind, with gaps."""
    rows = _sample_rows(task, classes)
    return dataclasses.replace(rows, table=rows.table.clone(), target=rows.target.clone())


@cache
def _sample_rows(task: Task, classes: int) -> TrainingRows:
    columns = tuple(Column(name=kind, kind=kind, dtype=str(stored_type(kind).base_type())) for kind in KINDS)
    table = sample_table(task, classes=classes)[:TRAINING]
    return TrainingRows(table=conform(table, columns), columns=columns, target=table["target"], task=task, seed=3)


class FittedStepConformance:
    """The tests; a step that passes them can stand before any family."""

    tasks: tuple[Task, ...] = ("classification", "regression")

    @pytest.fixture
    def params(self, step: FittedStep) -> Any:
        """The parameters to fit with; the defaults."""
        return step.params()

    @pytest.fixture(params=["two classes", "five classes", "numbers"])
    def rows(self, request: pytest.FixtureRequest) -> TrainingRows:
        """Training rows of each task."""
        if request.param == "numbers":
            return sample_rows("regression")
        return sample_rows(classes=5 if request.param == "five classes" else 2)

    @pytest.fixture
    def transform(self, step: FittedStep, rows: TrainingRows, params: Any) -> Transform:
        """What the step learns from the rows."""
        return step.fit(rows, params)[0]

    def test_params_are_a_frozen_dataclass_with_defaults_and_columns(self, step: FittedStep) -> None:
        params = step.params()
        assert dataclasses.is_dataclass(params)
        assert params.columns == ()  # pyright: ignore[reportAttributeAccessIssue]
        assert check(step.params, {}, owner=step.name, key="steps") == params

    def test_it_is_described(self, step: FittedStep) -> None:
        assert step.kind == "fitted"
        assert step.version > 0
        assert isinstance(step.requires, tuple)

    def test_training_rows_keep_their_number_and_the_columns_that_are_told(
        self, step: FittedStep, rows: TrainingRows, params: Any
    ) -> None:
        before = rows.table.clone()
        transform, table = step.fit(rows, params)
        assert isinstance(transform, step.transform)
        assert rows.table.equals(before)
        _fits(table, transform.columns(rows.columns), rows.table.height)
        _fits(transform(rows.table), transform.columns(rows.columns), rows.table.height)

    def test_same_rows_same_result(self, step: FittedStep, rows: TrainingRows, params: Any) -> None:
        (first, one), (second, two) = step.fit(rows, params), step.fit(rows, params)
        assert first == second
        assert one.equals(two)

    def test_what_was_learned_is_json_and_reads_back(
        self, step: FittedStep, rows: TrainingRows, transform: Transform
    ) -> None:
        document = msgspec.json.encode(msgspec.to_builtins(transform))
        again: Transform = msgspec.convert(msgspec.json.decode(document), step.transform)
        assert again == transform
        assert again(rows.table).equals(transform(rows.table))
        assert again.columns(rows.columns) == transform.columns(rows.columns)

    def test_rows_do_not_depend_on_each_other(self, rows: TrainingRows, transform: Transform) -> None:
        table = rows.table[:40]
        alone = pl.concat([transform(table[at : at + 1]) for at in range(len(table))])
        assert alone.equals(transform(table))
        assert transform(table[::-1])[::-1].equals(transform(table))

    def test_single_rows_are_the_same_by_the_short_way(self, rows: TrainingRows, transform: Transform) -> None:
        if not isinstance(transform, RowTransform):
            pytest.skip("the step has no short way")
        columns = transform.columns(rows.columns)
        strange = conform(pl.DataFrame(STRANGE), rows.columns)
        for table in (rows.table[:40], strange):
            short = table.to_dicts()
            for row in short:
                transform.in_row(row)
            by_table = transform(table).select(column.name for column in columns)
            assert pl.DataFrame(short, schema=by_table.schema).equals(by_table)

    def test_no_rows(self, rows: TrainingRows, transform: Transform) -> None:
        _fits(transform(rows.table[:0]), transform.columns(rows.columns), 0)

    def test_unseen_missing_and_strange_values(self, rows: TrainingRows, transform: Transform) -> None:
        strange = conform(pl.DataFrame(STRANGE), rows.columns)
        nothing = conform(pl.DataFrame({column.name: [None] for column in rows.columns}), rows.columns)
        for table in (strange, nothing):
            _fits(transform(table), transform.columns(rows.columns), len(table))

    def test_columns_that_it_does_not_know_stay(self, rows: TrainingRows, transform: Transform) -> None:
        table = rows.table.with_columns(pl.Series("further", range(rows.table.height)))
        after = transform(table)
        assert after["further"].equals(table["further"])
        assert after.drop("further").equals(transform(rows.table))

    def test_columns_without_any_value(self, step: FittedStep, rows: TrainingRows, params: Any) -> None:
        empty = rows.table.select(pl.lit(None, dtype).alias(name) for name, dtype in rows.table.schema.items())
        empty = pl.concat([empty] * rows.table.height)
        transform, table = step.fit(dataclasses.replace(rows, table=empty), params)
        _fits(table, transform.columns(rows.columns), rows.table.height)
        _fits(transform(rows.table), transform.columns(rows.columns), rows.table.height)

    def test_names_that_are_taken_already(self, step: FittedStep, rows: TrainingRows, params: Any) -> None:
        once, table = step.fit(rows, params)
        added = [column for column in once.columns(rows.columns) if column not in rows.columns]
        columns = (*rows.columns, *added)
        both = rows.table.with_columns(table[column.name] for column in added)
        chosen = tuple(column.name for column in rows.columns if column.name not in table.columns) or ()
        again = dataclasses.replace(params, columns=chosen or params.columns)
        transform, twice = step.fit(dataclasses.replace(rows, table=both, columns=columns), again)
        _fits(twice, transform.columns(columns), rows.table.height)

    def test_a_column_that_is_not_there_is_named(self, step: FittedStep, rows: TrainingRows, params: Any) -> None:
        with pytest.raises(CandidateError, match="numerik"):
            step.fit(rows, dataclasses.replace(params, columns=("numerik",)))


def _fits(table: pl.DataFrame, columns: tuple[Column, ...], rows: int) -> None:
    """The table has these columns, in their stored types, without anything infinite, and so many rows."""
    assert table.height == rows
    assert set(table.columns) == {column.name for column in columns}
    assert len(columns) == len({column.name for column in columns})
    for column in columns:
        series = table[column.name]
        assert series.dtype == stored_type(column.kind), column
        if column.kind == "numeric":
            assert series.is_finite().fill_null(value=True).all(), column
