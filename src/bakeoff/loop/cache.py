"""Do each piece of work once: results are kept under the hash of code, inputs, parameters and environment."""

from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

import msgspec

from bakeoff.core.hashing import digest_json
from bakeoff.core.jobs import Job, job_key
from bakeoff.core.protocols import BlobStore, DocumentRecords
from bakeoff.core.refs import blobs_of
from bakeoff.core.types import Json
from bakeoff.environment.capture import versions_of

__all__ = ["Result", "Steps", "step_key"]

Result: TypeAlias = dict[str, Json]
COLLECTION = "steps"
_Made = TypeVar("_Made")


class Steps:
    """Finished steps, in records. A step is published before it is marked done, so a kill loses only itself.

    A step's result is JSON; the keys that end in `_blob`, at any depth, name blobs. A step counts as done only while
    all of them are there and every byte of them is what was stored: a damaged one is made again, and storing it heals
    the store.
    """

    def __init__(self, documents: DocumentRecords, blobs: BlobStore) -> None:
        self._documents = documents
        self._blobs = blobs
        self.reused: set[str] = set()
        """Names of steps that were done before."""

    def key(self, name: str, inputs: Mapping[str, Json]) -> str:
        """The key of a step that is no job: its name and the hash of all that its result depends on."""
        return f"{name}/{digest_json(inputs)}"

    def done(self, key: str) -> Result | None:
        """The kept result of a finished step, or None."""
        document = self._documents.get(COLLECTION, key)
        if document is None:
            return None
        if not all(self._blobs.intact(blob) for blob in set(blobs_of(document.body))):
            return None
        self.reused.add(key.partition("/")[0])
        return dict(document.body)

    def publish(self, key: str, result: Mapping[str, Json]) -> Result:
        """Mark a step done; everything that its result names is durable already."""
        self._documents.put(COLLECTION, key, result)
        return dict(result)

    def once(self, key: str, work: Callable[[], Mapping[str, Json]]) -> Result:
        """The step's result, worked out now if it is not done yet."""
        return self.done(key) or self.publish(key, work())

    def made(self, key: str, kind: type[_Made], work: Callable[[], _Made]) -> _Made:
        """The same for a step whose result is of a class, of which the record is the JSON."""
        return msgspec.convert(self.once(key, lambda: msgspec.to_builtins(work())), kind)


def step_key(name: str, job: Job, *code: str) -> str:
    """The key of a step that is a job: its name and the hash of all that the job's result depends on.

    Args:
        name: of the step.
        job: what is run.
        code: hashes of what the job loads by name; what it imports is in the key anyway.
    """
    return f"{name}/{job_key(job, *code, environment=versions_of(job.requires))}"
