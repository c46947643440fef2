"""Assertions for tests of models."""

from typing import Any

from bakeoff.evaluate.decide.paired import Comparison
from bakeoff.evaluate.library import compare

__all__ = ["assert_not_worse"]


def assert_not_worse(
    truth: Any,
    candidate: Any,
    champion: Any,
    *,
    metric: str,
    margin: float | None = None,
    groups: Any = None,
    time: Any = None,
) -> None:
    """Fail unless it is shown, on the same rows, that the candidate is not worse than the champion by the margin.

    With too few rows nothing is shown, and it fails: evidence that is missing never helps.

    Args:
        truth: a label, number or text for each row.
        candidate: its predictions, as `bakeoff.compare` takes them.
        champion: those of what it would replace.
        metric: the metric's name.
        margin: how much worse counts as no worse; a default by the metric.
        groups: rows of a group go together.
        time: rows that are close in time may go together.

    Raises:
        AssertionError: it is not shown; the message has both values and the interval of their difference.

    Example:
        >>> truth = [0, 1] * 200
        >>> assert_not_worse(truth, truth, [0, 1] * 150 + [1, 0] * 50, metric="accuracy")
    """
    __tracebackhide__ = True
    judged = compare(
        truth, {"candidate": candidate, "champion": champion}, metric=metric, margin=margin, groups=groups, time=time
    )
    values = ", ".join(f"{name} {value.value:.6g}" for name, value in judged.values.items())
    found = next(iter(judged.differences), None)
    if found is not None and _least(found) >= -judged.margin:
        return
    shown = f"not worse than the champion by more than {judged.margin:.6g} in {metric}"
    if found is None:
        raise AssertionError(f"expected the candidate to be {shown}, but nothing can be said of it: {judged.reason}")
    sides = (found.low, found.high) if found.candidate == "candidate" else (-found.high, -found.low)
    raise AssertionError(
        f"expected the candidate to be shown {shown}; it is better by {sides[0]:+.4g} to {sides[1]:+.4g} ({values})"
    )


def _least(found: Comparison) -> float:
    """By how much the candidate is better than the champion, at least; differences are negative where one is worse."""
    return found.low if found.candidate == "candidate" else -found.high
