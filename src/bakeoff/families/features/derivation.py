"""Which columns a model derives from others: proposed by what there is, tried on validation rows, and told.

Every proposal is a group of columns of one idea. A group stays when validation rows are better off with it by more than
the standard error of that gain, in a quick fit of the kind of model that asks for it. Where no proposal applies (few
rows of numbers alone), nothing is tried and it takes no time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core import narrow
from bakeoff.core.deadline import Deadline
from bakeoff.core.errors import CandidateError
from bakeoff.core.protocols import FitJob
from bakeoff.core.threads import limited
from bakeoff.core.types import Column, Json
from bakeoff.data.periods import period_s
from bakeoff.families.features.calendar import days_of
from bakeoff.families.features.columns import instants, of_kind
from bakeoff.families.features.derived import Derived, FeatureKind, FeatureSpec
from bakeoff.families.features.history import History, HistoryPlan, Past, pasts, step_of
from bakeoff.families.features.lags import LagPlan, Lags, group_numbers, seconds_of
from bakeoff.families.features.targets import Target
from bakeoff.families.features.trend import LEAST_DAYS, Trend, TrendKind
from bakeoff.families.features.trials import Learner, Trials

if TYPE_CHECKING:
    import polars as pl

__all__ = ["EARLIER", "FEWEST_ROWS", "HISTORY_ERRORS", "Choice", "Derivation", "Encoding", "standard_error"]

_Floats: TypeAlias = NDArray[np.float64]
MOST_ROWS = 3000
"""Training rows (and half as many validation rows) that are enough to try columns on."""
FEWEST_ROWS = 1000
"""Training rows below which products, ratios and group means are not tried: the gain could not be told from noise."""
FEWEST_VALIDATION = 10
MOST_CLASSES = 10
MOST_COLUMNS = 200
MOST_TIMES = 4
STRONGEST = 6
"""Numbers whose products, ratios and differences are looked at."""
BEST = 8
"""How many of those may stay."""
DERIVATION_SHARE = 0.2
"""Of the time of a fit, what trying columns may take: the rest of the choosing comes after it."""
MOST_EARLIER = 12
"""Columns that may be made of earlier values of inputs."""
USUAL_HISTORY = "7d"
"""How far back inputs are looked at to tell what that would gain, where nobody says how far calls reach."""
ELAPSED, ARITHMETIC = "elapsed time", "products, ratios and differences"
EARLIER = "earlier values of inputs"
NOT_TRIED = "left out: there was no time to try it"
BLOCKS = 10
"""Parts of validation rows, one after the other in time, whose gains are compared: rows of one time err alike."""
TREND_ERRORS = 2.0
"""Standard errors by which a trend and elapsed time must help: they tell of times that nobody has seen."""
HISTORY_ERRORS = 1.5
"""The same for earlier values of inputs, which look like the days that they come from."""
MOST_LEVELS = 1000
"""Categories of a column or a pair that is counted or averaged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a fit chose: the features, the trend, the plans of lags and history, and what each group of them gained.

    `level` is the lag that a target is told from, if it is.

    `tried` says of each group by how much the squared error (or log loss) of validation rows fell, as a share, and
    whether it stayed.
    """

    features: tuple[FeatureSpec, ...] = ()
    trend: TrendKind = "none"
    level: str | None = None
    lags: LagPlan | None = None
    history: HistoryPlan | None = None
    tried: Mapping[str, str] = field(default_factory=dict[str, str])

    def to_json(self) -> dict[str, Json]:
        """For what a model tells that it chose; nothing where nothing was tried."""
        if not self.tried:
            return {}
        chosen: dict[str, Json] = {
            "features": [[kind, *names] for kind, names in self.features],
            "trend": self.trend,
            "tried": dict(self.tried),
        }
        if self.level is not None:
            chosen["level"] = self.level
        if self.lags is not None:
            plan = self.lags
            chosen["lags"] = {
                "horizon_s": plan.horizon_s,
                "span_s": plan.span_s,
                "step_s": plan.step_s,
                "periods_s": list(plan.periods_s),
                "windows_s": list(plan.windows_s),
            }
        if self.history is not None:
            features = [list(past) for past in self.history.features]
            chosen["history"] = {"features": features, "step_s": self.history.step_s}
        return chosen

    @classmethod
    def of_json(cls, chosen: Mapping[str, Json]) -> "Choice":
        """What `to_json` wrote; what an older model chose has none of it."""
        import msgspec

        about = {name: chosen[name] for name in ("trend", "level", "lags", "history", "tried") if name in chosen}
        listed = narrow.json_array(chosen.get("features", []))
        features = [[each[0], list(each[1:])] for each in map(narrow.json_array, listed)]
        return msgspec.convert({**about, "features": features}, cls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """What a fit on some rows learned, and those rows with their further columns.

    `derived` and `trend` belong to the model; None: it has none.
    """

    table: "pl.DataFrame"
    columns: tuple[Column, ...]
    derived: Derived | None
    trend: Trend | None


class Derivation:
    """The derived columns of one fit: chosen once, learned for as many rows as are asked for.

    Args:
        job: The fit.
        target: Its rows.
        columns: Its input columns.
        learner: What kind of model asks.
        wanted: Whether anything is derived at all.
        deadline: Of the fit, if it has begun before; a part of it goes into trying columns.
    """

    def __init__(
        self,
        job: FitJob,
        target: Target,
        columns: Sequence[Column],
        learner: Learner,
        *,
        wanted: bool = True,
        deadline: Deadline | None = None,
    ) -> None:
        self._job, self._target, self._columns = job, target, tuple(columns)
        if not wanted:
            self.choice = Choice()
        elif job.chosen is not None:
            self.choice = Choice.of_json(job.chosen)
        else:
            with limited(1):
                self.choice = _Choosing(job, target, self._columns, learner, deadline or Deadline(job)).choice()

    @property
    def chosen(self) -> dict[str, Json]:
        """What was chosen, as JSON."""
        return self.choice.to_json()

    def fit(self, rows: int) -> Encoding:
        """Learn from the first `rows` rows of the job, and encode those."""
        choice, schema = self.choice, self._job.schema
        table, value_n = self._target.table[:rows], self._target.value_n[:rows]
        derived: Derived | None = None
        columns = self._columns
        lags = lags_of(table, value_n, self._columns, self._job, choice.lags) if choice.lags else None
        history = history_of(table, self._columns, self._job, choice.history) if choice.history else None
        if choice.features or lags or history:
            derived = Derived.fit(table, columns, choice.features, schema, lags=lags, history=history)
            table, columns = derived.of_training(table), derived.columns(columns)
            if lags:
                derived = replace(derived, lags=lags.pruned())
                self._tell(lags.pruned())
        trend: Trend | None = None
        if choice.level is not None:
            trend = Trend.of_lag(table, value_n, choice.level, scaled=choice.trend == "times known")
        elif choice.trend != "none":
            with limited(1):  # as when it was chosen: the slope must not depend on how many threads there are
                trend = _trend(self._target.table[:rows], value_n, self._columns, self._job, choice.trend)
        return Encoding(table=table, columns=columns, derived=derived, trend=trend)

    def _tell(self, lags: Lags) -> None:
        self._job.progress(
            f"lags: the model keeps the last {len(lags.value_m):,} targets of {len(lags.groups):,} groups, "
            f"which are good for rows until {lags.good_until}"
        )


def lags_of(
    table: "pl.DataFrame", value_n: _Floats, columns: Sequence[Column], job: FitJob, plan: LagPlan
) -> Lags | None:
    """The state of the lags after these rows."""
    time, group = _time_and_group(job, columns)
    if time is None:
        return None
    return Lags.fit(table, value_n, time=time, group=group, target=job.schema.target, plan=plan)


def history_of(table: "pl.DataFrame", columns: Sequence[Column], job: FitJob, plan: HistoryPlan) -> History | None:
    """The last of these rows, as far back as a row looks."""
    time, group = _time_and_group(job, columns)
    return None if time is None else History.fit(table, time=time, group=group, columns=columns, plan=plan)


def _time_and_group(job: FitJob, columns: Sequence[Column]) -> tuple[str | None, Column | None]:
    by_name = {column.name: column for column in columns}
    time = by_name.get(job.schema.time or "")
    return (time.name if time and time.kind == "datetime" else None), by_name.get(job.schema.group or "")


def _trend(
    table: "pl.DataFrame", value_n: _Floats, columns: Sequence[Column], job: FitJob, kind: TrendKind
) -> Trend | None:
    """A trend beside all columns but texts, with the hours of the week."""
    time = job.schema.time
    if time is None or kind == "none":
        return None
    specs: tuple[FeatureSpec, ...] = (("hour_of_week", (time,)),)
    more = Derived.fit(table, columns, specs, job.schema)
    return Trend.fit(more(table), more.columns(columns), value_n, time, scaled=kind == "scaled", seed=job.seed)


class _Choosing:
    """Tries proposals one after the other, each beside what stayed of those before it."""

    def __init__(
        self, job: FitJob, target: Target, columns: tuple[Column, ...], learner: Learner, deadline: Deadline
    ) -> None:
        self._job, self._columns, self._deadline = job, columns, deadline
        self._learner: Learner = learner
        self._features: list[FeatureSpec] = []
        self._tried: dict[str, str] = {}
        self._target = target
        self._plan: LagPlan | None = None
        self._lagged: pl.DataFrame | None = None

    def choice(self) -> Choice:
        """What stays."""
        job, target = self._job, self._target
        validation = len(target.value_n) - target.training
        few = validation < FEWEST_VALIDATION or len(target.classes) > MOST_CLASSES or len(self._columns) > MOST_COLUMNS
        groups = {} if few else self._proposals()
        times = bool(of_kind(self._columns, "datetime"))
        self._known_horizon()
        if few or not (groups or times or self._arithmetic()):
            return Choice()
        rows = _trial_rows(target.training, len(target.value_n), job.seed)
        training = int((rows < target.training).sum())
        self._trials = Trials(
            table=target.table[rows],
            value_n=target.value_n[rows],
            training=training,
            classes=len(target.classes),
            learner=self._learner,
            seed=job.seed,
        )
        self._x_nd = self._trials.encoded(self._trials.table, self._columns)
        self._loss_v = self._trials.losses(self._x_nd)
        self._order_v = self._order(training)
        for name, specs in groups.items():
            self._try(name, specs, errors=TREND_ERRORS if name == ELAPSED else 1.0)
        plan, history = self._lags(rows), self._history(rows)
        trend, level = self._trend()
        plan = plan if level is None else self._plan
        if self._arithmetic() and not self._late(ARITHMETIC):
            self._try(ARITHMETIC, self._screened())
        if late := [name for name, outcome in self._tried.items() if outcome == NOT_TRIED]:
            self._deadline.cut(f"features were not tried: {'; '.join(late)}")
        return Choice(
            features=tuple(self._features), trend=trend, level=level, lags=plan, history=history, tried=self._tried
        )

    def _late(self, name: str) -> bool:
        """Whether there is no time to try this, which is told."""
        late = self._deadline.passed(DERIVATION_SHARE)
        if late:
            self._tried[name] = NOT_TRIED
        return late

    def _order(self, training: int) -> NDArray[np.int64] | None:
        """The validation rows in the order of time, if they have times."""
        time, _ = _time_and_group(self._job, self._columns)
        return None if time is None else np.argsort(seconds_of(self._trials.table[training:], time), kind="stable")

    def _known_horizon(self) -> None:
        schema = self._job.schema
        if schema.horizon is not None and _time_and_group(self._job, self._columns)[0] is None:
            raise CandidateError(
                f"expected the time {schema.time!r} among the inputs for lags ([data] horizon = {schema.horizon!r}), "
                "received a table without it; list it in [data] datetime, or leave out horizon"
            )

    def _arithmetic(self) -> bool:
        numbers = of_kind(self._columns, "numeric")
        return len(numbers) > 1 and self._enough

    @property
    def _enough(self) -> bool:
        return self._target.training >= FEWEST_ROWS and not of_kind(self._columns, "text")

    def _proposals(self) -> dict[str, list[FeatureSpec]]:
        """Groups of columns that what there is suggests."""
        columns, schema = self._columns, self._job.schema
        times = [column.name for column in of_kind(columns, "datetime")][:MOST_TIMES]
        groups: dict[str, list[FeatureSpec]] = {}
        if times and not (self._target.classes and self._learner == "linear"):  # odds that would grow for ever
            groups[ELAPSED] = [("elapsed", (name,)) for name in times]
        if times:
            groups["calendar"] = [(kind, (name,)) for name in times for kind in self._calendar(name)]
        if schema.holidays and times:
            groups["holidays"] = [("holiday", (name,)) for name in times]
        if len(times) > 1:
            groups["days between times"] = [("days_between", pair) for pair in combinations(times, 2)]
        if self._enough:
            groups |= self._of_categories()
        return {name: specs for name, specs in groups.items() if specs}

    def _calendar(self, name: str) -> Iterable[FeatureKind]:
        """Parts of one time; of less than a year the day tells no more than how much time has passed."""
        if self._covers_years(name):
            yield "day_of_year"
        yield "weekend"
        if self._learner == "linear":
            yield "hour_of_week"

    def _covers_years(self, name: str) -> bool:
        """Whether training rows cover more than a year, so that its seasons can be told from growth."""
        time_n = instants(self._target.table.get_column(name)[: self._target.training])
        known_n = time_n[~np.isnat(time_n)]
        return len(known_n) > 0 and bool(days_of(known_n.max() - known_n.min()) >= LEAST_DAYS)

    def _of_no_calendar(self, time: str) -> tuple[Column, ...]:
        """The numbers that are no hour, weekday or month of the time of their row."""
        import polars as pl

        table = self._target.table[: self._target.training]
        when = pl.Series(time, instants(table.get_column(time)))
        parts = (when.dt.hour(), when.dt.weekday(), when.dt.month())
        numbers = of_kind(self._columns, "numeric")
        fixed = {
            column.name
            for column in numbers
            for part in parts
            if pl.DataFrame({"part": part, "value": table.get_column(column.name)}).n_unique() <= part.n_unique()
        }
        return tuple(column for column in numbers if column.name not in fixed)

    def _of_categories(self) -> dict[str, list[FeatureSpec]]:
        table = self._target.table[: self._target.training]
        named = [column.name for column in of_kind(self._columns, "categorical")]
        distinct = {name: table.get_column(name).n_unique() for name in named}
        countable = [name for name in named if 2 < distinct[name] <= MOST_LEVELS][:STRONGEST]  # noqa: PLR2004
        numbers = [column.name for column in of_kind(self._columns, "numeric")][:STRONGEST]
        pairs = [pair for pair in combinations(countable, 2) if distinct[pair[0]] * distinct[pair[1]] <= MOST_LEVELS]
        linear = self._learner == "linear"  # trees make pairs themselves, one-hot codes tell what counts would
        return {
            "counts of categories": [] if linear else [("count", (name,)) for name in countable],
            "pairs of categories": [("pair", pair) for pair in pairs[:BEST]] if linear else [],
            "distances from group means": [
                ("deviation", (name, number)) for name in countable[:2] for number in numbers
            ],
        }

    def _screened(self) -> list[FeatureSpec]:
        """The products, ratios and differences of the strongest numbers that trees like best."""
        numbers = of_kind(self._columns, "numeric")
        trees = replace(self._trials, learner="trees")
        gain_d = trees.gains(trees.encoded(self._trials.table, numbers))
        strongest = [numbers[at].name for at in np.argsort(-gain_d, kind="stable")[:STRONGEST]]
        specs: list[FeatureSpec] = []
        for one, other in combinations(strongest, 2):
            kinds: tuple[FeatureKind, ...] = ("product", "difference", "ratio")
            specs.extend((kind, (one, other)) for kind in kinds)
            specs.append(("ratio", (other, one)))
        derived = Derived.fit(self._trials.table[: self._trials.training], numbers, specs, self._job.schema)
        made = derived(self._trials.table)
        x_nd = np.hstack(
            [trees.encoded(self._trials.table, numbers), made.select(f.name for f in derived.features).to_numpy()]
        )
        gain_s = trees.gains(x_nd)[len(numbers) :]
        best = np.argsort(-gain_s, kind="stable")[:BEST]
        return [specs[at] for at in sorted(best.tolist()) if gain_s[at] > 0]

    def _try(self, name: str, specs: Sequence[FeatureSpec], *, errors: float = 1.0) -> None:
        if not specs or self._late(name):
            return
        table = self._trials.table
        derived = Derived.fit(table[: self._trials.training], self._columns, specs, self._job.schema)
        x_nd = np.hstack([self._x_nd, self._trials.encoded(derived(table), derived.columns(()))])
        if self._better(name, self._trials.losses(x_nd), errors=errors):
            self._features += specs
            self._x_nd = x_nd

    def _better(self, name: str, loss_v: _Floats, *, errors: float = 1.0) -> bool:
        """Whether validation rows lose less so, by more than so many standard errors of it; told either way."""
        gain_v = self._loss_v - loss_v
        error = standard_error(gain_v, self._order_v)
        stays = bool(gain_v.mean() > errors * error)
        share = gain_v.mean() / max(self._loss_v.mean(), 1e-12)
        self._tried[name] = f"{'kept' if stays else 'left out'}: loss {-share:+.1%}"
        self._job.progress(f"features: {name} {self._tried[name]} on validation rows")
        if stays:
            self._loss_v = loss_v
        return stays

    def _lags(self, rows: NDArray[np.int64]) -> LagPlan | None:
        """The plan of the lags if they help; worked out from all rows, tried on some."""
        job, target = self._job, self._target
        horizon, (time, group) = job.schema.horizon, _time_and_group(job, self._columns)
        if horizon is None or time is None or len(target.classes) > 2 or self._late("lags"):  # noqa: PLR2004
            return None
        table, cut = target.table, target.training
        second_n = seconds_of(table, time)
        if second_n[cut:].min() < second_n[:cut].max():
            self._tried["lags"] = "left out: validation rows are not later than training rows"
            return None
        span_s = int(second_n[cut:].max() - second_n[:cut].max())
        plan = LagPlan.of(second_n[:cut], group_numbers(table[:cut], group), horizon_s=period_s(horizon), span_s=span_s)
        if plan is None:
            self._tried["lags"] = "left out: training rows do not cover three times the span of validation rows"
            return None
        lags = lags_of(table[:cut], target.value_n[:cut], self._columns, job, plan)
        assert lags is not None
        lag_nd = np.vstack([lags.of_training(table[:cut]), lags(table[cut:])])[rows]
        made = self._trials.table.with_columns(_series(lags.names, lag_nd))
        self._plan, self._lagged = plan, made.select(lags.names)
        columns = [Column(name=name, kind="numeric", dtype="Float64") for name in lags.names]
        x_nd = np.hstack([self._x_nd, self._trials.encoded(made, columns)])
        if not self._better("lags", self._trials.losses(x_nd)):
            return None
        self._x_nd = x_nd
        return plan

    def _history(self, rows: NDArray[np.int64]) -> HistoryPlan | None:
        """The earlier values of inputs to try, if calls bring the rows along; else what they would gain is told."""
        job, target, cut = self._job, self._target, self._target.training
        time, group = _time_and_group(job, self._columns)
        known = () if time is None else self._of_no_calendar(time)
        if time is None or not known or target.classes or not self._enough or self._late(EARLIER):
            return None
        second_n = seconds_of(target.table, time)
        step_s = step_of(second_n, group_numbers(target.table, group))
        wanted = job.schema.history
        if second_n[cut:].min() < second_n[:cut].max() or step_s is None:
            if wanted is not None:
                why = (
                    "several rows have one time"
                    if step_s is None
                    else "validation rows are not later than training rows"
                )
                self._tried[EARLIER] = f"left out: {why}"
            return None
        features = self._strongest_pasts(known, time, rows, step_s, period_s(wanted or USUAL_HISTORY))
        if not features:
            return None
        plan = HistoryPlan(features=tuple(features), step_s=step_s)
        history = history_of(target.table[:cut], self._columns, job, plan)
        assert history is not None
        made = self._trials.table.with_columns(_series(history.names, history.of_training(target.table, rows)))
        columns = [Column(name=name, kind="numeric", dtype="Float64") for name in history.names]
        x_nd = np.hstack([self._x_nd, self._trials.encoded(made, columns)])
        before_v = self._loss_v
        stays = self._better(EARLIER, self._trials.losses(x_nd), errors=HISTORY_ERRORS)
        if wanted is not None:
            self._x_nd = x_nd if stays else self._x_nd
            return plan  # the family's own fits tell more than small ones (see `bakeoff.families.features.alone`)
        self._loss_v, outcome = before_v, self._tried.pop(EARLIER)
        if stays:
            gain = outcome.removeprefix("kept: ")
            self._tried[EARLIER] = (
                f'not used ({gain}): say [data] history = "{USUAL_HISTORY}" if calls bring the rows of so long before'
            )
        return None

    def _strongest_pasts(
        self, known: Sequence[Column], time: str, rows: NDArray[np.int64], step_s: int, reach_s: int
    ) -> list[Past]:
        """The earlier values of the strongest inputs that trees like best."""
        trees = replace(self._trials, learner="trees")
        own_nd = trees.encoded(self._trials.table, self._columns)
        gain_d = trees.gains(trees.encoded(self._trials.table, known))
        strongest = [known[at].name for at in np.argsort(-gain_d, kind="stable")[:STRONGEST]]
        seasons = self._covers_years(time)
        proposed = [past for name in strongest for past in pasts(name, step_s, reach_s, seasons=seasons)]
        if not proposed:
            return []
        plan = HistoryPlan(features=tuple(proposed), step_s=step_s)
        history = history_of(self._target.table[: self._target.training], self._columns, self._job, plan)
        assert history is not None
        gain_p = trees.gains(np.hstack([own_nd, history.of_training(self._target.table, rows)]))[own_nd.shape[1] :]
        best = np.argsort(-gain_p, kind="stable")[:MOST_EARLIER]
        return [proposed[at] for at in sorted(best.tolist()) if gain_p[at] > 0]

    def _trend(self) -> tuple[TrendKind, str | None]:
        """The trend that helps most, if one does, and the lag that it goes by."""
        job, trials = self._job, self._trials
        best: tuple[TrendKind, str | None] = ("none", None)
        if trials.classes or _time_and_group(job, self._columns)[0] is None:
            return best
        train, value_n = trials.table[: trials.training], trials.value_n[: trials.training]
        lines: tuple[TrendKind, ...] = ("added", "scaled")
        for kind in lines:
            name = f"trend, {kind}"
            trend = None if self._late(name) else _trend(train, value_n, self._columns, job, kind)
            if trend is not None and self._better(name, trials.losses(self._x_nd, trend), errors=TREND_ERRORS):
                best = (kind, None)
        return self._by_level(best, value_n)

    def _by_level(self, best: tuple[TrendKind, str | None], value_n: _Floats) -> tuple[TrendKind, str | None]:
        """That, or the lag that the target is better told from."""
        level, lagged = self._level(), self._lagged
        if level is None or lagged is None:
            return best
        kinds: tuple[TrendKind, ...] = ("from known", "times known")
        for kind in kinds:
            name = f"{kind}: {level}"
            known = Trend.of_lag(lagged[: len(value_n)], value_n, level, scaled=kind == "times known")
            if known is None or self._late(name):
                continue
            if self._better(name, self._trials.losses(self._x_nd, known, lagged), errors=TREND_ERRORS):
                best = (kind, level)
        return best

    def _level(self) -> str | None:
        """The lag that is nearest to the targets of validation rows by itself."""
        if self._lagged is None:
            return None
        cut, value_n = self._trials.training, self._trials.value_n
        errors = {
            name: float(np.mean(np.nan_to_num(self._lagged[name].to_numpy()[cut:] - value_n[cut:], nan=np.inf) ** 2))
            for name in self._lagged.columns
        }
        best = min(errors, key=errors.__getitem__)
        return best if np.isfinite(errors[best]) else None


def standard_error(gain_v: _Floats, order_v: NDArray[np.int64] | None) -> float:
    """Of the mean gain; of rows in an order of time, by how the means of blocks differ."""
    if order_v is None or len(gain_v) < 2 * BLOCKS:
        return float(gain_v.std() / np.sqrt(len(gain_v)))
    means = np.array([block.mean() for block in np.array_split(gain_v[order_v], BLOCKS)])
    return float(means.std(ddof=1) / np.sqrt(BLOCKS))


def _series(names: Sequence[str], value_nd: _Floats) -> "list[pl.Series]":
    import polars as pl

    return [pl.Series(name, value_nd[:, at]) for at, name in enumerate(names)]


def _trial_rows(training: int, rows: int, seed: int) -> NDArray[np.int64]:
    """Positions of the rows to try on, training rows first, each part in its order."""
    rng = np.random.default_rng(seed)
    parts = [(np.arange(training), MOST_ROWS), (np.arange(training, rows), MOST_ROWS // 2)]
    some = [np.sort(rng.permutation(part)[:most]) if len(part) > most else part for part, most in parts]
    return np.concatenate(some)
