"""What this machine has to compute with."""

import platform
import shutil
import subprocess
from dataclasses import dataclass

from bakeoff.core.machine import cores, memory_bytes

__all__ = ["Hardware", "hardware"]

TIMEOUT_S = 5.0
QUERY = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Cores that this process may use, memory, and the GPUs that the driver names."""

    machine: str
    cores: int
    memory_bytes: int
    gpus: tuple[str, ...]


def hardware() -> Hardware:
    """Look at this machine."""
    return Hardware(machine=platform.machine(), cores=cores(), memory_bytes=memory_bytes(), gpus=_gpus())


def _gpus() -> tuple[str, ...]:
    if shutil.which(QUERY[0]) is None:
        return ()
    try:
        found = subprocess.run(QUERY, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in found.stdout.splitlines() if line.strip())
