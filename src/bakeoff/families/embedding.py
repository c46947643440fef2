# pyright: basic
# what comes from the encoder and the heads has no complete types
"""`embedding`: a small sentence encoder on the CPU, and a linear head over its vectors and the other columns.

Source: N. Reimers, I. Gurevych (2019), "Sentence-BERT"; W. Wang et al. (2020), "MiniLM".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bakeoff.config.params import only_for
from bakeoff.config.search import between
from bakeoff.core.deadline import Deadline
from bakeoff.core.errors import CandidateError, NotFoundError
from bakeoff.core.generation import Embedder
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.plugins import suggestion
from bakeoff.core.protocols import FitJob, Progress
from bakeoff.core.types import Column, Predictions, Signature, Task
from bakeoff.families import saved
from bakeoff.families.features.choice import given
from bakeoff.families.features.columns import complete, input_columns, of_kind, plain, plain_job, texts
from bakeoff.families.features.heads import HeadSpec, LinearHead, answering, best_penalty
from bakeoff.families.features.onnx_encoder import EncoderSource, OnnxEncoder, known_encoders, need_modules
from bakeoff.families.features.table import LinearTable
from bakeoff.families.features.targets import Target
from bakeoff.families.features.vectors_cache import VectorCache

if TYPE_CHECKING:
    import polars as pl

__all__ = ["EmbeddingFamily", "EmbeddingModel", "EmbeddingParams", "EmbeddingState", "files_of"]

_Floats: TypeAlias = NDArray[np.float64]
_Vectors: TypeAlias = NDArray[np.float16]

GRID = (100.0, 300.0, 1000.0, 3000.0)
TABLE_SCALE = 10.0
WEIGHTS, TOKENIZER = "encoder.onnx", "tokenizer.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingParams:
    """Parameters of `embedding`.

    `model`: the encoder by name. `penalty`: the strength of the head's L2 regularisation; chosen on
    validation rows when left out. `balanced`: whether every class weighs the same (as the metric calls for,
    when left out). `bins` and `max_categories`: as in `linear`, for the columns that are no texts.
    """

    model: str = "minilm-l6-int8"
    penalty: Annotated[float, Field(gt=0)] | None = field(default=None, metadata=between(30.0, 10_000.0, log=True))
    balanced: bool | None = field(default=None, metadata=only_for("classification"))
    bins: Annotated[int, Field(ge=1, le=100)] = 10
    max_categories: Annotated[int, Field(ge=1)] = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingState:
    """All of a model but the encoder's files."""

    signature: Signature
    chosen: Mapping[str, Any]
    inner: tuple[str, ...]
    max_tokens: int
    table: LinearTable
    head: LinearHead


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingModel(saved.StatedModel):
    """A fitted `embedding` candidate; with a `cache`, texts that it holds are not encoded again."""

    state: EmbeddingState
    encoder: OnnxEncoder = field(repr=False)
    cache: VectorCache | None = None

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """See `bakeoff.core.protocols.Model`."""
        table = plain(complete(table, self.signature), self.signature.inputs)
        encode = self.encoder if self.cache is None else partial(self.cache.vectors, encode=self.encoder)
        vectors = [encode(texts(table, column.name)) for column in of_kind(self.signature.inputs, "text")]
        return self.state.head(np.hstack([*vectors, self.state.table(table)]))

    @property
    def embedder(self) -> Embedder:
        """See `bakeoff.core.generation.Embedding`."""
        return self.encoder

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        files = {WEIGHTS: self.encoder.weights, TOKENIZER: self.encoder.tokenizer}
        saved.write(folder, EmbeddingFamily.name, self.state, files)


class EmbeddingFamily:
    """Builds `EmbeddingModel`s; `encoders` are those that the parameter `model` can name."""

    name = "embedding"
    tasks: frozenset[Task] = frozenset({"classification", "regression"})
    params = EmbeddingParams
    requires = ("numpy", "scikit-learn", "onnxruntime", "tokenizers", "polars")
    extra: str | None = "embedding"
    reads_texts = True
    scales = True
    weighs = True
    model: type[EmbeddingModel] = EmbeddingModel

    def __init__(self, encoders: Mapping[str, EncoderSource] | None = None) -> None:
        self._encoders = known_encoders() if encoders is None else encoders

    def fit(self, job: FitJob) -> EmbeddingModel:
        """See `bakeoff.core.protocols.Family`."""
        job, deadline = plain_job(job), Deadline(job)
        columns = input_columns(job)
        if not of_kind(columns, "text"):
            raise CandidateError(
                f"expected a column of texts for {self.name!r}, received none; list one in [data] text, or use 'linear'"
            )
        target = Target.of(job)
        encoder = self._encoder(job.params.model, cache=job.cache, threads=job.threads, progress=job.progress)
        cache = VectorCache(job.cache, encoder.digest, encoder.width)
        fitted = _Fit(job, columns, target, encoder, cache, deadline).model()
        return self.model(state=fitted.state, encoder=encoder, cache=cache)

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> EmbeddingModel:
        """See `bakeoff.core.protocols.Family`; a `cache` folder saves encoding texts that fits have seen."""
        state, files = saved.read(folder, self.name, EmbeddingState)
        encoder = OnnxEncoder(
            weights=files[WEIGHTS],
            tokenizer=files[TOKENIZER],
            inner=state.inner,
            max_tokens=state.max_tokens,
            threads=threads,
        )
        width = encoder.width  # reads both files now, not at the first request
        return EmbeddingModel(
            state=state, encoder=encoder, cache=VectorCache(cache, encoder.digest, width) if cache else None
        )

    def sentence_vectors(
        self, name: str, texts: Sequence[str], *, cache: Path, threads: int, progress: Progress
    ) -> _Floats:
        """Vectors (n, d) of length one by the last layer of an encoder, for those who compare meanings.

        Raises:
            NotFoundError: there is no encoder of that name.
        """
        encoder = self._encoder(name, cache=cache, threads=threads, progress=progress)
        kept = VectorCache(cache, encoder.digest, encoder.width)
        return encoder.last_layer(kept.vectors(texts, encoder, progress))

    def _encoder(self, name: str, *, cache: Path, threads: int, progress: Progress) -> OnnxEncoder:
        source = self._source(name)
        need_modules(self.name, "onnxruntime", "tokenizers")  # before 20 MB are fetched for them
        weights, tokenizer = files_of(source, cache=cache, progress=progress)
        return OnnxEncoder(
            weights=weights,
            tokenizer=tokenizer,
            inner=source.inner,
            max_tokens=source.max_tokens,
            threads=threads,
        )

    def _source(self, name: str) -> EncoderSource:
        """Where the files of an encoder are.

        Raises:
            NotFoundError: there is no encoder of that name.
        """
        if name not in self._encoders:
            known = ", ".join(sorted(self._encoders))
            raise NotFoundError(
                f"expected an encoder ({known}), received {name!r}. {suggestion(name, self._encoders)}".rstrip()
            )
        return self._encoders[name]


def files_of(source: EncoderSource, *, cache: Path, progress: Progress) -> tuple[bytes, bytes]:
    """The files of an encoder: its weights, and its tokeniser's."""
    from bakeoff.data.sources import fetch

    def content(location: str) -> bytes:
        return fetch(location, folder=cache, cache=cache, progress=progress).read_bytes()

    return content(source.weights), content(source.tokenizer)


@dataclass(frozen=True, slots=True)
class _Fit:
    """One fit: texts are encoded once, then heads are fitted on training rows and on all of them."""

    job: FitJob
    columns: tuple[Column, ...]
    target: Target
    encoder: OnnxEncoder
    cache: VectorCache
    deadline: Deadline

    def model(self) -> EmbeddingModel:
        for column in of_kind(self.columns, "text"):
            self.job.on_loss(self._texts_cut(column.name))
        vector_nd = np.hstack(
            [
                self.cache.vectors(texts(self.target.table, column.name), self.encoder, self.job.progress)
                for column in of_kind(self.columns, "text")
            ]
        )
        spec = HeadSpec.of(self.job, self.target.classes)
        penalty, start = given(self.job, "penalty")["penalty"], None
        if penalty is None:
            penalty, spec, start = self._penalty(spec, vector_nd)
        penalty = float(penalty)
        table, x_nd = self._features(vector_nd, self.target.split(whole=True))
        state = EmbeddingState(
            signature=Signature(task=self.job.task, inputs=self.columns, classes=self.target.classes),
            chosen={"penalty": penalty},
            inner=self.encoder.inner,
            max_tokens=self.encoder.max_tokens,
            table=table,
            head=_standardised(x_nd, vector_nd.shape[1]).fit(
                spec, x_nd, self.target.value_n, penalty, weight_n=self.target.weight_n, start=start
            ),
        )
        return EmbeddingModel(state=state, encoder=self.encoder, cache=self.cache)

    def _texts_cut(self, name: str) -> Loss:
        every = texts(self.target.table, name)
        cut = self.encoder.cut(every)
        return Loss(
            kind="text",
            reason=f"of a text, {self.encoder.reads} are read",
            subject=name,
            count=len(cut),
            of=len(every),
            examples=tuple(example(text) for text in cut[:EXAMPLES]),
            remedy="a candidate of another family reads whole texts (linear, boosting)",
        )

    def _penalty(self, spec: HeadSpec, vector_nd: _Vectors) -> tuple[float, HeadSpec, LinearHead]:
        """The penalty, how much classes weigh, and the head of training rows."""
        rows = self.target.split(whole=False)
        value_n, count = self.target.value_n, len(rows)
        table, x_nd = self._features(vector_nd, rows)
        scale = _standardised(x_nd, vector_nd.shape[1])
        held_nd = np.hstack([vector_nd[count:], table(self.target.table[count:])]) - scale.center_d
        train = x_nd - scale.center_d, value_n[:count]
        penalty, head = best_penalty(
            spec, *train, scale.scale_d, validation=(held_nd, value_n[count:]), grid=GRID, deadline=self.deadline
        )
        spec, head = answering(
            self.job, spec, head, lambda each: each(held_nd), train=train, penalty=penalty, scale_d=scale.scale_d
        )
        return penalty, spec, scale.uncentred(head)

    def _features(self, vector_nd: _Vectors, rows: NDArray[np.int64]) -> tuple[LinearTable, _Floats]:
        table, rest_nd = LinearTable.fit(
            self.target.table[: len(rows)],
            self.columns,
            self.target.columns(rows),
            bins=self.job.params.bins,
            most=self.job.params.max_categories,
            seed=self.job.seed,
        )
        return table, np.hstack([vector_nd[: len(rows)].astype(np.float64), rest_nd])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standard:
    """Features brought to mean 0 and spread 1 for the fit; the head takes them as they come."""

    center_d: _Floats
    scale_d: _Floats

    def fit(
        self,
        spec: HeadSpec,
        x_nd: _Floats,
        value_n: _Floats,
        penalty: float,
        *,
        weight_n: _Floats | None,
        start: LinearHead | None,
    ) -> LinearHead:
        """`start`: a head of features as they come, for (nearly) the same problem."""
        if start is not None and len(start.coef_dk) == len(self.center_d):
            start = replace(start, intercept_k=start.intercept_k + self.center_d @ start.coef_dk)
        else:
            start = None
        head = spec.fit(x_nd - self.center_d, value_n, penalty, self.scale_d, start=start, weight_n=weight_n)
        return self.uncentred(head)

    def uncentred(self, head: LinearHead) -> LinearHead:
        """A head of centred features as one of the features as they come."""
        return replace(head, intercept_k=head.intercept_k - self.center_d @ head.coef_dk)


def _standardised(x_nd: _Floats, width: int) -> _Standard:
    """Vectors to mean 0 and spread 1; the other columns, few and scaled already, are penalised less."""
    center_d, scale_d = x_nd.mean(axis=0), 1 / np.maximum(x_nd.std(axis=0), 1e-6)
    center_d[width:], scale_d[width:] = 0, TABLE_SCALE
    return _Standard(center_d=center_d, scale_d=scale_d)
