"""Combine the candidates: hold validation rows out, look for blends and cascades, put those that enter together.

Every piece of work is a step: a killed pass goes on where it was, and a pass in which nothing changed for
the candidates finds what it found before.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.core import narrow
from bakeoff.core.closure import code_of
from bakeoff.core.hashing import digest_json
from bakeoff.core.jobs import MODEL, Job, JobResult
from bakeoff.core.refs import BlobRef
from bakeoff.core.types import Json, Predictions
from bakeoff.data.prediction_arrays import predictions_in
from bakeoff.data.row_numbers import FOLD
from bakeoff.families.wrappers.members import ASSEMBLE, AssembleArgument, AssembleValue, member_input
from bakeoff.loop.cache import Steps, step_key
from bakeoff.loop.context import COMBINERS, Contender, Stage
from bakeoff.loop.dataset import Gathered, load_arrays, load_table
from bakeoff.loop.evaluate import Judged, groups, outcomes, times
from bakeoff.loop.fit import Fitted, hold_out, run_jobs
from bakeoff.metrics.custom import digest_own

if TYPE_CHECKING:
    from bakeoff.evaluate.combine.combinations import Combination, HeldTruth, SingleCandidate
    from bakeoff.evaluate.combine.router import RowInputs

__all__ = ["Combined", "combine", "contender_of", "held_out", "put_together", "too_long"]

FEWEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """What was tried, and the combinations that become candidates, made of the fitted members.

    `held` are blobs of what each candidate says of validation rows when fitted without them, by name. `left_out` tells
    which candidates were not combined with others, and why.
    """

    tried: "tuple[Combination, ...]" = ()
    fitted: tuple[Fitted, ...] = ()
    held: Mapping[str, str] = field(default_factory=dict[str, str])
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])


def combine(stage: Stage, steps: Steps, gathered: Gathered, judged: Sequence[Judged]) -> Combined:
    """Look for combinations of the candidates that could be evaluated, if there are at least two."""
    wanted = stage.config.combine
    singles = [e for e in judged if e.scorecard is not None and e.fitted.contender.shown.family_name not in COMBINERS]
    if len(singles) < FEWEST or not (wanted.blends or wanted.cascades) or stage.config.project.task == "generation":
        return Combined()
    left_out = {} if gathered.folds else too_long(stage, singles)
    for name, why in left_out.items():
        stage.progress(f"{name}: not combined with others: {why}")
    singles = [entry for entry in singles if entry.name not in left_out]
    # With folds, what was said of test rows was said without them: nothing else has to be held out.
    held_out_blobs = {} if gathered.folds else hold_out(stage, steps, gathered, [entry.fitted for entry in singles])
    members = {entry.name: entry for entry in singles if gathered.folds or entry.name in held_out_blobs}
    if len(members) < FEWEST:
        return Combined(held=held_out_blobs, left_out=left_out)
    tried = _found(stage, steps, gathered, members, held_out_blobs)
    fitted: list[Fitted] = []
    for at, each in enumerate(tried):
        if not each.entered:
            continue
        made = _assembled(stage, steps, each, {name: entry.fitted for name, entry in members.items()})
        if made.tree_blob is None:
            tried[at] = replace(each, entered=False, reason=f"It could not be put together: {made.error}.")
            stage.progress(f"{each.name}: could not be put together: {made.error}")
        else:
            fitted.append(made)
    return Combined(tried=tuple(tried), fitted=tuple(fitted), held=held_out_blobs, left_out=left_out)


def too_long(stage: Stage, entries: Sequence[Judged]) -> dict[str, str]:
    """Candidates that must be fitted once more without validation rows, which would take too long, and how long."""
    limit_s = stage.config.combine.max_train_s
    return {
        entry.name: f"its training took {entry.fitted.train_s:.0f} s, over [combine] max_train_s = {limit_s:g}"
        for entry in entries
        if entry.fitted.train_s > limit_s and entry.fitted.held_blob is None
    }


def _found(
    stage: Stage, steps: Steps, gathered: Gathered, members: Mapping[str, Judged], held_out_blobs: Mapping[str, str]
) -> "list[Combination]":
    from bakeoff.evaluate.combine.combinations import Combination

    inputs: dict[str, Json] = {
        "members": [[name, entry.key, held_out_blobs.get(name)] for name, entry in members.items()],
        "rows": gathered.rows_blob,
        "table": gathered.table_blob,
        "cost": stage.config.cost.model_dump(mode="json", include={"price_per_hour_usd", "utilisation"}),
        "combine": stage.config.combine.model_dump(mode="json"),
        "decide": stage.config.decide.model_dump(mode="json"),
        "task": stage.config.project.task,
        "group": gathered.schema.group,
        "seed": stage.seed,
        "metrics": digest_own(),
        "code": code_of("bakeoff.evaluate.combine.combinations", "bakeoff.metrics.registry"),
    }
    result = steps.once(steps.key("combine", inputs), lambda: _search(stage, gathered, members, held_out_blobs))
    return [Combination.from_json(each) for each in narrow.json_array(result["tried"])]


def _search(
    stage: Stage, gathered: Gathered, members: Mapping[str, Judged], held_out_blobs: Mapping[str, str]
) -> dict[str, Json]:
    from bakeoff.evaluate.combine.combinations import combine as look
    from bakeoff.evaluate.combine.pareto import enter

    stage.progress(f"looking for combinations of {', '.join(members)}")
    parts, rows = _parts(stage, gathered, members, held_out_blobs)
    task, decide = stage.config.project.task, stage.config.decide
    combinations = look(
        parts,
        rows,
        stage.config.combine,
        task=task,
        metric=stage.metric,
        seed=stage.seed,
        resamples=decide.resamples,
        positive=decide.positive,
        metrics=stage.metrics,
        second_usd=stage.config.cost.price_per_hour_usd / 3600 / stage.config.cost.utilisation,
    )
    tried = enter(combinations, parts, rows, decide, task=task, seed=stage.seed)
    for each in tried:
        stage.progress(f"{each.name}: {'enters' if each.entered else 'does not enter'}: {each.reason}")
    return {"tried": [each.to_json() for each in tried]}


def _parts(
    stage: Stage, gathered: Gathered, members: Mapping[str, Judged], held_out_blobs: Mapping[str, str]
) -> "tuple[dict[str, SingleCandidate], HeldTruth]":
    from bakeoff.evaluate.combine.combinations import HeldTruth, SingleCandidate

    parts: dict[str, SingleCandidate] = {}
    truth: dict[str, Any] = {}
    for name, entry in members.items():
        assert entry.scorecard is not None
        truth["test"], test = outcomes(stage, entry)
        truth["held"], predictions = (
            held_out(stage.blobs.get(held_out_blobs[name])) if name in held_out_blobs else (truth["test"], test)
        )
        parts[name] = SingleCandidate(card=entry.scorecard, held=predictions, test=test)
    fold_n = load_arrays(stage.blobs, gathered.rows_blob)[FOLD] if gathered.folds else None
    return parts, HeldTruth(
        held_n=truth["held"],
        test_n=truth["test"],
        groups_n=groups(stage, gathered),
        time_n=times(stage, gathered),
        fold_n=fold_n,
        inputs=_row_inputs(stage, gathered),
    )


def _row_inputs(stage: Stage, gathered: Gathered) -> "RowInputs | None":
    """The inputs of rows, for routers; None where none are looked for."""
    from bakeoff.evaluate.combine.router import RowInputs

    if not stage.config.combine.cascades or stage.config.project.task != "classification":
        return None
    columns, rows = gathered.schema.input_columns, load_arrays(stage.blobs, gathered.rows_blob)
    table = load_table(stage.blobs, gathered.table_blob, [column.name for column in columns])
    test = table[rows["test"]]
    return RowInputs(columns=columns, validation=test if gathered.folds else table[rows["validation"]], test=test)


def held_out(content: bytes) -> tuple[Any, Predictions]:
    """Truth and predictions of the validation rows, as `bakeoff.train.worker.hold_out` keeps them."""
    import numpy as np

    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return arrays["truth_n"], predictions_in(arrays)


def _assembled(stage: Stage, steps: Steps, each: "Combination", parts: Mapping[str, Fitted]) -> Fitted:
    """One model made of the members' models, without fitting anything; and one of each fold's, as it was judged."""
    members = [parts[name] for name in each.members]
    contender = _contender(stage, each, members, each.params)
    key, made = put_together(stage, steps, contender, [fitted.tree_blob or "" for fitted in members])
    folds: list[str] = []
    for fold, (params, names) in enumerate(zip(each.fold_params, each.fold_members, strict=True)):
        if made.value is None:
            break
        of_members = [parts[name] for name in names]
        of_fold = _contender(stage, each, of_members, params)
        _, part = put_together(stage, steps, of_fold, [fitted.folds[fold] for fitted in of_members])
        made = made if part.value else part
        folds += part.outputs.values()
    if made.value is None:
        return Fitted(contender=contender, key=key, error=made.error, traceback=made.traceback)
    value = msgspec.convert(made.value, AssembleValue)
    return Fitted(
        contender=contender,
        key=key,
        tree_blob=made.outputs[MODEL],
        train_s=sum(fitted.train_s for fitted in members),
        peak_memory_bytes=max(fitted.peak_memory_bytes for fitted in members),
        size_bytes=value.size_bytes,
        chosen={"members": {fitted.contender.name: dict(fitted.chosen or {}) for fitted in members}},
        signature=value.signature,
        members=each.members,
        folds=tuple(folds),
    )


def put_together(stage: Stage, steps: Steps, contender: Contender, trees: Sequence[str]) -> tuple[str, JobResult]:
    """The key of the step and its result: a combination of the models in these trees, as the output `MODEL`."""
    job = Job(
        name=contender.name,
        function=ASSEMBLE,
        argument=AssembleArgument(family=contender.family_name, params=contender.params),
        inputs={member_input(at): BlobRef(tree) for at, tree in enumerate(trees)},
        outputs=(MODEL,),
        requires=contender.requires,
        modules=contender.modules or None,
    )
    key = step_key("assemble", job, contender.code)
    kept = steps.done(key)
    if kept is not None:
        return key, JobResult(name=contender.name, value=kept, outputs={MODEL: BlobRef(str(kept["tree_blob"]))})
    (result,) = run_jobs(stage, [job])
    if result.value is not None:
        steps.publish(key, dict(result.value) | {"tree_blob": result.outputs[MODEL]})
    return key, result


def _contender(stage: Stage, each: "Combination", members: Sequence[Fitted], params: Mapping[str, Any]) -> Contender:
    """The combination as a contender: its parameters name its members' families and theirs."""
    family = {"blend": "blend", "stack": "blend", "router": "router"}.get(each.kind, "cascade")
    return contender_of(stage.combiner(family), each.name, members, params)


def contender_of(combiner: Contender, name: str, members: Sequence[Fitted], params: Mapping[str, Any]) -> Contender:
    """What is made of members, as a contender: its parameters name its members' families and theirs."""
    described: list[Json] = [
        {
            "name": fitted.contender.name,
            "family": fitted.contender.family_name,
            "params": msgspec.to_builtins(fitted.contender.params),
        }
        for fitted in members
    ]
    contenders = [fitted.contender for fitted in members]
    needed = {requirement for contender in contenders for requirement in contender.requires}
    return replace(
        combiner,
        name=name,
        requires=tuple(sorted(needed | set(combiner.requires))),
        modules=tuple(dict.fromkeys(each for c in (combiner, *contenders) for each in c.modules)),
        params={"members": described, **params},
        code=digest_json([combiner.code, *(fitted.contender.code for fitted in members)]),
        learns=all(fitted.contender.learns for fitted in members),
    )
