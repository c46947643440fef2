"""Blocks of delimited text that polars will not read as they are."""

import csv
from pathlib import Path

from bakeoff.prepare.corpus.blocks import Block
from bakeoff.prepare.corpus.parsing import parse


def test_a_short_block_leaves_the_readers_limit_of_the_process_alone(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = tmp_path / "a.csv"
    path.write_bytes(b"1,\xff\n2,3\n")
    block = Block(file=str(path), format="csv", start=0, end=path.stat().st_size, header=b"a,b\n")
    parsed = parse(block, {})
    assert parsed.table["b"].to_list() == ["3"]
    assert len(parsed.bad) == 1
    assert csv.field_size_limit() >= before
