"""Records of delimited text leave other readers of the process alone."""

import csv

from bakeoff.data.cells import records_of


def test_a_cell_longer_than_the_readers_own_limit_is_whole() -> None:
    long = "x" * 300_000
    assert list(records_of([f"a;{long}\n"], delimiter=";")) == [["a", long]]


def test_quotes_inside_quotes_in_both_ways() -> None:
    assert list(records_of(['"a ""b""",1\n'], delimiter=",")) == [['a "b"', "1"]]
    assert list(records_of(['"a \\"b\\"",1\n'], delimiter=",", escaped=True)) == [['a "b"', "1"]]


def test_no_short_file_limits_what_others_read() -> None:
    """A limit as long as a short block once stayed for the whole process."""
    for _ in range(3):
        assert list(records_of(["a,b\n", "1,2,3\n"], delimiter=",")) == [["a", "b"], ["1", "2", "3"]]
    assert len(next(csv.reader(["y" * 200_000]))[0]) == 200_000
