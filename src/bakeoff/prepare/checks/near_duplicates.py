"""Rows whose texts say the same, for splits that keep such rows on one side."""

from typing import TYPE_CHECKING

import numpy as np

from bakeoff.core.types import Schema
from bakeoff.prepare.rows.duplicates import texts_of
from bakeoff.prepare.rows.minhash import MinHashParams
from bakeoff.prepare.rows.near_duplicates import near_duplicate_groups
from bakeoff.prepare.text.words import units_of

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["alike", "params_for"]

HASHES = 120
FOUND = 0.995
"""The chance with which a pair at the threshold must share a band."""


def alike(table: "pl.DataFrame", schema: Schema, threshold: float) -> "NDArray[np.int64] | None":
    """A number for each row; rows with the same one have near-duplicate texts, directly or through others.

    The text inputs of a row count as one text. Texts are compared by their runs of three words or, in scripts without
    spaces, characters (see
    `near_duplicate_groups`); one of fewer words, or of none (signs, emoji), is alike only to those that are equal
    but for case, punctuation and space, or for space. A row without text is alike to no other. None when there
    are no text inputs.
    """
    import polars as pl

    texts = texts_of(table, schema)
    if texts is None:
        return None
    plain = texts.str.replace_all(r"\s+", " ").str.strip_chars().rename("text")
    distinct = plain.filter(plain.str.len_bytes() > 0).unique(maintain_order=True)
    groups = near_duplicate_groups(distinct, params_for(threshold))
    wordless = np.flatnonzero(units_of(distinct).list.len().to_numpy() == 0)
    if len(wordless):
        groups[wordless] = wordless[_first_equal(distinct.gather(wordless).str.replace_all(" ", "", literal=True))]
    known = pl.DataFrame({"text": distinct, "group": groups})
    found = plain.to_frame().join(known, on="text", how="left", maintain_order="left")["group"]
    alone = len(distinct) + np.arange(table.height, dtype=np.int64)
    return np.where(found.is_null().to_numpy(), alone, found.fill_null(0).to_numpy())


def params_for(threshold: float) -> MinHashParams:
    """The longest bands that still find nearly every pair at the threshold: long ones propose fewer needless pairs.

    Source: the S-curve in Leskovec, Rajaraman, Ullman 2014, "Mining of Massive Datasets", §3.4.
    """
    for rows in (6, 5, 4, 3, 2):
        bands = HASHES // rows
        if 1 - (1 - threshold**rows) ** bands >= FOUND:
            return _params(threshold, bands=bands, rows=rows)
    return _params(threshold, bands=HASHES, rows=1)


def _params(threshold: float, *, bands: int, rows: int) -> MinHashParams:
    """Those that keep together whatever may tell of each other: through others, and whatever their signs are."""
    return MinHashParams(threshold=threshold, bands=bands, rows=rows, linkage="chain", signs_below=0)


def _first_equal(texts: "pl.Series") -> "NDArray[np.int64]":
    _, first, inverse = np.unique(texts.to_numpy().astype(np.str_), return_index=True, return_inverse=True)
    return first[inverse].astype(np.int64)
