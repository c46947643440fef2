"""An input that is absent differs from one that is missing, and a misspelt key is no answer's ground."""

import polars as pl
import pytest

from bakeoff.core.errors import DataError
from bakeoff.core.types import Column, ColumnFormat
from bakeoff.serve.inputs import NO_GAPS, Gaps, Inputs

COLUMNS = (
    Column(name="amount", kind="numeric", dtype="Float64", fill=2.5),
    Column(name="group", kind="categorical", dtype="String"),
    Column(name="note", kind="text", dtype="String", fill=""),
)
WHOLE = {"amount": 1, "group": "a", "note": "x"}


def inputs(**settings) -> Inputs:
    return Inputs(COLUMNS, aside=("id", "paid"), **settings)


def test_a_whole_row_lacks_nothing():
    assert inputs().of_rows([WHOLE, {**WHOLE, "id": 7, "paid": "yes"}]) == [NO_GAPS, NO_GAPS]


def test_further_keys_are_ignored_but_counted():
    assert inputs().of_rows([{**WHOLE, "colour": "red"}]) == [Gaps(unknown=("colour",))]


def test_absent_inputs_are_counted_when_nothing_was_misspelt():
    assert inputs().of_rows([{"amount": 1, "id": 3}]) == [Gaps(absent=("group", "note"))]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"Amount": 1, "group": "a", "note": ""}, "'Amount' (did you mean 'amount'?)"),
        ({"ammount": 1}, "'ammount' (did you mean 'amount'?)"),
        ({" amount ": 1, "GROUP": "a"}, "' amount ' (did you mean 'amount'?), 'GROUP' (did you mean 'group'?)"),
        ({"amount;group;note": "1;a;x"}, "'amount;group;note'"),
        ({**{f"k{i:02}": i for i in range(30)}, "group": "a"}, "'k09' and 20 more"),
        ({3: 1, "group": "a"}, "'3'"),
    ],
)
def test_unknown_keys_with_an_absent_input_are_refused_with_the_nearest_name(row, told):
    with pytest.raises(DataError) as caught:
        inputs().of_rows([WHOLE, row])
    assert str(caught.value).startswith("row 2: expected the inputs ")
    assert told in str(caught.value)
    (gaps,) = inputs(unknown="warn").of_rows([row])
    assert gaps.absent
    assert gaps.unknown


@pytest.mark.parametrize("row", [{}, {"id": 3}, {"paid": "yes", "id": 4}])
@pytest.mark.parametrize("unknown", ["reject", "warn"])
def test_a_row_without_any_input_is_refused(row, unknown):
    with pytest.raises(
        DataError, match="row 1: expected values of the inputs 'amount', 'group', 'note', received none"
    ):
        inputs(unknown=unknown).of_rows([row])


def test_values_that_no_training_row_lacked_are_counted():
    table = pl.DataFrame({"amount": [None, 1.0], "group": [None, None], "note": [None, "x"]})
    gaps = inputs().of_rows([{"amount": None, "group": None}, {**WHOLE, "group": ""}])
    assert inputs().with_values(gaps, table) == [Gaps(absent=("note",), imputed=("amount", "note")), NO_GAPS]


def test_the_elements_of_a_vector_are_one_input():
    elements = tuple(
        Column(
            name=f"point[{at}]",
            kind="numeric",
            dtype="Float64",
            fill=0.0,
            format=ColumnFormat(vector="point", position=at, length=2),
        )
        for at in range(2)
    )
    vector = Inputs((*COLUMNS[:1], *elements))
    assert (
        vector.of_rows([{"amount": 1, "point": [1, 2]}, {"amount": 1, "point[0]": 1, "point[1]": 2}]) == [NO_GAPS] * 2
    )
    (gaps,) = vector.of_rows([{"amount": 1, "point[0]": 1}])
    assert gaps == Gaps(absent=("point",))
    table = pl.DataFrame({"amount": [1.0], "point[0]": [None], "point[1]": [None]})
    assert vector.with_values([gaps], table) == [Gaps(absent=("point",), imputed=("point",))]
    with pytest.raises(DataError, match=r"'pont' \(did you mean 'point'\?\)"):
        vector.of_rows([{"amount": 1, "pont": [1, 2]}])


def test_categories_that_no_training_row_had_are_counted():
    known = Inputs((Column(name="group", kind="categorical", dtype="String", known=("a", "b")), COLUMNS[0]))
    table = pl.DataFrame({"group": ["a", "c", None], "amount": [1.0, None, 2.0]})
    assert known.with_values([NO_GAPS] * 3, table) == [NO_GAPS, Gaps(imputed=("amount",), unseen=("group",)), NO_GAPS]
