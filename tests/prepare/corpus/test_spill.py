"""Keys on disk are the keys in memory."""

import itertools

import numpy as np

from bakeoff.prepare.corpus.spill import SpilledKeys, write_keys
from bakeoff.prepare.rows.comparison import RowKeys, Sets


def test_blocks_on_disk_are_one_table_of_keys(tmp_path) -> None:
    rng = np.random.default_rng(1)
    parts, made, rows_of = [], [], []
    for number, rows in enumerate([3, 0, 5, 1]):
        sizes = rng.integers(0, 7, rows)
        start_n = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        members = Sets(member_s=rng.integers(0, 2**30, start_n[-1], dtype=np.int32), start_n=start_n)
        keys = RowKeys(key_cn=rng.integers(0, 2**63, (4, rows), dtype=np.uint64), members=members)
        path = tmp_path / str(number)
        write_keys(keys, path)
        parts.append((path, rows))
        made.append(keys)
        rows_of += [members.member_s[a:b].tolist() for a, b in itertools.pairwise(start_n)]
    known = SpilledKeys(parts, keys=4)
    wanted = np.array([8, 0, 4, 4, 2])
    sets = known.sets(wanted)
    assert len(known) == 9
    starts = sets.start_n.tolist()
    assert [sets.member_s[a:b].tolist() for a, b in itertools.pairwise(starts)] == [rows_of[i] for i in wanted]
    for column in range(4):
        assert (known.key(column) == np.concatenate([keys.key(column) for keys in made])).all()
