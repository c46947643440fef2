"""A registered model as scikit-learn's tools know one: predict, predict_proba, classes_, score."""

# ruff: noqa: N803 - scikit-learn's names of arguments

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.errors import UsageError
from bakeoff.core.protocols import Model
from bakeoff.core.types import Predictions, Signature
from bakeoff.data.labels import label_text
from bakeoff.project.frames import library_of, names_of, taken
from bakeoff.project.rows import as_rows
from bakeoff.registry.lineage import label

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.core.records import Version
    from bakeoff.project.project import Project

__all__ = ["Estimator"]


class Estimator:
    """A registered model as a fitted estimator of scikit-learn: for its metrics, its plots and its inspection.

    It takes raw rows (a table of pandas, polars, Arrow or numpy, or dicts), which it reads and prepares as in training.
    Nothing that it answers is logged; `Project.predict` answers for the endpoint. An array without names has the inputs
    in the order of `feature_names_in_`. A class is what it was in the frame that the project was given (0, True, "a");
    of files it is text. It pickles by reference: another process opens the project and loads the same version.

    Example:
        >>> model = project.model()
        >>> model.classes_.tolist(), model.feature_names_in_.tolist()
        (['no', 'yes'], ['review', 'year'])
        >>> model.predict([{"review": "great film", "year": 1999}]).tolist()
        ['yes']
        >>> from sklearn.metrics import accuracy_score
        >>> test = project.rows("test")
        >>> accuracy_score(test["liked"], model.predict(test)) == model.score(test, test["liked"])
        True
    """

    def __init__(self, project: "Project", version: "Version", model: Model, classes: Mapping[str, Any]) -> None:
        self._project, self._version = project, version
        self.model = model
        """The model itself, which takes prepared rows."""
        self._classes = classes
        """Its classes by name: what they are in the data."""

    def __reduce__(self) -> "tuple[Callable[..., Any], tuple[Any, ...]]":
        return _again, (self._project, label(self._version))

    @property
    def version(self) -> str:
        """The model's version, as `name/number`."""
        return label(self._version)

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self.model.signature

    @cached_property
    def feature_names_in_(self) -> NDArray[np.object_]:
        """The names of the inputs (n_features,); a vector is one."""
        return np.asarray(self.signature.input_names, dtype=object)

    @property
    def n_features_in_(self) -> int:
        """How many inputs it takes."""
        return len(self.feature_names_in_)

    @cached_property
    def classes_(self) -> NDArray[Any]:
        """The classes (k,), in the order of the columns of `predict_proba`.

        Raises:
            AttributeError: it is no classifier.
        """
        if self.signature.task != "classification":
            raise AttributeError(f"expected a classifier, this model is for {self.signature.task} and has no classes_")
        return np.asarray([self._classes[name] for name in self.signature.classes])

    def predict(self, X: object) -> NDArray[Any]:
        """What it says of each row (n,): classes, numbers or texts.

        Raises:
            DataError: they are no rows, or a row does not fit.

        Example:
            >>> project.model().predict(project.rows("test")).shape
            (60,)
        """
        values_n = self.predictions(X).values_n
        if self.signature.task != "classification":
            return values_n
        places = {name: place for place, name in enumerate(self.signature.classes)}
        return self.classes_[[places[str(name)] for name in values_n]]

    def predict_proba(self, X: object) -> NDArray[np.float64]:
        """The probability of each class (n, k), in the order of `classes_`.

        Raises:
            AttributeError: it gives no probabilities. DataError: they are no rows, or a row does not fit.

        Example:
            >>> project.model().predict_proba(project.rows("test")).sum(axis=1).round(6).tolist()[:2]
            [1.0, 1.0]
        """
        if self.signature.task != "classification":
            raise AttributeError(f"expected a classifier, this model is for {self.signature.task}")
        predictions = self.predictions(X)
        if predictions.probabilities_nk is None:
            raise AttributeError(f"model {self.version} gives no probabilities")
        places = [predictions.classes.index(name) for name in self.signature.classes]
        return predictions.probabilities_nk[:, places]

    def predictions(self, X: object) -> Predictions:
        """All that it says of the rows: with class names as texts, and further scores where it has some.

        Raises:
            DataError: they are no rows, or a row does not fit.

        Example:
            >>> project.model().predictions([{"review": "great film", "year": 1999}]).classes
            ('no', 'yes')
        """
        from bakeoff.prepare.steps import preparation

        table = self._inputs(X)
        prepared = preparation(self._version.model_origin.steps).apply_columns(table, self.signature.inputs)
        return self.model.predict(prepared)

    def _inputs(self, X: object) -> "pl.DataFrame":
        """The rows as the model's table: by whole columns where they come in such, by the one conversion."""
        from bakeoff.data.cast import conform
        from bakeoff.serve.inputs import Inputs

        columns = self.signature.inputs
        aside = [column.name for column in self._version.model_origin.columns]
        inputs = Inputs(columns, aside=aside)
        if library_of(X) in {"pandas", "polars", "arrow"}:
            names = names_of(X, argument="X")
            renamed = inputs.renamed(dict.fromkeys(names))
            inputs.of(renamed.keys(), "X")
            table = taken(X, argument="X")
            if {*renamed} == {*names} and not {*table.mixed} & {*inputs.names}:
                return conform(table.table, columns)
        rows = [inputs.renamed(row) for row in as_rows(X, argument="X", names=inputs.names)]
        inputs.of_rows(rows)
        return conform(rows, columns)

    def score(self, X: object, y: object) -> float:
        """The share of right answers, or R² of numbers: what scikit-learn's estimators give.

        Args:
            X: rows.
            y: what is true of each; of classes, also their names as texts.

        Example:
            >>> test = project.rows("test")
            >>> 0.5 < project.model().score(test, test["liked"]) <= 1.0
            True
        """
        truth = list(y.tolist() if hasattr(y, "tolist") else y.to_list() if hasattr(y, "to_list") else y)  # type: ignore[attr-defined]
        if self.signature.task == "regression":
            from sklearn.metrics import r2_score

            return float(r2_score(truth, self.predict(X)))
        names_n = self.predictions(X).values_n
        if len(names_n) != len(truth):
            raise UsageError(f"y: expected {len(names_n)} values, one for each row of X, received {len(truth)}")
        return float(np.mean([str(name) == label_text(value) for name, value in zip(names_n, truth, strict=True)]))

    def fit(self, X: object = None, y: object = None) -> NoReturn:
        """It is fitted already: a project fits, on the rows that it has.

        Raises:
            UsageError: always; with what to do instead.

        Example:
            >>> from sklearn.frozen import FrozenEstimator
            >>> from sklearn.model_selection import cross_val_score
            >>> test = project.rows("test")
            >>> cross_val_score(FrozenEstimator(project.model()), test, test["liked"], cv=2).shape
            (2,)
        """
        del X, y
        raise UsageError(
            f"model {self.version} is fitted already, and fits by Project.run alone: in cross-checks that call fit, "
            "sklearn.frozen.FrozenEstimator(model) stands for the model as it is"
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - scikit-learn's signature
        """The candidate's parameters, as they were set or searched.

        Example:
            >>> project.model().get_params()
            {'balanced': None, ..., 'penalty': 1.0}
        """
        del deep
        return dict(self._version.model_origin.params)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_clone__(self) -> Self:
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        task = self.signature.task
        return Tags(
            estimator_type={"classification": "classifier", "regression": "regressor"}.get(task),  # type: ignore[arg-type]
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags() if task == "classification" else None,
            regressor_tags=RegressorTags() if task == "regression" else None,
            input_tags=InputTags(string=True, categorical=True, allow_nan=True),
        )

    def __repr__(self) -> str:
        origin = self._version.model_origin
        return f"Estimator({self.version!r}, {origin.candidate}, {self.signature.task})"


def _again(project: "Project", version: str) -> Estimator:
    """An estimator in another process: loaded again from the project."""
    return project.model(version)
