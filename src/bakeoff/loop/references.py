"""All that records hold of content: what a collection of garbage must keep, and what a check must see."""

from collections.abc import Iterator, Mapping
from typing import get_args

from bakeoff.core import narrow
from bakeoff.core.protocols import RecordStore
from bakeoff.core.queries import Query, every
from bakeoff.core.records import VersionKind
from bakeoff.core.refs import BlobRef, Reference, blobs_of, ref
from bakeoff.core.types import Json
from bakeoff.loop.cache import COLLECTION as STEPS
from bakeoff.loop.fine_tune_jobs import FineTuneJobs
from bakeoff.loop.sources import FEEDBACK
from bakeoff.loop.stored_files import StoredFiles
from bakeoff.loop.stored_outcome import LAST, PASSES
from bakeoff.registry.lineage import label
from bakeoff.registry.register import all_versions
from bakeoff.serve.releases import all_releases

__all__ = ["references"]


def references(records: RecordStore) -> Iterator[Reference]:
    """Each blob that a record needs, with the record; a blob may come several times."""
    documents = records.documents
    for run in every(records.runs.search, Query(lifecycle=None)):
        yield from _owned(run.refs(), f"run {run.run_id}")
    for kind in get_args(VersionKind):
        for version in all_versions(records.versions, kind):
            yield from _owned(version.refs(), f"{kind} {label(version)}")
    for release in all_releases(documents):
        yield from _owned(release.refs(), f"release {release.release_id} of endpoint {release.endpoint!r}")
    for document in documents.find(STEPS):
        for blob in blobs_of(document.body):
            yield Reference(blob=blob, owner=f"step {document.key.partition('/')[0]}", step=document.key)
    for file in StoredFiles.known(documents):
        yield from _owned(file.refs(), f"file {file.id}")
    for job in FineTuneJobs.known(documents):
        yield from _owned(job.refs(), f"fine-tuning job {job.id}")
    if (last := documents.get(PASSES, LAST)) is not None:
        yield from _owned(_of_last(last.body), "the last run")
    if (feedback := documents.get(*FEEDBACK)) is not None:
        yield from _owned(blobs_of(feedback.body), "the feedback that joined the data")


def _of_last(body: Mapping[str, Json]) -> Iterator[BlobRef]:
    """The last run's rows and its outcome; what that names belongs to its releases and versions."""
    yield from blobs_of({key: value for key, value in body.items() if key != "document"})
    contract = narrow.json_object(body.get("gathered") or {"summary": {}})["summary"].get("contract")
    yield from ref(contract["version"] if contract else None)


def _owned(blobs: Iterator[BlobRef], owner: str) -> Iterator[Reference]:
    for blob in blobs:
        yield Reference(blob=blob, owner=owner)
