"""Finished parts, and how they become one file."""

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from bakeoff.core.disk import sync_path
from bakeoff.core.errors import StoreError, UsageError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["join_parts", "lack_of_room", "placed", "suffix_of", "write_part"]

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst")
ROW_GROUP_ROWS = 16_384
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
NO_ROOM_WORDS = ("No space left", "quota exceeded", "File too large")


def suffix_of(out: Path) -> str | None:
    """How a file of this name is written; None for a folder, whose parts are Parquet.

    Raises:
        UsageError: a file name with another ending.
    """
    for suffix in SUFFIXES:
        if out.name.endswith(suffix):
            return suffix
    if out.suffix and not out.is_dir():
        raise UsageError(f"expected a folder, or a file that ends in {', '.join(SUFFIXES)}; received {str(out)!r}")
    return None


def write_part(table: "pl.DataFrame", path: Path) -> None:
    """Write one part; equal rows give equal bytes."""
    if path.name.endswith(".parquet"):
        table.write_parquet(path, compression="zstd", compression_level=3)
        return
    with path.open("wb") as file, _packed(file, path) as out:
        table.write_ndjson(out)


def _packed(file: IO[bytes], path: Path) -> AbstractContextManager[IO[bytes]]:
    """What packs on the way to a file; no name and no time go in, so that equal rows give equal bytes."""
    if path.name.endswith(".gz"):
        import gzip

        return cast("IO[bytes]", gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0))
    if path.name.endswith(".zst"):
        from bakeoff.data.zstd import zstd

        return cast("IO[bytes]", zstd.open(file, "wb"))
    return nullcontext(file)


def join_parts(parts: Sequence[Path], target: Path) -> None:
    """One file of all parts, in order; packed JSON lines are packed streams one after the other, as both allow."""
    if target.suffix == ".parquet":
        import polars as pl

        pl.scan_parquet(list(parts), glob=False).sink_parquet(
            target, compression="zstd", compression_level=3, row_group_size=ROW_GROUP_ROWS, maintain_order=True
        )
        return
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, out, 1 << 20)


def placed(path: Path, write: Callable[[Path], object]) -> int:
    """A file that is there whole or not at all, also after the power has failed; gives its size.

    Raises:
        StoreError: there is no room for it.
    """
    made = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(made)
        sync_path(made)
        size = made.stat().st_size
        made.replace(path)
    except Exception as error:
        made.unlink(missing_ok=True)
        lack = lack_of_room(error, path.parent)
        if lack is None or lack is error:
            raise
        raise lack from error
    return size


def lack_of_room(error: Exception, folder: Path) -> StoreError | None:
    """The error to show where the disk is full, or a limit on the size of files reached; else nothing."""
    if isinstance(error, StoreError):
        return error  # of a worker, which has said so
    code = error.errno if isinstance(error, OSError) else None
    if code not in NO_ROOM and not any(words in str(error) for words in NO_ROOM_WORDS):
        return None
    free = shutil.disk_usage(folder).free / 1e6
    return StoreError(
        f"expected room in {str(folder)!r} for the rows between steps and the result, found {free:,.0f} MB free "
        f"({error}). Nothing was written; free some room, or let --out name another disk."
    )
