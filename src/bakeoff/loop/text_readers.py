"""What reads texts for monitoring: the detector of languages, and the encoder of one of the project's candidates."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bakeoff.core.families import load_family
from bakeoff.core.protocols import Progress
from bakeoff.loop.context import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bakeoff.monitor.texts import TextReaders

__all__ = ["text_readers"]


@runtime_checkable
class _Encoding(Protocol):
    """A family that lends its encoder out."""

    def sentence_vectors(
        self, name: str, texts: Sequence[str], *, cache: "Path", threads: int, progress: Progress
    ) -> "NDArray[Any]":
        """Vectors (n, d) of length one."""
        ...


def text_readers(stage: Stage) -> "TextReaders":
    """What reads texts in a project; nothing is loaded before it is called.

    The encoder is that of the first candidate that has one by itself, one of static vectors before others: it is
    the fastest.
    """
    from bakeoff.monitor.texts import TextReaders

    encoders = [each for each in stage.contenders if hasattr(each.shown.params, "model")]
    encoders.sort(key=lambda each: each.shown.family_name != "words")
    for contender in encoders:
        family = load_family(contender.shown.family_name)
        if isinstance(family, _Encoding):
            return TextReaders(languages=_languages, vectors=_vectors(stage, family, contender.shown.params.model))
    return TextReaders(languages=_languages)


def _languages(texts: Sequence[str]) -> list[str | None]:
    import polars as pl

    from bakeoff.prepare.text.language import languages

    return languages(pl.Series(texts, dtype=pl.String))["language"].to_list()


def _vectors(stage: Stage, family: _Encoding, model: str) -> "Any":
    def vectors(texts: Sequence[str]) -> "NDArray[Any]":
        threads = max(stage.compute.threads, 1)
        return family.sentence_vectors(model, texts, cache=stage.cache, threads=threads, progress=lambda _: None)

    return vectors
