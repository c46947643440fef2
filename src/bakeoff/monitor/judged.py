"""The signal of judged answers: a share of what an endpoint generated, shown to a judge, each once, within a budget.

Which answers is drawn by their ids: of a window's sample, those with the least draws. What was judged stays, by id, as
long as it is in the window's sample.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from bakeoff.core.errors import ConflictError
from bakeoff.core.protocols import DocumentRecords
from bakeoff.core.types import Json
from bakeoff.metrics.intervals import wilson
from bakeoff.monitor.claims import CLAIM_MS, is_claimed
from bakeoff.monitor.look import MonitorLook
from bakeoff.monitor.signals import Signal
from bakeoff.monitor.sums import PredictionSums

__all__ = ["AnswerJudge", "AnswerVerdicts", "judged"]

JUDGED = "monitor_judged"
DAY_MS = 86_400_000
AT_ONCE = 20
"""Answers that one look waits for."""
ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerVerdicts:
    """What a judge says of answers, by prediction: 1 good, 0 bad, None where it could not be read; what that cost.

    `problem`: why some that it was to be shown have no score.
    """

    scores: Mapping[str, float | None]
    usd: float = 0.0
    problem: str | None = None


Ask: TypeAlias = Callable[[Sequence[str], float | None], AnswerVerdicts]
"""Shows the answers of these predictions (their ids) to the judge, for at most so many dollars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerJudge:
    """Who judges answers, and how many: a `share` of them, at most `rows` and `usd` dollars a day."""

    share: float
    rows: int
    usd: float | None
    ask: Ask


class _State(msgspec.Struct, kw_only=True):
    """What was judged, by id; of the day, how many were shown to the judge, for how much; until when a look asks."""

    scores: dict[str, float | None] = {}
    day: int = 0
    rows: int = 0
    usd: float = 0.0
    claimed_until_ms: int = 0


def judged(
    sums: PredictionSums, look: MonitorLook, documents: DocumentRecords | None, key: str, judge: AnswerJudge | None
) -> Signal:
    """The share of generated answers that the judge calls good; never an alert by itself.

    `key` is the endpoint's and the release's, whose judged answers are in `documents`; without these none is judged.
    """
    if judge is None or documents is None or look.signature.task != "generation":
        why = "no texts are generated" if look.signature.task != "generation" else "[judge] live_share is 0"
        return look.signal("judged", None, rows=0, detail={"reason": why})
    drawn = sorted((each for each in sums.sample if each.id), key=lambda each: each.draw)
    ids = [each.id for each in drawn if each.draw < judge.share * 2**32]
    state, problem = _judgements(documents, key, ids, look.until_ms, judge)
    known = [state.scores[each] for each in ids if each in state.scores]
    readable = [score for score in known if score is not None]
    detail: dict[str, Json] = {"unreadable": len(known) - len(readable), "today": state.rows, "usd_today": state.usd}
    if problem is not None:
        detail["problem"] = problem
    if not readable:
        return look.signal("judged", None, rows=0, detail={**detail, "reason": problem or "no answer was judged yet"})
    good = sum(readable)
    low, high = wilson(good, len(readable))
    detail |= {"low": low, "high": high}
    share = good / len(readable)
    detail["reason"] = f"{good:g} of {len(readable)} judged answers are good: {share:.1%} [{low:.1%}, {high:.1%}]"
    return look.signal("judged", share, rows=len(readable), detail=detail)


def _judgements(
    documents: DocumentRecords, key: str, ids: Sequence[str], now_ms: int, judge: AnswerJudge
) -> tuple[_State, str | None]:
    """What is judged of these, after as many more were shown to the judge as the day allows; what went wrong."""
    state, revision = _read(documents, key)
    if is_claimed(state.claimed_until_ms, now_ms):  # another look asks: both would pay for the same answers
        return state, None
    if state.day != now_ms // DAY_MS:
        state.day, state.rows, state.usd = now_ms // DAY_MS, 0, 0.0
    left_usd = None if judge.usd is None else judge.usd - state.usd
    new = [each for each in ids if each not in state.scores][: max(0, min(judge.rows - state.rows, AT_ONCE))]
    if not new or (left_usd is not None and left_usd <= 0):
        return state, None
    state.rows += len(new)
    state.claimed_until_ms = now_ms + CLAIM_MS
    try:
        documents.put(JUDGED, key, msgspec.to_builtins(state), expected=revision)
    except ConflictError:
        return _read(documents, key)[0], None
    judgement = judge.ask(new, left_usd)
    for _ in range(ATTEMPTS):
        state, revision = _read(documents, key)
        wanted = {*ids}
        state.scores = {name: score for name, score in state.scores.items() if name in wanted}
        state.scores |= judgement.scores
        state.usd += judgement.usd
        state.claimed_until_ms = 0
        try:
            documents.put(JUDGED, key, msgspec.to_builtins(state), expected=revision)
            break
        except ConflictError:
            continue
    return state, judgement.problem


def _read(documents: DocumentRecords, key: str) -> tuple[_State, int]:
    document = documents.get(JUDGED, key)
    return (_State(), 0) if document is None else (msgspec.convert(document.body, _State), document.revision)
