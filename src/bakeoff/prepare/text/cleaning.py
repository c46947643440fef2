"""Steps over text columns: what such a step is, unicode repair, whitespace."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from blake3 import blake3

from bakeoff.core.types import Schema
from bakeoff.prepare.steps import Apply, NoParams, StepKind

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "RepairUnicodeParams",
    "Rewrite",
    "SqueezeParams",
    "TextStep",
    "digest",
    "each",
    "repair_unicode",
    "squeeze_whitespace",
]

# Control characters but tab, newline, carriage return, form feed and vertical tab (which part pages and lines); and
# marks that order or join nothing visible. U+200B stays: it parts words in Thai, Khmer and Burmese.
CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u2060\ufeff\ufff9-\ufffb]")
BEYOND_ASCII = r"[^\t-\r\x20-\x7e]"
"""Signs that a text may be damaged; escapes and other controls among them."""
SURROGATES = re.compile("[\ud800-\udfff]")
ESCAPE = "\x1b"

Rewrite: TypeAlias = "Callable[[pl.Series], pl.Series]"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextStep:
    """A function over text columns as a step.

    `make` gives, for parameters, a function from a column of texts to one of the same length; it imports and
    checks what it needs. `content` tells steps of one version apart: a digest of the patterns that they go by, so that
    texts are prepared anew when one of these changes.
    """

    name: str
    version: int
    make: Callable[[Any], Rewrite]
    params: type = NoParams
    requires: tuple[str, ...] = ()
    content: str = ""
    kind: StepKind = field(default="columns", init=False)

    def bind(self, params: Any) -> Apply:
        """Rewrites the text inputs; missing stays missing, and a text that becomes empty is missing too."""
        function = self.make(params)

        def apply(table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
            import polars as pl

            columns = [name for name in schema.of_kind("text") if name in table.columns]
            rewritten = table.with_columns([function(table[name]).alias(name) for name in columns])
            return rewritten.with_columns(pl.when(pl.col(name) != "").then(pl.col(name)) for name in columns)

        return apply


def digest(patterns: Iterable[str]) -> str:
    """A short digest of patterns, in their order."""
    return blake3("\0".join(patterns).encode("utf-8", "replace")).hexdigest(length=4)


def each(function: Callable[[str], str], *, where: str | None = None) -> Rewrite:
    """A function over single texts as one over a column; equal texts go through it once.

    Texts in which the regular expression `where` (Rust syntax) finds nothing are left as they are.
    """

    def rewrite(texts: "pl.Series") -> "pl.Series":
        import polars as pl

        touched = texts.is_not_null() if where is None else texts.str.contains(where).fill_null(value=False)
        places = touched.arg_true()
        done: dict[str, str] = {}
        found: list[str] = []
        for text in texts.gather(places).to_list():
            if text not in done:
                done[text] = function(text)
            found.append(done[text])
        changed = pl.Series(texts.name, found, dtype=pl.String)
        return texts.clone().scatter(places, changed) if len(places) < len(texts) else changed

    return rewrite


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairUnicodeParams:
    """`form`: the normal form; NFKC also folds width and compatibility characters (and loses them)."""

    form: Literal["NFC", "NFKC"] = "NFC"


def _repair_unicode(params: RepairUnicodeParams) -> Rewrite:
    import ftfy

    # What says how a text was damaged is undone; how it was typed (quotes, entities, line breaks) is kept.
    config = ftfy.TextFixerConfig(
        unescape_html=False,
        uncurl_quotes=False,
        fix_latin_ligatures=params.form == "NFKC",
        fix_character_width=params.form == "NFKC",
        fix_line_breaks=False,
        remove_terminal_escapes=True,
        explain=False,
        normalization=params.form,
    )

    def repair(text: str) -> str:
        if text.isascii() and ESCAPE not in text:
            return CONTROLS.sub("", text)
        # ftfy reads some control characters as damage, so they go after it; what they kept apart may compose.
        repaired = ftfy.fix_text(SURROGATES.sub("\ufffd", text), config)
        return unicodedata.normalize(params.form, CONTROLS.sub("", repaired))

    return each(repair, where=BEYOND_ASCII)


LINE_ENDS = r"\r\n?|[\x{0b}\x{0c}\x{85}\x{2028}\x{2029}]"
"""Ends of lines, pages and paragraphs beside the line feed (Unicode Standard, §5.8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqueezeParams:
    """`keep_lines`: line breaks stay (an empty line at most), for steps that look at lines and paragraphs."""

    keep_lines: bool = False


def _squeeze_whitespace(params: SqueezeParams) -> Rewrite:
    if not params.keep_lines:
        return lambda texts: texts.str.replace_all(r"\s+", " ").str.strip_chars()

    def squeeze(texts: "pl.Series") -> "pl.Series":
        # A blank alone stays, without being written anew.
        lines = texts.str.replace_all(LINE_ENDS, "\n").str.replace_all(r"(?:[^\S\n ]| [^\S\n])[^\S\n]*", " ")
        lines = lines.str.replace_all(" ?\n ?", "\n")
        return lines.str.replace_all(r"\n{3,}", "\n\n").str.strip_chars()

    return squeeze


repair_unicode = TextStep(
    name="repair_unicode", version=3, make=_repair_unicode, params=RepairUnicodeParams, requires=("ftfy",)
)
"""Undoes text decoded with the wrong encoding (ftfy), brings characters to a normal form, drops control characters."""
squeeze_whitespace = TextStep(name="squeeze_whitespace", version=2, make=_squeeze_whitespace, params=SqueezeParams)
"""One space for each run of whitespace, none at the ends."""
