"""Jobs of one machine that work beside each other, and one at a time alone: while a model is timed, the others wait."""

import fcntl
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeAlias

__all__ = ["Alone", "beside_others"]

Alone: TypeAlias = Callable[[], AbstractContextManager[None]]
FILE = "timing.lock"


@contextmanager
def beside_others(folder: Path) -> Generator[Alone]:
    """Work beside others of this folder; within a call of what this gives, none of them works.

    The system's lock of a file, so that one who dies stops nobody. Who wants to be alone lets go of its share first:
    two who want it at once do not wait for each other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)

        @contextmanager
        def alone() -> Generator[None]:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_SH)

        yield alone
