# pyright: basic
# tokenizers comes without complete types
"""A table of word pieces' vectors: a text is the mean of its pieces' vectors, beside the largest of each coordinate.

No network is run, so that a text takes microseconds. The table is a file of the format safetensors, which holds
numbers only, and is read here: the length of a header, the header as JSON, the numbers.

Source: D. Shen et al. (2018), "Baseline Needs More Love: On Simple Word-Embedding-Based Models" (mean beside maximum).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import CandidateError, ContextLengthError, MissingExtraError
from bakeoff.core.generation import Embedded
from bakeoff.core.hashing import digest, digest_json
from bakeoff.core.ledger import example
from bakeoff.families.features.onnx_encoder import MAX_CHARS

if TYPE_CHECKING:
    import tokenizers

__all__ = ["StaticEncoder", "table_of"]

Vectors: TypeAlias = NDArray[np.float16]

VERSION = 1
"""Grows when the same files would give other vectors."""
LENGTH_BYTES = 8
DTYPES = {"F16": np.float16, "F32": np.float32}


def table_of(content: bytes) -> NDArray[Any]:
    """The vectors (pieces, width) in a safetensors file that holds one table.

    Raises:
        CandidateError: it holds something else.
    """
    try:
        start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
        header = json.loads(content[LENGTH_BYTES:start])
        (entry,) = (value for name, value in header.items() if name != "__metadata__")
        first, last = entry["data_offsets"]
        numbers = np.frombuffer(content[start + first : start + last], dtype=DTYPES[entry["dtype"]])
        rows, width = entry["shape"]
        return numbers.reshape(rows, width)
    except (KeyError, TypeError, ValueError) as error:  # errors of JSON and of UTF-8 are ValueErrors
        raise CandidateError(f"expected one table of float16 or float32 in a safetensors file: {error!r}") from error


@dataclass(frozen=True, kw_only=True)
class StaticEncoder:
    """A table's file and its tokeniser's; offers what `OnnxEncoder` does. Safe to call from several threads at once."""

    weights: bytes
    tokenizer: bytes
    inner: tuple[str, ...] = ()
    max_tokens: int = 0
    threads: int = 1

    @cached_property
    def digest(self) -> str:
        """The identity of its vectors."""
        return digest_json([digest(self.weights), digest(self.tokenizer), "static", VERSION])

    @property
    def reads(self) -> str:
        """How much of a text it reads."""
        return f"{MAX_CHARS:,} characters"

    @cached_property
    def width(self) -> int:
        """Numbers in a vector."""
        return 2 * self._table.shape[1]

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        return table_of(self.weights).astype(np.float32)

    @cached_property
    def _tokens(self) -> "tokenizers.Tokenizer":
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError as error:
            raise MissingExtraError.of("family 'words'", "words", "tokenizers") from error
        tokenizer = Tokenizer.from_buffer(self.tokenizer)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Vectors (n, 2 · width); those of texts without a known piece are zero."""
        return self._vectors(self._ids(texts))

    def _vectors(self, ids_n: Sequence[NDArray[np.int64]]) -> Vectors:
        table, half = self._table, self._table.shape[1]
        out_nd = np.zeros((len(ids_n), 2 * half), dtype=np.float16)
        for row, ids in enumerate(ids_n):
            if len(ids):
                pieces_td = table[ids]
                out_nd[row, :half] = pieces_td.mean(axis=0, dtype=np.float64)
                out_nd[row, half:] = pieces_td.max(axis=0)
        return out_nd

    def cut(self, texts: Sequence[str]) -> list[str]:
        """Those of the texts that are longer than what is read of them."""
        return [text for text in texts if len(text) > MAX_CHARS]

    def embed(self, texts: Sequence[str]) -> Embedded:
        """See `bakeoff.core.generation.Embedder`; the means, of length one."""
        for text in self.cut(texts):
            raise ContextLengthError(
                f"expected texts of at most {self.reads}, received a longer one ({example(text)}); cut it into parts"
            )
        ids = self._ids(texts)
        vectors_nd = self.last_layer(self._vectors(ids)).astype(np.float32)
        return Embedded(vectors_nd=vectors_nd, tokens=sum(map(len, ids)))

    def last_layer(self, vector_nd: Vectors) -> NDArray[np.float64]:
        """The means (n, width), of length one."""
        mean_nd = vector_nd[:, : self._table.shape[1]].astype(np.float64)
        return mean_nd / np.maximum(np.linalg.norm(mean_nd, axis=1, keepdims=True), np.finfo(np.float64).tiny)

    def _ids(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        encoded = self._tokens.encode_batch([text[:MAX_CHARS] for text in texts], add_special_tokens=False)
        most = len(self._table)
        return [np.array([piece for piece in each.ids if piece < most], dtype=np.int64) for each in encoded]
