"""Steps over text columns: unicode repair, HTML to text, whitespace."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from bakeoff.core.types import Schema
from bakeoff.prepare.steps import StepKind

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TextStep", "repair_unicode", "squeeze_whitespace", "strip_html"]

# Control characters but tab, newline and carriage return; and marks that order or join nothing visible.
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\ufff9-\ufffb]")
SURROGATES = re.compile("[\ud800-\udfff]")
# UTF-8 read as Windows-1252: the character of a lead byte followed by those of continuation bytes.
CONTINUATION = re.escape("".join(bytes([byte]).decode("cp1252", "ignore") for byte in range(0x80, 0xC0)))
MOJIBAKE = re.compile(f"[\u00c2-\u00f4][{CONTINUATION}]{{1,3}}")
SPACE = re.compile(r"\s+")
MARKUP = re.compile(r"<[a-zA-Z/!?]|&[a-zA-Z#]")
HIDDEN = frozenset({"script", "style", "template", "noscript", "head"})
BLOCKS = frozenset(
    {
        *("address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset", "figure", "footer"),
        *("form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "option", "p", "pre"),
        *("section", "table", "td", "th", "tr", "ul", "title"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStep:
    """A function over single texts as a step: each distinct text of each text column goes through it once."""

    name: str
    version: int
    function: Callable[[str], str]
    kind: StepKind = field(default="columns", init=False)

    def apply(self, table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        """Rewrite the text inputs; missing stays missing, and a text that becomes empty is missing too."""
        columns = [name for name in schema.of_kind("text") if name in table.columns]
        return table.with_columns([self._over(table[name]) for name in columns])

    def _over(self, series: "pl.Series") -> "pl.Series":
        import polars as pl

        done: dict[str, str | None] = {}
        found: list[str | None] = []
        for text in series.to_list():
            if text is not None and text not in done:
                done[text] = self.function(text) or None
            found.append(None if text is None else done[text])
        return pl.Series(series.name, found, dtype=pl.String)


def _repair_unicode(text: str) -> str:
    r"""Undo UTF-8 read as Windows-1252, compose characters (NFC), drop control characters.

    >>> ascii(_repair_unicode("It\u00e2\u20ac\u2122s a cafe\u0301\x00"))
    "'It\\u2019s a caf\\xe9'"
    """
    if text.isascii():
        return CONTROLS.sub("", text)
    text = SURROGATES.sub("\ufffd", text)
    return CONTROLS.sub("", unicodedata.normalize("NFC", MOJIBAKE.sub(_undo_mojibake, text)))


def _undo_mojibake(match: re.Match[str]) -> str:
    """The character whose UTF-8 bytes were read as Windows-1252; unchanged unless the bytes fit exactly."""
    try:
        return match[0].encode("cp1252").decode("utf-8")
    except UnicodeError:
        return match[0]


class _Text(HTMLParser):
    """Collects what a reader would see; keeps a count, not a stack, so deep nesting costs nothing."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in HIDDEN and self._hidden is None:
            self._hidden = tag
        if tag in BLOCKS:
            self.pieces.append("\n" if tag in {"br", "p", "div", "li", "tr"} else " ")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._hidden:
            self._hidden = None
        if tag in BLOCKS:
            self.pieces.append(" ")

    def handle_data(self, data: str) -> None:
        if self._hidden is None:
            self.pieces.append(data)


def _strip_html(text: str) -> str:
    """Visible text of an HTML fragment.

    >>> _strip_html("<p>fish &amp; chips</p><script>alert(1)</script> 1 < 2")
    'fish & chips  1 < 2'
    """
    if not MARKUP.search(text):
        return text
    parser = _Text()
    parser.feed(text)
    parser.close()
    return "".join(parser.pieces).strip()


def _squeeze_whitespace(text: str) -> str:
    r"""One space for each run of whitespace, none at the ends.

    >>> _squeeze_whitespace("  two\n\twords\u00a0")
    'two words'
    """
    return SPACE.sub(" ", text).strip()


repair_unicode = TextStep(name="repair_unicode", version=1, function=_repair_unicode)
strip_html = TextStep(name="strip_html", version=1, function=_strip_html)
squeeze_whitespace = TextStep(name="squeeze_whitespace", version=1, function=_squeeze_whitespace)
