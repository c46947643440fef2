"""Tokens of any Hugging Face tokenizer (its `tokenizer.json`): ids, counts, and places in the text."""

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.core.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Tokenizer"]

BATCH_TEXTS = 1024
BLANK_PARTED = r"[^ \n]+"
MOST_KNOWN = 200_000
"""Words whose tokens are kept."""


class Tokenizer:
    """A tokenizer read from a file; the same text gives the same ids everywhere."""

    def __init__(self, path: Path) -> None:
        """Read a `tokenizer.json`, or the one in a folder.

        Raises:
            MissingExtraError: the extra `text` is not installed.
            DataError: there is no such file, or it is not a tokenizer.
        """
        try:
            import tokenizers
        except ModuleNotFoundError:
            raise MissingExtraError.of("Tokenisation", "text", "tokenizers") from None
        file = path / "tokenizer.json" if path.is_dir() else path
        if not file.is_file():
            raise DataError(f"expected the tokenizer.json of a Hugging Face tokenizer, found nothing at {str(file)!r}")
        try:
            self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises plain Exception
            raise DataError(f"expected a tokenizer.json, found one that cannot be read: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._by_words = _is_by_words(json.loads(self._tokenizer.to_str()))
        self._known: dict[str, list[int]] = {}

    def encode(self, texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
        """Ids of each text, on all cores; with `special`, the tokenizer's own marks around each."""
        found: list[list[int]] = []
        for start in range(0, len(texts), BATCH_TEXTS):
            batch = self._tokenizer.encode_batch_fast(texts[start : start + BATCH_TEXTS], add_special_tokens=special)
            found += [encoding.ids for encoding in batch]
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; some tokenizers fold case or white space, so it may differ from what was encoded."""
        return str(self._tokenizer.decode(list(ids)))

    def ids(self, texts: "pl.Series") -> "pl.Series":
        """Ids of each text as lists (special ones left out), the same as those of `encode`; missing stays missing.

        Where what a tokenizer does ends at blanks (that of BERT and its kin), each word is encoded once: a corpus says
        the same words over and over.
        """
        import polars as pl

        told = texts.drop_nulls()
        if self._by_words:
            id_t, length_n = self._ids_by_words(told.str.extract_all(BLANK_PARTED))
        else:
            id_t, length_n = _flat(self.encode(told.to_list()))
        parts = iter(np.split(id_t, np.cumsum(length_n)[:-1]))
        lists = [next(parts).tolist() if is_told else None for is_told in texts.is_not_null().to_list()]
        return pl.Series(texts.name, lists, dtype=pl.List(pl.UInt32))

    def _ids_by_words(self, lists: "pl.Series") -> "tuple[NDArray[np.uint32], NDArray[np.int64]]":
        """The ids of all texts, given as lists of words, one after the other, and how many each has."""
        import polars as pl

        words = lists.explode(empty_as_null=False, keep_nulls=False).alias("word")
        distinct = words.unique(maintain_order=True)
        id_t, length_d = _flat(self._encode_words(distinct.to_list()))
        numbered = distinct.to_frame().with_columns(place=pl.arange(len(distinct), eager=True, dtype=pl.Int64))
        place_w = words.to_frame().join(numbered, on="word", how="left", maintain_order="left")["place"].to_numpy()
        length_w = length_d[place_w]
        end_w = np.concatenate(([0], np.cumsum(length_w)))
        start_d = np.cumsum(length_d) - length_d
        at_t = np.arange(end_w[-1]) + np.repeat(start_d[place_w] - end_w[:-1], length_w)
        last_n = np.cumsum(lists.list.len().to_numpy().astype(np.int64))
        return id_t[at_t], np.diff(end_w[np.concatenate(([0], last_n))])

    def _encode_words(self, words: Sequence[str]) -> list[list[int]]:
        """Ids of each word; those of many words are kept for the next call."""
        if len(self._known) + len(words) > MOST_KNOWN:
            self._known.clear()
        new = [word for word in words if word not in self._known]
        self._known |= zip(new, self.encode(new), strict=True)
        return [self._known[word] for word in words]

    def counts(self, texts: "pl.Series") -> "pl.Series":
        """The number of tokens of each text (special ones not counted); missing stays missing."""
        import polars as pl

        return self.ids(texts).list.len().cast(pl.Int64)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """(start, end) of each token in the characters of the text; tokens that hold no character are left out."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return [(start, end) for start, end in encoding.offsets if end > start]


def _is_by_words(told: dict[str, Any]) -> bool:
    """Whether a tokenizer (as its file says) encodes what stands between blanks without a look at what is beyond."""
    parts = [(told.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
    added = [str(token["content"]) for token in told.get("added_tokens") or ()]
    return parts == ["BertNormalizer", "BertPreTokenizer", "WordPiece"] and not any(
        " " in t or "\n" in t for t in added
    )


def _flat(lists: list[list[int]]) -> "tuple[NDArray[np.uint32], NDArray[np.int64]]":
    """Numbers of all lists, one after the other, and how many each has."""
    length_n = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    return np.fromiter(chain.from_iterable(lists), dtype=np.uint32, count=int(length_n.sum())), length_n
