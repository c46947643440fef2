"""Signs that a column holds what will only be known after the outcome.

A column that tells the target nearly without fail, is the target under another name, has words or a name that give
the outcome away, or a time after that of the row; and ids that only encode the order of the rows.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Column, Schema, Task
from bakeoff.prepare.checks.finding import Finding
from bakeoff.prepare.checks.word_leaks import word_leaks

if TYPE_CHECKING:
    import polars as pl

__all__ = ["leaks"]

Codes: TypeAlias = NDArray[np.int64]

FEWEST = 50
"""Rows below which nothing is said."""
BINS = 64
HELD_SHARE = 0.3
SURE = 0.9
"""Balanced accuracy above chance, as a share of what is possible, that no honest column should surely reach."""
SURE_RANKS = 0.97
"""The same for numbers: the share of the variance of their ranks."""
ONE_SIDED = 1.645
LATER_SHARE = 0.05
IN_ORDER = 0.99
STRAIGHT = 1e-9
ASK = "is it known when a prediction is asked for? If not, put it in [data] ignore"

AFTER = re.compile(r"(^after_|_after$|_after_|(^|_)(outcome|aftermath|ground_truth|y_true)(_|$)|^(actual|final)_)")
ENDED = (
    "resolved|resolution|closed|cancell?ed|completed|settled|refunded|discharged|terminated|ended|finished|delivered"
)
AT = re.compile(rf"(^|_)({ENDED})_(at|on|date|time|day|reason|by)$|^(date|time|day)_({ENDED})$")


def leaks(sample: "pl.DataFrame", schema: Schema, task: Task, *, seed: int) -> Iterator[Finding]:
    """Look at training rows in their order."""
    inputs = list(schema.input_columns)
    yield from _named(inputs, schema.target)
    if sample.height < FEWEST:
        return
    if task != "generation":
        yield from _telling(sample, schema, inputs, task, seed)
    if task == "classification":
        yield from word_leaks(sample, schema)
    yield from _later(sample, schema)
    yield from _counting(sample, inputs)


def _named(inputs: list[Column], target: str) -> Iterator[Finding]:
    """Columns whose names speak of what comes after, or that begin with the target's name."""
    for column in inputs:
        words = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.name).lower()).strip("_")
        root = re.sub(r"[^a-z0-9]+", "_", target.lower()).strip("_")
        about = f"is named after the target {target!r}" if root and words.startswith(root + "_") else ""
        if AFTER.search(words) or AT.search(words):
            about = "has the name of something that is known only afterwards"
        if about:
            yield Finding(kind="name", column=column.name, told=f"column {column.name!r} {about}: {ASK}")


# --- columns that tell the target alone ---------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Halves:
    """Rows to learn from and rows to be judged on, as masks; the target as class positions or as ranks."""

    fit_n: NDArray[np.bool_]
    value_n: NDArray[np.float64]
    classes: int

    @classmethod
    def of(cls, sample: "pl.DataFrame", schema: Schema, task: Task, seed: int) -> "_Halves":
        """Judged are the latest rows where there is a time (its neighbours would give a row away), else random ones."""
        import polars as pl

        if schema.time is not None:
            order_n = sample[schema.time].rank("ordinal").fill_null(0).to_numpy()
        else:
            order_n = np.random.default_rng(seed).permutation(sample.height)
        target = sample[schema.target]
        if task == "regression":
            ranks_n = target.cast(pl.Float64).rank("average").to_numpy()
            return cls(fit_n=order_n < (1 - HELD_SHARE) * len(order_n), value_n=ranks_n, classes=0)
        names, code_n = np.unique(target.cast(pl.String).to_numpy().astype(np.str_), return_inverse=True)
        return cls(
            fit_n=order_n < (1 - HELD_SHARE) * len(order_n), value_n=code_n.astype(np.float64), classes=len(names)
        )


def _telling(sample: "pl.DataFrame", schema: Schema, inputs: list[Column], task: Task, seed: int) -> Iterator[Finding]:
    halves = _Halves.of(sample, schema, task, seed)
    distinct = sample[schema.target].n_unique()
    for column in inputs:
        if column.kind == "text":
            continue
        code_n = _codes(sample[column.name], column, halves.fit_n)
        # With more codes than targets it has more values, too: no need to count those.
        varied = task != "regression" and np.count_nonzero(np.bincount(code_n)) > distinct
        if not varied and _is_copy(sample[column.name], sample[schema.target], column, task, distinct=distinct):
            told = f"column {column.name!r} is the target {schema.target!r} in other words (one for one): leave it out"
            yield Finding(kind="copy", column=column.name, told=told, value=1.0)
        elif halves.classes:
            accuracy, sure = _balanced_accuracy(code_n, halves)
            if sure >= SURE:
                score = f"balanced accuracy {accuracy:.3f} on held-out rows, by chance {1 / halves.classes:.3f}"
                yield _alone(column.name, schema.target, score, accuracy)
        elif (explained := _explained(code_n, halves)) >= SURE_RANKS:
            score = f"{explained:.1%} of the variance of its ranks on held-out rows"
            yield _alone(column.name, schema.target, score, explained)


def _alone(name: str, target: str, score: str, value: float) -> Finding:
    told = f"column {name!r} alone tells {target!r} nearly without fail ({score}): {ASK}"
    return Finding(kind="leak", column=name, told=told, value=value)


def _codes(series: "pl.Series", column: Column, fit_n: NDArray[np.bool_]) -> Codes:
    """A column as few codes: its categories, or up to `BINS` ranges with about as many rows each; missing is one."""
    import polars as pl

    if column.kind == "categorical":
        return series.cast(pl.String).rank("dense").fill_null(0).to_numpy().astype(np.int64)
    numbers = series if series.dtype == pl.Float64 else series.to_physical().cast(pl.Float64)
    value_n = numbers.to_numpy()  # nulls become NaN
    known_n = value_n[fit_n & np.isfinite(value_n)]
    edges = np.unique(known_n)
    if len(edges) > BINS:
        edges = np.unique(np.quantile(known_n, np.linspace(0, 1, BINS + 1)[1:-1], method="nearest"))
    return np.where(np.isfinite(value_n), np.searchsorted(edges, value_n) + 1, 0)


def _balanced_accuracy(code_n: Codes, halves: _Halves) -> tuple[float, float]:
    """The accuracy, with every class weighing the same, of the likeliest class for each code; and its lower bound.

    The bound is one-sided at 95%, as a share of what lies between chance and certainty.
    """
    k, fit_n = halves.classes, halves.fit_n
    class_n = halves.value_n.astype(np.int64)
    size = int(code_n.max()) + 1
    count_ck = np.bincount(code_n[fit_n] * k + class_n[fit_n], minlength=size * k).reshape(size, k)
    said_c = (count_ck / np.maximum(count_ck.sum(axis=0), 1)).argmax(axis=1)
    right_n = said_c[code_n[~fit_n]] == class_n[~fit_n]
    rows_k = np.bincount(class_n[~fit_n], minlength=k)
    hits_k = np.bincount(class_n[~fit_n], weights=right_n, minlength=k)
    there = rows_k > 0
    recall_k = hits_k[there] / rows_k[there]
    likely_k = (hits_k[there] + 1) / (rows_k[there] + 2)
    accuracy = float(recall_k.mean())
    error = float(np.sqrt((likely_k * (1 - likely_k) / rows_k[there]).sum())) / len(recall_k)
    return accuracy, (accuracy - ONE_SIDED * error - 1 / k) / (1 - 1 / k)


def _explained(code_n: Codes, halves: _Halves) -> float:
    """The share of the variance of the held-out ranks that the mean rank of each code explains."""
    fit_n, rank_n = halves.fit_n, halves.value_n
    size = int(code_n.max()) + 1
    mean = rank_n[fit_n].mean()
    count_c = np.bincount(code_n[fit_n], minlength=size)
    sum_c = np.bincount(code_n[fit_n], weights=rank_n[fit_n] - mean, minlength=size)
    said_n = (sum_c / np.maximum(count_c, 1))[code_n[~fit_n]] + mean
    held_n = rank_n[~fit_n]
    spread = float(((held_n - held_n.mean()) ** 2).sum())
    return 1 - float(((held_n - said_n) ** 2).sum()) / spread if spread else 0.0


def _is_copy(series: "pl.Series", target: "pl.Series", column: Column, task: Task, *, distinct: int) -> bool:
    """Whether values and the (`distinct`) targets are one for one; of numbers, whether they lie on a straight line."""
    import polars as pl

    if task == "regression":
        both = pl.DataFrame({"x": series, "y": target}).drop_nulls()
        if column.kind != "numeric" or both.height < FEWEST or both["x"].n_unique() < 2:  # noqa: PLR2004
            return False
        x_n, y_n = (both[name].to_numpy() - both[name].to_numpy().mean() for name in ("x", "y"))
        off_n = y_n - x_n * (x_n @ y_n) / (x_n @ x_n)
        return bool(np.abs(off_n).max() <= STRAIGHT * np.abs(y_n).max())
    if series.null_count() or series.n_unique() != distinct:
        return False
    return pl.DataFrame({"x": series, "y": target}).n_unique() == distinct


# --- times and orders ---------------------------------------------------------------------------


def _later(sample: "pl.DataFrame", schema: Schema) -> Iterator[Finding]:
    """Times after that of the row."""
    if schema.time is None:
        return
    for name in schema.of_kind("datetime"):
        both = sample.select(time=schema.time, other=name).drop_nulls()
        later = float((both["other"] > both["time"]).mean() or 0) if name != schema.time and both.height else 0.0  # pyright: ignore[reportArgumentType]
        if later >= LATER_SHARE:
            told = f"column {name!r} is later than {schema.time!r} in {later:.1%} of the rows: {ASK}"
            yield Finding(kind="later", column=name, told=told, value=later)


def _counting(sample: "pl.DataFrame", inputs: list[Column]) -> Iterator[Finding]:
    """Whole numbers, each another, that rise or fall from row to row."""
    for column in inputs:
        series = sample[column.name]
        if column.kind != "numeric" or series.null_count():
            continue
        value_n = series.to_numpy()
        up = float((np.diff(value_n) > 0).mean())
        if max(up, 1 - up) < IN_ORDER or series.n_unique() < IN_ORDER * len(series):
            continue
        if bool((value_n == np.floor(value_n)).all()):
            told = (
                f"column {column.name!r} only counts the rows, as an id does: it tells when a row came, not what it is"
            )
            yield Finding(kind="order", column=column.name, told=told, value=max(up, 1 - up))
