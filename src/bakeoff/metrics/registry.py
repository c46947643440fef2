"""Measures by name: built-in ones, third parties', and those of the project's own file.

A name may have arguments in brackets, as `recall[fraud]` or `top_k[3]`; see `bakeoff.metrics.names`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache

from bakeoff.core.errors import ConfigError, NotFoundError, Problem
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Task
from bakeoff.metrics.catalogue import DEFINITIONS, EXPECTED_COST
from bakeoff.metrics.custom import costs_in_use, own
from bakeoff.metrics.definition import Arguments, Definition
from bakeoff.metrics.measure import Measure, Need, Statistic, Sums
from bakeoff.metrics.names import MetricName
from bakeoff.metrics.outcome import Outcome
from bakeoff.metrics.positive import BINARY

__all__ = [
    "Measure",
    "Need",
    "Statistic",
    "Sums",
    "bind",
    "default",
    "definitions",
    "find",
    "is_higher_better",
    "listed",
    "measures",
    "problem_with",
    "with_class",
]

COSTS_HINT = "Say what errors cost in [decide.costs]."


def definitions(task: Task) -> Mapping[str, Definition]:
    """The built-in metrics of a task by name, the default first; expected_cost only where errors have costs."""
    every = DEFINITIONS[task]
    if costs_in_use() is not None or EXPECTED_COST not in every:
        return every
    return {name: each for name, each in every.items() if name != EXPECTED_COST}


def measures(task: Task) -> Mapping[str, Measure]:
    """Measures of a task that need no argument, by name, the default first: built-in ones and one's own.

    Raises:
        ConfigError: a metric of one's own has the name of a built-in one.
    """
    more = own(task)
    for name in DEFINITIONS[task].keys() & more.keys():
        expected = f"a name that no built-in metric has ({', '.join(DEFINITIONS[task])})"
        raise ConfigError((Problem(file="bakeoff.metrics", key=name, expected=expected, found=repr(name)),))
    return {name: _plain(name, task) for name, each in definitions(task).items() if each.alone} | more


def _plain(name: str, task: Task) -> Measure:
    """The measure without arguments; that of costs is of those that are in use."""
    return DEFINITIONS[task][name].measure(Arguments()) if name == EXPECTED_COST else _lasting(name, task)


@cache
def _lasting(name: str, task: Task) -> Measure:
    """Made once: measures are looked for hundreds of times in a run."""
    return DEFINITIONS[task][name].measure(Arguments())


def listed(task: Task, outcome: Outcome, wanted: Sequence[str] = ()) -> list[Measure]:
    """The measures that a scorecard holds: those of the task, and the `wanted` ones, all that fit the outcome.

    Measures of one class are named by it: those of the positive class when there are two, or when the outcome names
    one of more.
    """
    built_in = definitions(task)
    names = [name for each in built_in.values() if each.listed for name in _names(each, outcome)]
    names += [name for name in measures(task) if name not in built_in]
    every = {measure.name: measure for measure in (find(name, task) for name in (*names, *wanted))}
    return [measure for measure in every.values() if measure.fits(outcome)]


def _names(definition: Definition, outcome: Outcome) -> tuple[str, ...]:
    """What a metric without arguments is called in a scorecard."""
    if not definition.one_class:
        return (definition.name,)
    positive = outcome.positive
    of_class = () if positive is None else (str(MetricName(base=definition.name, arguments=(positive,))),)
    return (definition.name, *of_class) if definition.macro and len(outcome.classes) != BINARY else of_class


def with_class(
    name: str,
    task: Task,
    *,
    classes: Sequence[str],
    positive: str | None,
    match: Callable[[str], str | None] | None = None,
) -> str:
    """A known metric's name in full: with the class that it is of, if it is of one. Other names stay as they are.

    `match` gives the class that a name means, or None; left out, it is one of `classes`.

    Raises:
        ValueError: no class is named where one must be.
        LookupError: there is no class that the name in brackets means.

    >>> with_class("pr_auc", "classification", classes=("fraud", "legit"), positive="fraud")
    'pr_auc[fraud]'
    """
    base = name.partition("[")[0].strip()
    definition = definitions(task).get(base)
    if definition is None or name in own(task):
        return name
    arguments = definition.arguments(MetricName.parse(name))
    if not definition.one_class:
        return definition.measure(arguments).name
    of_class = arguments.of_class
    if of_class is None and (positive is None or len(classes) > BINARY):
        if definition.macro:
            return name
        if positive is None:
            raise ValueError(f"expected a class, as in {definition.form}, found {name!r}")
    if of_class is None:
        return definition.measure(replace(arguments, of_class=positive)).name
    known = match(of_class) if match is not None else of_class if of_class in classes else None
    if known is None:
        raise LookupError(of_class)
    return definition.measure(replace(arguments, of_class=known)).name


def default(task: Task) -> str:
    """The measure that decides when the project names none: f1_macro, or rmse for regression.

    >>> default("regression")
    'rmse'
    """
    return next(iter(DEFINITIONS[task]))


def find(name: str, task: Task) -> Measure:
    """The measure of that name; its own name is written in one way (`recall[ fraud ]` becomes `recall[fraud]`).

    Raises:
        NotFoundError: the task has none of that name, or not with such arguments; the closest one is suggested.
    """
    more = own(task)
    if name in more and name not in DEFINITIONS[task]:
        return more[name]
    definition = definitions(task).get(name)
    if definition is not None and definition.alone and name not in more:
        return definition.measure(Arguments())
    problem = problem_with(name, task)
    if problem is not None:
        raise NotFoundError(f"expected {problem.expected}; received {name!r}. {problem.hint}".rstrip())
    parsed = MetricName.parse(name)
    definition = definitions(task)[parsed.base]
    return definition.measure(definition.arguments(parsed))


def problem_with(name: str, task: Task, *, file: str = "", key: str = "", more: Sequence[str] = ()) -> Problem | None:
    """What is wrong with the name of a metric, or None; `more` are other names that are known in its place.

    Whether there is such a class is known once there are rows.
    """
    known = measures(task)
    if name in known or name in more:
        return None
    built_in = definitions(task)
    expected, hint = f"a metric for {task}" + (" or a measurement" if more else ""), ""
    base, bracket, _ = name.partition("[")
    if bracket or name in built_in:
        try:
            parsed = MetricName.parse(name)
            if parsed.base in built_in:
                built_in[parsed.base].arguments(parsed)
                return None
        except ValueError as error:
            expected, _, found = str(error).removeprefix("expected ").partition(", found ")
            hint = f"Found {found}."
    if name == EXPECTED_COST and task == "classification":
        hint = COSTS_HINT
    if not hint:
        takes = [each.name for each in built_in.values() if each.one_class or each.number]
        hint = suggestion(base.strip(), takes if bracket else [*built_in, *known, *more])
    forms = [each.form for each in built_in.values()] + [each for each in known if each not in built_in] + list(more)
    return Problem(
        file=file, key=key, expected=expected, found=repr(name), hint=hint or f"Known here: {', '.join(forms)}."
    )


def is_higher_better(name: str, task: Task) -> bool | None:
    """Which way a metric runs, also one that is not in use any more; None when nothing is known of it."""
    definition = DEFINITIONS[task].get(name.partition("[")[0])
    if definition is not None:
        return definition.higher_is_better
    known = own(task)
    return known[name].higher_is_better if name in known else None


def bind(wanted: Sequence[Measure], outcome: Outcome) -> dict[str, Statistic]:
    """Statistics of an outcome by name; measures with the same `gather` share one sums object."""
    shared: dict[Callable[[Outcome], Sums], Sums] = {}
    for measure in wanted:
        if measure.gather not in shared:
            shared[measure.gather] = measure.gather(outcome)
    return {m.name: Statistic(sums=shared[m.gather], finish=m.finish) for m in wanted}
