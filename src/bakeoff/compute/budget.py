"""What of this machine running jobs hold, so that no more of them run at once than it can bear."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from bakeoff.core.jobs import Resources
from bakeoff.core.machine import memory_bytes

__all__ = ["Budget"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """All that jobs may hold together; `share` is the number of threads of one that names none."""

    threads: int
    share: int
    memory_bytes: int
    gpus: int

    @classmethod
    def of_machine(cls, *, threads: int, share: int) -> "Budget":
        """All of this machine's memory and GPUs."""
        gpus = len(list(Path("/dev").glob("nvidia[0-9]*")))
        return cls(threads=threads, share=share, memory_bytes=memory_bytes(), gpus=gpus)

    def granted(self, wanted: Resources) -> Resources:
        """What a job gets: threads as it names them, as far as there are so many, or its share."""
        return replace(wanted, threads=min(wanted.threads, self.threads) or self.share)

    def lacks(self, wanted: Resources) -> str | None:
        """What this machine will never have for a job, in words."""
        if wanted.gpus > self.gpus:
            return f"expected {wanted.gpus} GPUs on this machine, received {self.gpus}"
        if self.memory_bytes and wanted.memory_bytes > self.memory_bytes:
            return f"expected {wanted.memory_bytes:,} bytes of memory on this machine, received {self.memory_bytes:,}"
        return None

    def has_room(self, running: Iterable[Resources], granted: Resources) -> bool:
        """Whether a job may start beside those that run; one that is alone always may."""
        others = list(running)
        together = [*others, granted]
        return not others or (
            sum(each.threads for each in together) <= self.threads
            and sum(each.gpus for each in together) <= self.gpus
            and (not self.memory_bytes or sum(each.memory_bytes for each in together) <= self.memory_bytes)
        )
