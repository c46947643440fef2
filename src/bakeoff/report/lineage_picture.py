"""The graph of lineage as a picture: a column for each kind that is there, curves from what was to what came of it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from bakeoff.core.graph import KINDS, LineageGraph, LineageNode
from bakeoff.report.drawing import PICTURE, clean

__all__ = ["LineagePlaces", "lineage_svg", "places", "telling"]

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
    layout = places(graph)
    at = {node.id: (column, int(row * (HEIGHT + GAP_Y))) for node, column, row in layout.of_nodes()}
    width = MARGIN + len(layout.columns) * (WIDTH + GAP_X) - GAP_X + MARGIN
    height = HEAD + MARGIN + max(y for _, y in at.values()) + HEIGHT + MARGIN
    parts = [_curve(at[edge.of], at[edge.made]) for edge in graph.edges]
    parts += [_box(node, at[node.id], first=node.id == graph.start) for node in graph.nodes]
    if graph.cut:
        more = ", ".join(f"{count} more {kind}s" for kind, count in graph.cut.items())
        parts.append(f'<text x="{MARGIN}" y="{height - 8}" fill="{PICTURE.muted}">{escape(more)}</text>')
    title = escape(clean(f"Lineage of {graph.start}", 600), {'"': "&quot;"})  # it stands in an attribute, too
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{title}">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="{MARGIN}" y="{MARGIN}" font-size="15" fill="{PICTURE.ink}">{title}</text>{"".join(parts)}</svg>\n'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LineagePlaces:
    """Where nodes stand: columns from what was first to what came last.

    `left_out` has, by the number of a column, how many nodes of each kind have no place in it.
    """

    columns: Sequence[Sequence[LineageNode]]
    left_out: Mapping[int, Mapping[str, int]] = field(default_factory=dict[int, Mapping[str, int]])

    @property
    def tallest(self) -> int:
        """How many nodes the longest column has."""
        return max(map(len, self.columns))

    def of_nodes(self) -> Iterator[tuple[LineageNode, int, float]]:
        """Each node with its column and its row; columns stand in the middle of the tallest one."""
        for at, column in enumerate(self.columns):
            for row, node in enumerate(column):
                yield node, at, row + (self.tallest - len(column)) / 2


def places(graph: LineageGraph, *, most: int | None = None) -> LineagePlaces:
    """The columns of a graph; a dataset of which a model came stands left of one that came later.

    Args:
        graph: nodes and edges; what comes of itself, which nothing should, stands left.
        most: of a column so many nodes have a place: the one that was asked about, then those with most edges.
    """
    origins, results = _neighbours(graph)
    depth = _depths(graph, origins, results)
    for node in graph.nodes:  # what came of nothing stands right before what came of it
        if results[node.id] and not origins[node.id]:
            depth[node.id] = min(depth[each] for each in results[node.id]) - 1
    order = {kind: at for at, kind in enumerate(KINDS)}
    columns: dict[int, list[LineageNode]] = {}
    for node in sorted(graph.nodes, key=lambda each: order[each.kind]):
        columns.setdefault(depth[node.id], []).append(node)
    standing: list[list[LineageNode]] = []
    left_out: dict[int, Counter[str]] = {}
    for at, (_, column) in enumerate(sorted(columns.items())):
        ranked = sorted(
            column, key=lambda each: (each.id != graph.start, -len(origins[each.id]) - len(results[each.id]))
        )
        chosen = {each.id for each in ranked[:most]}
        standing.append([each for each in column if each.id in chosen])
        if len(chosen) < len(column):
            left_out[at] = Counter(each.kind for each in column if each.id not in chosen)
    return LineagePlaces(columns=standing, left_out=left_out)


def _neighbours(graph: LineageGraph) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """By node, what it came of and what came of it."""
    origins: dict[str, list[str]] = {each.id: [] for each in graph.nodes}
    results: dict[str, list[str]] = {each.id: [] for each in graph.nodes}
    for edge in graph.edges:
        origins[edge.made].append(edge.of)
        results[edge.of].append(edge.made)
    return origins, results


def _depths(
    graph: LineageGraph, origins: Mapping[str, Sequence[str]], results: Mapping[str, Sequence[str]]
) -> dict[str, int]:
    """How many steps the longest way to each node has."""
    depth = {each.id: 0 for each in graph.nodes}
    waiting = {key: len(before) for key, before in origins.items()}
    ready = [key for key, count in waiting.items() if not count]
    while ready:
        here = ready.pop()
        for after in results[here]:
            depth[after] = max(depth[after], depth[here] + 1)
            waiting[after] -= 1
            if not waiting[after]:
                ready.append(after)
    return depth


def telling(node: LineageNode) -> str:
    """The facts of a node that stand in its box."""
    known = [(key, node.facts[key]) for key in TELLING[node.kind] if key in node.facts]
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in known)


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
        (clean(telling(node), LONGEST), PICTURE.muted, 11),
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
