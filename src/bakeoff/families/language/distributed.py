# pyright: basic
# torch comes without complete types
"""One training over several processes, one for each accelerator: each reads its share of every batch.

Sums of losses and gradients are added up over all processes, so that every one of them takes the step that a single
process would have taken, and the number of processes changes nothing but the time. A process that fails ends all.
"""

import multiprocessing
import os
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from bakeoff.core.errors import BakeoffError, CandidateError
from bakeoff.core.protocols import Progress

__all__ = ["Group", "spread"]

Tensor: TypeAlias = Any
_T = TypeVar("_T")
PATIENCE = timedelta(minutes=30)
"""How long processes wait for each other: while one loads a model, or writes it."""
GRACE_S = 2.0
"""How long after an error another one may come that tells more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A process among the `size` that train together; alone, all of this does nothing.

    `number` is that of its accelerator on its machine; None: its rank.
    """

    rank: int = 0
    size: int = 1
    number: int | None = None

    @property
    def device(self) -> str | None:
        """The accelerator of this process; None: the one that there is."""
        import torch

        if self.size == 1:
            return None
        number = self.rank if self.number is None else self.number
        return f"cuda:{number}" if torch.cuda.is_available() else "cpu"

    def share(self, items: Sequence[_T]) -> Sequence[_T]:
        """What of a batch is this process's; rows of like length go to all of them in turn."""
        return items[self.rank :: self.size]

    def summed(self, *values: float) -> list[float]:
        """Each number added up over the processes."""
        if self.size == 1:
            return list(values)
        import torch
        import torch.distributed

        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(sums)
        return sums.tolist()

    def agrees(self, value: int) -> bool:
        """Whether all processes have the same number."""
        total, squares = self.summed(value, value**2)
        return self.size * squares == total**2

    def sum_gradients(self, learned: Sequence[Tensor]) -> None:
        """Add up the gradients of all processes, in one exchange; what none of them has stays without."""
        if self.size == 1:
            return
        import torch
        import torch.distributed

        flags = torch.tensor([float(tensor.grad is not None) for tensor in learned], device=self.device)
        flat = [torch.zeros_like(t) if t.grad is None else t.grad for t in learned]
        sums = torch.cat([flags, *(gradient.flatten().float() for gradient in flat)])
        torch.distributed.all_reduce(sums)
        known = sums[: len(learned)].tolist()
        parts = sums[len(learned) :].split([tensor.numel() for tensor in learned])
        for tensor, part, found in zip(learned, parts, known, strict=True):
            tensor.grad = part.view_as(tensor).to(tensor.dtype) if found else None

    def join(self, meeting: Path) -> None:
        """Meet the other processes by a file that none of them has yet."""
        import torch
        import torch.distributed

        on_gpu = torch.cuda.is_available()
        if on_gpu:
            torch.cuda.set_device(self.rank)
        torch.distributed.init_process_group(
            "nccl" if on_gpu else "gloo",
            init_method=meeting.as_uri(),
            rank=self.rank,
            world_size=self.size,
            timeout=PATIENCE,
        )


def spread(
    function: Callable[[Any, Group, Progress], Any], argument: Any, *, size: int, scratch: Path, progress: Progress
) -> Any:
    """Call a module's function (argument, group, progress) in so many processes at once; what the first one gives.

    Raises:
        CandidateError: a process died. What a process raised is raised here.
    """
    context = multiprocessing.get_context("spawn")
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".meeting-", dir=scratch) as folder:
        processes: list[Any] = []
        ends: list[Connection] = []
        try:
            for rank in range(size):
                ours, theirs = context.Pipe(duplex=False)
                ends.append(ours)
                told = (function, argument, Group(rank=rank, size=size), Path(folder).resolve() / "meeting", theirs)
                process = context.Process(target=_run, args=told, daemon=True)
                process.start()
                processes.append(process)
                theirs.close()  # else its end would not be seen
            return _watched(ends, processes, progress)
        finally:
            for process in processes:
                process.kill()
                process.join()
            for end in ends:
                end.close()


def _watched(ends: Sequence[Connection], processes: Sequence[Any], progress: Progress) -> Any:
    """Pass on what is told, until the first process is done or any has failed."""
    open_ends, errors = list(ends), list[Exception]()
    while True:
        ready = wait(open_ends, timeout=GRACE_S if errors else None)
        for end in ready:
            assert isinstance(end, Connection)
            try:
                kind, value = end.recv()
            except EOFError:
                open_ends.remove(end)
                errors += _death(ends.index(end), processes)
                continue
            if kind == "told":
                progress(value)
            elif kind == "failed":
                errors.append(value)
            elif end is ends[0]:
                return value
        cause = next((error for error in errors if isinstance(error, BakeoffError)), None)
        if errors and (cause or not ready):  # one that only lost the others does not tell why
            raise cause or errors[0]


def _death(rank: int, processes: Sequence[Any]) -> list[Exception]:
    processes[rank].join()
    code = processes[rank].exitcode
    if code == 0:
        return []
    why = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"ended with code {code}"
    return [CandidateError(f"training process {rank + 1} of {len(processes)} {why}; set processes = 1, or batch lower")]


def _run(
    function: Callable[[Any, Group, Progress], Any], argument: Any, group: Group, meeting: Path, end: Connection
) -> None:
    """What a process does."""
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(line: str) -> None:
        if not group.rank:
            end.send(("told", line))

    try:
        group.join(meeting)
        end.send(("done", function(argument, group, tell)))
    except BakeoffError as error:
        end.send(("failed", error))
    except BaseException:  # noqa: BLE001 - whatever it is becomes the candidate's error
        lines = traceback.format_exc().strip()
        end.send(("failed", RuntimeError(f"{lines.splitlines()[-1]} (process {group.rank + 1})\n{lines}")))
    end.close()
    os._exit(0)  # threads of the exchange may hang at exit


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(3)
