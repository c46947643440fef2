"""The chart of quality against price: candidates, the combinations that were tried, and the front."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.report.drawing import NARROW, Chart, Palette, Spec, clean, colour, numeric, said
from bakeoff.report.model import Report
from bakeoff.report.numbers import dollars, number, share
from bakeoff.results.combination import CombinationOutcome

__all__ = ["front"]

LABEL_GAP = 0.09
"""Of the chart's height: labels on one side are moved apart to at least this distance."""
DECADES_WITH_STEPS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marks:
    """What is drawn: candidates, combinations that did not enter, points of cascades' curves, and names."""

    singles: Sequence[Spec]
    others: Sequence[Spec]
    curves: Sequence[Spec]
    labels: Sequence[Spec]


def front(report: Report) -> Chart:
    """Every candidate by price and quality; hollow marks are combinations that did not enter."""
    singles = [_single(report, name) for name in (each.name for each in report.ranked if each.cost_usd_per_1k)]
    tried = [each for each in report.combinations if each.quality and each.cost_usd_per_1k]
    others = [_tried(report, each) for each in tried if not each.entered]
    curves = [row for each in tried if each.curve for row in _curve(report, each)]
    rows = singles + others
    costs = [row["cost"] for row in (*rows, *curves)]
    middle = math.sqrt(max(costs) * min(costs))
    # Room at both sides for names, and never less than a decade.
    room = max(max(costs) / min(costs), 10.0) ** 0.12
    domain = [min(*costs, middle / 10**0.5) / room, max(*costs, middle * 10**0.5) * room]
    labels = [
        label
        for left in (True, False)
        for label in _apart([row for row in singles if (row["cost"] <= middle) == left], rows, left=left)
    ]

    marks = _Marks(singles=singles, others=others, curves=curves, labels=labels)

    def draw(palette: Palette, width: int) -> Spec:
        wide = width > NARROW
        steps = (1, 2, 5) if wide and domain[1] / domain[0] < 10**DECADES_WITH_STEPS else (1,)
        money = {"values": _ticks(domain, steps), "labelExpr": "'$' + format(datum.value, '~r')", "labelOverlap": True}
        title = "price of a million predictions (log scale)"
        x = numeric("cost", title, axis=money, type="log", domain=domain, nice=False)
        layers = _layers(marks, report, palette, x)
        return {
            "height": 320 if wide else 260,
            "layer": [*layers, *_names(marks.labels, palette, x, report.verdict.metric)],
        }

    on = ", ".join(report.verdict.pareto)
    return Chart(
        title="Quality against price" + ("; hollow marks are combinations that did not enter" if others else ""),
        told="; ".join(row["told"] for row in rows) + f". On the front: {on}.",
        draw=draw,
    )


def _single(report: Report, name: str) -> Spec:
    each = next(candidate for candidate in report.ranked if candidate.name == name)
    found = report.scored(each)
    return _row(report, name, each.cost_usd_per_1k or 0.0, found.value) | {
        "low": found.value if found.low is None else found.low,
        "high": found.value if found.high is None else found.high,
        "front": name in report.verdict.pareto,
    }


def _tried(report: Report, each: CombinationOutcome) -> Spec:
    assert each.quality is not None
    return _row(report, each.name, each.cost_usd_per_1k or 0.0, each.quality.value)


def _curve(report: Report, each: CombinationOutcome) -> list[Spec]:
    return [
        _row(report, f"{each.name}, {share(point.share)} passed on", point.cost_usd_per_1k, point.value)
        | {"line": each.name}
        for point in each.curve
    ]


def _row(report: Report, name: str, cost_usd_per_1k: float, value: float) -> Spec:
    told = f"{clean(name)}: {report.verdict.metric} {number(value)} for {dollars(cost_usd_per_1k)} per million"
    return {"name": clean(name, 30), "key": name, "cost": cost_usd_per_1k * 1000, "value": value, "told": told}


def _apart(side: list[Spec], rows: Sequence[Spec], *, left: bool) -> list[Spec]:
    """Names above the intervals on one side, moved up from each other where they would overlap."""
    ends = [row[end] for row in rows for end in ("low", "high", "value") if row.get(end) is not None]
    gap = LABEL_GAP * (max(ends) - min(ends))
    labels: list[Spec] = []
    for row in sorted(side, key=lambda row: row["high"]):
        at = max(row["high"], labels[-1]["at"] + gap) if labels else row["high"]
        labels.append(row | {"at": at, "left": left})
    return labels


def _layers(marks: _Marks, report: Report, palette: Palette, x: Spec) -> list[Spec]:
    metric = report.verdict.metric
    y = numeric("value", metric)
    hue = colour(report, palette) | {"field": "key"}
    dashed = {"type": "line", "interpolate": "step-after", "color": palette.muted, "strokeDash": [5, 4], "aria": False}
    hollow = {"type": "point", "shape": "diamond", "size": 70, "color": palette.muted, "opacity": 1}
    bar = {"type": "rule", "strokeWidth": 3, "opacity": 0.35, "strokeCap": "round", "aria": False}
    thin = {"type": "line", "strokeWidth": 1.5, "color": palette.muted, "opacity": 0.6, "aria": False}
    by_line = {"field": "line", "type": "nominal"}
    return [
        {"data": {"values": marks.curves}, "mark": thin, "encoding": {"x": x, "y": y, "detail": by_line}},
        {"data": {"values": [r for r in marks.singles if r["front"]]}, "mark": dashed, "encoding": {"x": x, "y": y}},
        {
            "data": {"values": marks.singles},
            "mark": bar,
            "encoding": {"x": x, "y": numeric("low", metric), "y2": {"field": "high"}, "color": hue},
        },
        {"data": {"values": marks.others}, "mark": hollow, "encoding": said(x=x, y=y)},
        {
            "data": {"values": marks.singles},
            "mark": {"type": "point", "filled": True, "size": 120, "opacity": 1},
            "encoding": said(x=x, y=y, color=hue),
        },
    ]


def _names(labels: Sequence[Spec], palette: Palette, x: Spec, metric: str) -> list[Spec]:
    """The names, towards the middle."""
    return [
        {
            "data": {"values": [row for row in labels if row["left"] == left]},
            "mark": {"type": "text", "align": align, "dx": dx, "dy": -10, "color": palette.ink, "aria": False},
            "encoding": {"x": x, "y": numeric("at", metric), "text": {"field": "name"}},
        }
        for left, align, dx in ((True, "left", -5), (False, "right", 5))
    ]


def _ticks(domain: Sequence[float], steps: Sequence[int]) -> list[float]:
    """Round numbers on a log scale."""
    powers = range(math.floor(math.log10(domain[0])), math.ceil(math.log10(domain[1])))
    return [step * 10.0**power for power in powers for step in steps if domain[0] <= step * 10.0**power <= domain[1]]
