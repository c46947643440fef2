"""What is going on, while it goes on: lines on stderr and, on a terminal, a clock below them."""

import logging
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bakeoff.cli.options import show_progress
from bakeoff.core.streams import watched

if TYPE_CHECKING:
    from bakeoff.core.jobs import Progress

__all__ = ["clocked"]

WIDTH = 60
"""Characters of the last line that stand beside the clock."""


@contextmanager
def clocked() -> Generator["Progress"]:
    """Takes lines as `show_progress` does; on a terminal the time so far stands below them, every second."""
    if not watched(sys.stderr) or not logging.getLogger(__name__).isEnabledFor(logging.INFO):
        yield show_progress
        return
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True, highlight=False)
    columns = SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False)
    with Bar(*columns, console=console, transient=True, refresh_per_second=2) as bar:
        task = bar.add_task("")

        def show(line: str) -> None:
            console.print(f"  {line}", markup=False, soft_wrap=True)
            bar.update(task, description=line[:WIDTH])

        yield show
