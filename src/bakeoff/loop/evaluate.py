"""Evaluate every model on the same test rows, and decide."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bakeoff.core.errors import OutOfBudget
from bakeoff.core.families import families_code
from bakeoff.core.hashing import digest_json
from bakeoff.core.jobs import MODEL, ROWS, TABLE, Job, JobResult
from bakeoff.core.records import Version
from bakeoff.core.refs import BlobRef
from bakeoff.core.types import Json, Predictions
from bakeoff.data.splits import FEW_ROWS
from bakeoff.evaluate.score.row_groups import groups_of_test
from bakeoff.evaluate.score.text_scores import ENCODING_FAMILY
from bakeoff.evaluate.score.worker import (
    EVALUATE,
    JSON_SCHEMA,
    OUTCOMES,
    SAFETY,
    EvaluateArgument,
    EvaluateValue,
    model_of_fold,
    read_again,
    read_outcomes,
)
from bakeoff.loop.cache import Result, Steps, step_key
from bakeoff.loop.context import Contender, Stage
from bakeoff.loop.dataset import Gathered, load_arrays, load_table
from bakeoff.loop.expect import dear
from bakeoff.loop.fit import Fitted, run_jobs
from bakeoff.loop.looks import GATES, Look, next_look, record
from bakeoff.loop.safety import probes
from bakeoff.results.scorecard import Scorecard
from bakeoff.results.search import OutOfTime

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.evaluate.decide.verdict import Verdict
    from bakeoff.evaluate.decide.yardstick import Baselines

__all__ = [
    "CHAMPION",
    "Judged",
    "evaluate",
    "groups",
    "hashes_of_test",
    "judge_champion",
    "outcomes",
    "times",
    "verdict",
]

CHAMPION = "champion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A fitted candidate with its scorecard and kept per-row outcomes; or the error that ended it.

    `findings` are what `bakeoff.evaluate.findings` says beside the scorecard, `fold_metrics` the metrics' values on the
    rows of each fold.
    """

    fitted: Fitted
    key: str = ""
    scorecard: Scorecard | None = None
    outcomes_blob: str | None = None
    findings: Mapping[str, Json] = field(default_factory=dict[str, Json])
    fold_metrics: Mapping[str, Sequence[float | None]] | None = None
    error: str | None = None
    traceback: str | None = None
    out_of_budget: OutOfBudget | None = None

    @property
    def left_out(self) -> OutOfTime | OutOfBudget | None:
        """Which budget ended it before it had a scorecard, if one has; then nothing failed."""
        return self.fitted.left_out or self.out_of_budget

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.fitted.contender.name


def evaluate(
    stage: Stage,
    steps: Steps,
    gathered: Gathered,
    fitted: Sequence[Fitted],
    *,
    beside: tuple[Job, Callable[[JobResult], None]] | None = None,
) -> list[Judged]:
    """Scorecards of all that were fitted.

    Latency is measured: of many rows, and of models that take all of a machine, one job works at a time; else jobs work
    beside each other, and wait while one of them measures. Then `beside` does so, too, a job with who takes its result.
    """
    jobs = {fit.contender.name: _job(stage, gathered, fit) for fit in fitted if fit.tree_blob is not None}
    errors = {
        fit.contender.name: _Error(fit.error or "not fitted", fit.traceback) for fit in fitted if fit.tree_blob is None
    }
    keys = {
        fit.contender.name: step_key("evaluate", jobs[fit.contender.name], fit.contender.code, *_encoder_code(stage))
        for fit in fitted
        if fit.contender.name in jobs
    }
    done: dict[str, Result | None] = {name: steps.done(key) for name, key in keys.items()}
    exclusive = gathered.test_rows >= FEW_ROWS or dear(stage)
    waiting = [job for name, job in jobs.items() if done[name] is None]
    other = None if beside is None or exclusive or beside[0].name in jobs else beside[0]
    for result in run_jobs(stage, waiting if other is None else [*waiting, other], exclusive=exclusive):
        if beside is not None and other is not None and result.name == other.name:
            beside[1](result)
        elif result.value is None:
            why = result.out_of_budget
            told = f"could not be evaluated: {result.error}" if why is None else why.sentence
            stage.progress(f"{result.name}: {told}")
            errors[result.name] = _Error(result.error or "", result.traceback, why)
        else:
            kept = dict(result.value) | {"outcomes_blob": result.outputs[OUTCOMES]}
            done[result.name] = steps.publish(keys[result.name], kept)
    return [_judged(fit, keys.get(fit.contender.name, ""), done.get(fit.contender.name), errors) for fit in fitted]


def _encoder_code(stage: Stage) -> list[str]:
    """That of the family whose sentence encoder compares generated texts: it is found by name, not imported."""
    return [families_code(ENCODING_FAMILY)] if stage.config.project.task == "generation" else []


def _job(stage: Stage, gathered: Gathered, fit: Fitted) -> Job:
    """The job that evaluates a model; nobody reads the champion's findings again, and it has seen other rows."""
    decide, cost, champion = stage.config.decide, stage.config.cost, fit.contender.name == CHAMPION
    asked = probes(stage, gathered)
    argument = EvaluateArgument(
        family=fit.contender.family_name,
        task=stage.config.project.task,
        schema=gathered.schema,
        seed=stage.seed,
        resamples=decide.resamples,
        train_s=fit.train_s,
        size_bytes=fit.size_bytes,
        metric=stage.metric,
        metrics=stage.metrics,
        positive=decide.positive,
        costs=decide.model_dump(mode="json")["costs"],
        encoder=decide.encoder,
        context=tuple(decide.context),
        price_per_hour_usd=cost.price_per_hour_usd / cost.utilisation,
        findings=decide.findings and not champion,
        own_turns=decide.own_turns,
        memorisation=0 if champion or fit.members else decide.memorisation,  # members tell for themselves
        probes=asked[1] if asked else (),
        folds=len(fit.folds),
        repeats=1 + len(fit.again) // max(1, len(fit.folds)),
        remote=stage.config.privacy.remote,
    )
    inputs = {
        MODEL: BlobRef(fit.tree_blob or ""),
        TABLE: BlobRef(gathered.table_blob),
        ROWS: BlobRef(gathered.rows_blob),
        **{model_of_fold(fold): BlobRef(tree) for fold, tree in enumerate((*fit.folds, *fit.again))},
        **stage.own_metrics,
    }
    if stage.json_schema is not None:
        inputs[JSON_SCHEMA] = BlobRef(stage.blobs.put(stage.json_schema))
    if asked is not None:
        buffer = io.BytesIO()
        asked[0].write_parquet(buffer)
        inputs[SAFETY] = BlobRef(stage.blobs.put(buffer.getvalue()))
    return Job(
        name=fit.contender.name,
        function=EVALUATE,
        argument=argument,
        inputs=inputs,
        outputs=(OUTCOMES,),
        requires=fit.contender.requires,
        modules=fit.contender.modules or None,
    )


class _Error(NamedTuple):
    """What ended a candidate before it had a scorecard."""

    error: str
    traceback: str | None = None
    out_of_budget: OutOfBudget | None = None


def _judged(fit: Fitted, key: str, result: Result | None, errors: Mapping[str, _Error]) -> Judged:
    if result is None:
        error = errors[fit.contender.name]
        return Judged(fitted=fit, error=error.error, traceback=error.traceback, out_of_budget=error.out_of_budget)
    value = msgspec.convert(result, EvaluateValue)
    return Judged(
        fitted=fit,
        key=key,
        scorecard=Scorecard.from_json(value.scorecard),
        outcomes_blob=str(result["outcomes_blob"]),
        findings=value.findings,
        fold_metrics=value.fold_metrics,
    )


def outcomes(stage: Stage, judged: Judged) -> "tuple[Any, Predictions]":
    """The kept per-row outcomes of a candidate: truth and predictions, in the order of the test rows."""
    assert judged.outcomes_blob is not None
    return read_outcomes(load_table(stage.blobs, judged.outcomes_blob))


def outcomes_again(stage: Stage, judged: Judged) -> "tuple[Predictions, ...]":
    """What its models of folds that were dealt anew said of the same rows, in turn."""
    assert judged.outcomes_blob is not None
    return read_again(load_table(stage.blobs, judged.outcomes_blob))


def groups(stage: Stage, gathered: Gathered) -> "Any | None":
    """What each test row goes together with, in their order, as a code; None where every row is on its own."""
    column, rows = gathered.schema.group, load_arrays(stage.blobs, gathered.rows_blob)
    group = None if column is None else _of_test_rows(stage, gathered, column)
    return groups_of_test(group, rows, by_time=gathered.schema.time is not None)


def times(stage: Stage, gathered: Gathered) -> "Any | None":
    """When each test row happened, as numbers; None when the project names no column of times."""
    column = gathered.schema.time
    return None if column is None else _of_test_rows(stage, gathered, column).to_physical().to_numpy()


def _of_test_rows(stage: Stage, gathered: Gathered, column: str) -> "pl.Series":
    table = load_table(stage.blobs, gathered.table_blob, [column])
    return table[column][load_arrays(stage.blobs, gathered.rows_blob)["test"]]


def verdict(
    stage: Stage, gathered: Gathered, judged: Sequence[Judged], baselines: "Baselines | None" = None
) -> "Verdict":
    """The decision over all scorecards, and beside the baselines.

    Where gates ask for confidence, the look at the test rows is paid for.
    """
    from bakeoff.evaluate.decide.verdict import decide

    fine = {entry.name: entry for entry in judged if entry.scorecard is not None}
    look = _gate_look(stage, gathered, judged)
    decision = decide(
        {name: entry.scorecard for name, entry in fine.items() if entry.scorecard is not None},
        {name: outcomes(stage, entry) for name, entry in fine.items()},
        stage.config.decide,
        stage.config.project.task,
        stage.seed,
        groups_n=groups(stage, gathered),
        time_n=times(stage, gathered),
        folds=gathered.folds,
        again={name: outcomes_again(stage, entry) for name, entry in fine.items()},
        look=None if look is None else look.number,
        baselines=baselines,
    )
    if look is not None:
        kept_out = {each.candidate for each in decision.gates if each.confidence is not None and not each.passed}
        record(
            stage.records.documents,
            stage.config.project.name,
            look,
            hashes_of_test(stage, gathered),
            passed=bool(fine.keys() - kept_out),
        )
    return decision


def _gate_look(stage: Stage, gathered: Gathered, judged: Sequence[Judged]) -> Look | None:
    """The look of these models at the test rows, if gates with a confidence are held against them."""
    gates = {name: each.model_dump() for name, each in stage.config.decide.gates.items() if each.confidence is not None}
    if not gates:
        return None
    return next_look(
        stage.records.documents,
        stage.config.project.name,
        model=digest_json([sorted(each.fitted.tree_blob or each.name for each in judged), gates]),
        champion=GATES,
        hashes_n=hashes_of_test(stage, gathered),
    )


def hashes_of_test(stage: Stage, gathered: Gathered) -> Any:
    """The hashes of the test rows, in their order."""
    return load_arrays(stage.blobs, gathered.hashes_blob)[load_arrays(stage.blobs, gathered.rows_blob)["test"]]


def _families_in(params: Json) -> set[str]:
    """The families that the parameters of a model made of others name."""
    if isinstance(params, list):
        return {name for each in params for name in _families_in(each)}
    if not isinstance(params, dict):
        return set()
    own = params.get("family")
    inner = {name for each in params.values() for name in _families_in(each)}
    return inner | {own} if isinstance(own, str) else inner


def judge_champion(stage: Stage, steps: Steps, gathered: Gathered, champion: Version) -> Judged:
    """Evaluate a registered model on the present test rows, as if it were a candidate."""
    made = champion.model_origin
    contender = Contender(
        name=CHAMPION,
        family_name=made.family,
        requires=(),
        params=made.params,
        code=families_code(made.family, *sorted(_families_in(made.params))),
    )
    known = made.scorecard
    fitted = Fitted(
        contender=contender,
        key=champion.content,
        tree_blob=champion.content,
        train_s=known["train_s"],
        size_bytes=known["size_bytes"],
    )
    return evaluate(stage, steps, gathered, [fitted])[0]
