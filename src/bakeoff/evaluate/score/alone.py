"""Jobs of one machine that work beside each other, and one at a time alone: while a model is timed, the others wait."""

import fcntl
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

__all__ = ["Alone", "beside_others"]

Alone: TypeAlias = Callable[[], AbstractContextManager[None]]
FILE, TURN = "timing.lock", "timing.turn"


@contextmanager
def beside_others(folder: Path) -> Generator[Alone]:
    """Work beside others of this folder; within a call of what this gives, none of them works.

    The system's locks of files, so that one who dies stops nobody. Who wants to be alone lets go of its share first:
    two who want it at once do not wait for each other. Who was alone goes on when nobody waits to be: else the next one
    would wait for all that is left to do, and a core with it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a") as file, (folder / TURN).open("a") as turn:
        fcntl.flock(file, fcntl.LOCK_SH)

        def in_turn(wanted: int) -> None:
            fcntl.flock(file, fcntl.LOCK_UN)
            fcntl.flock(turn, fcntl.LOCK_EX)
            try:
                fcntl.flock(file, wanted)
            finally:
                fcntl.flock(turn, fcntl.LOCK_UN)

        @contextmanager
        def alone() -> Generator[None]:
            in_turn(fcntl.LOCK_EX)
            try:
                yield
            finally:
                in_turn(fcntl.LOCK_SH)

        yield alone
