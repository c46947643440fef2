"""What this process may use of its machine."""

import math
import os
from contextlib import suppress
from pathlib import Path

__all__ = ["cores", "memory_bytes"]

QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Of a container with a limit of processor time: so many microseconds in so many, or "max" (Linux's cgroup-v2.rst)."""


def cores() -> int:
    """Processors that this process may use, or as many as the processor time of its container comes to."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        share, period = map(int, QUOTA.read_text("ascii").split())
        return max(1, min(there, math.ceil(share / period)))
    return there


def memory_bytes() -> int:
    """The machine's memory; 0 where the system does not say."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
