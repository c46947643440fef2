"""Fine-tune a candidate on rows of a caller's file, and judge it as a bake-off does: on the project's own test rows.

The rows of the file take the place of the training rows. Validation rows are those of the second file, else the
project's own. A row whose inputs are those of a test row is left out, and that is told: it would be known by heart.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.core import narrow
from bakeoff.core.errors import CandidateError, DataError
from bakeoff.core.ledger import Loss
from bakeoff.core.types import Column, Schema
from bakeoff.data.turns import ConversationExample
from bakeoff.environment.capture import capture
from bakeoff.loop.bake_off import compete
from bakeoff.loop.cache import Steps
from bakeoff.loop.champion import challenge
from bakeoff.loop.classes import with_classes
from bakeoff.loop.code import recorded_code
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, gather, load_arrays, load_table
from bakeoff.loop.feedback_rows import conformed
from bakeoff.loop.fine_tune_jobs import TunedCheckpoint
from bakeoff.loop.origin import RunOrigin, register_dataset
from bakeoff.loop.release import register_models
from bakeoff.loop.track import Tracker
from bakeoff.loop.training_files import row_of
from bakeoff.registry.lineage import label

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FineTuned", "fine_tune"]

TRIGGER = "fine-tuning"
TENTH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuned:
    """What came of it: the version, how it stands against the champion, and the weights that were kept."""

    model_version: str
    run_id: str
    takes_over: bool
    verdict: str
    checkpoint: TunedCheckpoint


def fine_tune(
    stage: Stage,
    training: Sequence[ConversationExample],
    validation: Sequence[ConversationExample] = (),
    *,
    plan: str,
) -> FineTuned:
    """Fit the stage's one contender on these conversations, judge it, and register it; nothing is released.

    Args:
        stage: the project's, with the candidate as its one contender.
        training: what to learn.
        validation: what to stop by; the project's validation rows without any.
        plan: names the job: a killed one of the same name is taken up where it was.

    Raises:
        DataError: the conversations are no rows of the project. CandidateError: it could not be trained or evaluated.
    """
    steps = Steps.of(stage)
    gathered = gather(stage, steps)
    if any(each.rejected is not None for each in training):
        gathered = _with_rejected(stage, gathered)
    gathered = _replaced(stage, gathered, training, validation)
    stage = with_classes(stage, gathered)
    tracker = Tracker(stage, plan=plan, trigger=TRIGGER)
    with tracker.running() as run_id:
        origin = RunOrigin(run_id=run_id, gathered=gathered, environment=capture(), code=recorded_code(stage))
        register_dataset(stage, origin)
        tracker.dataset(gathered, origin)
        competition = compete(stage, steps, gathered)
        entry = competition.judged[0]
        if entry.scorecard is None:
            raise CandidateError(f"{entry.name}: {entry.error or 'it could not be evaluated'}")
        versions = register_models(stage, origin, [entry])
        tracker.candidates([entry], versions)
        contest = challenge(stage, steps, gathered, entry, competition.judged)
        tracker.verdict(competition.decision, contest)
    version, chosen = label(versions[entry.name]), entry.fitted.chosen or {}
    wins = competition.decision.winner == entry.name
    return FineTuned(
        model_version=version,
        run_id=run_id,
        takes_over=wins and contest.promoted,
        verdict=contest.reason if wins else f"{contest.reason}. {competition.decision.reason}",
        checkpoint=_checkpoint(chosen, version),
    )


def _checkpoint(chosen: Any, version: str) -> TunedCheckpoint:
    losses = {int(step): float(loss) for step, loss in chosen.get("validation_losses") or ()}
    step = narrow.whole(chosen.get("steps") or 0)
    return TunedCheckpoint(step=step, validation_loss=losses.get(step), model_version=version)


def _with_rejected(stage: Stage, gathered: Gathered) -> Gathered:
    """The same with a column of answers that were turned down, if the project has none."""
    schema = gathered.schema
    if schema.rejected is not None:
        return gathered
    name = stage.config.data.rejected_column
    column = Column(name=name, kind="text", dtype="String")
    return replace(gathered, schema=replace(schema, columns=(*schema.columns, column), rejected=name))


def _replaced(
    stage: Stage,
    gathered: Gathered,
    training: Sequence[ConversationExample],
    validation: Sequence[ConversationExample],
) -> Gathered:
    """The project's test rows with other rows to learn from."""
    import numpy as np
    import polars as pl

    from bakeoff.data.snapshot import row_hashes, version_of, write

    schema, rows = gathered.schema, load_arrays(stage.blobs, gathered.rows_blob)
    own = [_whole(load_table(stage.blobs, blob), schema) for blob in (gathered.snapshot_blob, gathered.table_blob)]
    test = [own[0][rows["kept"][rows["test"]]], own[1][rows["test"]]]
    tested = row_hashes(test[1].select(schema.inputs))
    train = _learned(stage, schema, training, tested, "training_file")
    if validation:
        held = _learned(stage, schema, validation, tested, "validation_file")
    elif len(rows["validation"]):
        held = [own[0][rows["kept"][rows["validation"]]], own[1][rows["validation"]]]
    else:  # a project that is tested by folds has none of its own
        held_n = np.arange(len(train[0])) % TENTH == TENTH - 1
        train, held = [each.filter(~held_n) for each in train], [each.filter(held_n) for each in train]
        stage.progress(f"{len(held[0])} of the training rows, each tenth, are held out to stop by")
    parts = [pl.concat(side) for side in zip(train, held, test, strict=True)]
    sizes = [len(side[1]) for side in (train, held, test)]
    places = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    with tempfile.TemporaryDirectory(dir=stage.work) as scratch:
        folder = Path(scratch)
        for name, table in zip(("snapshot", "table"), parts, strict=True):
            write(table, folder / name)
        names = ("train", "validation", "test")
        np.savez(
            folder / "rows.npz", allow_pickle=False, kept=np.arange(sum(sizes)), **dict(zip(names, places, strict=True))
        )
        np.save(folder / "hashes.npy", row_hashes(parts[1].select(*schema.inputs, schema.target)))
        blobs = {name: stage.blobs.put(folder / name) for name in ("snapshot", "table", "rows.npz", "hashes.npy")}
    version = version_of(parts[0])
    summary = replace(
        gathered.summary,
        version=version,
        rows=sum(sizes),
        prepared_rows=sum(sizes),
        from_feedback=0,
        train=sizes[0],
        validation=sizes[1],
        test=sizes[2],
        folds=0,
    )
    return replace(
        gathered,
        version=version,
        snapshot_blob=blobs["snapshot"],
        table_blob=blobs["table"],
        rows_blob=blobs["rows.npz"],
        hashes_blob=blobs["hashes.npy"],
        summary=summary,
        ledger=None,
    )


def _whole(table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
    """The table with all columns of the schema, in order."""
    import polars as pl

    lacking = [name for name in (column.name for column in schema.columns) if name not in table.columns]
    table = table.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in lacking)
    return table.select(column.name for column in schema.columns)


def _learned(
    stage: Stage, schema: Schema, examples: Sequence[ConversationExample], tested: Any, name: str
) -> "list[pl.DataFrame]":
    """Conversations as rows, as they came and as prepared, without those whose inputs are those of a test row."""
    import numpy as np

    from bakeoff.data.snapshot import row_hashes
    from bakeoff.prepare.steps import preparation

    task = stage.config.project.task
    table, losses = conformed([row_of(each, schema, task, name=name) for each in examples], schema.columns)
    prepared = preparation(stage.config.prepare.specs).apply_columns(table, schema.input_columns)
    prepared = prepared.with_columns(table[each] for each in table.columns if each not in prepared.columns)
    prepared = prepared.select(table.columns)
    fresh_n = ~np.isin(row_hashes(prepared.select(schema.inputs)), tested)
    known = Loss(kind="row", reason=f"{name}: rows that are test rows", count=int((~fresh_n).sum()), of=len(table))
    for loss in (*losses, known):
        if loss.count:
            stage.progress(f"left out: {loss}")
    if not fresh_n.any():
        raise DataError(f"{name}: expected rows to learn that are not the project's test rows; received none")
    return [table.filter(fresh_n), prepared.filter(fresh_n)]
