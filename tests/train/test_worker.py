from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CandidateError, ConfigError, UsageError
from bakeoff.core.types import Signature
from bakeoff.families.linear import LinearFamily, LinearParams
from bakeoff.testing.families import FamilyConformance, sample_table
from bakeoff.train.worker import FIT, HELD, FitArgument, FitValue, fit, hold_out


@pytest.fixture
def argument(tmp_path: Path) -> FitArgument:
    table = sample_table("classification")
    table.write_parquet(tmp_path / "table.parquet")
    np.savez(tmp_path / "rows.npz", train=np.arange(160), validation=np.arange(160, 200))
    job = FamilyConformance().job_of("classification", LinearParams(), tmp_path)
    return FitArgument(
        family="linear",
        params={"bins": 4},
        task="classification",
        schema=job.schema,
        metric="f1_macro",
        table_path=str(tmp_path / "table.parquet"),
        rows_path=str(tmp_path / "rows.npz"),
        seed=1,
        threads=1,
        cache_dir=str(tmp_path / "cache"),
        out_dir=str(tmp_path / "models" / "linear"),
    )


def run(argument: FitArgument, **changes) -> FitValue:
    return msgspec.convert(
        fit(msgspec.to_builtins(msgspec.structs.replace(argument, **changes)), lambda _: None), FitValue
    )


def test_it_leaves_a_model_and_says_what_it_is(argument: FitArgument) -> None:
    value = run(argument)
    folder = Path(argument.out_dir)
    model = LinearFamily().load(folder, 1)
    assert len(model.predict(sample_table("classification")[200:])) == 40
    assert msgspec.convert(value.signature, Signature) == model.signature
    assert value.classes == ["class 0", "class 1"]
    assert value.chosen == model.chosen
    assert value.size_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert value.train_s > 0
    assert value.peak_memory_bytes > 10_000_000


def test_the_same_argument_gives_the_same_files(argument: FitArgument) -> None:
    contents = []
    for _ in range(2):
        run(argument)
        contents.append({path.name: path.read_bytes() for path in Path(argument.out_dir).iterdir()})
    assert contents[0] == contents[1]
    assert [path.name for path in Path(argument.out_dir).parent.iterdir()] == ["linear"]


def test_all_rows_need_what_was_chosen(argument: FitArgument) -> None:
    with pytest.raises(UsageError, match="chosen"):
        run(argument, rows="all")
    value = run(argument, rows="all", chosen={"penalty": 0.7})
    assert value.chosen == {"penalty": 0.7}


def test_held_out_rows_are_not_fitted_on(argument: FitArgument, tmp_path: Path) -> None:
    """What is kept of validation rows is what a model says that training rows alone made."""
    chosen = {"penalty": 0.7}
    held = msgspec.structs.replace(argument, chosen=chosen, out_dir=str(tmp_path / "held"))
    assert hold_out(msgspec.to_builtins(held), lambda _: None) == {"rows": 40}
    with np.load(tmp_path / "held" / HELD, allow_pickle=False) as kept:
        found = dict(kept)
    np.savez(tmp_path / "rows.npz", train=np.arange(160), validation=np.arange(0))
    run(argument, chosen=chosen)
    alone = LinearFamily().load(Path(argument.out_dir), 1).predict(sample_table("classification")[160:200])
    np.testing.assert_array_equal(found["probabilities_nk"], alone.probabilities_nk)
    assert found["classes"].tolist() == list(alone.classes)
    assert found["truth_n"].tolist() == sample_table("classification")[160:200]["target"].to_list()


def test_holding_out_needs_what_was_chosen(argument: FitArgument) -> None:
    with pytest.raises(UsageError, match="chosen"):
        hold_out(msgspec.to_builtins(argument), lambda _: None)


def test_a_draft_of_a_killed_fit_is_no_hindrance(argument: FitArgument) -> None:
    draft = Path(argument.out_dir).with_name(".linear.draft")
    draft.mkdir(parents=True)
    (draft / "model.json").write_text("half")
    run(argument)
    assert not draft.exists()


def test_a_fit_that_fails_leaves_no_folder(argument: FitArgument, tmp_path: Path) -> None:
    sample_table("classification").with_columns(target=pl.lit("only")).write_parquet(tmp_path / "table.parquet")
    with pytest.raises(CandidateError, match="two classes"):
        run(argument)
    assert not Path(argument.out_dir).exists()


def test_wrong_arguments_are_named(argument: FitArgument) -> None:
    with pytest.raises(UsageError, match="seed"):
        fit({**msgspec.to_builtins(argument), "seed": "x"}, lambda _: None)
    with pytest.raises(ConfigError, match="bims"):
        run(argument, params={"bims": 4})
    with pytest.raises(CandidateError, match="classification, regression"):
        run(argument, task="generation")


def test_a_numeric_target_becomes_text_classes(argument: FitArgument, tmp_path: Path) -> None:
    table = sample_table("classification").with_columns(target=pl.col("target").str.slice(6).cast(pl.Int64))
    table.write_parquet(tmp_path / "table.parquet")
    assert run(argument).classes == ["0", "1"]


def test_the_job_names_this_function() -> None:
    assert f"{fit.__module__}:{fit.__name__}" == FIT
