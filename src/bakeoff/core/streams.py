"""Whether a person looks on."""

from typing import TextIO

__all__ = ["watched"]


def watched(stream: TextIO | None) -> bool:
    """Whether a stream is a terminal's; it is None in a process that was started with it closed (`2>&-`)."""
    return stream is not None and stream.isatty()
