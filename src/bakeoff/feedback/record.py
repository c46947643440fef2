"""Take in feedback: check every item, then log all of them or none."""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bakeoff.core.errors import DataError
from bakeoff.core.protocols import EventLog
from bakeoff.core.types import Json

__all__ = ["Recorded", "record"]

KINDS = ("label", "rating", "correction")
KNOWN = frozenset({"id", *KINDS, "source", "time_ms"})
MAX_TEXT = 100_000
MAX_ID = 200
MAX_TIME_MS = 2**53
MAX_NUMBER = 2**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """How many items were taken in. Whether their ids are known is found when they are joined."""

    accepted: int


def record(events: EventLog, items: Sequence[Mapping[str, Json]]) -> Recorded:
    """Log feedback durably.

    An item has the `id` of a prediction and one or more of `label` (the truth: text, number or boolean),
    `rating` (a number or boolean) and `correction` (the text that should have been said); `source` (who says
    so) and `time_ms` (since when it is known) are optional. The log keeps all of them; a later item for
    the same id replaces the earlier one. Ids are not looked up here: an id that no prediction has is counted
    as unmatched by `labelled`.

    Raises:
        DataError: an item has the wrong shape; the message names it, and none of them is logged.
    """
    checked = [_checked(item, number) for number, item in enumerate(items)]
    if checked:
        events.append("feedback", checked)
    return Recorded(accepted=len(checked))


def _checked(item: object, number: int) -> dict[str, Json]:
    if not isinstance(item, Mapping):
        raise _wrong(number, "an object with an id", item)
    unknown = sorted(str(key) for key in item if key not in KNOWN)
    if unknown:
        raise _wrong(number, f"only the keys {', '.join(sorted(KNOWN))}", unknown)
    if not (isinstance(item.get("id"), str) and 0 < len(item["id"]) <= MAX_ID):
        raise _wrong(number, f"id to be the id of a prediction (1 to {MAX_ID} characters)", item.get("id"))
    given = {kind: item[kind] for kind in KINDS if item.get(kind) is not None}
    if not given:
        raise _wrong(number, "label, rating or correction", sorted(map(str, item)))
    for kind, value in given.items():
        _check_value(kind, value, number)
    event: dict[str, Json] = {"id": item["id"], **given}
    source, time_ms = item.get("source"), item.get("time_ms")
    if source is not None:
        if not isinstance(source, str) or len(source) > MAX_ID:
            raise _wrong(number, f"source to be a text of at most {MAX_ID} characters", source)
        event["source"] = source
    if time_ms is not None:
        if isinstance(time_ms, bool) or not isinstance(time_ms, int) or not 0 <= time_ms < MAX_TIME_MS:
            raise _wrong(number, "time_ms to be whole milliseconds since 1970", time_ms)
        # The event's own time_ms stays the log's, so that reading "since" never misses late labels.
        event["known_ms"] = time_ms
    return event


def _check_value(kind: str, value: object, number: int) -> None:
    text = isinstance(value, str) and len(value) <= MAX_TEXT
    # A boolean is an int too; what is not finite, or too big for a float to hold, cannot be compared.
    figure = isinstance(value, int | float) and -MAX_NUMBER < value < MAX_NUMBER
    fits = {"label": text or figure, "rating": figure, "correction": text}[kind]
    if not fits:
        expected = {
            "label": f"label to be a text (at most {MAX_TEXT} characters), a finite number or a boolean",
            "rating": "rating to be a finite number or a boolean",
            "correction": f"correction to be a text (at most {MAX_TEXT} characters)",
        }[kind]
        raise _wrong(number, expected, value)


def _wrong(number: int, expected: str, received: object) -> DataError:
    shown = reprlib.repr(received)
    return DataError(f"feedback item {number}: expected {expected}, received {shown}; nothing was recorded")
