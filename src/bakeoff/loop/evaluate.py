"""Evaluate every model on the same test rows, and decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.core.closure import code_of, module_of
from bakeoff.core.families import families_code
from bakeoff.core.hashing import digest_file, digest_json
from bakeoff.core.protocols import Job
from bakeoff.core.records import Version
from bakeoff.core.types import Json, Predictions
from bakeoff.evaluate.score.scorecard import Scorecard
from bakeoff.evaluate.score.text_scores import ENCODING_FAMILY
from bakeoff.loop.cache import Result, Steps
from bakeoff.loop.context import Contender, Stage
from bakeoff.loop.dataset import Gathered, load_arrays, load_table
from bakeoff.loop.fit import Fitted, workspace
from bakeoff.loop.looks import GATES, Look, next_look, record
from bakeoff.loop.safety import probes
from bakeoff.loop.sides import FOLD, NEAR
from bakeoff.metrics.custom import digest_own
from bakeoff.metrics.dependence import copies, group_codes, united

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.evaluate.decide.verdict import Verdict

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
SAFETY, SAFETY_TABLE = "safety.json", "safety.parquet"
EVALUATE = "bakeoff.evaluate.score.worker:evaluate"


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

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.fitted.contender.name


def evaluate(stage: Stage, steps: Steps, gathered: Gathered, fitted: Sequence[Fitted]) -> list[Judged]:
    """Scorecards of all that were fitted; one job at a time, since latency is measured."""
    fine = {fit.contender.name: fit for fit in fitted if fit.tree_blob is not None}
    keys = {name: steps.key("evaluate", _inputs(stage, gathered, fit)) for name, fit in fine.items()}
    done: dict[str, Result | None] = {name: steps.done(key) for name, key in keys.items()}
    errors: dict[str, tuple[str, str | None]] = {
        fit.contender.name: (fit.error or "not fitted", fit.traceback) for fit in fitted if fit.tree_blob is None
    }
    waiting = [fit for name, fit in fine.items() if done[name] is None]
    if waiting:
        with workspace(stage, gathered, "evaluate") as folder:
            _save_test_rows(stage, gathered, folder)
            jobs = [_job(stage, gathered, fit, folder) for fit in waiting]
            for result in stage.compute.run(jobs, progress=_told(stage), exclusive=True):
                if result.value is None:
                    stage.progress(f"{result.name}: could not be evaluated: {result.error}")
                    errors[result.name] = (result.error or "", result.traceback)
                    continue
                blob = stage.blobs.put(folder / f"{result.name}-out" / "outcomes.parquet")
                done[result.name] = steps.publish(keys[result.name], dict(result.value) | {"outcomes_blob": blob})
    return [_judged(fit, keys.get(fit.contender.name, ""), done.get(fit.contender.name), errors) for fit in fitted]


def _told(stage: Stage) -> Any:
    return lambda name, line: stage.progress(f"{name}: {line}")


def _inputs(stage: Stage, gathered: Gathered, fit: Fitted) -> dict[str, Json]:
    return {
        "model": fit.tree_blob,
        "fit": fit.key,
        "folds": list(fit.folds),
        "table": gathered.table_blob,
        "rows": gathered.rows_blob,
        "resamples": stage.config.decide.resamples,
        "seed": stage.seed,
        "group": gathered.schema.group,
        "time": gathered.schema.time,
        "schema": msgspec.to_builtins(gathered.schema),
        "findings": _wanted(stage, fit),
        "memorisation": _recalled(stage, fit),
        "own_turns": stage.config.decide.own_turns,
        "metric": stage.metric,
        "metrics": [digest_own(), *stage.metrics],
        "positive": stage.config.decide.positive,
        "json_schema": None if stage.json_schema is None else digest_file(stage.json_schema),
        "encoder": stage.config.decide.encoder,
        "context": list(stage.config.decide.context),
        "safety": None if stage.safety is None else digest_file(stage.safety),
        "cost": stage.config.cost.model_dump(mode="json", exclude={"requests_per_day", "budget_usd"}),
        "code": [code_of(module_of(EVALUATE)), fit.contender.code, _encoder_code(stage)],
    }


def _encoder_code(stage: Stage) -> str | None:
    """That of the family whose sentence encoder compares generated texts: it is found by name, not imported."""
    return families_code(ENCODING_FAMILY) if stage.config.project.task == "generation" else None


def _wanted(stage: Stage, fit: Fitted) -> bool:
    """Whether findings are asked for; nobody reads the champion's again."""
    return stage.config.decide.findings and fit.contender.name != CHAMPION


def _recalled(stage: Stage, fit: Fitted) -> int:
    """Of how many training rows is asked whether the model knows them by heart; the champion saw others."""
    return 0 if fit.contender.name == CHAMPION else stage.config.decide.memorisation


def _save_test_rows(stage: Stage, gathered: Gathered, folder: Path) -> None:
    import numpy as np

    rows = load_arrays(stage.blobs, gathered.rows_blob)
    np.save(folder / "test.npy", rows["test"])
    together = groups(stage, gathered)
    if together is not None:
        np.save(folder / "groups.npy", together)
    if gathered.folds:
        np.save(folder / "fold.npy", rows[FOLD])
    asked = probes(stage, gathered)
    if asked is not None:
        asked[0].write_parquet(folder / SAFETY_TABLE)
        (folder / SAFETY).write_bytes(msgspec.json.encode(asked[1]))


def _job(stage: Stage, gathered: Gathered, fit: Fitted, folder: Path) -> Job:
    name = fit.contender.name
    assert fit.tree_blob is not None
    stage.blobs.fetch(fit.tree_blob, folder / name)
    argument: dict[str, Json] = {
        "family": fit.contender.family_name,
        "model_dir": str(folder / name),
        "table_path": str(folder / "table.parquet"),
        "test_rows_path": str(folder / "test.npy"),
        "rows_path": str(folder / "rows.npz"),
        "memorisation": _recalled(stage, fit),
        "own_turns": stage.config.decide.own_turns,
        "target": gathered.schema.target,
        "groups_path": str(groups_file) if (groups_file := folder / "groups.npy").exists() else None,
        "time": gathered.schema.time,
        "task": stage.config.project.task,
        "threads": stage.compute.threads,
        "seed": stage.seed,
        "resamples": stage.config.decide.resamples,
        "train_s": fit.train_s,
        "size_bytes": fit.size_bytes,
        "cache_dir": str(stage.cache),
        "out_dir": str(folder / f"{name}-out"),
        "metric": stage.metric,
        "metrics": list(stage.metrics),
        "positive": stage.config.decide.positive,
        "costs": stage.config.decide.model_dump(mode="json")["costs"],
        "metrics_file": None if stage.metrics_file is None else str(stage.metrics_file),
        "json_schema": None if stage.json_schema is None else str(stage.json_schema),
        "encoder": stage.config.decide.encoder,
        "context": list(stage.config.decide.context),
        "remote": stage.config.privacy.remote,
        "price_per_hour_usd": stage.config.cost.price_per_hour_usd / stage.config.cost.utilisation,
    }
    if (folder / SAFETY).exists():
        wanted = msgspec.json.decode((folder / SAFETY).read_bytes())
        argument["safety"] = {"table_path": str(folder / SAFETY_TABLE), "probes": wanted}
    if fit.folds:
        folders = {folder / f"{name}, fold {at}": tree for at, tree in enumerate(fit.folds)}
        argument["fold_dirs"] = [str(stage.blobs.fetch(tree, target)) for target, tree in folders.items()]
        argument["fold_path"] = str(folder / "fold.npy")
    if _wanted(stage, fit):
        argument["schema"] = msgspec.to_builtins(gathered.schema)
    return Job(name=name, function=EVALUATE, argument=argument, requires=fit.contender.requires)


def _judged(fit: Fitted, key: str, result: Result | None, errors: Mapping[str, tuple[str, str | None]]) -> Judged:
    if result is None:
        error, traceback = errors[fit.contender.name]
        return Judged(fitted=fit, error=error, traceback=traceback)
    return Judged(
        fitted=fit,
        key=key,
        scorecard=Scorecard.from_json(cast("Mapping[str, Json]", result["scorecard"])),
        outcomes_blob=cast("str", result["outcomes_blob"]),
        findings=cast("Mapping[str, Json]", result["findings"]),
        fold_metrics=cast("Mapping[str, Sequence[float | None]] | None", result.get("fold_metrics")),
    )


def outcomes(stage: Stage, judged: Judged) -> "tuple[Any, Predictions]":
    """The kept per-row outcomes of a candidate: truth and predictions, in the order of the test rows."""
    import io

    import polars as pl

    from bakeoff.evaluate.score.worker import read_outcomes

    assert judged.outcomes_blob is not None
    return read_outcomes(pl.read_parquet(io.BytesIO(stage.blobs.get(judged.outcomes_blob))))


def groups(stage: Stage, gathered: Gathered) -> "Any | None":
    """What each test row goes together with, in their order, as a code; None where every row is on its own.

    Rows of a group do, and near-duplicates. Rows in the order of time without groups are left to their time.
    """
    import polars as pl

    column, rows = gathered.schema.group, load_arrays(stage.blobs, gathered.rows_blob)
    if column is None and gathered.schema.time is not None:
        return None
    near_n = copies(rows[NEAR][rows["test"]]) if NEAR in rows else None
    if column is None:
        return near_n
    group_n = group_codes(_of_test_rows(stage, gathered, column).cast(pl.String).to_numpy())
    return group_n if near_n is None else united(group_n, near_n)


def times(stage: Stage, gathered: Gathered) -> "Any | None":
    """When each test row happened, as numbers; None when the project names no column of times."""
    column = gathered.schema.time
    return None if column is None else _of_test_rows(stage, gathered, column).to_physical().to_numpy()


def _of_test_rows(stage: Stage, gathered: Gathered, column: str) -> "pl.Series":
    table = load_table(stage.blobs, gathered.table_blob, [column])
    return table[column][load_arrays(stage.blobs, gathered.rows_blob)["test"]]


def verdict(stage: Stage, gathered: Gathered, judged: Sequence[Judged]) -> "Verdict":
    """The decision over all scorecards; where gates ask for confidence, the look at the test rows is paid for."""
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
        look=None if look is None else look.number,
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
        code=families_code(made.family, *sorted(_families_in(cast("Json", made.params)))),
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
