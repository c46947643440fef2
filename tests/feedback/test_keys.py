"""Feedback by the caller's own key: before the prediction, after it, and many times."""

import random

import pytest

from bakeoff.core.errors import DataError
from bakeoff.core.events import FeedbackEvent, KeyEvent
from bakeoff.feedback.join import labelled
from bakeoff.feedback.record import record
from bakeoff.feedback.truth import Truth
from bakeoff.testing.events import prediction
from bakeoff.testing.memory import MemoryEvents

CLASSES = Truth("classification", ("no", "yes"))


@pytest.fixture
def events():
    return MemoryEvents(lambda: 1_000)


def predict(events, *ids, endpoint="late", **more):
    events.append([prediction(i, endpoint=endpoint, row={"x": i}, label="yes", **more) for i in ids])


def send(events, *items, endpoint="late", **more):
    return record(events, items, endpoint=endpoint, truth_of=lambda _: CLASSES, **more)


def labels(events, endpoint="late"):
    found = labelled(events, endpoint, truth_of=lambda _: CLASSES)
    return {pair.id: pair.label for pair in found.pairs}, found.unmatched


def test_a_label_by_key_may_come_before_the_key_and_the_prediction(events):
    assert send(events, {"key": "order 1", "label": "no"}).unmatched == 1
    assert labels(events) == ({}, 1)
    assert send(events, {"id": "a", "key": "order 1"}).unmatched == 1  # the link, before the prediction is logged
    predict(events, "a")
    assert labels(events) == ({"a": "no"}, 0)
    assert send(events, {"key": "order 1", "label": "perhaps"}).unusable == 1
    assert send(events, {"key": "order 1", "label": "yes"}).accepted == 1
    assert labels(events) == ({"a": "yes"}, 0)
    assert len(list(events.read(FeedbackEvent))) == 3  # a key alone is no feedback


def test_a_key_is_of_one_endpoint_and_may_have_several_predictions(events):
    predict(events, "a", "b")
    predict(events, "c", endpoint="other")
    send(events, {"id": "a", "key": "k"}, {"id": "b", "key": "k"})
    send(events, {"id": "c", "key": "k"}, endpoint="other")
    send(events, {"key": "k", "label": "no"})
    assert labels(events)[0] == {"a": "no", "b": "no"}
    assert labels(events, "other")[0] == {}


def test_ten_thousand_duplicates_in_any_order_count_once(events):
    items = [{"key": f"k{n}", "label": "no" if n % 3 else "yes", "time_ms": n} for n in range(50)]
    sent = [*items, *({"id": f"p{n}", "key": f"k{n}"} for n in range(50))] * 100
    random.Random(1).shuffle(sent)
    send(events, *sent[:5000])
    predict(events, *(f"p{n}" for n in range(50)))
    send(events, *sent[5000:])
    found, unmatched = labels(events)
    assert found == {f"p{n}": "no" if n % 3 else "yes" for n in range(50)}
    assert unmatched == 0


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"key": "", "label": 1}, "key to be"),
        ({"key": 3, "label": 1}, "key to be"),
        ({"label": 1}, "or its key"),
        ({"key": "k"}, "implicit"),
        ({"id": "key:late:k", "label": 1}, "a key as `key`"),
        ({"id": "a", "implicit": {"copied": [1]}}, "implicit to be an object"),
        ({"id": "a", "implicit": {}}, "implicit to be an object"),
    ],
)
def test_wrong_items(events, item, message):
    with pytest.raises(DataError, match=message):
        send(events, item)
    assert not list(events.read(FeedbackEvent, KeyEvent))


def test_keys_and_predictions_out_of_reach(events):
    predict(events, "a", endpoint="other")
    assert send(events, {"id": "a", "key": "k"}, reaches=lambda name: name == "late").unmatched == 1
    assert not list(events.read(KeyEvent))
