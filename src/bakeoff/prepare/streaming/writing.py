"""Finished parts, and how they become one file."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from bakeoff.core.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["join_parts", "suffix_of", "sync", "write_part"]

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst")
ROW_GROUP_ROWS = 16_384


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
    if path.suffix == ".parquet":
        table.write_parquet(path, compression="zstd", compression_level=3)
        return
    with _opened(path) as out:
        table.write_ndjson(out)


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        import gzip

        return cast("IO[bytes]", gzip.GzipFile(path, "wb", compresslevel=6, mtime=0))
    if path.suffix == ".zst":
        import zstandard

        return cast("IO[bytes]", zstandard.open(path, "wb"))
    return path.open("wb")


def join_parts(parts: Sequence[Path], target: Path) -> None:
    """One file of all parts, in order; packed JSON lines are packed streams one after the other, as both allow."""
    if target.suffix == ".parquet":
        import polars as pl

        pl.scan_parquet(list(parts)).sink_parquet(
            target, compression="zstd", compression_level=3, row_group_size=ROW_GROUP_ROWS, maintain_order=True
        )
        return
    with target.open("wb") as out:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, out, 1 << 20)


def sync(path: Path) -> None:
    """Bring a file's or folder's content to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
