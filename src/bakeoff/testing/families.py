"""What every family must do; derive from `FamilyConformance` and give the fixture `family`.

    class TestMine(FamilyConformance):
        @pytest.fixture
        def family(self):
            return MyFamily()

Override `params` when the defaults are slow, and `columns` when the family does not take every kind of column.
"""

# ruff: noqa: D102, PLR2004  # the names of the tests say it; the numbers are the examples

import dataclasses
import string
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import BakeoffError, CandidateError, CorruptError, DataError
from bakeoff.core.protocols import Family, FitJob, Model
from bakeoff.core.types import Column, ColumnKind, Predictions, Schema, Task
from bakeoff.data.schema import TARGET_KINDS

__all__ = ["FamilyConformance", "sample_table"]

PICKLE_SUFFIXES = {".pkl", ".pickle", ".joblib", ".pt", ".bin"}
DTYPES: dict[ColumnKind, str] = {
    "text": "String",
    "categorical": "String",
    "numeric": "Float64",
    "boolean": "Boolean",
    "datetime": "Datetime",
}


def sample_table(task: Task, *, rows: int = 240, classes: int = 2, seed: int = 0) -> pl.DataFrame:
    """A small table with a column of each kind (named as the kind), gaps in all, and a learnable `target`."""
    return _sample(task, rows, classes, seed).clone()


@cache
def _sample(task: Task, rows: int, classes: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    group_n = rng.integers(classes, size=rows)
    noise_n = rng.normal(size=rows)
    words = [f"{letter}{letter}ord" for letter in string.ascii_lowercase]

    def gappy(values: list[Any], every: int) -> list[Any]:
        return [None if i % every == every - 1 else value for i, value in enumerate(values)]

    def text(group: int) -> str:
        chosen = rng.choice(words, size=6)
        return " ".join([*chosen, f"label{group} sign{group}" if rng.random() < 0.8 else "nothing"])

    target = [f"class {group}" for group in group_n]
    if task == "regression":
        target = (group_n * 3.0 + noise_n).tolist()
    if task == "generation":
        target = [f"what group {group} says" for group in group_n]
    return pl.DataFrame(
        {
            "text": gappy([text(group) for group in group_n.tolist()], 11),
            "categorical": gappy([f"c{group}" if i % 3 else f"rare{i}" for i, group in enumerate(group_n)], 13),
            "numeric": gappy((group_n + noise_n).tolist(), 7),
            "boolean": gappy((group_n > 0).tolist(), 17),
            "datetime": gappy([1_700_000_000_000_000 + 7_200_000_000 * i for i in range(rows)], 19),
            "target": target,
        }
    ).with_columns(pl.col("datetime").cast(pl.Datetime("us")))


class FamilyConformance:
    """The tests; a family that passes them can be a candidate of any project with its tasks."""

    columns: tuple[ColumnKind, ...] = ("text", "categorical", "numeric", "boolean", "datetime")
    tolerance = 1e-9
    """How far a probability may differ between a row alone and the same row in a batch."""

    @pytest.fixture
    def params(self, family: Family) -> Any:
        """The parameters to fit with; the defaults."""
        return family.params()

    @pytest.fixture
    def job(self, family: Family, params: Any, tmp_path: Path) -> FitJob:
        """A mixed table with two classes (or numbers, or texts, when the family does no classification)."""
        tasks: tuple[Task, ...] = ("classification", "regression", "generation")
        task: Task = next(each for each in tasks if each in family.tasks)
        return self.job_of(task, params, tmp_path)

    def job_of(
        self, task: Task, params: Any, folder: Path, *, classes: int = 2, columns: tuple[ColumnKind, ...] = ()
    ) -> FitJob:
        """A job over `sample_table` with these kinds of columns."""
        kinds = columns or self.columns
        table = sample_table(task, classes=classes)
        inputs = tuple(Column(name=kind, kind=kind, dtype=DTYPES[kind]) for kind in kinds)
        target = Column(name="target", kind=TARGET_KINDS[task], dtype="")
        table = table.select(*kinds, "target")
        return FitJob(
            task=task,
            schema=Schema(columns=(*inputs, target), target="target", inputs=kinds),
            train=table[:160],
            validation=table[160:200],
            params=params,
            metric={"classification": "f1_macro", "regression": "rmse", "generation": "token_f1"}[task],
            seed=3,
            threads=1,
            cache=folder / "cache",
            progress=lambda _: None,
        )

    def held(self, job: FitJob) -> pl.DataFrame:
        """Rows that the job has not seen, without their target; of the task, classes and columns of the job."""
        classes = job.train["target"].n_unique() if job.task == "classification" else 2
        return sample_table(job.task, classes=classes)[200:].select(job.schema.inputs)

    def test_params_are_a_frozen_dataclass_with_defaults(self, family: Family) -> None:
        params = family.params()
        assert dataclasses.is_dataclass(params)
        for field in dataclasses.fields(params):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(params, field.name, None)

    def test_it_is_described(self, family: Family) -> None:
        assert isinstance(family, Family)
        assert family.name
        assert family.tasks
        assert isinstance(family.requires, tuple)

    def test_it_predicts_better_than_chance(self, family: Family, job: FitJob) -> None:
        predictions = _fitted(family, job).predict(self.held(job))
        truth = sample_table(job.task)[200:]["target"].to_numpy()
        if job.task != "regression":
            assert np.mean(predictions.values_n == truth) > 0.6
        else:
            assert np.mean((predictions.values_n - truth) ** 2) < truth.var()

    def test_predictions_are_well_formed(self, family: Family, job: FitJob) -> None:
        model = _fitted(family, job)
        _check(model, model.predict(self.held(job)), len(self.held(job)))

    def test_several_classes(self, family: Family, params: Any, tmp_path: Path) -> None:
        if "classification" not in family.tasks:
            pytest.skip("no classification")
        job = self.job_of("classification", params, tmp_path, classes=4)
        model = family.fit(job)
        assert model.signature.classes == ("class 0", "class 1", "class 2", "class 3")
        _check(model, model.predict(self.held(job)), len(self.held(job)))

    def test_a_class_of_validation_rows_alone(self, family: Family, job: FitJob) -> None:
        if job.task != "classification":
            pytest.skip("no classification")
        new = job.validation[:3].with_columns(pl.lit("new class").alias("target"))
        model = family.fit(dataclasses.replace(job, validation=pl.concat([job.validation, new])))
        _check(model, model.predict(self.held(job)), len(self.held(job)))

    def test_one_class_is_a_clear_error(self, family: Family, job: FitJob) -> None:
        if job.task != "classification":
            pytest.skip("no classification")
        one = job.train.with_columns(pl.lit("only").alias("target"))
        with pytest.raises(CandidateError, match="only"):
            family.fit(dataclasses.replace(job, train=one, validation=one[:10]))

    def test_regression(self, family: Family, params: Any, tmp_path: Path) -> None:
        if "regression" not in family.tasks:
            pytest.skip("no regression")
        job = self.job_of("regression", params, tmp_path)
        model = family.fit(job)
        predictions = model.predict(self.held(job))
        _check(model, predictions, len(self.held(job)))
        truth = sample_table("regression")[200:]["target"].to_numpy()
        assert np.mean((predictions.values_n - truth) ** 2) < truth.var()

    def test_each_kind_of_column_alone(self, family: Family, job: FitJob, params: Any, tmp_path: Path) -> None:
        for kind in self.columns:
            alone = self.job_of(job.task, params, tmp_path, columns=(kind,))
            try:
                model = family.fit(alone)
            except CandidateError:
                continue  # refused with a reason, as `embedding` does without texts
            _check(model, model.predict(self.held(alone)), len(self.held(alone)))

    def test_saved_and_loaded_predicts_the_same_bits(self, family: Family, job: FitJob, tmp_path: Path) -> None:
        model = _fitted(family, job)
        loaded = family.load(_saved(model, tmp_path / "model"), 1)
        assert loaded.signature == model.signature
        assert dict(loaded.chosen) == dict(model.chosen)
        _same(loaded.predict(self.held(job)), model.predict(self.held(job)))

    def test_a_loaded_model_saves_the_same_files(self, family: Family, job: FitJob, tmp_path: Path) -> None:
        first = _saved(_fitted(family, job), tmp_path / "first")
        second = _saved(family.load(first, 1), tmp_path / "second")
        assert _contents(first) == _contents(second)

    def test_saved_files_hold_no_pickle(self, family: Family, job: FitJob, tmp_path: Path) -> None:
        folder = _saved(_fitted(family, job), tmp_path / "model")
        for name, content in _contents(folder).items():
            assert Path(name).suffix not in PICKLE_SUFFIXES, name
            assert not (content[:1] == b"\x80" and content[-1:] == b"."), f"{name} looks like a pickle"

    def test_a_damaged_file_is_found(self, family: Family, job: FitJob, tmp_path: Path) -> None:
        folder = _saved(_fitted(family, job), tmp_path / "model")
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            content = path.read_bytes()
            middle = len(content) // 2
            for damaged in (content[:middle], content[:middle] + b"\x00#" + content[middle + 2 :]):
                path.write_bytes(damaged)
                with pytest.raises(CorruptError):
                    family.load(folder, 1)
            path.unlink()
            with pytest.raises(CorruptError):
                family.load(folder, 1)
            path.write_bytes(content)
        family.load(folder, 1)

    def test_a_folder_without_a_model_is_an_error(self, family: Family, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for folder in (tmp_path / "empty", tmp_path / "nowhere"):
            with pytest.raises(BakeoffError):
                family.load(folder, 1)

    def test_same_job_same_model(self, family: Family, job: FitJob, tmp_path: Path) -> None:
        first, second = _fitted(family, job), family.fit(job)
        assert _contents(_saved(first, tmp_path / "first")) == _contents(_saved(second, tmp_path / "second"))
        _same(first.predict(self.held(job)), second.predict(self.held(job)))

    def test_threads_do_not_change_the_model(self, family: Family, job: FitJob) -> None:
        one = family.fit(job).predict(self.held(job))
        two = family.fit(dataclasses.replace(job, threads=2)).predict(self.held(job))
        _same(one, two)

    def test_rows_do_not_depend_on_each_other(self, family: Family, job: FitJob) -> None:
        model, held = _fitted(family, job), self.held(job)
        batch = _numbers(model.predict(held))
        alone = np.concatenate([_numbers(model.predict(held[i : i + 1])) for i in range(len(held))])
        reverse = _numbers(model.predict(held[::-1]))[::-1]
        if job.task == "generation":
            assert alone.tolist() == batch.tolist() == reverse.tolist()
            return
        np.testing.assert_allclose(alone, batch, atol=self.tolerance, rtol=0)
        np.testing.assert_allclose(reverse, batch, atol=self.tolerance, rtol=0)

    def test_threads_may_predict_at_once(self, family: Family, job: FitJob, tmp_path: Path) -> None:
        held = self.held(job)
        loaded = family.load(_saved(_fitted(family, job), tmp_path / "model"), 1)
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(loaded.predict, [held] * 12))
        for result in results:
            _same(result, results[0])

    def test_what_was_chosen_is_honoured(self, family: Family, job: FitJob) -> None:
        model = _fitted(family, job)
        whole = dataclasses.replace(
            job, train=pl.concat([job.train, job.validation]), validation=job.validation[:0], chosen=model.chosen
        )
        again = family.fit(whole)
        assert dict(again.chosen) == dict(model.chosen)
        _check(again, again.predict(self.held(job)), len(self.held(job)))

    def test_what_is_said_of_validation_rows_on_the_way_was_not_learned_from_them(
        self, family: Family, job: FitJob
    ) -> None:
        """It is what the same candidate says that has seen training rows alone, if the fit says anything of them."""
        on_the_way: list[Predictions] = []
        model = family.fit(dataclasses.replace(job, on_held=on_the_way.append))
        if not on_the_way:
            pytest.skip("nothing is said of validation rows on the way")
        alone = family.fit(dataclasses.replace(job, validation=job.validation[:0], chosen=model.chosen))
        after = alone.predict(job.validation.drop(job.schema.target))
        assert on_the_way[0].classes == after.classes
        np.testing.assert_allclose(_numbers(on_the_way[0]), _numbers(after), atol=0.005)
        assert len(on_the_way) == 1

    def test_tables_are_left_as_they_were(self, family: Family, job: FitJob) -> None:
        train, held = job.train.clone(), self.held(job)
        before = held.clone()
        family.fit(job).predict(held)
        assert job.train.equals(train)
        assert held.equals(before)

    def test_no_rows(self, family: Family, job: FitJob) -> None:
        model = _fitted(family, job)
        _check(model, model.predict(self.held(job)[:0]), 0)

    def test_missing_values_everywhere(self, family: Family, job: FitJob) -> None:
        model, held = _fitted(family, job), self.held(job)
        nothing = held.select(pl.lit(None, dtype=dtype).alias(name) for name, dtype in held.schema.items())
        untyped = held.select(pl.lit(None).alias(name) for name in held.columns)
        for table in (nothing, untyped):
            _check(model, model.predict(pl.concat([table, table])), 2 * len(table))

    def test_unseen_values(self, family: Family, job: FitJob) -> None:
        model, held = _fitted(family, job), self.held(job)
        strange: dict[ColumnKind, pl.Expr] = {
            "text": pl.lit("völlig neu 完全に新しい \x00 🙂"),
            "categorical": pl.lit("never seen"),
            "numeric": pl.lit(float("inf")),
        }
        table = held.with_columns(strange[kind].alias(kind) for kind in self.columns if kind in strange)
        _check(model, model.predict(table), len(table))

    def test_further_columns_and_another_order(self, family: Family, job: FitJob) -> None:
        model, held = _fitted(family, job), self.held(job)
        other = held.select(pl.lit(1).alias("further"), *reversed(held.columns))
        _same(model.predict(other), model.predict(held))

    def test_a_missing_column_is_named(self, family: Family, job: FitJob) -> None:
        model = _fitted(family, job)
        with pytest.raises(DataError, match=self.columns[0]):
            model.predict(self.held(job).drop(self.columns[0]))

    def test_an_input_that_is_always_missing(self, family: Family, job: FitJob) -> None:
        name = self.columns[-1]
        empty = [
            table.with_columns(pl.lit(None, table[name].dtype).alias(name)) for table in (job.train, job.validation)
        ]
        model = family.fit(dataclasses.replace(job, train=empty[0], validation=empty[1]))
        _check(model, model.predict(self.held(job)), len(self.held(job)))

    def test_a_gap_that_no_row_had_is_filled_with_the_middle(self, family: Family, job: FitJob, tmp_path: Path) -> None:
        names = [name for name in job.schema.inputs if job.schema.column(name).kind != "text"]
        if not names:
            pytest.skip("texts are empty where they are missing")
        whole = [table.drop_nulls(names) for table in (job.train, job.validation)]
        model = family.fit(dataclasses.replace(job, train=whole[0], validation=whole[1]))
        loaded = family.load(_saved(model, tmp_path / "model"), 1)
        rows, held = pl.concat(whole), self.held(job)
        middle = {name: _middle(rows[name]) for name in names}
        gaps = held.with_columns(pl.lit(None, held[name].dtype).alias(name) for name in names)
        filled = held.with_columns(pl.lit(middle[name], held[name].dtype).alias(name) for name in names)
        for each in (model, loaded):
            _same(each.predict(gaps), each.predict(filled))
            _same(each.predict(held.with_columns(pl.lit(None).alias(name) for name in names)), each.predict(filled))


_LAST: list[tuple[Family, FitJob, Model]] = []
"""The job that `_fitted` was given last, and its model."""


def _fitted(family: Family, job: FitJob) -> Model:
    """The model of the job, for tests that look at it alone: fitted once for those that follow one another."""
    for other, done, model in _LAST:
        if _same_family(other, family) and _same_job(done, job):
            return model
    model = family.fit(job)
    _LAST[:] = [(family, job, model)]
    return model


def _same_family(one: Family, other: Family) -> bool:
    try:
        return type(one) is type(other) and bool(vars(one) == vars(other))
    except (TypeError, ValueError):  # without attributes, or with some that are compared number by number
        return one is other


def _same_job(one: FitJob, other: FitJob) -> bool:
    """Whether two jobs are the same but for where they cache and whom they tell."""
    for field in dataclasses.fields(FitJob):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, pl.DataFrame) or isinstance(b, pl.DataFrame):
            same = isinstance(a, pl.DataFrame) and isinstance(b, pl.DataFrame) and a.equals(b)
        else:
            same = a is b or (not isinstance(a, np.ndarray) and bool(a == b))
        if not same and field.name not in {"cache", "progress"}:
            return False
    return True


def _middle(values: pl.Series) -> Any:
    return values.median() if values.dtype.is_numeric() or values.dtype.is_temporal() else values.mode().sort()[0]


def _saved(model: Model, folder: Path) -> Path:
    folder.mkdir()
    model.save(folder)
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _numbers(predictions: Predictions) -> "np.ndarray[Any, Any]":
    return predictions.values_n if predictions.probabilities_nk is None else predictions.probabilities_nk


def _same(one: Predictions, other: Predictions) -> None:
    np.testing.assert_array_equal(one.values_n, other.values_n)
    np.testing.assert_array_equal(_numbers(one), _numbers(other))


def _check(model: Model, predictions: Predictions, rows: int) -> None:
    """Shapes, names and sums are as `Predictions` says."""
    signature = model.signature
    assert len(predictions) == rows
    if signature.task != "classification":
        assert predictions.probabilities_nk is None
        assert signature.task != "regression" or np.isfinite(predictions.values_n.astype(float)).all()
        return
    probabilities_nk = predictions.probabilities_nk
    assert probabilities_nk is not None
    assert predictions.classes == signature.classes
    assert probabilities_nk.shape == (rows, len(signature.classes))
    assert np.isfinite(probabilities_nk).all()
    assert (probabilities_nk >= 0).all()
    np.testing.assert_allclose(probabilities_nk.sum(axis=1), 1, atol=1e-9)
    best = Predictions.of_probabilities(probabilities_nk, signature.classes)
    np.testing.assert_array_equal(predictions.values_n, best.values_n)
