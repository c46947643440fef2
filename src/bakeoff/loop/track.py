"""Keep a pass as tracked runs: one for the pass, one below it for each candidate (MLflow's words)."""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from bakeoff.core.closure import own_code
from bakeoff.core.hashing import digest
from bakeoff.core.queries import AllOf, Query, attribute
from bakeoff.core.records import Metric, RunChange, RunInput, Version
from bakeoff.core.types import Json
from bakeoff.environment.system import system
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.loop.stored_outcome import PASSES
from bakeoff.registry.lineage import label

if TYPE_CHECKING:
    from bakeoff.evaluate.decide.verdict import Verdict
    from bakeoff.loop.champion import Contest
    from bakeoff.loop.evaluate import Judged
    from bakeoff.loop.origin import RunOrigin

__all__ = ["SCORECARD", "Tracker", "child_id"]

OPEN = "open"
SCORECARD = "scorecard.json"
"""An artifact of a candidate's run."""


class Tracker:
    """Writes what a pass does into the run records; a pass with the plan of a killed one goes on in its run."""

    def __init__(self, stage: Stage, *, plan: str, trigger: str) -> None:
        self._stage = stage
        self._plan = plan
        self._trigger = trigger
        self._run_id = ""
        self._experiment_id = ""

    @contextmanager
    def running(self) -> Generator[str]:
        """The run of this pass: FINISHED, FAILED or KILLED (interrupted) when the block ends."""
        records, runs = self._stage.records, self._stage.records.runs
        self._experiment_id = records.experiments.open(self._stage.config.project.name).experiment_id
        run_id = self._adopted() or self._stage.new_id()
        records.documents.put(PASSES, OPEN, {"plan": self._plan, "run_id": run_id})
        tags = {"bakeoff.kind": "pass", "bakeoff.trigger": self._trigger}
        runs.start(self._experiment_id, "bake-off", run_id=run_id, tags=tags)
        self._run_id = run_id
        try:
            yield run_id
        except KeyboardInterrupt:
            runs.apply([RunChange(run_id=run_id, status="KILLED")])
            raise
        except BaseException:
            runs.apply([RunChange(run_id=run_id, status="FAILED")])
            raise
        runs.apply([RunChange(run_id=run_id, status="FINISHED")])
        records.documents.delete(PASSES, OPEN)

    def _adopted(self) -> str | None:
        """The run id of an unfinished pass with the same plan; one with another plan is marked KILLED."""
        unfinished = self._stage.records.documents.get(PASSES, OPEN)
        if unfinished is None:
            return None
        run_id = str(unfinished.body["run_id"])
        if unfinished.body["plan"] == self._plan:
            self._stage.progress(f"going on with run {run_id}")
            return run_id
        runs = self._stage.records.runs
        running = AllOf(parts=(attribute("run_id", "=", run_id), attribute("status", "=", "RUNNING")))
        if runs.search(Query(where=running)).items:
            runs.apply([RunChange(run_id=run_id, status="KILLED")])
        return None

    def dataset(self, gathered: Gathered, origin: "RunOrigin") -> None:
        """What the pass works on."""
        tags = {"bakeoff.environment": origin.environment.digest, "bakeoff.code": own_code()}
        tags |= {f"bakeoff.system.{name}": value for name, value in system().items()}
        if origin.code.commit is not None:
            tags["mlflow.source.git.commit"] = origin.code.commit
            tags["bakeoff.code_dirty"] = str(origin.code.dirty).lower()
        where = {"branch": origin.code.branch, "repoURL": origin.code.remote}
        tags |= {f"mlflow.source.git.{key}": value for key, value in where.items() if value}
        inputs = [
            RunInput(name=self._stage.config.project.name, version=gathered.version, context=context)
            for context in ("training", "validation", "test")
        ]
        change = RunChange(run_id=self._run_id, tags=tags, inputs=inputs, artifacts=origin.code.artifacts)
        self._stage.records.runs.apply([change])

    def candidates(self, judged: "Sequence[Judged]", versions: Mapping[str, Version]) -> None:
        """A child run for each candidate, with its parameters, metrics and model."""
        for entry in judged:
            self._candidate(entry, versions.get(entry.name))

    def _candidate(self, entry: "Judged", version: Version | None) -> None:
        from bakeoff.evaluate.score.worker import OUTCOMES  # it was imported for its evaluation

        runs, now = self._stage.records.runs, self._stage.clock()
        contender = entry.fitted.contender
        tags = {
            "bakeoff.kind": "candidate",
            "bakeoff.candidate": contender.name,
            "bakeoff.family": contender.shown.family_name,
        }
        if entry.fitted.resumed:
            tags["bakeoff.resumed"] = "; ".join(entry.fitted.resumed)
        run = runs.start(
            self._experiment_id,
            contender.name,
            run_id=child_id(self._run_id, contender.name),
            parent_id=self._run_id,
            tags=tags,
        )
        given: dict[str, Json] = msgspec.to_builtins(contender.shown.params)
        if contender.wraps:
            given |= {"prepare.steps": msgspec.to_builtins(contender.params)["steps"]}
        chosen = {f"chosen.{key}": value for key, value in (entry.fitted.chosen or {}).items()}
        params = {key: _text(value) for key, value in (given | chosen | {"seed": self._stage.seed}).items()}
        if entry.scorecard is None:
            why = entry.left_out
            tags = {"bakeoff.error": entry.error or ""} if why is None else {"bakeoff.left_out": why.sentence}
            ended = "FAILED" if why is None else "KILLED"
            runs.apply([RunChange(run_id=run.run_id, params=params, tags=tags, status=ended)])
            return
        figures = {name: interval.value for name, interval in entry.scorecard.metrics.items()}
        figures |= {"train_s": entry.fitted.train_s, "size_bytes": float(entry.scorecard.size_bytes)}
        figures |= {f"latency_{key}_ms": value for key, value in entry.scorecard.latency_ms.items()}
        card = {**entry.scorecard.to_json(), **entry.findings}
        artifacts = {
            "model": entry.fitted.tree_blob or "",
            OUTCOMES: entry.outcomes_blob or "",
            SCORECARD: self._stage.blobs.put(json.dumps(card).encode()),
        }
        metrics = [Metric(key=name, value=float(value), time_ms=now) for name, value in figures.items()]
        metrics += [
            Metric(key=f"fold_{name}", value=value, step=fold, time_ms=now)
            for name, values in (entry.fold_metrics or {}).items()
            for fold, value in enumerate(values)
            if value is not None
        ]
        change = RunChange(
            run_id=run.run_id,
            params=params,
            metrics=metrics,
            tags={"bakeoff.model_version": label(version)} if version else {},
            artifacts=artifacts,
            status="FINISHED",
        )
        runs.apply([change])

    def verdict(self, decision: "Verdict", contest: "Contest | None") -> None:
        """The decision, as tags of the pass."""
        tags = {"bakeoff.winner": decision.winner or "", "bakeoff.reason": decision.reason}
        if contest is not None:
            tags |= {"bakeoff.promoted": str(contest.promoted).lower(), "bakeoff.contest": contest.reason}
        self._stage.records.runs.apply([RunChange(run_id=self._run_id, tags=tags)])


def child_id(run_id: str, candidate: str) -> str:
    """The id of a candidate's run below a pass: the same again when the pass is taken up."""
    return digest(f"{run_id}/{candidate}".encode())[:32]


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)
