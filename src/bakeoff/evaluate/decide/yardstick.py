"""How the winner stands to the best baseline: whoever is not better than a rule that needs no model does not win.

1. The bar is the best of the baselines that cost nothing (constants, and the rules of time whose truth is known in
   time), by its measured value of the deciding metric.
2. A candidate that measures no better than the bar cannot win. Nor can a winner whose value is no better once what its
   choice flatters it by is taken off. (Where the bar is the best that the metric can be, it is enough to be as good.)
3. A baseline that keeps all training rows (the nearest text) is no cheaper than a model, and cannot be released: beside
   it nobody wins who is distinguishably worse.
4. One that wins, but is not distinguishably better than the best of all these (the interval of the difference, with
   room for the choice among candidates and for all baselines, holds zero), does so with a warning.
5. Baselines that need truth which may come too late only warn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bakeoff.core.types import Predictions
from bakeoff.evaluate.decide import reasons
from bakeoff.metrics.intervals import LEVEL
from bakeoff.metrics.measure import Measure
from bakeoff.results.baseline import Baseline, Stops
from bakeoff.results.verdict import Comparison, Yardstick

if TYPE_CHECKING:
    from bakeoff.evaluate.decide.differences import Field

__all__ = ["Baselines", "Hurdle", "beats", "improvement"]

ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """All baselines of the test rows, and what each answers there, by name; or the `error` that kept them out.

    `outcomes_blob` is the table of these answers.
    """

    listed: tuple[Baseline, ...] = ()
    predictions: Mapping[str, Predictions] = field(default_factory=dict[str, Predictions])
    error: str | None = None
    outcomes_blob: str | None = None


class Hurdle:
    """The best baseline by one metric, and which candidates may win beside all of them.

    Args:
        baselines: all of them; those without a value of the metric are left out.
        measure: the deciding metric.
        field_of: puts a candidate beside rules with these predictions, on the same rows, with intervals of a level.
    """

    def __init__(
        self,
        baselines: Baselines,
        measure: Measure,
        field_of: Callable[[str, Mapping[str, Predictions], float], "Field"],
    ) -> None:
        self._measure, self._field_of = measure, field_of
        self._sign = 1.0 if measure.higher_is_better else -1.0
        self._scored = {each.name: each for each in baselines.listed if measure.name in each.metrics}
        self._predictions = {name: baselines.predictions[name] for name in self._scored}
        self._bar = self._best("equal")
        self.best = self._best("equal", "worse")

    def _best(self, *stops: Stops) -> Baseline | None:
        listed = [each for each in self._scored.values() if each.stops in stops]
        return max(listed, key=lambda each: self._sign * self._value(each), default=None)

    def _value(self, baseline: Baseline) -> float:
        return baseline.metrics[self._measure.name].value

    def passed_by(self, value: float) -> bool:
        """Whether a candidate of this value may win: better than the best baseline that costs nothing."""
        return self._bar is None or beats(self._measure, value, self._value(self._bar))

    def _passed(self, measured: float, corrected: float, pairs: Sequence[Comparison]) -> bool:
        """Whether a winner may win, by its measured value, the one corrected for its choice, and its differences."""
        clearly = [each.versus for each in pairs if each.high < 0 and self._scored[each.versus].stops == "worse"]
        return (
            not clearly
            and self.passed_by(measured)
            and (_is_most(self._measure, measured) or self.passed_by(corrected))
        )

    def compared(self, candidate: str, *, among: int) -> tuple[Comparison, ...]:
        """How much better a candidate, chosen `among` so many, is than each baseline: intervals that hold all at once.

        The interval is as much wider as it must be for a choice on these rows.
        """
        if not self._scored:
            return ()
        field = self._field_of(candidate, self._predictions, 1 - (1 - LEVEL) / max(1, among))
        pairs = field.together([(candidate, name) for name in self._scored])
        return tuple(replace(each, p_holm=min(1.0, each.p_holm * max(1, among))) for each in pairs)

    def yardstick(
        self, candidate: str, *, measured: float, corrected: float, pairs: Sequence[Comparison]
    ) -> Yardstick | None:
        """How a candidate stands to the best baseline; None where none that may stop it has a value."""
        if self.best is None:
            return None
        (comparison,) = (each for each in pairs if each.versus == self.best.name)
        values = {name: self._sign * (self._value(each) - corrected) for name, each in self._scored.items()}
        ahead = [each for name, each in self._scored.items() if each.stops == "none" and values[name] > 0]
        made = Yardstick(
            baseline=self.best.name,
            rule=self.best.rule,
            needs=self.best.needs,
            candidate=candidate,
            value=self._value(self.best),
            candidate_value=corrected,
            passed=self._passed(measured, corrected, pairs),
            distinct=comparison.low > 0,
            comparison=comparison,
            improvement=improvement(self._measure, corrected, self._value(self.best)),
            ahead=tuple(each.name for each in ahead),
        )
        sooner = [(each, self._value(each)) for each in ahead]
        return replace(made, warning=reasons.beside_baseline(made, self._measure.name, sooner))


def beats(measure: Measure, value: float, bar: float) -> bool:
    """Whether a value is better than that of a baseline that costs nothing, by more than rounding.

    The best that the metric can be is always enough.
    """
    sign = 1.0 if measure.higher_is_better else -1.0
    return _is_most(measure, value) or sign * (value - bar) > ROUNDING * max(1.0, abs(bar))


def _is_most(measure: Measure, value: float) -> bool:
    """Whether it is the best value that the metric can have."""
    most = measure.bounds[1] if measure.higher_is_better else measure.bounds[0]
    return abs(value - most) <= ROUNDING * max(1.0, abs(most))


def improvement(measure: Measure, value: float, baseline: float) -> float | None:
    """The share of the baseline's error (its distance from the best that the metric can be) that is gone.

    None where the metric has no such end, or the baseline is there already.
    """
    low, high = measure.bounds
    most = high if measure.higher_is_better else low
    lacking = abs(most - baseline)
    if not lacking or lacking == float("inf"):
        return None
    return 1 - abs(most - value) / lacking
