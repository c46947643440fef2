"""How long the project's predictions stay in the log: what may go now, a pass, and a server's passes."""

import logging
import sys
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING

from bakeoff.config.duration import retention_seconds
from bakeoff.core.children import Child
from bakeoff.core.errors import ConflictError, UsageError
from bakeoff.core.moments import moment
from bakeoff.core.protocols import Clock
from bakeoff.core.retention import ExpiringEvents, Expiry, Retention
from bakeoff.core.threads import repeatedly

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["expire", "expiring"]

PASSES, LOG = "retention", "log"
"""The document that says when the last pass began."""
DAY_S = 86_400
PASSES_IN_TIME = 24
"""So many passes there are within the shortest time that predictions stay, and one a day at least."""
LOOK_S = 30.0
END_S = 20.0
MOST_LINES = 5

logger = logging.getLogger(__name__)


def expire(project: "Project", clock: Clock, *, look: bool) -> Expiry:
    """Remove what is past its retention, or look what would go.

    Raises:
        UsageError: the log lets nothing go.
    """
    retention = _retention(project, clock)
    if not retention.limits:
        return Expiry(notes=retention.notes)
    events = project.events
    if not isinstance(events, ExpiringEvents):
        raise UsageError(
            f"expected an event log that can let old events go, received {type(events).__name__}, which cannot: leave "
            "[endpoint] keep out, and remove them by its own means"
        )
    return events.expire(retention, look=look)


def _times_s(project: "Project") -> dict[str, float]:
    """How long predictions stay, by endpoint, in seconds; of others for ever."""
    from bakeoff.serve.releases import endpoints

    names = {project.endpoint, *project.config.endpoints, *endpoints(project.records.documents)}
    times_s = {name: retention_seconds(project.served(name).keep) for name in sorted(names)}
    return {name: time_s for name, time_s in times_s.items() if isfinite(time_s)}


def _retention(project: "Project", clock: Clock) -> Retention:
    """What may go now: what a rollout and the review queue need stays."""
    from bakeoff.feedback.review import ReviewQueue
    from bakeoff.serve.routes import endpoint_of

    documents, limits, notes = project.records.documents, dict[str, int](), list[str]()
    for name, time_s in _times_s(project).items():
        limit, endpoint = clock() - int(time_s * 1000), endpoint_of(documents, name)
        began = min((route.since_ms for route in endpoint.others), default=limit) if endpoint else limit
        if began < limit:
            notes.append(f"endpoint {name!r} has all since {moment(began)}, when a rollout began that still goes on")
        limits[name] = min(limit, began)
    queue = ReviewQueue(documents, clock, lease_ms=0)
    asked_for = (row for batch in queue.batches() if not batch.closed for row in queue.rows(batch.id))
    spared = frozenset(row.id for row in asked_for if not row.done) if limits else frozenset[str]()
    return Retention(limits=limits, spared=spared, notes=tuple(notes))


# --- a server's -------------------------------------------------------------------------------------


@contextmanager
def expiring(project: "Project", clock: Clock, *, every_s: float = LOOK_S) -> Generator[None]:
    """Have a thread start `bakeoff expire` in a process when that is due; one server of all that there are does so."""
    times_s = _times_s(project).values()
    if not times_s:
        yield
        return
    pause_ms = int(min(DAY_S, min(times_s) / PASSES_IN_TIME) * 1000)

    def look(stop: threading.Event) -> None:
        if _is_ours(project, clock, pause_ms):
            _pass(project, stop)

    complaint = "the prediction log was not looked through for what is past its retention"
    with repeatedly(look, every_s=every_s, name="retention", logger=logger, complaint=complaint):
        yield


def _is_ours(project: "Project", clock: Clock, pause_ms: int) -> bool:
    """Whether a pass is due, and this process is the first to say that it makes it."""
    documents, now_ms = project.records.documents, clock()
    last = documents.get(PASSES, LOG)
    began_ms = last.body.get("began_ms") if last else None
    if isinstance(began_ms, int) and 0 <= now_ms - began_ms < pause_ms:
        return False
    try:
        documents.put(PASSES, LOG, {"began_ms": now_ms}, expected=last.revision if last else 0)
    except ConflictError:
        return False
    return True


def _pass(project: "Project", stop: threading.Event) -> None:
    """A pass in a process of its own, which leaves the processor to answers; it ends when the server does."""
    lines: deque[str] = deque(maxlen=MOST_LINES)

    def note(line: str | None) -> None:
        if line is not None:
            lines.append(line.strip())

    command = [sys.executable, "-m", "bakeoff", "expire", "--gently", "--json", "-C", str(project.folder)]
    child = Child(command, note, lines_of="both")
    while child.is_alive and not stop.wait(LOOK_S / 60):
        pass
    if child.is_alive:
        child.terminate(with_own=True)
    child.end(END_S)
    if child.code and not stop.is_set():
        logger.warning("what is past its retention was not removed: %s", lines[-1] if lines else "it said nothing")
