# pyright: basic
# transformers comes without complete types
"""Loading transformers: the missing extra in one line, no progress bars, no network unless it was asked for."""

import contextlib
import io
import warnings
from collections.abc import Generator
from contextlib import contextmanager

from bakeoff.core.errors import MissingExtraError

__all__ = ["need_llm", "quietly"]


def need_llm(family: str) -> None:
    """See that the extra `llm` is installed.

    Raises:
        MissingExtraError: a module of it is not; with the install command.
    """
    import importlib.util

    for module in ("torch", "transformers", "peft", "safetensors"):
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError.of(f"family {family!r}", "llm", module)


@contextmanager
def quietly() -> Generator[None]:
    """No bars and no advice on stderr while transformers loads or writes something."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):  # some bars cannot be turned off
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
