"""The chart of a replay: the quality of each policy over time."""

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.report.drawing import NARROW, Chart, Palette, Spec, numeric
from bakeoff.report.numbers import number

__all__ = ["PolicyPoint", "quality_over_time"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPoint:
    """How good what a policy served was in a period, with its 95% interval."""

    policy: str
    period: str
    value: float
    low: float
    high: float


def quality_over_time(points: Sequence[PolicyPoint], *, metric: str) -> Chart:
    """A line for each policy; bars are 95% intervals, side by side so that all are seen."""
    policies = list(dict.fromkeys(each.policy for each in points))
    periods = list(dict.fromkeys(each.period for each in points))
    rows: list[Spec] = [
        {
            "policy": each.policy,
            "period": each.period,
            "value": each.value,
            "low": each.low,
            "high": each.high,
            "told": f"{each.policy}, {each.period}: {metric} {number(each.value)} "
            f"[{number(each.low)}, {number(each.high)}]",
        }
        for each in points
    ]

    def draw(palette: Palette, width: int) -> Spec:
        x: Spec = {"field": "period", "type": "ordinal", "sort": periods, "title": None, "axis": {"labelAngle": 0}}
        x["scale"] = {"paddingInner": 0.65, "paddingOuter": 0.3}
        beside = {"field": "policy", "type": "nominal", "sort": policies}
        hue = {
            "field": "policy",
            "type": "nominal",
            "scale": {"domain": policies, "range": list(palette.series[: len(policies)])},
            "legend": {"orient": "top", "title": None, "labelColor": palette.ink},
        }
        y = numeric("value", metric)
        y["scale"] = {"zero": False}
        place = {"x": x, "xOffset": beside, "color": hue}
        described = {"description": {"field": "told", "type": "nominal"}}
        return {
            "height": 300 if width > NARROW else 240,
            "data": {"values": rows},
            "layer": [
                {
                    "mark": {"type": "line", "strokeWidth": 2, "opacity": 0.55, "aria": False},
                    "encoding": {**place, "y": y},
                },
                {
                    "mark": {"type": "rule", "strokeWidth": 1.5, "opacity": 0.6, "aria": False},
                    "encoding": {**place, "y": {"field": "low", "type": "quantitative"}, "y2": {"field": "high"}},
                },
                {"mark": {"type": "point", "filled": True, "size": 55}, "encoding": {**place, "y": y, **described}},
            ],
        }

    best = {name: [each.value for each in points if each.policy == name] for name in policies}
    sentence = ", ".join(f"{name} {number(sum(values) / len(values))}" for name, values in best.items())
    return Chart(title=f"{metric} over time by policy, with 95% intervals", told=f"Means: {sentence}.", draw=draw)
