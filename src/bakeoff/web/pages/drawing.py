"""Small charts as SVG: as wide as the screen, in the stylesheet's colours, each mark with its numbers as a title.

Positions are percentages; only lines stand in a box of their own that is stretched, with strokes that are not.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from bakeoff.report.numbers import number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["COLOURS", "Bar", "Dot", "DrawnLine", "columns", "dots", "interval", "lines", "sampled", "span_of"]

MOST_POINTS, MOST_TOTAL = 300, 6000
"""Of a line: more than a screen tells apart; and of all lines of a chart."""
COLOURS = 8
TICKS = 4
EDGE = 0.05
BOX = 1000
LARGEST = 8e307
"""A range from its negative to it still has a length; what is beyond lies on the edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnLine:
    """Points (x, y) in the order of x, or an array of them (n, 2); `colour` is the number of a series."""

    name: str
    colour: int
    points: "Sequence[tuple[float, float]] | NDArray[np.float64]"
    baseline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One thing at (x, y), with the ends of its interval; `hollow` where it is out of the running."""

    name: str
    colour: int
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    hollow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A column of so much, of which `bad` is part; `title` says it."""

    title: str
    value: float
    bad: float = 0.0


def span_of(values: Iterable[float | None]) -> tuple[float, float]:
    """The range of values with a little room.

    >>> span_of([1.0, None, 3.0])
    (0.9, 3.1)
    """
    known = [each for each in values if each is not None and math.isfinite(each)]
    if not known:
        return 0.0, 1.0
    low, high = (max(-LARGEST, min(LARGEST, each)) for each in (min(known), max(known)))
    room = (high - low) * EDGE or abs(high) * EDGE or 1.0
    return low - room, high + room


def sampled(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> Sequence[tuple[float, float]]:
    """At most about so many points: the first, the last, and the extremes of equal parts, so that no peak is lost.

    >>> len(sampled([(x, x % 7) for x in range(10_000)])) <= 302
    True
    """
    import numpy as np

    return [(x, y) for x, y in _sampled(np.asarray(points, np.float64).reshape(-1, 2), most).tolist()]


def _sampled(points_n2: "NDArray[np.float64]", most: int) -> "NDArray[np.float64]":
    import numpy as np

    count, parts = len(points_n2), most // 2
    if count <= most:
        return points_n2
    y_n, chosen = points_n2[:, 1], [0, count - 1]
    ends = [count * part // parts for part in range(parts + 1)]
    for start, end in itertools.pairwise(ends):
        chosen += [start + int(y_n[start:end].argmin()), start + int(y_n[start:end].argmax())]
    return points_n2[np.unique(chosen)]


def interval(value: float, low: float | None, high: float | None, span: tuple[float, float], colour: int) -> Markup:
    """A value with its interval on a scale that several share."""
    title = number(value) if low is None or high is None else f"{number(value)}, 95%: {number(low)} to {number(high)}"
    ends = "" if low is None or high is None else _rule(_place(low, span), 50, _place(high, span), 50, "whisker")
    return Markup('<svg class="interval {}" role="img" aria-label="{}">{}{}</svg>').format(
        _colour(colour), title, ends, _circle(_place(value, span), 50, title)
    )


def lines(series: Sequence[DrawnLine], *, description: str, x: str = "step", y: str = "") -> Markup:
    """Lines over a common x."""
    import numpy as np

    finite: list[tuple[DrawnLine, NDArray[np.float64]]] = []
    for line in series:
        points_n2 = np.asarray(line.points, np.float64).reshape(-1, 2)
        finite.append((line, points_n2[np.isfinite(points_n2).all(axis=1)]))
    most = max(80, min(MOST_POINTS, MOST_TOTAL // max(1, len(series))))
    ends = [(*points.min(axis=0).tolist(), *points.max(axis=0).tolist()) for _, points in finite if len(points)]
    across = _exact(at for left, _, right, _ in ends for at in (left, right))
    up = span_of(at for _, low, _, high in ends for at in (low, high))
    drawn = Markup("").join(
        _polyline(line, _sampled(points, most).tolist(), across, up) for line, points in finite if len(points)
    )
    box = Markup(
        '<svg width="100%" height="100%" viewBox="0 0 {0} {0}" preserveAspectRatio="none" overflow="visible">{1}</svg>'
    ).format(BOX, drawn)
    return _frame(box, across, up, description=description, x=x, y=y)


def _polyline(
    line: DrawnLine, points: Sequence[Sequence[float]], across: tuple[float, float], up: tuple[float, float]
) -> Markup:
    of = [(_place(x, across) * BOX / 100, BOX - _place(y, up) * BOX / 100) for x, y in points]
    if len(of) == 1:
        of = [of[0], of[0]]
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in of)
    kind = "line baseline" if line.baseline else "line"
    return Markup('<polyline class="{} {}" points="{}"><title>{}: {}</title></polyline>').format(
        kind, _colour(line.colour), text, line.name, number(points[-1][1])
    )


def dots(given: Sequence[Dot], *, description: str, x: str, y: str) -> Markup:
    """Things by two numbers, with intervals of the second; the first grows by factors where it is positive."""
    by_factors = bool(given) and all(dot.x > 0 for dot in given)

    def scaled(value: float) -> float:
        return math.log10(value) if by_factors else value

    across, up = (
        span_of(scaled(dot.x) for dot in given),
        span_of(v for dot in given for v in (dot.y, dot.low, dot.high)),
    )
    marks: list[Markup] = []
    for dot in given:
        at, height = _place(scaled(dot.x), across), 100 - _place(dot.y, up)
        title = f"{dot.name}: {y} {number(dot.y)}, {x} {number(dot.x)}"
        ends = (
            ""
            if dot.low is None or dot.high is None
            else _rule(at, 100 - _place(dot.low, up), at, 100 - _place(dot.high, up), "whisker")
        )
        side = "end" if at > 70 else "start"  # noqa: PLR2004 - a name on the right would leave the picture
        marks.append(
            Markup(
                '<g class="{}">{}{}<text x="{:.2f}%" y="{:.2f}%" dx="{}" dy="-8" text-anchor="{}">{}</text></g>'
            ).format(
                f"{_colour(dot.colour)}{' hollow' if dot.hollow else ''}",
                ends,
                _circle(at, height, title),
                at,
                height,
                -8 if side == "end" else 8,
                side,
                dot.name if len(dot.name) < 30 else f"{dot.name[:28]}…",  # noqa: PLR2004
            )
        )
    return _frame(Markup("").join(marks), across, up, description=description, x=x, y=y, factors=by_factors)


def columns(given: Sequence[Bar], *, description: str, first: str, last: str) -> Markup:
    """Columns beside each other; `first` and `last` say where they begin and end."""
    most = max([each.value for each in given], default=0.0) or 1.0
    wide = 100 / max(1, len(given))
    drawn = Markup("").join(
        Markup(
            '<g><title>{0}</title><rect class="s1" x="{1:.2f}%" width="{2:.2f}%" y="{3:.2f}%" height="{4:.2f}%"/>'
            '<rect class="bad" x="{1:.2f}%" width="{2:.2f}%" y="{5:.2f}%" height="{6:.2f}%"/></g>'
        ).format(
            each.title,
            at * wide,
            wide * 0.85,
            100 - 100 * each.value / most,
            100 * each.value / most,
            100 - 100 * each.bad / most,
            100 * each.bad / most,
        )
        for at, each in enumerate(given)
        if each.value
    )
    return Markup(
        '<div class="plot" role="img" aria-label="{0}"><svg class="plot-y" aria-hidden="true">'
        '<text x="100%" y="0%" dy="9">{1}</text><text x="100%" y="100%">0</text></svg>'
        '<svg class="plot-area" aria-hidden="true">{2}</svg><svg class="plot-x" aria-hidden="true">'
        '<text x="0" y="14">{3}</text><text x="100%" y="14" text-anchor="end">{4}</text></svg></div>'
    ).format(description, number(most) if most < 10 else f"{most:,.0f}", drawn, first, last)  # noqa: PLR2004


def _frame(
    marks: Markup,
    across: tuple[float, float],
    up: tuple[float, float],
    *,
    description: str,
    x: str,
    y: str,
    factors: bool = False,
) -> Markup:
    heights = [(100 - _place(at, up), f"{at:.4g}") for at in _ticks(up)]
    places = [(_place(at, across), f"{10**at:.2g}" if factors else f"{at:,.5g}") for at in _ticks(across)]
    grid = Markup("").join(_rule(0, height, 100, height, "grid") for height, _ in heights)
    beside = Markup("").join(
        Markup('<text x="100%" y="{:.2f}%" dy="4">{}</text>').format(height, text) for height, text in heights
    )
    below = Markup("").join(
        Markup('<text x="{:.2f}%" y="14" text-anchor="middle">{}</text>').format(place, text) for place, text in places
    )
    return Markup(
        '<div class="plot" role="img" aria-label="{}"><svg class="plot-y" aria-hidden="true">{}</svg>'
        '<svg class="plot-area" aria-hidden="true">{}{}</svg><svg class="plot-x" aria-hidden="true">{}'
        '<text x="100%" y="30" text-anchor="end">{}</text></svg><p class="plot-title" aria-hidden="true">{}</p></div>'
    ).format(description, beside, grid, marks, below, x, y)


def _ticks(span: tuple[float, float]) -> list[float]:
    """Round numbers within a range.

    >>> _ticks((0.0, 1.0))
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    size = (span[1] - span[0]) / TICKS
    power = 10 ** math.floor(math.log10(size))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= size * 0.999)
    first = math.ceil(span[0] / step - 1e-9)
    return [at * step for at in range(first, math.floor(span[1] / step + 1e-9) + 1)]


def _exact(values: Iterable[float]) -> tuple[float, float]:
    known = list(values)
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    room = 0.0 if high > low else max(0.5, abs(low) * EDGE)
    return low - room, high + room


def _place(value: float, span: tuple[float, float]) -> float:
    """Where a value is on a range, in percent."""
    return min(100.0, max(0.0, 100 * (value - span[0]) / (span[1] - span[0])))


def _colour(at: int) -> str:
    return f"s{at % COLOURS + 1}"


def _rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{:.2f}%" y1="{:.2f}%" x2="{:.2f}%" y2="{:.2f}%"/>').format(kind, x1, y1, x2, y2)


def _circle(x: float, y: float, title: str) -> Markup:
    return Markup('<circle cx="{:.2f}%" cy="{:.2f}%" r="5"><title>{}</title></circle>').format(x, y, escape(title))
