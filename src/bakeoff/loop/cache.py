"""Do each piece of work once: results are kept under the hash of code, inputs, parameters and environment."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import msgspec

from bakeoff.core.hashing import digest_json
from bakeoff.core.jobs import Job, job_key
from bakeoff.core.protocols import BlobStore, DocumentRecords
from bakeoff.core.records import DocumentChange
from bakeoff.core.refs import blobs_of
from bakeoff.core.types import Json
from bakeoff.environment.capture import versions_of

if TYPE_CHECKING:
    from bakeoff.loop.context import Stage
    from bakeoff.loop.shared_steps import SharedSteps

__all__ = ["Result", "Steps", "step_key"]

Result: TypeAlias = dict[str, Json]
COLLECTION = "steps"
_Made = TypeVar("_Made")


class Steps:
    """Finished steps, in records. A step is published before it is marked done, so a kill loses only itself.

    A step's result is JSON; the keys that end in `_blob`, at any depth, name blobs. A step counts as done only while
    all of them are there and every byte of them is what was stored: a damaged one is made again, and storing it heals
    the store. What is not done here is looked for in the step cache of the team, where there is one, and what is done
    here goes there.
    """

    def __init__(self, documents: DocumentRecords, blobs: BlobStore, shared: "SharedSteps | None" = None) -> None:
        self._documents = documents
        self._blobs = blobs
        self._shared = shared
        self._done = set[str]()
        self.reused: set[str] = set()
        """Names of steps that were done before."""

    @classmethod
    def of(cls, stage: "Stage") -> "Steps":
        """Those of a pass."""
        return cls(stage.records.documents, stage.blobs, stage.shared_steps)

    @property
    def from_cache(self) -> Mapping[str, int]:
        """How many steps came from the step cache, by name."""
        return Counter() if self._shared is None else self._shared.taken

    def key(self, name: str, inputs: Mapping[str, Json]) -> str:
        """The key of a step that is no job: its name and the hash of all that its result depends on."""
        return f"{name}/{digest_json(inputs)}"

    def done(self, key: str) -> Result | None:
        """The kept result of a finished step, or None."""
        document = self._documents.get(COLLECTION, key)
        if document is not None and all(self._blobs.intact(blob) for blob in set(blobs_of(document.body))):
            result = dict(document.body)
            if self._shared is not None:
                self._shared.offer(key, result)
        elif self._shared is not None and (shared := self._shared.get(key)) is not None:
            self._documents.put(COLLECTION, key, result := shared)
        else:
            return None
        self.reused.add(key.partition("/")[0])
        self._done.add(key)
        return result

    def publish(self, key: str, result: Mapping[str, Json]) -> Result:
        """Mark a step done; everything that its result names is durable already."""
        self.publish_all({key: result})
        return dict(result)

    def publish_all(self, results: Mapping[str, Mapping[str, Json]]) -> None:
        """Mark steps done that were done together: the disk is waited for once."""
        self._documents.apply(
            [DocumentChange(collection=COLLECTION, key=key, body=body) for key, body in results.items()]
        )
        if self._shared is not None:  # what was done and yet is made was not good enough: it is replaced there, too
            for key, result in results.items():
                self._shared.offer(key, result, replace=key in self._done)

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
