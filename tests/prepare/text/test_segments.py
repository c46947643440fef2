"""Words of scripts without spaces, with ICU's dictionaries and without."""

import polars as pl
import pytest

from bakeoff.prepare.language_models.chunks import chunk_spans
from bakeoff.prepare.text import segments
from bakeoff.prepare.text.quality import C4LinesParams, c4_lines, judge
from bakeoff.prepare.text.segments import word_counts
from bakeoff.prepare.text.words import units_of, words_of

TEXTS = ["我喜欢在图书馆读书", "ฉันชอบอ่านหนังสือในห้องสมุด", "私は図書館で本を読みます", "plain English words"]


@pytest.fixture
def by_characters(monkeypatch):
    monkeypatch.setattr(segments, "_breaker", lambda: None)


@pytest.fixture
def by_dictionaries():
    pytest.importorskip("icu4py")


def test_characters_where_there_is_no_dictionary(by_characters) -> None:
    units = units_of(pl.Series(["GPT模型 is good", None]))
    assert units.to_list() == [["gpt", "模", "型", "is", "good"], None]
    assert word_counts(pl.Series(TEXTS)).to_list() == [5, 14, 6, 3]
    assert all(b - a <= 4 for a, b in chunk_spans(TEXTS[0], size=4))


def test_words_where_there_is_one(by_dictionaries) -> None:
    words = words_of(pl.Series([*TEXTS, None])).to_list()
    assert words[0] == ["我", "喜欢", "在", "图书", "馆", "读书"]
    assert words[1][:4] == ["ฉัน", "ชอบ", "อ่าน", "หนังสือ"]
    assert "図書館" in words[2]
    assert words[3:] == [["plain", "english", "words"], None]
    assert units_of(pl.Series(["我喜欢"])).to_list() == [["我", "喜", "欢"]]  # texts are compared by characters
    assert word_counts(pl.Series(TEXTS)).to_list() == [len(some) for some in words[:4]]
    start, end = chunk_spans(TEXTS[1], size=4)[0]
    assert TEXTS[1][start:end] == "ฉันชอบอ่านหนังสือ"


DAY = (
    "我们今天去学校上课，老师讲了很多有趣的故事，同学们都很高兴。放学以后，大家一起回家吃饭，然后做作业。"
    "晚上看了一会儿电视，十点钟就睡觉了。第二天早上下起了大雨，公共汽车来得很晚，所以谁都没有准时到。"
)


def test_what_a_text_without_spaces_says_again_is_seen() -> None:
    again, honest = judge(pl.Series([DAY * 3, DAY]), "gopher_repetition").iter_rows()
    assert any(again)
    assert not any(honest)


def test_lines_of_c4_are_counted_in_the_same_words() -> None:
    rewrite = c4_lines.make(C4LinesParams(least_words=5))
    lines = rewrite(pl.Series(["我喜欢在图书馆读书。\n菜单。\nฉันชอบอ่านหนังสือในห้องสมุด.", None, ""])).to_list()
    assert lines == ["我喜欢在图书馆读书。\nฉันชอบอ่านหนังสือในห้องสมุด.", None, ""]


def test_nothing_is_lost_and_no_rule_drops_them() -> None:
    chinese = "今天的天气非常好，我们一起去公园散步。" * 12
    assert "".join(chinese[a:b] for a, b in chunk_spans(chinese, size=7)) == chinese
    assert not any(judge(pl.Series([chinese]), "gopher").row(0))
