"""Read what was added to the event log since the last look.

Events are numbered over all processes, but one that was numbered earlier may be written later. Within a segment,
which has one writer at a time, they stand in order: so the place that was reached is kept for each segment.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from bakeoff.core.types import Json
from bakeoff.stores import segments

__all__ = ["Follower"]

_FOREVER_MS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class _Place:
    """How far a segment was read: the end in bytes, the last number, and whether nothing more can come."""

    end: int = 0
    last_seq: int = 0
    sealed: bool = False


class Follower:
    """Gives the events of a kind that it has not given before; not for several threads at once."""

    def __init__(self, root: Path, kind: str) -> None:
        self._root, self._kind = root, kind
        self._places: dict[str, _Place] = {}
        self._decode = msgspec.json.Decoder(dict[str, object]).decode

    def __call__(self) -> Iterator[Mapping[str, Json]]:
        """The events added, segment by segment."""
        stems = sorted({path.stem for path in self._root.glob("*.*") if path.stem.isdigit()})
        for stem in stems:
            place = self._places.get(stem, _Place())
            if not place.sealed:
                for seq, payload in self._added(stem, place):
                    event = self._decode(payload)
                    event["seq"] = seq
                    yield cast("Mapping[str, Json]", event)

    def _added(self, stem: str, place: _Place) -> Iterator[tuple[int, bytes]]:
        # A writer may seal the segment and a compaction may move it while we look.
        for suffix in (".parquet", ".open", ".log", ".parquet"):
            path = self._root / f"{stem}{suffix}"
            try:
                if path.exists():
                    yield from self._archived(path, place) if suffix == ".parquet" else self._written(path, place)
                    return
            except FileNotFoundError:
                place = self._places.get(stem, _Place())
        if (error := segments.gone(self._root, stem)) is not None:
            raise error

    def _written(self, path: Path, place: _Place) -> Iterator[tuple[int, bytes]]:
        for frame in segments.frames(path, place.end):
            self._places[path.stem] = _Place(frame.end, frame.first_seq + frame.count - 1)
            for index, item in enumerate(segments.items(frame)):
                if item.kind == self._kind:
                    yield frame.first_seq + index, item.payload
        if path.suffix == ".log":
            at = self._places.get(path.stem, place)
            self._places[path.stem] = _Place(at.end, at.last_seq, sealed=True)

    def _archived(self, path: Path, place: _Place) -> Iterator[tuple[int, bytes]]:
        from bakeoff.stores import archive  # polars takes a while to import

        for row in archive.rows(path, self._kind, -_FOREVER_MS, _FOREVER_MS):
            if row.seq > place.last_seq:
                yield row.seq, row.payload
        self._places[path.stem] = _Place(0, 0, sealed=True)
