"""Releases: immutable, moved by compare-and-swap, rolled back by moving again."""

import pytest

from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.families import load_family
from bakeoff.core.releases import Release
from bakeoff.serve import releases
from bakeoff.serve.endpoints import Endpoints
from bakeoff.testing.memory import MemoryRecords


class Ticks:
    def __init__(self) -> None:
        self.now_ms = 1_000

    def __call__(self) -> int:
        self.now_ms += 1
        return self.now_ms


@pytest.fixture
def clock() -> Ticks:
    return Ticks()


@pytest.fixture
def documents(clock):
    return MemoryRecords(clock).documents


def make(documents, clock, number: int, **changes) -> Release:
    given = {
        "endpoint": "reviews",
        "model": "linear",
        "number": number,
        "family": "linear",
        "blob_id": f"blob{number}",
        "steps": ("strip_html",),
    }
    made = releases.make_release(documents, clock=clock, **(given | changes))
    Endpoints(documents, clock, who="ann").release(made.endpoint, made.release_id)
    return next(iter(releases.routed(documents, made.endpoint)))


def rollback(documents, clock=lambda: 5_000) -> Release:
    Endpoints(documents, clock, who="ann").rollback("reviews")
    return releases.current(documents, "reviews")


def test_nothing_is_live_before_the_first_release(documents):
    assert releases.current(documents, "reviews") is None
    assert releases.history(documents, "reviews") == []
    with pytest.raises(NotFoundError, match="found none"):
        rollback(documents)


def test_a_release_is_live_and_remembers_what_it_replaced(documents, clock):
    first = make(documents, clock, 1)
    second = make(documents, clock, 2)
    assert releases.current(documents, "reviews") == second
    assert (second.previous, first.previous) == (first.release_id, None)
    assert (second.status, second.share, second.steps) == ("live", 1.0, ("strip_html",))
    assert second.model_version == "linear/2"
    assert [(item.number, item.status) for item in releases.history(documents, "reviews")] == [
        (2, "live"),
        (1, "retired"),
    ]


def test_releasing_what_is_live_changes_nothing(documents, clock):
    first = make(documents, clock, 1)
    assert make(documents, clock, 1) == first
    assert len(releases.history(documents, "reviews")) == 1


def test_rollback_goes_back_step_by_step(documents, clock):
    first, second, _ = (make(documents, clock, number) for number in (1, 2, 3))
    assert rollback(documents).release_id == second.release_id
    assert rollback(documents).release_id == first.release_id
    with pytest.raises(NotFoundError, match="is its first"):
        rollback(documents)


def test_a_release_made_again_after_rollback_is_the_same_document(documents, clock):
    make(documents, clock, 1)
    second = make(documents, clock, 2)
    rollback(documents)
    assert make(documents, clock, 2) == second
    assert len(releases.history(documents, "reviews")) == 2


def test_a_try_that_died_before_moving_the_pointer_is_completed_by_the_next(documents, clock):
    made = make(documents, clock, 1)
    documents.delete("endpoints", "reviews")  # as if killed between the two writes
    assert make(documents, clock, 1) == made
    assert len(releases.history(documents, "reviews")) == 1


def test_endpoints_do_not_see_each_other(documents, clock):
    make(documents, clock, 1)
    make(documents, clock, 1, endpoint="reviews-2")
    assert len(releases.history(documents, "reviews")) == 1
    assert releases.endpoints(documents) == ("reviews", "reviews-2")


class Interrupted:
    """Documents where somebody else moves the pointer after it was read."""

    def __init__(self, documents, between) -> None:
        self._documents, self._between = documents, between

    def __getattr__(self, name):
        return getattr(self._documents, name)

    def apply(self, changes):
        if self._between:
            between, self._between = self._between, None
            between()
        return self._documents.apply(changes)


@pytest.mark.parametrize("released_before", [0, 2])
def test_whoever_moves_second_is_told(documents, clock, released_before):
    for number in range(1, released_before + 1):
        make(documents, clock, number)
    racing = Interrupted(documents, lambda: make(documents, clock, 8))
    with pytest.raises(ConflictError, match="somebody else moved it"):
        make(racing, clock, 9)
    assert releases.current(documents, "reviews").number == 8


def test_rollback_against_a_release_is_told(documents, clock):
    make(documents, clock, 1)
    make(documents, clock, 2)
    with pytest.raises(ConflictError):
        rollback(Interrupted(documents, lambda: make(documents, clock, 3)))
    assert releases.current(documents, "reviews").number == 3


def test_a_pointer_to_a_missing_release_is_an_error(documents):
    documents.put("endpoints", "reviews", {"release_id": "gone"})
    with pytest.raises(NotFoundError, match="records are incomplete"):
        releases.current(documents, "reviews")


@pytest.mark.parametrize(("written", "name"), [("bakeoff.families.linear:LinearFamily", "linear"), ("os:system", None)])
def test_a_release_of_before_is_read_by_the_name_of_its_family(documents, clock, written, name):
    assert make(documents, clock, 1, family=written).family == (name or written)
    if name is None:  # what is not registered stays what it was, and is never imported
        with pytest.raises(NotFoundError, match="os:system"):
            load_family(releases.current(documents, "reviews").family)


def test_releasing_again_what_was_released_before_families_were_named_changes_nothing(documents, clock):
    first = make(documents, clock, 1, family="bakeoff.families.linear:LinearFamily")
    assert make(documents, clock, 1, family="linear").release_id == first.release_id
