"""Make a registered model version ready to serve on an endpoint."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import NotFoundError
from bakeoff.core.protocols import Clock
from bakeoff.registry.lineage import find_version, label
from bakeoff.serve.releases import Release, all_releases, make_release

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.core.records import Version
    from bakeoff.core.refs import BlobRef
    from bakeoff.project.project import Project

__all__ = ["named_version", "ready"]

REFERENCE_ROWS = 2_000
"""Test rows that are answered for monitoring's reference, where no run has made one."""


def ready(project: "Project", endpoint: str, which: str, *, candidates: Mapping[str, str], clock: Clock) -> Release:
    """The release of a model on an endpoint, made now if there is none; no route changes.

    Args:
        project: whose model it is.
        endpoint: the endpoint's name.
        which: a release id, or a model: a version ("name/2", "2"), an alias, or a candidate of the last run.
        candidates: of the last run, with their versions.
        clock: milliseconds since the epoch.

    Raises:
        NotFoundError: there is no such release or model.
    """
    everything = sorted(all_releases(project.records.documents), key=lambda each: -each.created_ms)
    mine = [each for each in everything if each.endpoint == endpoint]
    known = next((each for each in mine if which == each.release_id), None)
    if known is not None:
        return known
    version = named_version(project, which, candidates=candidates, releases=everything)
    same = next((each for each in mine if each.model_version == label(version)), None)
    if same is not None:
        return same
    like = next((each for each in everything if each.blob_id == version.content), None)
    origin, data = version.model_origin, project.config.data
    special = {data.target, data.rejected_column}
    return make_release(
        project.records.documents,
        endpoint=endpoint,
        model=version.name,
        number=version.number,
        family=origin.family,
        blob_id=version.content,
        clock=clock,
        steps=origin.steps,
        reference_id=like.reference_id if like else _reference(project, version),
        contract_id=origin.contract,
        derived=like.derived if like else {},
        columns=tuple(column.name for column in origin.columns if column.name not in special),
        aside=tuple(sorted({*special, *data.ignore})),
    )


def named_version(
    project: "Project", which: str, *, candidates: Mapping[str, str], releases: Iterable[Release]
) -> "Version":
    """The model version that people name: by the id of a release, as a candidate of the last run, or as a model.

    Raises:
        NotFoundError: there is none.
    """
    released = next((each.model_version for each in releases if each.release_id == which), None)
    name = project.config.project.name
    return find_version(project.records.versions, name, released or candidates.get(which, which))


def _truth(rows: "pl.DataFrame", target: str, classes: tuple[str, ...]) -> "list[Any] | None":
    """What is true of the rows, where all of it means something to the model."""
    known: list[Any] = rows[target].to_list() if target in rows.columns else [None]
    fits = None not in known and (not classes or {*map(str, known)} <= {*classes})
    return known if fits else None


def _reference(project: "Project", version: "Version") -> "BlobRef | None":
    """What monitoring compares with: what the version says of the test rows of its run; None where they are gone.

    A model that writes texts, or takes money, is not asked: it is monitored when a run has released it.
    """
    from bakeoff.core.abilities import abilities_of
    from bakeoff.core.refs import BlobRef
    from bakeoff.loop.stored_outcome import rows_of
    from bakeoff.metrics.registry import default
    from bakeoff.monitor.reference import make, to_bytes

    origin = version.model_origin
    if origin.task == "generation" or origin.signature is None or version.run_id is None:
        return None
    model = project.model(label(version))
    if abilities_of(model.model).usage is not None:
        return None
    try:
        rows = rows_of(project.records, project.blobs, version.run_id, "test")[:REFERENCE_ROWS]
    except NotFoundError:
        return None
    measured = origin.scorecard.get("metrics", {})
    metric = next(
        (each for each in (project.config.decide.metric, default(origin.signature.task)) if each in measured), None
    )
    if metric is None:
        return None
    reference = make(
        rows,
        origin.signature.inputs,
        model.predictions(rows),
        task=origin.signature.task,
        metric=metric,
        value=measured[metric]["value"],
        truth=_truth(rows, project.config.data.target, origin.signature.classes),
    )
    return BlobRef(project.blobs.put(to_bytes(reference)))
