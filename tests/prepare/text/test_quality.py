"""Each rule on a text that breaks it alone, and the repetition shares against plain counting."""

from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import ConfigError
from bakeoff.core.types import Column, Schema
from bakeoff.prepare.steps import Preparation
from bakeoff.prepare.text.quality import judge
from bakeoff.prepare.text.repetition import PARTS, REPEATED_RUNS, TOP_RUN, repetition

SCHEMA = Schema(columns=(Column(name="text", kind="text", dtype="String"),), target="label", inputs=("text",))
GOOD = " ".join(f"the word{i}x and some of it have" for i in range(12))


def broken(text: str, rules) -> set[str]:
    judged = judge(pl.Series([text, None]), rules)
    assert not any(judged.row(1))
    return {name for name, is_broken in judged.row(0, named=True).items() if is_broken}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (GOOD, set()),
        ("these and of that", {"word_count"}),
        (" ".join(["a", "of", "the", "to"] * 20), {"word_length"}),
        (GOOD + " #tag" * 20, {"hash_ratio"}),
        (GOOD.replace(" have", " have..."), {"ellipsis_ratio", "ellipsis_lines"}),
        ("\n".join("- " + GOOD[:60] for _ in range(12)), {"bullet_lines"}),
        ("\n".join(GOOD[:60] + "…" for _ in range(9)), {"ellipsis_lines"}),
        (GOOD + " 123" * 40, {"alphabetic"}),
        (" ".join(f"wort{i}x" for i in range(60)), {"stop_words"}),
    ],
)
def test_gopher(text: str, rule: set[str]) -> None:
    assert broken(text, "gopher") == rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("One. Two! Three?", set()),
        ("One. Two.", {"few_sentences"}),
        ("Lorem Ipsum. Two. Three.", {"lorem_ipsum"}),
        ("f() { One. Two. Three.", {"curly_bracket"}),
    ],
)
def test_c4(text: str, rule: set[str]) -> None:
    assert broken(text, "c4") == rule


def by_counting(text: str) -> dict[str, bool]:
    found = {}
    for name, (separator, most, most_characters) in PARTS.items():
        parts = [part.strip() for part in text.split(separator) if part.strip()]
        again = [part for place, part in enumerate(parts) if part in parts[:place]]
        found[f"repeated_{name}s"] = bool(parts) and len(again) / len(parts) > most
        characters = sum(map(len, parts))
        found[f"repeated_{name}_characters"] = bool(parts) and sum(map(len, again)) / characters > most_characters
    words = text.split()
    total = max(sum(map(len, words)), 1)
    for n in range(2, 11):
        runs = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts = Counter(runs)
        if n in TOP_RUN:
            top = max((c * sum(map(len, run)) for run, c in counts.items() if c > 1), default=0)
            found[f"top_run_of_{n}"] = top / total > TOP_RUN[n]
        if n in REPEATED_RUNS:
            covered = {i + k for i, run in enumerate(runs) if counts[run] > 1 for k in range(n)}
            found[f"repeated_runs_of_{n}"] = sum(len(words[i]) for i in covered) / total > REPEATED_RUNS[n]
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["a", "bb", "ccc", "d", "\n", "\n\n"]), max_size=40).map(" ".join), max_size=5)
)
def test_repetition_is_what_counting_gives(texts) -> None:
    found = repetition(pl.Series(texts, dtype=pl.String))
    assert [dict(row) for row in found.iter_rows(named=True)] == [by_counting(text) for text in texts]


def test_the_step_drops_what_breaks_a_rule_and_can_waive_rules() -> None:
    table = pl.DataFrame({"text": [GOOD, "too short", GOOD + " frobnicate", None], "label": ["x"] * 4})

    def kept(**params) -> list[int]:
        chain = Preparation([{"name": "keep_quality", "rules": ["gopher"], **params}])
        return chain.apply_rows_and_columns(table, SCHEMA).kept.tolist()

    assert kept() == [0, 2, 3]
    assert kept(blocked=["Frobnicate"]) == [0, 3]
    assert kept(waive=["word_count", "stop_words", "word_length"]) == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="rules to waive are among"):
        kept(waive=["word_cont"])


def test_the_step_is_all_rules_on_all_texts() -> None:
    fine = " ".join(f"wort{i}x" for i in range(60)) + " and so to it. Then the rest. Be well."
    texts = [GOOD, fine, "too short", "f() { One. Two. Three.", None, GOOD + " #tag" * 20, GOOD * 2]
    table = pl.DataFrame({"text": texts, "label": ["x"] * len(texts)})
    rules = ["gopher", "gopher_repetition", "c4"]
    broken = [any(row) for row in pl.concat([judge(table["text"], r) for r in rules], how="horizontal").iter_rows()]
    kept = Preparation([{"name": "keep_quality", "rules": rules}]).apply_rows_and_columns(table, SCHEMA).kept.tolist()
    assert kept == [row for row, is_broken in enumerate(broken) if not is_broken] == [1, 4]


@pytest.mark.parametrize(
    "text",
    [
        "今天天气非常好，我们决定出去散步。公园里有很多人，他们在聊天和运动。" * 8,
        "यह एक अच्छा दिन है और हम बाहर घूमने जा रहे हैं। बगीचे में बहुत से लोग हैं जो बातें कर रहे हैं। " * 5,
        "วันนี้อากาศดีมากเราจึงออกไปเดินเล่นที่สวนสาธารณะมีคนมากมาย" * 8,
    ],
)
def test_rules_made_for_spaces_and_english_do_not_drop_other_scripts(text) -> None:
    assert not any(judge(pl.Series([text]), "gopher").row(0))


PROSE = (
    "The first part isn't about what we'd expect (e.g. costs of $3.50/day), but it's to be read with care; see "
    "www.x.org/a-b.html or ask J. Smith. "
)
AGAIN = (
    "Nobody had read it, so that the e-mail (sent at 10:30a.m.) was lost, and I'll have to do it with you and them. "
)


@pytest.mark.parametrize(
    ("text", "quality", "repetitions"),
    [
        (PROSE, "word_count", None),
        (PROSE + AGAIN * 2, "alphabetic", "repeated_runs_of_5"),
        (PROSE + "Then we go on. " + "x = f(a, b); " * 12, "word_length", "top_run_of_3"),
        (PROSE + "Then we go on. " + "x = f(a, b); " * 6, "word_length", "top_run_of_4"),
        (PROSE + "of the " * 8, "word_count", "top_run_of_2"),
        (PROSE + "• ■ " * 20, "word_length", "top_run_of_2"),
        (PROSE + "\nthe same line\n\n" * 5, "word_count", "repeated_paragraphs"),
    ],
)
def test_datatroves_reading_is_what_its_filters_say(text, quality, repetitions) -> None:
    """The first rule that datatrove 0.10.1 gives as its reason, paragraphs before lines as it has them."""
    pytest.importorskip("spacy")
    order = ["repeated_paragraphs", "repeated_lines"]
    for rules, reason in (("gopher", quality), ("gopher_repetition", repetitions)):
        broken = [
            name for name, is_broken in judge(pl.Series([text]), rules, "datatrove").to_dicts()[0].items() if is_broken
        ]
        assert next((name for name in [*order, *broken] if name in broken), None) == reason
