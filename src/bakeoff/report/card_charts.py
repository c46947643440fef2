"""The charts of a data card: distributions of columns and of the lengths of texts."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bakeoff.data.facts import ColumnFacts, NumberFacts
from bakeoff.report.card import DataCard
from bakeoff.report.drawing import NARROW, Chart, Palette, Spec, clean, said
from bakeoff.report.numbers import count, day, plain

__all__ = ["MOST_DRAWN", "charts"]

MOST_DRAWN = 40
"""Columns that are drawn; the others are told in the table."""
HEIGHT = 80
LARGE, VAST = 1e5, 1e100


def charts(card: DataCard) -> Mapping[str, Chart]:
    """A chart for each of the first columns that have a distribution, by the column's place ("3", "3-words")."""
    made: dict[str, Chart] = {}
    for place, column in enumerate(card.columns[:MOST_DRAWN]):
        if column.numbers is not None and _can_be_drawn(column.numbers):
            made[str(place)] = _distribution(column, column.numbers, "")
        for unit in ("characters", "words", "tokens"):
            lengths: NumberFacts | None = getattr(column, unit)
            if lengths is not None:
                made[f"{place}-{unit}"] = _distribution(column, lengths, unit)
    return MappingProxyType(made)


def _distribution(column: ColumnFacts, numbers: NumberFacts, unit: str) -> Chart:
    times = column.kind == "datetime"
    form: Callable[[float], str] = day if times else plain
    rows = _bars(numbers, form, unit)
    least_step = 1 if _is_whole(numbers) else 0
    name = clean(column.name, 40)
    outside = numbers.histogram.below + numbers.histogram.above
    told = f"from {form(numbers.least)} to {form(numbers.most)}, half of them up to {form(numbers.median)}"
    beyond = f"; {count(outside)} farther out are not drawn" if outside else ""

    def draw(palette: Palette, width: int) -> Spec:
        few = 4 if width <= NARROW else 8
        axis = {"tickCount": few, "grid": False, "labelOverlap": True, "labelFlush": False}
        largest = max(abs(end) for end in numbers.histogram.edges)
        axis |= {} if times else {"format": "~s" if largest >= LARGE else ".6~g", "tickMinStep": least_step}
        scale: Spec = {"type": "utc"} if times else {"zero": False, "nice": False}
        ends = [numbers.histogram.edges[0], numbers.histogram.edges[-1]]
        x = {"field": "low", "type": "temporal" if times else "quantitative", "title": unit or None, "axis": axis}
        x |= {"scale": scale | {"domain": ends}}
        y_axis = {"tickCount": 2, "format": "~s", "labelPadding": 4}
        y = {"field": "rows", "type": "quantitative", "title": None, "axis": y_axis}
        return {
            "height": HEIGHT,
            "data": {"values": rows},
            "mark": {"type": "bar", "color": palette.series[0], "binSpacing": 1},
            "encoding": said(x=x, x2={"field": "high"}, y=y, y2={"datum": 0}),
        }

    what = f"{unit} of {name}" if unit else name
    return Chart(title=f"Distribution of {what}", told=f"{told}{beyond}", draw=draw)


def _can_be_drawn(numbers: NumberFacts) -> bool:
    """Whether a drawing's arithmetic holds out."""
    return max(abs(end) for end in numbers.histogram.edges) < VAST


def _is_whole(numbers: NumberFacts) -> bool:
    """Whether bins are of whole numbers: they end at halves."""
    edges = numbers.histogram.edges
    return edges[0] % 1 == 0.5 and (edges[1] - edges[0]) % 1 == 0  # noqa: PLR2004


def _bars(numbers: NumberFacts, form: Callable[[float], str], unit: str) -> list[Spec]:
    edges, bars, whole = numbers.histogram.edges, list[Spec](), _is_whole(numbers)
    for low, high, rows in zip(edges, edges[1:], numbers.histogram.counts, strict=False):
        first, last = (low + 0.5, high - 0.5) if whole else (low, high)
        span = form(first) if first == last else f"{form(first)} to {form(last)}"
        bars.append(
            {"low": low, "high": high, "rows": rows, "told": f"{span} {unit}".strip() + f": {count(rows)} rows"}
        )
    return bars
