"""Fit candidates by folds: once without each fold, for scores on rows that were not seen, then on all rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from bakeoff.core.types import Json
from bakeoff.loop.cache import Steps
from bakeoff.loop.context import Contender, Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.loop.fit import FitRequest, Fitted, fit, fit_each, fitted_of, job_of, on_all_rows

__all__ = ["fit_all", "middle"]


def fit_all(stage: Stage, steps: Steps, gathered: Gathered) -> list[Fitted]:
    """Fit the contenders as the split asks: once, or by folds; results in the contenders' order.

    The fits of all folds are jobs beside each other. Without a search, what the last fit, on all rows, does not choose
    again is what the fold chose whose choice is nearest to the others'.
    """
    if not gathered.folds:
        return fit(stage, steps, gathered)
    folds = range(gathered.folds)
    asks = {
        c.name: [_without(stage, gathered, _of_fold(stage, fold, at), fold) for fold in folds]
        for at, c in enumerate(stage.contenders)
    }
    results = fit_each(stage, steps, [ask for each in asks.values() for ask in each])
    parts = {name: [fitted_of(ask, results[ask.name]) for ask in each] for name, each in asks.items()}
    broken = {name: next((part for part in each if part.tree_blob is None), None) for name, each in parts.items()}
    last = {
        c.name: _on_all(stage, gathered, c, [part.chosen or {} for part in parts[c.name]])
        for c in stage.contenders
        if broken[c.name] is None
    }
    whole = fit_each(stage, steps, list(last.values()))
    return [broken[c.name] or _whole(fitted_of(last[c.name], whole[c.name]), parts[c.name]) for c in stage.contenders]


def _of_fold(stage: Stage, fold: int, at: int) -> Contender:
    """A contender as a fold's fit has it: with what a search without the fold found, if there was one."""
    return stage.contenders[at] if stage.nested is None else stage.nested.of_folds[fold][at]


def _on_all(
    stage: Stage, gathered: Gathered, contender: Contender, choices: Sequence[Mapping[str, Json]]
) -> FitRequest:
    """The fit on all rows; where a search gave it settings of its own, what the folds chose was for others."""
    if stage.nested is None:
        return on_all_rows(stage, gathered, contender, middle(choices))
    return FitRequest.of(
        "fit", contender, job_of(stage, replace(gathered, rows_blob=stage.nested.rows_blob), contender)
    )


def _without(stage: Stage, gathered: Gathered, contender: Contender, fold: int) -> FitRequest:
    job = job_of(stage, gathered, contender, fold=fold)
    return FitRequest.of("fit", contender, replace(job, name=f"{contender.name}, fold {fold + 1} of {gathered.folds}"))


def _whole(fitted: Fitted, parts: Sequence[Fitted]) -> Fitted:
    """The model of all rows, with what it took to make it."""
    if fitted.tree_blob is None:
        return fitted
    return replace(
        fitted,
        train_s=fitted.train_s + sum(part.train_s for part in parts),
        peak_memory_bytes=max(each.peak_memory_bytes for each in (fitted, *parts)),
        folds=tuple(part.tree_blob or "" for part in parts),
        cut=next((part.cut for part in parts if part.cut), None),
    )


def middle(choices: Sequence[Mapping[str, Json]]) -> Mapping[str, Json]:
    """The choice that is nearest to all others, the first of those that are.

    Numbers are as far apart as their places among the choices, other values as far as the choices are many unless
    they are equal: the median of a single number, the most frequent of a single name.

    >>> middle([{"trees": 90}, {"trees": 400}, {"trees": 110}])
    {'trees': 110}
    """
    flat = [dict(_flat(choice)) for choice in choices]
    names = sorted({name for each in flat for name in each})
    columns = [[each.get(name) for each in flat] for name in names]

    def distance(at: int) -> float:
        return sum(_apart(column, at, other) for column in columns for other in range(len(choices)))

    return choices[min(range(len(choices)), key=distance)]


def _flat(choice: Mapping[str, Json], prefix: str = "") -> Iterator[tuple[str, Json]]:
    for name, value in choice.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _apart(column: Sequence[Json], one: int, other: int) -> int:
    numbers = [value for value in column if isinstance(value, int | float)]
    if len(numbers) < len(column):
        return len(column) * (column[one] != column[other])
    places = sorted(set(numbers))
    return abs(places.index(numbers[one]) - places.index(numbers[other]))
