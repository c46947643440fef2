# pyright: basic
# torch and transformers come without complete types
"""A fine-tuned model: its base, an adapter on it if there is one, and a head."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.core.errors import ContextLengthError, CorruptError
from bakeoff.core.generation import Embedded, Embedder
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import ignore_loss
from bakeoff.core.types import Predictions, Signature
from bakeoff.families.columns import complete
from bakeoff.families.language import backbone, storing
from bakeoff.families.language.backbone import Backbone, Precision, by_length
from bakeoff.families.language.convert import Kind
from bakeoff.families.language.prompts import Prompt, row_texts, shortened, text_room, texts_cut
from bakeoff.families.language.quiet import quietly
from bakeoff.families.saved import Array
from bakeoff.families.vectors_cache import VectorCache

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Reading", "TunedModel", "TunedState", "load_tuned", "open_tuned", "put_on"]

BATCH = 32
LEAST_SHARE = 1e-12
"""What a class that is ruled out, or unknown, still gets, so that its loss is a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How rows become token ids: the bare text, or a prompt around it. A text keeps `max_tokens` tokens."""

    columns: tuple[str, ...]
    template: str | None
    prompt: Prompt | None
    max_tokens: int

    def texts(self, table: "pl.DataFrame") -> list[str]:
        """Each row as a text."""
        return row_texts(table, self.columns, self.template)

    def most(self, loaded: Backbone, *, answer: int = 0) -> int:
        """How many tokens of a text are read; `answer` tokens are left free behind them."""
        words = loaded.tokenizer
        if self.prompt is None:
            return min(self.max_tokens, loaded.context - words.num_special_tokens_to_add() - answer)
        return min(self.max_tokens, text_room(self.prompt, words, (), context=loaded.context, answer=answer))

    def ids(
        self, loaded: Backbone, texts: Sequence[str], *, answer: int = 0, on_loss: Callable[[Loss], None] = ignore_loss
    ) -> list[list[int]]:
        """Token ids of each text, at least one; `answer` tokens are left free behind them."""
        words, most = loaded.tokenizer, self.most(loaded, answer=answer)
        shorter = shortened(words, texts, most)
        on_loss(texts_cut(texts, shorter, most, by_setting=most == self.max_tokens))
        if self.prompt is None:
            found = loaded.tokens(shorter)
        else:
            found = loaded.tokens([self.prompt.render(words, text) for text in shorter], special=False)
        nothing = int(words.bos_token_id or words.eos_token_id or 0)
        return [row or [nothing] for row in found]


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedState:
    """All of a model but its weights. The head's scores times `spread` plus `center` are numbers (regression)."""

    family: str
    signature: Signature
    chosen: dict[str, Any]
    reading: Reading
    kind: Kind
    precision: Precision
    head_dk: Array
    bias_k: Array
    center: float = 0.0
    spread: float = 1.0
    max_new_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class TunedModel:
    """A candidate that was fine-tuned; `parts` are the folders of its weights.

    With a `cache`, texts whose scores it holds are not read again.
    """

    state: TunedState
    parts: Mapping[str, Path]
    backbone: Backbone = field(repr=False)
    cache: VectorCache | None = None

    @property
    def signature(self) -> Signature:
        """See `bakeoff.core.protocols.Model`."""
        return self.state.signature

    @property
    def chosen(self) -> Mapping[str, Any]:
        """See `bakeoff.core.protocols.Model`."""
        return self.state.chosen

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
        ids = self.state.reading.ids(self.backbone, texts, on_loss=_refuse)
        vector_nd = np.zeros((len(ids), self.backbone.width))
        for batch, vector_bd in self._pooled(ids):
            vector_nd[batch] = vector_bd
        vector_nd /= np.maximum(np.linalg.norm(vector_nd, axis=1, keepdims=True), np.finfo(np.float64).tiny)
        return Embedded(vectors_nd=vector_nd.astype(np.float32), tokens=sum(map(len, ids)))

    def _scores(self, texts: Sequence[str]) -> Any:
        ids = self.state.reading.ids(self.backbone, texts)
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


def _refuse(loss: Loss) -> None:
    """A text that is cut has another meaning: who asks for its vector is told so."""
    if loss.count:
        shown = ", ".join(loss.examples)
        raise ContextLengthError(f"expected texts that are read whole; {loss.reason}, received longer ones: {shown}")


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
