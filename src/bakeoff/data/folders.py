"""Folders of Hugging Face datasets: shards of one split, as `save_to_disk` or a repository of the hub has them."""

import re
from pathlib import Path

from bakeoff.core.errors import DataError
from bakeoff.data.cache import place

__all__ = ["ARROW", "arrow_as_parquet", "dataset_files"]

ARROW = ".arrow"
SHARD = re.compile(r"^(?P<split>[A-Za-z_]+?)(?:-\d+-of-\d+(?:-\w+)?)?$")
"""What the files of a split are called: train-00000-of-00002, or train alone."""
DATA = (".parquet", ARROW, ".jsonl", ".json")
ABOUT = frozenset({"dataset_info.json", "dataset_dict.json", "state.json", "dataset_infos.json"})


def dataset_files(folder: Path, name: str) -> list[Path]:
    """The files of the one split that a folder holds, in the order of their names.

    Args:
        folder: Where it is.
        name: As the project calls it.

    Raises:
        DataError: it holds none, or several splits or forms of files; with what to name instead.
    """
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in DATA
        and path.name not in ABOUT
        and not path.name.startswith("cache-")
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(_split_of(file, folder), []).append(file)
    shown = name.rstrip("/")
    if not found:
        raise DataError(f"expected a file, received the folder {name!r}. Name its files: {shown}/*.csv")
    if len(found) > 1:
        named = "; ".join(f"{shown}/{pattern}" for pattern in found)
        raise DataError(
            f"expected the files of one split, received the folder {name!r} with several: name one of {named} (bakeoff "
            "splits rows itself: [split])"
        )
    return files


def _split_of(file: Path, folder: Path) -> str:
    """The pattern of the files that belong together with one."""
    place = file.parent.relative_to(folder)
    shard = SHARD.match(file.stem)
    stem = f"{shard['split']}*" if shard else "*"
    return (place / f"{stem}{file.suffix}").as_posix()


def arrow_as_parquet(file: Path, cache: Path, digest: str) -> Path:
    """A file of Arrow (a stream, as `datasets` writes it, or of the file format) as Parquet, made once.

    Raises:
        DataError: it cannot be read.
    """
    import polars as pl

    def make(path: Path) -> None:
        try:
            table = pl.read_ipc_stream(file)
        except pl.exceptions.PolarsError:
            try:
                table = pl.scan_ipc(file, glob=False).collect()
            except (pl.exceptions.PolarsError, OSError) as error:
                raise DataError(f"{file.name}: could not be read as Arrow: {error}") from error
        table.write_parquet(path)

    return place(cache / "unpacked" / digest[:32] / f"{file.stem}.parquet", make, cache=cache)
