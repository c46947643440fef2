"""Which of two models is asked about a row, told by the row alone: a linear score of hashed words and values.

Source: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009. A router is small enough to
stand among the parameters of a candidate.
"""

import base64
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.conversation import conversation_columns, plain_text
from bakeoff.core.types import Column

if TYPE_CHECKING:
    import polars as pl

__all__ = ["BUCKETS", "RowFeatures", "RowRouter"]

Floats: TypeAlias = NDArray[np.float64]

BUCKETS = 512
_WORD = re.compile(r"\w+")
_MOST_WORDS = 400
"""Of a text, its first words are read."""
_LEVELS = tuple(level / 8 for level in range(1, 8))


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFeatures:
    """What a router reads of rows: words of `texts`, values of `categories`, between which `edges` numbers lie.

    Texts that are `conversations` are read as people read them.
    """

    texts: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    edges: Mapping[str, tuple[float, ...]] = field(default_factory=dict[str, tuple[float, ...]])
    conversations: tuple[str, ...] = ()

    @classmethod
    def of(cls, columns: Sequence[Column], table: "pl.DataFrame") -> "RowFeatures":
        """Of these inputs, with the octiles of numbers in a table."""
        numbers = [column.name for column in columns if column.kind == "numeric"]
        edges = {
            name: tuple(
                sorted({float(value) for level in _LEVELS if (value := table[name].quantile(level)) is not None})
            )
            for name in numbers
        }
        return cls(
            texts=tuple(column.name for column in columns if column.kind == "text"),
            categories=tuple(column.name for column in columns if column.kind in {"categorical", "boolean"}),
            edges=edges,
            conversations=tuple(sorted(conversation_columns(columns))),
        )

    def matrix(self, table: "pl.DataFrame") -> Floats:
        """The features (n, BUCKETS) of rows."""
        features_nd = np.zeros((table.height, BUCKETS))
        for name in self.texts:
            whole = name in self.conversations
            for row, text in enumerate(table[name].to_list()):
                self._add_words(features_nd[row], name, plain_text(text) if whole and text else text or "")
        for name in self.categories:
            for row, value in enumerate(table[name].to_list()):
                features_nd[row, _bucket(f"{name}={value}")] += 1.0
        for name, edges in self.edges.items():
            number_n = table[name].cast(float).to_numpy()
            place_n = np.where(np.isnan(number_n), -1, np.searchsorted(np.asarray(edges), number_n))
            for row, place in enumerate(place_n.tolist()):
                features_nd[row, _bucket(f"{name}#{place}")] += 1.0
        return features_nd

    @staticmethod
    def _add_words(row_d: Floats, name: str, text: str) -> None:
        words = _WORD.findall(text.lower())[:_MOST_WORDS]
        row_d[_bucket(f"{name}~{len(words).bit_length()}")] += 1.0
        for word in dict.fromkeys(words):
            row_d[_bucket(f"{name}:{word}")] += 1.0 / len(words) ** 0.5


@lru_cache(maxsize=100_000)
def _bucket(word: str) -> int:
    return zlib.crc32(word.encode(errors="surrogatepass")) % BUCKETS


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRouter:
    """Asks the second of two models about rows whose score lies above the threshold.

    `weights` are BUCKETS numbers of 16 bits in base64, so that the router can stand in JSON.
    """

    features: RowFeatures
    weights: str
    bias: float
    threshold: float

    @staticmethod
    def packed(weights_d: Floats) -> str:
        """Weights as text."""
        return base64.b64encode(weights_d.astype("<f2").tobytes()).decode()

    def scores(self, features_nd: Floats) -> Floats:
        """What the second model is expected to gain on each row: right answers more than the first."""
        weights_d = np.frombuffer(base64.b64decode(self.weights), dtype="<f2").astype(np.float64)
        return features_nd @ weights_d + self.bias

    def asks_second(self, table: "pl.DataFrame") -> NDArray[np.bool_]:
        """Whether the second model is asked about each row."""
        return self.scores(self.features.matrix(table)) > self.threshold
