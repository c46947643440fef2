"""Earlier values of known inputs as features: a number an hour or a day before, its mean over the last hours or days.

A room stays warm for a while, and so does what it takes to cool it. A row sees its own values and those of earlier rows
of its group, and no later ones. Other than the target, inputs are known when an answer is wanted, so that nothing has
to be waited for; but the earlier rows must be there. A model keeps the last rows that it was fitted on, and sees those
that come in one call with a row. What the call says of a time counts more than what the model keeps. One function makes
the features in training and in serving, of the rows that are there.

A row that lacks half of its past or more is counted, and answered by a second model that knows none of these features.
Else, where a row in between is lacking, what is there is taken: the mean of fewer rows, or the oldest value.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.ledger import Loss
from bakeoff.core.types import Column
from bakeoff.families.features.columns import numbers
from bakeoff.families.features.lags import DAY_S, MISSING, CountedRows, names_of, seconds_of
from bakeoff.families.saved import Array

if TYPE_CHECKING:
    import polars as pl

__all__ = ["History", "HistoryPlan", "Past", "pasts", "step_of"]

_Floats: TypeAlias = NDArray[np.float64]
_Whole: TypeAlias = NDArray[np.int64]
Past: TypeAlias = tuple[str, Literal["lag", "mean"], int]
"""A column, whether it is a single earlier value or a mean, and how many seconds back that goes."""
HOUR_S = 3600
LAGS_S = (HOUR_S, 3 * HOUR_S, DAY_S)
WINDOWS_S = (3 * HOUR_S, 6 * HOUR_S, DAY_S, 3 * DAY_S, 7 * DAY_S, 28 * DAY_S)
SEASON_S = 3 * DAY_S
"""A mean over more than this, and more than seven rows, tells the season: less than a year teaches nothing of it."""
MOST_STEPS = 1000
"""Rows that one window may hold: longer ones are left out."""
MOST_TWINS = 0.01
"""Share of rows that may have the time of another of their group: more are no series."""
COVERED = 0.5
"""Share of the rows expected in a window that must be there, else the row counts as one without its past."""


def step_of(second_n: _Whole, group_n: _Whole) -> int | None:
    """Seconds from one row to the next of its group, as is usual; None when the rows are no series."""
    order = np.lexsort((second_n, group_n))
    order = order[second_n[order] != MISSING]
    steps = np.diff(second_n[order])[np.diff(group_n[order]) == 0]
    later = steps[steps > 0]
    if not len(later) or np.mean(steps == 0) > MOST_TWINS:
        return None
    return int(np.median(later))


def pasts(column: str, step_s: int, reach_s: int, *, seasons: bool) -> list[Past]:
    """What may be made of a column's past no further back than `reach_s`; `seasons`: means over weeks, too."""
    longest = reach_s if seasons else min(reach_s, max(SEASON_S, 7 * step_s))
    lags = sorted({step_s, *(lag for lag in LAGS_S if lag >= step_s)})
    lagged: list[Past] = [(column, "lag", lag) for lag in lags if lag <= reach_s]
    return lagged + [
        (column, "mean", window)
        for window in WINDOWS_S
        if 3 * step_s <= window <= longest and window <= MOST_STEPS * step_s
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPlan:
    """Which earlier values, and how many seconds lie between rows."""

    features: tuple[Past, ...]
    step_s: int

    @property
    def reach_s(self) -> int:
        """How far back a row may look."""
        return max(seconds for _, _, seconds in self.features) + self.step_s


@dataclass(frozen=True, kw_only=True)
class History:
    """The last rows of training: groups, times and the numbers of `sources` (m, c), by group and time."""

    plan: HistoryPlan
    time: str
    group: Column | None
    sources: tuple[Column, ...]
    groups: tuple[str, ...]
    group_m: Array
    second_m: Array
    number_mc: Array

    @classmethod
    def fit(
        cls, table: "pl.DataFrame", *, time: str, group: Column | None, columns: Sequence[Column], plan: HistoryPlan
    ) -> "History":
        """What serving needs after these rows: those that lie no further back than a row looks."""
        used = {name for name, _, _ in plan.features}
        empty = cls(
            plan=plan,
            time=time,
            group=group,
            sources=tuple(column for column in columns if column.name in used),
            groups=(),
            group_m=np.zeros(0, dtype=np.int64),
            second_m=np.zeros(0, dtype=np.int64),
            number_mc=np.zeros((0, len(used))),
        )
        rows = _Rows.of(empty, table)
        near = np.flatnonzero(rows.second_m >= rows.second_m.max(initial=MISSING) - plan.reach_s)
        return replace(
            empty,
            groups=rows.groups,
            group_m=rows.group_m[near],
            second_m=rows.second_m[near],
            number_mc=rows.number_mc[near],
        )

    @property
    def rows(self) -> int:
        """How many rows the model keeps."""
        return len(self.second_m)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the features."""
        return tuple(
            f"{'mean_of' if kind == 'mean' else 'lag'}_{_span(seconds)}({name})"
            for name, kind, seconds in self.plan.features
        )

    @cached_property
    def origins(self) -> dict[str, tuple[str, ...]]:
        """The column that each feature is made of."""
        return {name: (past[0],) for name, past in zip(self.names, self.plan.features, strict=True)}

    def __call__(self, table: "pl.DataFrame") -> _Floats:
        """The features of rows (n, d), of what they say and of what the model keeps."""
        return _Rows.of(self, table, with_model=True).features(self.plan)

    def lacking(self, table: "pl.DataFrame") -> "NDArray[np.bool_]":
        """Which rows came without their past (n,); they are counted."""
        rows = _Rows.of(self, table, with_model=True)
        lacking_n = np.ones(len(table), dtype=bool)
        lacking_n[rows.at_k] = rows.lacking(self.plan)
        if alone := int(lacking_n.sum()):
            before = f"rows came without all those of the {_span(self.plan.reach_s)} before them"
            self._alone.add(alone, len(table), f"{before}; send those in the same call")
        return lacking_n

    def of_training(self, table: "pl.DataFrame", some: "_Whole | None" = None) -> _Floats:
        """Those of the training rows, before which there are none; or of some of them, whose places are in order."""
        rows = _Rows.of(self, table)
        return (rows if some is None else rows.only(some)).features(self.plan)

    @cached_property
    def _alone(self) -> CountedRows:
        return CountedRows()

    def losses(self) -> tuple[Loss, ...]:
        """The rows that came without those before them since this was loaded."""
        if not self._alone.rows:
            return ()
        return (
            Loss(
                kind="cell",
                reason=f"rows came without all those of the {_span(self.plan.reach_s)} before them",
                subject=self.time,
                count=self._alone.rows,
                of=self._alone.of,
                remedy="send those in the same call",
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows by group and time (m): those of a table, and maybe others; a time of a group stands there once.

    `at_k` are the places in the table of rows that have a time, and `place_k` where those stand among the m.
    """

    groups: tuple[str, ...]
    group_m: _Whole
    second_m: _Whole
    number_mc: _Floats
    columns: tuple[str, ...]
    own_nc: _Floats
    at_k: _Whole
    place_k: _Whole

    @classmethod
    def of(cls, history: History, table: "pl.DataFrame", *, with_model: bool = False) -> "_Rows":
        """The rows of a table, with those that the model keeps if that is wanted."""
        second_n, own_nc = seconds_of(table, history.time), numbers(table, history.sources)
        at_k = np.flatnonzero(second_n != MISSING)
        second_k, number_kc = second_n[at_k], own_nc[at_k]
        named_n = names_of(table, history.group)
        named = [named_n[at] for at in at_k.tolist()] if len(at_k) < len(named_n) else named_n
        near = (
            with_model
            and len(second_k)
            and second_k.min() - history.plan.reach_s <= history.second_m.max(initial=MISSING)
        )
        groups = tuple(sorted({*named, *(history.groups if near else ())}))
        code = {name: at for at, name in enumerate(groups)}
        group_k = np.array([code[name] for name in named], dtype=np.int64)
        more = len(history.second_m) if near else 0
        if near:
            own = np.array([code[name] for name in history.groups], dtype=np.int64)
            group_k = np.concatenate([own[history.group_m], group_k])
            second_k = np.concatenate([history.second_m, second_k])
            number_kc = np.concatenate([history.number_mc, number_kc])
        place_k, width = _places(group_k, second_k)
        counts_k = np.ones(len(place_k), dtype=bool)
        counts_k[:more] = ~np.isin(place_k[:more], place_k[more:])  # what the call says of a time counts more
        place_m, first_m, inverse = np.unique(place_k[counts_k], return_index=True, return_inverse=True)
        number_mc = _means(number_kc[counts_k], inverse, len(place_m), first_m)
        return cls(
            groups=groups,
            group_m=place_m // width,
            second_m=second_k[counts_k][first_m],
            number_mc=number_mc,
            columns=tuple(column.name for column in history.sources),
            own_nc=own_nc,
            at_k=at_k,
            place_k=inverse[int(counts_k[:more].sum()) :],
        )

    def only(self, some: _Whole) -> "_Rows":
        """With those places of the table alone, which are in order; whatever came before them stays."""
        there_k = np.isin(self.at_k, some)
        at_k = np.searchsorted(some, self.at_k[there_k])
        return replace(self, own_nc=self.own_nc[some], at_k=at_k, place_k=self.place_k[there_k])

    def features(self, plan: HistoryPlan) -> _Floats:
        """What rows of the table see of their past (n, d); a row without a time sees its own values alone."""
        place_m, _ = _places(self.group_m, self.second_m)
        place_k = place_m[self.place_k]
        first_k = np.searchsorted(self.group_m, self.group_m[self.place_k], side="left")
        made = self.own_nc[:, [self.columns.index(name) for name, _, _ in plan.features]]
        for at, (name, kind, seconds) in enumerate(plan.features):
            value_m = self.number_mc[:, self.columns.index(name)]
            before_k = np.searchsorted(place_m, place_k - seconds, side="right")
            since_k = np.maximum(before_k, first_k)
            if kind == "mean":
                made[self.at_k, at] = _window_means(value_m, since_k, self.place_k)
                continue
            last_k = np.maximum(before_k - 1, 0)
            there_k = (before_k > first_k) & (place_k - seconds - place_m[last_k] <= plan.step_s)
            made[self.at_k, at] = value_m[np.where(there_k, last_k, since_k)]
        return made

    def lacking(self, plan: HistoryPlan) -> "NDArray[np.bool_]":
        """Which rows of the table with a time lack half of their past or more (k,)."""
        place_m, _ = _places(self.group_m, self.second_m)
        first_k = np.searchsorted(self.group_m, self.group_m[self.place_k], side="left")
        longest = max(seconds for _, _, seconds in plan.features)
        since_k = np.searchsorted(place_m, place_m[self.place_k] - longest, side="left")
        return self.place_k - np.maximum(since_k, first_k) < COVERED * longest / plan.step_s


def _places(group_m: _Whole, second_m: _Whole) -> tuple[_Whole, int]:
    """Where rows stand, by group and time, and how far the groups lie apart: no window reaches into another."""
    if not len(second_m):
        return second_m, 1
    first = int(second_m.min())
    width = int(second_m.max()) - first + 1
    return group_m * width + (second_m - first), width


def _means(number_kc: _Floats, inverse: _Whole, count: int, first_m: _Whole) -> _Floats:
    """The numbers of each place (m, c): the mean of what is there where several rows have one."""
    if count == len(number_kc):
        return number_kc[first_m]
    there_kc = np.isfinite(number_kc)
    sums = [np.bincount(inverse, weights=np.where(t, v, 0.0)) for v, t in zip(number_kc.T, there_kc.T, strict=True)]
    counts = [np.bincount(inverse, weights=t) for t in there_kc.T]
    sum_mc, count_mc = np.column_stack(sums), np.column_stack(counts)
    return np.divide(sum_mc, count_mc, out=np.full(sum_mc.shape, np.nan), where=count_mc > 0)


def _window_means(value_m: _Floats, since_k: _Whole, place_k: _Whole) -> _Floats:
    """The mean of what is there from `since_k` up to each row itself (k,).

    Each window is summed by itself: differences of running sums would have other last digits where rows begin later.
    """
    if not len(place_k):
        return np.zeros(0)
    there_m = np.isfinite(value_m)
    bounds = np.column_stack([since_k, place_k + 1]).ravel()
    sum_k = np.add.reduceat(np.append(np.where(there_m, value_m, 0.0), 0.0), bounds)[::2]
    running = np.concatenate([[0], np.cumsum(there_m)])
    count_k = running[place_k + 1] - running[since_k]
    return np.divide(sum_k, count_k, out=np.full(len(sum_k), np.nan), where=count_k > 0)


def _span(seconds: int) -> str:
    for unit, name in ((DAY_S, "d"), (HOUR_S, "h"), (60, "min")):
        if seconds % unit == 0:
            return f"{seconds // unit}{name}"
    return f"{seconds}s"
