"""Sentences, tokens, chunks and packing: nothing is lost, nothing is too long."""

from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Made
from tokenizers import models, normalizers, pre_tokenizers

from bakeoff.core.errors import DataError, UsageError
from bakeoff.prepare.language_models.chunks import chunk_spans, chunks
from bakeoff.prepare.language_models.packing import pack
from bakeoff.prepare.language_models.tokens import Tokenizer
from bakeoff.prepare.text.sentences import sentence_spans, sentences_of

TEXT = st.text(st.sampled_from("ab .!?\n。é😀A1"), max_size=80)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Tokenizer:
    """Each byte of a word is a token, as in the tokenizers of language models."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Made(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    folder = tmp_path_factory.mktemp("tokenizer")
    made.save(str(folder / "tokenizer.json"))
    return Tokenizer(folder)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "Mr. Smith paid $3.50 to J. R. Jones. Why? “Who knows!” he said.",
            ["Mr. Smith paid $3.50 to J. R. Jones.", "Why?", "“Who knows!” he said."],
        ),
        ("It is e.g. a test. Done", ["It is e.g. a test.", "Done"]),
        ("これは文です。次の文です。", ["これは文です。", "次の文です。"]),
        ("No. 5 is alive. ဒီစာ။ ok។ so", ["No. 5 is alive.", "ဒီစာ။", "ok។", "so"]),
        ("A title\n\nThen text.", ["A title", "Then text."]),
        ("", []),
        ("...", ["..."]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert sentences_of(pl.Series([text, None])).to_list() == [sentences, None]


def unspaced(text: str) -> str:
    return "".join(text.split())


@given(TEXT)
def test_sentences_hold_the_whole_text(text: str) -> None:
    spans = sentence_spans(text)
    assert unspaced("".join(text[a:b] for a, b in spans)) == unspaced(text)
    assert all(a < b for a, b in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


@given(TEXT, st.integers(1, 9), st.integers(0, 8), st.booleans(), st.sampled_from(["words", "characters"]))
def test_chunks_hold_the_whole_text_and_are_not_too_long(text, size, overlap, sentences, unit) -> None:
    if overlap >= size:
        with pytest.raises(UsageError, match="0 ≤ overlap < size"):
            chunk_spans(text, size=size, overlap=overlap)
        return
    spans = chunk_spans(text, size=size, overlap=overlap, sentences=sentences, unit=unit)
    held = {place for a, b in spans for place in range(a, b)}
    assert all(place in held for place, c in enumerate(text) if not c.isspace())
    for a, b in spans:
        piece = text[a:b]
        assert 1 <= (len(piece.split()) if unit == "words" else len(unspaced(piece))) <= size
    assert [a for a, _ in spans] == sorted({a for a, _ in spans})
    if overlap == 0:
        assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_chunks_of_a_column(tokenizer: Tokenizer) -> None:
    texts = pl.Series(["one two three four", None, "", "five"])
    found = chunks(texts, size=3, overlap=1)
    assert found.rows() == [(0, 0, 0, 13, "one two three"), (0, 1, 8, 18, "three four"), (3, 0, 0, 4, "five")]
    by_token = chunks(texts, size=6, unit="tokens", tokenizer=tokenizer, sentences=False)
    assert all(len(tokenizer.encode([text])[0]) <= 6 for text in by_token["text"])
    with pytest.raises(UsageError, match="a tokenizer"):
        chunks(texts, size=6, unit="tokens")


@pytest.mark.parametrize("size", [1, 3, 5, 30])
def test_chunks_of_tokens_cut_no_character(tokenizer: Tokenizer, size: int) -> None:
    whole = ["👨\u200d👩\u200d👧", "क्षि", "e\u0301", "🇩🇪", "ป้ำ", "🏴\U000e0067\U000e0062\U000e007f", "각"]
    text = "ab".join(whole) * 2
    spans = chunk_spans(text, size=size, unit="tokens", tokenizer=tokenizer, sentences=False)
    assert "".join(text[a:b] for a, b in spans) == text
    for a, b in spans:
        rest = text[a:b]
        for one in whole:
            rest = rest.replace(one, "")
        assert set(rest) <= set("ab")
        assert len(tokenizer.encode([text[a:b]])[0]) <= max(size, 25)  # the family alone has more


def test_a_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    texts = ["hé", "", "שלום", "a\x00b"]
    assert tokenizer.counts(pl.Series([*texts, None])).to_list() == [3, 0, 8, 3, None]
    assert tokenizer.spans("hé") == [(0, 1), (1, 2), (1, 2)]
    assert len(tokenizer.encode(["x"] * 3000)) == 3000
    with pytest.raises(DataError, match=r"expected the tokenizer\.json"):
        Tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(DataError, match="cannot be read"):
        Tokenizer(tmp_path)


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 16))
def test_packing_loses_nothing_and_cuts_only_what_cannot_fit(lengths, length) -> None:
    packed = pack(lengths, length)
    pieces = sorted(piece for sequence in packed.sequences for piece in sequence)
    for text, count in enumerate(lengths):
        mine = [piece for piece in pieces if piece.text == text]
        assert [token for piece in mine for token in range(piece.start, piece.end)] == list(range(count))
        assert len(mine) == -(-count // length)
    assert all(0 < sum(p.end - p.start for p in sequence) <= length for sequence in packed.sequences)
    least = -(-sum(lengths) // length)
    assert least <= len(packed.sequences) <= max(least * 2, 1)
    assert packed.filled == pytest.approx(sum(lengths) / (length * len(packed.sequences)) if pieces else 0.0)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("यह पहला है। यह दूसरा है।", ["यह पहला है।", "यह दूसरा है।"]),
        ("یہ پہلا ہے۔ کیا یہ دوسرا ہے؟ ہاں", ["یہ پہلا ہے۔", "کیا یہ دوسرا ہے؟", "ہاں"]),
        ("1. First item\n2. Second item", ["1. First item\n2. Second item"]),
    ],
)
def test_sentence_ends_of_other_scripts_and_numbers_of_items(text, sentences) -> None:
    assert [text[a:b] for a, b in sentence_spans(text)] == sentences


def test_chunks_are_bounded_in_any_script_and_cut_no_character() -> None:
    for text in ("好" * 1000, "ก" * 1000, "x" * 10_000):
        assert max(b - a for a, b in chunk_spans(text, size=10)) <= 1000
    family = "👨\u200d👩\u200d👧"
    text = (family + "e\u0301" + "🇩🇪" + "👍🏽") * 5
    pieces = [text[a:b] for a, b in chunk_spans(text, size=1, unit="characters")]
    assert pieces == [family, "e\u0301", "🇩🇪", "👍🏽"] * 5


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory) -> Tokenizer:
    """As BERT's: what it makes of a text ends at blanks."""
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = ["[UNK]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), "the", "##ing", "é"]
    made = Made(models.WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(["[MASK]"])
    file = tmp_path_factory.mktemp("wordpiece") / "tokenizer.json"
    made.save(str(file))
    return Tokenizer(file)


@given(texts=st.lists(st.none() | st.text(st.sampled_from("ab \n\té\u0301\u0300\u00a0\u3000中.,[MASK]\u200b\x00İ😀"))))
def test_words_encoded_once_give_what_whole_texts_give(wordpiece: Tokenizer, tokenizer: Tokenizer, texts) -> None:
    for each in (wordpiece, tokenizer):
        series = pl.Series("t", texts, dtype=pl.String)
        ids = iter(each.encode([text for text in texts if text is not None]))
        assert each.ids(series).to_list() == [None if text is None else next(ids) for text in texts]
        assert each.counts(series).to_list() == [len(x) if x is not None else None for x in each.ids(series).to_list()]
