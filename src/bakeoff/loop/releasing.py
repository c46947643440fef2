"""Register models with their lineage, hold the winner against the champion, release it."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.core.errors import CorruptError, NotFoundError
from bakeoff.core.records import Version
from bakeoff.core.types import Json, Signature
from bakeoff.environment.capture import CodeState, Environment
from bakeoff.loop.fitting import Fitted, refit
from bakeoff.loop.gathering import Gathered, load_arrays
from bakeoff.loop.judging import Judged, groups, judge_champion, outcomes
from bakeoff.loop.stage import Stage
from bakeoff.loop.steps import Steps
from bakeoff.registry.lineage import label
from bakeoff.registry.register import CHAMPION, promote, register_once
from bakeoff.serve.releases import Release, release

if TYPE_CHECKING:
    from bakeoff.evaluate.verdict import Comparison

__all__ = ["Contest", "Origin", "challenge", "make_live", "register_dataset", "register_model", "register_models"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What surrounds the models of a run."""

    run_id: str
    gathered: Gathered
    environment: Environment
    code: CodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """How the winner stands against the champion, and whether it takes its place."""

    promoted: bool
    reason: str
    champion: str | None = None
    comparison: "Comparison | None" = None


def register_dataset(stage: Stage, origin: Origin) -> None:
    """Register the dataset version and the environment of a run."""
    name = stage.config.project.name
    data = stage.config.data
    sources = {n: list(s) for n, s in data.sources.items()} if data.sources else {"source": list(data.source)}
    about: dict[str, Json] = {"sources": cast("Json", sources), "query": data.query, **origin.gathered.summary}
    versions = stage.records.versions
    register_once(versions, "dataset", name, origin.gathered.version, run_id=origin.run_id, lineage=about)
    environment = {
        "python": origin.environment.python,
        "platform": origin.environment.platform,
        "packages": dict(origin.environment.packages),
    }
    register_once(
        versions,
        "environment",
        name,
        origin.environment.digest,
        run_id=origin.run_id,
        lineage=cast("Mapping[str, Json]", environment),
    )


def register_models(stage: Stage, origin: Origin, judged: Sequence[Judged]) -> dict[str, Version]:
    """Register all candidates that could be evaluated, by name; those that others are made of come first."""
    fine = [entry for entry in judged if entry.scorecard is not None]
    known: dict[str, Version] = {}
    for entry in sorted(fine, key=lambda entry: bool(entry.fitted.members)):
        known[entry.name] = register_model(stage, origin, entry, known)
    return known


def register_model(
    stage: Stage, origin: Origin, judged: Judged, known: Mapping[str, Version], *, refitted: Fitted | None = None
) -> Version:
    """Register a fitted candidate; `refitted` is the same one fitted on all rows after the decision.

    `known` are the versions of the candidates that it may be made of.
    """
    fitted = refitted or judged.fitted
    assert fitted.tree_blob is not None
    assert judged.scorecard is not None
    contender = fitted.contender
    made_from: dict[str, Json] = {
        "candidate": contender.name,
        "family": contender.family_name,
        "family_reference": contender.reference,
        "params": msgspec.to_builtins(contender.params),
        "chosen": dict(fitted.chosen or {}),
        "seed": stage.seed,
        "task": stage.config.project.task,
        "dataset_version": origin.gathered.version,
        "rows": "all" if refitted else "train",
        "rows_blob": origin.gathered.rows_blob,
        "hashes_blob": origin.gathered.hashes_blob,
        "steps": list(stage.config.prepare.specs),
        "columns": msgspec.to_builtins(origin.gathered.schema.columns),
        "signature": dict(judged.fitted.signature or {}),
        "environment": origin.environment.digest,
        "code_commit": origin.code.commit,
        "code_dirty": origin.code.dirty,
        "family_code": contender.code,
        "scorecard": judged.scorecard.to_json(),
        "evaluated_tree": judged.fitted.tree_blob,
        "members": {name: label(known[name]) for name in fitted.members},
    }
    tags = {"candidate": contender.name, "family": contender.family_name}
    name = stage.config.project.name
    return register_once(
        stage.records.versions, "model", name, fitted.tree_blob, run_id=origin.run_id, lineage=made_from, tags=tags
    )


def challenge(stage: Stage, steps: Steps, gathered: Gathered, winner: Judged) -> Contest:
    """Compare the winner with the champion, paired, on test rows that neither was fitted on.

    The winner takes the champion's place unless it is distinguishably worse: newer data and the project's
    present settings speak for it.
    """
    from bakeoff.evaluate.verdict import compare

    champion = stage.records.versions.by_alias(stage.config.project.name, CHAMPION)
    if champion is None:
        return Contest(promoted=True, reason="there was no champion")
    named = label(champion)
    if champion.content == winner.fitted.tree_blob:
        return Contest(promoted=True, champion=named, reason=f"{named} is this very model")
    try:
        judged = judge_champion(stage, steps, gathered, champion)
        unseen = _unseen(stage, gathered, champion)
    except (NotFoundError, CorruptError) as error:  # a lost or damaged champion must not stop its successor
        return Contest(promoted=True, champion=named, reason=f"{named} cannot be read any more: {error}")
    if judged.scorecard is None:
        return Contest(promoted=True, champion=named, reason=f"{named} cannot be evaluated any more: {judged.error}")
    truth, ours = outcomes(stage, winner)
    _, theirs = outcomes(stage, judged)
    if not unseen.any():
        return Contest(promoted=True, champion=named, reason=f"{named} has seen every test row: nothing to compare on")
    group_n = groups(stage, gathered)
    found = compare(
        truth[unseen],
        _rows(ours, unseen),
        _rows(theirs, unseen),
        stage.metric,
        seed=stage.seed,
        resamples=stage.config.decide.resamples,
        groups_n=None if group_n is None else group_n[unseen],
        task=stage.config.project.task,
    )
    worse = found.inferior(stage.config.decide.margin)
    numbers = f"{found.difference:+.4f} {stage.metric} [{found.low:+.4f}, {found.high:+.4f}]"
    told = f"{numbers} on {int(unseen.sum())} unseen rows"
    reason = f"distinguishably worse than {named}: {told}" if worse else f"not worse than {named}: {told}"
    return Contest(promoted=not worse, champion=named, reason=reason, comparison=found)


def _rows(predictions: Any, which: Any) -> Any:
    shares = predictions.probabilities_nk
    return replace(
        predictions,
        values_n=predictions.values_n[which],
        probabilities_nk=None if shares is None else shares[which],
    )


def _unseen(stage: Stage, gathered: Gathered, champion: Version) -> Any:
    """Which test rows the champion was not fitted on, as a mask over the test rows."""
    import numpy as np

    made = champion.lineage
    tests = load_arrays(stage, gathered.hashes_blob)[load_arrays(stage, gathered.rows_blob)["test"]]
    hashes = load_arrays(stage, cast("str", made["hashes_blob"]))
    if made["rows"] == "all":
        seen = hashes
    else:
        rows = load_arrays(stage, cast("str", made["rows_blob"]))
        seen = hashes[np.concatenate([rows["train"], rows["validation"]])]
    return ~np.isin(tests, seen)


def make_live(stage: Stage, steps: Steps, origin: Origin, winner: Judged, known: Mapping[str, Version]) -> Release:
    """Promote the winner and move the endpoint to it; with `[loop] refit` it is fitted on all rows first."""
    refitted = None
    if stage.config.loop.refit:
        stage.progress(f"{winner.name}: fitting on all rows")
        refitted = refit(stage, steps, origin.gathered, winner.fitted)
        if refitted.tree_blob is None:
            stage.progress(f"{winner.name}: not fitted on all rows ({refitted.error}); releasing the evaluated model")
            refitted = None
    version = promote(stage.records.versions, register_model(stage, origin, winner, known, refitted=refitted))
    return release(
        stage.records.documents,
        endpoint=stage.endpoint,
        model=version.name,
        number=version.number,
        family=winner.fitted.contender.reference,
        blob_id=version.content,
        clock=stage.clock,
        steps=stage.config.prepare.specs,
        reference_id=_reference(stage, steps, origin.gathered, winner),
        columns=tuple(c.name for c in origin.gathered.schema.columns if c.name != origin.gathered.schema.target),
    )


def _reference(stage: Stage, steps: Steps, gathered: Gathered, winner: Judged) -> str:
    """What monitoring compares with: the test rows as they came, what the winner said of them and how well."""
    inputs: dict[str, Json] = {"snapshot": gathered.snapshot_blob, "rows": gathered.rows_blob, "key": winner.key}

    def work() -> dict[str, Json]:
        import polars as pl

        from bakeoff.monitor.reference import make, to_bytes

        assert winner.scorecard is not None
        signature = msgspec.convert(winner.fitted.signature, Signature)
        rows = load_arrays(stage, gathered.rows_blob)
        table = pl.read_parquet(io.BytesIO(stage.blobs.get(gathered.snapshot_blob)))
        _, said = outcomes(stage, winner)
        reference = make(
            table[rows["kept"][rows["test"]]],
            signature.inputs,
            said,
            task=signature.task,
            metric=stage.metric,
            value=winner.scorecard.metrics[stage.metric].value,
        )
        return {"reference_blob": stage.blobs.put(to_bytes(reference))}

    return cast("str", steps.once(steps.key("reference", inputs), work)["reference_blob"])
