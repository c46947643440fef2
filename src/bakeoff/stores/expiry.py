"""Letting old events go: which of them do, and the pass over a folder of segments and archives.

An archive of which nothing stays is dropped. Of another, the rows that go become marks without content, in their
places: so that cursors, the numbers of others and the rows that indexes of ids name stay true.
"""

import fcntl
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bakeoff.core.events import KEY_PREFIX, KINDS, SHADOW, FeedbackEvent, KeyEvent, PredictionEvent
from bakeoff.core.hashing import digest_file
from bakeoff.core.protocols import EventLog
from bakeoff.core.retention import HOUR_MS, Expiry, Retention
from bakeoff.stores import archive
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.event_erasure import emptied
from bakeoff.stores.expired import ExpiredLog, Going, Hours, expired_log, seal_path
from bakeoff.stores.files import sync_folder
from bakeoff.stores.ids import ids_path
from bakeoff.stores.marks import mark_path, read_mark
from bakeoff.stores.parity import parity_path
from bakeoff.stores.segments import GONE, frames, items, stems
from bakeoff.stores.writer import seal_idle

__all__ = ["Dated", "ExpiryTally", "Selection", "ask_to_seal", "counted", "dated", "expire", "look"]

PART = 20_000
"""Ids that are looked up at once."""
SEAL_S = 3.0
"""So long a writer has time to close a segment."""
LOOK_S = 0.05
PREDICTION, FEEDBACK, KEY = (KINDS[kind] for kind in (PredictionEvent, FeedbackEvent, KeyEvent))


class Dated(msgspec.Struct, frozen=True, gc=False):
    """Of a stored event, what says whether it goes."""

    kind: str = ""
    time_ms: int = 0
    id: str | None = None
    endpoint: str | None = None
    status: str | None = None
    role: str | None = None
    prediction_id: str | None = None


FIELDS = Dated.__struct_fields__
_decode = msgspec.json.Decoder(Dated).decode


def dated(kind: str, time_ms: int, payload: bytes) -> Dated:
    """A stored event; one of no known form says nothing of itself, and stays."""
    try:
        fields = _decode(payload)
    except msgspec.MsgspecError:
        return Dated(kind=kind, time_ms=time_ms)
    return msgspec.structs.replace(fields, kind=kind, time_ms=time_ms)


def _says_something(event: FeedbackEvent) -> bool:
    """Whether somebody said it: what was seen of the user says nothing that training or a test would need."""
    return any(each is not None for each in (event.label, event.rating, event.correction, event.comment))


def _endpoint_of(key: str) -> str:
    """Of an id that is a caller's own key (see `key_id`)."""
    return key.removeprefix(KEY_PREFIX).partition(":")[0]


class Selection:
    """Says of each event of a log whether it goes; the feedback is read when this is made."""

    def __init__(self, log: EventLog, retention: Retention) -> None:
        self._limits, self.latest_ms = retention.limits, retention.latest_ms
        self._spared = set(retention.spared)
        old = dict[str, None]()
        for event in log.read(FeedbackEvent):
            if _says_something(event):
                self._spared.add(event.id)
            if event.time_ms < self.latest_ms:
                old[event.id] = None
        self._of_key: dict[str, list[str]] = {}
        keys = [name for name in {*self._spared, *old} if name.startswith(KEY_PREFIX)]
        for part in _parts(keys):
            for event in log.get(KeyEvent, part):
                self._of_key.setdefault(event.id, []).append(event.prediction_id)
        self._spared.update(each for key in keys if key in self._spared for each in self._of_key.get(key, ()))
        named = {each for name in old for each in self._predictions_of(name)}
        self._staying = {
            event.id
            for part in _parts(named)
            for event in log.get(PredictionEvent, part)
            if event.id in self._spared or not self._is_old(event.endpoint, event.time_ms)
        }

    def _predictions_of(self, name: str) -> list[str]:
        return self._of_key.get(name, []) if name.startswith(KEY_PREFIX) else [name]

    def _is_old(self, endpoint: str | None, time_ms: int) -> bool:
        return time_ms < self._limits.get(endpoint or "", -(2**63))

    def spares(self, event: Dated) -> bool:
        """Whether it is an older prediction that stays."""
        return event.kind == PREDICTION and event.id in self._spared and self._is_old(event.endpoint, event.time_ms)

    def goes(self, event: Dated) -> bool:
        """Whether it goes."""
        if event.kind == PREDICTION:
            return event.id not in self._spared and self._is_old(event.endpoint, event.time_ms)
        if event.id is None or event.kind not in {FEEDBACK, KEY}:
            return False
        is_keyed = event.id.startswith(KEY_PREFIX)
        old = self._is_old(_endpoint_of(event.id), event.time_ms) if is_keyed else event.time_ms < self.latest_ms
        if event.kind == KEY:
            return old and event.prediction_id not in self._spared
        return old and self._staying.isdisjoint(self._predictions_of(event.id))


def _parts(names: Collection[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while part := list(islice(rest, PART)):
        yield part


def _is_served(event: Dated) -> bool:
    """Whether it is a prediction that somebody got."""
    return event.kind == PREDICTION and event.status != "error" and event.role != SHADOW


def counted(events: Iterable[Dated]) -> Hours:
    """The predictions among these that somebody got, by endpoint and hour."""
    hours = Hours()
    for event in events:
        if _is_served(event):
            of_endpoint, hour = hours.setdefault(event.endpoint or "", {}), event.time_ms // HOUR_MS
            of_endpoint[hour] = of_endpoint.get(hour, 0) + 1
    return hours


class ExpiryTally:
    """Counts what goes."""

    def __init__(self, retention: Retention) -> None:
        self.expiry = Expiry(notes=retention.notes)

    def add(self, event: Dated) -> None:
        """Count an event."""
        to = self.expiry
        if event.kind == FEEDBACK:
            to.feedback += 1
        elif event.kind == KEY:
            to.keys += 1
        elif _is_served(event):
            to.predictions += 1
        elif event.status == "error":
            to.failures += 1
        else:
            to.shadows += 1
        to.first_ms = event.time_ms if to.first_ms is None else min(to.first_ms, event.time_ms)
        to.last_ms = event.time_ms if to.last_ms is None else max(to.last_ms, event.time_ms)


# --- segments ---------------------------------------------------------------------------------------


def ask_to_seal(root: Path, selection: Selection, keyring: Keyring) -> None:
    """Have segments closed that hold something that goes: by their writers, who have a moment; or here, without one."""
    sealing: list[Path] = []
    for path in sorted(root.glob("*.open")):
        with suppress(FileNotFoundError):
            if any(map(selection.goes, _written(path, keyring))):
                seal_path(path).touch(mode=0o600)
                sealing.append(path)
    seal_idle(root, sealing)
    until = time.monotonic() + SEAL_S
    while any(path.exists() for path in sealing) and time.monotonic() < until:
        time.sleep(LOOK_S)
    for each in root.glob("*.seal"):  # of one that was closed, or whose writer ended
        if not each.with_suffix(".open").exists():
            each.unlink(missing_ok=True)


def _written(path: Path, keyring: Keyring) -> Iterator[Dated]:
    """The events of a segment that is no archive yet."""
    return (dated(item.kind, item.time_ms, item.payload) for frame in frames(path) for item in items(frame, keyring))


def _has_writer(path: Path) -> bool:
    with suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


# --- archives ---------------------------------------------------------------------------------------


class _Doomed(NamedTuple):
    """An archive, the rows of it that go, and the predictions among them; `whole`: nothing else is in it."""

    path: Path
    rows: list[int]
    hours: Hours
    whole: bool
    share: float


def _doomed(path: Path, selection: Selection, tally: ExpiryTally, keyring: Keyring) -> _Doomed | None:
    """What goes of an archive, counted."""
    if not archive.has_before(path, selection.latest_ms, GONE.kind, keyring):
        return None
    going, stay = dict[int, Dated](), 0
    for at, event in enumerate(_archived(archive.table(path, keyring))):
        if selection.goes(event):
            going[at] = event
            tally.add(event)
        elif event.kind != GONE.kind:
            stay += 1
            tally.expiry.spared += selection.spares(event)
    if not going:
        return None
    return _Doomed(path, list(going), counted(going.values()), not stay, len(going) / (len(going) + stay))


def _archived(table: Any) -> Iterator[Dated]:
    if "payload" in table.columns:
        for kind, time_ms, payload in table.select("kind", "time_ms", "payload").iter_rows():
            yield dated(kind, time_ms, payload.encode())
        return
    names = [name for name in FIELDS if name in table.columns]
    for row in table.select(names).iter_rows():
        fields: Mapping[str, Any] = dict(zip(names, row, strict=True))
        yield Dated(**fields)


def look(root: Path, selection: Selection, retention: Retention, keyring: Keyring) -> Expiry:
    """What a pass would remove; nothing is changed."""
    tally = ExpiryTally(retention)
    for stem in stems(root):
        path = next((p for suffix in (".parquet", ".log", ".open") if (p := root / f"{stem}{suffix}").exists()), None)
        if path is None:
            continue
        if path.suffix == ".parquet":
            if (doomed := _doomed(path, selection, tally, keyring)) is not None:
                tally.expiry.bytes += round(_size(path) * doomed.share)
            continue
        is_waiting, count, all_of_it = path.suffix == ".open" and _has_writer(path), 0, 0
        for event in _written(path, keyring):
            all_of_it += 1
            tally.expiry.spared += selection.spares(event)
            if selection.goes(event):
                count += 1
                if not is_waiting:
                    tally.add(event)
        if is_waiting:
            tally.expiry.waiting += count
        elif count:
            tally.expiry.bytes += round(_size(path) * count / all_of_it)
    return tally.expiry


def expire(root: Path, selection: Selection, retention: Retention, keyring: Keyring) -> Expiry:
    """Remove what goes of all archives; called by who archives, and nobody else meanwhile."""
    known, tally = expired_log(root), ExpiryTally(retention)
    if known.going is not None:
        _finish(root, known, keyring)
    is_changed = False
    for path in sorted(root.glob("*.parquet")):
        if (doomed := _doomed(path, selection, tally, keyring)) is None:
            continue
        before = _size(path)
        known.going = Going(
            stem=path.stem,
            last_seq=archive.last_seq(path, keyring),
            digest=digest_file(path),
            whole=doomed.whole,
            hours=doomed.hours,
        )
        known.write(root)
        if doomed.whole:
            _drop(path)
        else:
            archive.replace(path, archive.encoded(_without(path, doomed.rows, keyring), path, keyring), keyring)
        known.settle()
        is_changed = True
        tally.expiry.bytes += before - _size(path)
    if is_changed:
        known.write(root)
    for path in sorted(root.glob("*.open")):
        with suppress(FileNotFoundError):
            tally.expiry.waiting += sum(map(selection.goes, _written(path, keyring)))
    return tally.expiry


def _without(path: Path, rows: list[int], keyring: Keyring) -> Any:
    """The table of an archive, in which these rows are marks without content."""
    import polars as pl

    table = archive.table(path, keyring)
    return emptied(table, pl.int_range(table.height, eager=True).is_in(rows))


def _finish(root: Path, known: ExpiredLog, keyring: Keyring) -> None:
    """End what a pass that was stopped had begun, or forget that it had, where nothing was done yet."""
    going = known.going
    assert going is not None
    path = root / f"{going.stem}.parquet"
    if not path.exists():
        _drop(path)
        known.settle()
    elif digest_file(path) != going.digest:
        known.settle()
    else:
        known.going = None
    if path.exists() and read_mark(path) is None:
        archive.seal(path, keyring)
    known.write(root)


def _drop(path: Path) -> None:
    """Delete an archive and what is beside it; its mark last, as readers know the archive by it meanwhile."""
    for each in (path, ids_path(path), parity_path(path), mark_path(path)):
        each.unlink(missing_ok=True)
    sync_folder(path.parent)


def _size(path: Path) -> int:
    beside = (path, ids_path(path), parity_path(path), mark_path(path))
    return sum(each.stat().st_size for each in beside if each.exists())
