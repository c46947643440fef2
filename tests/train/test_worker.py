import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CandidateError, ConfigError, UsageError
from bakeoff.core.jobs import MODEL, ROWS, TABLE, JobContext, call
from bakeoff.core.types import Signature
from bakeoff.families.linear import LinearFamily, LinearParams
from bakeoff.testing.families import FamilyConformance, sample_table
from bakeoff.train.worker import (
    FIT,
    HELD,
    FitArgument,
    FitValue,
    FoldsArgument,
    fit,
    fit_folds,
    hold_out,
    model_without,
)


@pytest.fixture
def argument(tmp_path: Path) -> FitArgument:
    table = sample_table("classification")
    table.write_parquet(tmp_path / TABLE)
    np.savez(tmp_path / ROWS, train=np.arange(160), validation=np.arange(160, 200))
    job = FamilyConformance().job_of("classification", LinearParams(), tmp_path)
    return FitArgument(
        family="linear", params={"bins": 4}, task="classification", schema=job.schema, metric="f1_macro", seed=1
    )


@pytest.fixture
def context(tmp_path: Path) -> JobContext:
    return JobContext(
        inputs={name: tmp_path / name for name in (TABLE, ROWS)},
        outputs={name: tmp_path / "out" / name for name in (MODEL, HELD)},
        scratch=tmp_path / "scratch",
        cache=tmp_path / "cache",
        threads=1,
        progress=lambda _: None,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def run(argument: FitArgument, context: JobContext, **changes) -> FitValue:
    shutil.rmtree(context.outputs[MODEL], ignore_errors=True)
    return fit(msgspec.structs.replace(argument, **changes), context)


def test_it_leaves_a_model_and_says_what_it_is(argument: FitArgument, context: JobContext) -> None:
    value = run(argument, context)
    folder = context.outputs[MODEL]
    model = LinearFamily().load(folder, 1)
    assert len(model.predict(sample_table("classification")[200:])) == 40
    assert msgspec.convert(value.signature, Signature) == model.signature
    assert value.classes == ["class 0", "class 1"]
    assert value.chosen == model.chosen
    assert value.size_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert value.train_s > 0
    assert value.peak_memory_bytes > 10_000_000


def test_the_same_argument_gives_the_same_files(argument: FitArgument, context: JobContext) -> None:
    contents = []
    for _ in range(2):
        run(argument, context)
        contents.append({path.name: path.read_bytes() for path in context.outputs[MODEL].iterdir()})
    assert contents[0] == contents[1]


def test_all_rows_need_what_was_chosen(argument: FitArgument, context: JobContext) -> None:
    with pytest.raises(UsageError, match="chosen"):
        run(argument, context, rows="all")
    value = run(argument, context, rows="all", chosen={"penalty": 0.7})
    assert value.chosen == {"penalty": 0.7}


def test_held_out_rows_are_not_fitted_on(argument: FitArgument, context: JobContext, tmp_path: Path) -> None:
    """What is kept of validation rows is what a model says that training rows alone made."""
    chosen = {"penalty": 0.7}
    (tmp_path / "out").mkdir()
    assert hold_out(msgspec.structs.replace(argument, chosen=chosen), context).rows == 40
    with np.load(context.outputs[HELD], allow_pickle=False) as kept:
        found = dict(kept)
    np.savez(tmp_path / ROWS, train=np.arange(160), validation=np.arange(0))
    run(argument, context, chosen=chosen)
    alone = LinearFamily().load(context.outputs[MODEL], 1).predict(sample_table("classification")[160:200])
    np.testing.assert_array_equal(found["probabilities_nk"], alone.probabilities_nk)
    assert found["classes"].tolist() == list(alone.classes)
    assert found["truth_n"].tolist() == sample_table("classification")[160:200]["target"].to_list()


def test_holding_out_needs_what_was_chosen(argument: FitArgument, context: JobContext) -> None:
    with pytest.raises(UsageError, match="chosen"):
        hold_out(argument, context)


def test_a_fold_is_fitted_without_its_rows(argument: FitArgument, context: JobContext, tmp_path: Path) -> None:
    """As if the fold's rows had not been there: it chooses on those of the others that are marked."""
    fold_n, chosen_on = np.repeat([0, 1], 100), np.zeros((2, 200), dtype=bool)
    chosen_on[1, :20] = True
    np.savez(tmp_path / ROWS, train=np.arange(200), fold=fold_n, fold_validation=chosen_on)
    of_fold = run(argument, context, fold=1)
    np.savez(tmp_path / ROWS, train=np.arange(20, 100), validation=np.arange(20))
    assert run(argument, context).chosen == of_fold.chosen


def test_a_fit_that_fails_leaves_no_model(argument: FitArgument, context: JobContext, tmp_path: Path) -> None:
    sample_table("classification").with_columns(target=pl.lit("only")).write_parquet(tmp_path / TABLE)
    with pytest.raises(CandidateError, match="two classes"):
        run(argument, context)
    assert not context.outputs[MODEL].exists()


def test_wrong_arguments_are_named(argument: FitArgument, context: JobContext) -> None:
    with pytest.raises(UsageError, match="seed"):
        call(FIT, {**msgspec.to_builtins(argument), "seed": "x"}, context)
    with pytest.raises(ConfigError, match="bims"):
        run(argument, context, params={"bims": 4})
    with pytest.raises(CandidateError, match="classification, regression"):
        run(argument, context, task="generation")


def test_a_numeric_target_becomes_text_classes(argument: FitArgument, context: JobContext, tmp_path: Path) -> None:
    table = sample_table("classification").with_columns(target=pl.col("target").str.slice(6).cast(pl.Int64))
    table.write_parquet(tmp_path / TABLE)
    assert run(argument, context).classes == ["0", "1"]


def test_the_job_names_this_function() -> None:
    assert f"{fit.__module__}:{fit.__name__}" == FIT


def test_what_a_fit_says_of_validation_rows_on_its_way_is_kept(argument: FitArgument, context: JobContext) -> None:
    value = run(argument, context)
    assert value.held
    with np.load(context.outputs[HELD], allow_pickle=False) as kept:
        on_the_way = dict(kept)
    hold_out(msgspec.structs.replace(argument, chosen=value.chosen), context)
    with np.load(context.outputs[HELD], allow_pickle=False) as kept:
        np.testing.assert_allclose(on_the_way["probabilities_nk"], kept["probabilities_nk"], atol=1e-6)
        assert on_the_way["truth_n"].tolist() == kept["truth_n"].tolist()


def test_where_nothing_is_chosen_nothing_is_said_of_validation_rows(argument: FitArgument, context: JobContext) -> None:
    (context.outputs[HELD].parent).mkdir()
    assert not run(argument, context, chosen={"penalty": 0.7}).held
    with np.load(context.outputs[HELD], allow_pickle=False) as kept:
        assert kept.files == []


def test_folds_in_one_job_are_what_each_is_alone(argument: FitArgument, context: JobContext, tmp_path: Path) -> None:
    np.savez(tmp_path / ROWS, fold=np.arange(200) % 3, fold_validation=np.arange(200) % 7 == np.arange(3)[:, None])
    outputs = {model_without(fold): tmp_path / "out" / str(fold) for fold in (0, 2)}
    together = FoldsArgument(**msgspec.structs.asdict(argument), folds=(0, 2))
    lines: list[str] = []
    value = fit_folds(together, replace(context, outputs=outputs, progress=lines.append))
    assert any(line.startswith("without fold 3: ") for line in lines)
    for fold, found in zip((0, 2), value.fits, strict=True):
        alone = run(argument, context, fold=fold)
        assert found.chosen == alone.chosen
        assert contents(outputs[model_without(fold)]) == contents(context.outputs[MODEL])
