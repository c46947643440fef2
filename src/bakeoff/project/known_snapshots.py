"""The snapshots of a project as its records had them last.

To open the records takes as long as a look at a hundred thousand files. So the list is written down with the stamp of
their file: while that is what it was, nobody has written to them, and they need not be opened.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from bakeoff.core.records import Version
from bakeoff.stores.files import read_cached, write_cached
from bakeoff.stores.folder_files import Stamp
from bakeoff.stores.folder_index import is_settled

__all__ = ["KnownSnapshots"]

_State: TypeAlias = list[Stamp | None]
_SCHEME = "sqlite:///"


class _Stored(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    state: _State
    versions: list[dict[str, Any]]


class KnownSnapshots:
    """What is known of them without the records.

    Args:
        cache: the file that has it.
        url: of the records. Of those of a server nothing is known without asking it.
        folder: where a relative path of theirs begins.
    """

    def __init__(self, cache: Path, url: str, folder: Path) -> None:
        self._cache = cache
        path = url.removeprefix(_SCHEME)
        self._records = folder / path if path and path != url and "?" not in path else None

    def versions(self, ask: Callable[[], list[Version]]) -> list[Version]:
        """All snapshots, newest first; by asking, where the records changed since."""
        state = self._state()
        if state is None:
            return ask()
        known = self._read(state)
        if known is None:
            known = ask()
            with suppress(OSError):  # the disk is full, or read-only: then they are asked the next time, too
                write_cached(self._cache, msgspec.msgpack.encode(_Stored(state, [asdict(each) for each in known])))
        return known

    def _read(self, state: _State) -> list[Version] | None:
        body = read_cached(self._cache)
        if body is None:
            return None
        try:
            stored = msgspec.msgpack.decode(body, type=_Stored)
            if stored.state != state:
                return None
            return [_version(each) for each in stored.versions]
        except (msgspec.MsgspecError, TypeError, KeyError):  # of another version of bakeoff
            return None

    def _state(self) -> _State | None:
        """The stamps of the records and of what waits beside them; None when the next write may leave the same."""
        if self._records is None:
            return None
        looked_ns, log = time.time_ns(), f"{self._records}-wal"
        stamps = [_stamp(self._records), _stamp(log)]
        if stamps[1] is not None:  # who opens it gives it to its owner again, which counts as a change
            stamps[1] = stamps[1]._replace(changed_ns=0)
        if not all(is_settled(each.modified_ns, each.changed_ns, looked_ns) for each in stamps if each is not None):
            return None
        return stamps


def _stamp(path: Path | str) -> Stamp | None:
    """None where nothing is written: who only reads makes a log, empty."""
    try:
        stamp = Stamp.of(os.stat(path))  # noqa: PTH116 - a name with a suffix is a text
    except FileNotFoundError:
        return None
    return stamp if stamp.size else None


def _version(known: dict[str, Any]) -> Version:
    known["aliases"] = tuple(known["aliases"])
    return Version(**known)
