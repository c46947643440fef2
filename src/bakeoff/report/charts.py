"""The charts of a report."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bakeoff.report.answer_charts import confusion, reliability, slices
from bakeoff.report.drawing import Chart, Palette, Spec, colour, names, numeric, said, zero
from bakeoff.report.effort_charts import power, trials
from bakeoff.report.explaining import explained_first
from bakeoff.report.explanation_charts import explanation_charts
from bakeoff.report.model import Report
from bakeoff.report.numbers import chance, interval, number, signed
from bakeoff.report.pareto_chart import front

__all__ = ["charts"]


def charts(report: Report) -> Mapping[str, Chart]:
    """All charts for which the report has data, by name."""
    made: dict[str, Chart] = {}
    if report.ranked:
        made["leaderboard"] = _leaderboard(report)
    if any(candidate.cost_usd_per_1k for candidate in report.ranked):
        made["front"] = front(report)
    if report.verdict.comparisons:
        made["differences"] = _differences(report)
    if report.verdict.power_curve:
        made["power"] = power(report.verdict.power_curve, report.verdict.metric, report.dataset.test)
    if report.budget and any(each.value is not None for each in report.budget.trials):
        made["budget"] = trials(report, report.budget)
    if any(candidate.reliability for candidate in report.candidates):
        made["calibration"] = reliability(report)
    card = report.leader.card if report.leader else None
    if card and card.confusion:
        made["confusion"] = confusion(card, report.leader.name if report.leader else "")
    if report.leader and report.leader.slices:
        made["slices"] = slices(report, report.leader)
    explained = explained_first(report)
    if explained is not None:
        made |= explanation_charts(explained, higher_is_better=report.higher_is_better)
    return MappingProxyType(made)


def _whiskers(rows: list[Spec], order: Sequence[str], title: str, hue: Spec, layers: Sequence[Spec] = ()) -> Spec:
    """A row for each name: a point between the ends of its interval."""
    return {
        "height": {"step": 34},
        "data": {"values": rows},
        "layer": [
            *layers,
            {
                "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.45, "strokeCap": "round"},
                "encoding": said(y=names(order), x=numeric("low", title), x2={"field": "high"}, color=hue),
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": said(y=names(order), x=numeric("value", title), color=hue),
            },
        ],
    }


def _leaderboard(report: Report) -> Chart:
    metric = report.verdict.metric
    rows: list[Spec] = [
        {
            "name": each.name,
            "value": (found := report.scored(each)).value,
            "low": found.low,
            "high": found.high,
            "told": f"{each.name}: {metric} {number(found.value)}, 95% interval {interval(found)}",
        }
        for each in report.ranked
    ]
    order = [each.name for each in report.ranked]
    better = "higher" if report.higher_is_better else "lower"
    return Chart(
        title=f"{metric} of each candidate with its 95% interval",
        told="; ".join(row["told"] for row in rows),
        draw=lambda palette, _: _whiskers(rows, order, f"{metric} ({better} is better)", colour(report, palette)),
    )


def _differences(report: Report) -> Chart:
    verdict = report.verdict
    rows: list[Spec] = [
        {
            "name": each.candidate,
            "value": each.difference,
            "low": each.low,
            "high": each.high,
            "told": f"{each.candidate} against {each.versus}: {signed(each.difference)}, 95% interval "
            f"{signed(each.low)} to {signed(each.high)}, p {chance(each.p_holm, sign=True)}",
        }
        for each in sorted(verdict.comparisons, key=lambda each: -each.difference)
    ]
    order = [row["name"] for row in rows]

    def draw(palette: Palette, _: int) -> Spec:
        title = f"advantage in {verdict.metric} (left of 0: worse)"
        return _whiskers(rows, order, title, colour(report, palette), [zero(palette)])

    return Chart(
        title=f"Differences from {verdict.best}, paired on the same rows",
        told="; ".join(row["told"] for row in rows),
        draw=draw,
    )
