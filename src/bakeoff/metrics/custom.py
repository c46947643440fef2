"""Metrics of one's own: functions from a Python file or from the entry point group `bakeoff.metrics`.

Such a function takes truth and prediction of n rows (arrays: class names, numbers or texts) and, when it has
a third parameter, probabilities (n, k) with columns in the order of the sorted class names. It gives a float,
NaN where it is undefined. The attribute `higher_is_better` says which way it runs and makes it a metric;
`tasks` (a set; all by default) says what it is for:

    def cost(truth, predicted):
        return float((truth != predicted).mean() * 12.50)

    cost.higher_is_better = False
"""

import inspect
import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core import plugins
from bakeoff.core.errors import CandidateError, ConfigError, Problem
from bakeoff.core.hashing import digest_file, digest_json
from bakeoff.core.types import Task
from bakeoff.metrics.costs import Costs
from bakeoff.metrics.measure import Measure
from bakeoff.metrics.outcome import Outcome

__all__ = ["Called", "Function", "adapted", "costs_in_use", "digest_own", "own", "read_file", "using"]

Function: TypeAlias = Callable[..., float]

WITH_PROBABILITIES = 3
"""Parameters of a function that takes probabilities, too."""

# Scoped, not global: what `using` sets ends with its block, and other projects of the process do not see it.
_IN_USE: ContextVar[Mapping[str, Function]] = ContextVar("metrics_of_a_file", default=MappingProxyType({}))
_COSTS: ContextVar[Costs | None] = ContextVar("costs_of_errors", default=None)


@contextmanager
def using(file: Path | None, costs: Mapping[str, Mapping[str, float]] | None = None) -> Generator[None]:
    """Within the block, the metrics of a Python file (or of none) are found by name like any other.

    `costs` are those of errors, by true and predicted class; with some, `expected_cost` is a metric.

    Raises:
        ConfigError: the file cannot be read or holds no metric.
    """
    token = _IN_USE.set(_IN_USE.get() if file is None else read_file(file))
    paid = _COSTS.set(Costs(by_class=costs) if costs else _COSTS.get())
    try:
        yield
    finally:
        _COSTS.reset(paid)
        _IN_USE.reset(token)


def costs_in_use() -> Costs | None:
    """The costs of errors within the block of `using`, or None."""
    return _COSTS.get()


def read_file(file: Path) -> Mapping[str, Function]:
    """The functions of a Python file that have the attribute `higher_is_better`, by name.

    Raises:
        ConfigError: the file cannot be read or run, or holds none.
    """

    def problem(expected: str, functions: str, hint: str = "") -> ConfigError:
        return ConfigError((Problem(file=str(file), key="", expected=expected, found=functions, hint=hint),))

    if not file.is_file():
        raise problem("a Python file of metrics", "nothing", "See decide.metrics_file.")
    name = f"bakeoff_metrics_{digest_file(file)[:16]}"
    spec = spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickling look for it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise problem("Python that can be run", f"{type(error).__name__}: {error}") from error
    functions = {key: value for key, value in vars(module).items() if _marked(value) and not key.startswith("_")}
    if not functions:
        raise problem("functions with the attribute higher_is_better", "none", "Set NAME.higher_is_better = True.")
    return MappingProxyType(functions)


def _marked(value: object) -> bool:
    return callable(value) and isinstance(getattr(value, "higher_is_better", None), bool)


def own(task: Task) -> dict[str, Measure]:
    """Measures of third parties and of the file in use, by name."""
    functions = {name: plugins.load("bakeoff.metrics", name) for name in plugins.names("bakeoff.metrics")}
    functions |= dict(_IN_USE.get())
    return {name: adapted(name, function, task) for name, function in functions.items() if _is_for(function, task)}


def _is_for(function: Function, task: Task) -> bool:
    tasks: Iterable[str] | None = getattr(function, "tasks", None)
    return tasks is None or task in tasks


def digest_own() -> str:
    """Hash of what metrics of one's own depend on: the source of each one that is in use, and the costs of errors."""
    sources = [[name, _source(function)] for name, function in sorted(_IN_USE.get().items())]
    sources += [[name, _source(plugins.load("bakeoff.metrics", name))] for name in plugins.names("bakeoff.metrics")]
    costs = _COSTS.get()
    return digest_json(
        sources if costs is None else [*sources, {name: dict(row) for name, row in costs.by_class.items()}]
    )


def _source(function: Function) -> str:
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    return digest_file(Path(file)) if file else f"{function.__module__}:{function.__qualname__}"


def adapted(name: str, function: Function, task: Task) -> Measure:
    """The measure that calls a function; resampled rows are handed to it as rows.

    Raises:
        CandidateError: the function lacks the attribute `higher_is_better`.
    """
    if not _marked(function):
        raise CandidateError(
            f"expected the metric {name!r} to be a function with the attribute higher_is_better (True or False); "
            f"received {function!r}"
        )
    asks = len(inspect.signature(function).parameters) >= WITH_PROBABILITIES
    return Measure(
        name=name,
        task=task,
        higher_is_better=function.higher_is_better,  # pyright: ignore[reportFunctionMemberAccess]
        needs="probabilities" if asks else "labels" if task == "classification" else "values",
        gather=partial(_gather, name, function, asks=asks),
        finish=_as_they_are,
    )


def _as_they_are(values_r: NDArray[np.float64]) -> NDArray[np.float64]:
    return values_r


def _gather(name: str, function: Function, outcome: Outcome, *, asks: bool) -> "Called":
    arrays: list[NDArray[Any]] = [outcome.truth_n, outcome.predicted_n]
    if outcome.classes:
        classes = np.asarray(outcome.classes)
        arrays = [classes[codes] for codes in arrays]
    if asks:
        assert outcome.probabilities_nk is not None
        arrays.append(outcome.probabilities_nk)
    return Called(name, function, arrays)


class Called:
    """Calls a function on resampled rows; to it no two rows are alike."""

    key_n: NDArray[np.int64] | None = None

    def __init__(self, name: str, function: Function, arrays: list[NDArray[Any]]) -> None:
        self._name, self._function, self._arrays = name, function, arrays

    def take(self, units: NDArray[np.intp]) -> "Called":
        """The same over some of the rows."""
        return Called(self._name, self._function, [array[units] for array in self._arrays])

    def __call__(self, weights_ru: NDArray[Any]) -> NDArray[np.float64]:
        """Values (r,) for weights (r, n)."""
        rows = np.arange(weights_ru.shape[1])
        return np.asarray([self._value(np.repeat(rows, weights)) for weights in weights_ru])

    def _value(self, rows: NDArray[np.intp]) -> float:
        try:
            return float(self._function(*[array[rows] for array in self._arrays]))
        except Exception as error:
            raise CandidateError(
                f"expected the metric {self._name!r} to give a number for {len(rows)} rows; it failed with "
                f"{type(error).__name__}: {error}. Return float('nan') where it is undefined."
            ) from error
