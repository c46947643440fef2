"""Baselines of a run: rules that need no model, worked out by one job beside the candidates."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from bakeoff.core import narrow
from bakeoff.core.families import families_code
from bakeoff.core.jobs import ROWS, TABLE, Job, JobResult
from bakeoff.core.refs import BlobRef
from bakeoff.data.periods import period_s
from bakeoff.evaluate.baselines.job import BASELINES, BaselinesArgument, BaselinesValue, read_baselines
from bakeoff.evaluate.decide.yardstick import Baselines
from bakeoff.evaluate.score.text_scores import ENCODING_FAMILY
from bakeoff.evaluate.score.worker import JSON_SCHEMA, OUTCOMES
from bakeoff.loop.cache import Steps, step_key
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, load_table
from bakeoff.loop.evaluate import Judged, outcomes
from bakeoff.loop.fit import run_jobs
from bakeoff.metrics.registry import find
from bakeoff.results.baseline import Baseline

if TYPE_CHECKING:
    from bakeoff.results.verdict import Verdict

__all__ = ["BaselinesStep", "compared", "scaled"]


class BaselinesStep:
    """Every rule that makes sense for the rows, scored on the test rows; none where that failed, which is told.

    The job may work beside others (`job`, `end`); where it has not, it is run when the result is wanted.
    """

    def __init__(self, stage: Stage, steps: Steps, gathered: Gathered) -> None:
        self._stage, self._steps, self.job = stage, steps, _job(stage, gathered)
        encoder = [families_code(ENCODING_FAMILY)] if stage.config.project.task == "generation" else []
        self._key = step_key("baselines", self.job, *encoder)
        self._result, self._error = steps.done(self._key), ""

    @property
    def waits(self) -> bool:
        """Whether the job has not been run yet."""
        return self._result is None and not self._error

    def end(self, ended: JobResult) -> None:
        """Take what came of the job."""
        if ended.value is None:
            self._error = ended.error or "it failed"
            self._stage.progress(f"baselines: not worked out: {self._error}")
        else:
            stored = dict(ended.value) | {"outcomes_blob": ended.outputs[OUTCOMES]}
            self._result = self._steps.publish(self._key, stored)

    def baselines(self) -> Baselines:
        """The rules with their scores, and what they answer."""
        if self.waits:
            self._stage.progress("working out baselines: rules that need no model")
            for ended in run_jobs(self._stage, [self.job]):
                self.end(ended)
        if self._result is None:
            return Baselines(error=self._error)
        value = msgspec.convert(self._result, BaselinesValue)
        blob = narrow.text(self._result["outcomes_blob"])
        predictions = read_baselines(load_table(self._stage.blobs, blob))
        return Baselines(listed=tuple(value.baselines), predictions=predictions, outcomes_blob=blob)


def _job(stage: Stage, gathered: Gathered) -> Job:
    decide, data = stage.config.decide, stage.config.data
    argument = BaselinesArgument(
        task=stage.config.project.task,
        schema=gathered.schema,
        seed=stage.seed,
        resamples=decide.resamples,
        metrics=stage.metrics,
        positive=decide.positive,
        costs=decide.model_dump(mode="json")["costs"],
        encoder=decide.encoder,
        context=tuple(decide.context),
        folds=gathered.folds,
        horizon_s=None if data.horizon is None else period_s(data.horizon),
    )
    inputs = {TABLE: BlobRef(gathered.table_blob), ROWS: BlobRef(gathered.rows_blob), **stage.own_metrics}
    if stage.json_schema is not None:
        inputs[JSON_SCHEMA] = BlobRef(stage.blobs.put(stage.json_schema))
    return Job(
        name="baselines",
        function=BASELINES,
        argument=argument,
        inputs=inputs,
        outputs=(OUTCOMES,),
        requires=("numpy", "polars", "scipy", "scikit-learn"),
        modules=("numpy", "polars", "scipy"),  # scikit-learn for the nearest text alone
    )


def compared(listed: Sequence[Baseline], decision: "Verdict") -> tuple[Baseline, ...]:
    """The baselines with how the winner (or who would have won) stands to each."""
    against = {each.versus: each for each in decision.beside_baselines}
    return tuple(replace(each, comparison=against.get(each.name)) for each in listed)


def scaled(stage: Stage, gathered: Gathered, decision: "Verdict", judged: Sequence[Judged]) -> "Verdict":
    """The decision with how much the value of its winner (or its best) is."""
    from bakeoff.evaluate.decide.scale import scale

    name = decision.winner or (decision.yardstick.candidate if decision.yardstick else decision.best)
    entry = next((each for each in judged if each.name == name), None)
    if entry is None or entry.scorecard is None:
        return decision
    truth_n, _ = outcomes(stage, entry)
    units = gathered.schema.column(gathered.schema.target).format.units
    sentence = scale(
        decision,
        entry.scorecard,
        truth_n,
        find(stage.metric, stage.config.project.task),
        unit=units[0] if units else "",
    )
    return replace(decision, scale=sentence)
