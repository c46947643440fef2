"""Which predictions there are: by id, from the log, of which only what was added is read again."""

import threading
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from bakeoff.core.protocols import EventLog
from bakeoff.core.types import Json

__all__ = ["PredictionIndex", "Served"]

RUN = 1 << 16
"""Predictions that are looked up in a dictionary before they are moved to sorted arrays, 12 bytes each."""


class Served(NamedTuple):
    """By which model version on which endpoint a prediction was made."""

    endpoint: str
    model_version: str


class PredictionIndex:
    """Finds predictions by their ids; safe to use from several threads.

    Ids are compared by 64 bits of their hash: of ten million predictions, one in a million unknown ids is taken for
    a known one by chance.
    """

    def __init__(self, events: EventLog) -> None:
        self._follow = events.follow("prediction")
        self._served: list[Served] = []
        self._places: dict[Served, int] = {}
        self._recent: dict[int, int] = {}
        self._runs: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []
        self._lock = threading.Lock()

    def find(self, ids: Collection[str]) -> Mapping[str, Served]:
        """Those of the ids that are predictions."""
        with self._lock:
            places = dict(self._find(ids))
            if len(places) < len(set(ids)):
                self._read()
                places |= self._find([name for name in ids if name not in places])
            return {name: self._served[place] for name, place in places.items()}

    def _find(self, ids: Collection[str]) -> Iterator[tuple[str, int]]:
        for name in ids:
            key = hash(name)
            place = self._recent.get(key)
            if place is None:
                place = next((found for run in self._runs if (found := _in_run(run, key)) is not None), None)
            if place is not None:
                yield name, place

    def _read(self) -> None:
        for event in self._follow():
            if "id" in event:
                self._recent[hash(cast("str", event["id"]))] = self._place(event)
                if len(self._recent) >= RUN:
                    self._pack()

    def _place(self, event: Mapping[str, Json]) -> int:
        served = Served(cast("str", event["endpoint"]), cast("str", event["model_version"]))
        if served not in self._places:
            self._places[served] = len(self._served)
            self._served.append(served)
        return self._places[served]

    def _pack(self) -> None:
        key_n = np.fromiter(self._recent, dtype=np.int64, count=len(self._recent))
        place_n = np.fromiter(self._recent.values(), dtype=np.int32, count=len(self._recent))
        order = np.argsort(key_n)
        self._runs.append((key_n[order], place_n[order]))
        self._recent = {}


def _in_run(run: tuple[NDArray[np.int64], NDArray[np.int32]], key: int) -> int | None:
    key_n, place_n = run
    at = int(np.searchsorted(key_n, key))
    return int(place_n[at]) if at < len(key_n) and key_n[at] == key else None
