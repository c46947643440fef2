"""The outcome of a bake-off run: put together at its end, kept as the run's artifact, and read again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from bakeoff.config.sections import DataConfig
from bakeoff.core import narrow
from bakeoff.core.errors import NotFoundError
from bakeoff.core.ledger import Ledger
from bakeoff.core.protocols import BlobStore, RecordStore
from bakeoff.core.records import RunChange
from bakeoff.core.releases import Release
from bakeoff.core.types import Json
from bakeoff.loop.advice import compared, last_advice
from bakeoff.loop.candidate_losses import of_candidate
from bakeoff.loop.champion import Contest
from bakeoff.loop.combine import Combined
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, load_arrays, load_table
from bakeoff.loop.evaluate import Judged
from bakeoff.loop.track import PASSES, child_id
from bakeoff.loop.unnamed_dependence import unnamed_dependence
from bakeoff.results.candidate import Candidate
from bakeoff.results.combination import CombinationOutcome
from bakeoff.results.judge import JudgeOutcome
from bakeoff.results.outcome import ARTIFACT, FORMAT, Paid, RunOutcome
from bakeoff.results.search import SearchBudget
from bakeoff.results.verdict import Verdict

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from bakeoff.core.records import Run
    from bakeoff.evaluate.combine.combinations import Combination

__all__ = ["LAST", "dependence_of", "keep", "last_outcome", "outcome", "outcome_of", "rows_of"]

LAST = "last"
ROWS, SPLIT = "rows.parquet", "split.npz"
"""Artifacts of a run: its rows as they were read, and which of them are in which part."""


def outcome(
    stage: Stage,
    *,
    run_id: str,
    gathered: Gathered,
    judged: Sequence[Judged],
    combined: Combined,
    versions: Mapping[str, str],
    decision: Verdict,
    contest: Contest | None,
    released: Release | None,
    budget: SearchBudget | None = None,
    judge: JudgeOutcome | None = None,
    paid: Paid | None = None,
) -> RunOutcome:
    """Everything that a run found and did."""
    candidates = tuple(_candidate(stage, run_id, entry, versions.get(entry.name)) for entry in judged)
    dataset = gathered.summary
    unnamed = unnamed_dependence(stage, gathered, judged, decision)
    return RunOutcome(
        run_id=run_id,
        project=stage.config.project.name,
        task=stage.config.project.task,
        dataset=replace(dataset, warnings=(*dataset.warnings, *unnamed)),
        candidates=candidates,
        combinations=tuple(_combination(each, stage.metric) for each in combined.tried),
        not_combined=dict(combined.left_out),
        verdict=_verdict(decision, contest, gathered.test_rows),
        positive=stage.positive,
        endpoint=stage.endpoint if released else None,
        release=released,
        ledger=_ledger(stage, gathered, judged),
        advice=compared(last_advice(stage), candidates, gathered.version),
        budget=budget,
        judge=judge,
        paid=paid or Paid(),
    )


def _verdict(decision: Verdict, contest: Contest | None, test_rows: int) -> Verdict:
    """The decision, with what became of the winner beside the champion."""
    from bakeoff.evaluate.decide.power import power_curve

    verdict = replace(decision, power_curve=power_curve(decision.mdd, test_rows) if decision.mdd else ())
    if contest is None:
        return verdict
    reason = contest.reason
    if contest.promoted and contest.inputs:
        reason = f"{reason}. The inputs changed: {contest.inputs.sentence}; callers must send these now"
    return replace(
        verdict,
        promoted=contest.promoted,
        champion=contest.champion,
        contest=reason,
        look=contest.look.count if contest.look else None,
        blocked=contest.blocked,
        inputs=contest.inputs,
    )


def _ledger(stage: Stage, gathered: Gathered, judged: Sequence[Judged]) -> Ledger | None:
    if gathered.ledger is None:
        return None
    task = stage.config.project.task
    return gathered.ledger.with_losses(
        [loss for entry in judged for loss in of_candidate(entry, gathered.schema, task)]
    )


def _combination(each: "Combination", metric: str) -> CombinationOutcome:
    """A combination that was tried: of what it is made, what it would be worth and cost, and what became of it."""
    card = each.card
    tried: dict[str, Any] = {
        "name": each.name,
        "kind": each.kind,
        "members": each.members,
        **each.params,
        "validation": each.validation,
        "shares": each.shares,
        "right": each.right,
        "curve": each.curve,
        "entered": each.entered,
        "reason": each.reason,
    }
    if card is not None:
        tried |= {
            "quality": card.metrics.get(metric),
            "metrics": card.metrics,
            "latency_ms": card.latency_ms,
            "cost_usd_per_1k": card.cost_usd_per_1k,
            "size_bytes": card.size_bytes,
        }
    return msgspec.convert(msgspec.to_builtins(tried), CombinationOutcome)


def _candidate(stage: Stage, run_id: str, entry: Judged, version: str | None) -> Candidate:
    from bakeoff.evaluate.score.prices import monthly

    contender, card = entry.fitted.contender, entry.scorecard
    candidate = Candidate(
        name=contender.name,
        family=contender.shown.family_name,
        status="failed" if card is None else "ok",
        run_id=child_id(run_id, contender.name),
        model_version=version,
        error=entry.error if card is None else None,
        traceback=entry.traceback if card is None else None,
    )
    if card is None:
        return candidate
    measured = replace(
        candidate,
        metrics=card.metrics,
        latency_ms=card.latency_ms,
        latency_ends_ms=card.latency_ends_ms,
        latency_calls=card.latency_calls,
        wall_latency_ms=card.wall_latency_ms,
        cost_usd_per_1k=card.cost_usd_per_1k,
        single_cost_usd_per_1k=card.single_cost_usd_per_1k,
        train_s=entry.fitted.train_s,
        peak_memory_bytes=entry.fitted.peak_memory_bytes,
        size_bytes=card.size_bytes,
        predict_memory_bytes=card.predict_memory_bytes,
        throughput_rows_s=card.throughput_rows_s,
        throughput_rows_s_per_core=card.throughput_rows_s_per_core,
        batch_latency_ms=card.batch_latency_ms,
        chosen=dict(entry.fitted.chosen or {}),
        monthly=monthly(card, stage.config.cost),
    )
    beside = {**entry.findings, "fold_metrics": msgspec.to_builtins(entry.fold_metrics)}
    return replace(measured, **_typed(beside))


def _typed(findings: Mapping[str, Json]) -> dict[str, Any]:
    """What a job told of a candidate beside its scorecard, in the types of `Candidate`."""
    types = Candidate.__annotations__  # what is not declared there is an error, and never left out
    return {name: msgspec.convert(finding, types[name]) for name, finding in findings.items()}


# --- kept and read again ------------------------------------------------------------------------


def keep(stage: Stage, found: RunOutcome, gathered: Gathered) -> str:
    """Keep the outcome, the rows and the split as artifacts of the run; the blob of the outcome."""
    blob = stage.blobs.put(msgspec.json.encode({"format": FORMAT, "outcome": found.to_json()}))
    artifacts = {ARTIFACT: blob, ROWS: gathered.snapshot_blob, SPLIT: gathered.rows_blob}
    stage.records.runs.apply([RunChange(run_id=found.run_id, artifacts=artifacts)])
    return blob


def outcome_of(records: RecordStore, blobs: BlobStore, run_id: str) -> RunOutcome:
    """The outcome of a finished bake-off run.

    Raises:
        NotFoundError: there is no such run, or it has none: it did not end, or an earlier bakeoff kept none.
        CorruptError: what is stored is not what was written.
    """
    run = _bake_off(records, run_id)
    if ARTIFACT in run.artifacts:
        return _read(blobs, run.artifacts[ARTIFACT])
    last = records.documents.get(PASSES, LAST)
    if last is not None and "document" in last.body:
        document = narrow.json_object(last.body["document"])
        if document["run_id"] == run.run_id:
            return RunOutcome.from_json(document)
    raise NotFoundError(
        f"expected a finished bake-off, received run {run.run_id} ({run.status}), which has no outcome: it did not "
        "end, or an earlier bakeoff made it, which kept that of the last run alone. Make it again with 'bakeoff run'"
    )


def _bake_off(records: RecordStore, run_id: str) -> "Run":
    """The run of that id; of a candidate's run, the bake-off that it was in."""
    run = records.runs.get(run_id)
    return run if run.parent_id is None else records.runs.get(run.parent_id)


def _read(blobs: BlobStore, blob: str) -> RunOutcome:
    body = msgspec.json.decode(blobs.get(blob), type=dict[str, Any])
    if body["format"] > FORMAT:
        raise NotFoundError(
            f"expected an outcome of format {FORMAT} or less, found {body['format']}: a later bakeoff wrote it"
        )
    return RunOutcome.from_json(body["outcome"])


def last_outcome(records: RecordStore, blobs: BlobStore) -> RunOutcome | None:
    """That of the last finished run, or None."""
    last = records.documents.get(PASSES, LAST)
    if last is None:
        return None
    if "document" in last.body:  # written before runs kept their outcomes
        return RunOutcome.from_json(narrow.json_object(last.body["document"]))
    return _read(blobs, str(last.body["outcome_blob"]))


def rows_of(
    records: RecordStore, blobs: BlobStore, run_id: str, part: Literal["train", "validation", "test"]
) -> "pl.DataFrame":
    """The rows of a part of a run's split, as they were read.

    Raises:
        NotFoundError: there is no such run, or it kept none.
    """
    table, split = _rows_and_split(records, blobs, run_id)
    return table[split["kept"][split[part]]]


def dependence_of(
    records: RecordStore, blobs: BlobStore, run_id: str, data: DataConfig
) -> "tuple[NDArray[Any] | None, NDArray[Any] | None]":
    """What each test row of a run goes together with, as a code, and when it happened: by the columns of `data`.

    Raises:
        NotFoundError: there is no such run, or it kept no rows.
    """
    from bakeoff.evaluate.score.row_groups import groups_of_test

    table, split = _rows_and_split(records, blobs, run_id)
    test = table[split["kept"][split["test"]]]
    group, time = (test[name] if name in test.columns else None for name in (data.group, data.time))
    times = None if time is None else time.to_physical().to_numpy()
    return groups_of_test(group, split, by_time=time is not None), times


def _rows_and_split(records: RecordStore, blobs: BlobStore, run_id: str) -> "tuple[pl.DataFrame, Any]":
    run = _bake_off(records, run_id)
    snapshot, split = run.artifacts.get(ROWS), run.artifacts.get(SPLIT)
    last = records.documents.get(PASSES, LAST)
    if snapshot is None and last is not None and "document" in last.body:
        snapshot, split = narrow.text(last.body["snapshot_blob"]), narrow.text(last.body["rows_blob"])
    if snapshot is None or split is None:
        raise NotFoundError(
            f"expected a finished bake-off, received run {run.run_id} ({run.status}), which has no rows"
        )
    return load_table(blobs, snapshot), load_arrays(blobs, split)
