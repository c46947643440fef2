"""Tables in the terminal."""

import io
from collections.abc import Iterable, Sequence

from bakeoff.cli.terminal import printable, width

__all__ = ["table"]

FOLDED, GAP = 10, 2
"""A column is folded to no less than this width; columns stand this far apart."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> str:
    """A table as text, as wide as the terminal if that is enough; cells are folded into several lines, never cut."""
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(Text(printable(column)), justify="right" if column in right else "left", overflow="fold")
    cells = [[printable(cell) for cell in row] for row in rows]
    for row in cells:
        made.add_row(*(Text(cell) for cell in row))
    # Beyond this rich cuts off what has no room.
    longest = (max(map(cell_len, each), default=0) for each in zip(columns, *cells, strict=False))
    least = sum(min(FOLDED, length) + GAP for length in longest)
    out = io.StringIO()
    Console(file=out, width=max(width(), least), no_color=True, highlight=False, legacy_windows=False).print(made)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
