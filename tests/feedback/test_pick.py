"""Which rows are asked for."""

import numpy as np
import pytest

from bakeoff.core.errors import UsageError
from bakeoff.core.types import Column
from bakeoff.feedback.pick import ReviewFrame, disagreement, pick, unlikeness, vectors_of

TEXT = Column(name="text", kind="text", dtype="String")
SIZE = Column(name="size", kind="numeric", dtype="Float64")


def frame(rows=100, **more):
    return ReviewFrame(keys=[str(at) for at in range(rows)], **more)


def test_the_most_uncertain_first_and_each_row_once():
    picked = pick(frame(uncertain_n=np.arange(100) / 100), 10, {"uncertain": 1}, seed=0)
    assert [row.index for row in picked.rows] == list(range(99, 89, -1))
    assert [row.rank for row in picked.rows] == list(range(10))
    assert picked.counts == {"uncertain": 10}
    same = ReviewFrame(keys=["a"] * 50 + ["b"] * 50, uncertain_n=np.ones(100))
    assert len(pick(same, 10, {"uncertain": 1}, seed=0).rows) == 2


def test_shares_and_what_cannot_be_had():
    known = frame(uncertain_n=np.linspace(0, 1, 100), notes={"drift": "there are no training rows"})
    picked = pick(known, 20, {"uncertain": 0.5, "drift": 0.25, "random": 0.25}, seed=1)
    assert sum(row.random for row in picked.rows) == 5
    assert len(picked.rows) == 20
    assert picked.notes == ("drift: there are no training rows",)
    assert sum(pick(frame(), 20, {"drift": 1}, seed=1).counts.values()) == 20  # nothing to go by: drawn
    with pytest.raises(UsageError, match="expected shares"):
        pick(frame(), 20, {"random": 0}, seed=1)


def test_ranks_do_not_depend_on_what_is_drawn():
    """Else the random rows would be no random sample of the others."""
    known = frame(uncertain_n=np.linspace(0, 1, 100))
    ranked = [row for row in pick(known, 60, {"uncertain": 0.5, "random": 0.5}, seed=3).rows if row.rank is not None]
    assert [row.index for row in sorted(ranked, key=lambda row: row.rank)] == [99 - at for at in range(len(ranked))]
    assert any(row.random for row in ranked)


def test_random_rows_are_spread_evenly():
    rows = pick(frame(uncertain_n=np.linspace(0, 1, 100)), 40, {"uncertain": 0.75, "random": 0.25}, seed=0).rows
    for part in range(0, 40, 8):
        assert 1 <= sum(row.random for row in rows[part : part + 8]) <= 3


def test_typical_rows_stand_for_their_group():
    rows = [{"text": f"{word} thing"} for word in ("red",) * 60 + ("blue",) * 30 + ("green",) * 10]
    (vectors,) = vectors_of([TEXT], rows)
    picked = pick(frame(vectors=vectors), 3, {"typical": 1}, seed=0)
    assert sorted(rows[row.index]["text"] for row in picked.rows) == ["blue thing", "green thing", "red thing"]
    assert [round(row.reasons[0].score, 1) for row in picked.rows] == [0.6, 0.3, 0.1]


def test_rows_unlike_the_training_rows():
    rng = np.random.default_rng(0)
    old = [{"text": "a tweet", "size": float(value)} for value in rng.normal(0, 1, 200)]
    new = [{"text": "a tweet" if at < 150 else "an editorial", "size": 0.0} for at in range(200)]
    known, window = vectors_of([TEXT, SIZE], old, new)
    score = unlikeness(known, window, seed=0)
    assert score[150:].min() > score[:150].max()


def test_disagreement():
    same = np.array([[0.9, 0.1], [0.5, 0.5]])
    assert disagreement(np.stack([same, same])) == pytest.approx([0, 0], abs=1e-12)
    apart = np.stack([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])])
    assert disagreement(apart) == pytest.approx([1.0])
    # Jensen-Shannon of (.9, .1) and (.1, .9): ln 2 less the entropy of (.9, .1), over ln 2.
    some = np.stack([np.array([[0.9, 0.1]]), np.array([[0.1, 0.9]])])
    assert disagreement(some) == pytest.approx([0.531], abs=5e-4)
