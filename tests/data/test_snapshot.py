from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CorruptError
from bakeoff.data import snapshot

TABLE = pl.DataFrame({"n": [1.5, None, -0.0], "t": ["ab", "", None], "b": [True, None, False], "i": [1, 2, 3]})


def test_the_version_is_pinned_across_releases() -> None:
    assert snapshot.version_of(TABLE) == "bc4f2a17dd45159ba76d2f42126f8ae651807c9f85fb41c1a14923482b2f74f2"
    assert snapshot.row_hashes(TABLE).tolist() == [11902147293669694505, 11664906210482408667, 4391867428610065651]


def test_the_version_ignores_chunks_and_files(tmp_path: Path) -> None:
    chunked = pl.concat([TABLE[:1], TABLE[1:]], rechunk=False)
    snapshot.write(TABLE, tmp_path / "t.parquet")
    versions = {snapshot.version_of(t) for t in (TABLE, chunked, snapshot.read(tmp_path / "t.parquet"))}
    assert len(versions) == 1


@pytest.mark.parametrize(
    "other",
    [
        TABLE.reverse(),
        TABLE.rename({"n": "m"}),
        TABLE.with_columns(pl.col("n").cast(pl.Float32)),
        TABLE.with_columns(pl.Series("t", ["a", "b", None])),
        TABLE.with_columns(pl.Series("t", ["ab", None, ""])),
        TABLE.select("t", "n", "b", "i"),
        TABLE.head(2),
    ],
)
def test_the_version_follows_the_content(other: pl.DataFrame) -> None:
    assert snapshot.version_of(other) != snapshot.version_of(TABLE)


def test_row_hashes_follow_rows_not_places() -> None:
    hashes = snapshot.row_hashes(TABLE)
    assert len(set(hashes.tolist())) == 3
    np.testing.assert_array_equal(snapshot.row_hashes(TABLE.reverse()), hashes[::-1])
    np.testing.assert_array_equal(snapshot.row_hashes(TABLE.select("t", "i", "b", "n")), hashes)


def test_row_hashes_do_not_collide_on_regular_data() -> None:
    side = np.arange(300)
    grid = pl.DataFrame({"a": np.repeat(side, 300), "b": np.tile(side, 300)})
    assert len(np.unique(snapshot.row_hashes(grid))) == grid.height


def test_a_damaged_file_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorruptError, match="Parquet"):
        snapshot.read(tmp_path / "t.parquet")
