"""Register models with their lineage, release the winner."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from bakeoff.core import narrow
from bakeoff.core.lineage import ModelOrigin
from bakeoff.core.records import Version
from bakeoff.core.refs import BlobRef
from bakeoff.core.releases import Release
from bakeoff.core.types import Json, Signature
from bakeoff.loop.cache import Steps
from bakeoff.loop.challenger import challenge_by
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, load_arrays
from bakeoff.loop.evaluate import Judged, outcomes
from bakeoff.loop.fidelity import served_as_trained
from bakeoff.loop.fit import Fitted
from bakeoff.loop.origin import RunOrigin
from bakeoff.loop.prompts import prompt_origin, prompt_version
from bakeoff.loop.ship import on_all_that_is_known
from bakeoff.metrics.intervals import Interval
from bakeoff.registry.lineage import label
from bakeoff.registry.register import CHAMPION, promote, register_once
from bakeoff.results.shipped import Shipped
from bakeoff.security.audit import AuditLog
from bakeoff.serve.endpoints import Endpoints
from bakeoff.serve.releases import current, make_release

__all__ = ["ReadyWinner", "make_ready", "monitoring_reference", "register_model", "register_models", "route"]

REFERENCE_FORMAT = 3
"""Of what monitoring compares with; of another one it is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyWinner:
    """A winner made ready to serve, of run `run_id`: nothing is routed to its `release` yet.

    `raises`: as champion, it is what later ones are held to.
    """

    run_id: str
    release: Release
    version: Version
    shipped: Shipped
    raises: bool = False


def register_models(stage: Stage, origin: RunOrigin, judged: Sequence[Judged]) -> dict[str, Version]:
    """Register all candidates that could be evaluated, by name; those that others are made of come first."""
    fine = [entry for entry in judged if entry.scorecard is not None]
    known: dict[str, Version] = {}
    for entry in sorted(fine, key=lambda entry: bool(entry.fitted.members)):
        known[entry.name] = register_model(stage, origin, entry, known)
    return known


def register_model(
    stage: Stage,
    origin: RunOrigin,
    judged: Judged,
    known: Mapping[str, Version],
    *,
    refitted: Fitted | None = None,
    shipped: Shipped | None = None,
) -> Version:
    """Register a fitted candidate; `refitted` is the same one fitted on all rows after the decision.

    `known` are the versions of the candidates that it may be made of, `shipped` says on how many rows it was fitted.
    """
    fitted = refitted or judged.fitted
    assert fitted.tree_blob is not None
    assert judged.scorecard is not None
    contender = fitted.contender
    gathered = origin.gathered
    data = gathered.summary
    evaluated_rows = data.prepared_rows if fitted.folds else data.train + data.validation
    made_from = ModelOrigin(
        candidate=contender.name,
        family=contender.family_name,
        params=msgspec.to_builtins(contender.params),
        chosen=dict(fitted.chosen or {}),
        search_found=msgspec.to_builtins(dict(stage.found)),
        seed=stage.seed,
        task=stage.config.project.task,
        dataset_version=gathered.version,
        rows="all" if refitted or fitted.folds else "train",
        fitted_rows=shipped.rows if refitted and shipped else evaluated_rows,
        evaluated_rows=evaluated_rows,
        rows_blob=BlobRef(gathered.rows_blob),
        hashes_blob=BlobRef(gathered.hashes_blob),
        steps=tuple(stage.config.prepare.specs),
        columns=gathered.schema.columns,
        contract=BlobRef(stage.contract.version) if stage.contract else None,
        signature=msgspec.convert(judged.fitted.signature, Signature),
        environment=origin.environment.digest,
        code_commit=origin.code.commit,
        code_dirty=origin.code.dirty,
        code=origin.code,
        family_code=contender.code,
        scorecard=judged.scorecard.to_json(),
        evaluated_tree=BlobRef(judged.fitted.tree_blob) if judged.fitted.tree_blob else None,
        fold_trees=tuple(map(BlobRef, fitted.folds)),
        fold_outcomes_blob=BlobRef(judged.outcomes_blob) if fitted.folds and judged.outcomes_blob else None,
        ledger=_ledger(gathered, fitted),
        prompt=prompt_origin(prompt_version(stage, contender, origin.run_id)),
        members={name: label(known[name]) for name in fitted.members if name in known},
    )
    tags = {"candidate": contender.name, "family": contender.shown.family_name}
    name = stage.config.project.name
    return register_once(
        stage.records.versions, "model", name, fitted.tree_blob, run_id=origin.run_id, made_from=made_from, tags=tags
    )


def _ledger(gathered: Gathered, fitted: Fitted) -> Mapping[str, Json] | None:
    """What of the data did not reach this model."""
    return None if gathered.ledger is None else gathered.ledger.with_losses(fitted.losses).to_json()


def make_ready(
    stage: Stage,
    steps: Steps,
    origin: RunOrigin,
    winner: Judged,
    known: Mapping[str, Version],
    *,
    value: Interval | None = None,
    raises: bool = False,
) -> ReadyWinner:
    """Make the winner ready to serve, fitted on all rows where it can be; `route` then gives it its role.

    `value` is the winner's, without what its choice flatters it by: what monitoring may expect. `raises`: as champion,
    it is what later ones are held to.
    """
    refitted, shipped = on_all_that_is_known(stage, steps, origin.gathered, winner)
    found = served_as_trained(stage, steps, refitted or winner.fitted)
    made = register_model(stage, origin, winner, known, refitted=refitted, shipped=shipped)
    schema = origin.gathered.schema
    ready = make_release(
        stage.records.documents,
        endpoint=stage.endpoint,
        model=made.name,
        number=made.number,
        family=winner.fitted.contender.family_name,
        blob_id=made.content,
        clock=stage.clock,
        steps=stage.config.prepare.specs,
        reference_id=monitoring_reference(stage, steps, origin.gathered, winner, value),
        contract_id=stage.contract.version if stage.contract else None,
        derived=narrow.json_object(found.get("files") or {}),
        columns=tuple(c.name for c in schema.columns if c.name not in {schema.target, schema.rejected}),
        aside=tuple(sorted({schema.target, stage.config.data.rejected_column, *stage.config.data.ignore})),
    )
    return ReadyWinner(run_id=origin.run_id, release=ready, version=made, shipped=shipped, raises=raises)


def route(stage: Stage, winner: ReadyWinner, *, who: str = "bakeoff run", why: str = "") -> Release:
    """The winner's release with its role on the endpoint, given it now, as `[endpoint] rollout` says.

    It is the champion when it is live; before, as a canary or a shadow, the challenger. Without a champion there is
    nothing to prove itself against: it is live at once. Where shadows come first, one that is a canary by now stays it.
    Who takes another one's place does so in one change, which `undo` takes back.
    """
    settings, name = stage.config.endpoint, stage.endpoint
    ready, version = winner.release, winner.version
    audit = AuditLog(stage.records.documents, stage.clock)
    endpoints = Endpoints(stage.records.documents, stage.clock, who=who, beside=audit.endpoint_moved)
    why = f"the winner of run {winner.run_id}{f': {why}' if why else ''}"
    live = current(stage.records.documents, name)
    wins_again = live is not None and live.release_id == ready.release_id
    champion = stage.records.versions.by_alias(stage.config.project.name, CHAMPION)
    if settings.rollout == "direct" or live is None or champion is None or wins_again:
        promote(stage.records.versions, version)
        if not wins_again:  # what is tried beside it has its own reasons
            endpoints.release(name, ready.release_id, why=why)
        return replace(ready, status="live", share=1.0)
    if settings.rollout == "canary":
        endpoints.canary(name, ready.release_id, share=settings.canary_share, why=why, takes_over=True)
    elif ready.status == "retired":
        endpoints.shadow(name, ready.release_id, why=why, takes_over=True)
    challenge_by(stage.records, version, raises=winner.raises)
    return next(each for each in endpoints.routed(name) if each.release_id == ready.release_id)


def monitoring_reference(stage: Stage, steps: Steps, gathered: Gathered, winner: Judged, value: Interval | None) -> str:
    """What monitoring compares with: the test rows as they came, what the winner said of them and how well."""
    assert winner.scorecard is not None
    measured = winner.scorecard.metrics[stage.live_metric].value
    expected = value.value if value is not None and stage.live_metric == stage.metric else measured
    inputs: dict[str, Json] = {"snapshot": gathered.snapshot_blob, "rows": gathered.rows_blob, "key": winner.key}
    inputs |= {"metric": stage.live_metric, "value": expected, "format": REFERENCE_FORMAT}

    def work() -> dict[str, Json]:
        import polars as pl

        from bakeoff.monitor.reference import make, to_bytes

        signature = msgspec.convert(winner.fitted.signature, Signature)
        rows = load_arrays(stage.blobs, gathered.rows_blob)
        table = pl.read_parquet(io.BytesIO(stage.blobs.get(gathered.snapshot_blob)))
        truth, said = outcomes(stage, winner)
        time, tested = stage.config.data.time, table[rows["kept"][rows["test"]]]
        timed = time is not None and time in tested.columns and tested[time].dtype.is_temporal()
        reference = make(
            tested,
            signature.inputs,
            said,
            task=signature.task,
            metric=stage.live_metric,
            value=expected,
            truth=truth,
            days=tested[time].cast(pl.Date).to_list() if timed and time is not None else (),
        )
        return {"reference_blob": stage.blobs.put(to_bytes(reference))}

    return narrow.text(steps.once(steps.key("reference", inputs), work)["reference_blob"])
