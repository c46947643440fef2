"""The end of a chain: tokens of a Hugging Face tokenizer, or words, as columns."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from bakeoff.core.errors import DataError
from bakeoff.prepare.corpus.work import Tokens
from bakeoff.prepare.language_models.tokens import Tokenizer
from bakeoff.prepare.text.words import units_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["tokenise"]

Tokenise: TypeAlias = "Callable[[pl.DataFrame], tuple[pl.DataFrame, int]]"


def tokenise(tokens: Tokens, text: list[str]) -> Tokenise:
    """A function from a table to one with the tokens of its (first) text column, and how many there are.

    Raises:
        MissingExtraError, DataError: the tokenizer cannot be read.
    """
    tokenizer = Tokenizer(Path(tokens.tokenizer)) if tokens.tokenizer is not None else None
    lists_name = "token_ids" if tokenizer else "words"

    def apply(table: "pl.DataFrame") -> "tuple[pl.DataFrame, int]":
        import polars as pl

        if taken := {"tokens", lists_name if tokens.ids else "tokens"} & set(table.columns):
            raise DataError(f"expected a corpus without the columns that tokens go to, found {sorted(taken)}")
        lists = tokenizer.ids(table[text[0]]) if tokenizer else units_of(table[text[0]])
        counts = lists.list.len().cast(pl.Int64).alias("tokens")
        columns = [counts, lists.alias(lists_name)] if tokens.ids else [counts]
        return table.with_columns(columns), int(counts.sum())

    return apply
