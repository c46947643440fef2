"""The one label of a prediction, out of all that people say of it.

It does not depend on the order in which feedback arrives, nor on how often it is sent:

1. Of each annotator (`source`; those without a name are one) the latest opinion counts, by when it was known.
2. What an expert says (`[feedback] experts`) goes before all others; of several experts, the latest.
3. Else the label that most annotators give; of equals, the one that was given last.
4. Numbers are the median of what annotators give.

A truth that means nothing to the model (a class that it does not have) never takes the place of the annotator's own
that means something; it is a vote beside those of others.

Of ratings, corrections and comments the latest counts; an expert's rating goes before all others, and where nobody gave
one, the mean of what the implicit signals mean (`[feedback] implicit`) stands in its place.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from bakeoff.config.sections import FeedbackConfig
from bakeoff.core.events import FeedbackEvent
from bakeoff.data.labels import label_text

if TYPE_CHECKING:
    from bakeoff.core.types import Json
else:
    Json = Any  # msgspec knows no type that is made of itself

__all__ = ["Resolution", "Resolved", "known_at", "opinions", "resolve"]

Resolution: TypeAlias = Literal["single", "expert", "majority", "latest", "median"]
"""By which rule a label came to be: one annotator alone, an expert, the most, the last of equals, the median."""
Read: TypeAlias = Callable[[Json], str | float | None]


class Resolved(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What counts of the feedback on a prediction.

    Attributes:
        given: the truth as it came, None when nobody gave one.
        label: what it means to the model; None when it means nothing.
        rule: by which rule.
        annotators: how many gave a truth; `agreeing` of them that one.
        rating, correction, comment, implicit: what else was said.
        source, known_ms: of the truth; without one of the last feedback.
    """

    given: Json = None
    label: str | float | None = None
    rule: Resolution | None = None
    annotators: int = 0
    agreeing: int = 0
    rating: float | None = None
    correction: str | None = None
    comment: str | None = None
    implicit: Mapping[str, Json] | None = None
    source: str | None = None
    known_ms: int = 0


def known_at(item: FeedbackEvent) -> int:
    """When it was known: when its sender says, else when it was logged."""
    return item.time_ms if item.known_ms is None else item.known_ms


def opinions(items: Sequence[FeedbackEvent], read: Read) -> list[FeedbackEvent]:
    """Of each annotator the latest truth that `read` understands, else the latest; the latest of all last."""
    latest: dict[str | None, FeedbackEvent] = {}
    for item in sorted(items, key=known_at):
        if item.truth is None:
            continue
        before = latest.get(item.source)
        if before is None or read(item.truth) is not None or read(before.truth) is None:
            latest.pop(item.source, None)
            latest[item.source] = item
    return list(latest.values())


def resolve(items: Sequence[FeedbackEvent], read: Read, rules: FeedbackConfig, *, numbers: bool) -> Resolved:
    """What counts of the feedback on one prediction; there is some.

    Args:
        items: all of it, in any order.
        read: what a truth means to the model; None: nothing.
        rules: whose word counts most, and what implicit signals mean.
        numbers: whether truths are numbers.
    """
    ordered = sorted(items, key=known_at)
    truths = opinions(ordered, read)
    experts = [item for item in truths if item.source in rules.experts]
    label: str | float | None = None
    rule, agreeing, chosen = None, 0, ordered[-1]
    if truths:
        rule, chosen, agreeing, label = _chosen(truths, experts, read, numbers=numbers)
    implicit: dict[str, Json] = {}
    for item in ordered:
        implicit |= item.implicit or {}
    return Resolved(
        given=label if rule == "median" else chosen.truth if truths else None,
        label=label,
        rule=rule,
        annotators=len(truths),
        agreeing=agreeing,
        rating=_rating(ordered, implicit, rules),
        correction=next((item.correction for item in reversed(ordered) if item.correction is not None), None),
        comment=next((item.comment for item in reversed(ordered) if item.comment is not None), None),
        implicit=implicit or None,
        source=chosen.source,
        known_ms=known_at(chosen),
    )


def _chosen(
    truths: Sequence[FeedbackEvent], experts: Sequence[FeedbackEvent], read: Read, *, numbers: bool
) -> tuple[Resolution, FeedbackEvent, int, str | float | None]:
    """By which rule, whose truth, how many agree with it, and what it means."""
    meanings = [read(item.truth) for item in truths]
    groups = [
        str(label_text(item.truth)) if label is None else label for item, label in zip(truths, meanings, strict=True)
    ]
    counts = {group: groups.count(group) for group in groups}
    if experts or len(truths) == 1:
        chosen = (experts or truths)[-1]
        group = groups[truths.index(chosen)]
        return ("expert" if experts else "single"), chosen, counts[group], meanings[truths.index(chosen)]
    figures = [label for label in meanings if isinstance(label, int | float)]
    if numbers and figures:
        middle = float(median(figures))
        return "median", truths[-1], figures.count(middle), middle
    most = max(counts.values())
    leading = [group for group, count in counts.items() if count == most]
    at = max(place for place, group in enumerate(groups) if group in leading)
    return ("majority" if len(leading) == 1 else "latest"), truths[at], most, meanings[at]


def _rating(ordered: Sequence[FeedbackEvent], implicit: Mapping[str, Json], rules: FeedbackConfig) -> float | None:
    ratings = [(item.source, item.rating) for item in ordered if item.rating is not None]
    if ratings:
        return ([rating for source, rating in ratings if source in rules.experts] or [ratings[-1][1]])[-1]
    meant = [rating for name, rating in rules.implicit.items() if _happened(implicit.get(name))]
    return fmean(meant) if meant else None


def _happened(value: Json) -> bool:
    return value if isinstance(value, bool) else isinstance(value, int | float) and value > 0
