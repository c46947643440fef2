"""Packs: many objects in a file, every byte of it checked, collected, healed, sent."""

import errno
import io
import json
import os
import random
import time

import pytest

from bakeoff.core.errors import CorruptError, DataError, NotFoundError, StoreError, UsageError
from bakeoff.core.hashing import canonical_json, digest
from bakeoff.stores import files as files_module
from bakeoff.stores import folder_files
from bakeoff.stores.blobs import open_blobs
from bakeoff.stores.chunking import chunks
from bakeoff.stores.objects import Objects
from bakeoff.testing.clock import FakeClock


@pytest.fixture
def clock():
    return FakeClock(step_ms=0)


@pytest.fixture
def store(tmp_path, clock):
    return open_blobs("file://blobs", folder=tmp_path, clock=clock)


def folder(at, files=40, seed=0):
    rng = random.Random(seed)
    at.mkdir()
    for number in range(files):
        place = at / f"part {number % 3}" / f"ü{number}.bin"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(rng.randbytes(rng.randrange(0, 300)))
    return at


def content(at):
    return {each.relative_to(at).as_posix(): each.read_bytes() for each in at.rglob("*") if each.is_file()}


def packs(tmp_path):
    return sorted((tmp_path / "blobs" / "packs").iterdir())


def test_small_files_of_a_folder_are_one_pack(store, tmp_path):
    source = folder(tmp_path / "source")
    tree = store.put_tree(source)
    assert len(packs(tmp_path)) == 1
    assert not (tmp_path / "blobs" / "whole").exists()
    assert content(store.fetch(tree, tmp_path / "again")) == content(source)
    (source / "more").write_bytes(b"more")
    store.put_tree(source)
    assert [path.stat().st_size < 100 for path in packs(tmp_path)].count(True) == 1  # what is new alone is written


@pytest.mark.parametrize("at", [0, -1])
def test_a_repair_leaves_what_is_good_and_storing_again_heals(store, tmp_path, at):
    source = folder(tmp_path / "source")
    tree = store.put_tree(source)
    (pack,) = packs(tmp_path)
    data = bytearray(pack.read_bytes())
    data[at] ^= 1
    pack.write_bytes(data)
    assert not store.intact(tree)
    assert all("put aside" in each.remedy for each in store.check(repair=True) if each.place == str(pack))
    assert list(store.check()) == []
    assert not store.contains(tree)  # a tree that lacks parts is put aside, too
    assert store.put_tree(source) == tree
    assert store.intact(tree)
    assert list(store.check()) == []
    assert content(store.fetch(tree, tmp_path / "again")) == content(source)


def test_a_flip_heals_without_a_repair(store, tmp_path):
    source = folder(tmp_path / "source")
    tree = store.put_tree(source)
    (pack,) = packs(tmp_path)
    data = bytearray(pack.read_bytes())
    data[0] ^= 1
    pack.write_bytes(data)
    assert not store.intact(tree)
    store.put_tree(source)
    assert store.intact(tree)
    assert content(store.fetch(tree, tmp_path / "again")) == content(source)


def test_collecting_takes_out_of_a_pack_what_nobody_needs(store, tmp_path, clock):
    first, second = folder(tmp_path / "first"), folder(tmp_path / "second", seed=1)
    lost, kept = store.put_tree(first), store.put_tree(second)
    shared = store.put_tree(folder(tmp_path / "both", files=60))  # the first's files and twenty more
    assert store.collect([kept, shared], grace_s=0, delete=False) == store.collect([kept, shared], grace_s=0)
    assert not store.contains(lost)
    assert store.collect([kept], grace_s=1) == 0  # all are young
    clock.now_ms += 2_000
    freed = store.collect([kept], grace_s=1)
    assert freed >= sum(map(len, content(tmp_path / "both").values()))
    assert content(store.fetch(kept, tmp_path / "again")) == content(second)
    assert list(store.check()) == []
    assert store.collect([kept], grace_s=1) == 0


def test_what_is_put_again_is_young_again(store, tmp_path, clock):
    source, other = folder(tmp_path / "source"), store.put(b"other")
    tree = store.put_tree(source)
    clock.now_ms += 100_000
    assert store.put_tree(source) == tree
    assert store.collect([other], grace_s=60) == 0
    files = {name: (digest(data), len(data)) for name, data in content(source).items()}
    clock.now_ms += 100_000
    assert store.put_files(files).id == tree  # named by their ids alone
    assert store.collect([other], grace_s=60) == 0
    with pytest.raises(NotFoundError):
        store.put_files({"a": ("0" * 64, 1)})


def test_a_killed_writer_leaves_nothing_that_is_read(store, tmp_path):
    data = bytes(5 << 20)  # more than waits for others: a pack was begun

    def killed():
        with store._objects.together() as put:
            put("whole", digest(data), data)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        killed()
    assert not (tmp_path / "blobs" / "packs").exists()
    assert list((tmp_path / "blobs" / "tmp").iterdir()) == []
    assert not store.contains(digest(data))


def test_a_disk_that_is_full_while_a_thread_writes_leaves_nothing(store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    source = tmp_path / "large"
    source.write_bytes(random.Random(5).randbytes(20 << 20))
    monkeypatch.setattr(files_module.os, "writev", full)
    with pytest.raises(StoreError, match="No space left"):
        store.put(source)
    monkeypatch.undo()
    assert list((tmp_path / "blobs" / "tmp").iterdir()) == []
    blob = store.put(source)
    assert store.fetch(blob, tmp_path / "again").read_bytes() == source.read_bytes()


def test_a_damaged_chunk_is_read_from_where_it_lies_a_second_time(store, tmp_path):
    data = random.Random(5).randbytes(3 << 20)
    source = folder(tmp_path / "source")
    (source / "large").write_bytes(data)
    blob, tree = store.put(data), store.put_tree(source)
    pack = next(path for path in packs(tmp_path) if path.stat().st_size > len(data))
    good = pack.read_bytes()
    pack.write_bytes(bytes(100) + good[100:])
    for damaged in (blob, tree):
        with pytest.raises(CorruptError, match="does not match its hash"):
            store.fetch(damaged, tmp_path / "never")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs", "source"]
    store.put(next(chunks(io.BytesIO(data))))
    assert store.fetch(blob, tmp_path / "again").read_bytes() == data
    assert content(store.fetch(tree, tmp_path / "files")) == content(source)


def test_what_was_sparse_is_sparse_again(store, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name, size in (("ends in data", 8 << 20), ("ends in a hole", 12 << 20)):
        with (source / name).open("wb") as file:
            file.seek((8 << 20) - 4)
            file.write(b"here")
            file.truncate(size)
    again = store.fetch(store.put_tree(source), tmp_path / "again")
    alone = store.fetch(store.put(source / "ends in a hole"), tmp_path / "alone")
    assert content(again) == content(source)
    assert alone.read_bytes() == (source / "ends in a hole").read_bytes()
    assert all(each.stat().st_blocks * 512 < 2 << 20 for each in (alone, *again.iterdir()))


def test_what_is_not_cut_is_one_object(store, tmp_path):
    source = folder(tmp_path / "source")
    (source / "large").write_bytes(random.Random(5).randbytes(3 << 20))
    tree = store.put_tree(source, cut=False)
    assert not (tmp_path / "blobs" / "lists").exists()
    assert content(store.fetch(tree, tmp_path / "again")) == content(source)


def test_chunks_that_lie_side_by_side_are_one_piece(store, tmp_path, clock):
    data = random.Random(5).randbytes(3 << 20)
    store.put(data)
    cut = list(chunks(io.BytesIO(data)))
    objects = Objects(tmp_path / "blobs", clock)
    pieces = list(objects.joined([*map(digest, cut), digest(b"not there")]))
    assert pieces == [(data, [len(each) for each in cut]), (b"", (0,))]


def test_a_wrong_size_in_a_list_of_chunks_is_damage(store, tmp_path):
    """The chunks were right, so that nothing was named; the size that the store tells of the blob was wrong."""
    blob = store.put(random.Random(5).randbytes(3 << 20))
    (path,) = (each for each in (tmp_path / "blobs" / "lists").rglob("*") if each.is_file())
    good = path.read_bytes()
    chunks_of = json.loads(good)
    chunks_of[1][1] += 1
    path.write_bytes(canonical_json(chunks_of))
    assert [each.place for each in store.check()] == [str(path)]
    assert not store.intact(blob)
    with pytest.raises(CorruptError, match="list of chunks"):
        store.get(blob)
    with pytest.raises(CorruptError, match="list of chunks"):
        store.fetch(blob, tmp_path / "never")
    path.write_bytes(good)
    assert store.intact(blob)


def test_links_stay_links_and_never_lead_outside(store, tmp_path):
    source = folder(tmp_path / "source", files=3)
    tree = store.put_files({"a/b": str(source / "part 0" / "ü0.bin")}, {"a/link": "b", "down": "a/b"}).id
    made = store.fetch(tree, tmp_path / "again")
    assert (made / "a" / "link").readlink().as_posix() == "b"
    assert (made / "down").read_bytes() == (source / "part 0" / "ü0.bin").read_bytes()
    for target in ("/etc/passwd", "../b", "a/../../b", "a/../a/b"):  # "a" may be a link, and ".." is above its target
        with pytest.raises(UsageError, match="stays within"):
            store.put_files({}, {"link": target})


@pytest.mark.parametrize("size", [1000, 3 << 20])
def test_a_file_that_changes_while_it_is_read_is_refused(store, tmp_path, monkeypatch, size):
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    real = os.fstat

    def grown(descriptor):
        state = real(descriptor)
        if state.st_size == size:
            with path.open("ab") as file:
                file.write(b"x")
        return state

    monkeypatch.setattr(folder_files.os, "fstat", grown)
    with pytest.raises(DataError, match="changed while it was read"):
        store.put(path)


def test_a_pack_that_comes_within_a_tick_of_the_clock_is_seen(store, tmp_path):
    """Clocks that stamp folders tick some milliseconds: two packs of one tick leave the same time."""
    first = store.put_tree(folder(tmp_path / "first"))
    place, now_ns = tmp_path / "blobs" / "packs", time.time_ns() + 10**9
    os.utime(place, ns=(now_ns, now_ns))
    assert store.contains(first)
    second = open_blobs("file://blobs", folder=tmp_path, clock=FakeClock()).put_tree(folder(tmp_path / "b", seed=1))
    os.utime(place, ns=(now_ns, now_ns))
    assert store.contains(second)
    assert content(store.fetch(second, tmp_path / "out")) == content(tmp_path / "b")


def test_sending_sends_what_the_other_lacks(store, tmp_path):
    other = open_blobs("file://remote", folder=tmp_path, clock=FakeClock())
    source = folder(tmp_path / "source")
    (source / "large").write_bytes(random.Random(5).randbytes(3 << 20))
    tree = store.put_tree(source)
    sent = store.send(other, [tree])
    assert sent >= 3 << 20
    assert store.send(other, [tree]) == 0
    assert content(other.fetch(tree, tmp_path / "again")) == content(source)
    assert list(other.check()) == []


def test_a_store_that_cannot_be_written_is_read_and_checked(store, tmp_path, monkeypatch):
    tree = store.put_tree(folder(tmp_path / "source"))
    real = os.open

    def read_only(path, flags, *rest):
        if flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(30, "Read-only file system")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", read_only)
    assert store.intact(tree)
    assert list(store.check()) == []


def test_what_is_discarded_is_in_no_file_any_more(store, tmp_path):
    first, second = folder(tmp_path / "first"), folder(tmp_path / "second", seed=1)
    (first / "person").write_bytes(b"planted string")
    (first / "large").write_bytes(b"planted string" + random.Random(5).randbytes(2 << 20))
    lost, kept = store.put_tree(first), store.put_tree(second)
    store.discard([lost])
    assert not any(b"planted string" in path.read_bytes() for path in (tmp_path / "blobs").rglob("*") if path.is_file())
    assert not store.contains(lost)
    assert content(store.fetch(kept, tmp_path / "again")) == content(second)
    assert list(store.check()) == []
