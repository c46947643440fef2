"""Tokens of any Hugging Face tokenizer (its `tokenizer.json`): ids, counts, and places in the text."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Tokenizer"]

BATCH_TEXTS = 1024


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

    def counts(self, texts: "pl.Series") -> "pl.Series":
        """The number of tokens of each text (special ones not counted); missing stays missing."""
        import polars as pl

        told = texts.is_not_null()
        lengths = [len(ids) for ids in self.encode(texts.drop_nulls().to_list())]
        counts = pl.Series(texts.name, lengths, dtype=pl.Int64)
        return (
            pl.repeat(None, len(texts), dtype=pl.Int64, eager=True).scatter(told.arg_true(), counts).rename(texts.name)
        )

    def spans(self, text: str) -> list[tuple[int, int]]:
        """(start, end) of each token in the characters of the text; tokens that hold no character are left out."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return [(start, end) for start, end in encoding.offsets if end > start]
