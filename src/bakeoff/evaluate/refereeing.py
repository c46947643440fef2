"""A language model as judge: which of two answers is better, asked in both orders; and how far to believe it.

Every pair is shown twice, with the answers swapped. A judge that favours the place in which an answer stands then
helps and hurts each side alike, and how much it does so can be told.
A vote that cannot be read, or that the service refuses to give, counts against the candidate; none is left out.
Source: Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and Chatbot Arena", NeurIPS 2023, section 3.4.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.chat.client import Client, Refusal, Reply
from bakeoff.chat.meter import Meter
from bakeoff.core.types import Json
from bakeoff.metrics.intervals import wilson

__all__ = ["Agreement", "Bias", "Pair", "Referee", "Votes", "agreement", "bias"]

Floats: TypeAlias = NDArray[np.float64]

FIRST, TIE, SECOND = 1.0, 0.5, 0.0
COMPARE = (
    "You compare two answers, A and B, to the same question. {criteria}\n"
    "Do not let the order or the length of the answers influence you. Reply with exactly one of: A, B, tie."
)
ACCEPT = "You judge an answer to a question. {criteria}\nReply with exactly one of: good, bad."
VERDICT = re.compile(r"^\W*(?:(?:answer|winner|verdict)\W+)?(A|B|[Tt]ie)\b")
LETTER = re.compile(r"(?<![\w'])(A|B)(?![\w'])")
QUALITY = re.compile(r"^\W*(good|bad)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers to a question: the one that is judged, and the one that it is held against."""

    question: str
    answer: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """What the judge says of n pairs: 1 for the answer, 0 for the other, 0.5 for neither, NaN when unreadable.

    `shown_first_n`: when the answer stood first; `shown_second_n`: when it stood second.
    """

    shown_first_n: Floats
    shown_second_n: Floats

    @property
    def score_n(self) -> Floats:
        """The mean of both orders; what could not be read is a vote against the answer."""
        return (np.nan_to_num(self.shown_first_n) + np.nan_to_num(self.shown_second_n)) / 2

    @property
    def unreadable(self) -> int:
        """Votes that could not be read."""
        return int(np.isnan(self.shown_first_n).sum() + np.isnan(self.shown_second_n).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """How far the place decides: the share of `decided` votes for the answer shown first (0.5 is fair).

    `swapped` is the share of pairs of which the judge took another side when they were swapped.
    """

    first: float
    low: float
    high: float
    decided: int
    swapped: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How often the judge says what people say of n answers or pairs; `kappa` is corrected for chance."""

    n: int
    share: float
    low: float
    high: float
    kappa: float | None


class Referee:
    """Asks a judge; counts what it costs."""

    def __init__(self, client: Client, meter: Meter, *, criteria: str, max_tokens: int) -> None:
        self._client, self._meter = client, meter
        self._criteria, self._max_tokens = criteria, max_tokens

    def compare(self, pairs: Sequence[Pair]) -> Votes:
        """Votes on pairs, each shown in both orders.

        Raises:
            ServiceError: the judge cannot be asked.
        """
        asked = [self._comparison(pair.question, pair.answer, pair.other) for pair in pairs]
        asked += [self._comparison(pair.question, pair.other, pair.answer) for pair in pairs]
        said = np.asarray([_vote(reply) for reply in self._ask(asked)], dtype=np.float64)
        return Votes(shown_first_n=said[: len(pairs)], shown_second_n=1.0 - said[len(pairs) :])

    def accept(self, answers: Sequence[tuple[str, str]]) -> Floats:
        """1 for answers (each with its question before it) that the judge calls good, else 0 (also if unreadable)."""
        system = ACCEPT.format(criteria=self._criteria)
        asked = [self._request(system, f"Question:\n{q}\n\nAnswer:\n{a}") for q, a in answers]
        return np.asarray([_accepted(reply) for reply in self._ask(asked)], dtype=np.float64)

    def _ask(self, requests: Sequence[dict[str, Json]]) -> list[Reply | Refusal]:
        replies = self._client.chat(requests)
        self._meter.count(replies, rows=len(replies))
        return replies

    def _comparison(self, question: str, first: str, second: str) -> dict[str, Json]:
        shown = f"Question:\n{question}\n\nAnswer A:\n{first}\n\nAnswer B:\n{second}"
        return self._request(COMPARE.format(criteria=self._criteria), shown)

    def _request(self, system: str, shown: str) -> dict[str, Json]:
        messages: list[Json] = [{"role": "system", "content": system}, {"role": "user", "content": shown}]
        return {"messages": messages, "temperature": 0, "max_tokens": self._max_tokens}


def _vote(reply: Reply | Refusal) -> float:
    """1 for the answer shown first, 0 for the second, NaN for what names none."""
    return vote_said(reply.text) if isinstance(reply, Reply) else np.nan


def vote_said(text: str) -> float:
    """The vote in a text: a letter or "tie" at its start, JSON with a `winner`, or the only letter in it.

    >>> [vote_said(text) for text in ("A", "[[B]]", "Tie.", '{"winner": "B"}', "The better one is A", "A or B?")]
    [1.0, 0.0, 0.5, 0.0, 1.0, nan]
    """
    found = text.strip()
    if found.startswith("{"):
        try:
            found = str(json.loads(found).get("winner", ""))
        except (ValueError, AttributeError):
            return np.nan
    letters = set(LETTER.findall(found))
    match = VERDICT.match(found)
    if match and not (len(letters) > 1):
        return {"A": FIRST, "B": SECOND}.get(match.group(1), TIE)
    if len(letters) == 1:
        return FIRST if letters == {"A"} else SECOND
    return np.nan


def _accepted(reply: Reply | Refusal) -> float:
    match = QUALITY.match(reply.text) if isinstance(reply, Reply) else None
    return float(match is not None and match.group(1).lower() == "good")


def bias(votes: Sequence[Votes]) -> Bias | None:
    """The judge's liking for the first place over all votes; None when it decided nothing."""
    first_n = np.concatenate([each.shown_first_n for each in votes])
    second_n = np.concatenate([each.shown_second_n for each in votes])
    said_n = np.concatenate([first_n, 1.0 - second_n])  # 1: for whichever stood first
    decided_n = said_n[(said_n == FIRST) | (said_n == SECOND)]
    if not len(decided_n):
        return None
    low, high = wilson(float(decided_n.sum()), len(decided_n))
    both = ~np.isnan(first_n) & ~np.isnan(second_n)
    swapped = float((first_n[both] != second_n[both]).mean()) if both.any() else 0.0
    return Bias(first=float(decided_n.mean()), low=low, high=high, decided=len(decided_n), swapped=swapped)


def agreement(human_n: Floats, judged_n: Floats) -> Agreement | None:
    """How far a judge (scores from 0 to 1) agrees with people (0, 0.5 or 1); None without labels.

    Source: Cohen, "A Coefficient of Agreement for Nominal Scales", Educational and Psychological Measurement 20 (1960).
    """
    if not len(human_n):
        return None
    theirs, ours = np.sign(human_n - TIE), np.sign(judged_n - TIE)
    same = theirs == ours
    low, high = wilson(float(same.sum()), len(same))
    chance = sum(float((theirs == side).mean() * (ours == side).mean()) for side in (-1, 0, 1))
    kappa = None if chance == 1 else (float(same.mean()) - chance) / (1 - chance)
    return Agreement(n=len(same), share=float(same.mean()), low=low, high=high, kappa=kappa)
