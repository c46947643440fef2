"""What a person should look at of the groups that a comparison found."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.prepare.marks import marked
from bakeoff.prepare.streaming.report import Cluster, Duplicates, Pair
from bakeoff.prepare.streaming.stages import ROW, spill_file
from bakeoff.prepare.streaming.work import Done

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
) -> Duplicates:
    """The clusters of two and more rows, counted, and the largest with their rows' numbers in the corpus.

    `read` are the rows that each block had at first, by which a row's number is known.
    """
    size_n = np.bincount(groups, minlength=len(groups))
    heads = np.flatnonzero(size_n > 1)
    sizes = Counter(_upper_end(size) for size in size_n[heads].tolist())
    largest = heads[np.argsort(-size_n[heads], kind="stable")][:LARGEST]
    start_b = np.concatenate(([0], np.cumsum([part.rows for part in done], dtype=np.int64)))
    base_b = np.concatenate(([0], np.cumsum(read, dtype=np.int64)))

    def shown(head: int) -> Cluster:
        rows = np.flatnonzero(groups == head)[:SHOWN_ROWS]
        places = [_place(scratch, stage, int(row), start_b, text[0]) for row in rows]
        numbers = [int(base_b[block]) + row for block, row, _ in places]
        return Cluster(size=int(size_n[head]), rows=numbers, start=_shown(places[0][2]))

    return Duplicates(
        step=step,
        clusters=len(heads),
        rows_in_clusters=int(size_n[heads].sum()),
        rows_dropped=int((size_n[heads] - 1).sum()),
        sizes=dict(sorted(sizes.items())),
        largest=[shown(int(head)) for head in largest],
        pairs=_pairs(groups, lambda row: _place(scratch, stage, row, start_b, text[0]), base_b),
    )


def _pairs(
    groups: "NDArray[np.int64]", place: Callable[[int], tuple[int, int, str]], base_b: "NDArray[np.int64]"
) -> list[Pair]:
    dropped = np.flatnonzero(groups != np.arange(len(groups)))
    chosen = dropped[np.unique(np.linspace(0, len(dropped) - 1, PAIRS_READ).astype(np.int64))] if len(dropped) else []
    pairs: list[tuple[bool, Pair]] = []
    for row in chosen:
        (block, within, text), (head_block, head_within, head_text) = place(int(row)), place(int(groups[row]))
        part = max(0, _alike_until(text, head_text) - BEFORE_CHARACTERS)
        pair = Pair(
            stayed=int(base_b[head_block]) + head_within,
            dropped=int(base_b[block]) + within,
            stayed_text=_shown(head_text, part),
            dropped_text=_shown(text, part),
        )
        pairs.append((text == head_text, pair))
    pairs.sort(key=lambda each: each[0])  # those whose texts differ first, else in order
    return [pair for _, pair in pairs[:PAIRS]]


def _shown(text: str, start: int = 0) -> str:
    """A part of a text; what is personal or secret is marked."""
    return marked(text[start : start + READ_CHARACTERS])[:SHOWN_CHARACTERS]


def _alike_until(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _upper_end(size: int) -> int:
    return 1 << (size - 1).bit_length()


def _place(scratch: Path, stage: int, row: int, start_b: "NDArray[np.int64]", text: str) -> tuple[int, int, str]:
    """The block of a row, its number in the block as it was read, and its text."""
    import polars as pl

    block = int(np.searchsorted(start_b, row, side="right")) - 1
    within = row - int(start_b[block])
    found = pl.scan_ipc(spill_file(scratch, stage, block)).select(ROW, text).slice(within, 1).collect()
    return block, int(found[ROW].item()), str(found[text].item() or "")
