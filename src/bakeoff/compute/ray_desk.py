"""Where jobs on the nodes of a Ray cluster leave word for the program that asked for them: an actor beside it.

It has their lines of progress, the ids of checkpoints that they keep in the blobs, and what trainings over several
nodes came to. It must outlast every node that may be lost, so it is on the node of the program, where there is one.
"""

import contextlib
import json
import time
from pathlib import Path
from typing import Any, TypeAlias

from bakeoff.core.errors import BakeoffError
from bakeoff.core.protocols import BlobStore

__all__ = ["Answer", "CheckpointFile", "CheckpointIds", "Checkpoints", "Desk"]

CheckpointIds: TypeAlias = dict[str, dict[str, str]]
"""By the key of a job: the blobs of its checkpoints, by their paths below the cache."""
Answer: TypeAlias = tuple[Any, Any]
"""What a training came to: its value and None, or None and its error."""
WAIT_S = 120
MOST_OF_TIME = 0.1
"""What keeping checkpoints may take of a training's time."""


class Desk:
    """The actor."""

    def __init__(self, checkpoints: CheckpointIds) -> None:
        self._checkpoints, self._changed = checkpoints, False
        self._lines: list[tuple[str, str]] = []
        self._answers: dict[str, Answer] = {}

    def add(self, name: str, line: str) -> None:
        """A line of progress of a job."""
        self._lines.append((name, line))

    def take(self) -> tuple[list[tuple[str, str]], CheckpointIds | None]:
        """Lines since the last time, and all that is kept, if it has changed."""
        lines, self._lines = self._lines, []
        changed, self._changed = self._changed, False
        return lines, self._checkpoints if changed else None

    def save(self, key: str, path: str, blob: str) -> None:
        """A checkpoint of a job, in place of an older one of that path."""
        self._checkpoints.setdefault(key, {})[path] = blob
        self._changed = True

    def saved(self, key: str) -> dict[str, str]:
        """The checkpoints of a job."""
        return self._checkpoints.get(key, {})

    def drop(self, key: str) -> None:
        """The job is done."""
        self._changed = self._checkpoints.pop(key, None) is not None or self._changed

    def answer(self, key: str, answer: Answer) -> None:
        """What a training came to; the first that is known."""
        self._answers.setdefault(key, answer)

    def answered(self, key: str) -> Answer | None:
        """What a training came to, if it did."""
        return self._answers.get(key)


class CheckpointFile:
    """What jobs kept, for the next program: one that was killed is asked for them again.

    Args:
        cache: a folder of the program's machine that lasts.
    """

    def __init__(self, cache: Path) -> None:
        self._file = cache / "ray-checkpoints.json"

    def read(self) -> CheckpointIds:
        """All that is known; nothing where there is no such file, or half of one."""
        try:
            return json.loads(self._file.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}

    def write(self, checkpoints: CheckpointIds) -> None:
        """All that is known now."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps(checkpoints))
        draft.replace(self._file)


class Checkpoints:
    """What a job keeps, on the node where it runs: files below the cache, put into the blobs now and then."""

    def __init__(self, blobs: BlobStore, desk: Any, key: str, cache: Path) -> None:
        self._blobs, self._desk, self._key, self._cache = blobs, desk, key, cache
        self._took_s = self._ended_s = 0.0

    def fetch(self) -> None:
        """Have what was kept in the cache; what is not in the blobs any more, or cannot be had, is trained again."""
        import ray

        saved: dict[str, str] = {}
        with contextlib.suppress(Exception):  # without the desk the job is done anew
            saved = ray.get(self._desk.saved.remote(self._key), timeout=WAIT_S)
        for path, blob in saved.items():
            with contextlib.suppress(BakeoffError):
                self._blobs.fetch(blob, self._cache / path)

    def keep(self, file: Path) -> None:
        """Keep a file of the cache, unless that took long a moment ago; without a store the training goes on."""
        import ray

        started = time.monotonic()
        if self._ended_s and started - self._ended_s < self._took_s / MOST_OF_TIME:
            return
        with contextlib.suppress(Exception):  # of the store, of Ray, of many classes
            blob = self._blobs.put(file)
            ray.get(self._desk.save.remote(self._key, str(file.relative_to(self._cache)), blob), timeout=WAIT_S)
        self._ended_s = time.monotonic()
        self._took_s = self._ended_s - started
