"""How much memory a process has needed."""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

__all__ = ["peak_memory_bytes", "peak_resident_bytes"]

PROCESSES = Path("/proc")


def peak_memory_bytes() -> int:
    """The most memory that this process has held; on Linux, without what its parent held when it was started.

    There the processes that it has started and that still run count as well: engines have one of their own.
    """
    with suppress(OSError, StopIteration, ValueError):
        return _peak_of("self") + sum(_children())
    return peak_resident_bytes()


def peak_resident_bytes() -> int:
    """The most memory that this process has held, as the system counts it; of a forked one, with its parent's."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kilobytes


def _peak_of(process: str) -> int:
    lines = (PROCESSES / process / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


def _children() -> Iterator[int]:
    """The most that each child has held; one that ends meanwhile, or has ended, has none."""
    listed = _listed()
    for process in _looked_for() if listed is None else listed:
        with suppress(OSError, StopIteration, ValueError):
            yield _peak_of(process)


def _listed() -> list[str] | None:
    """The children of each thread, as Linux lists them; None where it was built without that, or a thread has ended."""
    with suppress(OSError):
        tasks = (PROCESSES / "self" / "task").iterdir()
        return [process for task in tasks for process in (task / "children").read_text(encoding="ascii").split()]
    return None


def _looked_for() -> Iterator[str]:
    """The children among all processes; on a busy machine that takes ten milliseconds."""
    for folder in PROCESSES.iterdir():
        with suppress(OSError, ValueError, IndexError):
            if folder.name.isdecimal() and _parent_of(folder) == os.getpid():
                yield folder.name


def _parent_of(folder: Path) -> int:
    # The name of the program, in parentheses, may hold spaces and parentheses.
    return int((folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
