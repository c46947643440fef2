"""What a person should look at of the groups that a comparison found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.prepare.corpus.report import CorpusDuplicates, DuplicateCluster, DuplicatePair
from bakeoff.prepare.corpus.stages import ROW, spill_file
from bakeoff.prepare.corpus.work import Done

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["duplicates_of"]

LARGEST = 10
SHOWN_ROWS = 10
SHOWN_CHARACTERS, READ_CHARACTERS = 120, 500
BEFORE_CHARACTERS = 40  # of what two texts have in common, before they part
PAIRS_READ, PAIRS = 20, 5


def duplicates_of(
    step: str,
    groups: "NDArray[np.int64]",
    *,
    scratch: Path,
    stage: int,
    read: Sequence[int],
    done: Sequence[Done],
    text: Sequence[str],
) -> CorpusDuplicates:
    """The clusters of two and more rows, counted, and the largest with their rows' numbers in the corpus.

    `read` are the rows that each block had at first, by which a row's number is known.
    """
    size_n = np.bincount(groups, minlength=len(groups))
    heads = np.flatnonzero(size_n > 1)
    sizes = Counter(_upper_end(size) for size in size_n[heads].tolist())
    largest = heads[np.argsort(-size_n[heads], kind="stable")][:LARGEST]
    start_b = np.concatenate(([0], np.cumsum([part.rows for part in done], dtype=np.int64)))
    base_b = np.concatenate(([0], np.cumsum(read, dtype=np.int64)))

    members = [np.flatnonzero(groups == head)[:SHOWN_ROWS] for head in largest]
    dropped = _sample(np.flatnonzero(groups != np.arange(len(groups))))
    read_at = _Places(scratch, stage, start_b, text[0])
    places = read_at(np.unique(np.concatenate([*members, dropped, groups[dropped]])).tolist())

    def shown(head: int, rows: list[int]) -> DuplicateCluster:
        numbers = [int(base_b[places[row].block]) + places[row].number for row in rows]
        return DuplicateCluster(size=int(size_n[head]), rows=numbers, start=_shown(places[rows[0]].text))

    return CorpusDuplicates(
        step=step,
        clusters=len(heads),
        rows_in_clusters=int(size_n[heads].sum()),
        rows_dropped=int((size_n[heads] - 1).sum()),
        sizes=dict(sorted(sizes.items())),
        largest=[shown(int(head), rows.tolist()) for head, rows in zip(largest, members, strict=True)],
        pairs=_pairs([(places[int(groups[row])], places[row]) for row in dropped.tolist()], base_b),
    )


def _sample(rows: "NDArray[np.int64]") -> "NDArray[np.int64]":
    return rows[np.unique(np.linspace(0, len(rows) - 1, PAIRS_READ).astype(np.int64))] if len(rows) else rows


def _pairs(pairs: "Sequence[tuple[_Place, _Place]]", base_b: "NDArray[np.int64]") -> list[DuplicatePair]:
    """What stayed beside what was dropped for it; those whose texts differ first, else in order."""
    different_first = sorted(pairs, key=lambda pair: pair[0].text == pair[1].text)
    shown: list[DuplicatePair] = []
    for stayed, dropped in different_first[:PAIRS]:
        part = max(0, _alike_until(dropped.text, stayed.text) - BEFORE_CHARACTERS)
        pair = DuplicatePair(
            stayed=int(base_b[stayed.block]) + stayed.number,
            dropped=int(base_b[dropped.block]) + dropped.number,
            stayed_text=_shown(stayed.text, part),
            dropped_text=_shown(dropped.text, part),
        )
        shown.append(pair)
    return shown


def _shown(text: str, start: int = 0) -> str:
    """A part of a text; what is personal or secret is marked."""
    from bakeoff.prepare.text.marks import marked  # its patterns take a while to compile

    return marked(text[start : start + READ_CHARACTERS])[:SHOWN_CHARACTERS]


def _alike_until(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _upper_end(size: int) -> int:
    return 1 << (size - 1).bit_length()


@dataclass(frozen=True, slots=True)
class _Place:
    """A row: its block, its number in the block as it was read, and its text."""

    block: int
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class _Places:
    """Reads rows of a stage from disk, each block once."""

    scratch: Path
    stage: int
    start_b: "NDArray[np.int64]"
    text: str

    def __call__(self, rows: Sequence[int]) -> dict[int, _Place]:
        """The places of rows (of all blocks, ascending)."""
        import polars as pl

        block_r = (np.searchsorted(self.start_b, rows, side="right") - 1).tolist()
        found: dict[int, _Place] = {}
        for block, some in groupby(zip(block_r, rows, strict=True), key=itemgetter(0)):
            inside = [row for _, row in some]
            table = (
                pl.scan_ipc(spill_file(self.scratch, self.stage, block), glob=False).select(ROW, self.text).collect()
            )
            within = table[[row - int(self.start_b[block]) for row in inside]]
            for row, number, text in zip(inside, within[ROW].to_list(), within[self.text].to_list(), strict=True):
                found[row] = _Place(block, int(number), str(text or ""))
        return found
