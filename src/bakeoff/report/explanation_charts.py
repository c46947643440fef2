"""Charts of why a candidate answers as it does: importance, contributions, responses, words, errors, learning."""

import json
from collections.abc import Callable, Sequence
from itertools import groupby

from bakeoff.report.drawing import NARROW, Chart, Palette, Spec, clean, numeric, said, zero
from bakeoff.report.numbers import count, number, plain, signed
from bakeoff.results.explanation import (
    Contribution,
    Curve,
    ErrorBar,
    Explanation,
    Importance,
    LearningCurve,
    Response,
    WordWeight,
)

__all__ = ["explanation_charts", "group_name", "learning_sentence"]

MOST_BARS = 15
LABEL = 34
STEP = 24
SWARM = 40
"""Parts of the width within which points of a row are put beside each other."""
MOST_ASIDE = 9.0
VALUES = ("low", "middling", "high", "without order")
"""How a row's value stands among all of its column."""
PANELS = 3
PANEL_WORDS = 8


def explanation_charts(explained: Explanation, *, higher_is_better: bool) -> dict[str, Chart]:
    """All charts for which there is something to draw, by name."""
    made: dict[str, Chart] = {}
    if explained.importance:
        made["importance"] = _importance(explained.importance, explained.metric)
    if any(each.points for each in explained.contributions) and len(explained.outputs) == 1:
        made["contributions"] = _swarm(explained)
    elif explained.contributions:
        made["contributions"] = _sizes(explained.contributions, explained.outputs, explained.score)
    if explained.responses:
        made["responses"] = _responses(explained)
    if explained.words:
        made["words"] = _words(explained)
    if explained.curves:
        made["curves"] = _curves(explained.curves)
    if explained.by_size:
        made["by_size"] = _errors(explained.by_size, "Errors by the size of the prediction", "prediction")
    if explained.over_time:
        made["over_time"] = _errors(explained.over_time, "Errors over time", None)
    if explained.learning:
        made["learning"] = _learning(explained.learning, higher_is_better=higher_is_better)
    return made


def group_name(columns: Sequence[str]) -> str:
    """Columns that are taken together, in a few words.

    >>> group_name(["a"]), group_name(["a", "b", "c"])
    ('a', 'a (+2 alike)')
    """
    first = clean(columns[0], LABEL)
    return first if len(columns) == 1 else f"{first} (+{len(columns) - 1} alike)"


def _axis(labels: Sequence[str], field: str = "place") -> Spec:
    """Rows by place, so that two whose names look alike stay two."""
    every = {"domain": list(range(len(labels)))}
    axis = {"labelExpr": f"{json.dumps(list(labels))}[datum.value]", "grid": False, "labelLimit": 0}
    return {"field": field, "type": "ordinal", "title": None, "axis": axis, "scale": every}


def _cut(labels: Sequence[str], width: int) -> list[str]:
    return [clean(label, LABEL + 12 if width > NARROW else 16) for label in labels]


def _importance(drops: Sequence[Importance], metric: str) -> Chart:
    shown = drops[:MOST_BARS]
    rows: list[Spec] = [
        {
            "place": place,
            "drop": each.drop,
            "low": each.low,
            "high": each.high,
            "told": f"{', '.join(each.columns)}: {metric} loses {number(each.drop)}, 95% interval "
            f"{signed(each.low)} to {signed(each.high)}",
        }
        for place, each in enumerate(shown)
    ]

    def draw(palette: Palette, width: int) -> Spec:
        y = _axis(_cut([group_name(each.columns) for each in shown], width))
        title = f"{metric} lost when shuffled"
        return {
            "height": {"step": STEP},
            "data": {"values": rows},
            "layer": [
                {
                    "mark": {"type": "bar", "color": palette.series[0], "opacity": 0.35, "height": 13},
                    "encoding": said(y=y, x=numeric("drop", title, zero=True)),
                },
                {
                    "mark": {"type": "rule", "color": palette.series[0], "strokeWidth": 2, "aria": False},
                    "encoding": {"y": y, "x": numeric("low", title, zero=True), "x2": {"field": "high"}},
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 50, "color": palette.series[0], "aria": False},
                    "encoding": {"y": y, "x": numeric("drop", title, zero=True)},
                },
                zero(palette),
            ],
        }

    rest = len(drops) - len(shown)
    summary = "; ".join(row["told"] for row in rows[:5]) + (f"; {rest} more columns are not shown" if rest > 0 else "")
    return Chart(
        title=f"What {metric} loses when a column is shuffled, with 95% intervals", told=f"{summary}.", draw=draw
    )


def _swarm(explained: Explanation) -> Chart:
    columns = [each for each in explained.contributions if each.points]
    rows = [
        {**point, "place": place}
        for place, each in enumerate(columns)
        for point in _points(each, max(abs(adds) for column in columns for _, adds in column.points) or 1.0)
    ]
    toward = f" for {clean(explained.outputs[0], 30)}" if explained.outputs[0] else ""
    title = f"what it adds to the {explained.score}{toward}"

    def draw(palette: Palette, width: int) -> Spec:
        present = {row["value"] for row in rows}
        colours = (palette.series[0], palette.muted, palette.series[1], palette.series[2])
        named = [(name, hue) for name, hue in zip(VALUES, colours, strict=True) if name in present]
        legend = {"orient": "top", "title": "value of the row", "labelColor": palette.ink, "symbolOpacity": 1}
        legend |= {"titleColor": palette.muted, "titleFontWeight": "normal", "columns": 4 if width > NARROW else 2}
        hue = {
            "field": "value",
            "type": "nominal",
            "scale": {"domain": [name for name, _ in named], "range": [hue for _, hue in named]},
            "legend": legend,
        }
        return {
            "height": {"step": STEP + 8},
            "data": {"values": rows},
            "layer": [
                zero(palette),
                {
                    "mark": {"type": "circle", "size": 16, "opacity": 0.75, "aria": False},
                    "encoding": {
                        "y": _axis(_cut([each.column for each in columns], width)),
                        "x": numeric("adds", title),
                        "yOffset": {"field": "aside", "type": "quantitative", "scale": {"domain": [-1, 1]}},
                        "color": hue,
                    },
                },
            ],
        }

    summary = "; ".join(f"{each.column}: {number(each.size)} on average" for each in explained.contributions[:5])
    return Chart(title=f"What each column adds to answers ({explained.how})", told=f"{summary}.", draw=draw)


def _points(column: Contribution, widest: float) -> list[Spec]:
    """Rows as points, those of about the same x beside each other."""
    crowd: dict[int, int] = {}
    made: list[Spec] = []
    for place, adds in sorted(column.points, key=lambda point: point[1]):
        cell = round(SWARM * adds / widest)
        at = crowd[cell] = crowd.get(cell, -1) + 1
        aside = ((at + 1) // 2) * (1 if at % 2 else -1) / MOST_ASIDE
        value = VALUES[3] if place is None else VALUES[min(2, int(place * 3))]
        made.append({"adds": adds, "aside": max(-0.95, min(0.95, aside)), "value": value})
    return made


def _sizes(columns: Sequence[Contribution], outputs: Sequence[str], score: str) -> Chart:
    """For several classes: the mean size of what a column adds, side by side."""
    labels = [clean(each, 30) for each in outputs]
    rows: list[Spec] = [
        {
            "place": place,
            "output": clean(output, 30),
            "at": at,
            "size": size,
            "told": f"{each.column}, {output or 'prediction'}: {number(size)} on average",
        }
        for place, each in enumerate(columns[:MOST_BARS])
        for at, (output, size) in enumerate(each.by_output.items())
    ]

    def draw(palette: Palette, width: int) -> Spec:
        legend = {"orient": "top", "title": None, "labelColor": palette.ink, "columns": 4 if width > NARROW else 1}
        hue = {"domain": labels, "range": palette.series[: len(labels)]}
        shown = legend if len(labels) > 1 else None
        return {
            "height": {"step": STEP},
            "data": {"values": rows},
            "mark": {"type": "bar", "height": 14},
            "encoding": said(
                y=_axis(_cut([each.column for each in columns[:MOST_BARS]], width)),
                x=numeric("size", f"mean size of what it adds ({score})", zero=True),
                color={"field": "output", "type": "nominal", "scale": hue, "legend": shown},
                order={"field": "at", "type": "quantitative"},
            ),
        }

    summary = "; ".join(f"{each.column}: {number(each.size)}" for each in columns[:5])
    return Chart(title="What columns add to answers, on average over rows", told=f"{summary}.", draw=draw)


def _panels(width: int, panels: Sequence[Callable[[int], Spec]], *, most: int = PANELS) -> Spec:
    """Drawings beside each other, below each other where it is narrow."""
    across = min(most, len(panels)) if width > NARROW else 1
    each = (width - 16) // across - 76
    return {"concat": [panel(max(each, 150)) for panel in panels], "columns": across, "spacing": 24}


def _responses(explained: Explanation) -> Chart:
    responses, outputs = explained.responses, [clean(each, 30) for each in explained.outputs]
    ends = [
        end
        for each in responses
        for points in each.outputs.values()
        for point in points
        for end in ((point.low, point.high) if len(outputs) == 1 else (point.mean,))
    ]
    domain = [min(ends), max(ends)]
    what = "prediction" if explained.outputs == ("",) else "probability"
    if len(outputs) == 1 and outputs[0]:
        what = f"probability of {outputs[0]}"

    def draw(palette: Palette, width: int) -> Spec:
        def panel(response: Response) -> Callable[[int], Spec]:
            return lambda each: _response(response, palette, each, domain=domain, what=what, outputs=outputs)

        return _panels(width, [panel(each) for each in responses])

    summary = "; ".join(_span(each) for each in responses)
    spread = "; bands hold the curves of 80% of the rows" if len(outputs) == 1 else ""
    return Chart(title=f"Mean prediction when a column is set to one value{spread}", told=f"{summary}.", draw=draw)


def _span(response: Response) -> str:
    points = next(iter(response.outputs.values()))
    low, high = min(points, key=lambda each: each.mean), max(points, key=lambda each: each.mean)

    def at(value: float | str) -> str:
        return plain(value) if not isinstance(value, str) else value

    return f"{response.column}: least {number(low.mean)} at {at(low.at)}, most {number(high.mean)} at {at(high.at)}"


def _response(
    response: Response, palette: Palette, width: int, *, domain: list[float], what: str, outputs: Sequence[str]
) -> Spec:
    rows: list[Spec] = [
        {
            "at": point.at
            if not isinstance(point.at, str)
            else (point.at if response.kind == "time" else clean(point.at, 18)),
            "place": place,
            "output": clean(output, 30),
            "mean": point.mean,
            "low": point.low,
            "high": point.high,
            "told": f"{response.column} {plain(point.at) if not isinstance(point.at, str) else point.at}: "
            f"{output} {number(point.mean)}, 80% of rows {number(point.low)} to {number(point.high)}",
        }
        for output, points in response.outputs.items()
        for place, point in enumerate(points)
    ]
    legend = {"orient": "top", "title": None, "labelColor": palette.ink, "columns": 2}
    hue: Spec = {"field": "output", "type": "nominal", "legend": legend if len(outputs) > 1 else None}
    hue["scale"] = {"domain": list(outputs), "range": palette.series[: len(outputs)]}
    y = numeric("mean", what, domain=domain, axis={"tickCount": 4})
    x: Spec = numeric("at", clean(response.column, 30), axis={"tickCount": 4, "grid": False})
    mark: Spec = {"type": "line", "strokeWidth": 2}
    if response.kind == "time":
        x = {"field": "at", "type": "temporal", "title": clean(response.column, 30)}
        x["axis"] = {"tickCount": 3, "grid": False, "labelOverlap": True}
    elif response.kind == "category":
        labels = [row["at"] for row in rows if row["output"] == rows[0]["output"]]
        x = _axis([clean(label, 12) for label in labels])
        x["axis"] |= {"labelAngle": -40}
        x["title"] = clean(response.column, 30)
        mark = {"type": "point", "filled": True, "size": 60, "opacity": 1}
    band = {"type": "rule", "strokeWidth": 4} if response.kind == "category" else {"type": "area"}
    spread = {
        "mark": {**band, "opacity": 0.2, "aria": False},
        "encoding": {"x": x, "y": numeric("low", what, domain=domain), "y2": {"field": "high"}, "color": hue},
    }
    return {
        "width": width,
        "height": 150,
        "data": {"values": rows},
        "layer": [
            *([spread] if len(outputs) == 1 else []),
            {"mark": {**mark, "aria": False}, "encoding": {"x": x, "y": y, "color": hue}},
            {"mark": {"type": "point", "opacity": 0, "size": 80}, "encoding": said(x=x, y=y)},
        ],
    }


def _words(explained: Explanation) -> Chart:
    by_output = {
        output: sorted(listed, key=lambda each: -each.adds)
        for output, listed in groupby(explained.words, key=lambda each: each.output)
    }
    if len(by_output) > 1:
        by_output = {output: [e for e in listed if e.adds > 0][:PANEL_WORDS] for output, listed in by_output.items()}
        by_output = {output: listed for output, listed in by_output.items() if listed}
    several = len({each.column for each in explained.words}) > 1
    ends = [each.adds for listed in by_output.values() for each in listed]
    domain = [min(0.0, *ends), max(0.0, *ends)]

    def draw(palette: Palette, width: int) -> Spec:
        def panel(output: str, listed: Sequence[WordWeight]) -> Callable[[int], Spec]:
            title = f"{clean(output, 24)}" if output else "prediction"
            return lambda each: _word_bars(listed, palette, each, domain, title, several=several)

        panels = [panel(*item) for item in by_output.items()]
        return _panels(width, panels, most=2)

    summary = "; ".join(
        f"{output or 'prediction'}: {', '.join(each.word for each in listed[:6])}"
        for output, listed in by_output.items()
    )
    return Chart(
        title=f"Words that count: {explained.words_how}, in the rows that hold them", told=f"{summary}.", draw=draw
    )


def _word_bars(
    listed: Sequence[WordWeight], palette: Palette, width: int, domain: list[float], title: str, *, several: bool
) -> Spec:
    rows: list[Spec] = [
        {
            "place": place,
            "adds": each.adds,
            "up": each.adds > 0,
            "told": f"{each.word}: {signed(each.adds)} in {count(each.rows)} rows",
        }
        for place, each in enumerate(listed)
    ]
    names = [clean(f"{each.column}: {each.word}" if several else each.word, 24) for each in listed]
    hue = {"domain": [True, False], "range": [palette.series[0], palette.series[1]]}
    return {
        "width": width,
        "height": {"step": 18},
        "title": {"text": title, "color": palette.ink, "fontSize": 13, "anchor": "start"},
        "data": {"values": rows},
        "mark": {"type": "bar", "height": 12},
        "encoding": said(
            y=_axis(names),
            x=numeric("adds", None, domain=domain),
            color={"field": "up", "type": "nominal", "legend": None, "scale": hue},
        ),
    }


def _curves(curves: Sequence[Curve]) -> Chart:
    labels = [clean(each.output, 24) for each in curves]

    def draw(palette: Palette, width: int) -> Spec:
        legend = {"orient": "top", "title": None, "labelColor": palette.ink, "columns": 3 if width > NARROW else 2}
        hue: Spec = {"field": "output", "type": "nominal", "legend": legend if len(labels) > 1 else None}
        hue["scale"] = {"domain": labels, "range": palette.series[: len(labels)]}

        def panel(
            axes: tuple[str, str], paths: Sequence[Sequence[tuple[float, float]]], line: str
        ) -> Callable[[int], Spec]:
            rows = [
                {"x": x, "y": y, "step": step, "output": label}
                for label, path in zip(labels, paths, strict=True)
                for step, (x, y) in enumerate(path)
            ]
            shape = {"type": "line", "strokeWidth": 2, "interpolate": line, "aria": False}
            x = numeric("x", axes[0], domain=[0, 1], axis={"format": "%"})
            y = numeric("y", axes[1], domain=[0, 1], axis={"format": "%"})
            order = {"field": "step", "type": "quantitative"}
            drawn = [{"mark": shape, "encoding": {"x": x, "y": y, "order": order, "color": hue}}]
            if line == "linear":
                ends = {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]}
                dashes = {"type": "line", "color": palette.muted, "strokeDash": [4, 3], "aria": False}
                drawn.append({"data": ends, "mark": dashes, "encoding": {"x": x, "y": y}})
            return lambda each: {"width": each, "height": 240, "data": {"values": rows}, "layer": drawn}

        roc = panel(("false-positive rate", "true-positive rate"), [each.roc for each in curves], "linear")
        paths = [each.precision_recall for each in curves]
        return _panels(width, [roc, panel(("recall", "precision"), paths, "step-before")])

    summary = "; ".join(
        f"{each.output}: area {number(each.roc_auc)} under the ROC, average precision {number(each.pr_auc)}"
        for each in curves
    )
    return Chart(title="ROC, and precision by recall, of each class against the rest", told=f"{summary}.", draw=draw)


def _errors(bars: Sequence[ErrorBar], title: str, axis: str | None) -> Chart:
    numbers = bars[0].least is not None
    what = "truth less prediction" if numbers else "share of wrong answers"
    times = isinstance(bars[0].start, str)
    rows: list[Spec] = [
        {
            "at": each.start if isinstance(each.start, str) else (each.start + float(each.end)) / 2,
            "mean": each.mean,
            "low": each.low,
            "high": each.high,
            "least": each.least,
            "most": each.most,
            "told": f"{_end(each.start)} to {_end(each.end)}: {number(each.mean)} [{number(each.low)}, "
            f"{number(each.high)}], {count(each.rows)} rows",
        }
        for each in bars
    ]

    def draw(palette: Palette, width: int) -> Spec:
        x: Spec = {"field": "at", "type": "temporal", "title": axis, "axis": {"grid": False, "tickCount": 6}}
        if not times:
            x = numeric("at", axis)
        y = numeric("mean", what, zero=not numbers)
        hue = palette.series[0]
        spread = {
            "mark": {"type": "area", "opacity": 0.15, "color": hue, "aria": False},
            "encoding": {"x": x, "y": numeric("least", what), "y2": {"field": "most"}},
        }
        return {
            "height": 240 if width > NARROW else 200,
            "data": {"values": rows},
            "layer": [
                *([spread, zero(palette, "y")] if numbers else []),
                {
                    "mark": {"type": "rule", "strokeWidth": 2, "color": hue, "opacity": 0.5, "aria": False},
                    "encoding": {"x": x, "y": numeric("low", what), "y2": {"field": "high"}},
                },
                {
                    "mark": {"type": "line", "strokeWidth": 1.5, "color": hue, "aria": False},
                    "encoding": {"x": x, "y": y},
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 50, "opacity": 1, "color": hue},
                    "encoding": said(x=x, y=y),
                },
            ],
        }

    worst = max(bars, key=lambda each: abs(each.mean))
    more = "; the band holds 80% of the errors" if numbers else ""
    summary = f"Largest from {_end(worst.start)} to {_end(worst.end)}: {number(worst.mean)}"
    return Chart(title=f"{title}: means with 95% intervals{more}", told=f"{summary}.", draw=draw)


def _end(value: float | str) -> str:
    return number(value) if not isinstance(value, str) else value


def _learning(curve: LearningCurve, *, higher_is_better: bool) -> Chart:
    sign = 1.0 if higher_is_better else -1.0
    last = curve.points[-1]
    rows: list[Spec] = [
        {
            "rows": each.rows,
            "value": each.value,
            "low": each.value + each.behind - each.low if higher_is_better else each.value - each.behind + each.low,
            "high": each.value + each.behind - each.high if higher_is_better else each.value - each.behind + each.high,
            "told": f"{count(each.rows)} rows: {curve.metric} {number(each.value)}",
        }
        for each in curve.points
    ]
    ahead: list[Spec] = []
    if curve.more is not None and curve.more_low is not None and curve.more_high is not None:
        ahead = [
            {"rows": last.rows, "value": last.value, "low": last.value, "high": last.value, "told": ""},
            {
                "rows": 2 * last.rows,
                "value": last.value + sign * curve.more,
                "low": last.value + sign * curve.more_low,
                "high": last.value + sign * curve.more_high,
                "told": f"{count(2 * last.rows)} rows would give about {number(last.value + sign * curve.more)}",
            },
        ]

    def draw(palette: Palette, width: int) -> Spec:
        counts = {"values": [row["rows"] for row in [*rows, *ahead[1:]]], "labelOverlap": True, "format": ",d"}
        x = numeric("rows", "training rows (log scale)", axis=counts, type="log", nice=False)
        y = numeric("value", curve.metric)
        here, then = palette.series[0], palette.series[1]

        def layers(values: list[Spec], hue: str, **line: object) -> list[Spec]:
            band = {"x": x, "y": numeric("low", curve.metric), "y2": {"field": "high"}}
            data = {"values": values}
            return [
                {
                    "data": data,
                    "mark": {"type": "area", "opacity": 0.15, "color": hue, "aria": False},
                    "encoding": band,
                },
                {
                    "data": data,
                    "mark": {"type": "line", "strokeWidth": 2, "color": hue, "aria": False, **line},
                    "encoding": {"x": x, "y": y},
                },
            ]

        return {
            "height": 240 if width > NARROW else 200,
            "layer": [
                *layers(rows, here),
                *(layers(ahead, then, strokeDash=[5, 4]) if ahead else []),
                {
                    "data": {"values": [*rows, *ahead[1:]]},
                    "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "color": palette.ink},
                    "encoding": said(x=x, y=y),
                },
            ],
        }

    summary = "; ".join(row["told"] for row in [*rows, *ahead[1:]])
    title = f"{curve.metric} by training rows, with 95% intervals of the difference to all rows"
    return Chart(title=title, told=f"{summary}.", draw=draw)


def learning_sentence(curve: LearningCurve, *, higher_is_better: bool) -> str | None:
    """What twice the rows would gain, in a sentence."""
    if curve.more is None or curve.more_low is None or curve.more_high is None:
        return None
    ends = f"[{signed(curve.more_low)}, {signed(curve.more_high)}]"
    if not higher_is_better:
        return f"Twice the rows would lower {curve.metric} by about {number(curve.more)} {ends}."
    return f"Twice the rows would gain about {signed(curve.more)} {ends} {curve.metric}."
