import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.core.types import Column, Schema
from bakeoff.prepare.checks.near_duplicates import alike, params_for
from bakeoff.prepare.rows.minhash import MinHashParams

LONG = "the quick brown fox jumps over the lazy dog while the whole village looks on and claps its many hands"


def schema(*texts: str) -> Schema:
    columns = tuple(Column(name=name, kind="text", dtype="String") for name in texts)
    return Schema(columns=columns, target="label", inputs=texts)


def groups(*texts: str | None, threshold: float = 0.8) -> list[int]:
    found = alike(pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}), schema("text"), threshold)
    assert found is not None
    return found.tolist()


def test_texts_that_differ_in_a_word_at_the_end_are_alike() -> None:
    first, second, other = groups(LONG, LONG + " again", LONG.replace("quick", "slow").replace("whole", "small")[::-1])
    assert first == second
    assert other != first


def test_short_texts_are_alike_when_they_are_equal_but_for_case_and_signs() -> None:
    found = groups("Good film", "good film!", "good  film", "good film indeed", "bad film", "Good", "good...")
    assert found[0] == found[1] == found[2]
    assert found[5] == found[6]
    assert len(set(found)) == 4


def test_texts_without_words_are_alike_when_they_are_equal_but_for_space() -> None:
    found = groups("👍👍", "👍 👍", "!!!", "👎")
    assert found[0] == found[1]
    assert len(set(found)) == 3


def test_rows_without_text_are_alone() -> None:
    assert len(set(groups(None, "", "  ", None, LONG))) == 5


def test_text_columns_count_as_one_text_and_tables_without_any_have_no_groups() -> None:
    table = pl.DataFrame({"a": [LONG, LONG, "other"], "b": ["one", None, "two"]})
    found = alike(table, schema("a", "b"), 0.8)
    assert found is not None
    assert found[0] == found[1] != found[2]
    assert alike(table, schema(), 0.8) is None
    assert alike(table[:0], schema("a"), 0.8).tolist() == []


@given(st.lists(st.one_of(st.none(), st.text(max_size=30)), max_size=30))
def test_any_texts_give_a_number_for_each_row_and_equal_ones_the_same(texts: list[str | None]) -> None:
    found = groups(*texts)
    assert len(found) == len(texts)
    by_text = {}
    for text, group in zip(texts, found, strict=True):
        if text is not None and text.strip():
            assert by_text.setdefault(text, group) == group


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_bands_find_nearly_every_pair_at_the_threshold(threshold: float) -> None:
    params = params_for(threshold)
    assert params.hashes <= 120
    assert 1 - (1 - threshold**params.rows) ** params.bands >= 0.99
    assert params_for(0.8) == MinHashParams(linkage="chain", signs_below=0)
