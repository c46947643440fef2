"""The history of metrics: a block for what one write brings, packed, each with a checksum of its own.

A block holds, for n values, the place of each one's series among the block's (uint32), its step, its time (int64) and
the value (float64), one after the other, little-endian, behind eight bytes of BLAKE3 of series and values.
"""

import json
import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from blake3 import blake3

from bakeoff.core.errors import CorruptError
from bakeoff.core.records import Metric, MetricCurve, Series

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Block", "curve_of", "damaged", "pack", "rank", "values_of", "wrong_latest"]

Block: TypeAlias = tuple[str, bytes]
"""The series as JSON, and the packed values."""
Columns: TypeAlias = "tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]"
COLUMNS = (("series", "<u4"), ("step", "<i8"), ("time_ms", "<i8"), ("value", "<f8"))
"""Of a block, in their order: names and kinds, as numpy writes them."""
FEW = 100
"""Series of a block whose JSON is remembered."""
SUM_BYTES, VALUE_BYTES = 8, sum(int(kind[-1]) for _, kind in COLUMNS)


def pack(metrics: Sequence[Metric]) -> Block:
    """What one write brings, as a block."""
    places: dict[str | tuple[str, Series], int] = {}  # a text alone where it is of nothing, as most are: half the time
    of_each = [each.key if each.series is None else (each.key, each.series) for each in metrics]
    series = array("I", [places.setdefault(each, len(places)) for each in of_each])
    parts = [
        series,
        array("q", [each.step for each in metrics]),
        array("q", [each.time_ms for each in metrics]),
        array("d", [each.value for each in metrics]),
    ]
    if sys.byteorder == "big":
        for part in parts:
            part.byteswap()
    named = _keys if len(places) <= FEW else _keys.__wrapped__
    keys, values = named(tuple(places)), b"".join(part.tobytes() for part in parts)
    return keys, _sum(keys, values) + values


def values_of(blocks: Iterable[Block], key: str, first: int = 0, last: int | None = None) -> tuple[list[Metric], int]:
    """The values of one key in these blocks, in the order of (step, time_ms, value), none of them twice.

    Those from `first` to before `last`, as a page of very many takes no longer than its own; and how many there are.

    Raises:
        CorruptError: a block is not what was written.
    """
    of_what, columns = _in_order(blocks, key)
    values = [
        Metric(key=key, value=value, step=step, time_ms=time_ms, series=of_what[place])
        for place, step, time_ms, value in zip(*(each[first:last].tolist() for each in columns), strict=True)
    ]
    return values, len(columns[0])


def curve_of(blocks: Iterable[Block], key: str) -> MetricCurve:
    """The same as arrays: a fiftieth of the time where there are thousands.

    Raises:
        CorruptError: a block is not what was written.
    """
    _, (_, step_n, time_ms_n, value_n) = _in_order(blocks, key)
    return MetricCurve(step_n=step_n, time_ms_n=time_ms_n, value_n=value_n)


def damaged(keys: str, packed: bytes) -> bool:
    """Whether a block is not what was written."""
    return len(packed) < SUM_BYTES or _sum(keys, packed[SUM_BYTES:]) != packed[:SUM_BYTES]


def wrong_latest(execute: Any) -> Iterator[tuple[str, str]]:
    """The runs and keys in `latest_metrics` of an SQLite database whose value is not the latest of the history.

    `execute` runs one statement of SQL.
    """
    latest: dict[tuple[str, str], tuple[int, int, float]] = {}
    for run_id, keys, packed in execute("SELECT run_id, series, points FROM metric_blocks"):
        if damaged(keys, packed):
            continue
        names = [name for name, *_ in json.loads(keys)]
        for place, *point in zip(*(each.tolist() for each in _unpacked(packed)), strict=True):
            at, its = (run_id, names[place]), _rank(*point)
            if at not in latest or its > latest[at]:
                latest[at] = its
    for run_id, key, *stored in execute("SELECT run_id, key, step, time_ms, value FROM latest_metrics"):
        if latest.get((run_id, key)) != (*stored,):
            yield run_id, key


def rank(metric: Metric) -> tuple[int, int, float]:
    """MLflow's order of a key's values; NaN counts as zero."""
    return _rank(metric.step, metric.time_ms, metric.value)


def _rank(step: int, time_ms: int, value: float) -> tuple[int, int, float]:
    return step, time_ms, 0.0 if math.isnan(value) else value


def _in_order(blocks: Iterable[Block], key: str) -> tuple[list[Series | None], Columns]:
    """What the values are of, and their columns: the place of what each is of, step, time, value."""
    import numpy as np

    of_what: list[Series | None] = []
    parts: list[Columns] = [(np.zeros(0, np.intp), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    for of, columns in _parts(blocks, key):
        if of not in of_what:
            of_what.append(of)
        parts.append((np.full(len(columns[0]), of_what.index(of)), *columns))
    series_n, step_n, time_n, value_n = (np.concatenate([part[at] for part in parts]) for at in range(4))
    if np.all(step_n[1:] > step_n[:-1]):  # as most are logged: nothing to sort, and nothing is there twice
        return of_what, (series_n, step_n, time_n, value_n)
    ranked_n = np.where(np.isnan(value_n), 0.0, value_n)
    order = np.lexsort((value_n.view(np.int64), series_n, ranked_n, time_n, step_n))
    series_n, step_n, time_n, value_n = (each[order] for each in (series_n, step_n, time_n, value_n))
    bits = [series_n, step_n, time_n, value_n.view(np.int64)]
    new = np.ones(len(order), dtype=bool)
    new[1:] = np.any([each[1:] != each[:-1] for each in bits], axis=0)
    return of_what, (series_n[new], step_n[new], time_n[new], value_n[new])


def _parts(
    blocks: Iterable[Block], key: str
) -> "Iterator[tuple[Series | None, tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]]":
    """Steps, times and values of a key, of each thing that they are of; blocks that are alike are unpacked together."""
    import numpy as np

    quoted, alike = json.dumps(key, ensure_ascii=False), dict[tuple[str, int], list[bytes]]()
    for keys, packed in blocks:
        if quoted not in keys:
            continue
        if damaged(keys, packed):
            raise CorruptError("a block of metrics is not what was written: run 'bakeoff verify --repair'")
        alike.setdefault((keys, len(packed)), []).append(packed)
    for (keys, size), packs in alike.items():
        count = (size - SUM_BYTES) // VALUE_BYTES
        block = np.dtype([("sum", f"V{SUM_BYTES}"), *((name, kind, (count,)) for name, kind in COLUMNS)])
        rows = np.frombuffer(b"".join(packs), dtype=block)
        for place, (name, *of) in enumerate(json.loads(keys)):
            if name == key:
                mine = rows["series"] == place
                of_what = Series(model_id=of[0], dataset_name=of[1], dataset_digest=of[2]) if of else None
                yield of_what, (rows["step"][mine], rows["time_ms"][mine], rows["value"][mine])


def _unpacked(packed: bytes) -> "tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]":
    import numpy as np

    count, at = (len(packed) - SUM_BYTES) // VALUE_BYTES, SUM_BYTES
    columns: list[NDArray[Any]] = []
    for _, kind in COLUMNS:
        columns.append(np.frombuffer(packed, dtype=kind, count=count, offset=at))
        at += columns[-1].nbytes
    return columns[0], columns[1], columns[2], columns[3]


@lru_cache(maxsize=200)  # a run logs the same ones again and again
def _keys(places: tuple[str | tuple[str, Series], ...]) -> str:
    """The series of a block as JSON."""
    series = [[each] if isinstance(each, str) else [each[0], *msgspec.structs.astuple(each[1])] for each in places]
    return json.dumps(series, ensure_ascii=False, separators=(",", ":"))


def _sum(keys: str, values: bytes) -> bytes:
    return blake3(keys.encode("utf-8", "surrogatepass") + b"\0" + values).digest(SUM_BYTES)
