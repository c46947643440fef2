"""The judge: its bias for a place is measured and cancelled, what it cannot say counts against, people correct it."""

import random
import zlib

import numpy as np
import pytest

from bakeoff.chat.client import Service, ServiceClient
from bakeoff.chat.meter import Meter, Prices
from bakeoff.evaluate.judge import Pair, Referee, Votes, agreement, bias, quality_said, support_said, vote_said
from bakeoff.testing.service import serving

ROWS = 200


def shown(asked):
    first, second = asked.said.split("\n\nAnswer A:\n")[1].split("\n\nAnswer B:\n")
    return first, second


def biased(share):
    """Prefers the answer "good"; in this share of cases it takes whichever stands first."""

    def answer(asked):
        first, _ = shown(asked)
        if random.Random(zlib.crc32(asked.said.encode())).random() < share:
            return "A"
        return "A" if first == "good" else "B"

    return answer


def referee_of(service):
    client = ServiceClient(Service(url=service.url, model="judge", concurrency=16))
    return Referee(client, Meter(Prices(), concurrency=16), criteria="Be fair.", max_tokens=8)


def pairs(goods):
    """Pairs in which the candidate's answer is the better one in so many of the rows."""
    return [
        Pair(question=str(at), answer="good" if at < goods else "bad", other="bad" if at < goods else "good")
        for at in range(ROWS)
    ]


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_a_liking_for_the_first_place_is_measured_and_cancelled(share):
    with serving(biased(share)) as service:
        votes = referee_of(service).compare(pairs(ROWS // 2))
    found = bias([votes])
    assert found.first == pytest.approx(0.5 + share / 2, abs=0.04)
    assert found.low <= 0.5 + share / 2 <= found.high
    assert found.decided == 2 * ROWS
    assert found.swapped == pytest.approx(share, abs=0.06)
    assert votes.score_n.mean() == pytest.approx(0.5, abs=0.03)
    assert votes.shown_first_n.mean() == pytest.approx(0.5 + share / 2, abs=0.05)  # one order alone is biased


def test_the_better_side_still_wins_under_bias():
    with serving(biased(0.4)) as service:
        votes = referee_of(service).compare(pairs(ROWS))
    assert votes.score_n.mean() == pytest.approx(1 - 0.4 / 2, abs=0.03)


def test_what_is_refused_or_unreadable_twice_is_no_opinion():
    def answer(asked):
        return (400, {"error": "no"}, {}) if "Answer A:\ngood" in asked.said else "I cannot say"

    with serving(answer) as service:
        votes = referee_of(service).compare(pairs(3)[:4])
        asked = len(service.asked)
    assert np.isnan(votes.score_n).all()
    assert votes.unreadable == 8
    assert bias([votes]) is None
    assert asked == 8 + 4  # refusals are not asked for again


def test_an_unreadable_vote_is_asked_for_once_more():
    def answer(asked):
        if asked.said.startswith("Reply with exactly one of: A, B, tie."):
            return "A" if "Answer A:\ngood" in asked.body["messages"][1]["content"] else "B"
        return "Both have their merits."

    with serving(answer) as service:
        votes = referee_of(service).compare(pairs(2)[:3])
    assert votes.score_n.tolist() == [1.0, 1.0, 0.0]
    assert votes.unreadable == 0


def test_reasoning_that_was_cut_off_has_more_room_the_second_time():
    with serving(lambda asked: "<think>hm" if asked.body["max_tokens"] == 8 else "<think>hm</think>A") as service:
        votes = referee_of(service).compare(pairs(1)[:1])
        assert service.asked[-1].body["max_tokens"] == 32
        assert len(service.asked[-1].body["messages"]) == 2
    assert votes.shown_first_n.tolist() == [1.0]


def test_equal_answers_are_a_tie_and_not_paid_for():
    with serving(lambda asked: "A") as service:
        votes = referee_of(service).compare([Pair(question="q", answer="same ", other="same")])
        assert service.asked == []
    assert votes.score_n.tolist() == [0.5]


def test_acceptance():
    with serving(
        lambda asked: "Good." if "yes" in str(asked.body) else "bad" if "no!" in str(asked.body) else "?"
    ) as s:
        accepted_n = referee_of(s).accept([("q", "yes"), ("q", "no!"), ("q", "?")])
    np.testing.assert_equal(accepted_n, [1.0, 0.0, np.nan])


@pytest.mark.parametrize(
    ("text", "vote"),
    [
        ("B", 0.0),
        ("**A**", 1.0),
        ("Answer: B", 0.0),
        ("TIE", 0.5),
        ("tie", 0.5),
        ("A tie.", 0.5),
        ("It's a tie.", 0.5),
        ("It is a tie: both say the same.", 0.5),
        ("tie\n\nExplanation: A and B agree", 0.5),
        ("Tie: both are right", 0.5),
        ("Both answers are equally good.", 0.5),
        ("[[C]]", 0.5),
        ("A, since B is wrong", 1.0),
        ("A\n\nExplanation: Answer A is more complete than B.", 1.0),
        ("A - it is more complete than B", 1.0),
        ("Answer B is more complete than Answer A.", 0.0),
        ("Answer A is worse than Answer B.", 0.0),
        ("A is worse.", 0.0),
        ("I prefer B over A.", 0.0),
        ("Response A wins.", 1.0),
        ("A is better in style. B is better in substance.", np.nan),
        ("<think>A is better? No, B is.</think>\n\nB", 0.0),
        ("<think>A is better", np.nan),
        ("Verdict: [[A]]", 1.0),
        ('{"winner": "tie"}', 0.5),
        ('```json\n{"winner": "A", "reason": "B is vague"}\n```', 1.0),
        ('{"reasoning": "B is vague", "verdict": "A"}', 1.0),
        ('{"winner": "A", "why": "a long text that was cut', 1.0),
        ("{'winner': 'B'}", 0.0),
        ('{"A": 7, "B": 9, "winner": "A"}', 1.0),
        ("A > B", 1.0),
        ("My verdict: [[B>>A]]", 0.0),
        ("[[A=B]]", 0.5),
        ("I first thought [[A]], now [[B]]", 0.0),
        ("They are the same.", 0.5),
        ("A is not better than B", np.nan),
        ("Answer A isn't any better than B, they are equally bad.", 0.5),
        ("Answer A: 7/10, Answer B: 9/10", np.nan),
        ("Answer A: 7/10, Answer B: 9/10. Verdict: A", 1.0),
        ("A: good. B: bad.", np.nan),
        ("A has more errors.", 0.0),
        ("B has fewer mistakes than A.", 0.0),
        ("Both are bad, but A is less bad.", 1.0),
        ("A is more verbose than B.", 0.0),
        ("The winner is not A.", np.nan),
        ("Not A", np.nan),
        ("{broken", np.nan),
        ("a fine answer", np.nan),
        ("", np.nan),
    ],
)
def test_votes_in_texts(text, vote):
    assert vote_said(text) == pytest.approx(vote, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "supported"),
    [
        ("supported", 1.0),
        ("Every statement is supported by the context.", 1.0),
        ("There is no doubt that it is supported.", 1.0),
        ("Supported. Nothing in it is unsupported.", 1.0),
        ("Unsupported", 0.0),
        ("Not all statements are supported.", 0.0),
        ("None of the claims are supported.", 0.0),
        ("The claim isn't supported.", 0.0),
        ("It cannot be supported.", 0.0),
        ("Mostly supported, but the date is unsupported.", 0.0),
        ("Only the first claim is supported.", 0.0),
        ("The answer is supported except for the date.", 0.0),
        ("The first claim is supported; the second is not.", 0.0),
        ("<think>It is supported", np.nan),
        ("I cannot tell.", np.nan),
    ],
)
def test_what_the_context_bears_out(text, supported):
    assert support_said(text) == pytest.approx(supported, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("The answer is not very good.", np.nan),
        ("I don't think this is good.", np.nan),
        ("Bad, not good.", 0.0),
        ("Good: the answer is right. Not bad at all.", 1.0),
    ],
)
def test_whether_an_answer_is_called_good(text, good):
    assert quality_said(text) == pytest.approx(good, nan_ok=True)


def test_agreement_with_people():
    human = np.asarray([1.0, 1.0, 0.0, 0.5])
    found = agreement(human, np.asarray([0.75, 0.5, 0.25, 0.5]))
    assert (found.n, found.share) == (4, 0.75)
    assert 0 < found.low < 0.75 < found.high < 1
    assert found.kappa == pytest.approx((0.75 - 0.3125) / (1 - 0.3125))
    assert agreement(np.empty(0), np.empty(0)) is None
    assert agreement(human, np.asarray([1.0, np.nan, np.nan, 0.0])).n == 2


def test_ties_are_no_decision():
    votes = Votes(shown_first_n=np.asarray([0.5, 1.0]), shown_second_n=np.asarray([0.5, np.nan]))
    found = bias([votes])
    assert (found.decided, found.first, found.swapped) == (1, 1.0, 0.0)
    np.testing.assert_equal(votes.score_n, [0.5, np.nan])
