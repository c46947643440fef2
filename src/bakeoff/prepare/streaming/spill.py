"""Keys of all rows of a corpus on disk: one file for each block, read one column or some rows at a time."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.prepare.comparing import RowKeys

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SpilledKeys", "write_keys"]

KEY_BYTES = 8
EVIDENCE_BYTES = 4


def write_keys(keys: RowKeys, path: Path) -> int:
    """Keys column by column, then the evidence row by row; gives the width of the evidence."""
    with path.open("wb") as out:
        out.write(np.ascontiguousarray(keys.key_cn).data)
        out.write(np.ascontiguousarray(keys.evidence_nk).data)
    return keys.evidence_nk.shape[1]


class SpilledKeys:
    """The keys of blocks in order; it holds a few numbers for each block and nothing for a row."""

    def __init__(self, parts: "list[tuple[Path, int]]", *, keys: int, width: int) -> None:
        """`parts`: files and their numbers of rows; `keys` columns of keys, evidence of so many numbers."""
        self._paths = [path for path, _ in parts]
        self._start_b = np.concatenate(([0], np.cumsum([rows for _, rows in parts], dtype=np.int64)))
        self._keys, self._width = keys, width

    def __len__(self) -> int:
        return int(self._start_b[-1])

    def key(self, column: int) -> "NDArray[np.uint64]":
        """One key of every row."""
        found = np.empty(len(self), dtype=np.uint64)
        for block, path in enumerate(self._paths):
            low, high = self._start_b[block], self._start_b[block + 1]
            at = int(column * (high - low)) * KEY_BYTES
            found[low:high] = np.fromfile(path, dtype=np.uint64, count=int(high - low), offset=at)
        return found

    def evidence(self, rows: "NDArray[np.int64]") -> "NDArray[np.uint32]":
        """The evidence of these rows; each is read from disk once."""
        wanted, place = np.unique(rows, return_inverse=True)
        found = np.empty((len(wanted), self._width), dtype=np.uint32)
        block_w = np.searchsorted(self._start_b, wanted, side="right") - 1
        for block in np.unique(block_w):
            low, high = self._start_b[block], self._start_b[block + 1]
            base = int(self._keys * (high - low)) * KEY_BYTES
            row_bytes = self._width * EVIDENCE_BYTES
            handle = os.open(self._paths[block], os.O_RDONLY)
            try:
                for at in np.flatnonzero(block_w == block):
                    data = os.pread(handle, row_bytes, base + int(wanted[at] - low) * row_bytes)
                    found[at] = np.frombuffer(data, dtype=np.uint32)
            finally:
                os.close(handle)
        return found[place]
