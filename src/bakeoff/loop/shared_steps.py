"""A step cache that a team shares: what one member worked out is there for all whose step has the same key.

entries/STEP/HASH.json  the result of a step, as JSON after a line with its hash; sealed, where blobs are
blobs/                  what results name
tried.json              what `bakeoff doctor` wrote to see that it can

An entry is data that others wrote: it is held against its hash, and so is each blob; folders hold no code. Looking
there must never make a run fail, nor wait for long.
"""

import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import msgspec

from bakeoff.core.errors import CorruptError, MissingKeyError, NotFoundError, SecurityError
from bakeoff.core.hashing import canonical_json, digest
from bakeoff.core.jobs import Progress
from bakeoff.core.protocols import BlobStore
from bakeoff.core.refs import blobs_of
from bakeoff.core.types import Json
from bakeoff.environment.system import machine_kind
from bakeoff.security.model_files import require_safe
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.patience import LostError
from bakeoff.stores.remotes import Remote

__all__ = ["SharedSteps", "try_out"]

FORMAT = 1
ENTRIES, TRIED = "entries", "tried.json"
MEASURED = frozenset({"evaluate"})
"""Steps that measure the machine: they are shared among machines of one kind."""
DAMAGED = (CorruptError, NotFoundError, SecurityError)
"""What is wrong with an entry alone: it counts as none, and is written again."""
_Value = TypeVar("_Value")


class _Entry(msgspec.Struct, kw_only=True):
    format: int
    key: str
    result: dict[str, Any]


class SharedSteps:
    """The step cache of a team; for one run.

    Args:
        remote: where it is.
        blobs: the project's own.
        keyring: with which keys entries are sealed, if any.
        scratch: an existing folder.
        wait_s: a step is waited for no longer, and neither is what remains to be sent at the end.
        writes: send what is worked out here.
        progress: takes a line; called by the thread that asks alone.
    """

    def __init__(
        self,
        remote: Remote,
        blobs: BlobStore,
        *,
        keyring: Keyring,
        scratch: Path,
        wait_s: float,
        writes: bool,
        progress: Progress,
    ) -> None:
        self._remote, self._blobs, self._keyring = remote, blobs, keyring
        self._scratch, self._wait_s, self._progress = scratch, wait_s, progress
        self.taken, self.bytes_taken, self.sent = Counter[str](), 0, 0
        self._lost, self._writes, self._refusal = False, writes, ""
        self._damaged = set[str]()
        self._queue = SimpleQueue[tuple[str, Mapping[str, Json], bool] | None]()
        self._offered, self._handled, self._closing = 0, 0, False  # each is counted by one thread
        self._sender: threading.Thread | None = None

    def get(self, key: str) -> dict[str, Json] | None:
        """The result of a step, all that it names being stored here now; None where it is not to be had."""
        if self._lost:
            return None
        try:
            entry = _within(self._wait_s, lambda: self._fetched(key), "a step did not come")
        except MissingKeyError as error:
            self._lose(error)
        except DAMAGED as error:
            if not self._damaged:
                self._tell(f"an entry is damaged, and is made again: {error}")
            self._damaged.add(key)
        except Exception as error:  # noqa: BLE001 - whatever is wrong there, the step can be worked out here
            self._lose(error)
        else:
            if entry is not None:
                result, size = entry
                self.taken[key.partition("/")[0]] += 1
                self.bytes_taken += size
                return result
        return None

    def offer(self, key: str, result: Mapping[str, Json], *, replace: bool = False) -> None:
        """Send the result of a step, unless one is there that need not be replaced; behind the caller's back."""
        if self._lost or not self._writes:
            return
        if self._sender is None:
            self._sender = threading.Thread(target=self._send_all, name="bakeoff-step-cache", daemon=True)
            self._sender.start()
        self._offered += 1
        self._queue.put((key, result, replace or key in self._damaged))

    def close(self, *, wait: bool = True) -> None:
        """Say what came of it, once what is under way is sent, or has not been in time."""
        if self._sender is not None:
            self._queue.put(None)
            self._sender.join(self._wait_s if wait else 0)
        self._closing = True
        waiting = self._offered - self._handled
        if self._refusal and not self._lost:
            self._tell(f"steps of this run were not sent: {self._refusal}")
        elif waiting:
            self._tell(f"{waiting} steps were not sent within {self._wait_s:g} s; a later run sends them")
        if self.taken or self.sent:
            steps = ", ".join(f"{name} {count}" for name, count in sorted(self.taken.items()))
            came = f" ({steps}; {self.bytes_taken / 1e6:,.1f} MB)" if steps else ""
            self._tell(f"{self.taken.total()} steps came from it{came}, {self.sent} went to it")

    # --- reading --------------------------------------------------------------------------------

    def _fetched(self, key: str) -> tuple[dict[str, Json], int] | None:
        """A result and the bytes that came with it."""
        path = _path(key)
        there = self._remote.get(path)
        if there is None:
            return None
        result, size = _opened(self._keyring.open(_place(path), there.data), path), 0
        with tempfile.TemporaryDirectory(dir=self._scratch, ignore_cleanup_errors=True) as folder:
            for blob in set(blobs_of(result)):
                if not self._blobs.intact(blob):
                    size += _copied(self._remote.blobs, self._blobs, blob, Path(folder))
        return result, size

    def _lose(self, error: Exception) -> None:
        self._lost = True
        self._tell(f"{error}; this run goes on without it")

    def _tell(self, line: str) -> None:
        self._progress(f"step cache {self._remote.where()}: {line}")

    # --- writing, in a thread of its own --------------------------------------------------------

    def _send_all(self) -> None:
        while (offered := self._queue.get()) is not None and not self._closing:
            try:
                if not self._refusal:
                    self._send(*offered)
            except (NotFoundError, CorruptError):
                pass  # what it names is gone here, or damaged: nothing to share
            except Exception as error:  # noqa: BLE001 - whatever is wrong there, this run has its result
                self._refusal = str(error)
            self._handled += 1

    def _send(self, key: str, result: Mapping[str, Json], replace: bool) -> None:  # noqa: FBT001 - as it was offered
        """Blobs go first: who sees the entry has all of it."""
        path = _path(key)
        there = self._remote.get(path)
        if there is not None and not replace:
            return
        with tempfile.TemporaryDirectory(dir=self._scratch, ignore_cleanup_errors=True) as folder:
            for blob in set(blobs_of(dict(result))):
                _copied(self._blobs, self._remote.blobs, blob, Path(folder))
        body = canonical_json({"format": FORMAT, "key": path, "result": dict(result)})
        data = self._keyring.seal(_place(path), digest(body).encode() + b"\n" + body)
        if self._remote.put(path, data, None if there is None else there.revision):
            self.sent += 1


def try_out(remote: Remote, *, writes: bool, wait_s: float) -> None:
    """Read from a step cache, and write there if runs do: a small file of its own.

    Raises:
        BakeoffError: it cannot be, or does not answer in time.
    """

    def work() -> None:
        there = remote.get(TRIED)
        if writes:
            remote.put(TRIED, b"{}\n", None if there is None else there.revision)

    _within(wait_s, work, f"{remote.where()} did not answer")


def _path(key: str) -> str:
    """Where the entry of a step is."""
    kind = f"-{machine_kind()}" if key.partition("/")[0] in MEASURED else ""
    return f"{ENTRIES}/{key}{kind}.json"


def _place(path: str) -> str:
    """For what place an entry is sealed."""
    return f"step cache {path}"


def _opened(data: bytes, path: str) -> dict[str, Json]:
    """The result in an entry.

    Raises:
        CorruptError: it is none, or not that of this step.
    """
    head, _, body = data.partition(b"\n")
    try:
        entry = msgspec.json.decode(body, type=_Entry) if head == digest(body).encode() else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        entry = None
    if entry is None or (entry.format, entry.key) != (FORMAT, path):
        raise CorruptError(f"expected the result of a step of format {FORMAT} in {path}, received something else")
    return entry.result


def _copied(source: BlobStore, target: BlobStore, blob: str, scratch: Path) -> int:
    """Copy a blob or a tree from one store into another; its bytes.

    Raises:
        SecurityError: a file of a folder could run code. CorruptError: it is not what its name says.
    """
    made = source.fetch(blob, scratch / blob)
    if made.is_dir():
        require_safe(made)
        stored = target.put_tree(made)
        size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
    else:
        stored, size = target.put(made), made.stat().st_size
    if stored != blob:
        raise CorruptError(f"expected blob {blob}, received {stored}: it is not what was stored")
    return size


def _within(seconds: float, work: Callable[[], _Value], complaint: str) -> _Value:
    """What work gives, if it ends in time; else it is left alone.

    Raises:
        LostError: it did not end in time.
    """
    ended = SimpleQueue[tuple[_Value | None, BaseException | None]]()

    def run() -> None:
        try:
            ended.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            ended.put((None, error))

    threading.Thread(target=run, name="bakeoff-step-cache", daemon=True).start()
    try:
        value, error = ended.get(timeout=seconds)
    except Empty:
        raise LostError(f"{complaint} within {seconds:g} s ([store.step_cache] wait sets more)") from None
    if error is not None:
        raise error
    return value  # pyright: ignore[reportReturnType] - work gave it
