"""Erasing events for good: which ones go; segments and archives are written again, with a mark in the place of each.

An erased event keeps its number and loses all else, so that cursors and the numbers of others stay true.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from bakeoff.core.erasure import PersonKey
from bakeoff.core.errors import ConflictError
from bakeoff.stores import archive
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.files import durable_write
from bakeoff.stores.marks import Mark, mark_path
from bakeoff.stores.segments import GONE, encode, frames, items, stems

__all__ = ["doomed", "emptied", "erase", "fields"]


def erase(root: Path, key: PersonKey, keyring: Keyring) -> int:
    """Erase the events that hold the key, and what else is of the same predictions; the number of events.

    Raises:
        ConflictError: a segment has a writer.
    """
    if not root.is_dir():
        return 0
    with ExitStack() as stack:
        for path in (root / "compacting", *sorted(root.glob("*.open"))):
            stack.callback(os.close, _locked(path))
        gone = doomed(key, lambda: _events(root, keyring))
        for path in _files(root):
            _rewrite(path, gone, keyring)
    return len(gone)


def doomed(key: PersonKey, read: Callable[[], Iterator[tuple[int, Mapping[str, Any]]]]) -> set[int]:
    """The numbers of events that go with a person: those that hold the key, and what else is of the same predictions.

    What is said of a caller's own key goes with the last prediction of that key.

    Args:
        key: of the person.
        read: numbers and fields of all events of a log, from its start each time that it is called.
    """
    gone, ids, keys = set[int](), set[str](), set[str]()
    for seq, event in read():
        if key.in_value(event):
            gone.add(seq)
            if event.get("row") is not None and event.get("id") is not None:
                ids.add(event["id"])
    for seq, event in read() if ids else ():
        if event.get("prediction_id") in ids:
            keys.add(event["id"])
        elif event.get("id") not in ids and event.get("shadow_of") not in ids:
            continue
        gone.add(seq)
    by_key, shared = list[tuple[int, str]](), set[str]()
    for seq, event in read() if keys else ():
        name, prediction = event.get("id"), event.get("prediction_id")
        if name in keys and prediction is None:
            by_key.append((seq, name))
        elif name in keys and prediction not in ids:
            shared.add(name)
    return gone | {seq for seq, name in by_key if name not in shared}


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConflictError(
            f"expected that nobody writes to the event log in {path.parent}, but a process does: stop servers and "
            "loops of the project, then try again"
        ) from None
    return descriptor


def _files(root: Path) -> Iterator[Path]:
    for stem in stems(root):
        yield from (path for suffix in (".parquet", ".log", ".open") if (path := root / f"{stem}{suffix}").exists())


def _events(root: Path, keyring: Keyring) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and fields of all events, as they are stored."""
    for path in _files(root):
        if path.suffix == ".parquet":
            for row in archive.table(path, keyring).iter_rows(named=True):
                yield row["seq"], fields(row.pop("payload", None)) | row
            continue
        for frame in frames(path):
            for seq, item in enumerate(items(frame, keyring), frame.first_seq):
                yield seq, fields(item.payload)


def fields(payload: bytes | str | None) -> dict[str, Any]:
    """The fields of an event as it is stored; of what is none, its text."""
    if payload is None:
        return {}
    try:
        value = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return {"payload": payload.decode(errors="replace") if isinstance(payload, bytes) else payload}
    return value if isinstance(value, dict) else {"value": value}


def _rewrite(path: Path, doomed: set[int], keyring: Keyring) -> None:
    if path.suffix == ".parquet":
        _rewrite_archive(path, doomed, keyring)
        return
    pieces, last_seq, changed = list[bytes](), 0, False
    for frame in frames(path):
        numbered = list(enumerate(items(frame, keyring), frame.first_seq))
        changed |= any(seq in doomed for seq, _ in numbered)
        left = [GONE if seq in doomed else item for seq, item in numbered]
        pieces.append(encode(left, frame.first_seq, path.stem, keyring))
        last_seq = frame.first_seq + frame.count - 1
    if changed:
        durable_write(path, pieces, staging=path.parent)
        mark = Mark(end=path.stat().st_size, last_seq=last_seq)
        durable_write(mark_path(path), [mark.encode()], staging=path.parent)


def _rewrite_archive(path: Path, doomed: set[int], keyring: Keyring) -> None:
    table = archive.table(path, keyring)
    gone = table["seq"].is_in(list(doomed))
    if not gone.any():
        return
    archive.replace(path, archive.encoded(emptied(table, gone), path, keyring), keyring)


def emptied(table: pl.DataFrame, gone: pl.Series) -> pl.DataFrame:
    """The table of an archive with a mark in the place of each row that is gone."""
    empty = {"kind": pl.lit(GONE.kind), "payload": pl.lit("{}"), "time_ms": pl.lit(0)}
    return table.with_columns(
        pl.when(gone).then(empty.get(name, pl.lit(None))).otherwise(pl.col(name)).cast(dtype).alias(name)
        for name, dtype in table.schema.items()
        if name != "seq"
    )
