"""Judged answers: each is shown once, within a day's number and dollars, and the share of good ones has an interval."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.metrics.intervals import wilson
from bakeoff.metrics.judges import prediction_powered
from bakeoff.monitor.judged import AT_ONCE, AnswerJudge, AnswerVerdicts, judged
from bakeoff.monitor.look import MonitorLook
from bakeoff.monitor.reference import make
from bakeoff.monitor.sums import PredictionSums, Sampled
from bakeoff.testing.memory import MemoryRecords

INPUTS = (Column(name="text", kind="text", dtype="String"),)
DAY_MS = 86_400_000


class Judge:
    """Calls answers of even numbers good, and takes a cent for each, as far as the money goes."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, ids, usd):
        affordable = list(ids) if usd is None else list(ids)[: int(usd * 100 + 1e-9)]
        self.asked += affordable
        scores = {each: None if each == "7" else float(int(each) % 2 == 0) for each in affordable}
        problem = None if len(affordable) == len(ids) else "the day's budget is spent"
        return AnswerVerdicts(scores=scores, usd=len(affordable) / 100, problem=problem)


@pytest.fixture
def documents():
    return MemoryRecords(lambda: 0).documents


def look_at(day: int, task="generation") -> MonitorLook:
    table = pl.DataFrame({"text": ["a question"] * 10})
    said = Predictions(values_n=np.asarray(["an answer"] * 10, dtype=object))
    reference = make(table, INPUTS, said, task="generation", metric="token_f1", value=0.5)
    return MonitorLook(
        signature=Signature(task=task, inputs=INPUTS),
        reference=reference,
        config=MonitorConfig(),
        since_ms=0,
        until_ms=day * DAY_MS + 1,
        seed=0,
    )


def sums_of(first: int, last: int, draws=None) -> PredictionSums:
    sample = [Sampled(draw=at if draws is None else draws(at), row={}, id=str(at)) for at in range(first, last)]
    return PredictionSums(rows=last - first, sample=sample)


def test_each_answer_is_judged_once_and_a_day_has_its_number(documents):
    judge = Judge()
    rules = AnswerJudge(share=1.0, rows=30, usd=None, ask=judge)
    first = judged(sums_of(0, 100), look_at(5), documents, "e/r", rules)
    assert len(judge.asked) == AT_ONCE == 20
    assert (first.value, first.rows, first.alert) == (10 / 19, 19, False)
    assert (first.detail["low"], first.detail["high"]) == wilson(10, 19)
    assert first.detail["unreadable"] == 1
    second = judged(sums_of(0, 100), look_at(5), documents, "e/r", rules)
    third = judged(sums_of(0, 100), look_at(5), documents, "e/r", rules)
    assert (second.rows, third.rows, third.detail["today"]) == (29, 29, 30)
    assert judged(sums_of(0, 100), look_at(6), documents, "e/r", rules).rows == 49
    assert len(judge.asked) == len(set(judge.asked)) == 50


def test_a_day_has_its_dollars(documents):
    judge = Judge()
    rules = AnswerJudge(share=1.0, rows=1000, usd=0.25, ask=judge)
    signals = [judged(sums_of(0, 200), look_at(5), documents, "e/r", rules) for _ in range(4)]
    assert len(judge.asked) == 25
    assert signals[-1].detail["usd_today"] == pytest.approx(0.25)
    assert "budget" in signals[1].detail["problem"]
    judged(sums_of(0, 200), look_at(6), documents, "e/r", rules)
    assert len(judge.asked) == 45


def test_a_share_is_judged_by_the_draws_and_what_left_the_window_does_not_count(documents):
    judge = Judge()
    rules = AnswerJudge(share=0.25, rows=1000, usd=None, ask=judge)
    quarter = sums_of(0, 40, draws=lambda at: at * 2**32 // 40)
    assert judged(quarter, look_at(5), documents, "e/r", rules).rows == 9  # of ten, one is unreadable
    assert judge.asked == [str(at) for at in range(10)]
    later = judged(sums_of(8, 12, draws=lambda at: at), look_at(5), documents, "e/r", rules)
    assert (later.value, later.rows) == (0.5, 4)


def test_nobody_is_asked_where_nothing_is_generated_or_nobody_judges(documents):
    judge = Judge()
    rules = AnswerJudge(share=1.0, rows=30, usd=None, ask=judge)
    assert judged(sums_of(0, 9), look_at(5, "classification"), documents, "e/r", rules).value is None
    assert "live_share" in judged(sums_of(0, 9), look_at(5), documents, "e/r", None).detail["reason"]
    assert judge.asked == []


def test_a_look_while_another_asks_pays_for_nothing(documents):
    judge, inner = Judge(), []

    def ask(ids, usd):
        inner.append(judged(sums_of(0, 100), look_at(5), documents, "e/r", rules))
        return judge(ids, usd)

    rules = AnswerJudge(share=1.0, rows=1000, usd=None, ask=ask)
    assert judged(sums_of(0, 100), look_at(5), documents, "e/r", rules).rows == 19
    assert (len(judge.asked), len(inner), inner[0].rows) == (AT_ONCE, 1, 0)


def test_what_people_say_of_judged_answers_corrects_the_share(documents):
    judge = Judge()
    people = {str(at): float(at % 4 == 0) for at in range(60)}  # of what the judge calls good they like every second
    rules = AnswerJudge(share=1.0, rows=1000, usd=None, ask=judge, people=people)
    first = judged(sums_of(0, 120), look_at(5), documents, "e/r", replace(rules, people={"0": 1.0, "500": 0.0}))
    assert (first.value, first.detail["both"]) == (10 / 19, 1)
    assert "people rated 1 of them, from 20 on they correct it" in first.detail["reason"]
    for _ in range(5):
        signal = judged(sums_of(0, 120), look_at(5), documents, "e/r", rules)
    voted = [at for at in range(120) if at != 7]
    both = [at for at in voted if at < 60]
    known = prediction_powered(
        [people[str(at)] for at in both], [1.0 - at % 2 for at in both], [1.0 - at % 2 for at in voted if at >= 60]
    )
    assert (signal.rows, signal.detail["both"]) == (119, 59)
    assert (signal.value, signal.detail["low"], signal.detail["high"]) == (known.value, known.low, known.high)
    assert signal.value == pytest.approx(0.25, abs=0.01)
    assert signal.detail["judge"] == {"value": 60 / 119} | dict(zip(("low", "high"), wilson(60, 119), strict=True))
    assert signal.detail["reason"] == (
        "60 of 119 judged answers are good: 50.4% [41.6%, 59.2%]; corrected by 59 of them that people rated: "
        f"{known.value:.1%} [{known.low:.1%}, {known.high:.1%}]"
    )
    assert not signal.alert


def test_where_people_rated_every_judged_answer_they_alone_count(documents):
    people = {str(at): float(at < 15) for at in range(21)}
    rules = AnswerJudge(share=1.0, rows=1000, usd=None, ask=Judge(), people=people)
    for _ in range(2):  # 20 answers a look; one of the 21 cannot be read
        signal = judged(sums_of(0, 21), look_at(5), documents, "e/r", rules)
    assert (signal.value, signal.detail["both"]) == (0.7, 20)
    assert (signal.detail["low"], signal.detail["high"]) == wilson(14, 20)
