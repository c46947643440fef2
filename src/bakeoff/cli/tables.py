"""Tables in the terminal."""

import io
from collections.abc import Iterable, Sequence

from bakeoff.cli.terminal import printable, width

__all__ = ["table"]

FOLDED, GAP = 10, 2
"""A column is folded to no less than this width; columns stand this far apart."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> str:
    """A table as text, as wide as the terminal; cells are folded into several lines, never cut.

    Where even folded cells have no room beside each other, each row is a block with a line for each column.
    """
    from rich.cells import cell_len

    shown = [printable(column) for column in columns]
    cells = [[printable(cell) for cell in row] for row in rows]
    longest = [max(map(cell_len, each), default=0) for each in zip(shown, *cells, strict=False)]
    least = sum(min(FOLDED, length) + GAP for length in longest) - GAP
    if least > width() and cells:
        return "\n\n".join(_block(shown, row) for row in cells)
    return _side_by_side(shown, cells, right)


def _side_by_side(columns: Sequence[str], cells: Iterable[Sequence[str]], right: Sequence[str]) -> str:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(Text(column), justify="right" if column in right else "left", overflow="fold")
    for row in cells:
        made.add_row(*(Text(cell) for cell in row))
    out = io.StringIO()
    Console(file=out, width=width(), no_color=True, highlight=False, legacy_windows=False).print(made)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _block(columns: Sequence[str], row: Sequence[str]) -> str:
    """One row, a line or more for each of its cells that is not empty."""
    from rich.cells import chop_cells

    lines: list[str] = []
    for column, cell in zip(columns, row, strict=False):
        text = f"{column}: {cell}" if column else cell
        lines += [part for line in text.splitlines() for part in chop_cells(line, width())] if cell else []
    return "\n".join(lines)
