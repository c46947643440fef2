"""Some rows of a corpus: from its beginning, its middle and its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bakeoff.core.errors import DataError
from bakeoff.core.protocols import Progress
from bakeoff.data.sources import resolve
from bakeoff.prepare.corpus.blocks import cut
from bakeoff.prepare.corpus.columns import columns_of, conform
from bakeoff.prepare.corpus.parsing import look, parse
from bakeoff.prepare.corpus.shapes import Shape, merged

if TYPE_CHECKING:
    import polars as pl

__all__ = ["CorpusSample", "sample"]

ROWS = 1500
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSample:
    """Some rows of a corpus, and the lines among them that are no records."""

    table: "pl.DataFrame"
    bad: tuple[str, ...] = ()


def sample(
    inputs: Sequence[str], *, text: Sequence[str], folder: Path | None = None, progress: Progress = lambda _: None
) -> CorpusSample:
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
                shape = merged(shape, look(block, number=number).shape)
        types = columns_of(blocks, shape, [0] * len(blocks), text=text, parquet=True).types
        parts = [parse(block, types, careful=True) for block in blocks]
        table = pl.concat(conform(part.table, types).head(ROWS // len(blocks)) for part in parts)
        return CorpusSample(table=table, bad=tuple(line for part in parts for line in part.bad))
