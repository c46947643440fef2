"""Near-duplicates: against comparing all pairs at the same parameters, and against true Jaccard similarities."""

import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import ConfigError
from bakeoff.core.types import Column, Schema
from bakeoff.prepare.duplicates import cluster, clusters, near_duplicate_groups, row_keys
from bakeoff.prepare.minhash import MinHashParams, minima, signatures
from bakeoff.prepare.steps import Preparation
from bakeoff.prepare.words import shingles_of

VOCABULARY = [f"w{i}" for i in range(3000)]


def corpus(texts: int, seed: int) -> list[str]:
    """Families of texts that share ever fewer words."""
    rng = random.Random(seed)
    found = []
    while len(found) < texts:
        words = rng.choices(VOCABULARY, k=rng.randint(5, 120))
        found.append(" ".join(words))
        for _ in range(rng.randint(0, 4)):
            changed = [rng.choice(VOCABULARY) if rng.random() < rng.choice([0, 0.01, 0.03, 0.1]) else w for w in words]
            found.append(" ".join(changed[rng.randint(0, 3) :]))
    rng.shuffle(found)
    return found[:texts]


def all_pairs_reference(texts, params) -> list[int]:
    """MinHash as the books write it: a minimum over each set, every pair compared, a breadth-first search."""
    signature = minima(shingles_of(pl.Series(texts, dtype=pl.String), params.words), params)
    empty = (signature == 2**32 - 1).all(axis=1)
    bands = signature.reshape(len(texts), params.bands, params.rows)
    group = list(range(len(texts)))
    for i in range(len(texts)):
        if group[i] != i or empty[i]:
            continue
        reached, todo = {i}, [i]
        while todo:
            at = todo.pop()
            band = (bands == bands[at]).all(axis=2).any(axis=1)
            near = band & ((signature == signature[at]).mean(axis=1) >= params.least_agreement) & ~empty
            new = set(np.flatnonzero(near).tolist()) - reached
            reached |= new
            todo += new
        for row in reached:
            group[row] = i
    return group


def reference_minima(texts, params):
    """Over Python sets and integers, from the shingles' hashes."""
    from bakeoff.prepare.minhash import _functions

    shingles = shingles_of(pl.Series(texts, dtype=pl.String), params.words)
    sets = [
        {int(h) >> 32 for h in shingles.hash_s[shingles.start_n[i] : shingles.start_n[i + 1]]}
        for i in range(len(texts))
    ]
    functions = list(zip(*(f.tolist() for f in _functions(params)), strict=True))
    return [[min(((a * x + b) % 2**32 for x in s), default=2**32 - 1) for a, b in functions] for s in sets]


@pytest.mark.parametrize("params", [MinHashParams(), MinHashParams(threshold=0.5, words=2, bands=30, rows=3, seed=9)])
def test_the_same_groups_as_comparing_all_pairs(params) -> None:
    texts = [*corpus(500, 3), "", "!", None]
    groups = near_duplicate_groups(pl.Series(texts, dtype=pl.String), params)
    assert groups.tolist() == all_pairs_reference(texts, params)
    assert signatures(pl.Series(texts[:60]), params).tolist() == reference_minima(texts[:60], params)


def test_recall_of_truly_near_pairs_and_precision() -> None:
    texts = corpus(2500, 11)
    series = pl.Series(texts)
    shingles = shingles_of(series, 3)
    sets = [set(shingles.hash_s[a:b].tolist()) for a, b in zip(shingles.start_n, shingles.start_n[1:], strict=False)]
    holders: dict[int, list[int]] = {}
    for row, held in enumerate(sets):
        for shingle in held:
            holders.setdefault(shingle, []).append(row)
    pairs = {(i, j) for rows in holders.values() for i in rows for j in rows if i < j}
    jaccard = {(i, j): len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for i, j in pairs}
    near = [pair for pair, value in jaccard.items() if value >= 0.8]
    params = MinHashParams()
    signature = signatures(series, params)
    bands = signature.reshape(len(texts), params.bands, params.rows)

    def matched(i, j) -> bool:
        agreement = (signature[i] == signature[j]).mean()
        return bool((bands[i] == bands[j]).all(axis=1).any() and agreement >= params.least_agreement)

    recall = np.mean([matched(i, j) for i, j in near])
    false = [value for pair, value in jaccard.items() if value < 0.6 and matched(*pair)]
    print(f"{len(near)} pairs of 0.8 or more: recall {recall:.4f}; {len(false)} of {len(pairs)} below 0.6 taken")
    assert len(near) > 300
    assert recall >= 0.95
    assert len(false) <= 0.001 * len(pairs)
    groups = near_duplicate_groups(series)
    assert np.mean([groups[i] == groups[j] for i, j in near]) >= recall


def test_chunks_of_a_corpus_give_the_same_signatures() -> None:
    series, params = pl.Series(corpus(300, 5)), MinHashParams()
    whole = signatures(series, params)
    parts = np.concatenate([signatures(series[a : a + 70], params) for a in range(0, 300, 70)])
    assert (whole == parts).all()
    assert (cluster(row_keys(parts, params), params) == near_duplicate_groups(series)).all()


def test_many_copies_are_one_group_in_no_time() -> None:
    groups = near_duplicate_groups(
        pl.Series(["the very same text again and again"] * 50_000 + ["another one stands here"])
    )
    assert groups.tolist() == [0] * 50_000 + [50_000]
    assert [len(found.rows) for found in clusters(groups)] == [50_000]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("ab ", max_size=20), max_size=12), st.randoms())
def test_groups_do_not_depend_on_the_order(texts, rng) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)
    straight = near_duplicate_groups(pl.Series(texts, dtype=pl.String))
    shuffled = near_duplicate_groups(pl.Series([texts[i] for i in order], dtype=pl.String))
    together = {frozenset(c.rows) for c in clusters(straight)}
    assert together == {frozenset(order[i] for i in c.rows) for c in clusters(shuffled)}
    assert all(group <= row and straight[group] == group for row, group in enumerate(straight))


def test_the_step_keeps_the_first_and_checks_its_parameters() -> None:
    schema = Schema(columns=(Column(name="text", kind="text", dtype="String"),), target="label", inputs=("text",))
    long = " ".join(VOCABULARY[:100])
    table = pl.DataFrame({"text": ["one text", long, long + " end", "One  TEXT!", None, None], "label": list("abcdef")})
    prepared = Preparation(["drop_near_duplicates"]).apply_rows_and_columns(table, schema)
    assert prepared.kept.tolist() == [0, 1, 4, 5]
    with pytest.raises(ConfigError, match="threshold is in"):
        Preparation([{"name": "drop_near_duplicates", "threshold": 2.0}])
