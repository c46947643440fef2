"""Losses add up, and a loss of one class is named."""

from dataclasses import replace

import pytest

from bakeoff.core.ledger import EXAMPLE_CHARACTERS, Ledger, Loss, example


def row_loss(count=1, **more):
    return Loss(kind="row", reason="no target", count=count, **more)


def test_rows_in_are_rows_used_and_rows_lost():
    ledger = Ledger(rows_in=100, rows_used=100)
    assert ledger.balanced
    less = ledger.with_losses([row_loss(20), Loss(kind="cell", reason="not a number", count=7)], rows_used=80)
    assert less.balanced
    assert (less.rows_lost, less.count("cell"), less.lost_share) == (20, 7, 0.2)
    assert not ledger.with_losses([row_loss(20)]).balanced


def test_losses_of_nothing_are_left_out():
    assert Ledger(rows_in=1, rows_used=1).with_losses([row_loss(0)]).losses == ()


@pytest.mark.parametrize(
    ("lost", "used", "name"),
    [
        ({"ill": 20}, {"ill": 100, "well": 100}, "ill"),
        ({"ill": 19, "well": 1}, {"ill": 100, "well": 100}, "ill"),
        ({"ill": 17, "well": 3}, {"ill": 100, "well": 100}, None),
        ({"ill": 9}, {"ill": 100, "well": 100}, None),
        ({"well": 20}, {"ill": 5, "well": 200}, None),  # as the rows are anyway
        ({"ill": 20}, {"well": 500}, "ill"),
    ],
)
def test_a_loss_of_one_class_is_named_unless_chance_would_make_it(lost, used, name):
    loss = row_loss(sum(lost.values()), classes=lost)
    assert Ledger(rows_in=1000, rows_used=980, classes=used).concentration(loss) == name


def test_a_loss_whose_classes_are_mostly_unknown_is_not_concentrated():
    ledger = Ledger(rows_in=1000, rows_used=900, classes={"ill": 450, "well": 450})
    assert ledger.concentration(row_loss(100, classes={"ill": 20})) is None
    assert ledger.concentration(Loss(kind="label", reason="spelling", count=20, classes={"ill": 20})) is None


def test_what_matters_is_told_from_what_does_not():
    ledger = Ledger(rows_in=1000, rows_used=980, classes={"ill": 490, "well": 490})
    column = Loss(kind="column", reason="an id", count=1, subject="number")
    assert not ledger.matters(column)
    assert ledger.matters(replace(column, grave=True))
    assert not ledger.matters(row_loss(10))
    assert ledger.matters(row_loss(11))
    assert not ledger.matters(row_loss(500, candidate="lora"))
    assert ledger.matters(Loss(kind="class", reason="a class of one row", count=1, subject="rare"))


def test_rows_that_one_candidate_goes_without_are_used_by_the_others():
    ledger = Ledger(rows_in=100, rows_used=100).with_losses([row_loss(60, candidate="lora")])
    assert ledger.balanced
    assert ledger.rows_lost == 0


def test_a_ledger_comes_back_from_json():
    loss = row_loss(20, of=100, examples=("'x'",), classes={"ill": 20}, remedy="look")
    ledger = Ledger(rows_in=100, rows_used=80, losses=(loss,), classes={"ill": 30, "well": 50})
    body = ledger.to_json()
    assert Ledger.from_json(body) == ledger
    assert body["rows_lost"] == 20
    assert body["losses"][0].keys() == {"kind", "reason", "count", "of", "examples", "classes", "remedy"}


def test_examples_are_one_short_line():
    assert example("a\nb") == "'a\\nb'"
    assert len(example("x" * 500)) == EXAMPLE_CHARACTERS
