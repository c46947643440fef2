"""The judge: its bias for a place is measured and cancelled, what it cannot say counts against, people correct it."""

import random
import zlib

import numpy as np
import pytest

from bakeoff.chat.client import Client, Service
from bakeoff.chat.meter import Meter, Prices
from bakeoff.evaluate.refereeing import Pair, Referee, Votes, agreement, bias, vote_said
from bakeoff.testing.service import serving

ROWS = 600


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
    client = Client(Service(url=service.url, model="judge", concurrency=16))
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


def test_what_cannot_be_read_or_is_refused_counts_against_the_answer():
    def answer(asked):
        first, _ = shown(asked)
        return (400, {"error": "no"}, {}) if first == "good" else "both are fine"

    with serving(answer) as service:
        votes = referee_of(service).compare(pairs(3)[:4])
    assert votes.score_n.tolist() == [0.0] * 4
    assert votes.unreadable == 8
    assert bias([votes]) is None


def test_acceptance():
    with serving(lambda asked: "Good." if "yes" in asked.said else "bad" if "no" in asked.said else "?") as service:
        assert referee_of(service).accept([("q", "yes"), ("q", "no"), ("q", "?")]).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("text", "vote"),
    [
        ("B", 0.0),
        ("**A**", 1.0),
        ("Answer: B", 0.0),
        ("TIE", np.nan),
        ("tie", 0.5),
        ("Tie: both are right", 0.5),
        ("A, since B is wrong", np.nan),
        ('{"winner": "tie"}', 0.5),
        ("{broken", np.nan),
        ("a fine answer", np.nan),
        ("", np.nan),
    ],
)
def test_votes_in_texts(text, vote):
    assert vote_said(text) == pytest.approx(vote, nan_ok=True)


def test_agreement_with_people():
    human = np.asarray([1.0, 1.0, 0.0, 0.5])
    found = agreement(human, np.asarray([0.75, 0.5, 0.25, 0.5]))
    assert (found.n, found.share) == (4, 0.75)
    assert 0 < found.low < 0.75 < found.high < 1
    assert found.kappa == pytest.approx((0.75 - 0.3125) / (1 - 0.3125))
    assert agreement(np.empty(0), np.empty(0)) is None


def test_ties_are_no_decision():
    votes = Votes(shown_first_n=np.asarray([0.5, 1.0]), shown_second_n=np.asarray([0.5, np.nan]))
    found = bias([votes])
    assert (found.decided, found.first, found.swapped) == (1, 1.0, 0.0)
    assert votes.score_n.tolist() == [0.5, 0.5]
