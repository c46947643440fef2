"""Taking in feedback: all items or none, wrong ones named; what does not count is told at once."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import DataError, NotFoundError
from bakeoff.core.events import FeedbackEvent
from bakeoff.core.types import Column, ColumnFormat, Signature
from bakeoff.feedback import record as recording
from bakeoff.feedback.truth import Truth, truth_reader
from bakeoff.prepare.personal_data.pii import redactor
from bakeoff.testing.events import failure, prediction
from bakeoff.testing.memory import MemoryEvents


def log() -> MemoryEvents:
    return MemoryEvents(lambda: 5_000)


def record(events, items, **settings):
    return recording.record(events, items, truth_of=lambda _version: CLASSES, **settings)


def predict(events, *ids, endpoint="late", version="m/1"):
    events.append([prediction(name, endpoint=endpoint, model_version=version, label="0") for name in ids])


CLASSES = Truth("classification", ("0", "1"))
PRICE = Column(
    name="price",
    kind="numeric",
    dtype="Float64",
    format=ColumnFormat(form="number", decimal=",", thousands=".", units=("€",)),
)


def test_items_are_logged_as_given():
    events = log()
    recorded = record(events, [{"id": "a", "label": "fresh", "source": "ann", "time_ms": 7}, {"id": "b", "rating": 1}])
    assert (recorded.accepted, recorded.unmatched) == (0, 2)
    assert list(events.read(FeedbackEvent)) == [
        FeedbackEvent(time_ms=5_000, id="a", label="fresh", source="ann", known_ms=7),
        FeedbackEvent(time_ms=5_000, id="b", rating=1),
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
        ({"id": "a"}, "label, rating, correction, comment or implicit"),
        ({"id": "a", "label": None}, "label, rating, correction, comment or implicit"),
        ({"id": "a", "comment": 3}, "comment to be"),
        ({"id": "a", "lable": 1}, "only the keys"),
        ({"id": "a", "label": [1]}, "label to be"),
        ({"id": "a", "label": float("nan")}, "label to be"),
        ({"id": "a", "label": "x" * 100_001}, "label to be"),
        ({"id": "a", "rating": "good"}, "rating to be"),
        ({"id": "a", "rating": 5}, "rating to be a number from -1 .bad. to 1 .good."),
        ({"id": "a", "correction": 3}, "correction to be"),
        ({"id": "a", "label": 1, "source": 3}, "source to be"),
        ({"id": "a", "label": 1, "time_ms": "now"}, "time_ms to be"),
        ({"id": "a", "label": 1, "time_ms": -1}, "time_ms to be"),
        (
            {"id": "a", "label": 1, "time_ms": 1_796_008_139},
            "time_ms to be milliseconds since 1970 .seconds times 1000.",
        ),
        ({"id": "a", "label": 1, "time_ms": 1_796_008_139_000_000}, "time_ms to be"),
        ({"id": "a", "label": 1, "time_ms": True}, "time_ms to be"),
    ],
)
def test_a_wrong_item_is_named_and_nothing_is_recorded(item, message):
    events = log()
    with pytest.raises(DataError, match=f"feedback item 1: expected {message}.*nothing was recorded"):
        record(events, [{"id": "good", "label": "x"}, item])
    assert list(events.read(FeedbackEvent)) == []


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
KEYS = ["id", "label", "rating", "correction", "comment", "source", "time_ms"]


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), anything), max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_json_is_recorded_whole_or_refused_whole(items):
    events = log()
    try:
        recorded = record(events, items)
    except DataError:
        assert list(events.read(FeedbackEvent)) == []
    else:
        assert recorded.accepted + recorded.unmatched + recorded.unusable == len(items)
        assert len(items) == len(list(events.read(FeedbackEvent)))


def test_what_does_not_count_is_told_with_id_and_reason():
    events = log()
    predict(events, "a", "b", "c")
    items = [
        {"id": "a", "label": 1.0},
        {"id": "b", "label": "maybe"},
        {"id": "zzz", "label": 1},
        {"id": "c", "rating": 1},
    ]
    told = record(events, items).to_json()
    assert {key: told[key] for key in ("accepted", "unmatched", "unusable")} == {
        "accepted": 2,
        "unmatched": 1,
        "unusable": 1,
    }
    unusable, unmatched = told["problems"]
    assert (unusable["id"], unusable["kind"]) == ("b", "unusable")
    assert "label 'maybe' is no class of the model. The classes are '0', '1'." in unusable["reason"]
    assert (unmatched["id"], unmatched["kind"]) == ("zzz", "unmatched")


@pytest.mark.parametrize(
    ("truth", "value", "usable"),
    [
        (Truth("regression", ()), "2.5", True),
        (Truth("regression", ()), "many", False),
        (Truth("regression", ()), "inf", False),
        (Truth("regression", (), column=PRICE), "1.234,5 €", True),
        (Truth("regression", (), column=PRICE), 1234.5, True),
        (Truth("regression", (), column=PRICE), "n/a", False),
        (Truth("regression", ()), True, True),
        (Truth("generation", ()), "any text", True),
        (Truth("generation", ()), 3, True),
        (Truth("classification", None), "whatever", True),
    ],
)
def test_the_task_says_what_a_truth_is(truth, value, usable):
    events = log()
    predict(events, "a")
    recorded = recording.record(events, [{"id": "a", "label": value}], truth_of=lambda _version: truth)
    assert recorded.unusable == (not usable)


def test_a_label_is_held_against_the_model_that_answered():
    events = log()
    predict(events, "a", version="m/1")
    predict(events, "b", version="m/2")
    predict(events, "c", version="m/3")
    classes = {"m/1": ("x", "y"), "m/2": ("x", "z")}

    def signature_of(version):
        if version not in classes:
            raise NotFoundError(version)
        return Signature(task="classification", inputs=(), classes=classes[version]), None

    truth_of = truth_reader(signature_of, "classification", "trim")
    recorded = recording.record(events, [{"id": name, "label": "z"} for name in "abc"], truth_of=truth_of)
    assert [doubt.id for doubt in recorded.doubts] == ["a"]


def test_failed_calls_are_no_predictions():
    events = log()
    events.append([failure()])
    assert record(events, [{"id": "a", "label": "0"}]).unmatched == 1


def test_ratings_are_from_bad_to_good():
    events = log()
    items = [{"id": str(at), "rating": rating} for at, rating in enumerate([True, False, 0.5, -1])]
    record(events, items)
    assert [event.rating for event in events.read(FeedbackEvent)] == [1, -1, 0.5, -1]


def test_what_a_project_redacts_does_not_stand_in_comments_and_corrections():
    events = log()
    predict(events, "a", "b")
    items = [
        {"id": "a", "label": "0", "comment": "Ask ann@example.org", "correction": "Ring +49 30 901820"},
        {"id": "b", "rating": 1},
    ]
    recorded = record(events, items, redact=redactor(["redact_pii"]))
    first, second = list(events.read(FeedbackEvent))
    assert (first.comment, first.correction, first.label) == ("Ask [email]", "Ring [phone]", "0")
    assert second.comment is None
    assert items[0]["comment"] == "Ask ann@example.org"
    assert recorded.accepted == 1
