"""The one label of a prediction, whatever the order in which people's opinions arrive."""

import random

import pytest

from bakeoff.config.sections import FeedbackConfig
from bakeoff.core.events import FeedbackEvent
from bakeoff.feedback.resolve import resolve
from bakeoff.feedback.truth import Truth

RULES = FeedbackConfig(experts=("eva",), implicit={"copied": 1, "regenerated": -1})


def said(label, source=None, *, at, **more):
    return FeedbackEvent(id="a", label=label, source=source, time_ms=at, **more)


def resolved(*items, rules=RULES, task="classification", classes=("no", "yes")):
    return Truth(task, classes, rules=rules).resolve(items)


@pytest.mark.parametrize(
    ("items", "label", "rule", "agreeing"),
    [
        ([said("yes", at=1)], "yes", "single", 1),
        ([said("yes", "ann", at=1), said("no", "ann", at=2)], "no", "single", 1),
        ([said("yes", "ann", at=1), said("no", "bob", at=2)], "no", "latest", 1),
        ([said("yes", "ann", at=1), said("yse", "ann", at=2)], "yes", "single", 1),
        ([said("yes", at=1), said("yse", at=2), said("no", at=3), said("on", at=4)], "no", "single", 1),
        ([said("yes", "ann", at=1), said("yes", "bob", at=2), said("no", "cyd", at=3)], "yes", "majority", 2),
        ([said("no", "eva", at=1), said("yes", "ann", at=2), said("yes", "bob", at=3)], "no", "expert", 1),
        ([said("perhaps", "ann", at=1), said("perhaps", "bob", at=2), said("no", "cyd", at=3)], None, "majority", 2),
    ],
)
def test_labels(items, label, rule, agreeing):
    found = resolved(*items)
    assert (found.label, found.rule, found.agreeing) == (label, rule, agreeing)


def test_numbers_are_the_median():
    found = resolved(
        said(1.0, "ann", at=1), said(9.0, "bob", at=2), said("2.5", "cyd", at=3), task="regression", classes=()
    )
    assert (found.label, found.rule, found.annotators) == (2.5, "median", 3)


def test_what_was_known_later_counts_however_late_the_other_arrives():
    first, later = said("yes", "ann", at=90, known_ms=10), said("no", "ann", at=50, known_ms=20)
    assert resolved(first, later).label == resolved(later, first).label == "no"


def test_order_and_duplicates_change_nothing():
    draw = random.Random(0)
    for _ in range(200):
        items = [
            said(draw.choice(["yes", "no"]), draw.choice(["ann", "bob", "cyd", "eva", None]), at=at, known_ms=at)
            for at in range(draw.randint(1, 7))
        ]
        shuffled = [*items, *draw.choices(items, k=20)]
        draw.shuffle(shuffled)
        assert resolved(*shuffled) == resolved(*items)


def test_ratings_and_implicit_signals():
    assert resolved(said(None, at=1, implicit={"copied": True})).rating == 1
    assert resolved(said(None, at=1, implicit={"copied": True, "regenerated": 2, "dwell_s": 9})).rating == 0
    assert resolved(said(None, at=1, implicit={"copied": False})).rating is None
    found = resolved(said(None, at=1, implicit={"copied": True}), said(None, "ann", at=2, rating=-1))
    assert (found.rating, found.label, found.rule, found.annotators) == (-1, None, None, 0)
    found = resolved(said(None, "eva", at=1, rating=0.5), said(None, "ann", at=2, rating=-1))
    assert found.rating == 0.5


def test_nobody_named_is_no_expert():
    items = [said("yes", None, at=1), said("no", "ann", at=2), said("no", "bob", at=3)]
    assert resolve(items, str, FeedbackConfig(), numbers=False).rule == "majority"
