"""The trace that a call is a part of, as it goes with the call through tasks and threads.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/: the header `traceparent` is
VERSION-TRACE_ID-PARENT_ID-FLAGS in hexadecimal; ids of zeros only are none.
"""

import contextlib
import re
import secrets
from collections.abc import Generator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from bakeoff.core.types import Json

__all__ = ["Span", "current", "note", "of_rows", "parent_of", "trace_ids", "traceparent", "within"]

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One call: its trace, who called (the id of the caller's span), its own id, and what is noted of it meanwhile."""

    trace_id: str
    parent_id: str | None = None
    span_id: str = field(default_factory=lambda: secrets.token_hex(8))
    attributes: dict[str, Json] = field(default_factory=dict[str, "Json"])


_SPAN: ContextVar[Span | None] = ContextVar("span", default=None)
_OF_ROWS: ContextVar[Sequence[str | None] | None] = ContextVar("of_rows", default=None)


def parent_of(traceparent: str) -> tuple[str, str] | None:
    """The trace and the caller's span that a header names; None for what is none.

    >>> parent_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    ('4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7')
    """
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if (
        match is None
        or match[1] == "ff"
        or (match[1] == "00" and match[5])
        or not (int(match[2], 16) and int(match[3], 16))
    ):
        return None
    return match[2], match[3]


def current() -> str | None:
    """The trace of the call that is being answered."""
    span = _SPAN.get()
    return None if span is None else span.trace_id


def traceparent() -> str | None:
    """The header that makes a call to a service a part of the call that is being answered.

    >>> with within(Span(trace_id="4bf92f3577b34da6a3ce929d0e0e4736", span_id="00f067aa0ba902b7")):
    ...     traceparent()
    '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    """
    span = _SPAN.get()
    return None if span is None else f"00-{span.trace_id}-{span.span_id}-01"


def note(**attributes: Json) -> None:
    """Note something of the call that is being answered; `__` in a name stands for a dot."""
    span = _SPAN.get()
    if span is not None:
        span.attributes.update({name.replace("__", "."): value for name, value in attributes.items()})


@contextlib.contextmanager
def within(span: Span) -> Generator[None]:
    """Answer a call as a part of its trace."""
    token = _SPAN.set(span)
    try:
        yield
    finally:
        _SPAN.reset(token)


@contextlib.contextmanager
def of_rows(traces: Sequence[str | None]) -> Generator[None]:
    """Answer rows of several calls together, each as a part of the trace of its call."""
    token = _OF_ROWS.set(traces)
    try:
        yield
    finally:
        _OF_ROWS.reset(token)


def trace_ids(rows: int) -> Sequence[str | None]:
    """The trace of each of the rows that are being answered."""
    of_each = _OF_ROWS.get()
    return of_each if of_each is not None and len(of_each) == rows else [current()] * rows
