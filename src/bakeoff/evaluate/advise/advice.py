"""What to try and why, from what a probe measured: predictions, their ranking, and what would change the mind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from bakeoff.config.sections import DecideConfig, Gate
from bakeoff.evaluate.advise.learning_curves import growth, learning
from bakeoff.evaluate.score.prices import CHEAPER
from bakeoff.metrics.intervals import Interval
from bakeoff.results.search import ProbePoint

__all__ = ["ENOUGH", "Call", "Option", "Outlook", "bounded", "predicted", "ranked"]

Call: TypeAlias = Literal["try first", "try", "leave out", "cannot say"]
ORDER: tuple[Call, ...] = ("try first", "try", "cannot say", "leave out")
ENOUGH = 2
"""Sizes from which a curve can be drawn."""
RULE_OF_THREE = 1.5
"""Of n rows without an error, the share of errors is below 3 / n in 19 of 20 cases: a standard error of half of it."""
FARTHEST = 100
"""How many times more rows are looked ahead for two curves to cross."""
LONGER = "a longer probe ('bakeoff advise --seconds {seconds:.0f}') or a run of it alone"
TIMES_LONGER, LONGEST_S = 4, 3600
"""How much longer the next probe should be than this one; and the longest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a run on all rows is expected to find; `metric` is None when too little could be measured.

    `more` is what twice the rows would add to the metric.
    """

    metric: Interval | None
    more: float
    figures: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A candidate or family that might be tried: what was measured, expected and advised.

    `trouble` is why there are no measurements: an error, or what is missing and how to install it; `late`, that
    the time was too short for any.
    """

    name: str
    family: str
    named: bool
    points: tuple[ProbePoint, ...] = ()
    trouble: str | None = None
    late: bool = False
    outlook: Outlook | None = None
    call: Call = "cannot say"
    reasons: tuple[str, ...] = ()
    evidence: tuple[str, ...] = field(default=())

    def expected(self, metric: str) -> dict[str, Interval]:
        """The metric (where it can be told) and the other quantities that a run is expected to measure."""
        if self.outlook is None:
            return {}
        quality = {} if self.outlook.metric is None else {metric: self.outlook.metric}
        return {**quality, **self.outlook.figures}


def predicted(
    points: Sequence[ProbePoint],
    rows: int,
    *,
    price_per_hour_usd: float,
    higher_is_better: bool,
    best: float | None = None,
    test_rows: int = 0,
) -> Outlook:
    """Extrapolate from samples to `rows` rows.

    `best` is the best value that the metric can have, if there is one; `test_rows` are those that a run measures on.
    """
    sizes = [point.rows for point in points]

    def grown(values: Sequence[float], times: float = 1.0, *, steady: bool = False) -> Interval:
        curve = growth(sizes, values, rows, steady=steady)
        return Interval(value=curve.value * times, low=curve.least * times, high=curve.most * times)

    def held(values: Sequence[float]) -> Interval:
        """Of bytes, of which a part is always there: one sample cannot tell how large that is."""
        if len(values) > 1:
            return grown(values)
        return Interval(value=values[0], low=values[0], high=values[0] * max(1.0, rows / sizes[0]))

    figures = {
        "train_s": grown([point.train_s for point in points]),
        "latency_p50_ms": grown([point.latency_p50_ms for point in points], steady=True),
        "latency_p95_ms": grown([point.latency_p95_ms for point in points], steady=True),
        "cost_usd_per_1k": grown([each.row_s for each in points], price_per_hour_usd / 3600 * 1000, steady=True),
        "size_bytes": held([point.size_bytes for point in points]),
        "memory_bytes": held([point.memory_bytes for point in points]),
    }
    known = [(point.rows, point.value, point.se) for point in points if point.value is not None]
    if len(known) < ENOUGH:
        return Outlook(metric=None, more=0.0, figures=figures)
    scored, error = min(point.scored for point in points), known[-1][2]
    there = error * (scored / test_rows) ** 0.5 if scored and test_rows else 0.0
    if best is not None and higher_is_better:  # all of a few rows right, or alike in all samples, is no certainty
        error, there = (max(se, RULE_OF_THREE / n) if n else se for se, n in ((error, scored), (there, test_rows)))
    metric, more = learning(
        [n for n, _, _ in known],
        [v for _, v, _ in known],
        error,
        rows,
        higher_is_better=higher_is_better,
        se_there=there,
    )
    if best is not None:
        metric = bounded(metric, best, higher_is_better=higher_is_better)
    return Outlook(metric=metric, more=more, figures=figures)


def bounded(metric: Interval, best: float, *, higher_is_better: bool) -> Interval:
    """A value that lies beyond the best that there is, moved back with its interval."""
    if higher_is_better:
        over = max(0.0, metric.value - best)
        return Interval(value=metric.value - over, low=metric.least - over, high=min(metric.most, best))
    over = max(0.0, best - metric.value)
    return Interval(value=metric.value + over, low=max(metric.least, best), high=metric.most + over)


def ranked(
    options: Sequence[Option],
    *,
    metric: str,
    higher_is_better: bool,
    decide: DecideConfig,
    memory_bytes: int,
    rows: int,
    probe_s: float = 20.0,
) -> list[Option]:
    """The options in the order in which to try them, each with the call, why, and what would change it."""
    sign = 1.0 if higher_is_better else -1.0
    limits = {"memory_bytes": Gate(max=memory_bytes), **decide.gates}
    barred = {each.name: _barred(each, limits, metric) for each in options}
    fit = [each for each in options if each.outlook and each.outlook.metric and not barred[each.name]]
    leader = max(fit, key=lambda each: sign * _metric(each).value, default=None)
    longer = LONGER.format(seconds=min(LONGEST_S, TIMES_LONGER * max(probe_s, 20.0)))
    judge = _Judge(metric=metric, sign=sign, leader=leader, rows=rows, limits=limits, longer=longer)
    called = [judge.call(each, barred[each.name]) for each in options]

    def place(each: Option) -> tuple[int, float]:
        known = each.outlook.metric if each.outlook else None
        return ORDER.index(each.call), -sign * known.value if known else 0.0

    return sorted(called, key=place)


def _metric(option: Option) -> Interval:
    assert option.outlook is not None
    assert option.outlook.metric is not None
    return option.outlook.metric


def _expected(option: Option, name: str, metric: str) -> Interval | None:
    if option.outlook is None:
        return None
    return option.outlook.metric if name == metric else option.outlook.figures.get(name)


def _barred(option: Option, limits: Mapping[str, Gate], metric: str) -> list[str]:
    """Limits that the whole interval lies beyond."""
    reasons: list[str] = []
    for name, gate in limits.items():
        expected = _expected(option, name, metric)
        if expected is None:
            continue
        if gate.max is not None and expected.least > gate.max:
            reasons.append(f"its {name} is expected to be {_told(expected)}, and at most {gate.max:g} is allowed")
        elif gate.min is not None and expected.most < gate.min:
            reasons.append(f"its {name} is expected to be {_told(expected)}, and at least {gate.min:g} is asked for")
    return reasons


def _told(interval: Interval) -> str:
    return f"{interval.value:.4g} {interval.ends('.4g')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """Calls each option beside the leader, the best of those that no limit bars."""

    metric: str
    sign: float
    leader: Option | None
    rows: int
    limits: Mapping[str, Gate]
    longer: str

    def call(self, option: Option, barred: Sequence[str]) -> Option:
        """The option with its call, reasons and evidence."""
        if option.outlook is None:
            late = option.late or option.trouble is None
            why = option.trouble or "nothing was measured in the time given"
            evidence = self.longer if late else "that, mended; then it is probed anew"
            return replace(option, call="cannot say", reasons=(why,), evidence=(evidence,))
        if barred:
            evidence = ("a run in which it keeps the limit, or a wider limit",)
            return replace(option, call="leave out", reasons=tuple(barred), evidence=evidence)
        if option.outlook.metric is None:
            why = f"one sample was all there was time for, so {self.metric} at {self.rows:,} rows is not known"
            return replace(option, call="cannot say", reasons=(why,), evidence=(self.longer,))
        if self.leader is None or option.name == self.leader.name:
            return self._first(option)
        return self._beside(option, self.leader)

    def _first(self, option: Option) -> Option:
        found = _metric(option)
        told = (
            f"the highest {self.metric} is expected of it: {_told(found)}"
            if self.sign > 0
            else (f"the lowest {self.metric} is expected of it: {_told(found)}")
        )
        bound = found.most if self.sign > 0 else found.least
        evidence = f"another candidate measured beyond {bound:.4g}, or this one measured outside its interval"
        return replace(option, call="try first", reasons=(told, *self._close(option)), evidence=(evidence,))

    def _beside(self, option: Option, leader: Option) -> Option:
        ours, best = _metric(option), _metric(leader)
        behind = ours.most < best.least if self.sign > 0 else ours.least > best.most
        crossing = self._crossing(option, leader)
        if behind:
            why = f"its {self.metric} is expected to be {_told(ours)}, behind {leader.name}'s {_told(best)}"
            bound = best.least if self.sign > 0 else best.most
            evidence = [f"{self.metric} beyond {bound:.4g} on {self.rows:,} rows", *crossing]
            return replace(option, call="leave out", reasons=(why,), evidence=tuple(evidence))
        reasons = [f"its {self.metric} may be as good as {leader.name}'s: {_told(ours)} beside {_told(best)}"]
        price, theirs = self._price(option), self._price(leader)
        if price * CHEAPER <= theirs:
            reasons.append(f"it is expected to be {theirs / price:.1f} times cheaper to serve")
        evidence = [f"a run: the two intervals overlap, so {len(option.points)} small samples cannot tell", *crossing]
        return replace(option, call="try", reasons=(*reasons, *self._close(option)), evidence=tuple(evidence))

    def _price(self, option: Option) -> float:
        assert option.outlook is not None
        return option.outlook.figures["cost_usd_per_1k"].value

    def _close(self, option: Option) -> list[str]:
        """Limits that lie within an interval."""
        asked = [
            (name, limit, _expected(option, name, self.metric))
            for name, gate in self.limits.items()
            for limit in (gate.min, gate.max)
            if limit is not None
        ]
        return [
            f"whether it keeps the limit {limit:g} of {name} is open: {_told(found)}"
            for name, limit, found in asked
            if found is not None and found.least <= limit <= found.most
        ]

    def _crossing(self, option: Option, leader: Option) -> list[str]:
        """From how many rows on it would overtake the leader, if both went on as they are expected to."""
        assert option.outlook is not None
        assert leader.outlook is not None
        gap = self.sign * (_metric(leader).value - _metric(option).value)
        closing = self.sign * (option.outlook.more - leader.outlook.more)
        times = 2 ** (gap / closing) if closing > 0 and gap < closing * 20 else FARTHEST + 1
        if gap <= 0 or times > FARTHEST:
            return []
        return [f"about {times * self.rows:,.0f} training rows, where its curve would meet {leader.name}'s"]
