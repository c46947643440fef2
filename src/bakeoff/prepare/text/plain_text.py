"""Texts as patterns of personal data read them: one blank, hyphen and digit for all; places are those of the text."""

import re
import unicodedata
from typing import TYPE_CHECKING

from bakeoff.core.scripts import UNSPACED

if TYPE_CHECKING:
    import polars as pl

__all__ = ["composed", "parted_text", "plain", "plain_texts"]

ZEROS = (
    *(0x0660, 0x06F0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0E50, 0x0ED0),
    *(0x1040, 0x17E0),
)
"""The zeros of other scripts; nine digits follow each."""
BLANKS = "\u00a0\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u3000"
HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2212\ufe58\ufe63"
FULL_WIDTH = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+-()./@_=#%&"
"""Forms as wide as an ideograph; colons and commas stay, as they part things."""
# Letters whose case no "(?i)" knows: the Turkish i, signs that are letters, and Greek vowels, which lose their
# accent in capitals (Unicode Standard, §5.18). Patterns write Greek words without it.
CASELESS = dict(zip("İıſ\u212a", "IisK", strict=True)) | dict(
    zip("ΆΈΉΊΌΎΏΐΰάέήίόύώϊϋΪΫ", "ΑΕΗΙΟΥΩιυαεηιουωιυΙΥ", strict=True)
)
PLAIN = (
    CASELESS
    | dict.fromkeys(BLANKS, " ")
    | dict.fromkeys(HYPHENS, "-")
    | {chr(zero + digit): str(digit) for zero in ZEROS for digit in range(10)}
    | {chr(0xFEE0 + ord(sign)): sign for sign in FULL_WIDTH}
)
TABLE = str.maketrans(PLAIN)
# A character with marks that may compose with it, or the parts of a Hangul syllable.
CLUSTER = re.compile(
    r"[\u1100-\u115f][\u1160-\u11ff]{1,2}|[^\u0300-\u036f\u3099\u309a][\u0300-\u036f\u3099\u309a]*|.", re.DOTALL
)
UNPARTED = re.compile(f"[{UNSPACED}\uac00-\ud7a3]")


def plain(text: str) -> str:
    """The text, as long as it is, with one kind of blank, hyphen, digit and case: what the patterns are for."""
    return text if text.isascii() else text.translate(TABLE)


def composed(text: str) -> tuple[str, list[int] | None]:
    """The text with its letters composed (NFC), and where each of its characters and its end are in the text.

    >>> composed("mo\u0308 x"), composed("mö x")
    (('mö x', [0, 1, 3, 4, 5]), ('mö x', None))
    """
    if unicodedata.is_normalized("NFC", text):
        return text, None
    pieces: list[str] = []
    places: list[int] = []
    for found in CLUSTER.finditer(text):
        pieces.append(unicodedata.normalize("NFC", found[0]))
        places += [found.start()] * len(pieces[-1])
    return "".join(pieces), [*places, len(text)]


def parted_text(text: str) -> str:
    """The text, as long as it is, with a mark for each letter of scripts that part nothing by blanks, and of Korean.

    Numbers stand beside such letters as beside signs: "请拨打13800138000联系我", "010-1234-5678로".
    """
    return text if text.isascii() else UNPARTED.sub("、", text)


def plain_texts(texts: "pl.Series") -> "pl.Series":
    """`plain` of many texts, composed."""
    import polars as pl

    places = texts.str.contains(r"[^\x00-\x7f]").fill_null(value=False).arg_true()
    if not len(places):
        return texts
    changed = pl.Series([plain(composed(text)[0]) for text in texts.gather(places).to_list()], dtype=pl.String)
    return texts.clone().scatter(places, changed)
