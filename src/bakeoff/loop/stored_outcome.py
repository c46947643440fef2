"""The outcome of a bake-off run as the run's artifact: stored, and read again.

What it is made of is imported where one is there: the first run of a project has none before its candidates are fitted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from bakeoff.config.sections import CostConfig, DataConfig, DecideConfig
from bakeoff.core import narrow
from bakeoff.core.errors import NotFoundError
from bakeoff.core.protocols import BlobStore, RecordStore
from bakeoff.core.records import RunChange

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from bakeoff.core.records import Run
    from bakeoff.evaluate.decide.yardstick import Baselines
    from bakeoff.loop.context import Stage
    from bakeoff.loop.dataset import Gathered
    from bakeoff.results.outcome import RunOutcome

__all__ = ["LAST", "PASSES", "RunRules", "baselines_of", "dependence_of", "keep", "keep_baselines", "last_outcome"]
__all__ += ["numbers_of", "outcome_of", "rows_of", "rules_of"]

PASSES = "passes"
LAST = "last"
"""The document of the last finished run."""
ROWS, SPLIT, BASELINES = "rows.parquet", "split.npz", "baselines.parquet"
"""Artifacts of a run: its rows as they were read, which of them are in which part, and what baselines answered."""
RULES = "rules.json"
"""And what it decided by."""
RULES_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRules:
    """What a run decided by: its settings under [decide] and [cost], and its seed."""

    decide: DecideConfig
    cost: CostConfig
    seed: int


def keep(stage: "Stage", outcome: "RunOutcome", gathered: "Gathered") -> str:
    """Keep the outcome, the rows, the split and the rules as artifacts of the run; the blob of the outcome."""
    from bakeoff.results.outcome import ARTIFACT, FORMAT

    blob = stage.blobs.put(msgspec.json.encode({"format": FORMAT, "outcome": outcome.to_json()}))
    artifacts = {ARTIFACT: blob, ROWS: gathered.snapshot_blob, SPLIT: gathered.rows_blob}
    sections = {name: getattr(stage.config, name).model_dump(mode="json") for name in ("decide", "cost")}
    rules = {"format": RULES_FORMAT, "seed": stage.seed, **sections}
    artifacts[RULES] = stage.blobs.put(msgspec.json.encode(rules))
    stage.records.runs.apply([RunChange(run_id=outcome.run_id, artifacts=artifacts)])
    return blob


def keep_baselines(stage: "Stage", run_id: str, baselines: "Baselines") -> None:
    """Keep what the baselines answered on the test rows, so that the verdict can be worked out again."""
    if baselines.outcomes_blob is not None:
        change = RunChange(run_id=run_id, artifacts={BASELINES: baselines.outcomes_blob})
        stage.records.runs.apply([change])


def baselines_of(records: RecordStore, blobs: BlobStore, outcome: "RunOutcome") -> "Baselines | None":
    """The baselines of a run with their answers; None where it kept none, as runs of before."""
    from bakeoff.evaluate.baselines.job import read_baselines
    from bakeoff.evaluate.decide.yardstick import Baselines
    from bakeoff.loop.dataset import load_table

    blob = records.runs.get(outcome.run_id).artifacts.get(BASELINES)
    if blob is None:
        return None
    return Baselines(listed=outcome.baselines, predictions=read_baselines(load_table(blobs, blob)), outcomes_blob=blob)


def rules_of(records: RecordStore, blobs: BlobStore, run_id: str) -> RunRules | None:
    """What a run decided by; None where it kept none, as runs of before. Settings that are there no more are left out.

    Raises:
        NotFoundError: there is no such run, or a later bakeoff wrote it.
    """
    blob = _bake_off(records, run_id).artifacts.get(RULES)
    if blob is None:
        return None
    body = msgspec.json.decode(blobs.get(blob), type=dict[str, Any])
    if body["format"] > RULES_FORMAT:
        raise NotFoundError(
            f"expected rules of format {RULES_FORMAT} or less, found {body['format']}: a later bakeoff wrote them"
        )

    def known(name: str, fields: Mapping[str, object]) -> dict[str, Any]:
        return {key: value for key, value in body[name].items() if key in fields}

    return RunRules(
        decide=DecideConfig.model_validate(known("decide", DecideConfig.model_fields)),
        cost=CostConfig.model_validate(known("cost", CostConfig.model_fields)),
        seed=body["seed"],
    )


def outcome_of(records: RecordStore, blobs: BlobStore, run_id: str) -> "RunOutcome":
    """The outcome of a finished bake-off run.

    Raises:
        NotFoundError: there is no such run, or it has none: it did not end, or an earlier bakeoff kept none.
        CorruptError: what is stored is not what was written.
    """
    from bakeoff.results.outcome import ARTIFACT, RunOutcome

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


def _read(blobs: BlobStore, blob: str) -> "RunOutcome":
    from bakeoff.results.outcome import FORMAT, RunOutcome

    body = msgspec.json.decode(blobs.get(blob), type=dict[str, Any])
    if body["format"] > FORMAT:
        raise NotFoundError(
            f"expected an outcome of format {FORMAT} or less, found {body['format']}: a later bakeoff wrote it"
        )
    return RunOutcome.from_json(body["outcome"])


def last_outcome(records: RecordStore, blobs: BlobStore) -> "RunOutcome | None":
    """That of the last finished run, or None."""
    last = records.documents.get(PASSES, LAST)
    if last is None:
        return None
    if "document" in last.body:  # written before runs kept their outcomes
        from bakeoff.results.outcome import RunOutcome

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


def numbers_of(
    records: RecordStore, blobs: BlobStore, run_id: str, part: Literal["train", "validation", "test"]
) -> "NDArray[Any]":
    """Which of the rows that a run read are in a part of its split, as their numbers from 0.

    Raises:
        NotFoundError: there is no such run, or it kept none.
    """
    _, split = _rows_and_split(records, blobs, run_id)
    return split["kept"][split[part]]


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
    from bakeoff.loop.dataset import load_arrays, load_table

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
