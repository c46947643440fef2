"""Some rows of a corpus: from its beginning, its middle and its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bakeoff.core.errors import DataError
from bakeoff.core.protocols import Progress
from bakeoff.data.sources import resolve
from bakeoff.prepare.streaming.blocks import Block, cut
from bakeoff.prepare.streaming.columns import columns_of, conform
from bakeoff.prepare.streaming.parsing import look, parse
from bakeoff.prepare.streaming.shapes import Shape, merged

if TYPE_CHECKING:
    import polars as pl

__all__ = ["sample"]

ROWS = 1500
BLOCK_BYTES = 1 << 20


def sample(
    inputs: Sequence[str], *, text: Sequence[str], folder: Path | None = None, progress: Progress = lambda _: None
) -> "pl.DataFrame":
    """At most 1,500 rows, a third of them from the first block, the middle one and the last.

    Raises:
        DataError: there are no rows, or no such text column.
    """
    import polars as pl

    with TemporaryDirectory() as scratch:
        files = [
            file
            for location in inputs
            for file in resolve(location, folder=folder or Path.cwd(), cache=Path(scratch), progress=progress)
        ]
        every = [block for file in files for block in cut(file, BLOCK_BYTES)]
        if not every:
            raise DataError("expected rows, found none: the inputs are empty")
        blocks = [every[place] for place in sorted({0, len(every) // 2, len(every) - 1})]
        shape = Shape()
        for number, block in enumerate(blocks):
            if block.format == "jsonl":
                shape = merged(shape, look(block, number=number)[0])
        types = columns_of(blocks, shape, [0] * len(blocks), text=text, parquet=False).types
        return pl.concat(_rows(block, types, ROWS // len(blocks)) for block in blocks)


def _rows(block: Block, types: "Mapping[str, pl.DataType]", most: int) -> "pl.DataFrame":
    return conform(parse(block, types, careful=True).table, types).head(most)
