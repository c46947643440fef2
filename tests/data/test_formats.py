"""How columns of texts get their types: what is seen, what is lost, what is told."""

from typing import Any

import polars as pl
import pytest

from bakeoff.data.attempts import NO_HINTS
from bakeoff.data.formats import ColumnSettings, Hints, Typed, typed

N = 100
NUMBERS = [f"{i}.5" for i in range(N)]
WHOLES = [str(i) for i in range(N)]


def of(values: list[str], hints: Hints = NO_HINTS, **wanted: Any) -> Typed:
    return typed(pl.Series("c", values, dtype=pl.String), ColumnSettings(**wanted), hints)


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


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["５１２", "１．５", "－７"], [512.0, 1.5, -7.0]),
        (["٥١٢", "٣٫٥", "١٬٢٣٤٫٥"], [512.0, 3.5, 1234.5]),
        (["५१२", "१.५", "7"], [512.0, 1.5, 7.0]),
    ],
)
def test_digits_of_every_script_are_numbers(texts: list[str], numbers: list[float]) -> None:
    result = of(texts * 10)
    assert result.series.to_list() == numbers * 10
    assert not result.losses


def test_dates_in_other_digits_are_times() -> None:
    assert of(["２０２４-０１-３１", "٢٠٢٤-٠٢-٠١"] * 9).series.dt.day().to_list() == [31, 1] * 9
    assert of(["３１/１２/２０２４", "01/02/2024"] * 9).style.order == "dmy"


def test_bounds_and_estimates_are_the_numbers_in_them_and_told() -> None:
    result = of([*NUMBERS, *["<0.01", ">100", "~5", "5+"] * 3])
    assert result.series.to_list()[N : N + 4] == [0.01, 100.0, 5.0, 5.0]
    assert not result.losses
    (note,) = result.notes
    assert "'<0.01'" in note
    assert "4 different" in note
    for codes in (["1", "2", "3+"], [">50K", "<=50K"], ["<18", "18", "19", "65+"]):
        assert of(codes * 30).series.to_list() == codes * 30


def test_scales_multiply_and_are_told() -> None:
    texts = [*(f"1.{i}k" for i in range(10, 40)), *(f"${i}M" for i in range(1, 20)), "2bn", "500"]
    result = of(texts)
    assert result.series.to_list()[0] == 1100.0
    assert result.series.to_list()[-3:] == [19e6, 2e9, 500.0]
    assert "1.2k is 1200" in " ".join(result.notes)
    assert of(["4K", "8K"] * 30).series.to_list() == ["4K", "8K"] * 30


def test_shares_beside_bare_numbers_are_one_rule_and_a_loud_loss() -> None:
    result = of([*(f"{i}%" for i in range(50)), *(f"0.{i}" for i in range(10, 30))])
    assert result.series.to_list()[7] == 0.07
    assert result.series.to_list()[-1] == 0.29
    (loss,) = result.losses
    assert (loss.count, loss.of, loss.grave) == (20, 70, True)
    assert "55% is 0.55" in loss.reason
    assert not of([f"{i}%" for i in range(50)]).losses


def test_both_decimal_marks_are_told() -> None:
    few = of([*(f"1.{100 + i},5" for i in range(97)), "1,100.5", "1,101.5"])
    assert few.losses[0].count == 2
    half = of([f"1.{100 + i},5" if i % 2 else f"1,{100 + i}.5" for i in range(50)])
    for result in (few, half):
        assert any("decimal commas and others with decimal points" in note for note in result.notes)


@pytest.mark.parametrize(
    "texts",
    [[f"{unit}{i}" for i in range(25) for unit in "$€"], [f"{i} {unit}" for i in range(25) for unit in ("kg", "lb")]],
)
def test_several_units_are_told(texts: list[str]) -> None:
    result = of(texts)
    assert result.series.to_list() == texts
    assert "several units" in result.notes[0]
    forced = of(texts, kind="numeric")
    assert forced.series.null_count() == 25
    assert forced.losses[0].count == 25


def test_the_grouping_of_india_is_one_of_numbers() -> None:
    assert of(["1,61,346.00", "12,34,567.50", "999.00"] * 9).series.to_list()[:3] == [161346.0, 1234567.5, 999.0]


@pytest.mark.parametrize(
    "dates",
    [
        ["3-Mär-24", "4-Mai-24", "5-Dez-24"],
        ["3 mars 2024", "lundi 4 août 2024", "5 févr. 2024"],
        ["12 gennaio 2024", "4 luglio 2024", "5 ago 2024"],
        ["3 de marzo de 2024", "4 enero 2024", "5 dic. 2024"],
        ["1 października 2024 r.", "4 lipca 2024", "5 maja 2024"],
        ["12 января 2024 г.", "4 июля 2024", "5 мая 2024"],
        ["15 Eylül 2024", "4 Ağustos 2024", "5 Mayıs 2024"],
        ["3. märz 2024, 14:30 Uhr", "4. Jänner 2024", "5. Mai 2024"],
    ],
)
def test_months_have_names_in_many_languages(dates: list[str]) -> None:
    result = of(dates * 9)
    assert result.series.dtype == pl.Datetime("us")
    assert result.series.null_count() == 0
    assert result.series.dt.day().to_list()[1:3] == [4, 5]


def test_months_of_unknown_names_are_told() -> None:
    result = of(["12 Machi 2024", "4 Oktoba 2024", "5 Desemba 2024"] * 9)
    assert result.series.dtype == pl.String
    assert "'Machi'" in result.notes[0]


@pytest.mark.parametrize("months", [["2024-01", "2024-12"], ["2024Q1", "2024Q2"], ["Jan-24", "Mai 2023"], ["01/2024"]])
def test_months_and_quarters_stay_categories_and_are_told(months: list[str]) -> None:
    result = of(months * 20)
    assert result.series.to_list() == months * 20
    assert "months or quarters" in result.notes[0]
    assert not of(["Room 10", "Room 12"] * 20).notes


def test_days_beside_other_whole_numbers_are_told() -> None:
    days = [f"202401{day:02d}" for day in range(1, 29)]
    result = of([*days, "0", "99999999"])
    assert result.series.dtype == pl.Int64
    assert 'missing = ["0", "99999999"]' in result.notes[0]
    assert of([*days, "0"], missing=("0",)).series.dtype == pl.Datetime("us")
    assert not of(["5", "20240101", "7", "9"] * 9).notes


@pytest.mark.parametrize(
    "text", ["01/Jan/2024:10:00:00 +0000", "Mon, 01 Jan 2024 10:00:00 GMT", "1 janv. 2024 à 10:00"]
)
def test_more_ways_to_write_a_time(text: str) -> None:
    assert of([text] * 9).series.dt.hour().to_list() == [10] * 9
