# pyright: basic
# onnxruntime comes without complete types
"""Rows whose texts mean the same in other words: by the vectors of a sentence encoder, after exact and near duplicates.

A text is read whole, by windows of the encoder's tokens whose vectors are averaged. Random hyperplanes propose pairs,
and every pair is compared by its cosine itself.

Sources: M. Charikar 2002, "Similarity estimation techniques from rounding algorithms" (two vectors lie on one side of a
random hyperplane with a chance of 1 - angle / π); Abbas et al. 2023, "SemDeDup".
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3

from bakeoff.core.errors import MissingExtraError
from bakeoff.core.types import Schema
from bakeoff.prepare.language_models.tokens import Tokenizer
from bakeoff.prepare.rows.comparison import Known, RowKeys, Sets, firsts
from bakeoff.prepare.rows.duplicates import RowStep, texts_of
from bakeoff.prepare.rows.minhash import Buckets, buckets
from bakeoff.prepare.rows.near_duplicates import stars
from bakeoff.prepare.steps import Apply

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["MeaningParams", "drop_near_meanings"]

BANDS, BITS = 24, 12
"""A pair of cosine 0.95 shares a band with a chance of 0.999, one of 0.9 with 0.98."""
STEPS = 1 << 14
"""A component is kept as a whole number of so many steps on either side of zero."""
SEED = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class MeaningParams:
    """`encoder`: a folder with `model.onnx` and `tokenizer.json`; `threshold`: the least cosine of two texts that count
    as the same; `window_tokens`: how many tokens the encoder reads at once.
    """  # noqa: D205 - one sentence

    encoder: str = ""
    threshold: float = 0.95
    window_tokens: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1 or self.window_tokens < 8:  # noqa: PLR2004
            raise ValueError("the threshold is above 0 and at most 1; windows have at least 8 tokens")


class _Meanings:
    """The bound step; `content` is known by the encoder's files."""

    def __init__(self, params: MeaningParams) -> None:
        try:
            import onnxruntime as ort
        except ModuleNotFoundError:
            raise MissingExtraError.of("The step 'drop_near_meanings'", "embedding", "onnxruntime") from None
        folder = Path(params.encoder)
        weights = folder / "model.onnx"
        if not params.encoder or not weights.is_file():
            raise ValueError(
                "drop_near_meanings needs 'encoder', a folder with model.onnx and tokenizer.json; "
                f"received {params.encoder!r}"
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # sums never depend on threads
        self._session: Any = ort.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer(folder)
        self._params = params
        self.content = (
            blake3(weights.read_bytes()).update((folder / "tokenizer.json").read_bytes()).hexdigest(length=16)
        )

    def __call__(self, table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        """The rows that stay."""
        if texts_of(table, schema) is None or not table.height:
            return table
        return table.filter(firsts(self.groups(self.keys(table, schema))))

    def keys(self, table: "pl.DataFrame", schema: Schema) -> RowKeys:
        """Bands of bits of each row's vector (0 without a text), and the vector itself in whole steps."""
        texts = texts_of(table, schema)
        assert texts is not None
        vector_nd = self.vectors(["" if text is None else text for text in texts.to_list()])
        told_n = (np.abs(vector_nd).sum(axis=1) > 0).astype(np.uint64)
        plane_dk = np.random.default_rng(SEED).standard_normal((vector_nd.shape[1], BANDS * BITS))
        bit_nbk = (vector_nd @ plane_dk > 0).reshape(len(vector_nd), BANDS, BITS)
        key_bn = (bit_nbk @ (1 << np.arange(BITS))).T.astype(np.uint64) + np.uint64(1)
        whole_nd = np.round(vector_nd * STEPS).astype(np.int32) + STEPS
        start_n = np.arange(len(vector_nd) + 1, dtype=np.int64) * vector_nd.shape[1]
        members = Sets(member_s=whole_nd.ravel(), start_n=start_n)
        return RowKeys(key_cn=np.vstack([told_n[np.newaxis], key_bn]), members=members)

    def groups(self, known: Known) -> "NDArray[np.int64]":
        """Each row's text that stays for it."""
        told = np.flatnonzero(known.key(0))
        groups = np.arange(len(known), dtype=np.int64)
        if len(told):
            groups[told] = told[stars(_Cosines(known=known, row_d=told, threshold=self._params.threshold), BANDS)]
        return groups

    def vectors(self, texts: "list[str]") -> "NDArray[np.float64]":
        """Vectors of length one, of zeros for texts without tokens (n, hidden)."""
        size = self._params.window_tokens - 2
        vectors: list[NDArray[np.float64]] = []
        for ids in self._tokenizer.encode(texts, special=True):
            ends, inner = (ids[:1], ids[-1:]), ids[1:-1]
            windows = [[*ends[0], *inner[i : i + size], *ends[1]] for i in range(0, max(len(inner), 1), size)]
            parts = [self._vector(window) for window in windows]
            mean = np.average(parts, axis=0, weights=[len(window) for window in windows])
            vectors.append(mean if inner else np.zeros_like(mean))
        vector_nd = np.array(vectors)
        return vector_nd / np.maximum(np.linalg.norm(vector_nd, axis=1, keepdims=True), 1e-12)

    def _vector(self, ids: "list[int]") -> "NDArray[np.float64]":
        feeds = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), dtype=np.int64)}
        feeds["token_type_ids"] = np.zeros_like(feeds["input_ids"])
        known = {given.name for given in self._session.get_inputs()}
        names = [output.name for output in self._session.get_outputs()]
        last = "last_hidden_state" if "last_hidden_state" in names else names[0]
        (states,) = self._session.run([last], {name: value for name, value in feeds.items() if name in known})
        return np.asarray(states)[0].mean(axis=0, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cosines:
    """Rows with a text, in order, and how near two of them are."""

    known: Known
    row_d: "NDArray[np.int64]"
    threshold: float

    def buckets(self, band: int) -> Buckets:
        """The rows that share a band's key with another."""
        return buckets(self.known.key(1 + band)[self.row_d])

    def similarity(self, left: "NDArray[np.int64]", right: "NDArray[np.int64]") -> "NDArray[np.float64]":
        """The cosine of pairs of rows; -1 for those that are not near."""
        one, other = self._vectors(left), self._vectors(right)
        cosine_p = (one * other).sum(axis=1) / np.maximum(
            np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1), 1e-12
        )
        return np.where(cosine_p >= self.threshold, cosine_p, -1.0)

    def _vectors(self, rows: "NDArray[np.int64]") -> "NDArray[np.float64]":
        sets = self.known.sets(self.row_d[rows])
        return (sets.member_s.reshape(len(rows), -1).astype(np.float64) - STEPS) / STEPS


def _drop_near_meanings(params: MeaningParams) -> Apply:
    return _Meanings(params)


drop_near_meanings = RowStep(
    name="drop_near_meanings",
    version=1,
    make=_drop_near_meanings,
    params=MeaningParams,
    requires=("numpy", "onnxruntime", "tokenizers"),
)
"""Rows whose text means what none that stays before it means."""
