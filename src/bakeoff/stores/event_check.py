"""Look for damage in the event log, and keep what is good of it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bakeoff.core.damage import Damage
from bakeoff.core.errors import CorruptError
from bakeoff.core.hashing import digest
from bakeoff.stores.encryption import Keyring
from bakeoff.stores.expired import dropped, expired_path
from bakeoff.stores.files import durable_folder, durable_write, sync_folder
from bakeoff.stores.ids import ids_path
from bakeoff.stores.ids import read as read_ids
from bakeoff.stores.marks import Mark, mark_path, read_mark
from bakeoff.stores.parity import parity, parity_path, restored
from bakeoff.stores.segments import Frame, encode_frame, frames, items, salvage, stems
from bakeoff.stores.writer import SEQUENCE_BYTES, as_given, greatest, last_given

__all__ = ["check"]

SUFFIXES = (".parquet", ".open", ".log")
MENDED = "made again from its parity, exactly as it was"
BUSY = "stop what writes to it ('bakeoff serve'), then repair again"


def check(root: Path, keyring: Keyring, *, repair: bool) -> Iterator[Damage]:
    """Damaged, cut and lost segments, archives and marks, and a damaged counter of numbers."""
    names = stems(root)
    if (damage := _check_expired(root, repair=repair)) is not None:
        yield damage
    past = {} if damage is not None else dropped(root)
    for stem in names:
        if stem not in past:  # else the next pass removes what is left beside it
            yield from _check_segment(root, stem, keyring, repair=repair)
    if damage is None or repair:
        yield from _check_sequence(root, names, keyring, repair=repair)


def _check_expired(root: Path, *, repair: bool) -> Damage | None:
    try:
        dropped(root)
    except CorruptError:
        path = expired_path(root)
        if repair:
            _put_aside(path)
        lost = "which archives are past their retention, and how many predictions"
        return Damage(place=str(path), problem="is damaged", lost=lost, repaired=repair)
    return None


def _check_segment(root: Path, stem: str, keyring: Keyring, *, repair: bool) -> Iterator[Damage]:
    path = next((file for suffix in SUFFIXES if (file := root / f"{stem}{suffix}").exists()), None)
    if path is None:
        yield from _gone(root / f"{stem}.log", repair=repair)
        return
    mark = read_mark(path)
    unreadable = mark is None and mark_path(path).exists()
    yield from _check_beside(path, mark, keyring, repair=repair)
    problem = _problem(path, keyring)
    if problem is not None and repair:
        mended = mark is not None and _mended(path, mark)
        yield (
            Damage(place=str(path), problem=problem, remedy=MENDED, repaired=True)
            if mended
            else _salvaged(path, mark, problem, keyring)
        )
    elif problem is not None:
        yield Damage(place=str(path), problem=problem)
    elif unreadable:
        if repair:
            _mark_again(path, keyring)
        yield Damage(place=str(mark_path(path)), problem="is damaged; the events beside it are whole", repaired=repair)
    elif mark is None and repair:
        _mark_again(path, keyring)  # a segment of before: from now on its end is known


def _check_beside(path: Path, mark: Mark | None, keyring: Keyring, *, repair: bool) -> Iterator[Damage]:
    """Damage of what mends a whole archive, and of what tells its ids: both are made again."""
    if path.suffix != ".parquet" or mark is None or mark.digest is None or _problem(path, keyring) is not None:
        return
    mends, tells = parity_path(path), ids_path(path)
    wrong = [mends] if mends.exists() and mends.read_bytes() != parity(path.read_bytes()) else []
    wrong += [tells] if tells.exists() and read_ids(path, keyring) is None else []
    if repair and (wrong or not tells.exists()):
        from bakeoff.stores import archive  # polars takes a while to import

        archive.seal(path, keyring)
    for file in wrong:
        yield Damage(place=str(file), problem="is damaged; the events beside it are whole", repaired=repair)


def _gone(segment: Path, *, repair: bool) -> Iterator[Damage]:
    mark = read_mark(segment)
    if mark is None or mark.end == 0:
        return
    if repair and mark.digest is not None and _mended(segment.with_suffix(".parquet"), mark):
        yield Damage(place=str(segment.with_suffix(".parquet")), problem="is gone", remedy=MENDED, repaired=True)
        return
    if repair:
        _put_aside(mark_path(segment))
    first = int(segment.stem)
    lost = f"events {first} to {mark.last_seq}, or some of them"
    yield Damage(
        place=str(segment.with_suffix(".parquet") if mark.digest else segment),
        problem="is gone",
        lost=lost,
        repaired=repair,
    )


def _problem(path: Path, keyring: Keyring) -> str | None:
    """What is wrong with a segment or an archive, if anything.

    Raises:
        MissingKeyError: it is encrypted with a key that is not here: whether it is whole is not known.
    """
    try:
        if path.suffix == ".parquet":
            from bakeoff.stores import archive  # polars takes a while to import

            archive.check(path, keyring)
        else:
            for frame in frames(path):
                items(frame, keyring)
    except CorruptError as error:
        return str(error).partition(":")[0]
    return None


def _salvaged(path: Path, mark: Mark | None, problem: str, keyring: Keyring) -> Damage:
    """The good events of a damaged segment in a new one; the damaged file is put aside."""
    locked = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Damage(place=str(path), problem=problem, remedy=BUSY)
    else:
        good = _good_frames(path, keyring)
        numbers = {seq for first_seq, count, _ in good for seq in range(first_seq, first_seq + count)}
        last = max([*numbers, mark.last_seq if mark else 0])
        first = min(int(path.stem), *numbers) if numbers else int(path.stem)
        lost = max(last - first + 1 - len(numbers), 0)
        target = path.with_suffix(".log")
        data = [frame for _, _, frame in good]
        aside = _put_aside(path)
        durable_write(target, data, staging=path.parent)
        end = sum(map(len, data))
        durable_write(mark_path(path), [Mark(end=end, last_seq=last if numbers else 0).encode()], staging=path.parent)
        return Damage(
            place=str(path),
            problem=problem,
            remedy=f"the damaged file is kept as {aside}",
            repaired=True,
            lost=f"at most {lost} of {last - first + 1} events" if lost else "",
        )
    finally:
        os.close(locked)


def _mended(path: Path, mark: Mark) -> bool:
    """Whether an archive is exactly what was written again, from its parity."""
    file = parity_path(path)
    if mark.digest is None or not file.exists():
        return False
    whole = restored(path.read_bytes() if path.exists() else b"", file.read_bytes())
    if whole is None or digest(whole) != mark.digest:
        return False
    durable_write(path, [whole], staging=path.parent)
    return True


def _good_frames(path: Path, keyring: Keyring) -> list[tuple[int, int, bytes]]:
    """First number, count and bytes of each frame that can still be read; none of an archive, which is one piece."""
    if path.suffix == ".parquet":
        return []
    good: dict[int, Frame] = {}
    for frame in salvage(path):
        with suppress(CorruptError):
            items(frame, keyring)
            good.setdefault(frame.first_seq, frame)
    return [(seq, frame.count, encode_frame(frame)) for seq, frame in sorted(good.items())]


def _mark_again(path: Path, keyring: Keyring) -> None:
    if path.suffix == ".parquet":
        from bakeoff.stores import archive

        archive.seal(path, keyring)
        return
    end, last_seq = 0, 0
    for frame in frames(path):
        end, last_seq = frame.end, frame.first_seq + frame.count - 1
    durable_write(mark_path(path), [Mark(end=end, last_seq=last_seq).encode()], staging=path.parent)


def _put_aside(path: Path) -> Path:
    target = path.parent / "damaged" / path.name
    durable_folder(target.parent)
    for each in (path, parity_path(path), ids_path(path)):
        if each.exists():
            each.replace(target.with_name(each.name))
    sync_folder(path.parent)
    return target


def _check_sequence(root: Path, names: list[str], keyring: Keyring, *, repair: bool) -> Iterator[Damage]:
    path = root / "sequence"
    if not names:
        return
    data = path.read_bytes()[: SEQUENCE_BYTES + 1] if path.exists() else b""
    given, last = last_given(data), greatest(root, keyring)
    if given is None or given < last:
        if repair:
            durable_write(path, [as_given(max(given or 0, last))], staging=root)
        problem = (
            "is gone" if not data else "is damaged" if given is None else f"says {given}, but there is event {last}"
        )
        yield Damage(place=str(path), problem=problem, repaired=repair)
    elif given > last and read_mark(root / f"{names[-1]}.log") is None:
        if repair:
            return  # a mark has been made: what there is now is known
        yield Damage(
            place=str(root / names[-1]),
            problem=f"the last number given is {given}, the last event is {last}",
            lost=f"up to {given - last} events, unless their writer was killed before it wrote them",
        )
