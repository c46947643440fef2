"""Parquet files as tables, with the names of columns by the one rule."""

import contextlib
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.core.errors import DataError
from bakeoff.data.headers import clean_names
from bakeoff.data.parquet_footer import is_cut
from bakeoff.data.querying import first_line

if TYPE_CHECKING:
    import polars as pl

__all__ = ["parquet_errors", "parquet_table"]

STDERR = 2


def parquet_table(path: Path, *, name: str) -> "tuple[pl.DataFrame, tuple[str, ...]]":
    """The rows of a file, and a note when names of columns were changed.

    Raises:
        DataError: it cannot be read.
    """
    import polars as pl

    if is_cut(path):  # reading one prints pages before it fails
        raise DataError(
            f"{name}: could not be read as Parquet: its columns would lie beyond their end, as in a file that was cut"
        )
    with parquet_errors(name):
        table = pl.read_parquet(path, glob=False, memory_map=False)
    names, notes = clean_names(table.columns, file=name)
    return table.rename(dict(zip(table.columns, names, strict=True))), notes


@contextmanager
def parquet_errors(name: str) -> Generator[None]:
    """Tell what is wrong with a Parquet file as one of our errors.

    Raises:
        DataError: the file cannot be read.
    """
    import polars as pl

    try:
        with _without_panic():
            yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{name}: could not be read as Parquet: {first_line(error)}") from error
    except BaseException as error:  # a damaged file can make the reader panic, which is no Exception
        if type(error).__name__ != "PanicException":
            raise
        raise DataError(f"{name}: could not be read as Parquet: it is damaged") from None


@contextmanager
def _without_panic() -> Generator[None]:
    """What is written on stderr within, but for the lines in which the reader tells of its panic.

    They come from no Python code, so only the file descriptor itself can keep them back. Other lines follow at the end.
    """
    try:
        original = os.dup(STDERR)
    except OSError:  # there is none
        yield
        return
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), STDERR)
        panicked = False
        try:
            yield
        except BaseException as error:
            panicked = type(error).__name__ == "PanicException"
            raise
        finally:
            os.dup2(original, STDERR)
            os.close(original)
            aside.seek(0)
            text = aside.read()
            if text and not panicked:
                with contextlib.suppress(OSError):
                    os.write(STDERR, text)
