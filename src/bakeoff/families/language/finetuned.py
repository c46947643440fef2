# pyright: basic
# torch and transformers come without complete types
"""A fine-tuned model: its base, an adapter on it if there is one, and a head."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.chat.tokens import ChatTokens, TokenSequence
from bakeoff.core.conversation import lines_of
from bakeoff.core.errors import ContextLengthError, CorruptError
from bakeoff.core.generation import Embedded, Embedder, Messages
from bakeoff.core.ledger import Loss, example, summed
from bakeoff.core.types import Predictions, Signature
from bakeoff.families.features.columns import complete
from bakeoff.families.features.vectors_cache import VectorCache
from bakeoff.families.language import backbone
from bakeoff.families.language import model_files as storing
from bakeoff.families.language.backbone import Backbone, Precision, by_length
from bakeoff.families.language.convert import Kind
from bakeoff.families.language.library_output import quietly
from bakeoff.families.language.prompts import Part, Prompt, cut_losses, row_texts, sequences
from bakeoff.families.saved import Array, StatedModel

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["RowTokenizer", "TunedModel", "TunedState", "load_tuned", "open_tuned", "put_on"]

BATCH = 32
LEAST_SHARE = 1e-12
"""What a class that is ruled out, or unknown, still gets, so that its loss is a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTokenizer:
    """How rows become token ids: the bare text, or a prompt around it. A text keeps `max_tokens` tokens.

    Of the columns, those in `conversations` hold turns.
    """

    columns: tuple[str, ...]
    template: str | None
    prompt: Prompt | None
    max_tokens: int
    conversations: tuple[str, ...] = ()

    def texts(self, table: "pl.DataFrame") -> list[str]:
        """Each row's question as a text."""
        older = self.prompt is not None and self.prompt.conversations and len(self.columns) == 1
        return row_texts(table, self.columns, self.template, self.columns if older else self.conversations)

    def most(self, loaded: Backbone) -> int:
        """How many tokens are read."""
        if self.prompt is None:
            return min(self.max_tokens + loaded.words.around, loaded.context)
        return self.prompt.most(loaded.words, (), row=self.max_tokens, context=loaded.context, answer=0)

    def sequences(self, loaded: Backbone, texts: Sequence[str]) -> list[TokenSequence]:
        """The token ids of each text, at least one, and what was cut."""
        words, most = loaded.words, self.most(loaded)

        def encode(_: int, asked: Messages) -> list[int]:
            ids = self._bare(words, asked) if self.prompt is None else self.prompt.ids(words, asked)
            return ids or [words.nothing]

        return sequences(words, texts, most, encode)

    def ids(self, loaded: Backbone, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, at least one."""
        return [list(each.ids) for each in self.sequences(loaded, texts)]

    def losses(self, loaded: Backbone, texts: Sequence[str], made: Sequence[TokenSequence], part: Part) -> list[Loss]:
        """What of the rows of a part was cut."""
        most = self.most(loaded)
        by_setting = most < loaded.context
        remedy = "raise max_tokens" if by_setting else "name a model with a longer context"
        return list(cut_losses(texts, made, part, min(self.max_tokens, most), remedy=remedy))

    def _bare(self, words: ChatTokens, asked: Messages) -> list[int]:
        """A text alone as the tokenizer frames it; several turns by the chat template, or as lines."""
        if len(asked) == 1 or words.template is None:
            return words.texts([lines_of(asked)], special=True)[0]
        return words.prompt(asked, answer=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedState:
    """All of a model but its weights. The head's scores times `spread` plus `center` are numbers (regression)."""

    family: str
    signature: Signature
    chosen: dict[str, Any]
    reading: RowTokenizer
    kind: Kind
    precision: Precision
    head_dk: Array
    bias_k: Array
    center: float = 0.0
    spread: float = 1.0
    max_new_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class TunedModel(StatedModel):
    """A candidate that was fine-tuned; `parts` are the folders of its weights.

    With a `cache`, texts whose scores it holds are not read again.
    """

    state: TunedState
    parts: Mapping[str, Path]
    backbone: Backbone = field(repr=False)
    cache: VectorCache | None = None

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        table = complete(table, self.signature)
        state = self.state
        texts = state.reading.texts(table)
        score_nk = self._scores(texts) if self.cache is None else self.cache.vectors(texts, self._scores)
        if self.signature.task == "regression":
            return Predictions(values_n=score_nk[:, 0] * state.spread + state.center)
        power_nk = np.exp(score_nk - score_nk.max(axis=1, keepdims=True, initial=-np.inf))
        return Predictions.of_probabilities(power_nk / power_nk.sum(axis=1, keepdims=True), self.signature.classes)

    def recall(
        self, table: "pl.DataFrame", texts: Sequence[str], most: int
    ) -> "tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]":
        """See `bakeoff.core.protocols.Recalling`; a label counts as one token."""
        del most
        said = self.predict(table)
        assert said.probabilities_nk is not None
        known = {name: at for at, name in enumerate(said.classes)}
        share_n = np.asarray([said.probabilities_nk[n, known[t]] if t in known else 0.0 for n, t in enumerate(texts)])
        right_n = said.values_n.astype(np.str_) == np.asarray(texts, dtype=np.str_)
        return np.log(np.maximum(share_n, LEAST_SHARE)), np.ones(len(texts), dtype=np.int64), right_n

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        storing.write(folder, self.state.family, self.state, self.signature, self.parts)

    @property
    def embedder(self) -> Embedder:
        """See `bakeoff.core.generation.Embedding`; vectors as its head reads them."""
        return self

    def embed(self, texts: Sequence[str]) -> Embedded:
        """See `bakeoff.core.generation.Embedder`."""
        made = self.state.reading.sequences(self.backbone, texts)
        for text, sequence in zip(texts, made, strict=True):
            if sequence.cut:  # it would be the vector of another text
                most = self.state.reading.most(self.backbone)
                raise ContextLengthError(
                    f"expected texts of at most {most:,} tokens, received a longer one ({example(text)}); cut it into "
                    "parts, or release a candidate with a larger max_tokens"
                )
        ids = [list(sequence.ids) for sequence in made]
        vector_nd = np.zeros((len(ids), self.backbone.width))
        for batch, vector_bd in self._pooled(ids):
            vector_nd[batch] = vector_bd
        vector_nd /= np.maximum(np.linalg.norm(vector_nd, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        return Embedded(vectors_nd=vector_nd.astype(np.float32), tokens=sum(map(len, ids)))

    def losses(self) -> tuple[Loss, ...]:
        """See `bakeoff.core.protocols.Losing`."""
        return summed(self._cut)

    @cached_property
    def _cut(self) -> list[Loss]:
        """What was cut of rows since the model was loaded."""
        return []

    def _scores(self, texts: Sequence[str]) -> Any:
        read = self.state.reading.sequences(self.backbone, texts)
        self._cut.extend(self.state.reading.losses(self.backbone, texts, read, "test"))
        ids = [each.ids for each in read]
        score_nk = np.zeros((len(ids), len(self.state.bias_k)))
        for batch, vector_bd in self._pooled(ids):
            score_nk[batch] = vector_bd @ self.state.head_dk + self.state.bias_k
        return score_nk

    def _pooled(self, ids: Sequence[Sequence[int]]) -> "Iterator[tuple[list[int], NDArray[np.float64]]]":
        """Positions and vectors (b, d), batch by batch."""
        import torch

        for batch in by_length(ids, BATCH):
            with torch.inference_mode():
                ids_bt, lengths_b = self.backbone.padded([ids[i] for i in batch])
                vector_bd = self.backbone.pooled(self.backbone.hidden(ids_bt, lengths_b), lengths_b)
            yield batch, vector_bd.double().cpu().numpy()


def open_tuned(state: TunedState, parts: Mapping[str, Path], threads: int) -> TunedModel:
    """Load the weights of a model.

    Raises:
        CorruptError: they cannot be read. CandidateError: there is no memory for them.
    """
    loaded = backbone.load(parts[storing.BASE], state.kind, precision=state.precision, threads=threads)
    if storing.ADAPTER in parts:
        put_on(loaded, parts[storing.ADAPTER])
    return TunedModel(state=state, parts=parts, backbone=loaded)


def load_tuned(folder: Path, family: str, threads: int, cache: Path | None) -> TunedModel:
    """Read what `TunedModel.save` wrote.

    Raises:
        CorruptError: it is damaged. CandidateError: there is no memory for it.
    """
    state = storing.read(folder, family, TunedState)
    parts = {name: folder / name for name in (storing.BASE, storing.ADAPTER) if (folder / name).is_dir()}
    model = open_tuned(state, parts, threads)
    if cache is None:
        return model
    return replace(model, cache=storing.score_cache(folder, cache, width=len(state.bias_k)))


def put_on(loaded: Backbone, adapter: Path) -> None:
    """Put an adapter on a model, in the model's own precision: as it was computed in training."""
    import torch
    from peft import PeftModel

    try:
        with quietly():
            tuned = PeftModel.from_pretrained(loaded.model, adapter, autocast_adapter_dtype=False)
    except Exception as error:  # readers of adapters raise errors of many classes
        raise CorruptError(f"{adapter}: expected an adapter of the model, found: {error}; fit it again") from error
    tuned.to(torch.bfloat16 if loaded.precision == "bf16" else torch.float32).eval()
    tuned.requires_grad_(requires_grad=False)
