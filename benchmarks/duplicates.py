"""Near-duplicates of a sample of the corpus, against two references that share no code with the search.

The exact one: MinHash bands as Python tuples in dictionaries, every pair of a bucket joined. The true one: the
Jaccard similarity of all pairs, by a product of sparse matrices.
"""

from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from bakeoff.prepare.rows.minhash import MinHashParams, signatures
from bakeoff.prepare.rows.near_duplicates import near_duplicate_groups
from bakeoff.prepare.text.words import shingles_of

NEAR = 0.8


def check(corpus: Path, documents: int = 10_000) -> dict:
    texts = pl.read_ndjson(min(corpus.glob("*.jsonl")))["text"][:documents]
    params = MinHashParams(words=5, bands=14, rows=8, threshold=0, linkage="chain", signs_below=0)
    groups = near_duplicate_groups(texts, params)
    left, right = truly_near(texts, params.words)
    reference = by_dictionaries(signatures(texts, params), params)
    return {
        "documents": len(texts),
        "same_groups_as_reference": groups.tolist() == reference,
        "duplicates": int((groups != np.arange(len(groups))).sum()),
        "true_pairs": len(left),
        "recall": round(float((groups[left] == groups[right]).mean()), 4),
    }


def by_dictionaries(signature_nk: np.ndarray, params: MinHashParams) -> list[int]:
    rows, parent = [tuple(row) for row in signature_nk.tolist()], list(range(len(signature_nk)))

    def root(row: int) -> int:
        while parent[row] != row:
            row = parent[row]
        return row

    nothing = (2**32 - 1,) * params.hashes
    for band in range(params.bands):
        first: dict[tuple, int] = {}
        for number, row in enumerate(rows):
            if row != nothing:
                a, b = sorted((root(number), root(first.setdefault(row[band * params.rows :][: params.rows], number))))
                parent[b] = a
    return [root(row) for row in range(len(rows))]


def truly_near(texts: pl.Series, words: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows whose sets of word runs have a Jaccard similarity of at least 0.8."""
    shingles = shingles_of(texts, words)
    column_s = np.unique(shingles.hash_s, return_inverse=True)[1]
    held = csr_array((np.ones(len(column_s), dtype=np.int32), column_s, shingles.start_n))
    held.sum_duplicates()
    held.data[:] = 1
    size_n = np.diff(held.indptr)
    common = (held @ held.T).tocoo()
    left, right = common.coords
    share = common.data / (size_n[left] + size_n[right] - common.data)
    near = (left < right) & (share >= NEAR)
    return left[near], right[near]
