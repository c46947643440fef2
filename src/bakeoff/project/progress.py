"""Progress where somebody looks on: a bar in a notebook or a terminal; nothing elsewhere."""

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any, Protocol

from bakeoff.core.jobs import Compute, Job, JobResult, Resources
from bakeoff.core.markup import escaped
from bakeoff.core.streams import watched

__all__ = ["CountedJobs", "ProgressBar", "bar"]

OFTEN_S = 0.1
"""Between two drawings in a notebook, which each are a message."""


class ProgressBar(Protocol):
    """What is drawn: how much of how much is done, and the last line that was told."""

    def line(self, text: str) -> None:
        """Show a line."""
        ...

    def more(self, steps: int) -> None:
        """Expect so many further steps."""
        ...

    def step(self, steps: int = 1) -> None:
        """Steps are done."""
        ...


class _Nothing:
    def line(self, text: str) -> None:
        del text

    def more(self, steps: int) -> None:
        del steps

    def step(self, steps: int = 1) -> None:
        del steps


class _Counts:
    """Steps done and expected, drawn by `draw` whenever something changes."""

    def __init__(self, title: str) -> None:
        self.title, self.text = title, ""
        self.done = self.total = 0
        self.began = time.monotonic()

    def line(self, text: str) -> None:
        self.text = text
        self.draw()

    def more(self, steps: int) -> None:
        self.total += steps
        self.draw()

    def step(self, steps: int = 1) -> None:
        self.done += steps
        self.draw()

    def draw(self) -> None:
        """Show how it stands."""
        raise NotImplementedError


class _NotebookBar(_Counts):
    def __init__(self, title: str, display: Any) -> None:
        super().__init__(title)
        self._drawn = 0.0
        self._handle = display({"text/html": self._html(), "text/plain": title}, raw=True, display_id=True)

    def draw(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= OFTEN_S:
            self._drawn = now
            self.show()

    def show(self) -> None:
        """Draw at once."""
        plain = f"{self.title}: {self.text}"
        self._handle.update({"text/html": self._html(), "text/plain": plain}, raw=True)

    def end(self) -> None:
        """Leave a line of what was done."""
        self.text, self.total = f"{time.monotonic() - self.began:.1f} s", 0
        self.show()

    def _html(self) -> str:
        title, text = escaped(self.title), escaped(self.text)
        if not self.total:
            return f"<div>{title}: {text}</div>"
        drawn = f'<progress max="{self.total}" value="{self.done}"></progress> {self.done}/{self.total}'
        return f"<div>{title}: {drawn} {text} <small>{time.monotonic() - self.began:.0f} s</small></div>"


class _TerminalBar(_Counts):
    def __init__(self, title: str, progress: Any) -> None:
        super().__init__(title)
        self._progress = progress
        self._task = progress.add_task(title, total=None, text="")

    def draw(self) -> None:
        self._progress.update(self._task, total=self.total or None, completed=self.done, text=self.text[:200])


@contextmanager
def bar(title: str, *, shown: bool = True) -> Generator[ProgressBar]:
    """A bar for the block, if it is to be shown; it leaves a line in a notebook, and nothing in a terminal."""
    display = _display() if shown else None
    if display is not None:
        drawn = _NotebookBar(title, display)
        try:
            yield drawn
        finally:
            drawn.end()
    elif shown and watched(sys.stderr):
        from rich.console import Console
        from rich.errors import LiveError
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.table import Column

        text = TextColumn("{task.fields[text]}", markup=False, table_column=Column(no_wrap=True, ratio=1))
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(20), MofNCompleteColumn())
        console = Console(stderr=True)
        progress = Progress(*columns, TimeElapsedColumn(), text, console=console, transient=True, expand=True)
        try:
            progress.start()
        except LiveError:  # another one is drawn already, and this version of rich draws one at a time
            yield _Nothing()
            return
        try:
            yield _TerminalBar(title, progress)
        finally:
            progress.stop()
    else:
        yield _Nothing()


def _display() -> Callable[..., Any] | None:
    """IPython's way to show something in a cell, where this process is a notebook's."""
    shell = sys.modules.get("IPython.core.getipython")
    running = shell.get_ipython() if shell is not None else None
    if running is None or not hasattr(running, "kernel"):
        return None
    from IPython.display import display  # pyright: ignore[reportMissingImports] - it runs this process

    return display


class CountedJobs:
    """A compute backend whose jobs move a bar."""

    def __init__(self, compute: Compute, shown: ProgressBar) -> None:
        self._compute, self._bar = compute, shown

    @property
    def threads(self) -> int:
        """Threads that one job may use."""
        return self._compute.threads

    @property
    def cores(self) -> int:
        """Threads that all jobs together may use."""
        return self._compute.cores

    def expect(self, function: str, requires: Sequence[str], resources: Resources, modules: Sequence[str] = ()) -> None:
        """Be ready for such a job."""
        self._compute.expect(function, requires, resources, modules)

    def run(
        self, jobs: Iterable[Job], *, progress: Callable[[str, str], None], exclusive: bool = False
    ) -> Iterator[JobResult]:
        """Run the jobs (see `Compute.run`); those that can be counted are expected at once, others one by one."""
        listed = isinstance(jobs, Sized)
        if isinstance(jobs, Sized):
            self._bar.more(len(jobs))
        for result in self._compute.run(jobs, progress=progress, exclusive=exclusive):
            if not listed:
                self._bar.more(1)
            self._bar.step()
            yield result
