"""Whether this process was forked from one in which polars had begun its threads, which do not come along.

A call of polars would wait for them without end. So what works with tables is refused here, and says what to do.
"""

import os
import sys
from pathlib import Path

from bakeoff.core.errors import UsageError

__all__ = ["require_threads"]

TASKS = Path("/proc/self/task")
_threads = {"running": False, "lost": False}
"""Of the process, which alone can know: whether polars had threads at the last fork, and whether it lost them so."""


def _look() -> None:
    """Before a fork: whether polars is at work here (where that cannot be seen, whether it was imported)."""
    try:
        names = [(task / "comm").read_text() for task in TASKS.iterdir()]
    except OSError:
        _threads["running"] = "polars" in sys.modules
        return
    _threads["running"] = any(name.startswith("polars") for name in names)


def _forked() -> None:
    _threads["lost"] = _threads["lost"] or _threads["running"]


os.register_at_fork(before=_look, after_in_child=_forked)


def require_threads() -> None:
    """Go on where tables can be worked with.

    Raises:
        UsageError: the process was forked from one that had worked with tables.
    """
    if _threads["lost"]:
        raise UsageError(
            "expected a process that was started anew, this one was forked from one that had worked with tables: the "
            "threads of polars do not come along, and it would wait for them without end. Start workers by "
            'multiprocessing.get_context("spawn"), or ProcessPoolExecutor(mp_context=...) with it; those of joblib are '
            "started so unless they are told otherwise"
        )
