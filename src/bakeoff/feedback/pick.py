# pyright: basic
# scikit-learn and scipy come without complete types
"""Which rows to ask for: uncertain ones, typical ones, those that models disagree on, drifted ones, and random ones.

The random rows are drawn first, from all rows of the frame, whatever else is picked: quality can be estimated by them
without bias (`bakeoff.metrics.sampled`).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import UsageError
from bakeoff.core.types import Column
from bakeoff.feedback.review import REASONS, Reason, ReasonKind

__all__ = ["Picked", "PickedRow", "ReviewFrame", "disagreement", "pick", "unlikeness", "vectors_of"]

Floats: TypeAlias = NDArray[np.float64]
Vectors: TypeAlias = Any
"""A matrix (n, d), dense or sparse (scipy's), a vector for each row."""

TERMS = 2**15
LEVELS = 2**10
CLUSTERED = 5_000
"""The most rows that are put into groups; of more, so many are drawn."""
FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewFrame:
    """The rows that may be asked for, and what is known of them; None: there is nothing to go by.

    Attributes:
        keys: of each row, what tells it from others: rows of one key are the same.
        uncertain_n: how unsure the model is, from 0 to 1.
        disagreement_n: how much models differ on it.
        drift_n: how unlike the training rows it is, from 0 to 1.
        vectors: (n, d).
        notes: why something is None.
    """

    keys: Sequence[str]
    uncertain_n: Floats | None = None
    disagreement_n: Floats | None = None
    drift_n: Floats | None = None
    vectors: Vectors = None
    notes: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedRow:
    """A row of the frame by its number, why it was picked (see `ReviewRow`)."""

    index: int
    reasons: tuple[Reason, ...]
    rank: int | None
    random: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """Rows in the order to ask for them; rows by the reason that they were picked by; what there was nothing for."""

    rows: tuple[PickedRow, ...]
    counts: Mapping[str, int]
    notes: tuple[str, ...]


def pick(frame: ReviewFrame, budget: int, shares: Mapping[ReasonKind, float], *, seed: int) -> Picked:
    """Pick rows of a frame.

    Args:
        frame: the rows.
        budget: how many are wanted.
        shares: of each reason, in proportion. What cannot be had by one goes to the others.
        seed: of all that is drawn.

    Raises:
        UsageError: no share, or one below 0.
    """
    if not all(np.isfinite(share) and share >= 0 for share in shares.values()) or sum(shares.values()) <= 0:
        raise UsageError(
            f"expected shares of {', '.join(REASONS)} of at least 0, and one above, received {dict(shares)}"
        )
    drawing, ranking = (np.random.default_rng(each) for each in np.random.SeedSequence(seed).spawn(2))
    rows = len(frame.keys)
    budget = min(budget, rows)
    share = shares.get("random", 0.0) / sum(shares.values())
    ways, notes = _ways(frame, ranking)
    wanted: dict[ReasonKind, float] = {kind: shares.get(kind, 0.0) for kind in ways if shares.get(kind, 0.0) > 0}
    random = drawing.permutation(rows)[: round(budget * share) if wanted else budget].tolist()
    ranked = _ranked(frame, ways, wanted, budget - len(random), drawn=frozenset(random))
    order = _interleaved(ranked, random)
    told = tuple(notes[kind] for kind in REASONS if kind in notes and shares.get(kind, 0.0) > 0)
    return Picked(rows=tuple(order), counts=_counted(order), notes=told)


def _counted(rows: Sequence[PickedRow]) -> dict[str, int]:
    counts = dict.fromkeys((row.reasons[0].kind for row in rows), 0)
    for row in rows:
        counts[row.reasons[0].kind] += 1
    return {kind: counts[kind] for kind in REASONS if kind in counts}


Way: TypeAlias = Callable[[int], "Iterator[tuple[int, Reason]]"]
"""Gives rows, the best first, each with its reason; it is told how many are wanted at least."""


def _ways(frame: ReviewFrame, rng: np.random.Generator) -> tuple[dict[ReasonKind, Way], dict[ReasonKind, str]]:
    """The ways of picking that there is something to go by for, and why not of the others."""
    texts: dict[ReasonKind, tuple[Floats | None, str]] = {
        "uncertain": (frame.uncertain_n, "the model is unsure: {:.2f} of 1"),
        "disagreement": (frame.disagreement_n, "models disagree: {:.2f}"),
        "drift": (frame.drift_n, "unlike the training rows: {:.2f} of 1"),
    }
    ways: dict[ReasonKind, Way] = {}
    notes: dict[ReasonKind, str] = {}
    for kind, (score_n, text) in texts.items():
        if score_n is None:
            notes[kind] = f"{kind}: {(frame.notes or {}).get(kind, 'there is nothing to go by')}"
        else:
            ways[kind] = _by_score(kind, score_n, text, rng)
    if frame.vectors is None:
        notes["typical"] = "typical: there are no inputs to go by"
    else:
        ways["typical"] = _typical(frame.vectors, rng)
    return ways, notes


def _by_score(kind: ReasonKind, score_n: Floats, text: str, rng: np.random.Generator) -> Way:
    order_n = np.lexsort((rng.permutation(len(score_n)), -score_n))  # equals in random order

    def rows(_: int) -> Iterator[tuple[int, Reason]]:
        for index in order_n.tolist():
            score = float(score_n[index])
            yield index, Reason(kind=kind, score=score, text=text.format(score))

    return rows


def _typical(vectors: Vectors, rng: np.random.Generator) -> Way:
    """Rows in the middle of groups of rows that are alike, the largest groups first.

    Source: G. Hacohen, A. Dekel and D. Weinshall, "Active Learning on a Budget: Opposite Strategies Suit High and Low
    Budgets", ICML 2022: with few labels, typical rows of many groups teach more than uncertain ones.
    """

    def rows(wanted: int) -> Iterator[tuple[int, Reason]]:
        from sklearn.cluster import MiniBatchKMeans

        total = vectors.shape[0]
        among_m = np.sort(rng.permutation(total)[:CLUSTERED])
        part = vectors[among_m]
        groups = min(max(wanted, 1), len(among_m))
        kmeans = MiniBatchKMeans(
            groups, random_state=int(rng.integers(2**31)), n_init="auto", batch_size=1024, max_iter=20
        )
        distance_mk = kmeans.fit_transform(part)
        group_m = distance_mk.argmin(axis=1)
        sizes_k = np.bincount(group_m, minlength=groups)
        ordered = [
            among_m[members_j[np.argsort(distance_mk[members_j, group], kind="stable")]].tolist()
            for group in np.argsort(-sizes_k, kind="stable").tolist()
            if len(members_j := np.flatnonzero(group_m == group))
        ]
        for depth in range(max(map(len, ordered))):
            for members in ordered:
                if depth < len(members):
                    share = len(members) / len(among_m)
                    yield (
                        members[depth],
                        Reason(kind="typical", score=share, text=f"stands for {share:.1%} of the rows"),
                    )

    return rows


def _ranked(
    frame: ReviewFrame,
    ways: Mapping[ReasonKind, Way],
    wanted: Mapping[ReasonKind, float],
    rest: int,
    *,
    drawn: frozenset[int],
) -> list[tuple[int, Reason]]:
    """Rows with a reason by rank, each row once: the ways take turns, in proportion to their shares.

    Their order does not depend on which rows are drawn; there are as many as leave `rest` rows beside those.
    """
    total = sum(wanted.values())
    sources: dict[ReasonKind, Iterator[tuple[int, Reason]]] = {
        kind: ways[kind](round(rest * share / total)) for kind, share in wanted.items()
    }
    count: dict[ReasonKind, int] = dict.fromkeys(sources, 0)
    keys = set[str]()
    ranked: list[tuple[int, Reason]] = []
    while rest and sources:
        kind = min(sources, key=lambda each: (count[each] + 1) / wanted[each])
        row = next((row for row in sources[kind] if frame.keys[row[0]] not in keys), None)
        if row is None:
            del sources[kind]
            continue
        keys.add(frame.keys[row[0]])
        count[kind] += 1
        ranked.append(row)
        rest -= row[0] not in drawn
    return ranked


def _interleaved(ranked: Sequence[tuple[int, Reason]], random: Sequence[int]) -> list[PickedRow]:
    """Both in one order, the random ones spread evenly: whenever people stop, their share is answered."""
    by_chance = Reason(kind="random", text="drawn at random, so that quality can be estimated without bias")
    drawn, ranks = frozenset(random), {index: (rank, reason) for rank, (index, reason) in enumerate(ranked)}
    targeted = [
        PickedRow(index=index, reasons=(reason,), rank=rank, random=False)
        for rank, (index, reason) in enumerate(ranked)
        if index not in drawn
    ]
    chance = [
        PickedRow(
            index=index,
            reasons=(by_chance, ranks[index][1]) if index in ranks else (by_chance,),
            rank=ranks[index][0] if index in ranks else None,
            random=True,
        )
        for index in random
    ]
    places = [((at + 0.5) / len(rows), row) for rows in (targeted, chance) for at, row in enumerate(rows)]
    return [row for _, row in sorted(places, key=lambda place: place[0])]


# --- what is known of rows --------------------------------------------------------------------------


def disagreement(shares_mnk: NDArray[np.float64]) -> Floats:
    """How much m models differ on each row, by their probabilities (m, n, k): 0 where all say the same, to 1 (n,).

    The Jensen-Shannon divergence of their answers over its largest value.
    Source: A. McCallum and K. Nigam, "Employing EM and Pool-Based Active Learning for Text Classification", ICML 1998
    (there as the divergence to the mean).
    """
    models, _, classes = shares_mnk.shape

    def entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
        return -np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1.0)), 0.0).sum(axis=-1)

    divergence_n = entropy(shares_mnk.mean(axis=0)) - entropy(shares_mnk).mean(axis=0)
    return (
        np.clip(divergence_n / np.log(min(models, classes)), 0.0, 1.0) if min(models, classes) > 1 else divergence_n * 0
    )


def unlikeness(reference: Vectors, window: Vectors, *, seed: int) -> Floats:
    """How sure a classifier is that a row of the window is none of the reference's, from 0 to 1 (n,).

    It is told by models that have not seen the row, weighed so that both sides count alike: near 0.5 nothing drifted.
    Source: D. Lopez-Paz and M. Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017.
    """
    from scipy.sparse import issparse, vstack
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rows = vstack([reference, window]).tocsr() if issparse(window) else np.vstack([reference, window])
    side_n = np.repeat([0, 1], [reference.shape[0], window.shape[0]])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    model = LogisticRegression(class_weight="balanced", max_iter=200)
    shares_nk: Any = cross_val_predict(model, rows, side_n, cv=folds, method="predict_proba")
    return shares_nk[reference.shape[0] :, 1]


def vectors_of(columns: Sequence[Column], *parts: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Rows as vectors, by words, levels and numbers; a sparse matrix (n, d) for each part, all by one scale.

    Texts count as their words and pairs of words, by TF-IDF. A column has the same weight whatever its kind.
    """
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    rows = [row for part in parts for row in part]
    blocks: list[Any] = []
    for column in columns:
        values = [row.get(column.name) for row in rows]
        if column.kind == "text":
            texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values]
            words = HashingVectorizer(
                n_features=TERMS,
                ngram_range=(1, 2),
                norm=None,  # pyright: ignore[reportArgumentType] - the stubs forget it
                alternate_sign=False,
            )
            blocks.append(TfidfTransformer(sublinear_tf=True).fit_transform(words.transform(texts)))
        elif column.kind == "numeric":
            blocks.append(csr_matrix(_scaled([_number(value) for value in values])[:, None]))
        else:
            hasher = FeatureHasher(LEVELS, input_type="string", alternate_sign=False)
            blocks.append(hasher.transform([[str(value)] for value in values]))
    if not blocks:
        return [csr_matrix((len(part), 1)) for part in parts]
    table = hstack(blocks).tocsr()
    ends = np.cumsum([0, *map(len, parts)])
    return [table[start:end] for start, end in pairwise(ends.tolist())]


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) else np.nan
    except ValueError:
        return np.nan


def _scaled(numbers_n: Sequence[float]) -> Floats:
    """Numbers by their rank, from -0.5 to 0.5; what is missing in the middle."""
    from scipy.stats import rankdata

    values_n = np.asarray(numbers_n, dtype=np.float64)
    known_n = np.isfinite(values_n)
    scaled_n = np.zeros(len(values_n))
    if known_n.any():
        scaled_n[known_n] = (rankdata(values_n[known_n]) - 0.5) / known_n.sum() - 0.5
    return scaled_n
