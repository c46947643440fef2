"""Replays of a policy that somebody looks at, in a process that ends when it takes too long or nobody looks."""

import json
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from bakeoff.core.children import Child
from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.loop.replay import ReplayResult

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["Preview", "PreviewState", "Previews"]

PreviewState: TypeAlias = Literal["running", "done", "failed", "cancelled", "late"]
MOST_S, UNSEEN_S, LOOK_S, CLOSE_S = 600.0, 30.0, 0.25, 10.0
"""How long one may take; after how long nobody looks any more; how often that is looked at;
how long its end is waited for."""
LONGEST_LINE = 300


@dataclass(slots=True, kw_only=True)
class Preview:
    """One replay: whose it is, how it goes, and what came of it; `lines` is how many lines it wrote so far."""

    id: str
    who: str
    began: float
    seen: float
    state: PreviewState = "running"
    line: str = ""
    lines: int = 0
    result: ReplayResult | None = None
    problem: str = ""
    changed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    document: dict[str, Any] | None = None

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.began


class Previews:
    """The replays of a project's policy for its pages: one at a time, as fits take the machine and the project's lock.

    Args:
        project: whose policy and past it is.
        most_s: how long one may take.
        unseen_s: after so long without a look at it, one is ended.
    """

    def __init__(self, project: "Project", *, most_s: float = MOST_S, unseen_s: float = UNSEEN_S) -> None:
        self._project, self._most_s, self._unseen_s = project, most_s, unseen_s
        self._lock = threading.Lock()
        self._last: Preview | None = None
        self._child: Child | None = None
        self._watching: threading.Thread | None = None

    def start(self, text: str, arguments: Sequence[str], *, who: str, changed: Mapping[str, Any]) -> Preview:
        """Replay the policy of a project file (its text) beside the project's own.

        Args:
            text: of the file.
            arguments: of `bakeoff loop replay`: the column, the periods.
            who: who asked, and may look at it. An earlier one of theirs is ended.
            changed: the settings that are tried, to be shown with the result.

        Raises:
            ConflictError: somebody else's is running.
        """
        with self._lock:
            if self._last is not None and self._last.state == "running" and self._last.who != who:
                raise ConflictError(f"expected no other preview, but {self._last.who} is running one: try again later")
            self._end("cancelled")
            now = time.monotonic()
            preview = Preview(id=secrets.token_urlsafe(9), who=who, began=now, seen=now, changed=changed)
            folder = Path(tempfile.mkdtemp(prefix="bakeoff-preview-"))
            file = folder / self._project.loaded.file
            file.write_text(text, encoding="utf-8")
            program = [sys.executable, "-m", "bakeoff", "loop", "replay", *arguments]
            command = [*program, "--beside", str(file), "--json", "-C", str(self._project.folder / file.name)]

            def on_line(line: str | None) -> None:
                _take(preview, line)

            self._last, self._child = preview, Child(command, on_line, lines_of="both")
            self._watching = threading.Thread(target=self._watch, args=(preview, self._child, folder), daemon=True)
            self._watching.start()
            return preview

    def get(self, preview_id: str, *, who: str) -> Preview:
        """The preview of an id, which is hereby looked at.

        Raises:
            NotFoundError: there is none of this id that is theirs, or a later one took its place.
        """
        with self._lock:
            if self._last is None or self._last.id != preview_id or self._last.who != who:
                raise NotFoundError(f"expected a preview of yours, received {preview_id[:40]!r}: begin another")
            self._last.seen = time.monotonic()
            return self._last

    def cancel(self, preview_id: str, *, who: str) -> None:
        """End it, if it is theirs and still running."""
        with suppress(NotFoundError):
            self.get(preview_id, who=who)
            with self._lock:
                self._end("cancelled")

    def close(self) -> None:
        """End what is running, and wait until nothing is left of it."""
        with self._lock:
            self._end("cancelled")
        if self._watching is not None:
            self._watching.join(CLOSE_S)

    def _end(self, state: PreviewState) -> None:
        if self._last is None or self._child is None or self._last.state != "running":
            return
        self._last.state = state
        self._child.terminate(with_own=True)

    def _watch(self, preview: Preview, child: Child, folder: Path) -> None:
        """Wait for its end, or end it."""
        while child.is_alive:
            time.sleep(LOOK_S)
            late = preview.seconds > self._most_s
            if late or time.monotonic() - preview.seen > self._unseen_s:
                with self._lock:
                    if self._last is preview:
                        self._end("late" if late else "cancelled")
            if preview.state != "running":
                child.end(5)
        child.end(1)  # its last line is read
        shutil.rmtree(folder, ignore_errors=True)
        if preview.state == "running":
            _conclude(preview, child.code)


def _take(preview: Preview, line: str | None) -> None:
    """A line of progress, or the document at the end."""
    if line is None:
        return
    document: Any = None
    if line.startswith("{"):
        with suppress(ValueError):
            document = json.loads(line)
    if isinstance(document, dict):
        preview.document = document
    elif line.strip():
        preview.line, preview.lines = line.strip()[:LONGEST_LINE], preview.lines + 1


def _conclude(preview: Preview, code: int | None) -> None:
    document = preview.document or {}
    if code == 0 and document:
        try:
            preview.result = msgspec.convert(document, ReplayResult)
        except msgspec.ValidationError as error:
            preview.problem = str(error)
    else:
        preview.problem = str(document.get("error", {}).get("message") or preview.line or f"it ended with {code}")
    preview.state = "failed" if preview.result is None else "done"
