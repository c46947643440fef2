"""What is no HTML stays to the last character; of what is, all that a browser shows stays."""

import random
import time

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.prepare.text.html import StripHtmlParams, form_of, strip_html


def stripped(text: str, **params) -> str:
    return strip_html.make(StripHtmlParams(**params))(pl.Series([text]))[0]


PLAIN = [
    "Use vector<int> and List<String>",
    "SELECT * FROM t WHERE a<b AND c>d",
    "5<x<10 for all x in R\nthen",
    "I love it </3\nsecond line",
    "Hi <ann@x.org>,\n\nBob",
    "R&D line 1\n\nR&D line 2",
    "https://x.com/?a=1&copy=2&region=eu&lt=3",
    "if (i<b && c>d) x",
    "Map<K, V> m; Foo<P> p; Vec<u> q",
    "template <class T> T max(T a, T b) { return a<b ? b : a; }",
    "function App() {\n  return <div className='x'>{n}</div>;\n}",
    "el.innerHTML = '<b>x</b>';",
    'print("<p>one</p>", end="")',
    "Use `<b>x</b>` here\n\nand `&amp;` too",
    "# Title\n\n```html\n<p>x</p>\n```\nafter\n\nmore",
    "Use the <b> tag and the <p> element",
    "On Mon, Ann <ann@x.org> wrote:\n> hi <there>\n> &c.",
    "<?xml version='1.0'?><item><title>x</title></item>",
    'text.replace("&lt;", "<")',
    "#include <stdio.h>\nint main() { return a<b; }",
    "p<q and r>s\n\n|x|<1 & |y|>2",
    "see <https://x.org/?a&b> or <mailto:ann@x.org>",
    "<3 <3 <- -> <= >= <>",
    "AT&T, Q&A; B&B",
    "let v: Vec<Option<i32>> = x.iter().collect::<Vec<_>>();",
    "usage: tool [-h] <file> <out>\n\n  -h  help",
    "$\\{x : x < a, b > y\\} \\& \\alpha$",
    "<<EOF\nhello\nEOF",
    "--- a/x.html\n+++ b/x.html\n@@ -1,2 +1,2 @@\n-<p>old</p>\n+<p>new</p>\n <div>same</div>",
    '<template>\n  <div v-if="ok">{{ words }}</div>\n</template>\n<script setup>\nconst x = 1\n</script>',
    "<script lang='ts'>\n  let n = 1\n</script>\n<template>\n  <p>{{ n }}</p>\n</template>",
    "<s> Hello <pad> <unk> </s>",
    "<s>[INST] Say <b [/INST] It is so.</s>",
    'msgid "Hello <b>you</b>"\nmsgstr "Hallo <b>du</b>"',
    '{\n    "name &#8212; title": "a &lt; b",\n    "<b>x</b>": 1\n}',
    '<!-- made by hand -->\n<svg width="8"><title>Pencil</title><path d="M0 0"/></svg>',
    '<!DOCTYPE svg PUBLIC "x" "y">\n<svg><text>words</text></svg>',
    "!function(e,t){var n=['<table>','</table>'];if(e<t){r(n)}};" * 8,
]


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_no_html_stays(text: str) -> None:
    assert stripped(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("so <b>bold</b>\n\nnext <a href='x'>link</a>", "so bold\n\nnext link"),
        ("E = mc<sup>2</sup>, H<sub>2</sub>O, 1<sup>st</sup>, x<sup>ab</sup>", "E = mc², H₂O, 1st, x^(ab)"),
        ("<p>E = mc<sup>2</sup></p>", "E = mc²"),
        ("fish &amp; chips\n\n&#233; &unknown; &copy=1", "fish & chips\n\né &unknown; &copy=1"),
        ("<div>hi<textarea>area</textarea><button>push</button></div>", "hi area push"),
        ("<div>a<label>name</label><output>7</output></div>", "a name 7"),
        ("<details><summary>more</summary>inner</details>", "more\ninner"),
        ("<p>x</p><figure><img src=a><figcaption>the caption</figcaption></figure><p>y</p>", "x\n\nthe caption\n\ny"),
        ("<fieldset><legend>title</legend>field</fieldset>", "title\nfield"),
        ("<select><option>one<option>two</select>", "one two"),
        ("<script>var a=1;\nvar b=2;\n</script>Text", "Text"),
        ("<!-- no -->hi", "hi"),
        ("one<br />\ntwo", "one\ntwo"),
        ("<pre>if (a) {\n  b();\n}</pre><p>so</p>", "if (a) {\n  b();\n}\n\nso"),
        (
            "# Title\n\nText with <b>bold</b> and `<i>code</i>`\n\nmore",
            "# Title\n\nText with bold and `<i>code</i>`\n\nmore",
        ),
        ("<!DOCTYPE html><html><head><title>T</title></head><body>x &lt; y</body></html>", "x < y"),
        ("<div>" * 1000 + "deep", "deep"),
    ],
)
def test_what_a_browser_shows_stays(text: str, shown: str) -> None:
    assert stripped(text) == shown


def test_markdown_with_html_keeps_its_lines() -> None:
    text = (
        "# Title\n\n<!-- YAML\nadded: v1\n-->\n\nSome <b>bold</b> &amp; more:\n\n* one\n* two\n\n"
        "```js\nif (a<b) {\n    f('<p>x</p>');\n}\n```\n\n<details>\n<summary>More</summary>\n\n"
        "| a | b |\n|---|---|\n| 1<br>x | 2 |\n\n</details>\n"
    )
    assert stripped(text) == (
        "# Title\n\n\n\nSome bold & more:\n\n* one\n* two\n\n"
        "```js\nif (a<b) {\n    f('<p>x</p>');\n}\n```\n\n\nMore\n\n"
        "| a | b |\n|---|---|\n| 1 x | 2 |\n\n\n"
    )
    assert stripped('<p title="a>b">x</p>') == "x"


def test_what_a_page_does_not_show_stays_by_choice() -> None:
    text = "<title>t &amp; u</title>yes<noscript>no</noscript><img src=x alt='pic'>"
    assert stripped(text) == "yes"
    assert stripped(text, also=("title",)) == "t & u\n\nyes"
    assert stripped(text, also=("noscript",)).split() == ["yesno"]
    assert "pic" in stripped(text, also=("alt",))
    assert stripped("a <b <img src=x alt='pic'>", also=("alt",)) == "a <b pic"
    assert stripped("Use vector<int> here", force=True) == "Use vector here"


WORDS = st.sampled_from(["alpha", "beta", "gamma", "x", "y2", "naïve", "你好", "don't", "3.14"])
PIECES = st.one_of(
    WORDS,
    st.builds("{}<{}".format, WORDS, WORDS),
    st.builds("{} < {} && {} > 1".format, WORDS, WORDS, WORDS),
    st.builds("List<{}>".format, st.sampled_from(["String", "int", "T", "K, V"])),
    st.builds("<{}@x.org>".format, st.sampled_from(["ann", "b.c"])),
    st.builds("https://x.org/?{}=1&{}=2".format, st.sampled_from("ab"), st.sampled_from(["copy", "lt", "reg", "c"])),
    st.builds("`<b>{}</b>`".format, WORDS),
    st.sampled_from(
        ["&", "R&D", "AT&T;", "<3", "</3", "->", "<-", "<>", "<=", "\n", "\n\n", "  ", "\t", "<file>", "&c."]
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=30).map(" ".join))
def test_generated_texts_without_html_do_not_change(text: str) -> None:
    if text:
        assert stripped(text) == text


INLINE = st.sampled_from(
    ["{}", "<b>{}</b>", "<a href='/x?a=1&amp;b=2'>{}</a>", '<span class="c">{}</span>', "<em>{}</em>"]
)
SPANS = st.builds(lambda mark, word: mark.format(word), INLINE, WORDS)
BLOCK = st.sampled_from(["<p>{}</p>", "<div>{}</div>", "<ul><li>{}</li></ul>", "<table><tr><td>{}</td></tr></table>"])
BLOCKS = st.builds(lambda block, spans: block.format(" ".join(spans)), BLOCK, st.lists(SPANS, min_size=1, max_size=5))


@settings(max_examples=200, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=6), st.sampled_from(["", "\n"]))
def test_generated_html_keeps_every_word_in_order(blocks: list[str], between: str) -> None:
    import re

    text = between.join(blocks)
    words = re.sub(r"<[^>]*>", " ", text).split()
    shown = stripped(text)
    assert shown.split() == words
    assert "<" not in shown


@pytest.mark.parametrize(
    "piece", ["<!--", "<script", "<b ", "<p a=", "```", "`", "='<", "&amp", "<sup>", "<title>", "<p>a "]
)
def test_hostile_texts_take_linear_time(piece: str) -> None:
    started = time.process_time()
    form_of(piece * 20_000)
    assert time.process_time() - started < 3


def test_equal_texts_are_judged_alike_whatever_stands_beside_them() -> None:
    rng = random.Random(1)
    texts = [rng.choice([*PLAIN, "<p>x</p>"]) for _ in range(50)]
    together = strip_html.make(StripHtmlParams())(pl.Series(texts)).to_list()
    assert together == [stripped(text) for text in texts]
