"""Quality filters for web text: the rules of Gopher and C4, each with its number in the source.

Sources: Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher",
§A1.1 ("Quality Filtering" and "Repetition Removal", table A1); Raffel et al. 2020, "Exploring the Limits of
Transfer Learning with a Unified Text-to-Text Transformer", JMLR 21(140), §2.2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from bakeoff.core.scripts import UNSPACED
from bakeoff.core.types import Schema
from bakeoff.prepare.rows.duplicates import RowStep, texts_of
from bakeoff.prepare.steps import Apply
from bakeoff.prepare.text.cleaning import Rewrite, TextStep
from bakeoff.prepare.text.datatrove_rules import gopher, gopher_repetition
from bakeoff.prepare.text.repetition import repetition
from bakeoff.prepare.text.segments import word_counts

if TYPE_CHECKING:
    import polars as pl

__all__ = ["C4LinesParams", "QualityParams", "RuleSet", "broken_rules", "c4_lines", "judge", "keep_quality"]

RuleSet: TypeAlias = Literal["gopher", "gopher_repetition", "c4"]
Reading: TypeAlias = Literal["paper", "datatrove"]

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
POLICIES = r"(?i)terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies"
SENTENCE_END = r"[.!?।॥۔؟።][\"'”’)\]]*(?:\s|$)|[。！？][」』”’）]*"
LINE_END = r"[.!?\"”।॥۔؟።。！？」』][\s]*$"
LETTERED = r"\S*\p{L}\S*"
OF_OTHER_SCRIPTS = r"[\p{L}--[\p{Latin}]]"
LEAST_STOP_WORDS = 2
LEAST_SENTENCES = 3
ELLIPSIS = r"(?:\.\.\.|…)"


def judge(texts: "pl.Series", rules: RuleSet, reading: Reading = "paper") -> "pl.DataFrame":
    """For each text and each rule of the set, whether the text breaks it (missing texts break none).

    >>> import polars as pl
    >>> judge(pl.Series(["Lorem ipsum dolor."]), "c4").row(0, named=True)
    {'lorem_ipsum': True, 'curly_bracket': False, 'few_sentences': True}
    """
    import polars as pl

    sets = _RULES if reading == "paper" else _RULES | {"gopher": gopher, "gopher_repetition": gopher_repetition}
    return sets[rules](texts.alias("text")).select(pl.all().fill_null(value=False) & pl.lit(texts.is_not_null()))


def _gopher(texts: "pl.Series") -> "pl.DataFrame":
    """§A1.1: words are what white space separates."""
    import polars as pl

    text, words, lines = pl.col("text"), pl.col("words"), pl.col("lines")
    counted = texts.to_frame().with_columns(
        words=word_counts(texts),
        unspaced=text.str.count_matches(rf"[{UNSPACED}]"),
        foreign=text.str.count_matches(OF_OTHER_SCRIPTS),
        lines=text.str.count_matches(r"\n") + 1,
        characters=text.str.len_chars() - text.str.count_matches(r"\s"),  # so it is four times as fast as by "\S"
    )
    stops = [text.str.contains(rf"(?i)(?:^|\s){word}(?:\s|$)") for word in STOP_WORDS]
    return counted.select(
        # "contain between 50 and 100,000 words"
        word_count=~words.is_between(50, 100_000),
        # "mean word length outside the range of 3 to 10 characters"; without spaces there is no such length.
        word_length=~(pl.col("characters") / words).is_between(3, 10)
        & (pl.col("unspaced") <= 0.5 * pl.col("characters")),
        # "symbol-to-word ratio greater than 0.1 for either the hash symbol or the ellipsis"
        hash_ratio=text.str.count_matches("#") > 0.1 * words,
        ellipsis_ratio=text.str.count_matches(ELLIPSIS) > 0.1 * words,
        # Lines: "more than 90%" start "with a bullet point", or "more than 30%" end "with an ellipsis".
        bullet_lines=text.str.count_matches(r"(?m)^[^\S\n]*[•‣◦*-]") > 0.9 * lines,
        ellipsis_lines=text.str.count_matches(rf"(?m){ELLIPSIS}[^\S\n]*$") > 0.3 * lines,
        # Words: "80%" of them must hold a letter.
        alphabetic=(text.str.count_matches(LETTERED) < 0.8 * words)
        & (pl.col("unspaced") <= 0.5 * pl.col("characters")),
        # "at least two of the following English words": nothing that a text in another script could hold.
        stop_words=(pl.sum_horizontal(stops) < LEAST_STOP_WORDS) & (pl.col("foreign") <= 0.5 * pl.col("characters")),
    )


def _c4(texts: "pl.Series") -> "pl.DataFrame":
    """§2.2, the rules over pages (those over lines are the step `c4_lines`)."""
    import polars as pl

    text = pl.col("text")
    return texts.to_frame().select(
        # "removed any page where the phrase 'lorem ipsum' appeared"
        lorem_ipsum=text.str.contains("(?i)lorem ipsum"),
        # "removed any pages that contained a curly bracket"
        curly_bracket=text.str.contains("{", literal=True),
        # "discarded any page with fewer than 3 sentences"
        few_sentences=text.str.count_matches(SENTENCE_END) < LEAST_SENTENCES,
    )


_RULES: "dict[RuleSet, Callable[[pl.Series], pl.DataFrame]]" = {
    "c4": _c4,
    "gopher": _gopher,
    "gopher_repetition": repetition,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityParams:
    """`rules`: the sets to apply; `waive`: names of rules not to apply; `blocked`: words that condemn a text.

    C4 removed pages with a word of a public list of bad words; none ships here, so `blocked` is yours.
    `reading`: how Gopher's rules are read where the paper leaves it open. "paper": words are what white space parts,
    shares are of characters that are no white space, and every coming of a run that comes twice counts ("the fraction
    of characters contained within all duplicate n-grams"); "datatrove": as its filters do for English, with
    spaCy's tokens (the extra `nlp`; twenty times slower), see `datatrove_rules`.
    """

    rules: tuple[RuleSet, ...] = ("gopher", "gopher_repetition")
    waive: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    reading: Reading = "paper"


def _keep_quality(params: QualityParams) -> Apply:
    known = {name for rules in params.rules for name in _names(rules, params.reading)}
    if unknown := sorted(set(params.waive) - known):
        raise ValueError(f"rules to waive are among {', '.join(sorted(known))}; received {', '.join(unknown)}")

    cheapest: list[RuleSet] = [rules for rules in _RULES if rules in params.rules]

    def keep(table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        import polars as pl

        texts = texts_of(table, schema)
        if texts is None:
            return table
        # Rules are asked about the texts alone that no set before has condemned; the cheapest set comes first.
        left = pl.select(pl.arange(table.height, dtype=pl.UInt32)).to_series()
        for rules in cheapest:
            judged = judge(texts.gather(left), rules, params.reading)
            broken = judged.select(pl.any_horizontal(pl.exclude(params.waive) if params.waive else pl.all()))
            left = left.filter(~broken.to_series())
        if params.blocked:
            left = left.filter(~_blocked(texts.gather(left), params.blocked))
        return table[left]

    return keep


def broken_rules(texts: "pl.Series", params: QualityParams) -> list[list[str]]:
    """For each text, the names of the rules that it breaks."""
    judged = [judge(texts, rules, params.reading) for rules in params.rules]
    names = [name for table in judged for name in table.columns if name not in params.waive]
    rows = zip(*(table[name].to_list() for table in judged for name in table.columns if name in names), strict=True)
    broken = [[name for name, breaks in zip(names, row, strict=True) if breaks] for row in rows]
    if params.blocked:
        blocked = _blocked(texts, params.blocked).to_list()
        return [
            [*rules, *(["blocked"] if is_blocked else [])] for rules, is_blocked in zip(broken, blocked, strict=True)
        ]
    return broken


def _names(rules: RuleSet, reading: Reading) -> list[str]:
    import polars as pl

    return judge(pl.Series("text", ["a"]), rules, reading).columns


def _blocked(texts: "pl.Series", words: tuple[str, ...]) -> "pl.Series":
    import re

    listed = "|".join(re.escape(word) for word in words)
    outside = r"[^\p{L}\p{N}]"
    return texts.str.contains(rf"(?i)(?:^|{outside})(?:{listed})(?:{outside}|$)").fill_null(value=False)


keep_quality = RowStep(
    name="keep_quality", version=5, make=_keep_quality, params=QualityParams, requires=("icu4py", "spacy")
)
"""Rows whose texts break no rule of the sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class C4LinesParams:
    """`least_words` of a line that stays."""

    least_words: int = 5


def _c4_lines(params: C4LinesParams) -> Rewrite:
    def rewrite(texts: "pl.Series") -> "pl.Series":
        import polars as pl

        # Citation markers of Wikipedia, "[1]" or "[citation needed]", are removed.
        cited = pl.col("text").str.replace_all(r"\[(?:\d+|citation needed|edit)\]", "")
        lines = texts.alias("text").to_frame().select(line=cited.str.split("\n")).with_row_index("row").explode("line")
        lines = lines.with_columns(words=word_counts(lines["line"]))
        line = pl.col("line")
        good = (
            # "only retained lines that ended in a terminal punctuation mark"
            line.str.contains(LINE_END)
            # Its code takes a line that breaks off for none (as C4's `clean_text_fn` and datatrove's filter do).
            & ~line.str.contains(r"(?:\.\.\.|…)\s*$")
            # "only retained lines that contained at least 5 words"
            & (pl.col("words") >= params.least_words)
            # "removed any line with the word Javascript"
            & ~line.str.contains("(?i)javascript")
            # "removed any lines containing the strings …": boilerplate policy notices
            & ~line.str.contains(POLICIES)
        )
        kept = line.str.strip_chars().filter(good).str.join("\n")
        left = lines.group_by("row", maintain_order=True).agg(kept)
        return left.select(pl.when(pl.lit(texts.is_not_null())).then("line")).to_series().alias(texts.name)

    return rewrite


c4_lines = TextStep(name="c4_lines", version=3, make=_c4_lines, params=C4LinesParams, requires=("icu4py",))
"""The lines of each text that C4 would keep."""
