"""How many threads numerical libraries use."""

import sys
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

__all__ = ["known_libraries", "limited"]


def limited(threads: int) -> AbstractContextManager[Any]:
    """Within it (and after it, where it is not entered), libraries that are loaded use so many threads."""
    return known_libraries().limit(limits=threads)


def known_libraries() -> Any:
    """Libraries that are loaded; looking for them takes milliseconds, and none comes without a new module."""
    return _libraries(len(sys.modules))


@lru_cache(maxsize=1)
def _libraries(modules: int) -> Any:
    from threadpoolctl import ThreadpoolController

    del modules
    return ThreadpoolController()
