"""The graph of lineage as a picture: a column for each kind that is there, curves from what was to what came of it."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from bakeoff.core.graph import KINDS, LineageGraph, LineageNode
from bakeoff.report.drawing import PICTURE, clean

__all__ = ["lineage_svg"]

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN, HEAD = 232, 62, 64, 18, 24, 34
LONGEST = 34
TELLING = {
    "model": ("candidate", "fitted_on"),
    "dataset": ("rows", "from_feedback"),
    "run": ("status", "trigger"),
    "code": ("branch",),
    "environment": ("python", "packages"),
    "release": ("status",),
    "prediction": ("answer", "at"),
    "feedback": ("truth", "at"),
    "source": ("hash",),
    "snapshot": ("files", "bytes"),
    "prompt": ("file",),
}
"""The facts that stand in a box."""


def lineage_svg(graph: LineageGraph) -> str:
    """The picture as an SVG document, on white; each box tells its facts as a title."""
    places = _places(graph)
    columns = sorted({x for x, _ in places.values()})
    width = MARGIN + (max(columns) + 1) * (WIDTH + GAP_X) - GAP_X + MARGIN
    height = HEAD + MARGIN + max(y for _, y in places.values()) + HEIGHT + MARGIN
    parts = [_curve(places[edge.of], places[edge.made]) for edge in graph.edges]
    parts += [_box(node, places[node.id], first=node.id == graph.start) for node in graph.nodes]
    if graph.cut:
        more = ", ".join(f"{count} more {kind}s" for kind, count in graph.cut.items())
        parts.append(f'<text x="{MARGIN}" y="{height - 8}" fill="{PICTURE.muted}">{escape(more)}</text>')
    title = escape(f"Lineage of {graph.start}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{title}">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="{MARGIN}" y="{MARGIN}" font-size="15" fill="{PICTURE.ink}">{title}</text>{"".join(parts)}</svg>\n'
    )


def _places(graph: LineageGraph) -> dict[str, tuple[int, int]]:
    """The column and the height of each node; a dataset of which a model came stands left of one that came later."""
    depth: dict[str, int] = {}
    order = {kind: at for at, kind in enumerate(KINDS)}
    for _ in graph.nodes:  # as far as the longest way can be
        before = dict(depth)
        for node in graph.nodes:
            origins = [depth.get(each.id, 0) + 1 for each in graph.origins(node.id)]
            depth[node.id] = max(origins, default=0)
        if depth == before:
            break
    for node in graph.nodes:  # what came of nothing stands right before what came of it
        results = [depth[each.id] for each in graph.results(node.id)]
        if results and not list(graph.origins(node.id)):
            depth[node.id] = min(results) - 1
    columns: dict[int, list[LineageNode]] = {}
    for node in sorted(graph.nodes, key=lambda each: order[each.kind]):
        columns.setdefault(depth[node.id], []).append(node)
    tallest = max(map(len, columns.values()))
    return {
        node.id: (at, int((row + (tallest - len(column)) / 2) * (HEIGHT + GAP_Y)))
        for at, (_, column) in enumerate(sorted(columns.items()))
        for row, node in enumerate(column)
    }


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    return MARGIN + place[0] * (WIDTH + GAP_X), HEAD + MARGIN + place[1]


def _curve(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = _corner(start), _corner(end)
    x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT // 2, y2 + HEIGHT // 2
    bend = max(GAP_X // 2, (x2 - x1) // 2)
    path = f"M{x1},{y1} C{x1 + bend},{y1} {x2 - bend},{y2} {x2 - 4},{y2}"
    arrow = f"M{x2 - 8},{y2 - 4} L{x2},{y2} L{x2 - 8},{y2 + 4}"
    return f'<path d="{path} {arrow}" fill="none" stroke="{PICTURE.muted}" stroke-width="1.2"/>'


def _box(node: LineageNode, place: tuple[int, int], *, first: bool) -> str:
    x, y = _corner(place)
    hue = PICTURE.series[KINDS.index(node.kind) % len(PICTURE.series)]
    facts = "; ".join(f"{key}: {value}" for key, value in node.facts.items())
    lines: Sequence[tuple[str, str, int]] = (
        (node.kind, hue, 11),
        (clean(node.label, LONGEST), PICTURE.ink, 12),
        (clean(_telling(node), LONGEST), PICTURE.muted, 11),
    )
    texts = "".join(
        f'<text x="{x + 12}" y="{y + 18 + at * 17}" fill="{colour}" font-size="{size}">{escape(text)}</text>'
        for at, (text, colour, size) in enumerate(lines)
    )
    return (
        f"<g><title>{escape(clean(facts, 600))}</title>"
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#ffffff" stroke="{hue}" '
        f'stroke-width="{2.5 if first else 1}"/><rect x="{x}" y="{y}" width="4" height="{HEIGHT}" fill="{hue}"/>'
        f"{texts}</g>"
    )


def _telling(node: LineageNode) -> str:
    known = [(key, node.facts[key]) for key in TELLING[node.kind] if key in node.facts]
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in known)
