"""Some of the 500 generated streams of `make bench-streams`, from files to files."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from streams import check


@pytest.mark.parametrize("seed", range(1000, 1012))
def test_sums_keys_and_rows_are_the_same_in_and_out(tmp_path, seed) -> None:
    assert check(seed, tmp_path) in {"kept", "refused"}
