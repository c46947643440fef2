"""A fit whose limit is over at once ends with the first that it tried, and says what it left out."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bakeoff.core import deadline
from bakeoff.core.families import load_family
from bakeoff.core.ledger import Loss
from bakeoff.core.types import Column, Schema
from bakeoff.families.features.scaled import ScaledTable
from bakeoff.families.wrappers import members
from bakeoff.families.wrappers.members import Member, fit_members
from bakeoff.families.wrappers.prepared import PreparedFamily, PreparedParams, StepSpec
from bakeoff.testing.families import FamilyConformance

TABLE = ("categorical", "numeric", "boolean", "datetime")
CUTS = {
    "linear": (
        {},
        [
            "features were not tried: elapsed time; calendar",
            "only 1 value of penalty was tried",
            "only 1 of 3 bins were tried",
        ],
    ),
    "boosting": (
        {"max_trees": 60},
        ["features were not tried: elapsed time; calendar", "1 rounds of trees of up to 60 were tried"],
    ),
    "xgboost": ({"max_trees": 60}, ["1 rounds of trees of up to 60 were tried"]),
    "catboost": ({"max_trees": 60}, ["1 trees of up to 60 were tried"]),
    "forest": (
        {"trees": 20},
        [
            "only 1 value of extra, 0.55 of the columns, rows of a leaf was tried",
            "only 1 of 4 kinds of trees were tried",
        ],
    ),
    "neighbours": (
        {},
        ["only 1 value of emphasis 0, neighbours was tried", "only 1 of 4 emphases of columns were tried"],
    ),
    "kernel": ({}, ["only 1 value of smooth, width was tried", "only 1 of 2 shapes and scales were tried"]),
}


@pytest.mark.parametrize("name", CUTS)
def test_what_a_limit_cuts_short_is_told(name, tmp_path):
    if name in {"xgboost", "catboost"}:
        pytest.importorskip(name)
    family, (params, expected) = load_family(name), CUTS[name]
    job = FamilyConformance().job_of("regression", family.params(**params), tmp_path, columns=TABLE)
    cuts = []
    model = family.fit(replace(job, limit_s=0.0, on_cut=cuts.append))
    assert len(model.predict(job.validation)) == 40
    assert cuts == expected


@pytest.mark.parametrize(("name", "times"), [("neighbours", 2), ("kernel", 3)])
def test_scales_are_encoded_only_when_their_turn_comes(name, times, tmp_path, monkeypatch):
    encoded, fit = [], ScaledTable.fit.__func__

    def noted(cls, *given, one_scale, **named):
        encoded.append(one_scale)
        return fit(cls, *given, one_scale=one_scale, **named)

    monkeypatch.setattr(ScaledTable, "fit", classmethod(noted))
    names = tuple(f"pixel{at}" for at in range(8))  # all alike: with one scale, and with one for each
    pixels_nd = np.random.default_rng(0).uniform(size=(80, 8))
    table = pl.DataFrame(pixels_nd, schema=names).with_columns(target=pl.Series(pixels_nd.sum(axis=1)))
    columns = tuple(Column(name=each, kind="numeric", dtype="Float64") for each in (*names, "target"))
    family = load_family(name)
    job = FamilyConformance().job_of("regression", family.params(), tmp_path, columns=("numeric",))
    schema = Schema(columns=columns, target="target", inputs=names)
    family.fit(replace(job, schema=schema, train=table[:60], validation=table[60:], limit_s=0.0))
    assert encoded == [False] * times  # to choose it, of the kernel to choose the penalty, and of all rows


class Slow:
    """Takes so many seconds of the clock, loses a column, and notes its limit."""

    tasks = frozenset({"classification"})
    params = load_family("linear").params
    loss = Loss(kind="column", reason="slow reads no texts", subject="text", count=1, of=5)

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.limits = clock, seconds, []

    def fit(self, job):
        self.limits.append(job.limit_s)
        self.clock[0] += self.seconds.pop(0)
        job.on_loss(self.loss)
        return "a model"


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(deadline.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("limit_s", "limits"), [(30.0, [10.0, 13.0, 0.0]), (None, [None, None, None])], ids=["limit", "none"]
)
def test_members_share_the_limit_and_lose_the_same_rows_once(tmp_path, monkeypatch, clock, limit_s, limits):
    slow = Slow(clock, [4.0, 27.0, 5.0])
    monkeypatch.setattr(members, "load_family", lambda _: slow)
    losses = []
    job = replace(FamilyConformance().job_of("classification", None, tmp_path), limit_s=limit_s, on_loss=losses.append)
    assert fit_members(job, [Member(name=name, family="slow") for name in "abc"]) == ["a model"] * 3
    assert slow.limits == limits
    assert losses == [Slow.loss]


def test_what_steps_take_the_family_behind_them_has_not(tmp_path, monkeypatch, clock):
    from bakeoff.families.wrappers import prepared

    slow = Slow(clock, [0.0])
    monkeypatch.setattr(prepared, "load_family", lambda _: slow)
    monkeypatch.setattr(prepared, "_made", lambda *_: None)
    step = prepared._step("impute", 1)

    def fit(rows, params):
        clock[0] += 6.0
        return step.fit(rows, params)

    monkeypatch.setattr(
        prepared, "_step", lambda *_: type("Step", (), {"fit": staticmethod(fit), "params": step.params})
    )
    params = PreparedParams(family="slow", steps=(StepSpec(name="impute", version=1, params={}),))
    job = replace(FamilyConformance().job_of("classification", params, tmp_path), limit_s=20.0)
    PreparedFamily().fit(job)
    assert slow.limits == [14.0]


def test_time_is_left_until_the_deadline(clock):
    class Limited:
        limit_s, on_cut = 5.0, staticmethod(print)

    ending = deadline.Deadline(Limited())
    clock[0] += 2.0
    assert ending.left_s == 3.0
    clock[0] += 9.0
    assert ending.left_s == 0.0


@pytest.mark.parametrize("name", CUTS)
def test_a_number_that_is_far_too_large_is_a_large_one(name, tmp_path):
    """XGBoost refused what single precision does not hold; kernels took it for a middling number."""
    if name in {"xgboost", "catboost"}:
        pytest.importorskip(name)
    family, params = load_family(name), CUTS[name][0]
    job = FamilyConformance().job_of("regression", family.params(**params), tmp_path, columns=("numeric",))
    answers = family.fit(job).predict(pl.DataFrame({"numeric": [1e9, 1e308]})).values_n
    assert answers[1] == pytest.approx(answers[0], rel=1e-3)
