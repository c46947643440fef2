"""The join of predictions with feedback."""

import time

import pytest

from bakeoff.core.events import FeedbackEvent
from bakeoff.core.types import Column, Signature
from bakeoff.feedback import record as recording
from bakeoff.feedback.join import as_rows, judged
from bakeoff.feedback.join import labelled as join
from bakeoff.feedback.truth import Truth
from bakeoff.testing.events import failure, prediction
from bakeoff.testing.memory import MemoryEvents

CLASSIFY = Signature(task="classification", inputs=(), classes=("no", "yes"))
NUMBERS = Signature(task="regression", inputs=())


CLASSES = Truth("classification", ("no", "yes"))
FIGURES = Truth("regression", ())
TEXTS = Truth("generation", ())


def labelled(events, endpoint, *, truth=CLASSES, **window):
    return join(events, endpoint, truth_of=lambda _version: truth, **window)


def record(events, items):
    return recording.record(events, items, truth_of=lambda _version: CLASSES)


def numbers(*names):
    return [Column(name=name, kind="numeric", dtype="Float64") for name in names]


class Clock:
    now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events(clock) -> MemoryEvents:
    return MemoryEvents(clock)


def predict(events, *ids: str, endpoint: str = "late", release_id: str = "r1", **said) -> None:
    said = said or {"label": "yes", "probabilities": {"no": 0.25, "yes": 0.75}}
    events.append([prediction(i, endpoint=endpoint, release_id=release_id, row={"x": i}, **said) for i in ids])


def test_pairs_hold_both_sides(events, clock):
    predict(events, "a", "b")
    clock.now_ms = 9_000
    record(events, [{"id": "b", "label": "no", "time_ms": 8_000, "source": "ops", "rating": 0}])
    found = labelled(events, "late")
    assert found.unmatched == 0
    (pair,) = found.pairs
    assert (pair.id, pair.said, pair.label, pair.time_ms, pair.known_ms) == ("b", "yes", "no", 1_000, 8_000)
    assert (pair.row, pair.probabilities, pair.rating, pair.source) == (
        {"x": "b"},
        {"no": 0.25, "yes": 0.75},
        0,
        "ops",
    )


def test_the_last_feedback_wins(events):
    predict(events, "a")
    record(events, [{"id": "a", "label": "yes"}])
    record(events, [{"id": "a", "label": "maybe"}, {"id": "a", "label": "no"}])
    assert [pair.label for pair in labelled(events, "late").pairs] == ["no"]


def test_unknown_ids_are_counted_and_other_endpoints_are_not_unknown(events):
    predict(events, "a")
    predict(events, "b", endpoint="other")
    record(events, [{"id": i, "label": "no"} for i in ("a", "b", "zzz")])
    found = labelled(events, "late")
    assert ([pair.id for pair in found.pairs], found.unmatched) == (["a"], 1)


def test_failed_calls_are_no_predictions(events):
    events.append([failure()])
    record(events, [{"id": "a", "label": "no"}])
    assert (labelled(events, "late").pairs, labelled(events, "late").unmatched) == ((), 1)


def test_windows_are_of_predictions_and_late_feedback_still_counts(events, clock):
    for now_ms, name in [(1_000, "a"), (2_000, "b"), (3_000, "c")]:
        clock.now_ms = now_ms
        predict(events, name)
    clock.now_ms = 50_000
    record(events, [{"id": i, "label": "no"} for i in "abc"])
    found = labelled(events, "late", since_ms=2_000, until_ms=3_000)
    assert [pair.id for pair in found.pairs] == ["b"]


def test_one_release_alone(events):
    predict(events, "a")
    predict(events, "b", release_id="r2")
    record(events, [{"id": i, "label": "no"} for i in "ab"])
    found = labelled(events, "late", release_id="r2")
    assert ([pair.id for pair in found.pairs], found.unmatched) == (["b"], 0)


@pytest.mark.parametrize(
    ("classes", "given", "label"),
    [
        (("0", "1"), True, "1"),
        (("0", "1"), 1.0, "1"),
        (("0", "1"), "1 ", "1"),
        (("0", "1"), "1.0", "1"),
        (("false", "true"), True, "true"),
        (("false", "true"), 1, "true"),
        (("1.5", "2.5"), 1.5, "1.5"),
        (("x", "y"), "x\u200b", "x"),
        (("x", "y"), "X", None),
    ],
)
def test_class_labels_are_read_by_the_rule_of_the_target(events, classes, given, label):
    predict(events, "a")
    record(events, [{"id": "a", "label": given}])
    found = labelled(events, "late", truth=Truth("classification", classes))
    assert found.pairs[0].label == label
    assert found.pairs[0].unusable == (label is None)


def test_label_rating_correction_and_comment_live_side_by_side(events):
    predict(events, "a")
    record(events, [{"id": "a", "label": "yes", "source": "ann"}])
    record(events, [{"id": "a", "rating": -1, "source": "bob"}])
    record(events, [{"id": "a", "comment": "hm"}])
    record(events, [{"id": "a", "rating": 1}])
    (pair,) = labelled(events, "late").pairs
    assert (pair.label, pair.rating, pair.comment, pair.correction, pair.source) == ("yes", 1, "hm", None, "ann")


def test_of_label_and_correction_the_later_is_true(events):
    predict(events, "a", "b", "c")
    record(events, [{"id": "a", "correction": "no"}, {"id": "a", "label": "yes"}])
    record(events, [{"id": "b", "label": "yes"}, {"id": "b", "correction": "no"}, {"id": "b", "rating": 1}])
    record(events, [{"id": "c", "correction": "no", "label": "yes"}])
    assert [pair.label for pair in labelled(events, "late").pairs] == ["yes", "no", "yes"]


def test_what_says_nothing_is_counted_with_examples(events):
    predict(events, "a", "b", "c")
    record(events, [{"id": "a", "label": "maybe"}, {"id": "b", "label": "yes"}, {"id": "zzz", "label": "yes"}])
    found = labelled(events, "late")
    unmatched, unusable = found.losses()
    assert (unmatched.count, unmatched.examples, unusable.count, unusable.examples) == (1, ("zzz",), 1, ("'maybe'",))
    assert (found.usable, judged(found, CLASSIFY)[0]) == (1, ["yes"])


def test_feedback_that_comes_before_its_prediction_counts_once_that_is_there(events):
    record(events, [{"id": "a", "label": "yes"}])
    assert labelled(events, "late").unmatched == 1
    predict(events, "a")
    found = labelled(events, "late")
    assert (found.unmatched, found.usable) == (0, 1)


def test_a_clock_that_jumps_back_loses_nothing(events, clock):
    clock.now_ms = 9_000_000
    predict(events, "a")
    clock.now_ms = 1_000
    record(events, [{"id": "a", "label": "yes"}])
    predict(events, "b")
    clock.now_ms = -5_000
    record(events, [{"id": "b", "label": "no"}])
    found = labelled(events, "late", release_id="r1")
    assert ([pair.label for pair in found.pairs], found.unmatched) == (["yes", "no"], 0)


def test_rows_that_lack_an_input_are_counted(events):
    predict(events, "a", "b")
    record(events, [{"id": name, "label": "no"} for name in "ab"])
    fed = as_rows(labelled(events, "late"), "y", inputs=numbers("x", "score"))
    assert (fed.rows, fed.absent, fed.brought) == ((), {"score": 2}, 2)
    assert fed.losses()[0].subject == "score"
    assert len(as_rows(labelled(events, "late"), "y", inputs=numbers("x")).rows) == 2
    assert len(as_rows(labelled(events, "late"), "y", inputs=numbers("x", "at"), time="at").rows) == 2


def test_numbers_stay_numbers_and_what_cannot_be_compared_is_left_out(events):
    predict(events, "a", "b", value=2.5)
    record(events, [{"id": "a", "label": 3}, {"id": "b", "label": "three"}])
    truth, said = judged(labelled(events, "late", truth=FIGURES), NUMBERS)
    assert (truth, said.values_n.tolist(), said.probabilities_nk) == ([3.0], [2.5], None)


def test_a_correction_is_a_label_and_a_rating_is_none(events):
    predict(events, "a", "b")
    record(events, [{"id": "a", "correction": "no"}, {"id": "b", "rating": 1}])
    found = labelled(events, "late")
    assert [pair.label for pair in found.pairs] == ["no", None]
    assert as_rows(found, "target").rows == ({"x": "a", "target": "no"},)


def test_what_was_said_and_corrected_is_rejected(events):
    for name, said in [("a", "wrong"), ("b", "right "), ("c", " ")]:
        predict(events, name, value=said)
    predict(events, "d", value=2.5)
    record(events, [{"id": name, "correction": "right"} for name in "abc"] + [{"id": "d", "label": 3}])
    rows = as_rows(labelled(events, "late", truth=TEXTS), "y", rejected="y_rejected").rows
    assert [row["y_rejected"] for row in rows] == ["wrong", None, None, None]
    assert rows[0] == {"x": "a", "y": "right", "y_rejected": "wrong"}


def test_judged_gives_probabilities_in_the_order_of_the_classes(events):
    predict(events, "a", "b")
    predict(events, "c", label="perhaps", probabilities={"perhaps": 1.0})
    record(events, [{"id": i, "label": "no"} for i in "abc"])
    truth, said = judged(labelled(events, "late"), CLASSIFY)
    assert truth == ["no", "no"]
    assert said.probabilities_nk.tolist() == [[0.25, 0.75]] * 2
    assert said.classes == ("no", "yes")


def test_judging_nothing_gives_empty_arrays(events):
    truth, said = judged(labelled(events, "late"), CLASSIFY)
    assert (truth, len(said), said.probabilities_nk.shape) == ([], 0, (0, 2))


def test_rows_get_the_time_of_the_prediction_unless_they_have_one(events, clock):
    clock.now_ms = 1_500
    predict(events, "a")
    record(events, [{"id": "a", "label": "no"}])
    found = labelled(events, "late")
    assert as_rows(found, "y", time="at").rows[0]["at"] == "1970-01-01T00:00:01.500"
    assert as_rows(found, "y", time="x").rows[0]["x"] == "a"


def test_a_hundred_and_forty_thousand_predictions_join_in_seconds():
    class Stored:
        """Events as a store would yield them, without a store's own time."""

        def __init__(self, n: int) -> None:
            probabilities = {"no": 0.25, "yes": 0.75}
            self.predictions = [
                prediction(str(i), row={"x": i}, label="yes", probabilities=probabilities, time_ms=i) for i in range(n)
            ]
            self.feedback = [FeedbackEvent(id=str(i), label="no", time_ms=i) for i in range(n)]

        def read(self, kind):
            return iter(self.feedback)

        def get(self, kind, ids):
            return [event for event in self.predictions if event.id in ids]

    stored = Stored(140_000)
    started = time.perf_counter()
    found = labelled(stored, "late")
    truth, said = judged(found, CLASSIFY)
    rows = as_rows(found, "target").rows
    assert len(rows) == len(truth) == len(said) == 140_000
    assert time.perf_counter() - started < 15


def test_a_number_may_come_as_text_and_what_is_none_says_nothing(events):
    predict(events, "a", "b", "c", value=1.0)
    record(events, [{"id": "a", "label": "2.5"}, {"id": "b", "label": "much"}, {"id": "c", "label": "nan"}])
    found = labelled(events, "late", truth=FIGURES)
    assert [pair.label for pair in found.pairs] == [2.5, None, None]
    assert [row["y"] for row in as_rows(found, "y").rows] == [2.5]
    assert judged(found, NUMBERS)[0] == [2.5]


def test_what_a_shadow_answered_gets_no_label_and_joins_no_data(events):
    predict(events, "a")
    events.append([prediction("s", endpoint="late", label="no", role="shadow", shadow_of="a")])
    recorded = record(events, [{"id": "a", "label": "yes"}, {"id": "s", "label": "yes"}])
    assert (recorded.accepted, recorded.unmatched) == (1, 1)
    joined = labelled(events, "late")
    assert ([pair.id for pair in joined.pairs], joined.unmatched_ids) == (["a"], ("s",))
    assert len(as_rows(joined, "truth").rows) == 1
