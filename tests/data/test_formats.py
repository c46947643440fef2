"""How columns of texts get their types: what is seen, what is lost, what is told."""

from typing import Any

import polars as pl
import pytest

from bakeoff.data.formats import Hints, Typed, Wanted, typed

N = 100
NUMBERS = [f"{i}.5" for i in range(N)]
WHOLES = [str(i) for i in range(N)]


def of(values: list[str], hints: Hints = Hints(), **wanted: Any) -> Typed:  # noqa: B008 - frozen
    return typed(pl.Series("c", values, dtype=pl.String), Wanted(**wanted), hints)


@pytest.mark.parametrize(
    "marker", ["?", "-", "--", ".", "n/a", "NA", "#N/A", "#DIV/0!", "unknown", "missing", "NULL", "k.A.", "…"]
)
def test_words_for_missing_among_numbers_are_counted(marker: str) -> None:
    result = of([*NUMBERS, marker, marker, marker])
    assert result.series.dtype == pl.Float64
    (loss,) = result.losses
    assert (loss.kind, loss.subject, loss.count, loss.of) == ("cell", "c", 3, N + 3)
    assert loss.examples == (repr(marker),)


def test_numbers_such_as_minus_999_are_no_guess() -> None:
    assert of([*NUMBERS, "-999", "-999"]).series.null_count() == 0
    result = of([*NUMBERS, "-999", "-999"], missing=("-999",))
    assert result.series.null_count() == 2
    assert result.style.missing == ("-999",)
    assert result.losses[0].count == 2


def test_a_few_odd_cells_are_lost_and_many_make_texts() -> None:
    few = of([*NUMBERS, "oops", "oh"])
    assert few.series.dtype == pl.Float64
    (loss,) = few.losses
    assert (loss.count, loss.of, loss.examples) == (2, N + 2, ("'oh'", "'oops'"))
    assert "categorical" in str(loss.remedy)
    many = of([*NUMBERS, *(f"oops{i}" for i in range(20))])
    assert many.series.dtype == pl.String
    assert not many.losses
    assert "20 of 120" in many.notes[0]
    assert 'numeric = ["c"]' in many.notes[0]
    forced = of([*NUMBERS, *(f"oops{i}" for i in range(20))], kind="numeric")
    assert forced.series.dtype == pl.Float64
    assert forced.losses[0].count == 20


def test_a_word_among_few_codes_is_a_code() -> None:
    assert of(["1", "2", "3", "4"] * 30 + ["unrated"]).series.dtype == pl.String
    assert of(["1", "2", "3", "4"] * 30 + ["?"]).series.dtype == pl.Int64


@pytest.mark.parametrize(
    "codes", [["007", "123"], ["01", "2"], ["00.5", "1"], ["9007199254740993", "1.5"], ["12345678901234567890"]]
)
def test_codes_stay_texts(codes: list[str]) -> None:
    result = of(codes * 30)
    assert result.series.to_list() == codes * 30


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        (["yes", "no"], pl.Boolean),
        (["Y", "N"], pl.Boolean),
        (["t", "f"], pl.Boolean),
        (["ja", "nein"], pl.Boolean),
        (["Oui", "Non"], pl.Boolean),
        (["sí", "no"], pl.Boolean),
        (["on", "off"], pl.Boolean),
        (["TRUE", "False"], pl.Boolean),
        (["NO", "SE", "DK"], pl.String),
        (["no", "no"], pl.String),
        (["yes", "no", "maybe"], pl.String),
        (["yes", "non"], pl.String),
        (["y", "n", "x"], pl.String),
        (["0", "1"], pl.Int64),
    ],
)
def test_booleans_are_both_words_of_one_pair(values: list[str], kinds: Any) -> None:
    result = of(values * 30)
    assert result.series.dtype == kinds
    assert of(values * 30, target=True).series.dtype == (
        kinds if values == ["TRUE", "False"] or kinds == pl.Int64 else pl.String
    )
    assert of(values * 30, kind="categorical").series.dtype in {
        pl.String,
        kinds if kinds == pl.Int64 else pl.String,
        pl.Boolean if values == ["TRUE", "False"] else pl.String,
    }


def test_words_are_classes_of_a_target() -> None:
    for values in (["True", "False", "None"], ["1", "2", "NA"], ["yes", "no", "null"]):
        assert of(values * 30, target=True).series.to_list() == values * 30
    assert of(["1", "2", "NA"] * 30, target=True, missing=("NA",)).series.null_count() == 30
    quantity = of([*NUMBERS, "NA"], target=True)
    assert quantity.series.null_count() == 1
    assert quantity.losses[0].count == 1


@pytest.mark.parametrize(
    ("values", "order", "is_open"),
    [
        (["31/12/2024", "01/02/2024"], "dmy", False),
        (["12/31/2024", "01/02/2024"], "mdy", False),
        (["01/02/2024", "03/04/2024"], "mdy", True),
        (["01.02.2024", "03.04.2024"], "dmy", True),
        ([f"0{m}/0{d}/2024" for m in range(1, 9) for d in range(1, 9)], "mdy", True),
        ([f"0{d}/0{m}/2024" for m in range(1, 9) for d in range(1, 9)], "dmy", True),
        (["2024/02/01", "2024/03/04"], "ymd", False),
    ],
)
def test_the_order_of_dates(values: list[str], order: str, is_open: bool) -> None:
    result = of(values)
    assert result.series.dtype == pl.Datetime("us")
    assert (result.style.order, result.open) == (order, is_open)
    assert any("date_order" in note for note in result.notes) == is_open
    if is_open:
        assert of(values, Hints(order="dmy")).style.order == "dmy"
        assert of(values, order="mdy").style.order == "mdy"


def test_the_decimal_mark_is_told_by_all_values() -> None:
    assert of(["1,234", "5,678"]).series.to_list() == [1234, 5678]
    assert "decimal" in of(["1,234", "5,678"]).notes[0]
    assert of(["1,234", "5,678", "0,5"]).series.to_list() == [1.234, 5.678, 0.5]
    assert of(["1,234", "5,678"], Hints(decimal=",")).series.to_list() == [1.234, 5.678]
    assert of(["1.234", "5.678"], Hints(decimal=",")).series.to_list() == [1234, 5678]
    assert of(["1,234", "5,678"], decimal=",").series.to_list() == [1.234, 5.678]
    assert of(["1.234.567", "1.000"]).series.to_list() == [1_234_567, 1000]


def test_units_are_taken_off_when_there_is_one() -> None:
    assert of(["12 kg", "3.5 kg"]).series.to_list() == [12.0, 3.5]
    mixed = of(["5 €", "6 $"] * 20)
    assert mixed.series.dtype == pl.String
    assert "several units" in mixed.notes[0]
    some = of(["5 €", "6"] * 20)
    assert some.series.to_list() == [5, 6] * 20
    assert "'€'" in some.notes[0]
    assert "have none" in some.notes[0]


def test_times_with_and_without_a_zone_are_told() -> None:
    (note,) = of(["2024-05-01T12:00:00Z", "2024-05-01T12:00:00"]).notes
    assert "taken as UTC" in note
    (note,) = of(["2024-05-01T12:00:00+02:00", "2024-05-01 12:00"]).notes
    assert "taken as UTC" in note
    assert not of(["2024-05-01T12:00:00+02:00", "2024-11-01T12:00:00+01:00"]).notes


def test_eight_digits_are_days_only_when_all_are() -> None:
    assert of(["20240131", "20240201"]).series.dtype == pl.Datetime("us")
    assert of(["20240131", "20240299"]).series.dtype == pl.Int64
    assert of(["20240131", "20240201"], kind="numeric").series.dtype == pl.Int64
    assert of(["1714560000", "1714560001"]).series.dtype == pl.Int64


def test_times_of_day_and_durations_are_seconds() -> None:
    assert of(["1:30:00", "25:00:00", "n/a"]).series.to_list() == [5400.0, 90_000.0, None]
    assert of(["PT5M", "P1D"]).series.to_list() == [300.0, 86_400.0]
    assert "seconds" in of(["9:30 pm", "10:15 am"]).notes[0]


def test_lists_of_numbers_are_vectors() -> None:
    assert of(["[1, 2.5]", "[3, 4]"]).series.to_list() == [[1.0, 2.5], [3.0, 4.0]]
    assert of(["[1, 2]", "[3]"]).style.form == "json"
    assert of(["[1, 2]", "[3"]).style.form == "plain"
