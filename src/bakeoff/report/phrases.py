"""What the page and the Markdown say alike."""

from statistics import stdev

from bakeoff.report.model import Report
from bakeoff.report.numbers import count, interval, limits, number, part, signed
from bakeoff.results.baseline import Baseline
from bakeoff.results.data import Dataset
from bakeoff.results.verdict import GateOutcome

__all__ = ["baseline_row", "by_fold", "gates", "headline", "sides"]


def headline(report: Report) -> str:
    """The verdict in a few words."""
    verdict = report.verdict
    if verdict.winner is None:
        if verdict.yardstick is not None and not verdict.yardstick.passed:
            return f"Nobody wins: no model beats the baseline {verdict.yardstick.baseline!r}"
        return "Nobody wins" + (f"; {verdict.best} leads" if verdict.best else "")
    found = report.leader.metrics.get(verdict.metric) if report.leader else None
    return f"{verdict.winner} wins" + (f" with {verdict.metric} {number(found.value)}" if found else "")


def baseline_row(baseline: Baseline, metric: str) -> list[str]:
    """A baseline in cells: name, value, interval, how much better the winner is, and what it answers."""
    scored, each = baseline.metrics.get(metric), baseline.comparison
    needs = f"; needs {baseline.needs}" if baseline.needs else ""
    counts = "" if baseline.stops != "none" else ", which may come too late: it stops nobody"
    without = f"; of {part(baseline.fallback)} of the rows it knows nothing" if baseline.fallback else ""
    return [
        baseline.name,
        "undefined" if scored is None else number(scored.value),
        "" if scored is None else interval(scored),
        "" if each is None else f"{signed(each.difference)} ({signed(each.low)} to {signed(each.high)})",
        f"{baseline.rule}{needs}{counts}{without}",
    ]


def gates(report: Report) -> list[tuple[str, dict[str, GateOutcome]]]:
    """The gates as a table: each limit with its outcome by candidate."""
    found: dict[str, dict[str, GateOutcome]] = {}
    for gate in report.verdict.gates:
        found.setdefault(f"{gate.metric} {limits(gate.min, gate.max)}", {})[gate.candidate] = gate
    return list(found.items())


def sides(data: Dataset) -> str:
    """How many rows are on which side of the split."""
    if data.folds:
        often = (
            f"{data.repeats} times, each time in {data.folds} other" if data.repeats > 1 else f"once, in {data.folds}"
        )
        return f"every row tested {often} folds (split: {data.split})"
    return (
        f"{count(data.train)} train, {count(data.validation)} validation, {count(data.test)} test (split: {data.split})"
    )


def by_fold(report: Report) -> list[tuple[str, tuple[float | None, ...], float | None]]:
    """Each candidate's values of the metric on the folds, and their standard deviation."""
    found: list[tuple[str, tuple[float | None, ...], float | None]] = []
    for each in report.ranked:
        values = (each.fold_metrics or {}).get(report.verdict.metric, ())
        known = [value for value in values if value is not None]
        if values:
            found.append((each.name, values, stdev(known) if len(known) > 1 else None))
    return found
