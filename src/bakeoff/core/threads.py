"""How many threads numerical libraries use."""

import sys
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

__all__ = ["limited"]


def limited(threads: int) -> AbstractContextManager[Any]:
    """Within it (and after it, where it is not entered), libraries that are loaded use so many threads."""
    return _libraries(len(sys.modules)).limit(limits=threads)


@lru_cache(maxsize=1)
def _libraries(modules: int) -> Any:
    """Those that are loaded; looking for them takes milliseconds, and none comes without a new module."""
    from threadpoolctl import ThreadpoolController

    del modules
    return ThreadpoolController()
