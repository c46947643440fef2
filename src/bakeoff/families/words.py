# pyright: basic
# what comes from the encoder and the heads has no complete types
"""`words`: static vectors of word pieces and a linear head over them and the other columns: a text in microseconds.

Between `linear`, which knows no word that training rows lack, and `embedding`, which reads whole sentences.

Source: L. Miller (2024), "WordLlama" (vectors taken from the first layer of a language model and trained for means).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.core.protocols import Progress
from bakeoff.families import saved
from bakeoff.families.embedding import EmbeddingFamily, EmbeddingModel, EmbeddingParams, EmbeddingState, files_of
from bakeoff.families.features.onnx_encoder import EncoderSource, need_modules
from bakeoff.families.features.static_encoder import StaticEncoder
from bakeoff.families.features.vectors_cache import VectorCache

__all__ = ["WordsFamily", "WordsModel", "WordsParams"]

WEIGHTS, TOKENIZER = "vectors.safetensors", "tokenizer.json"
PACKAGE = "pypi://wordllama==0.4.0.post1/wordllama"


def known_tables() -> dict[str, EncoderSource]:
    """Tables of vectors by name; both files of each are fetched from a PyPI package."""
    return {
        "wordllama-256": EncoderSource(
            weights=f"{PACKAGE}/weights/l2_supercat_256.safetensors",
            tokenizer=f"{PACKAGE}/tokenizers/l2_supercat_tokenizer_config.json",
        )
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsParams(EmbeddingParams):
    """Parameters of `words`: those of `embedding`, where `model` names a table of vectors."""

    model: str = "wordllama-256"


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsModel(EmbeddingModel):
    """A fitted `words` candidate."""

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        files = {WEIGHTS: self.encoder.weights, TOKENIZER: self.encoder.tokenizer}
        saved.write(folder, WordsFamily.name, self.state, files)


class WordsFamily(EmbeddingFamily):
    """Builds `WordsModel`s; `encoders` are the tables that the parameter `model` can name."""

    name = "words"
    params = WordsParams
    requires = ("numpy", "scikit-learn", "tokenizers", "polars")
    extra: str | None = "words"
    scales = False
    model: type[EmbeddingModel] = WordsModel

    def __init__(self, encoders: Mapping[str, EncoderSource] | None = None) -> None:
        super().__init__(known_tables() if encoders is None else encoders)

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> EmbeddingModel:
        """See `bakeoff.core.protocols.Family`; a `cache` folder saves encoding texts that fits have seen."""
        state, files = saved.read(folder, self.name, EmbeddingState)
        encoder: Any = StaticEncoder(weights=files[WEIGHTS], tokenizer=files[TOKENIZER], threads=threads)
        known = VectorCache(cache, encoder.digest, encoder.width) if cache else None
        return WordsModel(state=state, encoder=encoder, cache=known)

    def _encoder(self, name: str, *, cache: Path, threads: int, progress: Progress) -> Any:
        source = self._source(name)
        need_modules(self.name, "tokenizers")
        weights, tokenizer = files_of(source, cache=cache, progress=progress)
        return StaticEncoder(weights=weights, tokenizer=tokenizer, threads=threads)
