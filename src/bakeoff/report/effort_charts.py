"""Charts of what effort buys: trials within a budget, and test rows against the differences that they show."""

from collections.abc import Iterator, Sequence

from bakeoff.report.drawing import NARROW, Chart, Palette, Spec, colour, numeric, said
from bakeoff.report.model import Report
from bakeoff.report.numbers import count, duration, number
from bakeoff.results.search import SearchBudget
from bakeoff.results.verdict import Detectable

__all__ = ["power", "trials"]


def trials(report: Report, budget: SearchBudget) -> Chart:
    """Every trial by when it ended and what it reached; lines are the best so far on all training rows."""
    top = len(budget.rungs) - 1
    rows: list[Spec] = [
        {
            "name": each.candidate,
            "at": each.at_s,
            "value": each.value,
            "rows": f"{count(budget.rungs[each.rung].rows)} rows",
            "told": f"{each.candidate}, setting {each.setting}, {count(budget.rungs[each.rung].rows)} rows: "
            f"{budget.metric} {number(each.value)} after {duration(each.at_s)}",
        }
        for each in budget.trials
        if each.value is not None
    ]
    lines = [row for name in dict.fromkeys(row["name"] for row in rows) for row in _best_so_far(report, budget, name)]
    sizes = [f"{count(rung.rows)} rows" for rung in budget.rungs]

    def draw(palette: Palette, width: int) -> Spec:
        x = numeric("at", "seconds of the search", domain=[0, max(budget.used_s, 1.0)])
        y, hue = numeric("value", f"{budget.metric} on validation rows"), colour(report, palette)
        shapes = {"domain": sizes, "range": ["triangle-up", "square", "circle"][-len(sizes) :]}
        legend = {"orient": "top", "title": None, "labelColor": palette.ink, "columns": 1 if width <= NARROW else 3}
        shape = {"field": "rows", "type": "nominal", "scale": shapes, "legend": legend}
        step = {"type": "line", "interpolate": "step-after", "strokeWidth": 2, "aria": False}
        point = {"type": "point", "filled": True, "size": 45, "opacity": 0.75}
        return {
            "height": 280 if width > NARROW else 240,
            "layer": [
                {"data": {"values": lines}, "mark": step, "encoding": {"x": x, "y": y, "color": hue}},
                {"data": {"values": rows}, "mark": point, "encoding": said(x=x, y=y, color=hue, shape=shape)},
            ],
        }

    full = sum(each.rung == top for each in budget.trials)
    told = (
        f"{count(len(budget.trials))} trials in {duration(budget.used_s)}, {count(full)} of them on all training rows"
    )
    return Chart(title="Trials over time; lines are the best so far on all training rows", told=f"{told}.", draw=draw)


def _best_so_far(report: Report, budget: SearchBudget, name: str) -> Iterator[Spec]:
    sign, best = (1 if report.higher_is_better else -1), None
    for each in budget.trials:
        if each.candidate == name and each.rung == len(budget.rungs) - 1 and each.value is not None:
            best = each.value if best is None else sign * max(sign * best, sign * each.value)
            yield {"name": name, "at": each.at_s, "value": best}
    if best is not None:
        yield {"name": name, "at": budget.used_s, "value": best}


def power(curve: Sequence[Detectable], metric: str, rows: int) -> Chart:
    """The least true difference that is found four times in five, by the number of test rows."""
    points: list[Spec] = [
        {
            "rows": each.rows,
            "detectable": each.detectable,
            "now": each.rows == rows,
            "told": f"{count(each.rows)} test rows show a true difference of {number(each.detectable)} in {metric}",
        }
        for each in curve
    ]

    def draw(palette: Palette, width: int) -> Spec:
        counts = {"values": [each.rows for each in curve], "labelOverlap": True, "format": ",d"}
        x = numeric("rows", "test rows (log scale)", axis=counts, type="log", nice=False)
        y = numeric("detectable", f"difference in {metric}", type="log")
        sides = {"domain": [True, False], "range": [palette.series[0], palette.muted]}
        here = {"field": "now", "type": "nominal", "legend": None, "scale": sides}
        point = {"type": "point", "filled": True, "size": 80, "opacity": 1}
        return {
            "height": 200 if width > NARROW else 180,
            "data": {"values": points},
            "layer": [
                {"mark": {"type": "line", "color": palette.muted, "aria": False}, "encoding": {"x": x, "y": y}},
                {"mark": point, "encoding": said(x=x, y=y, color=here)},
            ],
        }

    told = "; ".join(point["told"] for point in points)
    return Chart(title="The least true difference that is found four times in five", told=f"{told}.", draw=draw)
