"""Models fitted by folds, asked as one: about each row, the model that was fitted without it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.abilities import Abilities
from bakeoff.core.protocols import Model, Usage
from bakeoff.core.types import Predictions, Task
from bakeoff.evaluate.score.paid_models import usage_of
from bakeoff.metrics.combined import common_classes, spread
from bakeoff.metrics.outcome import outcome
from bakeoff.metrics.registry import find

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FOLD", "OutOfFold", "by_fold", "in_order", "joined"]

FOLD = "bakeoff:fold"
"""The column that says which fold a row belongs to, counted from 0."""
SMALL_BYTES = 32_000_000
"""Models whose files are not more together are held at once."""


class OutOfFold:
    """Predicts tables that have the column `FOLD`.

    Models are loaded one after the other, to hold only one at a time. Small ones stay, as findings and explanations
    ask often.
    """

    def __init__(self, load: Callable[[Path], Model], folders: Sequence[Path]) -> None:
        self._load, self._folders = load, folders
        self._small = sum(file.stat().st_size for each in folders for file in each.rglob("*")) <= SMALL_BYTES
        self._models: dict[Path, Model] = {}
        self._used: list[Usage] = []

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """What each row's own model says of it, in the order of the rows."""
        fold_n = table[FOLD].to_numpy()
        rows: list[NDArray[np.intp]] = []
        predictions: list[Predictions] = []
        for fold, folder in enumerate(self._folders):
            of_fold = np.flatnonzero(fold_n == fold)
            if len(of_fold):
                rows.append(of_fold)
                if folder in self._models:  # it uses nothing
                    predictions.append(self._models[folder].predict(table[of_fold]))
                    continue
                model = self._load(folder)
                predictions.append(model.predict(table[of_fold]))
                spent = self._spent(folder, model)
                self._used += [] if spent is None else [spent]
        return in_order(rows, predictions)

    def _spent(self, folder: Path, model: Model) -> Usage | None:
        """What a model has used; a small one that uses nothing stays (what is used is counted once for each model)."""
        spent = usage_of(model)
        if self._small and spent is None:
            self._models[folder] = model
        return spent

    @property
    def abilities(self) -> Abilities:
        """Of them only what all have used; the first one's when none was asked yet."""
        from bakeoff.chat.meter import together

        folder = self._folders[0]
        first = None if self._used or folder in self._models else self._spent(folder, self._load(folder))
        used = self._used or ([] if first is None else [first])
        return Abilities(usage=(lambda: together(used)) if used else None)


def in_order(rows: Sequence[NDArray[np.intp]], predictions: Sequence[Predictions]) -> Predictions:
    """Predictions of parts of a table (`rows`: the numbers of each part's rows) as one, in the order of its rows."""
    return joined(predictions).take(np.argsort(np.concatenate(rows)))


def joined(predictions: Sequence[Predictions]) -> Predictions:
    """Predictions of one row after the other, with the scores that all have."""
    values_n: NDArray[Any] = np.concatenate([each.values_n for each in predictions])
    known = set[str].intersection(*(set(each.scores) for each in predictions))
    scores = {name: np.concatenate([each.scores[name] for each in predictions]) for name in sorted(known)}
    joint = Predictions(values_n=values_n, scores=scores)
    if all(each.log_likelihood_n is not None and each.tokens_n is not None for each in predictions):
        likelihoods = [each.log_likelihood_n for each in predictions if each.log_likelihood_n is not None]
        tokens = [each.tokens_n for each in predictions if each.tokens_n is not None]
        joint = replace(joint, log_likelihood_n=np.concatenate(likelihoods), tokens_n=np.concatenate(tokens))
    if any(each.probabilities_nk is None for each in predictions):
        return joint
    classes = common_classes(each.classes for each in predictions)
    shares_nk = np.concatenate([spread(each, classes) for each in predictions])
    return replace(joint, probabilities_nk=shares_nk, classes=classes)


def by_fold(
    names: Sequence[str], truth_n: NDArray[Any], predictions: Predictions, fold_n: NDArray[Any], task: Task
) -> dict[str, list[float | None]]:
    """The value of each metric on each fold's rows; None where it is undefined there."""
    results = [outcome(truth_n[fold_n == fold], predictions.take(fold_n == fold), task) for fold in np.unique(fold_n)]

    def values(name: str) -> list[float | None]:
        measure = find(name, task)
        metric_values = [float(measure(result)) for result in results]
        return [value if isfinite(value) else None for value in metric_values]

    return {name: values(name) for name in names}
