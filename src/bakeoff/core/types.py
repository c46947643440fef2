"""Columns, schemas, predictions: what flows between data, families and evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "CANONICAL",
    "Column",
    "ColumnFormat",
    "ColumnKind",
    "Json",
    "Predictions",
    "Schema",
    "Signature",
    "Task",
    "TextForm",
]

Task: TypeAlias = Literal["classification", "regression", "generation"]
ColumnKind: TypeAlias = Literal["text", "categorical", "numeric", "datetime", "boolean"]
Json: TypeAlias = "None | bool | int | float | str | Sequence[Json] | Mapping[str, Json]"


TextForm: TypeAlias = Literal["plain", "text", "whole", "number", "time", "duration", "boolean", "json", "conversation"]
"""What the texts of a column are: "plain" leaves it to the column's kind; "whole" are whole numbers, "duration" are
durations and times of day (seconds), "json" are nested values, "conversation" are turns
(`bakeoff.core.conversation`)."""
DateOrder: TypeAlias = Literal["ymd", "dmy", "mdy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFormat:
    """How the values of a column are written as text; learned from all values of a training column.

    It is kept in the schema and in a model's signature, so that a text from any door (file, HTTP, command line,
    feedback) is read as it was in training. The defaults are the canonical format, in which models of older
    versions are read.

    Attributes:
        form: What the texts are.
        decimal: The decimal mark of numbers.
        thousands: The marks that may stand between groups of digits, such as "," or ".".
        units: What may stand before or after a number and is taken off, such as "€"; of "%" the number is a hundredth.
        bounds: Whether numbers may be written as bounds or estimates ("<0.01", "~5", "5+"), whose sign is taken off.
        scales: Whether numbers may end with a scale ("1.2k", "3M", "2 bn"), which multiplies them.
        missing: Words of this column that mean "no value", beside those that always do.
        order: How dates of digits alone are read; those with the year first always are.
        vector: The list column of which this column is the element at `position`, of `length` elements.
    """

    form: TextForm = "plain"
    decimal: Literal[".", ","] = "."
    thousands: str = ""
    units: tuple[str, ...] = ()
    bounds: bool = False
    scales: bool = False
    missing: tuple[str, ...] = ()
    order: DateOrder = "ymd"
    vector: str | None = None
    position: int = 0
    length: int = 0


CANONICAL = ColumnFormat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its name, its role for models (`kind`), its stored type (a polars type's name), how it is written.

    `fill` belongs to the input of a fitted model: what stands there for a missing value, when none was missing in
    the rows that it was fitted on (the median, or the most frequent value; a time in ISO 8601; of texts ""). None: the
    model learned what a missing value means. `known` belongs to it likewise: the categories that those rows had, in
    order; None when they are too many to be kept, or the column is of another kind.
    """

    name: str
    kind: ColumnKind
    dtype: str
    missing: int = 0
    fill: float | str | bool | None = None
    known: tuple[str, ...] | None = None
    format: ColumnFormat = CANONICAL

    def __hash__(self) -> int:
        return hash((self.name, self.kind))  # the rest takes longer than the conversion of a value


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns of a dataset; `target`, `time` and `group` name columns that are not model inputs.

    `time` may be an input, too. `rejected` names the column of answers that were turned down (task generation; null
    where a row has none), which is no input. `horizon` is how long after its time the truth of a row is known ("7d"),
    where that is said, `history` how far back the rows of a call reach ("7d"), and `holidays` the country whose
    holidays count ("US", "DE-BY").
    """

    columns: tuple[Column, ...]
    target: str
    inputs: tuple[str, ...]
    time: str | None = None
    group: str | None = None
    rejected: str | None = None
    horizon: str | None = None
    history: str | None = None
    holidays: str | None = None

    def column(self, name: str) -> Column:
        """The column called `name`; `KeyError` when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def input_columns(self) -> tuple[Column, ...]:
        """The columns of the inputs, in their order."""
        columns = {column.name: column for column in self.columns}
        return tuple(columns[name] for name in self.inputs)

    def of_kind(self, *kinds: ColumnKind) -> tuple[str, ...]:
        """Names of the input columns of these kinds, in table order."""
        inputs = frozenset(self.inputs)
        return tuple(c.name for c in self.columns if c.name in inputs and c.kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a model takes and gives: input columns, task, and for classification the class order."""

    task: Task
    inputs: tuple[Column, ...]
    classes: tuple[str, ...] = ()

    @property
    def input_names(self) -> tuple[str, ...]:
        """The inputs as rows have them, in order: a vector, whose parts are columns of the model, is one."""
        return tuple(dict.fromkeys(column.format.vector or column.name for column in self.inputs))


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a model says about n rows.

    Classification: `probabilities_nk` (n, k), rows summing to 1, columns in the order of `classes`;
    `values_n` are the class names of the largest. Regression: `values_n` floats, and `scores` are quantiles by their
    level ("0.9"), where they are predicted. Generation: texts.

    What evaluation adds for generation: `log_likelihood_n`, the log-probability (natural logarithm) that the model
    gives to the true text, which has `tokens_n` tokens; `scores`, further numbers (n,) by name, NaN where a row
    has none (`embedding_similarity`, `json_valid`, `judge`).
    """

    values_n: "NDArray[np.generic]"
    probabilities_nk: "NDArray[np.float64] | None" = None
    classes: tuple[str, ...] = ()
    log_likelihood_n: "NDArray[np.float64] | None" = None
    tokens_n: "NDArray[np.int64] | None" = None
    scores: "Mapping[str, NDArray[np.float64]]" = field(default_factory=dict[str, Any])

    @classmethod
    def of_probabilities(cls, probabilities_nk: "NDArray[np.float64]", classes: tuple[str, ...]) -> "Predictions":
        """Classification predictions: the label of a row is its most probable class (first on a tie)."""
        names = _class_names(classes)
        values_n = names[probabilities_nk.argmax(axis=1)] if len(probabilities_nk) else names[:0]
        return cls(values_n=values_n, probabilities_nk=probabilities_nk, classes=classes)

    def take(self, rows_m: "NDArray[Any]") -> "Predictions":
        """What is said about some of the rows (positions or a mask)."""

        def some(array: "NDArray[Any] | None") -> Any:
            return None if array is None else array[rows_m]

        return replace(
            self,
            values_n=some(self.values_n),
            probabilities_nk=some(self.probabilities_nk),
            log_likelihood_n=some(self.log_likelihood_n),
            tokens_n=some(self.tokens_n),
            scores={name: some(scores_n) for name, scores_n in self.scores.items()},
        )

    def __len__(self) -> int:
        return len(self.values_n)


@lru_cache(maxsize=64)
def _class_names(classes: tuple[str, ...]) -> "NDArray[np.str_]":
    import numpy as np

    names = np.asarray(classes, dtype=np.str_)
    names.flags.writeable = False  # all predictions of these classes take theirs from it
    return names


Parameters: TypeAlias = Mapping[str, Json]
