"""Charts of the candidates' answers: reliability, and the confusion matrix of many classes."""

import json
from collections.abc import Callable, Sequence

from bakeoff.report.drawing import NARROW, Chart, Palette, Spec, clean, colour, numeric, said
from bakeoff.report.model import ReliabilityBin, Report, ReportedCandidate
from bakeoff.report.numbers import count, cut, interval, number, share
from bakeoff.results.scorecard import Scorecard

__all__ = ["FEW_CLASSES", "confusion", "reliability", "slices"]

FEW_CLASSES = 12
"""Up to so many classes a confusion matrix is a table with numbers; above, a drawing."""
MOST_SLICES = 15


def reliability(report: Report) -> Chart:
    """What was predicted against what was observed, by tenths of the rows; a line for each candidate."""
    shares = report.task == "classification"
    form = share if shares else number
    rows: list[Spec] = [
        {"name": each.name, **_bin(each.name, bin_, form)} for each in report.candidates for bin_ in each.reliability
    ]
    ends = [row[key] for row in rows for key in ("predicted", "observed")]
    domain = [min(ends), 1.0 if shares else max(ends)]
    axis = {"format": "%"} if shares else {}
    x_title, y_title = (
        ("confidence", "share of right answers") if shares else ("predicted (mean of a tenth)", "true mean")
    )

    def draw(palette: Palette, width: int) -> Spec:
        x = numeric("predicted", x_title, axis=axis, domain=domain)
        y, hue = numeric("observed", y_title, axis=axis), colour(report, palette)
        shown = [each.name for each in report.candidates if each.reliability]
        legend = {
            "orient": "top",
            "title": None,
            "labelLimit": 0,
            "columns": 1 if width <= NARROW else 3,
            "values": shown,
        }
        legend |= {"labelColor": palette.ink, "labelFontSize": 12, "symbolType": "circle", "symbolOpacity": 1}
        named = {**hue, "legend": legend if len(shown) > 1 else None}
        diagonal = [{"predicted": end, "observed": end} for end in domain]
        return {
            "height": 300 if width > NARROW else 260,
            "layer": [
                {
                    "data": {"values": diagonal},
                    "mark": {"type": "line", "color": palette.muted, "strokeDash": [4, 3], "aria": False},
                    "encoding": {"x": x, "y": y},
                },
                {
                    "data": {"values": rows},
                    "mark": {"type": "rule", "opacity": 0.35, "strokeWidth": 2, "aria": False},
                    "encoding": {"x": x, "y": numeric("low", y_title), "y2": {"field": "high"}, "color": named},
                },
                {
                    "data": {"values": rows},
                    "mark": {"type": "line", "strokeWidth": 2, "aria": False},
                    "encoding": {"x": x, "y": y, "color": named},
                },
                {
                    "data": {"values": rows},
                    "mark": {"type": "point", "filled": True, "size": 50, "opacity": 1},
                    "encoding": said(x=x, y=y, color=named),
                },
            ],
        }

    told = [f"{each.name} {_gap(each.reliability, form)}" for each in report.candidates if each.reliability]
    title = "Calibration" if shares else "Predicted against true values"
    line = "On the dashed line confidence and truth agree" if shares else "On the dashed line predictions are right"
    return Chart(title=title, told=f"{line}. Largest gap: {'; '.join(told)}.", draw=draw)


def _bin(name: str, bin_: ReliabilityBin, form: Callable[[float], str]) -> Spec:
    return {
        "predicted": bin_.predicted,
        "observed": bin_.observed,
        "low": bin_.low,
        "high": bin_.high,
        "told": f"{name}: {form(bin_.predicted)} predicted, {form(bin_.observed)} observed "
        f"[{form(bin_.low)}, {form(bin_.high)}], {count(bin_.rows)} rows",
    }


def _gap(bins: Sequence[ReliabilityBin], form: Callable[[float], str]) -> str:
    widest = max(bins, key=lambda bin_: abs(bin_.observed - bin_.predicted))
    return f"{form(widest.predicted)} predicted, {form(widest.observed)} observed"


def slices(report: Report, leader: ReportedCandidate) -> Chart:
    """The leader's metric on the parts of the rows on which it is weakest, beside that of all rows."""
    sign = 1 if report.higher_is_better else -1
    shown = sorted(leader.slices, key=lambda each: sign * each.value)[:MOST_SLICES]
    metric, whole = report.verdict.metric, report.scored(leader).value
    rows: list[Spec] = [
        {
            "place": place,
            "value": each.value,
            "low": each.value if each.low is None else each.low,
            "high": each.value if each.high is None else each.high,
            "told": f"{each.column} {each.slice}: {metric} {number(each.value)} [{interval(each)}], "
            f"{count(each.rows)} rows",
        }
        for place, each in enumerate(shown)
    ]
    names = [f"{each.column}: {each.slice}" for each in shown]

    def draw(palette: Palette, width: int) -> Spec:
        # Labels are looked up by position, so that two parts that look alike stay two.
        labels = json.dumps([clean(name, 46 if width > NARROW else 20) for name in names])
        axis = {"labelExpr": f"{labels}[datum.value]", "grid": False, "labelLimit": 0}
        y = {"field": "place", "type": "ordinal", "title": None, "axis": axis, "scale": {"domain": [*range(len(rows))]}}
        hue = palette.series[0]
        return {
            "height": {"step": 22},
            "data": {"values": rows},
            "layer": [
                {
                    "mark": {"type": "rule", "color": palette.muted, "strokeDash": [4, 3], "aria": False},
                    "encoding": {"x": {"datum": whole, "type": "quantitative"}},
                },
                {
                    "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.45, "color": hue, "aria": False},
                    "encoding": {"y": y, "x": numeric("low", metric), "x2": {"field": "high"}},
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "color": hue},
                    "encoding": said(y=y, x=numeric("value", metric)),
                },
            ],
        }

    title = f"The parts of the rows on which {leader.name} is weakest; the dashed line is all rows"
    return Chart(title=title, told="; ".join(row["told"] for row in rows[:5]) + ".", draw=draw)


def confusion(card: Scorecard, name: str) -> Chart:
    """Rows by true and predicted class, the stronger the larger their share of the true class."""
    many = len(card.classes) > FEW_CLASSES
    classes = [clean(each, 40) for each in card.classes]
    rows: list[Spec] = [
        {
            "truth": at,
            "said": to,
            "share": rows_of / max(sum(line), 1),
            "right": at == to,
            "rows": count(rows_of),
            "told": f"true {classes[at]}, predicted {classes[to]}: {count(rows_of)} rows",
        }
        for at, line in enumerate(card.confusion)
        for to, rows_of in enumerate(line)
        if rows_of
    ]

    def draw(palette: Palette, width: int) -> Spec:
        # Labels are looked up by position, so that two classes that look alike stay two.
        # They are cut here, since letting Vega cut 77 of them takes seconds.
        labels = [cut(each, 14 if many else 24) for each in classes]
        axis = {"labelExpr": f"{json.dumps(labels)}[datum.value]", "grid": False, "labelOverlap": True}
        axis |= {"labelFontSize": 8 if many else 12, "labelLimit": 0}
        across = {**axis, "orient": "top", "labelAngle": -90 if many else 0}
        every = {"domain": list(range(len(classes)))}
        x = {"field": "said", "type": "ordinal", "title": "predicted", "axis": across, "scale": every}
        y = {"field": "truth", "type": "ordinal", "title": "true", "axis": axis, "scale": every}
        strength = {"domain": [0, 1], "range": [0.12, 1] if many else [0.08, 0.5]}
        sides = {"domain": [True, False], "range": [palette.series[0], palette.series[1]]}
        cells = said(
            x=x,
            y=y,
            opacity={"field": "share", "type": "quantitative", "scale": strength, "legend": None},
            color={"field": "right", "type": "nominal", "legend": None, "scale": sides},
        )
        numbers = {
            "mark": {"type": "text", "color": palette.ink, "aria": False},
            "encoding": {"x": x, "y": y, "text": {"field": "rows"}},
        }
        return {
            "height": min(width, 620) if many else {"step": 40},
            "data": {"values": rows},
            "layer": [{"mark": "rect", "encoding": cells}, *([] if many else [numbers])],
        }

    right = sum(line[at] for at, line in enumerate(card.confusion))
    told = f"{count(right)} of {count(card.n_test)} rows lie on the diagonal, where predicted and true class agree."
    return Chart(title=f"Confusion matrix of {name}", told=told, draw=draw)
