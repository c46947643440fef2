"""Who judges what an endpoint generated: the judge of `[judge]`, shown a share of the answers."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import isnan
from typing import TYPE_CHECKING

from bakeoff.chat.meter import Meter
from bakeoff.chat.privacy import remote_calls
from bakeoff.core.errors import BakeoffError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.types import Signature
from bakeoff.loop.context import Stage
from bakeoff.loop.judge import prices_of, question, referee_of

if TYPE_CHECKING:
    from bakeoff.feedback.join import PredictionFeedback
    from bakeoff.monitor.judged import AnswerJudge, AnswerVerdicts

__all__ = ["answer_judge"]

PART = 4
"""Answers that are shown to the judge at once: what a failure loses."""


def answer_judge(
    stage: Stage, signature: Signature, feedback: "Sequence[PredictionFeedback]" = ()
) -> "AnswerJudge | None":
    """Who judges answers of a project's endpoint, and what people say in `feedback`; None: nobody judges them."""
    from bakeoff.monitor.judged import AnswerJudge, AnswerVerdicts

    config = stage.config.judge
    if config is None or not config.live_share or signature.task != "generation":
        return None

    def ask(ids: Sequence[str], usd: float | None) -> "AnswerVerdicts":
        events = {event.id: event for event in stage.events.get(PredictionEvent, ids)}
        questions = {  # what was erased since is not judged
            each: (question(events[each].row, signature.inputs), str(events[each].answer))
            for each in ids
            if each in events
        }
        prices = prices_of(config)
        meter = Meter(prices, concurrency=config.concurrency)
        scores: dict[str, float | None] = {}
        problem = None
        with remote_calls(allowed=stage.config.privacy.remote):
            try:
                judge = referee_of(config, prices, meter, usd=usd, cache=None)
                for part in batched(questions, PART):
                    marks = judge.accept([questions[each] for each in part]).tolist()
                    scores |= {each: None if isnan(score) else score for each, score in zip(part, marks, strict=True)}
            except BakeoffError as error:  # also that the day's budget is spent; what was judged before counts
                problem = str(error)
        return AnswerVerdicts(scores=scores, usd=meter.usage.cost_usd or 0.0, problem=problem)

    return AnswerJudge(
        share=config.live_share, rows=config.live_rows, usd=config.live_usd, ask=ask, people=_people(feedback)
    )


def _people(feedback: "Sequence[PredictionFeedback]") -> dict[str, float]:
    """What people say of answers, by prediction: 1 good, 0 bad, by their rating, else by whether they corrected it.

    A label alone says what else would be right, not that the answer is wrong: a text has many right ones.
    """
    opinions: dict[str, float] = {}
    for each in feedback:
        if each.rating:
            opinions[each.id] = float(each.rating > 0)
        elif each.correction is not None:
            opinions[each.id] = float(each.correction.strip() == str(each.said).strip())
    return opinions


def batched(names: Iterable[str], size: int) -> Iterator[list[str]]:
    """These in parts of a size."""
    rest = iter(names)
    while part := list(islice(rest, size)):
        yield part
