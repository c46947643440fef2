"""Scripts that write no space between words, in one place: who counts, cuts or compares words asks here.

Tibetan, Thai, Lao, Burmese, Khmer and Tai; kana and Bopomofo; Chinese characters. Korean writes spaces.
Source: Unicode Standard Annex #14, line breaking class SA, and #24, scripts.
"""

import re
import unicodedata
from collections.abc import Iterator

__all__ = ["LETTER", "UNSPACED", "UNSPACED_LETTER", "spaced"]

UNSPACED = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaa7f"
    "\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U000323af"
)
"""Their characters, for a class of a regular expression (Python's or Rust's)."""
UNSPACED_LETTER = rf"[{UNSPACED}&&[\p{{L}}\p{{N}}]]\p{{M}}*"
"""One of their characters with its marks, in Rust's syntax."""
LETTER = rf"[[\p{{L}}\p{{N}}\p{{M}}_]--[{UNSPACED}]]"
"""A letter, digit or mark of a word of all other scripts, in Rust's syntax."""
_ONE = re.compile(f"[{UNSPACED}]")


def spaced(text: str) -> str:
    """The text with spaces around each character of such scripts; marks stay with their character.

    >>> spaced("東京 Tower"), spaced("ที่นี่")
    (' 東 京 Tower', ' ที่ นี่')
    """
    return "".join(_spaced(text)) if _ONE.search(text) else text


def _spaced(text: str) -> Iterator[str]:
    inside = False
    for c in text:
        unspaced = bool(_ONE.match(c))
        mark = unicodedata.category(c).startswith("M")
        if not mark and (unspaced or inside) and not c.isspace():
            yield " "
        inside = unspaced or (mark and inside)
        yield c
