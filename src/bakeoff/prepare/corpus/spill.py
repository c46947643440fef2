"""Keys of all rows of a corpus on disk: one file for each block, read one column or some rows at a time."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.prepare.rows.comparison import RowKeys, Sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SpilledKeys", "write_keys"]

KEY_BYTES = START_BYTES = 8
MEMBER_BYTES = 4


def write_keys(keys: RowKeys, path: Path) -> None:
    """Keys column by column, then where each row's set begins, then the sets."""
    with path.open("wb") as out:
        out.write(np.ascontiguousarray(keys.key_cn).data)
        out.write(np.ascontiguousarray(keys.members.start_n.astype(np.int64)).data)
        out.write(np.ascontiguousarray(keys.members.member_s.astype(np.int32)).data)


class SpilledKeys:
    """The keys of blocks in order; it holds a few numbers for each block and nothing for a row."""

    def __init__(self, parts: "list[tuple[Path, int]]", *, keys: int) -> None:
        """`parts`: files and their numbers of rows; `keys` columns of keys."""
        self._paths = [path for path, _ in parts]
        self._start_b = np.concatenate(([0], np.cumsum([rows for _, rows in parts], dtype=np.int64)))
        self._keys = keys

    def __len__(self) -> int:
        return int(self._start_b[-1])

    def key(self, column: int) -> "NDArray[np.uint64]":
        """One key of every row."""
        keys = np.empty(len(self), dtype=np.uint64)
        for block, path in enumerate(self._paths):
            low, high = self._start_b[block], self._start_b[block + 1]
            at = int(column * (high - low)) * KEY_BYTES
            keys[low:high] = np.fromfile(path, dtype=np.uint64, count=int(high - low), offset=at)
        return keys

    def sets(self, rows: "NDArray[np.int64]") -> Sets:
        """The sets of these rows; each is read from disk once."""
        wanted, place = np.unique(rows, return_inverse=True)
        block_w = np.searchsorted(self._start_b, wanted, side="right") - 1
        members: list[NDArray[np.int32]] = []
        for block in np.unique(block_w):
            low, high = self._start_b[block], self._start_b[block + 1]
            starts = int(self._keys * (high - low)) * KEY_BYTES
            base = starts + int(high - low + 1) * START_BYTES
            handle = os.open(self._paths[block], os.O_RDONLY)
            try:
                for row in (wanted[block_w == block] - low).tolist():
                    begin, end = np.frombuffer(os.pread(handle, 2 * START_BYTES, starts + row * START_BYTES), np.int64)
                    data = os.pread(handle, int(end - begin) * MEMBER_BYTES, base + int(begin) * MEMBER_BYTES)
                    members.append(np.frombuffer(data, dtype=np.int32))
            finally:
                os.close(handle)
        start_w = np.concatenate(([0], np.cumsum([len(each) for each in members], dtype=np.int64)))
        member_s = np.concatenate([*members, np.zeros(0, dtype=np.int32)])
        return Sets(member_s=member_s, start_n=start_w).of(place.astype(np.int64))
