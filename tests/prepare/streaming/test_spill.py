"""Keys on disk are the keys in memory."""

import numpy as np

from bakeoff.prepare.comparing import RowKeys
from bakeoff.prepare.streaming.spill import SpilledKeys, write_keys


def test_blocks_on_disk_are_one_table_of_keys(tmp_path) -> None:
    rng = np.random.default_rng(1)
    parts, made = [], []
    for number, rows in enumerate([3, 0, 5, 1]):
        keys = RowKeys(
            key_cn=rng.integers(0, 2**63, (4, rows), dtype=np.uint64),
            evidence_nk=rng.integers(0, 2**32, (rows, 6), dtype=np.uint32),
        )
        path = tmp_path / str(number)
        assert write_keys(keys, path) == 6
        parts.append((path, rows))
        made.append(keys)
    known = SpilledKeys(parts, keys=4, width=6)
    whole = np.concatenate([keys.evidence_nk for keys in made])
    asked = np.array([8, 0, 4, 4, 2])
    assert len(known) == 9
    assert (known.evidence(asked) == whole[asked]).all()
    for column in range(4):
        assert (known.key(column) == np.concatenate([keys.key(column) for keys in made])).all()
