"""Quality as the user's own examples show it: a linear classifier over hashed word runs, trained when it is bound.

Source: the practice of Brown et al. 2020, "Language Models are Few-Shot Learners", appendix A (a linear classifier over
hashed features tells curated from raw text), and Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification".
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from blake3 import blake3

from bakeoff.core.types import Schema
from bakeoff.prepare.rows.duplicates import RowStep, texts_of
from bakeoff.prepare.steps import Apply

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["LearnedQuality", "LearnedQualityParams", "keep_learned_quality"]

FEATURES = 2**18
LEAST_EXAMPLES = 20
LEAST_AUC = 0.6
"""Below it examples tell good from bad hardly better than a coin (cross-validated area under the ROC curve)."""
FOLDS = 5
WORD = r"(?u)\w+|[^\w\s]"


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedQualityParams:
    """`good` and `bad`: files of examples (.jsonl, .csv or .parquet with a column `column`, or .txt, a text a line).

    A text stays when its chance of being good is at least `threshold`; `words`: the longest run of words that counts.
    """

    good: str = ""
    bad: str = ""
    column: str = "text"
    threshold: float = 0.5
    words: int = 2


class LearnedQuality:
    """The bound step; `content` is known by its examples, so that other ones make another step."""

    def __init__(self, params: LearnedQualityParams) -> None:
        good, bad = _examples(params.good, params.column), _examples(params.bad, params.column)
        joined = "\0".join([*good, "\1", *bad])
        self.content = blake3(joined.encode("utf-8", "replace")).hexdigest(length=16)
        self._score = _trained(good, bad, words=params.words)
        self._threshold = params.threshold

    def __call__(self, table: "pl.DataFrame", schema: Schema) -> "pl.DataFrame":
        """The rows that stay."""
        texts = texts_of(table, schema)
        if texts is None or not table.height:
            return table
        return table.filter(self.scores(texts) >= self._threshold)

    def scores(self, texts: "pl.Series") -> "NDArray[np.float64]":
        """The chance that each text is good; 0.5 for a missing one."""
        scores = np.full(len(texts), 0.5)
        present = texts.is_not_null().to_numpy()
        if present.any():
            scores[present] = self._score(texts.drop_nulls().to_list())
        return scores


def _examples(location: str, column: str) -> list[str]:
    import polars as pl

    path = Path(location)
    if not location or not path.is_file():
        raise ValueError(
            f"keep_learned_quality needs 'good' and 'bad', files of examples; received {location!r}, which is no file"
        )
    if path.suffix == ".txt":
        texts = path.read_text("utf-8").splitlines()
    else:
        readers: dict[str, Callable[[Path], Any]] = {
            ".jsonl": pl.read_ndjson,
            ".csv": pl.read_csv,
            ".parquet": pl.read_parquet,
        }
        if path.suffix not in readers:
            raise ValueError(f"examples are .jsonl, .csv, .parquet or .txt files; received {location!r}")
        table: pl.DataFrame = readers[path.suffix](path)
        if column not in table.columns:
            raise ValueError(f"{location!r} has the columns {', '.join(table.columns)}; received column = {column!r}")
        texts = table[column].cast(pl.String).drop_nulls().to_list()
    texts = sorted({text for text in texts if text.strip()})
    if len(texts) < LEAST_EXAMPLES:
        raise ValueError(f"{location!r} holds {len(texts)} distinct examples; at least {LEAST_EXAMPLES} are needed")
    return texts


def _trained(good: list[str], bad: list[str], *, words: int) -> "Callable[[list[str]], NDArray[np.float64]]":
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    features: Any = HashingVectorizer(
        n_features=FEATURES, ngram_range=(1, words), token_pattern=WORD, alternate_sign=False, norm="l2"
    )
    model: Any = LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000, solver="liblinear")
    shown: Any = features.transform([*good, *bad])
    used = np.unique(shown.indices)  # what no example holds would weigh nothing
    shown = shown[:, used]
    truth = np.array([1] * len(good) + [0] * len(bad))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    auc = float(np.mean(cross_val_score(model, shown, truth, cv=folds, scoring="roc_auc")))
    if auc < LEAST_AUC:
        raise ValueError(
            f"the examples do not tell good from bad: on held-out ones the area under the ROC curve is {auc:.2f}, "
            f"at least {LEAST_AUC} is needed; give more of them, or clearer ones"
        )
    model.fit(shown, truth)
    return lambda texts: model.predict_proba(features.transform(texts)[:, used])[:, 1]


def _keep_learned_quality(params: LearnedQualityParams) -> Apply:
    return LearnedQuality(params)


keep_learned_quality = RowStep(
    name="keep_learned_quality",
    version=1,
    make=_keep_learned_quality,
    params=LearnedQualityParams,
    requires=("scikit-learn",),
)
"""Rows whose text is more like the user's good examples than like the bad ones."""
