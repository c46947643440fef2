"""What is gone of an event log by its retention: the file `expired` beside its segments, as JSON.

It says of each archive that was dropped which number its last event had, so that a missing file is told from a lost
one, and a cursor that names it still holds; and how many predictions of which endpoint and hour are gone. What is going
stands there before it goes, with the digest of its archive as it was: by that, who comes after a crash sees whether it
has gone.
"""

from pathlib import Path

import msgspec

from bakeoff.core.errors import CorruptError
from bakeoff.stores.files import durable_write

__all__ = ["ExpiredLog", "Going", "Hours", "dropped", "expired_log", "expired_path", "seal_path"]

Hours = dict[str, dict[int, int]]
"""Predictions by endpoint and hour since 1970."""


class Going(msgspec.Struct, kw_only=True):
    """An archive of which something goes: its name, what it was, whether all of it goes, and the predictions."""

    stem: str
    last_seq: int
    digest: str
    whole: bool
    hours: Hours


class ExpiredLog(msgspec.Struct, kw_only=True):
    """What the file holds."""

    format: int = 1
    hours: Hours = {}
    dropped: dict[str, int] = {}
    going: Going | None = None

    def settle(self) -> None:
        """What was going is gone."""
        assert self.going is not None
        for endpoint, hours in self.going.hours.items():
            of_endpoint = self.hours.setdefault(endpoint, {})
            for hour, count in hours.items():
                of_endpoint[hour] = of_endpoint.get(hour, 0) + count
        if self.going.whole:
            self.dropped[self.going.stem] = self.going.last_seq
        self.going = None

    def write(self, root: Path) -> None:
        """Store it durably."""
        durable_write(expired_path(root), [msgspec.json.encode(self)], staging=root)


def expired_path(root: Path) -> Path:
    """Where the file stands."""
    return root / "expired"


def seal_path(segment: Path) -> Path:
    """The file that asks the writer of a segment to close it."""
    return segment.with_suffix(".seal")


def expired_log(root: Path) -> ExpiredLog:
    """What is known to be gone.

    Raises:
        CorruptError: the file is damaged.
    """
    path = expired_path(root)
    try:
        return msgspec.json.decode(path.read_bytes(), type=ExpiredLog)
    except FileNotFoundError:
        return ExpiredLog()
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptError(
            f"{path}, which says what is past its retention, cannot be read ({error}): restore it from a backup, or "
            "run 'bakeoff verify --repair'"
        ) from error


def dropped(root: Path) -> dict[str, int]:
    """The archives that were dropped, or are being, with the number of the last event of each."""
    known = expired_log(root)
    going = known.going
    return known.dropped | ({going.stem: going.last_seq} if going is not None and going.whole else {})
