import numpy as np
import pytest

from bakeoff import Project
from bakeoff.evaluate.decide.looks import look_level
from bakeoff.loop.looks import next_look, record


@pytest.fixture
def documents(films_project):
    with Project(films_project) as project:
        yield project.records.documents


def hashes(rows, start=0):
    """As many hashes of rows; those of other ranges are others."""
    numbers = np.arange(start, start + rows, dtype=np.uint64)
    return numbers * np.uint64(0x9E3779B97F4A7C15) ^ (numbers >> np.uint64(3))


def look(documents, model, hashes_n, *, passed=None, champion="before", anchor=""):
    found = next_look(documents, "films", model=model, champion=champion, hashes_n=hashes_n, anchor=anchor)
    if passed is not None:
        record(documents, "films", found, hashes_n, passed=passed)
    return found.attempt if anchor else found.number


def test_only_what_did_not_pass_costs_and_the_same_look_costs_once(documents):
    rows = hashes(3000)
    assert look(documents, "a", rows, passed=False) == 1
    assert look(documents, "a", rows, passed=False) == 1
    assert look(documents, "b", rows, passed=True) == 2
    assert look(documents, "c", rows, passed=False) == 2
    assert look(documents, "d", rows) == 3
    assert look(documents, "b", rows, passed=False) == 2  # by another margin: now it costs
    assert look(documents, "d", rows) == 4
    assert look(documents, "a", rows, champion="next") == 4  # beside another champion it is another look


def test_a_few_new_rows_do_not_make_a_test_set_fresh(documents):
    look(documents, "a", hashes(3000), passed=False)
    assert look(documents, "b", hashes(3000, 300)) == 2
    assert look(documents, "b", hashes(3000, 2400)) == 2
    assert look(documents, "b", hashes(3000, 2900)) == 1
    assert look(documents, "b", hashes(3000, 3000)) == 1
    assert look(documents, "b", hashes(200_000)) == 1  # of so many more, hardly any was looked at
    assert look(documents, "b", hashes(50)) == 2


def test_small_tests_are_told_apart(documents):
    look(documents, "a", hashes(20), passed=False)
    assert look(documents, "b", hashes(20, 10)) == 2
    assert look(documents, "b", hashes(20, 20)) == 1


def test_challengers_that_did_not_pass_beside_the_same_anchor_cost_on_fresh_rows_too(documents):
    first, second, third = (hashes(3000, start) for start in (0, 3000, 6000))
    assert look(documents, "a", first, passed=False, anchor="best") == 1
    assert look(documents, "b", second, passed=True, anchor="best") == 2
    assert look(documents, "c", second, passed=False, anchor="best", champion="b") == 2  # what passed costs nothing
    assert look(documents, "d", third, anchor="best", champion="b") == 3
    assert look(documents, "d", third, champion="b") == 1  # a check takes no place, and these rows are fresh
    assert look(documents, "d", third, anchor="better", champion="b") == 1
    found = next_look(documents, "films", model="d", champion="b", hashes_n=third, anchor="best")
    assert found.level == look_level(3)
    assert found.told.startswith(
        "2 earlier challengers did not pass beside the same anchor: this one is held at 99.32%"
    )


def test_a_check_of_before_becomes_an_attempt(documents):
    rows = hashes(3000)
    look(documents, "a", rows, passed=False, anchor="best")
    look(documents, "b", rows, passed=False)
    assert look(documents, "b", rows, anchor="best") == 2
    assert look(documents, "b", rows) == 2  # as a look at these rows it stays the second
