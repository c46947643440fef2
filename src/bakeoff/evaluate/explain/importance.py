"""What the project's metric loses when a column is shuffled over the rows.

Source: L. Breiman (2001), "Random Forests", section 10; A. Fisher, C. Rudin, F. Dominici (2019), "All Models are
Wrong, but Many are Useful" (model reliance). Of columns that say nearly the same see `associations`.
"""

from collections.abc import Sequence

import numpy as np

from bakeoff.core.deadline import WorkLimit
from bakeoff.core.types import Predictions
from bakeoff.evaluate.decide.differences import Field
from bakeoff.evaluate.explain.associations import alike
from bakeoff.evaluate.explain.rows import ExplainedRows
from bakeoff.evaluate.score.out_of_fold import joined
from bakeoff.results.explanation import Importance, Skipped

__all__ = ["importance"]

FEWEST, MOST = 50, 1000
"""Rows that are shuffled."""
REPEATS = 5
SHOWN = 5
LATEST = 3.0
"""How many times the limit the first shuffle of all columns may take, where predicting is slower than measured."""
RESAMPLES = 200
PLAIN = ""


def importance(rows: ExplainedRows, limit_s: float) -> tuple[tuple[Importance, ...], tuple[Skipped, ...]]:
    """The loss of each column (or of columns alike), the largest first, with paired intervals.

    Few rows are shuffled several times. All shuffles of a row go together in the interval, with the rows that it goes
    together with.
    """
    if len(rows.columns) == 1:
        return (), (Skipped(part="importance", reason=f"{rows.columns[0].name!r} is the only input"),)
    groups = alike(rows.table, rows.columns)
    affordable = int(limit_s * rows.rows_per_s / len(groups))
    if affordable < min(FEWEST, len(rows)):
        reason = f"shuffling {len(groups)} columns of {FEWEST} rows takes longer than {limit_s:.1f} s"
        return (), (Skipped(part="importance", reason=reason),)
    rows = rows.sample(min(MOST, affordable))
    parts, times = _shuffled(rows, groups, limit_s, min(REPEATS, MOST // len(rows), affordable // len(rows)))
    again = np.tile(np.arange(len(rows)), times)
    answers = {PLAIN: rows.predictions.take(again), **{str(at): joined(each) for at, each in parts.items()}}
    late = _late([name for group in groups[len(parts) :] for name in group])
    field = Field(
        rows.truth_n[again],
        answers,
        rows.measure,
        seed=rows.seed,
        resamples=RESAMPLES,
        groups_n=rows.unit_n[again] if len(np.unique(rows.unit_n)) > 1 else None,
    )
    compared = [(groups[at], field.compare(PLAIN, str(at))) for at in parts]
    drops = [
        Importance(columns=group, drop=loss.difference, low=loss.low, high=loss.high)
        for group, loss in compared
        if np.isfinite([loss.difference, loss.low, loss.high]).all()
    ]
    if not drops:
        return (), (Skipped(part="importance", reason=f"{rows.measure.name} is undefined on these rows"), *late)
    return tuple(sorted(drops, key=lambda each: -each.drop)), tuple(late)


def _shuffled(
    rows: ExplainedRows, groups: Sequence[tuple[str, ...]], limit_s: float, repeats: int
) -> tuple[dict[int, list[Predictions]], int]:
    """The answers to rows with each group shuffled, once for all of them and then as often as there is time."""
    deadline, rng = WorkLimit(limit_s), np.random.default_rng(rows.seed)
    parts: dict[int, list[Predictions]] = {}
    for repeat in range(max(1, repeats)):
        order_n = rng.permutation(len(rows))
        for at, group in enumerate(groups):
            if deadline.used_s > (limit_s if repeat else LATEST * limit_s):
                return {place: each[: max(1, repeat)] for place, each in parts.items()}, max(1, repeat)
            changed = rows.table.with_columns([rows.table[name][order_n] for name in group])
            parts.setdefault(at, []).append(rows.answers(changed))
    return parts, max(1, repeats)


def _late(names: Sequence[str]) -> list[Skipped]:
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    return [Skipped(part="importance", reason=f"time was up before {shown}")] if names else []
