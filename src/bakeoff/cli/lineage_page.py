"""The graph of lineage in the terminal: a tree of what a thing was made from, and one of what came of it."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from bakeoff.cli.tables import table
from bakeoff.cli.terminal import printable
from bakeoff.core.graph import LineageGraph, LineageNode
from bakeoff.core.types import Json
from bakeoff.report.numbers import cut

if TYPE_CHECKING:
    from bakeoff.actions.near_rows import TrainingRow
    from bakeoff.actions.reproduce import Reproduction

__all__ = ["page", "reproduction"]

LONGEST = 100
HIDDEN = frozenset({"start_ms", "end_ms", "time_ms", "columns", "endpoint", "release_id", "model_version", "model"})
"""Facts that other nodes show, or that are for programs."""


def page(graph: LineageGraph, near: "Sequence[TrainingRow]" = ()) -> str:
    """The whole page."""
    start = graph.node(graph.start)
    lines = [f"{start.kind} {start.label}", *_facts(start, "  ")]
    parts = {"made from": graph.origins, "what came of it": graph.results}
    for title, further in parts.items():
        tree = list(_tree(start, further, "", {start.id}))
        lines += ["", title, *tree] if tree else []
    lines += [f"… and {count:,} more of the kind {kind}" for kind, count in graph.cut.items()]
    if near:
        rows = [[f"{each.row:,}", f"{each.distance:.3f}", cut(_plain(dict(each.values)), LONGEST)] for each in near]
        lines += ["", "nearest training rows", table(["row", "distance", "values"], rows, right=["row", "distance"])]
    return "\n".join(printable(line) for line in lines)


def _tree(
    node: LineageNode, further: Callable[[str], Iterator[LineageNode]], indent: str, shown: set[str]
) -> Iterator[str]:
    children = list(further(node.id))
    for at, child in enumerate(children):
        last = at == len(children) - 1
        again = child.id in shown
        yield f"{indent}{'└─' if last else '├─'} {child.kind} {child.label}{' (as above)' if again else ''}"
        if again:
            continue
        shown.add(child.id)
        below = f"{indent}{'   ' if last else '│  '}"
        yield from _facts(child, f"{below}   ")
        yield from _tree(child, further, below, shown)


def _facts(node: LineageNode, indent: str) -> Iterator[str]:
    for key, value in node.facts.items():
        if key not in HIDDEN:
            yield f"{indent}{key.replace('_', ' '):<13} {cut(_plain(value), LONGEST)}"


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def reproduction(again: "Reproduction") -> str:
    """What became of a model that was made again."""
    rows = [
        [name, "-" if then is None else f"{then:.6g}", "-" if now is None else f"{now:.6g}"]
        for name, (then, now) in again.metrics.items()
    ]
    lines = [f"{again.model_version} made again: {again.result}", *(f"  {each}" for each in again.reasons)]
    lines += [f"environment  {again.environment}", f"folder       {again.folder} ({again.made})"]
    lines += [f"differs      {each}" for each in again.differences]
    lines += [f"changed      {each}" for each in again.changes]
    lines += ["", table(["metric", "then", "now"], rows, right=["then", "now"])]
    return "\n".join(map(printable, lines))
