"""The signal of judged answers: a share of what an endpoint generated, shown to a judge, each once, within a budget.

Which answers is drawn by their ids: of a window's sample, those with the least draws. What was judged stays, by id, as
long as it is in the window's sample. Where people rated enough of the judged answers, what they say corrects the share.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from bakeoff.core.errors import ConflictError
from bakeoff.core.protocols import DocumentRecords
from bakeoff.core.types import Json
from bakeoff.metrics.intervals import Interval, wilson
from bakeoff.metrics.judges import FEWEST_LABELS, prediction_powered
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
    """Who judges answers, and how many: a `share` of them, at most `rows` and `usd` dollars a day.

    `people` is what people say of answers, by prediction: 1 good, 0 bad.
    """

    share: float
    rows: int
    usd: float | None
    ask: Ask
    people: Mapping[str, float] = field(default_factory=dict[str, float])


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
    """The share of good answers, as the judge says and people correct it; never an alert by itself.

    From 20 judged answers on that people rated, too (`both` in `detail`), `value`, `low` and `high` are corrected by
    them (`bakeoff.metrics.judges.prediction_powered`); `judge` has the judge's own.
    `key` is the endpoint's and the release's, whose judged answers are in `documents`; without these none is judged.
    """
    if judge is None or documents is None or look.signature.task != "generation":
        why = "no texts are generated" if look.signature.task != "generation" else "[judge] live_share is 0"
        return look.signal("judged", None, rows=0, detail={"reason": why})
    drawn = sorted((each for each in sums.sample if each.id), key=lambda each: each.draw)
    ids = [each.id for each in drawn if each.draw < judge.share * 2**32]
    state, problem = _judgements(documents, key, ids, look.until_ms, judge)
    known = [state.scores[each] for each in ids if each in state.scores]
    votes = {each: score for each in ids if (score := state.scores.get(each)) is not None}
    detail: dict[str, Json] = {"unreadable": len(known) - len(votes), "today": state.rows, "usd_today": state.usd}
    if problem is not None:
        detail["problem"] = problem
    if not votes:
        return look.signal("judged", None, rows=0, detail={**detail, "reason": problem or "no answer was judged yet"})
    good = sum(votes.values())
    low, high = wilson(good, len(votes))
    by_judge = Interval(value=good / len(votes), low=low, high=high, method="wilson")
    both = [each for each in votes if each in judge.people]
    corrected = _corrected(votes, judge.people, both, look.seed)
    share = corrected or by_judge
    detail |= {"low": share.low, "high": share.high, "both": len(both)}
    detail["judge"] = {"value": by_judge.value, "low": low, "high": high}
    reason = f"{good:g} of {len(votes)} judged answers are good: {by_judge.value:.1%} {by_judge.ends('.1%')}"
    if corrected is not None:
        reason += f"; corrected by {len(both)} of them that people rated: "
        reason += f"{corrected.value:.1%} {corrected.ends('.1%')}"
    elif both:
        reason += f"; people rated {len(both)} of them, from {FEWEST_LABELS} on they correct it"
    return look.signal("judged", share.value, rows=len(votes), detail={**detail, "reason": reason})


def _corrected(
    votes: Mapping[str, float], people: Mapping[str, float], both: Sequence[str], seed: int
) -> Interval | None:
    """The share of answers that people would call good; None where too few were rated."""
    if len(both) < FEWEST_LABELS:
        return None
    human_m, judged_m = [people[each] for each in both], [votes[each] for each in both]
    rest_n = [score for each, score in votes.items() if each not in people]
    if len(rest_n) < 2:  # noqa: PLR2004 - people rated all: a judge has nothing to add
        low, high = wilson(sum(human_m), len(human_m))
        return Interval(value=sum(human_m) / len(human_m), low=low, high=high, method="wilson")
    corrected = prediction_powered(human_m, judged_m, rest_n, seed=seed)
    return None if corrected.low is None else corrected


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
