import numpy as np
import polars as pl

from bakeoff.core.types import Column, Schema
from bakeoff.prepare.checks.contamination import contamination, overlaps
from bakeoff.results.data import Overlap

LONG = " ".join(f"word{i}" for i in range(40))


def test_exact_partial_and_no_overlap() -> None:
    train = pl.Series([LONG, "short text", None, ""])
    half = " ".join([*LONG.split()[:20], *(f"new{i}" for i in range(20))])
    test = pl.Series([LONG.upper() + "!", half, "Short  text", "short text more", None, "", "other"])
    found = contamination(train, test)
    assert found.exact_n.tolist() == [True, False, True, False, False, False, False]
    assert found.share_n.round(3).tolist() == [1.0, round(13 / 33, 3), 1.0, 0.0, 0.0, 0.0, 0.0]
    assert found.overlapping().tolist() == [0, 2]
    assert found.collided_n.tolist() == [True, True, True, False, False, False, False]
    assert found.overlapping(0.3).tolist() == [0, 1, 2]


def test_a_part_of_a_training_text_overlaps_without_being_exact() -> None:
    found = contamination(pl.Series([LONG]), pl.Series([" ".join(LONG.split()[5:30])]))
    assert (found.share_n.tolist(), found.exact_n.tolist()) == ([1.0], [False])


def test_no_rows_at_all() -> None:
    empty = pl.Series([], dtype=pl.String)
    assert contamination(empty, pl.Series(["a"])).overlapping().tolist() == []
    assert len(contamination(pl.Series(["a"]), empty).share_n) == 0


def test_what_a_split_tells() -> None:
    schema = Schema(columns=(Column(name="text", kind="text", dtype="String"),), target="y", inputs=("text",))
    table = pl.DataFrame({"text": [LONG, "b", LONG, "c"], "y": ["Yes.", "no", "yes", "maybe"]})
    found = overlaps(table, schema, "generation", train=np.array([0, 1]), test=np.array([2, 3]))
    assert found.texts == Overlap(rows=1, exact=1, collisions=1)
    assert found.answers == Overlap(rows=1, exact=1, collisions=1)
    (note,) = found.notes()
    assert note.startswith("1 of 2 test rows have a text that train rows hold to 80% or more (1 of them whole)")
    assert overlaps(table, schema, "classification", train=np.array([0, 1]), test=np.array([3])).notes() == []
    assert overlaps(table, schema, "classification", train=np.array([0]), test=np.array([2])).answers is None
    numeric = Schema(columns=(Column(name="x", kind="numeric", dtype="Int64"),), target="y", inputs=("x",))
    assert overlaps(table, numeric, "classification", train=np.array([0]), test=np.array([1])).texts is None


def test_scripts_without_spaces_are_compared_by_characters() -> None:
    text = "".join(chr(0x4E00 + i * 7) for i in range(100))
    found = contamination(pl.Series([text]), pl.Series([text[:50] + "龙" + text[51:]]))
    assert found.overlapping().tolist() == [0]
