"""Whether what the section [decide] names exists: seen before anything is trained."""

from bakeoff.config.file import FILE_NAME
from bakeoff.config.sections import DecideConfig
from bakeoff.core.errors import ConfigError, Problem
from bakeoff.core.types import Task
from bakeoff.evaluate.decide.utility import Utility
from bakeoff.metrics.custom import using
from bakeoff.metrics.registry import problem_with
from bakeoff.results.scorecard import MEASUREMENTS

__all__ = ["check_gates"]


def check_gates(config: DecideConfig, task: Task, *, file: str = FILE_NAME) -> None:
    """See that the metric, all gates and what the utility is made of exist, before anything is trained.

    Raises:
        ConfigError: all unknown names at once, with suggestions.
    """
    asked: list[tuple[str, str]] = [("decide.metric", config.metric)] if config.metric is not None else []
    asked += [("decide.metrics", name) for name in config.metrics]
    asked += [(f"decide.gates.{name}", name) for name in config.gates]
    wrong: list[Problem] = []
    if config.utility is not None:
        try:
            names = Utility(config.utility).names
        except ValueError as error:
            expected, _, found = str(error).removeprefix("expected ").partition(", found ")
            wrong.append(Problem(file=file, key="decide.utility", expected=expected, found=found))
        else:
            asked += [("decide.utility", name) for name in names]
    with using(None, config.costs):
        for key, name in asked:
            more = () if key in {"decide.metric", "decide.metrics"} else MEASUREMENTS
            problem = problem_with(name, task, file=file, key=key, more=more)
            wrong += [] if problem is None else [problem]
    wrong += [
        Problem(
            file=file,
            key=f"decide.gates.{name}.confidence",
            expected="none: a measurement has no interval",
            found=repr(gate.confidence),
        )
        for name, gate in config.gates.items()
        if gate.confidence is not None and name in MEASUREMENTS
    ]
    if wrong:
        raise ConfigError(tuple(wrong))
