"""One run at a time over several hosts: a lease in the records, which its holder renews.

Clocks are never compared: a lease has ended when nobody has renewed it for `LEASE_S` seconds of the observer's own
clock. Who holds one and could not renew it for so long knows by its own clock that it may have lost it, and stops. What
keeps two from harm all the same is that each change of an endpoint is a compare-and-swap.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from bakeoff.core.errors import ConflictError, StoreError
from bakeoff.core.protocols import DocumentRecords

__all__ = ["Lease", "leased"]

LEASES, RUN = "leases", "run"
LEASE_S = 30.0
RENEWALS = 3
"""In the time of a lease."""
LOOK_S = 0.5

logger = logging.getLogger(__name__)


class Lease:
    """A lease that is held; `require` says whether it still is."""

    def __init__(self, documents: DocumentRecords, holder: str, revision: int) -> None:
        self._documents, self._holder, self._revision = documents, holder, revision
        self._renewed = time.monotonic()
        self._taken: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="bakeoff-lease", daemon=True)
        self._thread.start()

    def require(self) -> None:
        """Go on only while it is held.

        Raises:
            ConflictError: another host has it, or could have it by now.
        """
        if self._taken is None and time.monotonic() - self._renewed > LEASE_S:
            self._taken = f"it could not be renewed for {LEASE_S:.0f} s"
        if self._taken is not None:
            raise ConflictError(
                f"expected to be the only run in this project, but {self._taken}; what is done is stored: run again"
            )

    def end(self) -> None:
        """Give it back."""
        self._ended.set()
        self._thread.join()
        with suppress(ConflictError, StoreError):  # it is another's, or ends by itself
            self._documents.put(LEASES, RUN, {"holder": None}, expected=self._revision)

    def _renew(self) -> None:
        while not self._ended.wait(LEASE_S / RENEWALS):
            began = time.monotonic()
            try:
                body = {"holder": self._holder}
                self._revision = self._documents.put(LEASES, RUN, body, expected=self._revision).revision
                self._renewed = began
            except ConflictError:
                self._taken = "another host has taken over"
                return
            except StoreError as error:  # it may be back in time
                logger.warning("the lease of this run could not be renewed: %s", error)


@contextmanager
def leased(documents: DocumentRecords, place: Path, *, progress: Callable[[str], None]) -> Generator[Lease]:
    """Hold the lease for the block.

    Args:
        documents: where it is.
        place: this process's folder of state, which is locked: a lease that another process took here is a dead one's.
        progress: takes a line while it is waited for.

    Raises:
        ConflictError: another host holds it.
    """
    here = f"{socket.gethostname()}:{place}"
    lease = Lease(documents, f"{here}:{os.getpid()}", _take(documents, here, progress))
    try:
        yield lease
        lease.require()
    finally:
        lease.end()


def _take(documents: DocumentRecords, here: str, progress: Callable[[str], None]) -> int:
    """The revision of the lease that is ours now."""
    current = documents.get(LEASES, RUN)
    holder = None if current is None else current.body.get("holder")
    if current is not None and holder is not None and not str(holder).startswith(f"{here}:"):
        progress(f"waiting to see whether the run at {holder} is alive")
        until = time.monotonic() + LEASE_S
        while time.monotonic() < until:
            time.sleep(LOOK_S)
            now = documents.get(LEASES, RUN)
            if now is None or now.body.get("holder") is None:
                current = now
                break
            if now.revision != current.revision:
                raise _taken_by(now.body.get("holder"))
    body = {"holder": f"{here}:{os.getpid()}"}
    try:
        return documents.put(LEASES, RUN, body, expected=0 if current is None else current.revision).revision
    except ConflictError:
        now = documents.get(LEASES, RUN)
        raise _taken_by(None if now is None else now.body.get("holder")) from None


def _taken_by(holder: object) -> ConflictError:
    return ConflictError(
        f"expected no other run in this project, but one is on at {holder}; wait for it to end, or stop it"
    )
