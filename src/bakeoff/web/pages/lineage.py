"""Lineage as a picture: what a thing was made from and what came of it, each box a link, and the same as a table."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import get_args
from urllib.parse import quote

from markupsafe import Markup

from bakeoff.actions.lineage import Direction
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.graph import KINDS, LineageGraph, LineageNode
from bakeoff.core.retention import retention_hint
from bakeoff.report.lineage_picture import LineagePlaces, places, telling
from bakeoff.report.numbers import cut
from bakeoff.web.pages.calls import PageCall, Shown, address
from bakeoff.web.pages.drawing import COLOURS

__all__ = ["graph", "lineage", "picture", "url_of"]

MOST_IN_COLUMN, MOST_ROWS = 12, 200
WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 168, 56, 40, 12, 6
LONGEST, LONGEST_FACTS = 19, 22
HASH = re.compile(r"[0-9a-f]{4,64}")
DIRECTIONS: dict[Direction, str] = {
    "both": "all of it",
    "up": "what it was made from",
    "down": "what came of it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageRow:
    """A node in the table: the node, where its page is, and the nodes that it came of, as (label, address)."""

    node: LineageNode
    url: str
    origins: Sequence[tuple[str, str]]


def lineage(call: PageCall) -> Shown:
    """The lineage of any thing, with what is known of it."""
    made, direction = _graph(call)
    start = made.node(made.start)
    values = {**_values(call, made), "start": start, "direction": direction, "directions": DIRECTIONS}
    return Shown(template="lineage.html", values={**values, "title": f"{start.kind} {start.label}"})


def graph(call: PageCall) -> Shown:
    """The picture and the table, as a part of another page."""
    made, _ = _graph(call)
    return Shown(template="lineage_graph.html", values={**_values(call, made), "title": "Lineage"})


def _graph(call: PageCall) -> tuple[LineageGraph, Direction]:
    """The graph around the thing of the address, as far as the caller reaches.

    Raises:
        NotFoundError: there is no such thing, or it is out of reach. UsageError: there is no such direction.
    """
    thing, wanted = call.query.get("of", ""), call.query.get("direction", "both")
    direction = next((each for each in get_args(Direction) if each == wanted), None)
    if direction is None:
        raise UsageError(f"direction: expected one of {', '.join(DIRECTIONS)}, received {wanted[:40]!r}")
    project, unknown = call.any_project(), f"of: expected a thing that is known here, received {thing[:80]!r}"
    kind, _, name = thing.partition(":")
    if kind == "prediction":
        unknown += retention_hint(project.events, reaches=lambda each: call.principal.reaches("endpoint", each))
    # A source is named by its hash alone: another name would be a path, which the server would go and read.
    if kind not in KINDS or not name or (kind == "source" and not HASH.fullmatch(name)):
        raise NotFoundError(f"of: expected KIND:NAME with one of {', '.join(KINDS)}, received {thing[:80]!r}")
    try:
        made = project.lineage_of(thing, direction=direction)
    except NotFoundError as error:  # in the words for what is out of reach
        raise NotFoundError(unknown) from error
    nodes = tuple(each for each in made.nodes if _reaches(call, each))
    ids = {each.id for each in nodes}
    if made.start not in ids:
        raise NotFoundError(unknown)
    edges = tuple(each for each in made.edges if each.of in ids and each.made in ids)
    return replace(made, nodes=nodes, edges=edges), direction


def _reaches(call: PageCall, node: LineageNode) -> bool:
    """Whether the caller may know of a node."""
    principal, name = call.principal, node.id.partition(":")[2]
    if not principal.scopes:
        return True
    match node.kind:
        case "model":
            return principal.reaches("model", name.rpartition("/")[0])
        case "release":
            return principal.reaches("endpoint", name.rpartition("/")[0])
        case "prediction":
            return principal.reaches("endpoint", str(node.facts["endpoint"]))
        case "feedback":  # of a prediction whose endpoint it does not say
            return principal.everything("endpoint")
        case _:
            return principal.everything("experiment")


def _values(call: PageCall, made: LineageGraph) -> dict[str, object]:
    placed = places(made, most=MOST_IN_COLUMN)
    hidden = sum(sum(each.values()) for each in placed.left_out.values())
    return {
        "picture": picture(made, placed),
        "rows": list(_rows(made)),
        "hidden": hidden,
        "unlisted": max(0, len(made.nodes) - MOST_ROWS),
        "cut": made.cut,
        "count": len(made.nodes),
        "whole": address("/lineage", of=made.start, direction=call.query.get("direction", "")),
    }


def _rows(made: LineageGraph) -> Iterator[LineageRow]:
    by_id = {each.id: each for each in made.nodes}
    origins: dict[str, list[tuple[str, str]]] = {}
    for edge in made.edges:
        of = by_id[edge.of]
        origins.setdefault(edge.made, []).append((f"{of.kind} {of.label}", url_of(of)))
    order = {kind: at for at, kind in enumerate(KINDS)}
    nodes = sorted(made.nodes, key=lambda each: (each.id != made.start, order[each.kind]))
    for node in nodes[:MOST_ROWS]:
        yield LineageRow(node=node, url=url_of(node), origins=origins.get(node.id, ()))


def url_of(node: LineageNode) -> str:
    """Where a node has its page; what has none of its own is shown by its lineage."""
    name = node.id.partition(":")[2]
    owner, _, last = name.rpartition("/")
    match node.kind:
        case "model":
            return f"/models/{quote(owner, safe='')}/{last}"
        case "run":
            return f"/runs/{quote(name, safe='')}"
        case "prediction" | "feedback":
            return f"/predictions/{quote(name.partition('@')[0], safe='')}"
        case "release":
            return f"/endpoints/{quote(owner, safe='')}"
        case "dataset" if "@" in name:  # a run names it, and nobody registered it
            return "/data"
        case _:
            return address("/lineage", of=node.id)


def picture(made: LineageGraph, placed: LineagePlaces) -> Markup:
    """Boxes from what was first to what came last, and curves between them."""
    at = {
        node.id: (EDGE + column * (WIDTH + GAP_X), EDGE + round(row * (HEIGHT + GAP_Y)))
        for node, column, row in placed.of_nodes()
    }
    width = 2 * EDGE + len(placed.columns) * (WIDTH + GAP_X) - GAP_X
    below = 18 if placed.left_out else 0
    height = 2 * EDGE + placed.tallest * (HEIGHT + GAP_Y) - GAP_Y + below
    curves = Markup("").join(_curve(at[e.of], at[e.made]) for e in made.edges if e.of in at and e.made in at)
    boxes = Markup("").join(_box(node, at[node.id], here=node.id == made.start) for node, _, _ in placed.of_nodes())
    more = Markup("").join(
        Markup('<text class="muted" x="{}" y="{}">{}</text>').format(
            EDGE + column * (WIDTH + GAP_X),
            height - 5,
            cut(", ".join(f"{n:,} more: {k}" for k, n in kinds.items()), 30),
        )
        for column, kinds in placed.left_out.items()
    )
    return Markup(
        '<svg class="lineage" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="group" aria-label="Lineage of {2}">'
        "{3}{4}{5}</svg>"
    ).format(width, height, made.start, curves, boxes, more)


def _curve(start: tuple[int, int], end: tuple[int, int]) -> Markup:
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT // 2, end[0], end[1] + HEIGHT // 2
    bend = max(GAP_X // 2, (x2 - x1) // 2)
    return Markup('<path class="edge" d="M{},{} C{},{} {},{} {},{} m-6,-4 l6,4 l-6,4"/>').format(
        x1, y1, x1 + bend, y1, x2 - bend, y2, x2, y2
    )


def _box(node: LineageNode, place: tuple[int, int], *, here: bool) -> Markup:
    x, y = place
    facts = telling(node)
    lines = ((node.kind, "kind"), (_shown(node.label), "name"), (cut(_plain(facts), LONGEST_FACTS), "muted"))
    texts = Markup("").join(
        Markup('<text class="{}" x="{}" y="{}">{}</text>').format(kind, x + 10, y + 16 + row * 16, text)
        for row, (text, kind) in enumerate(lines)
    )
    return Markup(
        '<a href="{}" class="s{}"{}><title>{}</title><rect class="box" x="{}" y="{}" width="{}" height="{}" rx="5"/>'
        "{}</a>"
    ).format(
        url_of(node),
        KINDS.index(node.kind) % COLOURS + 1,
        Markup(' aria-current="true"') if here else "",
        cut(_plain(f"{node.kind} {node.label}{', ' if facts else ''}{facts}"), 300),
        *(x, y, WIDTH, HEIGHT, texts),
    )


def _shown(text: str) -> str:
    return cut(_plain(text), LONGEST)


def _plain(text: str) -> str:
    """Without what turns the direction of writing or is no character."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
