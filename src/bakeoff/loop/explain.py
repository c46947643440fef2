"""After the verdict: why candidates answer as they do, and what more rows would bring, in a share of the run's time."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from bakeoff.core.errors import BakeoffError
from bakeoff.core.jobs import MODEL, ROWS, TABLE, Job
from bakeoff.core.refs import BlobRef
from bakeoff.core.types import Json
from bakeoff.evaluate.explain.worker import EXPLAIN, ExplainArgument
from bakeoff.evaluate.score.worker import OUTCOMES, model_of_fold
from bakeoff.loop.cache import Result, Steps, step_key
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.loop.evaluate import Judged, groups, outcomes, times
from bakeoff.loop.fit import Fitted, job_of, run_jobs
from bakeoff.results.explanation import Explanation, LearningCurve, Skipped
from bakeoff.results.verdict import Verdict
from bakeoff.train.learning import LEARN, LEARNED, LearnArgument, read_fits

if TYPE_CHECKING:
    from bakeoff.results.scorecard import Scorecard

__all__ = ["expected_s", "explanations"]

SHARE, LEAST_S, MOST_S = 0.15, 0.15, 20.0
"""Of the time that fits took, for the winner's explanation, and as much for all others together; and limits of each."""
LEARNING = 2.0
"""How many times as long the fits of the winner's learning curve may take; or as long as its own fit, if longer."""
FAST_ROWS_S = 2000.0
"""Rows a second that a candidate must predict to be explained though it did not win."""
LEARNING_CURVE = "learning curve of "
STATIC = "nothing in it, or not all, learns from rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What is to be worked out: its job, the key of its step, and about how long it takes."""

    job: Job
    key: str
    seconds: float

    @property
    def name(self) -> str:
        return self.job.name


def explanations(
    stage: Stage, steps: Steps, gathered: Gathered, judged: Sequence[Judged], decision: Verdict
) -> tuple[Explanation, ...]:
    """Explanations of the winner (or the best) and, where that is cheap, of the others; the winner's has its curve.

    What the run's budget leaves no time for is left out, and says so.
    """
    decide, task = stage.config.decide, stage.config.project.task
    first = decision.winner or decision.best
    if decide.explain == "none" or not decide.findings or task == "generation":
        return ()
    fine = [each for each in judged if each.scorecard is not None and each.outcomes_blob is not None]
    ordered = sorted(fine, key=lambda each: each.name != first)
    fits_s = sum(_work_s(each.fitted) for each in fine)
    aside = {each.name: why for each in ordered if (why := _aside(each, first, winner_only=decide.explain == "winner"))}
    wanted = [each for each in ordered if each.name not in aside]
    limit_s, others_s = _limits_s(sum(each.name != first for each in wanted), fits_s)
    parts = [_explaining(stage, gathered, each, limit_s if each.name == first else others_s) for each in wanted]
    if wanted and wanted[0].name == first and wanted[0].fitted.contender.learns:
        parts.insert(1, _learning(stage, gathered, wanted[0], limit_s))
    done, reasons = _worked_out(stage, steps, parts)
    made: list[Explanation] = []
    for each in ordered:
        result = done.get(each.name)
        if result is None:
            made.append(_none(each.name, stage.metric, aside.get(each.name) or reasons.get(each.name, "")))
            continue
        explanation = msgspec.convert(result, Explanation)
        if each.name == first:
            name = LEARNING_CURVE + each.name
            explanation = _with_curve(stage, gathered, each, explanation, done.get(name) or reasons.get(name, STATIC))
        made.append(explanation)
    return tuple(made)


def _work_s(fitted: Fitted) -> float:
    """The time of its fits; what else a busy machine did then makes no explanation longer."""
    return fitted.train_s if fitted.work_s is None else fitted.work_s


def expected_s(candidates: int, fits_s: float) -> float:
    """About how long explanations of so many candidates take one after the other, whose fits took so long together."""
    first_s, others_s = _limits_s(candidates - 1, fits_s)
    return (1 + LEARNING) * first_s + (candidates - 1) * others_s


def _limits_s(others: int, fits_s: float) -> tuple[float, float]:
    """The time for the first explanation, and for each of so many others."""
    first_s, other_s = (min(MOST_S, max(LEAST_S, SHARE * each)) for each in (fits_s, fits_s / max(1, others)))
    return first_s, other_s


def _worked_out(stage: Stage, steps: Steps, parts: Sequence[_Part]) -> tuple[dict[str, Result], dict[str, str]]:
    """The results, by the names of jobs, and why others have none: an error, or no time."""
    done = {part.name: result for part in parts if (result := steps.done(part.key)) is not None}
    waiting, reasons = _in_time(stage, [part for part in parts if part.name not in done])
    for result in run_jobs(stage, [part.job for part in waiting.values()]):
        if result.value is None:
            stage.progress(f"{result.name}: not explained: {result.error}")
            reasons[result.name] = result.error or ""
        else:
            outputs = {"learned_blob": result.outputs[LEARNED]} if LEARNED in result.outputs else {}
            done[result.name] = steps.publish(waiting[result.name].key, {**result.value, **outputs})
    return done, reasons


def _in_time(stage: Stage, parts: Sequence[_Part]) -> tuple[dict[str, _Part], dict[str, str]]:
    """The parts that fit into the run's time, the first ones first, and why the others do not."""
    left_s, needed_s = stage.time.left_s, 0.0
    fitting: dict[str, _Part] = {}
    reasons: dict[str, str] = {}
    for part in parts:
        with_it_s = needed_s + part.seconds / stage.at_once
        if with_it_s <= left_s:
            needed_s = with_it_s
            fitting[part.name] = part
            continue
        reasons[part.name] = why = (
            f"the run's time is up ({left_s:.1f} s were left): bakeoff run --budget gives it more"
        )
        stage.progress(f"{part.name}: not explained: {why}")
    return fitting, reasons


def _aside(judged: Judged, first: str | None, *, winner_only: bool) -> str | None:
    """Why a candidate is not explained, if it is not."""
    if judged.findings.get("usage"):
        return "each answer is paid for; 'bakeoff explain --paid' asks all the same"
    if judged.name == first:
        return None
    if winner_only:
        return "[decide] explain names the winner alone"
    card: Scorecard | None = judged.scorecard
    assert card is not None
    if card.throughput_rows_s < FAST_ROWS_S:
        return (
            f"it did not win, and predicts {card.throughput_rows_s:,.0f} rows a second, of {FAST_ROWS_S:,.0f} asked for"
        )
    return None


def _none(name: str, metric: str, reason: str) -> Explanation:
    return Explanation(
        candidate=name, metric=metric, rows=0, seconds=0.0, limit_s=0.0, skipped=(Skipped(part="all", reason=reason),)
    )


def _explaining(stage: Stage, gathered: Gathered, judged: Judged, limit_s: float) -> _Part:
    fitted, decide = judged.fitted, stage.config.decide
    assert judged.scorecard is not None
    argument = ExplainArgument(
        candidate=judged.name,
        family=fitted.contender.family_name,
        task=stage.config.project.task,
        schema=gathered.schema,
        metric=stage.metric,
        seed=stage.seed,
        limit_s=limit_s,
        rows_per_s=judged.scorecard.throughput_rows_s,
        positive=stage.positive.name if stage.positive else None,
        costs=decide.model_dump(mode="json")["costs"],
        folds=len(fitted.folds),
        remote=stage.config.privacy.remote,
    )
    inputs = {
        MODEL: BlobRef(fitted.tree_blob or ""),
        TABLE: BlobRef(gathered.table_blob),
        ROWS: BlobRef(gathered.rows_blob),
        OUTCOMES: BlobRef(judged.outcomes_blob or ""),
        **{model_of_fold(fold): BlobRef(tree) for fold, tree in enumerate(fitted.folds)},
        **stage.own_metrics,
    }
    job = Job(
        name=judged.name,
        function=EXPLAIN,
        argument=argument,
        inputs=inputs,
        requires=fitted.contender.requires,
        modules=fitted.contender.modules or None,
    )
    return _Part(job=job, key=step_key("explain", job, fitted.contender.code), seconds=limit_s)


def _learning(stage: Stage, gathered: Gathered, judged: Judged, limit_s: float) -> _Part:
    """The fits on parts of the rows. With folds, training took a fit for each, and one of all rows."""
    fitted = judged.fitted
    whole_s = _work_s(fitted) / (len(fitted.folds) + len(fitted.again) + 1)
    longest_s = max(LEARNING * limit_s, min(MOST_S, whole_s))
    fit = job_of(stage, gathered, fitted.contender)
    given = msgspec.structs.asdict(fit.argument)
    argument = LearnArgument(**given, all_fits_s=longest_s, whole_s=whole_s, folds=len(fitted.folds))
    name = LEARNING_CURVE + judged.name
    job = replace(fit, name=name, function=LEARN, argument=argument, outputs=(LEARNED,))
    return _Part(job=job, key=step_key("learn", job, fitted.contender.code), seconds=longest_s)


def _with_curve(
    stage: Stage, gathered: Gathered, judged: Judged, explanation: Explanation, result: Result | str
) -> Explanation:
    """The explanation with its learning curve, or with why there is none (`result`, if that is known before)."""
    try:
        curve, why = (None, result) if isinstance(result, str) else _curve(stage, gathered, judged, result)
    except BakeoffError as error:  # of what is released already; such as a metric that its answers have no numbers for
        curve, why = None, str(error)
    if curve is not None:
        explanation = replace(explanation, learning=curve)
    if why is None:
        return explanation
    return replace(explanation, skipped=(*explanation.skipped, Skipped(part="learning curve", reason=why)))


def _fitted_rows(gathered: Gathered) -> int:
    """How many rows the fit had that test rows were predicted by."""
    rows, folds = gathered.summary.train + gathered.summary.validation, gathered.folds
    return rows - rows // folds if folds else rows


def _curve(stage: Stage, gathered: Gathered, judged: Judged, result: Result) -> tuple[LearningCurve | None, str | None]:
    import numpy as np

    from bakeoff.evaluate.explain.learning import Fits, learning_curve
    from bakeoff.evaluate.explain.rows import units
    from bakeoff.metrics.registry import find

    stopped: Json = result.get("stopped")
    by_rows: dict[int, Fits] = {}
    shares: dict[float, int] = {}
    with np.load(io.BytesIO(stage.blobs.get(str(result["learned_blob"]))), allow_pickle=False) as stored:
        for fit in read_fits(stored):
            rows = shares.setdefault(fit.share, fit.rows)  # draws of groups differ by a few rows
            by_rows[rows] = (*by_rows.get(rows, ()), (fit.tested_n, fit.predictions))
    truth_n, whole = outcomes(stage, judged)
    curve = learning_curve(
        by_rows,
        _fitted_rows(gathered),
        truth_n,
        whole,
        find(stage.metric, stage.config.project.task),
        unit_n=units(len(truth_n), groups(stage, gathered), times(stage, gathered)),
        seed=stage.seed,
    )
    if curve is None or curve.more is None:
        return curve, str(stopped) if stopped else "parts of the rows are too few to fit"
    return curve, None
