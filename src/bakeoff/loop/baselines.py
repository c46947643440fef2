"""Baselines of a run: rules that need no model, worked out by one job beside the candidates."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from bakeoff.core import narrow
from bakeoff.core.families import families_code
from bakeoff.core.jobs import ROWS, TABLE, Job
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

__all__ = ["baselines", "compared", "scaled"]


def baselines(stage: Stage, steps: Steps, gathered: Gathered) -> Baselines:
    """Every rule that makes sense for the rows, scored on the test rows; none where that failed, which is told."""
    job = _job(stage, gathered)
    encoder = [families_code(ENCODING_FAMILY)] if stage.config.project.task == "generation" else []
    key = step_key("baselines", job, *encoder)
    result = steps.done(key)
    if result is None:
        stage.progress("working out baselines: rules that need no model")
        (ended,) = run_jobs(stage, [job])
        if ended.value is None:
            stage.progress(f"baselines: not worked out: {ended.error}")
            return Baselines(error=ended.error or "it failed")
        result = steps.publish(key, dict(ended.value) | {"outcomes_blob": ended.outputs[OUTCOMES]})
    value = msgspec.convert(result, BaselinesValue)
    blob = narrow.text(result["outcomes_blob"])
    predictions = read_baselines(load_table(stage.blobs, blob))
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
