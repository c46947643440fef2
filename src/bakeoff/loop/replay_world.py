"""The past of a project for replays: a model for each cut, by the steps of a run; nothing is registered or released."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.core.errors import DataError
from bakeoff.core.events import Cursor, PredictionEvent, Reading
from bakeoff.core.families import load_family
from bakeoff.core.types import Predictions
from bakeoff.data.cast import conform
from bakeoff.loop.bake_off import compete
from bakeoff.loop.cache import Steps
from bakeoff.loop.champion import Standing, margin_beside, told
from bakeoff.loop.classes import with_classes
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, gather, load_arrays, load_table
from bakeoff.loop.evaluate import Judged, groups, hashes_of_test, outcomes, times
from bakeoff.loop.fit import Fitted
from bakeoff.loop.release import monitoring_reference
from bakeoff.loop.replay import ReplayContest, ReplayPeriod, ReplayValue
from bakeoff.loop.replay_data import PastRows
from bakeoff.loop.ship import on_all_that_is_known
from bakeoff.metrics.registry import find

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.config.sections import MonitorConfig
    from bakeoff.core.protocols import Model
    from bakeoff.evaluate.decide.verdict import Comparison
    from bakeoff.metrics.intervals import Interval
    from bakeoff.monitor.signals import MonitorReport

__all__ = ["Past"]

HOUR_S = 3600
ENDPOINT = RELEASE = "replay"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cut:
    """A model of the past: the stage and rows that it was made with, the winner, what is shipped of it, what it cost.

    `winner` is None where no candidate won: then no model takes the champion's place.
    """

    stage: Stage
    gathered: Gathered
    winner: Judged | None
    shipped: Fitted | None
    value: "Interval | None"
    reason: str
    seconds: float


class Past:
    """The past of a project (`ReplayWorld`): everything is worked out when it is first needed, and once.

    Args:
        stage: the project's; its stores keep the steps, so that the same replay again trains nothing.
        rows: the past.
    """

    def __init__(self, stage: Stage, rows: PastRows) -> None:
        self._stage, self._rows = stage, rows
        self._steps = Steps.of(stage)
        self._cuts: dict[int, _Cut] = {}
        self._models: dict[int, Model] = {}
        self._predicted: dict[tuple[int, int], Predictions] = {}
        self._values: dict[tuple[int, int], ReplayValue] = {}
        self._differences: dict[tuple[int, int, int], ReplayValue] = {}
        self._reports: dict[tuple[int, int, str], MonitorReport] = {}
        self._contests: dict[tuple[int, int, float], Comparison | None] = {}

    @property
    def periods(self) -> tuple[ReplayPeriod, ...]:
        """The replayed periods, oldest first."""
        return self._rows.periods

    @property
    def metric(self) -> str:
        """The metric that decides."""
        return self._cut(0).stage.metric

    @property
    def higher_is_better(self) -> bool:
        """Of the metric."""
        return self._measure.higher_is_better

    @cached_property
    def _measure(self) -> Any:
        return find(self.metric, self._rows.task)

    def cost(self, model: int) -> tuple[float, float]:
        """Seconds of its fits, and what they cost at the price of the machine."""
        seconds = self._cut(model).seconds
        return seconds, seconds / HOUR_S * self._stage.config.cost.price_per_hour_usd

    def won(self, model: int) -> bool:
        """Whether some candidate won at that cut, so that there is such a model."""
        return self._cut(model).winner is not None

    def quality(self, model: int, period: int) -> ReplayValue:
        """How good a model is in a period."""
        if (model, period) not in self._values:
            self._values[model, period] = self._estimated(model, period)
        return self._values[model, period]

    def _estimated(self, model: int, period: int) -> ReplayValue:
        from bakeoff.evaluate.score.estimates import ScoredRows, estimate
        from bakeoff.metrics.dependence import Dependence
        from bakeoff.metrics.outcome import outcome

        rows = self._rows.rows_of(period)
        scored = outcome(self._rows.truth_of(rows), self._predictions(model, period), self._rows.task)
        together = Dependence.of(len(rows), **self._together(rows))
        interval = estimate(self._measure, ScoredRows(outcome=scored, dependence=together, seed=self._stage.seed))
        if interval is None:
            name = self.periods[period].name
            raise DataError(f"{self.metric} is undefined on the rows of {name}: replay longer periods (--every)")
        low, high = interval.low, interval.high
        return ReplayValue(
            value=interval.value,
            low=interval.value if low is None else low,
            high=interval.value if high is None else high,
        )

    def _together(self, rows: "pl.DataFrame") -> dict[str, Any]:
        data = self._rows.data
        time = None if data.time is None else rows[data.time].to_physical().to_numpy()
        return {"groups_n": None if data.group is None else rows[data.group].to_list(), "time_n": time}

    def beside(self, model: int, other: int, period: int) -> ReplayValue:
        """By how much a model is better than another one in a period; positive is better."""
        from bakeoff.evaluate.decide.paired import compare

        if model == other:
            return ReplayValue(value=0.0, low=0.0, high=0.0)
        key = (model, other, period)
        if key not in self._differences:
            rows = self._rows.rows_of(period)
            pair = (self._predictions(model, period), self._predictions(other, period))
            settings = {"seed": self._stage.seed, "resamples": self._stage.config.decide.resamples}
            task, truth_n = self._rows.task, np.asarray(self._rows.truth_of(rows))
            each = compare(truth_n, *pair, self.metric, task=task, **settings, **self._together(rows))
            self._differences[key] = ReplayValue(value=each.difference, low=each.low, high=each.high)
        return self._differences[key]

    def report(self, model: int, period: int, config: "MonitorConfig") -> "MonitorReport":
        """What monitoring sees in the rows of a period, all labelled, that a model answered."""
        key = (model, period, config.model_dump_json())
        if key not in self._reports:
            self._reports[key] = self._observed(model, period, config)
        return self._reports[key]

    def _observed(self, model: int, period: int, config: "MonitorConfig") -> "MonitorReport":
        import polars as pl

        from bakeoff.monitor.observe import observe
        from bakeoff.monitor.reference import from_bytes

        cut = self._cut(model)
        assert cut.winner is not None, "only winners serve"
        end_ms = self.periods[period].end_ms
        rows, predictions = self._rows.rows_of(period), self._predictions(model, period)
        reference = monitoring_reference(cut.stage, self._steps, cut.gathered, cut.winner, cut.value)
        signature = self._model(model).signature
        given = rows.select(column.name for column in signature.inputs if column.name in rows.columns)
        return observe(
            _Answered(rows, predictions, end_ms - 1),  # pyright: ignore[reportArgumentType] - only `read` is called
            ENDPOINT,
            signature=signature,
            reference=from_bytes(cut.stage.blobs.get(reference)),
            config=config,
            truth=self._rows.truth_of(rows, self._rows.data.target),
            said=predictions,
            rows=given.with_columns(pl.selectors.temporal().cast(pl.String)).to_dicts(),
            days=self._days(rows),
            release_id=RELEASE,
            since_ms=0,
            until_ms=end_ms,
            seed=self._stage.seed,
        )

    def _days(self, rows: "pl.DataFrame") -> list[int]:
        """On which day each row happened; nothing where that is not known."""
        import polars as pl

        name = self._rows.data.time
        if name is None or not rows[name].dtype.is_temporal():
            return []
        return rows[name].cast(pl.Date).to_physical().fill_null(-1).to_list()

    def contest(self, model: int, champion: int, anchor: int, attempt: int) -> ReplayContest:
        """How the winner of a cut stands beside champion and anchor, on its test rows that these have not seen."""
        from bakeoff.evaluate.decide.looks import look_level
        from bakeoff.evaluate.decide.verdict import takes_over

        cut, decide = self._cut(model), self._stage.config.decide
        if cut.winner is None:
            return ReplayContest(promoted=False, raises=False, reason=f"no winner: {cut.reason}")
        margin, reasons = margin_beside(cut.stage, cut.winner), list[str]()
        promoted, raises = True, False
        for other in dict.fromkeys((champion, anchor)):
            compared = self._compared(model, other, look_level(attempt))
            if compared is None:
                reasons.append(f"model {other} has seen every test row")
                promoted = False
                continue
            holds = takes_over(compared, decide, margin)
            promoted, raises = promoted and holds, compared.superior
            standing = Standing(champion=f"model {other}", comparison=compared, rows=self._fair(model, other).sum())
            reasons.append(told(standing, decide, margin=margin, holds=holds))
        return ReplayContest(promoted=promoted, raises=raises and promoted, reason="; ".join(reasons))

    def _fair(self, model: int, other: int) -> Any:
        """Which test rows of a cut another model was not fitted on."""
        cut, known = self._cut(model), self._cut(other)
        seen = load_arrays(self._stage.blobs, known.gathered.hashes_blob)
        if known.shipped is None and not known.gathered.folds:
            parts = load_arrays(self._stage.blobs, known.gathered.rows_blob)
            seen = seen[np.concatenate([parts["train"], parts["validation"]])]
        return ~np.isin(hashes_of_test(cut.stage, cut.gathered), seen)

    def _compared(self, model: int, other: int, level: float) -> "Comparison | None":
        from bakeoff.evaluate.decide.paired import compare

        key = (model, other, level)
        if key not in self._contests:
            cut, fair_n = self._cut(model), self._fair(model, other)
            if not fair_n.any():
                self._contests[key] = None
                return None
            assert cut.winner is not None, "it was asked for"
            truth_n, ours = outcomes(cut.stage, cut.winner)
            at = load_arrays(self._stage.blobs, cut.gathered.rows_blob)
            snapshot = load_table(self._stage.blobs, cut.gathered.snapshot_blob)
            theirs = self._answers(other, snapshot[at["kept"][at["test"]]])
            group_n, time_n = groups(cut.stage, cut.gathered), times(cut.stage, cut.gathered)
            self._contests[key] = compare(
                truth_n[fair_n],
                ours.take(fair_n),
                theirs.take(fair_n),
                self.metric,
                seed=self._stage.seed,
                resamples=self._stage.config.decide.resamples,
                groups_n=None if group_n is None else group_n[fair_n],
                time_n=None if time_n is None else time_n[fair_n],
                level=level,
                task=self._rows.task,
            )
        return self._contests[key]

    def _predictions(self, model: int, period: int) -> Predictions:
        if (model, period) not in self._predicted:
            self._predicted[model, period] = self._answers(model, self._rows.rows_of(period))
        return self._predicted[model, period]

    def _answers(self, model: int, rows: "pl.DataFrame") -> Predictions:
        """What a model says of rows as they came, prepared as a server prepares them."""
        from bakeoff.prepare.steps import preparation

        loaded = self._model(model)
        columns = loaded.signature.inputs
        prepared = preparation(tuple(self._stage.config.prepare.specs)).apply_columns(conform(rows, columns), columns)
        return loaded.predict(prepared)

    def _model(self, model: int) -> "Model":
        if model not in self._models:
            cut = self._cut(model)
            assert cut.winner is not None, "only winners answer"
            fitted = cut.shipped or cut.winner.fitted
            with tempfile.TemporaryDirectory(dir=self._stage.work) as scratch:
                folder = Path(scratch) / "model"
                self._stage.blobs.fetch(str(fitted.tree_blob), folder)
                family = load_family(fitted.contender.family_name)
                self._models[model] = family.load(folder, self._stage.compute.threads or 1)
        return self._models[model]

    def _cut(self, model: int) -> _Cut:
        if model not in self._cuts:
            before = "the first model" if not model else f"a model at the end of {self.periods[model - 1].name}"
            self._stage.progress(f"replay: {before}")
            self._cuts[model] = self._trained(model)
            if model == 0 and self._cuts[0].winner is None:
                raise DataError(
                    f"expected a winner on the rows before {self.periods[0].name}, found none: "
                    f"{self._cuts[0].reason}; begin later (--start), or look at the gates"
                )
        return self._cuts[model]

    def _trained(self, model: int) -> _Cut:
        stage = self._stage
        file = stage.work / f"replay-{model}.parquet"
        self._rows.write_known(model, file)
        data = self._rows.reading_of(file)
        stage = replace(stage, config=stage.config.model_copy(update={"data": data}), with_feedback=False)
        gathered = gather(stage, self._steps)
        stage = with_classes(stage, gathered)
        competition = compete(stage, self._steps, gathered)
        winner, decision = competition.entry(competition.decision.winner), competition.decision
        shipped = None if winner is None else on_all_that_is_known(stage, self._steps, gathered, winner)[0]
        fits = [each.fitted.train_s for each in competition.judged if not each.fitted.members]
        return _Cut(
            stage=stage,
            gathered=gathered,
            winner=winner,
            shipped=shipped,
            value=decision.value,
            reason=decision.reason,
            seconds=sum(fits) + (shipped.train_s if shipped else 0.0),
        )


class _Answered:
    """The answers of a period as the event log would have them."""

    def __init__(self, rows: "pl.DataFrame", predictions: Predictions, time_ms: int) -> None:
        self._rows, self._predictions, self._time_ms = rows, predictions, time_ms

    def read(self, *_: object, **__: object) -> Reading[PredictionEvent]:
        """All of them."""
        return Reading(self._events(), lambda: Cursor(""))

    def _events(self) -> Iterator[PredictionEvent]:
        says = self._predictions
        text = says.probabilities_nk is not None or says.values_n.dtype.kind in "UO"
        shares = says.probabilities_nk
        for at, row in enumerate(self._rows.iter_rows(named=True)):
            answer = says.values_n[at].item()
            probabilities: Mapping[str, float] | None = None
            if shares is not None:
                probabilities = dict(zip(says.classes, shares[at].tolist(), strict=True))
            yield PredictionEvent(
                id=str(at),
                endpoint=ENDPOINT,
                release_id=RELEASE,
                model_version=RELEASE,
                row=row,
                label=answer if text else None,
                value=None if text else answer,
                probabilities=probabilities,
                time_ms=self._time_ms,
            )
