"""What a job reads and makes, as files: fetched from the blobs before it runs, stored in them after."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

from bakeoff.core.errors import CandidateError
from bakeoff.core.jobs import Job, JobContext, Progress
from bakeoff.core.protocols import BlobStore
from bakeoff.core.refs import BlobRef
from bakeoff.core.threads import at_once

__all__ = ["JobFiles"]


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The inputs and outputs of jobs in a folder; an input that several jobs have is there once."""

    blobs: BlobStore
    folder: Path
    _outputs: dict[str, Mapping[str, Path]] = field(default_factory=dict[str, Mapping[str, Path]])
    _numbers: Iterator[int] = field(default_factory=count)

    def context(self, job: Job, *, cache: Path, threads: int, progress: Progress) -> JobContext:
        """What the job's function is called with: its inputs are fetched, and its outputs have a place."""
        inputs = {name: self.folder / "inputs" / blob / name for name, blob in job.inputs.items()}
        for name, path in inputs.items():
            if not path.exists():
                self.blobs.fetch(job.inputs[name], path)
        own = self.folder / str(next(self._numbers))
        for part in ("outputs", "scratch"):
            (own / part).mkdir(parents=True)
        self._outputs[job.name] = {name: own / "outputs" / name for name in job.outputs}
        return JobContext(
            inputs=inputs,
            outputs=self._outputs[job.name],
            scratch=own / "scratch",
            cache=cache,
            threads=threads,
            progress=progress,
        )

    def stored(self, job: Job) -> dict[str, BlobRef]:
        """What a job that has ended left.

        Raises:
            CandidateError: one of its outputs is not there.
        """
        outputs = self._outputs.pop(job.name)
        lacking = next((name for name, path in outputs.items() if not path.exists()), None)
        if lacking is not None:
            raise CandidateError(f"expected {job.function} to leave {lacking!r}, received nothing")
        return dict(zip(outputs, at_once(partial(self._put, cut=not job.short), outputs.values()), strict=True))

    def _put(self, path: Path, *, cut: bool) -> BlobRef:
        return BlobRef(self.blobs.put_tree(path, cut=cut) if path.is_dir() else self.blobs.put(path))
