"""Losses add up, and a loss of one class is named."""

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
    ("classes", "count", "name"), [({"ill": 20}, 20, "ill"), ({"ill": 19, "well": 1}, 20, None), ({"ill": 9}, 9, None)]
)
def test_a_loss_of_one_class_is_named(classes, count, name):
    assert row_loss(count, classes=classes).concentrated == name


def test_examples_are_one_short_line():
    assert example("a\nb") == "'a\\nb'"
    assert len(example("x" * 500)) == EXAMPLE_CHARACTERS
