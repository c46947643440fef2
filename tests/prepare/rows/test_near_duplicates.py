"""Near-duplicates: against comparing all pairs at the same parameters, and against true Jaccard similarities."""

import itertools
import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import ConfigError
from bakeoff.core.types import Column, Schema
from bakeoff.prepare.rows.minhash import MinHashParams, minima, signatures
from bakeoff.prepare.rows.near_duplicates import clusters, near_duplicate_groups, row_keys
from bakeoff.prepare.steps import Preparation
from bakeoff.prepare.text.words import shingles_of

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


def sets_of(texts, words: int) -> list[set[int]]:
    shingles = shingles_of(pl.Series(texts, dtype=pl.String), words)
    starts = shingles.start_n.tolist()
    return [set(shingles.hash_s[a:b].tolist()) for a, b in itertools.pairwise(starts)]


def jaccard(one: set[int], other: set[int]) -> float:
    return len(one & other) / len(one | other) if one or other else 0.0


def all_pairs_reference(texts, params) -> list[int]:
    """Every pair compared, by its bands and by its sets; then stars in order, or a breadth-first search."""
    sets = sets_of(texts, params.words)
    signature = minima(shingles_of(pl.Series(texts, dtype=pl.String), params.words), params)
    bands = signature.reshape(len(texts), params.bands, params.rows)

    def near(i: int, j: int) -> bool:
        shared = (bands[i] == bands[j]).all(axis=1).any() or sets[i] == sets[j]
        return bool(sets[i] and sets[j] and shared and jaccard(sets[i], sets[j]) >= params.threshold)

    group = list(range(len(texts)))
    for i in range(len(texts)):
        copies = [j for j in range(i) if texts[j] and texts[j] == texts[i]]
        if params.linkage == "star" and copies:
            group[i] = group[copies[0]]
        elif params.linkage == "star":
            heads = [j for j in range(i) if group[j] == j and near(i, j)]
            group[i] = max(heads, key=lambda j: (jaccard(sets[i], sets[j]), -j), default=i)
        elif group[i] == i:
            reached, todo = {i}, [i]
            while todo:
                at = todo.pop()
                new = {j for j in range(len(texts)) if j not in reached and near(at, j)}
                reached |= new
                todo += new
            for row in reached:
                group[row] = i
    return group


def reference_minima(texts, params):
    """Over Python sets and integers, from the shingles' hashes."""
    from bakeoff.prepare.rows.minhash import _functions

    shingles = shingles_of(pl.Series(texts, dtype=pl.String), params.words)
    sets = [
        {int(h) >> 32 for h in shingles.hash_s[shingles.start_n[i] : shingles.start_n[i + 1]]}
        for i in range(len(texts))
    ]
    functions = list(zip(*(f.tolist() for f in _functions(params)), strict=True))
    return [[min(((a * x + b) % 2**32 for x in s), default=2**32 - 1) for a, b in functions] for s in sets]


@pytest.mark.parametrize(
    "params",
    [
        MinHashParams(signs_below=0),
        MinHashParams(linkage="chain", signs_below=0),
        MinHashParams(threshold=0.5, words=2, bands=30, rows=3, seed=9, signs_below=0),
    ],
)
def test_the_same_groups_as_comparing_all_pairs(params) -> None:
    texts = [*corpus(250, 3), "", "!", None]
    groups = near_duplicate_groups(pl.Series(texts, dtype=pl.String), params)
    assert groups.tolist() == all_pairs_reference(texts, params)
    assert signatures(pl.Series(texts[:60]), params).tolist() == reference_minima(texts[:60], params)


def test_whatever_is_dropped_is_as_near_as_stated_to_what_stays_for_it() -> None:
    texts = corpus(2500, 11)
    sets = sets_of(texts, 3)
    groups = near_duplicate_groups(pl.Series(texts)).tolist()
    dropped = [row for row, head in enumerate(groups) if row != head]
    assert len(dropped) > 300
    assert all(groups[groups[row]] == groups[row] < row for row in dropped)
    assert min(jaccard(sets[row], sets[groups[row]]) for row in dropped) >= 0.8
    holders: dict[int, list[int]] = {}
    for row, members in enumerate(sets):
        for shingle in members:
            holders.setdefault(shingle, []).append(row)
    pairs = {(i, j) for rows in holders.values() for i in rows for j in rows if i < j}
    near = [(i, j) for i, j in pairs if jaccard(sets[i], sets[j]) >= 0.8]
    # Of two that are near at most one stays, but for those that no band proposes.
    both = [pair for pair in near if all(groups[row] == row for row in pair)]
    assert len(both) <= 0.01 * len(near)


def test_a_chain_is_not_one_group_unless_chains_are_wanted() -> None:
    rng = random.Random(1)
    words = [rng.choice(VOCABULARY) for _ in range(60)]
    chain = []
    for _ in range(60):
        chain.append(" ".join(words))
        words = [*words[2:], *rng.choices(VOCABULARY, k=2)]
    assert len(set(near_duplicate_groups(pl.Series(chain)).tolist())) > 10
    assert len(set(near_duplicate_groups(pl.Series(chain), MinHashParams(linkage="chain")).tolist())) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I got the job :)", "I got the job :("),
        ("Great 😀", "Great 😡"),
        ("A=B", "A!=B"),
        ("We need a C++ developer", "We need a C# developer"),
        ("is x < y true", "is x > y true"),
        ("temperature is -5 today", "temperature is 5 today"),
        ("We won <3", "We won </3"),
        ("You are coming.", "You are coming?"),
        ("Price is 1.234 today", "Price is 1,234 today"),
        ("a & b", "a | b"),
    ],
)
def test_signs_of_short_texts_tell_them_apart(one, other) -> None:
    assert near_duplicate_groups(pl.Series([one, other])).tolist() == [0, 1]
    assert near_duplicate_groups(pl.Series([one, other]), MinHashParams(signs_below=0)).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Good film", "good film!"),
        ("Hello, World.", "hello world"),
        ("It's -5 today :)", "it's -5 today :)."),
        ("don't", "Don't!"),
    ],
)
def test_case_and_punctuation_do_not(one, other) -> None:
    assert near_duplicate_groups(pl.Series([one, other])).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("first", "size", "changed"),
    [(0x4E00, 300, 3), (0x4E00, 100, 1), (0xE01, 300, 1), (0x1780, 200, 1), (0x3041, 120, 1)],
)
def test_scripts_without_spaces_are_compared_by_characters(first, size, changed) -> None:
    rng = random.Random(2)
    for _ in range(20):
        text = [chr(first + rng.randrange(30)) for _ in range(size)]
        other = list(text)
        for at in rng.sample(range(size), changed):
            other[at] = chr(first + 31)
        assert near_duplicate_groups(pl.Series(["".join(text), "".join(other)])).tolist() == [0, 0]


def test_chunks_of_a_corpus_give_the_same_signatures() -> None:
    series, params = pl.Series(corpus(300, 5)), MinHashParams()
    whole = signatures(series, params)
    parts = np.concatenate([signatures(series[a : a + 70], params) for a in range(0, 300, 70)])
    assert (whole == parts).all()
    keys = [row_keys(series[a : a + 70], params).key_cn for a in range(0, 300, 70)]
    assert (np.hstack(keys) == row_keys(series, params).key_cn).all()


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
    chains = MinHashParams(linkage="chain")  # stars depend on it: what comes first stays
    straight = near_duplicate_groups(pl.Series(texts, dtype=pl.String), chains)
    shuffled = near_duplicate_groups(pl.Series([texts[i] for i in order], dtype=pl.String), chains)
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
