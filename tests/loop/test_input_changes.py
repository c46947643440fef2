"""Inputs that changed."""

import pytest

from bakeoff.core.types import Column, ColumnKind, Signature
from bakeoff.loop.input_changes import changed_inputs


def takes(**kinds: ColumnKind) -> Signature:
    columns = tuple(Column(name=name, kind=kind, dtype="") for name, kind in kinds.items())
    return Signature(task="regression", inputs=columns)


LIVE = takes(x="numeric", g="categorical")


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (takes(score="numeric", g="categorical"), "new 'score'; gone 'x'"),
        (takes(x="numeric", g="categorical", day="datetime"), "new 'day'"),
        (takes(x="numeric"), "gone 'g'"),
        (takes(x="numeric", g="text"), "'g' is text, was categorical"),
        (takes(X="numeric", g="boolean"), "new 'X'; gone 'x'; 'g' is boolean, was categorical"),
    ],
)
def test_what_changed_is_told(new: Signature, told: str) -> None:
    changes = changed_inputs(LIVE, new)
    assert changes is not None
    assert changes.sentence == told


def test_another_order_is_no_change() -> None:
    assert changed_inputs(LIVE, takes(g="categorical", x="numeric")) is None
