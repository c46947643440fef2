"""Texts without what is not seen around them, in composed form: class labels and categories are compared so."""

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["AROUND", "trim", "trimmed"]

BLANKS = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
INVISIBLE = (
    "\0\xad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)
AROUND = BLANKS + INVISIBLE
"""White space and signs that show nothing."""


def trim(text: str) -> str:
    r"""The text without what is not seen around it, in Unicode's composed form.

    >>> trim("high\u00a0\u200b"), trim("cafe\u0301") == "caf\u00e9"
    ('high', True)
    """
    return unicodedata.normalize("NFC", text.strip(AROUND))


def trimmed(series: "pl.Series") -> "pl.Series":
    """The same for a column of texts; what is empty then is missing."""
    texts = series.str.strip_chars(AROUND)
    if texts.str.len_bytes().sum() != texts.str.len_chars().sum():
        texts = texts.str.normalize("NFC")
    empty = (texts == "").fill_null(value=False)
    return texts.set(empty, None) if empty.any() else texts
