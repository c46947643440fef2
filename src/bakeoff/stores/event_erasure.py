"""Erasing events for good: segments and archives are written again, with a mark in the place of what was erased.

An erased event keeps its number and loses all else, so that cursors and the numbers of others stay true.
"""

import fcntl
import os
from collections.abc import Iterator
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

__all__ = ["emptied", "erase"]


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
        matching = {seq for seq, event in _events(root, keyring) if key.in_value(event)}
        of_person = (event for seq, event in _events(root, keyring) if seq in matching and event.get("row") is not None)
        ids = {event.get("id") for event in of_person} - {None}
        doomed = matching | {
            seq for seq, event in _events(root, keyring) if event.get("id") in ids or event.get("shadow_of") in ids
        }
        for path in _files(root):
            _rewrite(path, doomed, keyring)
    return len(doomed)


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
                yield row["seq"], _decoded(row.pop("payload", None)) | row
            continue
        for frame in frames(path):
            for seq, item in enumerate(items(frame, keyring), frame.first_seq):
                yield seq, _decoded(item.payload)


def _decoded(payload: bytes | str | None) -> dict[str, Any]:
    if payload is None:
        return {}
    try:
        value = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return {"payload": bytes(payload, "utf-8") if isinstance(payload, str) else payload}
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
