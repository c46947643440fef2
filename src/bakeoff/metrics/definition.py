"""The definition of a metric: what it is, and the measure that it makes of the arguments in its name's brackets."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.types import Task
from bakeoff.metrics.measure import Measure, Need, Sums
from bakeoff.metrics.names import MetricName
from bakeoff.metrics.outcome import Outcome

__all__ = ["Arguments", "Bound", "Definition", "Number"]

Finish: TypeAlias = Callable[[Any], NDArray[np.float64]]
Number: TypeAlias = Literal["share", "rank"]
"""What the number in a name's brackets is: a share between 0 and 1, or a place from 1 on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """What stands in the brackets of a metric's name."""

    of_class: str | None = None
    number: float | None = None

    def shown(self) -> tuple[str, ...]:
        """As they are written in the name."""
        shown = [] if self.number is None else [str(self.number if self.number % 1 else int(self.number))]
        return tuple(shown if self.of_class is None else [self.of_class, *shown])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How a measure is worked out, once its arguments are known."""

    gather: Callable[[Outcome], Sums]
    finish: Finish
    parts: Finish | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A metric that can be named in a project file.

    Attributes:
        name: The name without brackets.
        task: The task that it belongs to.
        higher_is_better: Which way is better.
        needs: What predictions must have.
        about: What it is, in a sentence.
        bind: How it is worked out with given arguments.
        source: Where it comes from.
        bounds: The least and the greatest value.
        one_class: Whether it is of one class, which its first argument names; without, of the positive one.
        macro: Whether it is, without a class, the plain mean over classes when these are more than two.
        number: What its number is, if it takes one.
        optional: Whether the number may be left out.
        listed: Whether scorecards hold it unasked.
        share: See `Measure`.
    """

    name: str
    task: Task
    higher_is_better: bool
    needs: Need
    about: str
    bind: Callable[[Arguments], Bound]
    source: str = ""
    bounds: tuple[float, float] = (0.0, 1.0)
    one_class: bool = False
    macro: bool = False
    number: Number | None = None
    optional: bool = False
    listed: bool = True
    share: bool = False

    @property
    def form(self) -> str:
        """How it is written, as in `precision_at_recall[class, 0.8]`."""
        number = {"share": "0.8", "rank": "3", None: ""}[self.number]
        arguments = [each for each in ("class" if self.one_class else "", number) if each]
        return f"{self.name}[{', '.join(arguments)}]" if arguments else self.name

    @property
    def alone(self) -> bool:
        """Whether its name can do without brackets."""
        return self.number is None or self.optional

    def arguments(self, name: MetricName) -> Arguments:
        """What a name's brackets say.

        Raises:
            ValueError: they hold too many, too few or other things; the message says what was expected.
        """
        given = list(name.arguments)
        most = int(self.one_class) + int(self.number is not None)
        needs_number = self.number is not None and not self.optional
        if len(given) > most or (needs_number and not given):
            raise ValueError(f"expected {self.form}, found {str(name)!r}")
        number = None
        if self.number is not None and given and (len(given) == most or needs_number):
            number = self._number(given.pop(), name)
        return Arguments(of_class=given[0] if given else None, number=number)

    def _number(self, text: str, name: MetricName) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        fits = 0 < number <= 1 if self.number == "share" else number >= 1 and number % 1 == 0
        if self.number == "share" and self.task == "regression":
            fits = 0 < number < 1
        if not fits:
            what = "a number between 0 and 1" if self.number == "share" else "a whole number from 1 on"
            raise ValueError(f"expected {what} as in {self.form}, found {text!r} in {str(name)!r}")
        return number

    def measure(self, arguments: Arguments) -> Measure:
        """The measure with these arguments."""
        bound = self.bind(arguments)
        return Measure(
            name=str(MetricName(base=self.name, arguments=arguments.shown())),
            task=self.task,
            higher_is_better=self.higher_is_better,
            needs=self.needs,
            gather=bound.gather,
            finish=bound.finish,
            share=self.share,
            parts=bound.parts,
            bounds=self.bounds,
        )
