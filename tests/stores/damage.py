"""A store that is damaged, and one whose writers are killed: nothing wrong is served, nothing acknowledged is lost.

python tests/stores/damage.py 1000 200     # so many flips and cuts, and so many kills
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from bakeoff import Project
from bakeoff.core.errors import CorruptError, NotFoundError
from bakeoff.stores.blobs import Blobs, open_blobs
from bakeoff.testing.clock import FakeClock

TOML = '[project]\nname = "damage"\n[data]\nsource = "none.csv"\ntarget = "y"\n[candidates.linear]\n'
NEW_STORE = 20
"""After so many kills another store is begun: all that was acknowledged is read after each."""
UNREADABLE = (CorruptError, NotFoundError)


def store(folder: Path) -> Blobs:
    """The store as a process sees it that has just begun."""
    return open_blobs("file://blobs", folder=folder, clock=FakeClock())


def content(at: Path) -> object:
    if at.is_file():
        return at.read_bytes()
    return {each.relative_to(at).as_posix(): each.read_bytes() for each in at.rglob("*") if each.is_file()}


def filled(folder: Path) -> dict[str, object]:
    """A store with objects of each kind, alone and in packs: what its roots are."""
    rng, blobs, roots = random.Random(1), store(folder), dict[str, object]()
    many, few = folder / "many", folder / "few"
    for place, count in ((many, 40), (few, 3)):
        place.mkdir()
        for number in range(count):
            (place / f"ü{number}").write_bytes(rng.randbytes(rng.randrange(1, 500)))
    (folder / "large").write_bytes(rng.randbytes(3 << 19))
    (folder / "small").write_bytes(rng.randbytes(1000))
    for place in (many, few):
        roots[blobs.put_tree(place)] = content(place)
    for place in (folder / "large", folder / "small"):
        roots[blobs.put(place)] = content(place)
    return roots


def served(blobs: Blobs, root: str, folder: Path) -> object:
    """What is fetched; None when it is refused, which must leave nothing behind."""
    target = folder / "out"
    try:
        blobs.fetch(root, target)
    except UNREADABLE:
        assert not target.exists()
        return None
    made = content(target)
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    return made


def changed(good: bytes, rng: random.Random) -> bytes:
    """One bit flipped, or what comes after a byte cut off."""
    at = rng.randrange(len(good))
    if rng.random() < 1 / 3:
        return good[:at]
    return good[:at] + bytes([good[at] ^ (1 << rng.randrange(8))]) + good[at + 1 :]


def flips(folder: Path, count: int) -> dict[str, int]:
    """Damage a file of the store, each time another way: how many times in each kind of file.

    Raises:
        AssertionError: `check` did not name the file, or something that was not stored was served.
    """
    roots, rng, kinds = filled(folder), random.Random(3), dict[str, int]()
    paths = sorted(each for each in (folder / "blobs").rglob("*") if each.is_file() and each.name != "lock")
    running = store(folder)
    assert all(served(running, root, folder) == expected for root, expected in roots.items())
    for number in range(count):
        path = paths[number % len(paths)]
        good = path.read_bytes()
        path.write_bytes(changed(good, rng))
        fresh = store(folder)
        assert str(path) in {each.place for each in fresh.check()}, f"{path} is damaged, and check does not say so"
        for blobs in (fresh, running):
            made = {root: served(blobs, root, folder) for root in roots}
            assert all(each is None or each == roots[root] for root, each in made.items()), f"{path} was served"
            assert None in made.values(), f"{path} is damaged, and all of it was served"
            assert {root for root in roots if not blobs.intact(root)} == {r for r, each in made.items() if each is None}
        path.write_bytes(good)
        kind = path.relative_to(folder / "blobs").parts[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    assert list(store(folder).check()) == []
    return kinds


def write(folder: Path, seed: int, told: int) -> None:
    """Take snapshots of what changes until the process is killed; each is told when it is taken."""
    rng, data = random.Random(seed), folder / f"data {seed}"
    data.mkdir()
    large = bytearray(rng.randbytes(2 << 20))
    with Project(folder) as project:
        while True:
            for _ in range(rng.choice((1, 20))):
                (data / f"{rng.randrange(60)}").write_bytes(rng.randbytes(rng.randrange(2000)))
            if rng.random() < 1 / 3:
                at = rng.randrange(len(large))
                large[at:at] = rng.randbytes(1000)
                (data / "large").write_bytes(large)
            version = project.snapshots.take(data, name="data")
            os.write(told, f"{version.number} {version.content}\n".encode())


def kill(folder: Path, seed: int) -> list[str]:
    """Have a process write, and kill it: what it told was taken."""
    reads, told = os.pipe()
    writer = os.fork()
    if writer == 0:
        try:
            os.close(reads)
            write(folder, seed, told)
        finally:
            os._exit(1)
    os.close(told)
    with os.fdopen(reads) as lines:
        first = lines.readline()
        time.sleep(random.Random(seed).uniform(0, 0.5))
        os.kill(writer, signal.SIGKILL)
        status = os.waitpid(writer, 0)[1]
        assert os.WTERMSIG(status) == signal.SIGKILL, "the writer ended by itself"
        return [line for line in [first, *lines] if line.endswith("\n")]


def kills(folder: Path, count: int) -> int:
    """Kill writers at random instants; how many snapshots they had acknowledged.

    Raises:
        AssertionError: one of these is lost, or `verify` found damage.
    """
    total, acknowledged, place = 0, dict[int, str](), folder
    for number in range(count):
        if number % NEW_STORE == 0:
            acknowledged.clear()
            place = folder / f"project {number}"
            place.mkdir()
            (place / "bakeoff.toml").write_text(TOML)
        lines = [line.split() for line in kill(place, number)]
        acknowledged |= {int(version): content for version, content in lines}
        total += len(lines)
        with Project(place) as project:
            damages = project.verify()
            assert damages == [], damages
            assert project.snapshots.verify() == []
            taken = {each.number: each.content for each in project.snapshots.list()}
        lost = {version for version, content in acknowledged.items() if taken.get(version) != content}
        assert not lost, f"versions {lost} were acknowledged, and are not there"
    return total


def main() -> None:
    for what, work, count in (("flips and cuts", flips, int(sys.argv[1])), ("kills", kills, int(sys.argv[2]))):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            print(f"{count} {what}: {work(Path(folder), count)}, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
