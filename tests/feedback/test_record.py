"""Taking in feedback: all items or none, wrong ones named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.core.errors import DataError
from bakeoff.feedback.record import record
from bakeoff.testing.memory import MemoryEvents


def log() -> MemoryEvents:
    return MemoryEvents(lambda: 5_000)


def test_items_are_logged_as_given():
    events = log()
    recorded = record(events, [{"id": "a", "label": "fresh", "source": "ann", "time_ms": 7}, {"id": "b", "rating": 1}])
    assert recorded.accepted == 2
    assert list(events.read("feedback")) == [
        {"seq": 1, "time_ms": 5_000, "id": "a", "label": "fresh", "source": "ann", "known_ms": 7},
        {"seq": 2, "time_ms": 5_000, "id": "b", "rating": 1},
    ]


def test_nothing_is_nothing():
    events = log()
    assert record(events, []).accepted == 0


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("a", "an object with an id"),
        ({}, "id to be the id"),
        ({"id": "", "label": 1}, "id to be the id"),
        ({"id": 3, "label": 1}, "id to be the id"),
        ({"id": "x" * 201, "label": 1}, "id to be the id"),
        ({"id": "a"}, "label, rating or correction"),
        ({"id": "a", "label": None}, "label, rating or correction"),
        ({"id": "a", "lable": 1}, "only the keys"),
        ({"id": "a", "label": [1]}, "label to be"),
        ({"id": "a", "label": float("nan")}, "label to be"),
        ({"id": "a", "label": "x" * 100_001}, "label to be"),
        ({"id": "a", "rating": "good"}, "rating to be"),
        ({"id": "a", "correction": 3}, "correction to be"),
        ({"id": "a", "label": 1, "source": 3}, "source to be"),
        ({"id": "a", "label": 1, "time_ms": "now"}, "time_ms to be"),
        ({"id": "a", "label": 1, "time_ms": -1}, "time_ms to be"),
        ({"id": "a", "label": 1, "time_ms": True}, "time_ms to be"),
    ],
)
def test_a_wrong_item_is_named_and_nothing_is_recorded(item, message):
    events = log()
    with pytest.raises(DataError, match=f"feedback item 1: expected {message}.*nothing was recorded"):
        record(events, [{"id": "good", "label": "x"}, item])
    assert list(events.read("feedback")) == []


text = st.text(st.characters(codec="ascii"), max_size=5)
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    text,
    st.lists(text),
    st.dictionaries(text, text),
)
KEYS = ["id", "label", "rating", "correction", "source", "time_ms"]


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), anything), max_size=4))
def test_any_json_is_recorded_whole_or_refused_whole(items):
    events = log()
    try:
        recorded = record(events, items)
    except DataError:
        assert list(events.read("feedback")) == []
    else:
        assert recorded.accepted == len(items) == len(list(events.read("feedback")))
