"""Trials of made-up candidates on a made-up clock."""

import random
from itertools import pairwise

from bakeoff.config.search import Choices, Range
from bakeoff.train.halving import PATIENCE, Study, Trial, TrialRequest, pick
from bakeoff.train.proposing import proposing

SPACE = {"x": Range(low=0.0, high=1.0)}


def drawn(study):
    return {"x": random.Random(f"{study.name}{len(study.settings)}").random()}


def search(speeds, limit_s, *, at_once=1, propose=drawn, worth=None, fails=()):
    """Play a search: `speeds` are seconds that a fit on all rows takes; the studies and when each trial ended."""
    worth = worth or (lambda name, params: params.get("x", 0.2))
    studies = [Study(name=name, space=SPACE, higher_is_better=True, rungs=3) for name in speeds]
    by_name = {study.name: study for study in studies}
    clock, running = 0.0, []
    while True:
        while len(running) < at_once:
            ask = pick(studies, used_s=clock, limit_s=limit_s, propose=propose)
            if ask is None:
                break
            by_name[ask.candidate].running.append(ask)
            running.append((clock + speeds[ask.candidate] / 3 ** (2 - ask.rung), clock, ask))
        if not running:
            return by_name, clock
        running.sort(key=lambda each: each[0])
        clock, began, ask = running.pop(0)
        study = by_name[ask.candidate]
        study.running.remove(ask)
        failed = ask.candidate in fails
        value = None if failed else worth(ask.candidate, ask.params) - 0.1 / (1 + ask.rung)
        study.trials.append(
            Trial(
                candidate=ask.candidate, setting=ask.setting, rung=ask.rung, params=ask.params,
                status="failed" if failed else "done", seconds=clock - began, at_s=clock, value=value,
            )
        )  # fmt: skip


def test_the_budget_is_kept_and_cheap_candidates_get_more_trials():
    studies, used_s = search({"cheap": 1.0, "dear": 6.0}, 60.0)
    assert used_s <= 60.0
    assert used_s > 40.0
    assert len(studies["cheap"].trials) > 2 * len(studies["dear"].trials)


def test_settings_that_are_known_to_be_good_come_before_those_that_are_proposed():
    studies = [Study(name="a", space=SPACE, higher_is_better=True, rungs=1, first=[{"x": 0.5}, {"x": 0.25}])]
    asked = []
    for value in (0.1, 0.3, 0.2, 0.4):
        ask = pick(studies, used_s=0.0, limit_s=100.0, propose=lambda _: {"x": 0.75})
        asked.append(ask.params)
        made = {"candidate": "a", "setting": ask.setting, "rung": 0, "params": ask.params, "status": "done"}
        studies[0].trials.append(Trial(**made, seconds=1.0, at_s=1.0, value=value))
    assert asked == [{}, {"x": 0.5}, {"x": 0.25}, {"x": 0.75}]


def test_every_candidate_is_measured_as_it_is_on_all_rows_and_the_best_third_goes_up():
    studies, _ = search({"a": 1.0}, 30.0)
    study = studies["a"]
    assert (0, 2) in {(t.setting, t.rung) for t in study.trials}
    counts = [len(study.ranked(rung)) for rung in range(3)]
    assert all(up <= low // 2 + 3 for low, up in pairwise(counts)), counts
    assert study.best.params["x"] > 0.8


def test_too_little_time_leaves_candidates_as_they_are():
    studies, used_s = search({"slow": 100.0}, 50.0)
    assert studies["slow"].best is None
    assert used_s <= 50.0


def test_after_half_of_the_time_the_worse_candidates_wait():
    worth = {"good": 0.5, "bad": 0.0, "worse": -0.5}
    studies, _ = search(dict.fromkeys(worth, 1.0), 24.0, worth=lambda name, params: worth[name] + params.get("x", 0))
    late = [t for study in studies.values() for t in study.trials if t.at_s > 14.0]
    assert sum(t.candidate == "worse" for t in late) < len(late) / 6  # with time in which nothing else fits


def test_a_search_that_finds_nothing_better_ends_early():
    studies, used_s = search({"a": 0.01}, 1e6, worth=lambda _name, _params: 0.5)
    assert len(studies["a"].settings) == PATIENCE + 1
    assert used_s < 10


def test_a_candidate_that_does_not_fit_is_left_alone():
    studies, _ = search({"broken": 1.0, "fine": 1.0}, 20.0, fails=("broken",))
    assert len(studies["broken"].trials) == 1
    assert len(studies["fine"].trials) > 10


def test_several_at_once_and_the_same_each_time():
    runs = [search({"a": 1.0, "b": 2.0}, 40.0, at_once=2, propose=proposing(3)) for _ in range(2)]
    assert [[t.params for t in study.trials] for study in runs[0][0].values()] == [
        [t.params for t in study.trials] for study in runs[1][0].values()
    ]
    assert runs[0][1] <= 40.0


def test_proposals_lie_in_the_space_and_follow_what_is_known():
    space = {"x": Range(low=1e-3, high=10.0, log=True), "n": Range(low=2, high=64, log=True)}
    space["kind"] = Choices(values=(None, "a", 2.5))
    study = Study(name="a", space=space, higher_is_better=False, rungs=1)
    propose = proposing(0)
    for at in range(40):
        params = propose(study)
        assert 1e-3 <= params["x"] <= 10.0
        assert isinstance(params["n"], int)
        assert 2 <= params["n"] <= 64
        assert params["kind"] in (None, "a", 2.5)
        loss = abs(params["n"] - 30) + (params["kind"] != "a") * 20
        study.trials.append(
            Trial(
                candidate="a", setting=at + 1, rung=0, params=params,
                status="done", seconds=1.0, at_s=float(at), value=float(loss),
            )
        )  # fmt: skip
    losses = [t.value for t in study.trials]
    assert sum(losses[20:]) < sum(losses[:20])


def test_a_small_space_is_tried_once():
    study = Study(name="a", space={"on": Choices(values=(True, False))}, higher_is_better=True, rungs=1)
    propose = proposing(0)
    for at in (1, 2):
        study.running.append(TrialRequest(candidate="a", setting=at, rung=0, params=propose(study)))
    assert [ask.params["on"] for ask in study.running] in ([True, False], [False, True])
    assert propose(study) is None
