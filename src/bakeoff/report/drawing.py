"""How charts are drawn: Vega-Lite documents, by vl-convert, without a browser or a network.

Pages get SVG whose colours are CSS variables, so that one drawing serves light, dark and print; every mark
carries its numbers as an `aria-label`. Measured here, the Vega runtime that would make them interactive adds
0.9 MB to each page and needs `unsafe-eval`, where drawings take 10 kB each and a page may forbid all that.
"""

import base64
import contextlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from bakeoff.core import narrow
from bakeoff.core.errors import MissingExtraError, StoreError, UsageError
from bakeoff.core.explain import file_advice
from bakeoff.report.model import Report
from bakeoff.report.numbers import cut

__all__ = ["MOST_SERIES", "NARROW", "WIDE", "Chart", "Palette", "Spec", "clean", "colour", "names", "numeric", "png"]
__all__ += ["said", "svg", "zero"]

Spec: TypeAlias = dict[str, Any]

MOST_SERIES = 8
WIDE, NARROW = 820, 340
PICTURE_SCALE = 2.0
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ufffe\uffff]+")
VERSION = "5.21"
VEGA_LITE = "application/vnd.vegalite.v5+json"
"""The type by which notebooks know a drawing that they can draw by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """Colours of a drawing; `series` are those of the candidates, in the project's order."""

    ink: str
    muted: str
    line: str
    background: str | None
    series: tuple[str, ...]


PAGE = Palette(
    ink="var(--ink)",
    muted="var(--muted)",
    line="var(--line)",
    background=None,
    series=tuple(f"var(--s{at})" for at in range(1, MOST_SERIES + 1)),
)
PICTURE = Palette(
    ink="#1b1f24",
    muted="#5b6470",
    line="#dfe3e8",
    background="#ffffff",
    series=("#2563b0", "#c2410c", "#15803d", "#8b34c9", "#be185d", "#0e7490", "#8a6100", "#525b6b"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    r"""One chart: what it shows (`title`), in one sentence for those who cannot see it (`told`), and how.

    A notebook shows it as a picture, and where it can draw Vega-Lite by itself, as a drawing.

    Example:
        >>> chart = project.last().figure("leaderboard")
        >>> chart.title
        'f1_macro of each candidate with its 95% interval'
        >>> chart.spec["$schema"]
        'https://vega.github.io/schema/vega-lite/v5.json'
        >>> chart.png()[:4]
        b'\x89PNG'
    """

    title: str
    told: str
    draw: Callable[[Palette, int], Spec]

    @property
    def spec(self) -> Spec:
        """The Vega-Lite document, with its data: for a page of your own, or `altair.Chart.from_dict`."""
        return json.loads(_document(self, PICTURE, WIDE))

    def png(self) -> bytes:
        """The chart as a picture on white.

        Raises:
            MissingExtraError: vl-convert is not installed.
        """
        return png(self)

    def svg(self) -> str:
        """The chart as an SVG document on white.

        Raises:
            MissingExtraError: vl-convert is not installed.
        """
        return _converter().vegalite_to_svg(_document(self, PICTURE, WIDE), vl_version=VERSION)

    def save(self, file: str | Path) -> Path:
        """Write the chart to a file, whose name ends in .png, .svg or .json (Vega-Lite); the file.

        Raises:
            UsageError: the name ends otherwise. StoreError: it cannot be written.
        """
        path = Path(file)
        ways: dict[str, Callable[[], bytes]] = {
            ".png": self.png,
            ".svg": lambda: self.svg().encode(),
            ".json": lambda: json.dumps(self.spec, indent=1).encode(),
        }
        if path.suffix.lower() not in ways:
            raise UsageError(f"file: expected a name that ends in {', '.join(ways)}, received {str(file)!r}")
        content = ways[path.suffix.lower()]()
        try:
            path.write_bytes(content)
        except OSError as error:
            raise StoreError(f"cannot write {str(path)!r}: {error.strerror or error}; {file_advice(error)}") from error
        return path

    def __repr__(self) -> str:
        return f"Chart({self.title!r})"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        del include, exclude
        bundle: dict[str, object] = {"text/plain": f"{self.title}: {self.told}", VEGA_LITE: self.spec}
        with contextlib.suppress(MissingExtraError):
            bundle["image/png"] = base64.b64encode(self.png()).decode()
        return bundle


def svg(chart: Chart, width: int) -> str:
    """The chart for a page, as an SVG element without a size of its own."""
    drawn: str = _converter().vegalite_to_svg(_document(chart, PAGE, width), vl_version=VERSION)
    return re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", drawn, count=1)


def png(chart: Chart) -> bytes:
    """The chart as a picture on white."""
    spec = _document(chart, PICTURE, WIDE)
    return _converter().vegalite_to_png(spec, vl_version=VERSION, scale=PICTURE_SCALE)


def _converter() -> Any:
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtraError.of("a report with charts", "report", "vl_convert") from error
    return vl_convert


def _document(chart: Chart, palette: Palette, width: int) -> str:
    axis = {
        "labelColor": palette.muted,
        "titleColor": palette.muted,
        "titleFontWeight": "normal",
        "gridColor": palette.line,
        "domain": False,
        "ticks": False,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelPadding": 6,
        "titlePadding": 8,
        "labelLimit": 200 if width > NARROW else 90,
    }
    drawn = chart.draw(palette, width)
    # Panels have widths of their own, which come to about that of the whole.
    fitted = {} if "concat" in drawn else {"width": width, "autosize": {"type": "fit", "contains": "padding"}}
    document = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": palette.background,
        "padding": 12 if palette.background else 2,
        **fitted,
        **drawn,
        "config": {"font": "sans-serif", "view": {"stroke": None}, "axis": axis, "text": {"fontSize": 12}},
    }
    return json.dumps(_printable(document))


def _printable(value: Any) -> Any:
    """A document without what XML cannot hold, wherever the data has it."""
    if isinstance(value, str):
        return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if narrow.is_object(value):
        return {key: _printable(each) for key, each in value.items()}
    return [_printable(each) for each in value] if narrow.is_sequence(value) else value


def clean(text: str, longest: int = 60) -> str:
    """Text without what XML cannot hold."""
    return cut(UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text), longest)


def colour(report: Report, palette: Palette) -> Spec:
    """Each candidate keeps its colour in all charts."""
    names = [candidate.name for candidate in report.candidates]
    return {"field": "name", "type": "nominal", "legend": None, "scale": {"domain": names, "range": palette.series}}


def said(**channels: Any) -> Spec:
    """An encoding whose marks tell their numbers (`told`) to screen readers and pointers."""
    return {**channels, "description": {"field": "told", "type": "nominal"}}


def numeric(field: str, title: str | None, *, axis: Spec | None = None, **scale: Any) -> Spec:
    """A channel of numbers that need not start at 0."""
    return {
        "field": field,
        "type": "quantitative",
        "title": title,
        "scale": {"zero": False, **scale},
        "axis": {"tickCount": 5, **(axis or {})},
    }


def zero(palette: Palette, channel: str = "x") -> Spec:
    """A dashed line at 0."""
    return {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "color": palette.muted, "strokeDash": [4, 3], "aria": False},
        "encoding": {channel: {"datum": 0, "type": "quantitative"}},
    }


def names(order: Sequence[str]) -> Spec:
    """A channel of candidates, in this order."""
    return {"field": "name", "type": "nominal", "sort": list(order), "title": None, "axis": {"grid": False}}
