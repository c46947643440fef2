"""The target: classes by one rule, rows without one set aside, all of it counted."""

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import DataError
from bakeoff.core.types import Task
from bakeoff.data.labels import Labels
from bakeoff.data.reading import TableReading
from bakeoff.data.schema import infer
from bakeoff.data.target import TargetTable, name_classes, prepare_target

ReadFile = Callable[..., TableReading]


def config(**settings: Any) -> DataConfig:
    return DataConfig(source=("x",), target="label", numeric=("size",), **settings)


def rows(target: Any, dtype: Any = None) -> pl.DataFrame:
    label = pl.Series("label", target, dtype=dtype)
    return pl.DataFrame([label, pl.Series("size", [float(i) for i in range(len(label))])])


def prepared(table: pl.DataFrame, task: Task = "classification", **settings: Any) -> TargetTable:
    named = name_classes(table, config(**settings), task).table
    return prepare_target(named, infer(named, config(**settings), task).schema, task)


def counted(done: TargetTable) -> dict[str, int]:
    return {loss.reason: loss.count for loss in done.losses if loss.kind == "row"}


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ([True, False, True, False], {"true", "false"}),
        ([1, 2, 1, 2], {"1", "2"}),
        ([1.0, 2.0, 1.0, 2.0], {"1", "2"}),
        (["a", "b", "a", "b"], {"a", "b"}),
        (["None", "True", "None", "True"], {"None", "True"}),
        (["NA", "0", "0", "NA"], {"NA", "0"}),
        ([dt.date(2024, 5, 1), dt.date(2024, 6, 1)] * 2, {"2024-05-01", "2024-06-01"}),
        ([dt.datetime(2024, 5, 1, 12), dt.datetime(2024, 6, 1)] * 2, {"2024-05-01T12:00:00", "2024-06-01"}),  # noqa: DTZ001
    ],
)
def test_classes_are_named(target: list[object], names: set[str]) -> None:
    done = prepared(rows([*target, None]))
    assert set(done.table["label"].to_list()) == names
    assert counted(done) == {"target missing": 1}


def test_categories_and_what_floats_lack_are_classes_and_no_target() -> None:
    assert set(prepared(rows(["a", "b"] * 3, pl.Categorical())).table["label"]) == {"a", "b"}
    done = prepared(rows([1.0, 2.0, 1.0, 2.0, math.nan]))
    assert (set(done.table["label"]), counted(done)) == ({"1", "2"}, {"target missing": 1})


@pytest.mark.parametrize("word", ["NaN", "nan", " NAN", "<NA>"])
@pytest.mark.parametrize("target", [["0.0", "1.0"], ["1", "2"], ["True", "False"]])
def test_not_a_number_among_numbers_is_no_target_and_told(target: list[str], word: str) -> None:
    table = rows([*target * 5, word])
    done = prepared(table)
    assert len(set(done.table["label"])) == 2
    assert counted(done) == {"target missing": 1}
    assert word.strip() in name_classes(table, config(), "classification").notes[0]
    assert set(prepared(rows([*["cat", "dog"] * 5, word, word])).table["label"]) == {"cat", "dog", word.strip()}


def test_numbers_of_32_bits_are_named_as_they_were_written() -> None:
    done = prepared(rows([0.1, 0.7, 3.0] * 4, pl.Float32()))
    assert set(done.table["label"]) == {"0.1", "0.7", "3"}
    assert Labels(("0.1", "0.7")).match(np.float32(0.7)) == "0.7"


def test_words_for_missing_that_are_classes_are_told() -> None:
    (told,) = name_classes(rows(["nan", "cat", "dog"] * 4), config(), "classification").warnings
    assert "'nan' (4 rows)" in told
    assert 'target_missing = ["nan"]' in told


def test_classes_that_mean_the_same_are_told() -> None:
    (told,) = name_classes(rows(["Yes", "Y", "Maybe"] * 4), config(), "classification").warnings
    assert "'Y' (4 rows), 'Yes' (4 rows)" in told
    assert "WHEN 'Y' THEN 'Yes'" in told


@pytest.mark.parametrize("blank", ["", "  ", "\u00a0", "\u200b"])
def test_a_blank_is_no_target(blank: str) -> None:
    done = prepared(rows(["a", "b"] * 5 + [blank]))
    assert (set(done.table["label"]), counted(done)) == ({"a", "b"}, {"target missing": 1})


def test_words_are_no_target_when_asked() -> None:
    target = ["None"] * 4 + ["True"] * 3 + ["False"] * 2
    assert set(prepared(rows(target)).table["label"]) == {"None", "True", "False"}
    done = prepared(rows(target), target_missing=["None"])
    assert (set(done.table["label"]), counted(done)) == ({"True", "False"}, {"target missing": 4})


@pytest.mark.parametrize(
    ("usual", "other"),
    [("high", "high "), ("caf\u00e9", "cafe\u0301"), ("high", "\ufeffhigh"), ("1", "1.0"), ("true", "True")],
)
def test_spellings_of_one_class_are_merged_and_counted(usual: str, other: str) -> None:
    rest = {"1": "2", "true": "false"}.get(usual, "low")
    named = name_classes(rows([usual] * 8 + [other] * 3 + [rest] * 5), config(), "classification")
    assert named.table["label"].value_counts(name="n").sort("n").rows() == [(rest, 5), (usual, 11)]
    (loss,) = named.losses
    assert (loss.kind, loss.count, loss.of, dict(loss.classes)) == ("label", 3, 16, {usual: 3})
    assert loss.examples == (f"{other!r} is {usual!r}",)
    assert not named.warnings


def test_exact_labels_stay_apart_and_are_told() -> None:
    named = name_classes(rows(["high"] * 8 + ["high "] * 3 + ["low"] * 5), config(labels="exact"), "classification")
    assert set(named.table["label"]) == {"high", "high ", "low"}
    (told,) = named.warnings
    assert "'high' (8 rows), 'high ' (3 rows)" in told
    assert "labels = 'trim'" in told


@pytest.mark.parametrize("other", ["HIGH", "hi gh", "ｈｉｇｈ", "High"])
def test_classes_that_look_alike_are_told_with_the_key_that_joins_them(other: str) -> None:
    target = rows(["high"] * 8 + [other] * 3 + ["low"] * 5)
    named = name_classes(target, config(), "classification")
    assert set(named.table["label"]) == {"high", other, "low"}
    (told,) = named.warnings
    assert f"{other!r} (3 rows)" in told
    assert "labels = 'fold'" in told
    folded = name_classes(target, config(labels="fold"), "classification")
    assert (set(folded.table["label"]), folded.warnings) == ({"high", "low"}, ())
    assert folded.losses[0].count == 3


@pytest.mark.parametrize("target", [[["a"], ["a", "b"]] * 4, ['["a"]', '["a", "b"]'] * 4, ["a", "[1, 2]"] * 4])
def test_lists_of_labels_are_refused_with_the_way_out(target: list[Any]) -> None:
    with pytest.raises(DataError, match=r"one class for each row, found lists .* not supported.*query"):
        prepared(rows(target))


def test_joined_labels_are_told() -> None:
    (told,) = name_classes(rows(["red|blue", "blue|green", "red", "green"] * 5), config(), "classification").warnings
    assert "joined by '|' ('blue|green', 'red|blue')" in told


def test_a_quantity_taken_for_classes_is_told() -> None:
    (told,) = name_classes(rows([i % 60 for i in range(600)]), config(), "classification").warnings
    assert 'task = "regression"' in told


def test_classes_of_one_row_are_left_out_and_told() -> None:
    done = prepared(rows(["a"] * 20 + ["b"] * 20 + ["typo", "b"]))
    assert set(done.table["label"]) == {"a", "b"}
    assert counted(done) == {"a class of one row": 1}
    (dropped,) = [loss for loss in done.losses if loss.kind == "class"]
    assert (dropped.count, dropped.of, dropped.examples) == (1, 3, ("'typo'",))
    assert "1 of 3 classes have a single row" in done.warnings[0]


def test_regression_targets_are_finite() -> None:
    done = prepared(rows([1.5, math.nan, math.inf, None, 2.5]), "regression")
    assert done.table["label"].to_list() == [1.5, 2.5]
    assert counted(done) == {"target missing": 1, "target not a finite number": 2}


@pytest.mark.parametrize(
    ("target", "values"),
    [
        (["1", "NA", "2.5", "nan"], [1.0, 2.5]),
        (["10%", "20%", "?", "NA"], [0.1, 0.2]),
        (["1,5", "2,5", "-", ""], [1.5, 2.5]),
    ],
)
def test_a_quantity_of_few_values_is_read_and_words_are_missing(target: list[str], values: list[float]) -> None:
    done = prepared(rows([text or None for text in target]), "regression")
    assert (done.table["label"].to_list(), counted(done)) == (values, {"target missing": 2})


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (["a"] * 4, "at least two classes, found only 'a'"),
        (["a", "a", "b", "b2"], "found one of 'b', 'b2'"),
        ([0.1, 0.2, 0.3, 0.4], 'task = "regression"'),
        (["a "] * 2 + ["a"] * 2, "at least two classes, found only 'a'"),
    ],
)
def test_targets_that_cannot_be_learned(target: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepared(rows(target))


@pytest.mark.parametrize(("target", "message"), [([None] * 4, "all 4 rows lack one"), ([], "expected rows")])
def test_no_target_at_all(target: list[object], message: str) -> None:
    schema = infer(rows(["a", "b"]), config(), "classification").schema
    with pytest.raises(DataError, match=message):
        prepare_target(rows(target, pl.String), schema, "classification")


def test_a_listed_numeric_column_with_words_names_row_and_column() -> None:
    table = pl.DataFrame({"label": ["x", "y"] * 50, "size": ["1", "2"] * 49 + ["3", "many"]})
    schema = infer(table, config(), "classification").schema
    with pytest.raises(DataError, match="row 100, column 'size': expected a number, received 'many'"):
        prepare_target(table, schema, "classification")


def from_csv(read_file: ReadFile, cells: list[str], **settings: Any) -> tuple[TargetTable, list[str]]:
    lines = "".join(f"{cell},{i * 0.37:.2f}\n" for i, cell in enumerate(cells))
    reading = read_file(f"label,size\n{lines}".encode(), numeric=["size"], **settings)
    chosen = config(**settings)
    named = name_classes(reading.table, chosen, "classification", reading.formats)
    schema = infer(named.table, chosen, "classification", named.formats).schema
    return prepare_target(named.table, schema, "classification"), list(named.warnings)


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["None"] * 8 + ["True"] * 6 + ["False"] * 5, {"None", "True", "False"}),
        (["NA"] * 2 + ["0"] * 6 + ["1"] * 5, {"NA", "0", "1"}),
        (["null"] * 2 + ["yes"] * 6 + ["no"] * 5, {"null", "yes", "no"}),
        (["NaN"] * 2 + ["cat"] * 6 + ["dog"] * 5, {"NaN", "cat", "dog"}),
        (["?"] * 3 + ["-"] * 3 + ["1"] * 4, {"?", "-", "1"}),
        (["True"] * 4 + ["FALSE"] * 4, {"true", "false"}),
        (["1"] * 4 + ["1.0"] * 4 + ["2"] * 4, {"1", "2"}),
        (["1 "] * 4 + ["1"] * 4 + ["2"] * 4, {"1", "2"}),
        (["3.1"] * 4 + ["3.10"] * 4 + ["3.9"] * 4, {"3.1", "3.10", "3.9"}),
        (["3.1"] * 4 + ["3.10"] * 4, {"3.1", "3.10"}),
        (["007"] * 4 + ["7"] * 4, {"007", "7"}),
        (["9007199254740993"] * 4 + ["9007199254740992"] * 4, {"9007199254740993", "9007199254740992"}),
        (["2024-05-01"] * 4 + ["2024-06-01"] * 4, {"2024-05-01", "2024-06-01"}),
        (["20240501"] * 4 + ["20240601"] * 4, {"20240501", "20240601"}),
        (["high "] * 4 + ["high"] * 4 + ["low\u00a0"] * 4, {"high", "low"}),
        (["10%"] * 4 + ["20%"] * 4, {"10%", "20%"}),
        (["12:30"] * 4 + ["13:30"] * 4, {"12:30", "13:30"}),
    ],
)
def test_classes_of_a_file_keep_what_tells_them_apart(read_file: ReadFile, cells: list[str], names: set[str]) -> None:
    done, _ = from_csv(read_file, cells)
    assert set(done.table["label"].to_list()) == names
    assert done.table.height == len(cells)


def test_empty_cells_of_a_file_are_no_target_and_words_are_when_asked(read_file: ReadFile) -> None:
    done, _ = from_csv(read_file, ["None"] * 4 + ["a"] * 4 + ["b"] * 4 + [""] * 3 + ["  "])
    assert counted(done) == {"target missing": 4}
    done, _ = from_csv(read_file, ["None"] * 4 + ["a"] * 4 + ["b"] * 4, target_missing=["None"])
    assert (set(done.table["label"]), counted(done)) == ({"a", "b"}, {"target missing": 4})


@pytest.mark.parametrize("label", ['["red", "blue"]', '["red"]', "[1, 2]"])
def test_lists_in_json_lines_are_refused(read_file: ReadFile, label: str) -> None:
    lines = "".join(f'{{"label": {label}, "size": {i}}}\n' for i in range(8))
    reading = read_file(lines.encode(), "rows.jsonl")
    with pytest.raises(DataError, match=r"one class for each row, found lists"):
        name_classes(reading.table, config(), "classification", reading.formats)
