"""Which 200 rows of a new domain to label, by many draws: ways of picking beside random ones, on an encoder's vectors.

    python benchmarks/review_picks.py FOLDER --seeds 8
    python benchmarks/review_picks.py FOLDER --seeds 60 --least-squares --ways committee "classes alike" "two rounds"

The tweets, snippets and classes of `benchmarks/review.py`; texts are vectors of the encoder that `embedding` has (its
last layer), the model is a logistic regression, classes weighed alike. Of 1,800 snippets of a domain 1,000 may be
labelled, on the other 800 F1 (macro) is measured; what was lost is what 1,000 labels bring back (the better of weights
1 and 4). Labelled rows weigh four times as much as tweets. Fits take a quarter of a second, so that many draws are
cheap: one draw of 200 labels differs from the next by more than most ways of picking do.
"""

import argparse
import io
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path

import numpy as np
from review import DOMAINS, LOCATION
from sklearn.cluster import MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_predict

from bakeoff.data.packages import PackagePath, archive_of
from bakeoff.families.embedding import files_of
from bakeoff.families.features.onnx_encoder import OnnxEncoder, known_encoders

ROWS = {"tweets": 3200} | dict.fromkeys(DOMAINS, 1800)
POOL, BUDGET, REFERENCE, WEIGHT, WIDTH, RIDGE = 1000, 200, 1500, 4.0, 384, 3.0


def texts_and_classes(folder: Path) -> dict[str, tuple[list[str], np.ndarray]]:
    """A part of each domain, drawn once; classes are 0 (negative), 1 (neutral), 2 (positive)."""
    archive = archive_of(PackagePath.parse(f"pypi://vaderSentiment==0.5/{LOCATION}"), folder / "cache", print)
    with zipfile.ZipFile(archive) as source:
        inner = source.read(f"vaderSentiment-0.5/{LOCATION}")
    drawn, rng = {}, np.random.default_rng(0)
    with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as resources:
        for name, count in ROWS.items():
            content = resources.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt").read()
            lines = [line.split("\t", 2) for line in content.decode("utf-8", "replace").splitlines()]
            some = [lines[at] for at in rng.permutation(len(lines))[:count]]
            ratings = np.array([float(line[1]) for line in some])
            drawn[name] = [line[2] for line in some], np.where(np.abs(ratings) < 0.5, 1, np.where(ratings > 0, 2, 0))
    return drawn


def encoded(folder: Path, name: str, texts: list[str]) -> np.ndarray:
    """Vectors of length 1 (n, 384), made once."""
    known = folder / f"emb_{name}.npz"
    if not known.exists():
        source = known_encoders()["minilm-l6-int8"]
        weights, tokenizer = files_of(source, cache=folder / "cache", progress=print)
        encoder = OnnxEncoder(
            weights=weights, tokenizer=tokenizer, inner=source.inner, max_tokens=source.max_tokens, threads=1
        )
        np.savez(known, X=np.asarray(encoder(texts), dtype=np.float16))
    vectors = np.load(known)["X"].astype(np.float64)[:, -WIDTH:]
    return vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9)


class Logistic:
    """Makes models of tweets and labelled rows, in which classes weigh alike."""

    def __init__(self, tweets_nd: np.ndarray, class_n: np.ndarray) -> None:
        self.tweets_nd, self.class_n = tweets_nd, class_n

    def __call__(self, x_nd: np.ndarray, class_n: np.ndarray, weight: float = WEIGHT) -> LogisticRegression:
        """Of the tweets and these rows, which weigh so much."""
        all_nd, all_n = np.vstack([self.tweets_nd, x_nd]), np.concatenate([self.class_n, class_n])
        weight_n = np.repeat([1.0, weight], [len(self.class_n), len(class_n)])
        counts = np.maximum(np.bincount(all_n, minlength=3), 1)
        weight_n *= len(all_n) / (3 * counts)[all_n]
        model = LogisticRegression(C=3.0, max_iter=80, tol=1e-3)
        return model.fit(all_nd, all_n, sample_weight=weight_n / weight_n.mean())


class LeastSquares:
    """Models by least squares, a fit in milliseconds: what the tweets add is worked out once."""

    def __init__(self, tweets_nd: np.ndarray, class_n: np.ndarray) -> None:
        of_class = [self._with_one(tweets_nd[class_n == each]) for each in range(3)]
        self.counts = np.bincount(class_n, minlength=3)
        self.squares = np.stack([each.T @ each for each in of_class])
        self.sums = np.stack([each.sum(axis=0) for each in of_class], axis=1)

    def __call__(self, x_nd: np.ndarray, class_n: np.ndarray, weight: float = WEIGHT) -> "LeastSquares":
        """Of the tweets and these rows, which weigh so much."""
        counts = self.counts + np.bincount(class_n, minlength=3)
        of_class = counts.sum() / (3 * counts)
        rows_nd, weight_n = self._with_one(x_nd), of_class[class_n] * weight
        left = np.tensordot(of_class, self.squares, 1) + (rows_nd * weight_n[:, None]).T @ rows_nd
        right = self.sums * of_class + (rows_nd * weight_n[:, None]).T @ np.eye(3)[class_n]
        model = copy(self)
        model.weights = np.linalg.solve(left + RIDGE * np.diag([1.0] * (len(left) - 1) + [1e-6]), right)
        return model

    def predict_proba(self, x_nd: np.ndarray) -> np.ndarray:
        """Not calibrated: their order is what is used."""
        shares = np.exp(4 * (self._with_one(x_nd) @ self.weights))
        return shares / shares.sum(axis=1, keepdims=True)

    def predict(self, x_nd: np.ndarray) -> np.ndarray:
        """Classes (n,)."""
        return (self._with_one(x_nd) @ self.weights).argmax(axis=1)

    @staticmethod
    def _with_one(x_nd: np.ndarray) -> np.ndarray:
        return np.column_stack([x_nd, np.ones(len(x_nd))])


def typical(pool_nd: np.ndarray, seed: int) -> np.ndarray:
    """The rows in the middle of as many groups."""
    groups = MiniBatchKMeans(BUDGET, random_state=seed, n_init=1, max_iter=10).fit(pool_nd)
    apart_n = ((pool_nd - groups.cluster_centers_[groups.labels_]) ** 2).sum(1)
    members = [np.flatnonzero(groups.labels_ == group) for group in range(BUDGET)]
    middle = [int(each[np.argmin(apart_n[each])]) for each in members if len(each)]
    rest = np.setdiff1d(np.random.default_rng(seed).permutation(len(pool_nd)), middle)
    return np.array([*middle, *np.random.default_rng(seed).permutation(rest).tolist()][:BUDGET])


def least_variance(pool_nd: np.ndarray, reference_nd: np.ndarray) -> np.ndarray:
    """The rows after which a Gaussian process that knows the reference is least unsure of all others.

    Source: K. Yu, J. Bi, V. Tresp, "Active learning via transductive experimental design", ICML 2006.
    """
    cross = pool_nd @ reference_nd.T
    inner = reference_nd @ reference_nd.T + np.eye(len(reference_nd))
    covariance = pool_nd @ pool_nd.T - cross @ np.linalg.solve(inner, cross.T)
    picked: list[int] = []
    for _ in range(BUDGET):
        gain_n = (covariance**2).sum(0) / (np.diag(covariance) + 1.0)
        gain_n[picked] = -1
        picked.append(int(gain_n.argmax()))
        column_n = covariance[:, picked[-1]] / np.sqrt(covariance[picked[-1], picked[-1]] + 1.0)
        covariance -= np.outer(column_n, column_n)
    return np.array(picked)


def committee_of(kind: type, tweets_nd: np.ndarray, class_n: np.ndarray, size: int = 8) -> list:
    """Models of resampled tweets."""
    drawn = [np.random.default_rng(100 + at).integers(0, len(class_n), len(class_n)) for at in range(size)]
    return [kind(tweets_nd[rows], class_n[rows])(tweets_nd[:0], class_n[:0]) for rows in drawn]


def disagreement(committee: list[LogisticRegression], pool_nd: np.ndarray) -> np.ndarray:
    """How far the models' probabilities are from their mean (n,).

    Source: A. McCallum, K. Nigam, "Employing EM and Pool-Based Active Learning", ICML 1998: the mean divergence.
    """
    shares_mnk = np.stack([model.predict_proba(pool_nd) for model in committee])
    mean_nk = shares_mnk.mean(axis=0)
    return (shares_mnk * np.log(shares_mnk / mean_nk)).sum(axis=2).mean(axis=0)


def alike(model: LogisticRegression, pool_nd: np.ndarray, free_n: np.ndarray, count: int) -> np.ndarray:
    """As many rows of each class that the model says, those that it is least sure of and that have most like them.

    Source: B. Settles, M. Craven, EMNLP 2008: uncertainty times mean likeness (information density).
    """
    shares_nk = np.sort(model.predict_proba(pool_nd), axis=1)
    score_n = (1 - (shares_nk[:, -1] - shares_nk[:, -2])) * np.maximum(pool_nd @ pool_nd.mean(axis=0), 0)
    said_n, picked = model.predict(pool_nd[free_n]), list[int]()
    queues = [free_n[said_n == each][np.argsort(-score_n[free_n[said_n == each]])].tolist() for each in range(3)]
    while len(picked) < count:
        for queue in queues:
            if queue and len(picked) < count:
                picked.append(queue.pop(0))
    return np.array(picked)


def ways(
    *,
    base: LogisticRegression,
    committee: list[LogisticRegression],
    tweets_nd: np.ndarray,
    pool_nd: np.ndarray,
    again: Callable[[np.ndarray], LogisticRegression],
    rng: np.random.Generator,
    seed: int,
) -> Mapping[str, Callable[[], np.ndarray]]:
    """Ways of picking by name; `again` fits with the labels of these rows."""
    drawn = rng.permutation(POOL)
    reference_nd = tweets_nd[rng.permutation(len(tweets_nd))[:REFERENCE]]
    shares = np.sort(base.predict_proba(pool_nd), axis=1)
    unsure_n = 1 - (shares[:, -1] - shares[:, -2])

    def unlike() -> np.ndarray:
        both = np.vstack([tweets_nd[:REFERENCE], pool_nd])
        side_n = np.repeat([0, 1], [REFERENCE, POOL])
        domain = LogisticRegression(class_weight="balanced", max_iter=80, tol=1e-3)
        return cross_val_predict(domain, both, side_n, cv=5, method="predict_proba")[REFERENCE:, 1]

    def with_random(score_n: np.ndarray) -> np.ndarray:
        first = drawn[: BUDGET // 5]
        return np.concatenate([first, [at for at in np.argsort(-score_n) if at not in first][: BUDGET - len(first)]])

    def two_rounds() -> np.ndarray:
        first = drawn[: BUDGET // 2]
        free_n = np.setdiff1d(np.arange(POOL), first)
        return np.concatenate([first, alike(again(first), pool_nd, free_n, BUDGET - len(first))])

    return {
        "at random": lambda: drawn[:BUDGET],
        "at random, another draw": lambda: drawn[-BUDGET:],
        "0.8 drift, 0.2 random": lambda: with_random(unlike()),
        "0.8 uncertain, 0.2 random": lambda: with_random(unsure_n),
        "all uncertain": lambda: np.argsort(-unsure_n)[:BUDGET],
        "all typical": lambda: typical(pool_nd, seed),
        "least variance": lambda: least_variance(pool_nd, reference_nd),
        "committee": lambda: np.argsort(-disagreement(committee, pool_nd))[:BUDGET],
        "classes alike": lambda: alike(base, pool_nd, np.arange(POOL), BUDGET),
        "two rounds": two_rounds,
    }


def main() -> None:
    """Measure and print a table."""
    warnings.simplefilter("ignore", ConvergenceWarning)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--least-squares", action="store_true", help="not logistic regression: milliseconds a fit")
    parser.add_argument("--ways", nargs="+", help="these alone, beside those at random")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    known = {name: (encoded(options.folder, name, t), c) for name, (t, c) in texts_and_classes(options.folder).items()}
    tweets_nd, class_n = known.pop("tweets")
    kind = LeastSquares if options.least_squares else Logistic
    fitted = kind(tweets_nd, class_n)
    base, committee = fitted(tweets_nd[:0], class_n[:0]), committee_of(kind, tweets_nd, class_n)
    scores: dict[str, dict[str, list[float]]] = {}
    for seed in range(options.seeds):
        for name, (x_nd, truth_n) in known.items():
            rng = np.random.default_rng(seed)
            order = rng.permutation(len(x_nd))
            pool, tested = order[:POOL], order[POOL:]

            def score(model: LogisticRegression, x_nd=x_nd, truth_n=truth_n, tested=tested) -> float:
                return float(f1_score(truth_n[tested], model.predict(x_nd[tested]), average="macro"))

            def with_labels(rows: np.ndarray, weight: float, x_nd=x_nd, truth_n=truth_n) -> LogisticRegression:
                return fitted(x_nd[rows], truth_n[rows], weight)

            row = {"none": score(base), "all 1,000": max(score(with_labels(pool, weight)) for weight in (1.0, 4.0))}

            def again(rows: np.ndarray, pool=pool, with_labels=with_labels) -> LogisticRegression:
                return with_labels(pool[rows], WEIGHT)

            known_ways = ways(
                base=base,
                committee=committee,
                tweets_nd=tweets_nd,
                pool_nd=x_nd[pool],
                again=again,
                rng=rng,
                seed=seed,
            )
            for way, picked in known_ways.items():
                if options.ways is None or way in options.ways or "random" in way[:9]:
                    row[way] = score(again(picked()))
            for way, value in row.items():
                scores.setdefault(way, {}).setdefault(name, []).append(value)
            print(seed, name, {way: round(value, 4) for way, value in row.items()}, flush=True)
    print(table(scores))


def table(scores: Mapping[str, Mapping[str, list[float]]]) -> str:
    """F1 by domain, the share of the lost F1 that comes back, and how much more than at random."""
    lines = [
        "| 200 labels, picked | products | films | editorials | recovered | more than at random |",
        "|---|---|---|---|---|---|",
    ]
    means = {way: {name: float(np.mean(values)) for name, values in each.items()} for way, each in scores.items()}
    for way, each in scores.items():
        shares = [
            (means[way][name] - means["none"][name]) / (means["all 1,000"][name] - means["none"][name]) for name in each
        ]
        more = np.concatenate([np.subtract(each[name], scores["at random"][name]) for name in each])
        cells = " | ".join(f"{means[way][name]:.3f}" for name in each)
        recovered = ", ".join(f"{share:.0%}" for share in shares)
        error = 1.96 * more.std() / len(more) ** 0.5
        interval = f"[{more.mean() - error:+.4f}, {more.mean() + error:+.4f}]"
        lines.append(f"| {way} | {cells} | {recovered} | {more.mean():+.4f} {interval} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
