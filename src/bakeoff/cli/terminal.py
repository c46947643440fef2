"""What goes to the terminal: the one place that makes any text fit to be printed.

Names, labels and texts come from people's data. Characters that steer a terminal are shown, never sent (CWE-150), and
what the output's encoding cannot hold becomes the nearest plain characters. Inside JSON both become escapes, so that
a program reads back exactly what was meant.
"""

import contextlib
import io
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TextIO

from bakeoff.core.streams import watched

__all__ = ["Terminal", "loud", "one_line", "printable", "terminal", "width", "write_text"]

WIDTH = 1_000
"""Of tables where the output is no terminal and COLUMNS is not set: a row is a line."""
LEAST_WIDTH = 20

# C0 but for tab and line feed, DEL, C1, the line ends of Unicode, what changes the direction of text, half characters.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

# Of ours alone: what people must not overlook stands between these two, which Unicode keeps for inner use.
_LOUD, _QUIET = "\ufdd0", "\ufdd1"
_ANSI: Mapping[str, str] = {_LOUD: "\x1b[1;31m", _QUIET: "\x1b[0m"}

_PLAIN: Mapping[str, str] = {
    "\u2013": "-",
    "\u2014": "-",
    "\u2212": "-",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2026": "...",
    "\u2264": "<=",
    "\u2265": ">=",
    "\u2260": "!=",
    "\u2248": "~",
    "\u00b1": "+/-",
    "\u00d7": "x",
    "\u00b7": ".",
    "\u2022": "*",
    "\u2192": "->",
    "\u2190": "<-",
    "\u2500": "-",
    "\u2501": "-",
    "\u2502": "|",
    "\u00a0": " ",
}


def printable(text: str, *, encoding: str = "utf-8", as_json: bool = False) -> str:
    r"""The text without characters that steer a terminal, in characters that the encoding has.

    >>> printable("a\x1b[31m\tb\n"), printable("a\x1b", as_json=True)
    ('a\\x1b[31m\tb\n', 'a\\u001b')
    >>> printable("0.5 – 0.9 é 日", encoding="latin-1"), printable("é 日", encoding="ascii", as_json=True)
    ('0.5 - 0.9 é ?', '\\u00e9 \\u65e5')
    """
    text = _STEERING.sub(lambda match: _escape(match[0], as_json=as_json), text)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_fitting(character, encoding, as_json=as_json) for character in text)
    return text


def one_line(text: str) -> str:
    r"""A name from elsewhere as part of a line: what would end or jump within the line is an escape.

    >>> one_line("a\nb\tc")
    'a\\nb\\tc'
    """
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _escape(character: str, *, as_json: bool) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF and not as_json else f"\\u{code:04x}"  # noqa: PLR2004 - one byte


def _fitting(character: str, encoding: str, *, as_json: bool) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        if as_json:
            units = character.encode("utf-16-be").hex()
            return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
        if character in _PLAIN:
            return _PLAIN[character]
        parts = unicodedata.normalize("NFKD", character)
        return "".join(part for part in parts if part.isascii()) or "?"
    return character


def loud(text: str) -> str:
    """The text in bold and red, where a terminal can and NO_COLOR is not set."""
    return f"{_LOUD}{text}{_QUIET}"


class Terminal(io.TextIOBase):
    """A text stream that only writes what is printable.

    Args:
        stream: Where it goes.
        as_json: Whether what is written is JSON.
        optional: Whether it is no matter that the reader has left (progress, as against data).
    """

    def __init__(self, stream: TextIO, *, as_json: bool = False, optional: bool = False) -> None:
        super().__init__()
        self._stream, self._as_json, self._optional = stream, as_json, optional
        self._coloured = not as_json and stream.isatty() and not os.environ.get("NO_COLOR")

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - a plain attribute there
        """The encoding of what is written."""
        return self._stream.encoding or "utf-8"

    @property
    def below(self) -> TextIO:
        """What it writes to, for a protocol that is no text for people; with a `buffer`, click would write past it."""
        return self._stream

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor below."""
        return self._stream.fileno()

    def write(self, text: str, /) -> int:
        """Write what is printable of a text."""
        with self._leaving():
            self._stream.write("".join(map(self._shown, re.split(f"([{_LOUD}{_QUIET}])", text))))
        return len(text)

    def _shown(self, part: str) -> str:
        if part in _ANSI:
            return _ANSI[part] if self._coloured else ""
        return printable(part, encoding=self.encoding, as_json=self._as_json)

    def flush(self) -> None:
        """Send what was written."""
        with self._leaving():
            self._stream.flush()

    @contextlib.contextmanager
    def _leaving(self) -> Generator[None]:
        try:
            yield
        except BrokenPipeError:
            if not self._optional:
                raise


@contextlib.contextmanager
def terminal(*, as_json: bool) -> Generator[None]:
    """Within the block all that is printed goes through `Terminal`; a stream that is closed stays closed."""
    out, err = sys.stdout, sys.stderr
    # They are None in a process that was started with its output closed.
    with contextlib.ExitStack() as stack:
        if out is not None:  # pyright: ignore[reportUnnecessaryComparison]
            stack.enter_context(contextlib.redirect_stdout(Terminal(out, as_json=as_json)))
        if err is not None:  # pyright: ignore[reportUnnecessaryComparison]
            stack.enter_context(contextlib.redirect_stderr(Terminal(err, optional=True)))
        yield


def width() -> int:
    """Columns that a table may take: COLUMNS, else those of the terminal; where there is none, as many as it needs."""
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return max(LEAST_WIDTH, int(given))
    return max(LEAST_WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns) if watched(sys.stdout) else WIDTH


def write_text(file: Path, text: str) -> None:
    """Write a file for people: always UTF-8, whatever the locale; characters that steer a terminal are replaced.

    Raises:
        StoreError: it cannot be written.
    """
    from bakeoff.core.errors import StoreError
    from bakeoff.core.explain import file_advice

    try:
        file.write_text(_STEERING.sub("\ufffd", text), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {str(file)!r}: {error.strerror or error}; {file_advice(error)}") from error
