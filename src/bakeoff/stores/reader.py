"""Read the event log in the order of its numbers, from a cursor on.

Events are numbered over all processes, but one that was numbered earlier may be written later. Within a segment, which
has one writer at a time, they stand in order: so a cursor is a place in each segment that more may come to. As text:
`NUMBER:START:SEQ,…`, the first of them the segment before which all is read. START is the byte at which the frame with
that event starts: if it does (segments are archived and rewritten), what stands before it is not read again.
"""

import heapq
from collections import deque
from collections.abc import Generator, Iterator
from itertools import chain, islice
from operator import length_hint
from pathlib import Path

import msgspec

from bakeoff.core.errors import NotFoundError, StoreError, UsageError
from bakeoff.core.events import Cursor, Readable
from bakeoff.stores import segments
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.expired import dropped
from bakeoff.stores.segments import EventQuery, NumberedEvents

__all__ = ["Reader"]

LARGEST = 2**63
"""No event has such a number."""
ROWS = 1000
"""Of an archive, that are read at once."""


class Reader:
    """Gives the wanted events after a cursor, once; `cursor` is how far it is.

    Raises:
        UsageError: the cursor is none of this store.
    """

    def __init__(self, root: Path, after: Cursor | None, wanted: EventQuery, keyring: Keyring) -> None:
        self._root, self._wanted, self._keyring = root, wanted, keyring
        self._places, self._starts = _parsed(after) if after else ({}, {})
        self._first = min(self._places, default="")
        self._stems = sorted(self._places)
        self._finished: set[str] = set()
        self._giving: tuple[str, NumberedEvents, Iterator[Readable]] | None = None

    @property
    def cursor(self) -> Cursor:
        """The place after the last event that was given."""
        if self._giving is not None:
            stem, run, rest = self._giving
            if given := len(run.seqs) - length_hint(rest):
                self._places[stem], self._starts[stem] = run.seqs[given - 1], run.start
        unread = [stem for stem in self._stems if stem not in self._finished]
        first = next(iter(unread), self._stems[-1] if self._stems else "")
        places = {stem: self._places.get(stem, 0) for stem in self._stems if stem == first or stem in self._places}
        return Cursor(
            ",".join(f"{int(stem)}:{self._starts.get(stem, 0)}:{seq}" for stem, seq in places.items() if stem >= first)
        )

    def events(self) -> Iterator[Readable]:
        """The events of all segments in the order of their numbers; a segment is opened when its turn comes."""
        return chain.from_iterable(self._given(stem, run) for stem, run in self._runs())

    def _given(self, stem: str, run: NumberedEvents) -> Iterator[Readable]:
        """The events of a run; how many were given, the iterator says, which costs nothing for each of them."""
        rest = iter(run.events)
        self._giving = stem, run, rest
        return rest

    def _runs(self) -> Iterator[tuple[str, NumberedEvents]]:
        """Events that follow each other, with their segment.

        A segment's name is at most its first number, and numbers ascend within it.
        """
        there = {*segments.stems(self._root), *(self._places.keys() & dropped(self._root))}
        if lost := self._places.keys() - there:
            raise _stale(self._root, min(lost))
        self._stems = sorted(stem for stem in there if stem >= self._first)
        later = deque(self._stems)
        heap: list[tuple[int, str, NumberedEvents, Iterator[NumberedEvents]]] = []
        while later or heap:
            while later and (not heap or int(later[0]) <= heap[0][0]):
                stem = later.popleft()
                source = self._source(stem)
                if (run := next(source, None)) is not None:
                    heapq.heappush(heap, (run.seqs[0], stem, run, source))
            if not heap:
                continue
            _, stem, first, source = heapq.heappop(heap)
            # Until this number the events of this segment come one after the other.
            others = min(heap[0][0] if heap else LARGEST, int(later[0]) if later else LARGEST)
            for run in chain((first,), source):
                before, rest = (run, None) if run.seqs[-1] < others else run.split(others)
                if before.seqs:
                    yield stem, before
                    self._places[stem], self._starts[stem], self._giving = before.seqs[-1], before.start, None
                if rest is not None:
                    heapq.heappush(heap, (rest.seqs[0], stem, rest, source))
                    break

    def _source(self, stem: str) -> Iterator[NumberedEvents]:
        """A segment's wanted events after its place."""
        after = self._places.get(stem, 0)
        for path in segments.places(self._root, stem):
            try:
                read = self._archived if path.suffix == ".parquet" else self._written
                start, last = yield from read(path, after)
            except FileNotFoundError:
                continue
            if last < after:
                raise _stale(self._root, stem)
            self._places[stem], self._starts[stem] = last, start
            if path.suffix != ".open":
                self._finished.add(stem)
            return
        if (past := dropped(self._root).get(stem)) is not None:
            self._places[stem] = max(past, after)
            self._finished.add(stem)
            return
        raise segments.gone(self._root, stem) or StoreError(
            f"the events in {self._root / stem}.* have been moved while they were read: read again"
        )

    def _written(self, path: Path, after: int) -> Generator[NumberedEvents, None, tuple[int, int]]:
        start = position = self._start(path, after)
        last = 0
        for frame in segments.frames(path, start):
            start, position = position, frame.end
            last = frame.first_seq + frame.count - 1
            if last > after and (run := self._wanted.read_frame(frame, after, self._keyring)).seqs:
                yield msgspec.structs.replace(run, start=start)
        return start, last

    def _start(self, path: Path, after: int) -> int:
        """Where the frame of the last event that was read starts, if it is still there; else the start of the file."""
        start = self._starts.get(path.stem, 0)
        frame = segments.frame_at(path, start) if start else None
        return start if frame is not None and frame.first_seq <= after < frame.first_seq + frame.count else 0

    def _archived(self, path: Path, after: int) -> Generator[NumberedEvents, None, tuple[int, int]]:
        from bakeoff.stores import archive  # polars takes a while to import

        rows = archive.events(path, self._wanted, self._keyring, after=after)
        while part := list(islice(rows, ROWS)):
            yield NumberedEvents.of(part)
        return 0, archive.last_seq(path, self._keyring)


def _parsed(cursor: Cursor) -> tuple[dict[str, int], dict[str, int]]:
    """The last number that was read of each segment, and where its frame starts (earlier versions did not say so)."""
    try:
        parts = [[int(number) for number in place.split(":")] for place in cursor.split(",")]
        places = {f"{stem:016d}": (start[0] if start else 0, seq) for stem, *start, seq in parts if len(start) <= 1}
    except ValueError as error:
        raise UsageError(f"expected a cursor that this log gave, received {cursor!r}") from error
    if len(places) < len(parts):
        raise UsageError(f"expected a cursor that this log gave, received {cursor!r}")
    return {stem: seq for stem, (_, seq) in places.items()}, {stem: start for stem, (start, _) in places.items()}


def _stale(root: Path, stem: str) -> NotFoundError:
    return NotFoundError(
        f"expected what was read before in segment {int(stem)} of {root}, found less: events were lost, or an older "
        "log was restored; read it from the start"
    )
