"""The project's metrics, with the classes that its rows have: `pr_auc` becomes `pr_auc[fraud]`, before any fit."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bakeoff.config.file import FILE_NAME
from bakeoff.config.sections import DecideConfig, Gate
from bakeoff.core.errors import ConfigError, Problem
from bakeoff.core.types import Task
from bakeoff.data.labels import Labels
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, load_arrays, load_table
from bakeoff.metrics.costs import Costs
from bakeoff.metrics.names import MetricName, replace_names
from bakeoff.metrics.positive import Positive, positive_class
from bakeoff.metrics.registry import with_class

__all__ = ["with_classes"]

MOST_SHOWN = 20


def with_classes(stage: Stage, gathered: Gathered) -> Stage:
    """The stage with its positive class, and with metrics named in full: in one way, and with the class they are of.

    Raises:
        ConfigError: a class that is named in `[decide]` is none of the target's; all problems at once.
    """
    task: Task = stage.config.project.task
    decide = stage.config.decide
    if task != "classification":
        naming = _Naming(task=task, labels=Labels(()), classes=(), positive=None)
        return replace(stage, config=stage.config.model_copy(update={"decide": naming.decide(decide)}))
    label_n = load_table(stage.blobs, gathered.table_blob, [gathered.schema.target])[gathered.schema.target]
    labels = Labels(sorted(str(label) for label in label_n.drop_nulls().unique().to_list()), stage.config.data.labels)
    trained_n = label_n[load_arrays(stage.blobs, gathered.rows_blob)["train"]].drop_nulls()
    rows = {str(label): int(count) for label, count in sorted(trained_n.value_counts().iter_rows())}
    naming = _Naming(task=task, labels=labels, classes=tuple(rows), positive=_positive(decide, rows))
    resolved = naming.decide(decide)
    if decide.costs:
        naming.problems += _cost_problems(decide, labels.classes)
    if naming.problems:
        raise ConfigError(tuple(naming.problems))
    config = stage.config.model_copy(update={"decide": resolved})
    positive = None
    if naming.positive is not None:
        positive = Positive(
            name=naming.positive,
            chosen=decide.positive is not None,
            rows=rows.get(naming.positive, 0),
            of=sum(rows.values()),
        )
    return replace(stage, config=config, positive=positive)


def _positive(decide: DecideConfig, rows: Mapping[str, int]) -> str | None:
    return positive_class(rows) if decide.positive is None else decide.positive


def _cost_problems(decide: DecideConfig, classes: tuple[str, ...]) -> tuple[Problem, ...]:
    try:
        Costs(by_class=decide.costs).check(classes, file=FILE_NAME)
    except ConfigError as error:
        return error.problems
    return ()


@dataclass(kw_only=True)
class _Naming:
    """Names metrics in full, and gathers what is wrong with the classes that they name.

    `classes` are those of training rows, `labels` all that there are.
    """

    task: Task
    labels: Labels
    classes: tuple[str, ...]
    positive: str | None

    def __post_init__(self) -> None:
        self.problems: list[Problem] = []
        given = self.positive
        self.positive = None if given is None else self.labels.match(given)
        if given is not None and self.positive is None:
            self.problems.append(self._unknown("decide.positive", given))

    def decide(self, decide: DecideConfig) -> DecideConfig:
        """`[decide]` with names in full."""
        gates: dict[str, Gate] = {}
        for name, gate in decide.gates.items():
            full = self._named(name, f"decide.gates.{name}")
            if full in gates:
                expected = f"one gate on {full}"
                self.problems.append(Problem(file=FILE_NAME, key="decide.gates", expected=expected, found="two"))
            gates[full] = gate
        update = {
            "positive": self.positive,
            "metric": None if decide.metric is None else self._named(decide.metric, "decide.metric"),
            "metrics": tuple(self._named(name, "decide.metrics") for name in decide.metrics),
            "gates": gates,
        }
        if decide.utility is not None:
            update["utility"] = replace_names(decide.utility, lambda name: self._named(str(name), "decide.utility"))
        return decide.model_copy(update=update)

    def _named(self, name: str, key: str) -> str:
        try:
            return with_class(name, self.task, classes=self.classes, positive=self.positive, match=self.labels.match)
        except LookupError:
            self.problems.append(self._unknown(key, MetricName.parse(name).arguments[0]))
        except ValueError as error:
            if not self.problems:  # else it is the positive class that is wrong
                expected, _, found = str(error).removeprefix("expected ").partition(", found ")
                hint = 'Or say [decide] positive = "CLASS".'
                self.problems.append(Problem(file=FILE_NAME, key=key, expected=expected, found=found, hint=hint))
        return name

    def _unknown(self, key: str, name: str) -> Problem:
        every = self.labels.classes
        more = f" and {len(every) - MOST_SHOWN} more" if len(every) > MOST_SHOWN else ""
        expected = f"a class of the target ({', '.join(map(repr, every[:MOST_SHOWN]))}{more})"
        return Problem(file=FILE_NAME, key=key, expected=expected, found=repr(name), hint=self.labels.hint(name))
