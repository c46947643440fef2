"""The reference of a release: what its inputs, its predictions and its quality looked like when it was decided."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core import narrow
from bakeoff.core.hashing import canonical_json
from bakeoff.core.types import Column, Json, Predictions, Task
from bakeoff.metrics.answers import signs
from bakeoff.metrics.drift import profile
from bakeoff.metrics.expected import Beliefs, ConfidenceScale, beliefs_of
from bakeoff.metrics.outcome import outcome

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "CONFIDENCE",
    "PREDICTION",
    "MonitoringReference",
    "answers_column",
    "answers_table",
    "from_bytes",
    "make",
    "outlying",
    "slice_names",
    "to_bytes",
]

PREDICTION = "prediction"
"""The name of the column of predictions in a profile."""
CONFIDENCE = "confidence"
"""That of the probabilities of the predicted classes."""

MOST_ROWS, MOST_NUMBERS = 5000, 200_000
SAMPLE_ROWS, SAMPLE_CHARACTERS = 500, 400_000
MOST_SLICES = 20
LEAST_DAYS = 7
"""Of which rows must be, for it to be known how far those of a day are alike."""
JSON_SHARE = 0.95
"""From such a share of answers that are JSON objects or lists on, an answer that is none is malformed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringReference:
    """Profiles of input columns and of predictions, and the `metric` with its `value` on the test rows.

    What references of earlier versions lack is empty: the `outcomes` (truth and prediction of test rows, with
    probabilities where the metric needs them), the `calibration` of probabilities, the `beliefs` of the model about
    the test rows, some `rows`, how often answers had which of the `signs`, whether they were JSON, the share of
    `outlying` rows, by slice how many `rows` there were and how many `wrong`, and how alike rows of a day are
    (`within_day`: the correlation of their errors, where their days are known).
    """

    inputs: Mapping[str, Json]
    predictions: Mapping[str, Json]
    metric: str
    value: float
    outcomes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    calibration: Mapping[str, float] = field(default_factory=dict[str, float])
    beliefs: Beliefs = field(default_factory=Beliefs)
    rows: Sequence[Mapping[str, Json]] = ()
    signs: Mapping[str, int] = field(default_factory=dict[str, int])
    answers: int = 0
    json_expected: bool = False
    outlying: float | None = None
    slices: Mapping[str, Any] = field(default_factory=dict[str, Any])
    within_day: float = 0.0

    @property
    def calibrated(self) -> ConfidenceScale:
        """What makes the model's probabilities calibrated ones."""
        return ConfidenceScale(**self.calibration)

    @property
    def predicted(self) -> Predictions | None:
        """What was predicted on the rows of `outcomes`, if they are known."""
        if not self.outcomes:
            return None
        shares = self.outcomes.get("probabilities")
        return Predictions(
            values_n=np.asarray(self.outcomes["predicted"]),
            probabilities_nk=None if shares is None else np.asarray(shares, dtype=np.float64),
            classes=tuple(self.outcomes.get("classes", ())),
        )


def make(
    table: "pl.DataFrame",
    columns: Sequence[Column],
    predictions: Predictions,
    *,
    task: Task,
    metric: str,
    value: float,
    truth: ArrayLike | None = None,
    days: Sequence[object] = (),
) -> MonitoringReference:
    """Describe the rows that a release is held against.

    Args:
        table: rows as the endpoint will get them (before preparation), best the test rows.
        columns: the input columns. Times always move on, so they are left out.
        predictions: what the model said about these rows.
        task: the model's task.
        metric: the metric that decided.
        value: its value on the test rows.
        truth: of these rows, where it is known.
        days: on which these rows happened, where they stand in the order of time.
    """
    described = [column for column in columns if column.kind != "datetime"]
    inputs = profile(table, described)
    values = predictions.values_n.tolist()
    shares = predictions.probabilities_nk
    sure = None if shares is None else shares.max(axis=1).tolist()
    answers = answers_table(values, task, sure)
    of_json = task == "generation" and _json_share(values) >= JSON_SHARE
    counted = [sign for text in values for sign in signs(text, json_expected=of_json)] if task == "generation" else []
    calibration = _calibration(truth, predictions, task)
    wrong_n = None if truth is None else _wrong(np.asarray(truth), predictions, task)
    return MonitoringReference(
        inputs=inputs,
        predictions=profile(answers, answers_column(task, confidence=sure is not None)),
        metric=metric,
        value=value,
        outcomes={} if truth is None else _outcomes(np.asarray(truth), predictions, task),
        calibration={"slope": calibration.slope, "intercept": calibration.intercept},
        beliefs={} if shares is None else beliefs_of(values, shares, calibration),
        rows=_sample(table.select([column.name for column in described if column.name in table.columns])),
        signs={sign: counted.count(sign) for sign in dict.fromkeys(counted)},
        answers=len(values),
        json_expected=of_json,
        outlying=outlying(inputs, table) / max(table.height, 1),
        slices={} if wrong_n is None else _slices(table, inputs, wrong_n),
        within_day=0.0 if truth is None or len(days) != len(values) else _within_day(truth, predictions, task, days),
    )


def _calibration(truth: ArrayLike | None, predictions: Predictions, task: Task) -> ConfidenceScale:
    if task != "classification" or truth is None or predictions.probabilities_nk is None:
        return ConfidenceScale()
    seen = outcome(truth, predictions, task)
    assert seen.probabilities_nk is not None
    if seen.classes != tuple(sorted(predictions.classes)):  # a class that the model does not know
        return ConfidenceScale()
    place = np.argsort(np.argsort(np.asarray(predictions.classes)))
    return ConfidenceScale.of(np.argsort(place)[seen.truth_n], predictions.probabilities_nk)


def _within_day(truth: ArrayLike, predictions: Predictions, task: Task, days: Sequence[object]) -> float:
    """How far errors of a day are alike: 0 where days do not differ more than rows do, to 1.

    Source: L. Kish, "Survey Sampling" (1965), 5.4 and 5.6: the intraclass correlation, by the analysis of variance.
    """
    if task == "generation":
        return 0.0
    of_day_n = np.unique(np.asarray([str(day) for day in days]), return_inverse=True)[1]
    rows_d = np.bincount(of_day_n)
    if len(rows_d) < LEAST_DAYS:
        return 0.0
    wrong_n = _wrong(np.asarray(truth), predictions, task)
    if wrong_n is None:
        error_n = np.abs(np.asarray(truth, dtype=np.float64) - predictions.values_n.astype(np.float64))
    else:
        error_n = wrong_n.astype(np.float64)
    mean_d = np.bincount(of_day_n, weights=error_n) / rows_d
    between = float((rows_d * (mean_d - error_n.mean()) ** 2).sum()) / (len(rows_d) - 1)
    within = float(((error_n - mean_d[of_day_n]) ** 2).sum()) / max(len(error_n) - len(rows_d), 1)
    size = (len(error_n) - float((rows_d**2).sum()) / len(error_n)) / (len(rows_d) - 1)
    total = between + (size - 1) * within
    return float(np.clip((between - within) / total, 0.0, 1.0)) if total > 0 else 0.0


def _outcomes(truth_n: NDArray[Any], predictions: Predictions, task: Task) -> dict[str, Any]:
    """Truth and prediction of rows, spread evenly where they are too many."""
    rows_n = np.arange(0, len(truth_n), max(1, -(-len(truth_n) // MOST_ROWS)))
    if task == "generation":
        rows_n = rows_n[: max(1, SAMPLE_CHARACTERS // max(1, int(np.mean([len(str(each)) for each in truth_n]))))]
    taken = predictions.take(rows_n)
    made: dict[str, Any] = {"truth": truth_n[rows_n].tolist(), "predicted": taken.values_n.tolist()}
    shares = taken.probabilities_nk
    if shares is not None and shares.size <= MOST_NUMBERS:
        made |= {"probabilities": shares.round(6).tolist(), "classes": list(taken.classes)}
    return made


def _wrong(truth_n: NDArray[Any], predictions: Predictions, task: Task) -> NDArray[np.bool_] | None:
    """Which rows were answered wrongly; of numbers and texts nobody can say."""
    return truth_n.astype(np.str_) != predictions.values_n.astype(np.str_) if task == "classification" else None


def _slices(table: "pl.DataFrame", inputs: Mapping[str, Json], wrong_n: NDArray[np.bool_]) -> dict[str, Any]:
    """Rows and wrong ones by the levels of columns, and by fifths of numbers."""
    made: dict[str, Any] = {}
    step = max(1, -(-table.height // MOST_ROWS))
    table, wrong_n = table.gather_every(step), wrong_n[::step]
    for name, profiled in inputs.items():
        known = narrow.json_object(profiled)
        if known["kind"] == "text" or name not in table.columns or len(made) >= MOST_SLICES:
            continue
        of_rows = slice_names(known, table[name].to_list())
        counted: dict[str, list[int]] = {}
        for slice_name, wrong in zip(of_rows, wrong_n.tolist(), strict=True):
            if slice_name is not None:
                both = counted.setdefault(slice_name, [0, 0])
                both[0], both[1] = both[0] + 1, both[1] + wrong
        made[name] = counted
    return made


def slice_names(known: Mapping[str, Any], values: Sequence[Any]) -> list[str | None]:
    """The slice that each value of a profiled column is in, if it is in one."""
    if known["kind"] == "levels":
        names = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
        return [name if name in known["levels"] else None for name in names]
    numbers = [value if isinstance(value, int | float) else float("nan") for value in values]
    number_n = np.asarray(numbers, dtype=np.float64)
    edges = np.asarray(known["edges"][1::2], dtype=np.float64)
    ends = [f"{edge:.4g}" for edge in edges]
    below = [f"value ≤ {end}" for end in ends[:1]] + [f"{a} < value ≤ {b}" for a, b in itertools.pairwise(ends)]
    labels = [*below, f"{ends[-1]} < value" if ends else "value"]
    at_n = np.searchsorted(edges, number_n, side="left")
    return [None if is_missing else labels[at] for at, is_missing in zip(at_n, np.isnan(number_n), strict=True)]


def _sample(table: "pl.DataFrame") -> list[dict[str, Json]]:
    """Some rows, spread evenly, as JSON holds them."""
    import polars as pl

    drawn = table.gather_every(max(1, -(-table.height // SAMPLE_ROWS))).with_columns(
        pl.selectors.float().fill_nan(None)
    )
    rows = [json.loads(json.dumps(row, default=str)) for row in drawn.iter_rows(named=True)]
    size = max(1, len(json.dumps(rows[:20])) // max(1, len(rows[:20])))
    return rows[: max(1, SAMPLE_CHARACTERS // size)]


def _json_share(values: Sequence[Any]) -> float:
    there = [
        str(text).lstrip()[:1] in {"{", "["} and "malformed" not in signs(text, json_expected=True) for text in values
    ]
    return sum(there) / max(len(there), 1)


def outlying(inputs: Mapping[str, Json], table: "pl.DataFrame") -> int:
    """Rows with a number further outside of the middle 98% of the reference's than that is wide."""
    far_n = np.zeros(table.height, dtype=np.bool_)
    for name, profiled in inputs.items():
        known = narrow.json_object(profiled)
        if known["kind"] == "numeric" and known["grid"] and name in table.columns:
            low, high = known["grid"][0], known["grid"][-1]
            numbers = table[name].cast(float, strict=False).to_numpy()
            far_n |= (numbers < low - (high - low)) | (numbers > high + (high - low))
    return int(far_n.sum())


def answers_column(task: Task, *, confidence: bool = False) -> list[Column]:
    """Predictions as columns."""
    sure = [Column(name=CONFIDENCE, kind="numeric", dtype="Float64")] if confidence else []
    match task:
        case "classification":
            return [Column(name=PREDICTION, kind="categorical", dtype="String"), *sure]
        case "regression":
            return [Column(name=PREDICTION, kind="numeric", dtype="Float64")]
        case "generation":
            return [Column(name=PREDICTION, kind="text", dtype="String")]


def answers_table(
    answers: Sequence[str | float | None], task: Task, confidence: ArrayLike | None = None
) -> "pl.DataFrame":
    """Predictions as a table: of one column, or two where they have probabilities."""
    import polars as pl

    dtype = pl.Float64 if task == "regression" else pl.String
    made = {PREDICTION: pl.Series(answers, dtype=dtype)}
    if confidence is not None:
        made[CONFIDENCE] = pl.Series(np.asarray(confidence, dtype=np.float64))
    return pl.DataFrame(made)


def to_bytes(reference: MonitoringReference) -> bytes:
    """The reference as JSON, to be kept as a blob."""
    return canonical_json({field.name: getattr(reference, field.name) for field in fields(reference)})


def from_bytes(data: bytes) -> MonitoringReference:
    """The reference that `to_bytes` gave, or that of an earlier version."""
    return MonitoringReference(**json.loads(data))
