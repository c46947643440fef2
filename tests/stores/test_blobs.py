import errno
import io
import json
import os
import pickle
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import CorruptError, NotFoundError, SecurityError, StoreError, UsageError
from bakeoff.core.hashing import canonical_json, digest
from bakeoff.stores import files
from bakeoff.stores.blobs import open_blobs
from bakeoff.stores.chunking import LARGEST, SMALLEST, chunks
from bakeoff.stores.encryption import Keyring, new_key
from bakeoff.testing.blobs import BlobStoreConformance
from bakeoff.testing.clock import FakeClock

MEBIBYTE = 1 << 20


@pytest.fixture(params=["plain", "encrypted"])
def keyring(request):
    keys = new_key()
    return Keyring() if request.param == "plain" else Keyring(lambda: keys)


class TestFiles(BlobStoreConformance):
    @pytest.fixture
    def store(self, tmp_path, keyring):
        return open_blobs("file://.bakeoff/blobs", folder=tmp_path / "project", clock=FakeClock(), keyring=keyring)


@pytest.fixture
def clock():
    return FakeClock(step_ms=0)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "blobs"


@pytest.fixture
def store(root, clock, keyring):
    return open_blobs(f"file://{root}", folder=Path("/nowhere"), clock=clock, keyring=keyring)


class Stream:
    """A stream that gives what it has in pieces of any size."""

    def __init__(self, pieces):
        self.pieces, self.rest = iter(pieces), b""

    def readinto(self, buffer):
        while not self.rest and (piece := next(self.pieces, None)) is not None:
            self.rest = piece
        size = min(len(buffer), len(self.rest))
        buffer[:size], self.rest = self.rest[:size], self.rest[size:]
        return size


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def stored(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name != "lock"]


def stored_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in stored(root))


# --- chunking ---------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(sizes=st.lists(st.integers(0, 3 * LARGEST), max_size=4), seed=st.integers(0, 3))
def test_chunks_are_the_stream_and_do_not_depend_on_its_pieces(sizes, seed):
    pieces = [noise(size, seed) for size in sizes]
    whole = b"".join(pieces)
    cut = list(chunks(Stream(pieces)))
    assert b"".join(cut) == whole
    assert cut == list(chunks(io.BytesIO(whole)))
    assert all(SMALLEST <= len(chunk) <= LARGEST for chunk in cut[:-1])


def test_cuts_never_change():
    """Stored blobs share chunks only while the same content is cut the same way."""
    assert [len(chunk) for chunk in chunks(io.BytesIO(noise(MEBIBYTE // 2)))] == [
        *(17431, 66731, 139593, 95160, 102440, 45744, 57189)
    ]


def test_a_folder_that_went_to_another_process_is_opened_there(tmp_path, clock):
    """As the backend `ray` sends it to its tasks."""
    store = open_blobs("file://blobs", folder=tmp_path, clock=clock)
    blob_id = store.put(b"here")
    there = pickle.loads(pickle.dumps(store))
    assert there.get(blob_id) == b"here"
    assert store.get(there.put(b"from there")) == b"from there"


def test_near_identical_blobs_share_bytes(store, root):
    first = noise(20 * MEBIBYTE)
    store.put(first)
    before = stored_bytes(root)
    changed = b"inserted" + first[: 10 * MEBIBYTE] + b"in the middle" + first[10 * MEBIBYTE :]
    blob_id = store.put(changed)
    assert stored_bytes(root) - before < 5 * MEBIBYTE
    assert store.get(blob_id) == changed


def test_uniform_content(store):
    data = bytes(9 * MEBIBYTE)
    assert store.get(store.put(data)) == data


# --- durability -------------------------------------------------------------------------------------


def test_what_is_stored_is_not_written_again(store, root):
    store.put(b"x")
    (path,) = stored(root)
    before = path.stat().st_ino
    store.put(b"x")
    assert path.stat().st_ino == before


def test_sync_comes_before_rename_and_folders_after(store, monkeypatch):
    calls = []
    for module, name in ((os, "fsync"), (Path, "replace"), (Path, "mkdir")):
        real = getattr(module, name)

        def note(*args, real=real, name=name, **kwargs):
            calls.append(name)
            return real(*args, **kwargs)

        monkeypatch.setattr(module, name, note)
    store.put(b"x")
    made = ["mkdir", "fsync"]
    # the store, tmp; then the file, its three new folders, the rename, its folder
    assert calls == [*made, *made, "fsync", *made * 3, "replace", "fsync"]


@pytest.mark.parametrize("size", [1000, 3 * MEBIBYTE])
def test_storing_the_same_again_heals(store, root, size):
    blob_id = store.put(noise(size))
    for path in stored(root):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert not store.intact(blob_id)
        assert any(each.place == str(path) for each in store.check())
        assert store.put(noise(size)) == blob_id
        assert store.intact(blob_id)
        assert path.read_bytes() == content
    assert list(store.check()) == []


def test_a_repair_puts_damaged_objects_aside(store, root, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"a")
    tree, other = store.put_tree(tmp_path / "tree"), store.put(b"other")
    for path in stored(root):
        if path.name != other:
            path.write_bytes(b"damaged")
    places = {path.name for path in stored(root)} - {other}
    assert {each.blob for each in store.check()} == places
    list(store.check(repair=True))
    assert list(store.check()) == []
    assert not store.contains(tree)
    assert store.get(other) == b"other"
    assert sorted(path.read_bytes() for path in (root / "damaged").iterdir()) == [b"damaged"] * 2
    assert store.put_tree(tmp_path / "tree") == tree


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
@pytest.mark.parametrize("size", [1000, 3 * MEBIBYTE])
def test_damage_is_seen(store, root, tmp_path, damage, size):
    blob_id = store.put(noise(size))
    target = tmp_path / "target"
    for path in stored(root):
        content = path.read_bytes()
        damaged = {"flip": bytes([content[0] ^ 1]) + content[1:], "cut": content[:-1], "empty": b""}[damage]
        path.write_bytes(damaged)
        with pytest.raises(CorruptError):
            store.get(blob_id)
        with pytest.raises(CorruptError):
            store.fetch(blob_id, target)
        path.write_bytes(content)
    assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]
    assert len(store.get(blob_id)) == size


def test_a_list_that_tells_of_other_chunks_is_seen(store, root):
    one, two = store.put(noise(2 * MEBIBYTE, 1)), store.put(noise(2 * MEBIBYTE, 2))
    paths = {path.name: path for path in (root / "lists").rglob("*") if path.is_file()}
    paths[one].write_bytes(paths[two].read_bytes())
    with pytest.raises(CorruptError, match=one):
        store.get(one)
    listed = paths[two].read_bytes()
    for damaged in (b"[]", listed.replace(listed[3:4], b"x"), listed[:-9], b"{}", b"\xff"):
        paths[one].write_bytes(damaged)
        with pytest.raises(CorruptError, match=one):
            store.get(one)
        assert not store.contains(one)
        assert [each.blob for each in store.check()] == [one]


def test_a_missing_chunk_is_seen(store, root):
    blob_id = store.put(noise(3 * MEBIBYTE))
    chunk_id, _ = json.loads(store._objects.get("lists", blob_id))[1]
    store._objects._inner._packs.without(next((root / "packs").iterdir()), {chunk_id})
    with pytest.raises(CorruptError, match=chunk_id):
        store.get(blob_id)


def test_a_cut_blob_is_healed_by_putting_it_again(store, root):
    blob_id = store.put(b"content")
    stored(root)[0].write_bytes(b"")
    assert store.put(b"content") == blob_id
    assert store.get(blob_id) == b"content"


@pytest.mark.parametrize("size", [1000, 3 * MEBIBYTE])
def test_a_full_disk_leaves_nothing_behind(store, root, tmp_path, monkeypatch, size):
    kept = store.put(b"kept")
    before = sorted(stored(root))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(StoreError, match="free space"):
            store.put(noise(size))
        patch.setattr(Path, "replace", full)  # a copy is not synced
        with pytest.raises(StoreError, match="free space"):
            store.fetch(kept, tmp_path / "target")
    assert sorted(stored(root)) == before
    assert not (tmp_path / "target").exists()
    assert store.get(store.put(noise(size))) == noise(size)


def test_a_really_full_disk(tmp_path, start):
    code = """
    import os, resource
    from pathlib import Path
    from bakeoff.stores.blobs import open_blobs
    from bakeoff.core.errors import StoreError
    store = open_blobs("file://blobs", folder=Path("."), clock=lambda: 1)
    kept = store.put(b"kept")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        store.put(os.urandom(200_000))
    except StoreError as error:
        print(error)
    assert store.get(kept) == b"kept"
    assert list(Path("blobs/tmp").iterdir()) == []
    try:
        store.put(os.urandom(3_000_000))
    except StoreError:
        print("nor in pieces")
    assert list(Path("blobs/tmp").iterdir()) == []
    store.put(os.urandom(50_000))
    """
    stdout, stderr = start(code).communicate(timeout=30)
    assert stderr == ""
    assert "raise the limit" in stdout
    assert "nor in pieces" in stdout


def test_killed_while_storing(root, store, start):
    code = """
    import random, sys
    from pathlib import Path
    from bakeoff.stores.blobs import open_blobs
    store = open_blobs(f"file://{sys.argv[1]}", folder=Path("."), clock=lambda: 1)
    for seed in range(10**6):
        print(store.put(random.Random(seed).randbytes(1_500_000 if seed % 3 == 0 else 2000)), flush=True)
    """
    child = start(code, root)
    ids = [child.stdout.readline().strip() for _ in range(12)]
    child.kill()
    ids += child.stdout.read().split()
    for blob_id in filter(lambda one: len(one) == 64, ids):
        assert digest(store.get(blob_id)) == blob_id
    assert store.collect(ids[:1], grace_s=0) > 0
    assert [path.name for path in (root / "tmp").iterdir()] == []


def test_processes_store_the_same_at_once(root, store, together):
    code = """
    import random, sys
    from pathlib import Path
    from bakeoff.stores.blobs import open_blobs
    store = open_blobs(f"file://{sys.argv[1]}", folder=Path("."), clock=lambda: 1)
    # together
    print(*(store.put(random.Random(seed).randbytes(1_200_000)) for seed in range(3)))
    """
    first, second = together(code, [root, root])
    assert first == second
    assert all(digest(store.get(blob_id)) == blob_id for blob_id in first.split())


# --- trees ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../escape", "/absolute", "a/../../b", "", "a\0b"])
def test_a_manifest_cannot_escape_its_target(store, root, tmp_path, name):
    manifest = canonical_json({"files": {name: {"id": store.put(b"x"), "size": 1}}})
    tree_id = digest(manifest)
    path = root / "trees" / tree_id[:2] / tree_id[2:4] / tree_id
    path.parent.mkdir(parents=True)
    path.write_bytes(manifest)
    with pytest.raises(SecurityError):
        store.fetch(tree_id, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]


UP_THROUGH_A_LINK = {"a/b/top": "../..", "out": "a/b/top/.."}
"""Each stays inside if names are all that is looked at; the second leads above the folder."""


def test_links_cannot_lead_outside_by_each_other(store, root, tmp_path):
    manifest = canonical_json({"files": {}, "links": UP_THROUGH_A_LINK | {"out/planted": "x"}})
    tree_id = digest(manifest)
    path = root / "trees" / tree_id[:2] / tree_id[2:4] / tree_id
    path.parent.mkdir(parents=True)
    path.write_bytes(manifest)
    with pytest.raises(UsageError, match="'out'"):
        store.fetch(tree_id, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]
    with pytest.raises(UsageError, match="'out'"):
        store.put_files({}, UP_THROUGH_A_LINK)
    kept = {"a/b/top": "../..", "a/up": "../c", "down": "a/b", "here": ".", "none": "a/./x"}
    assert store.links(store.put_files({}, kept).id) == kept


def test_a_link_below_another_is_refused(store, root, tmp_path):
    """Each name and target stays inside, and the last one lies two folders above."""
    links = {"x/y/z": "../..", "x/y/z/q//w": "../../../..", "x/y/z/q/./w/evil": "nowhere"}
    manifest = canonical_json({"files": {}, "links": links})
    tree_id = digest(manifest)
    path = root / "trees" / tree_id[:2] / tree_id[2:4] / tree_id
    path.parent.mkdir(parents=True)
    path.write_bytes(manifest)
    with pytest.raises(UsageError, match="below another link"):
        store.fetch(tree_id, tmp_path / "deep" / "er" / "out")
    assert not list((tmp_path / "deep" / "er").iterdir())
    with pytest.raises(UsageError, match="below another link"):
        store.put_files({}, links)


def test_what_is_fetched_is_readable_as_the_users_own_files_are(store, root, tmp_path):
    """What is stored is its owner's alone; a copy is the user's."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"x")
    before = os.umask(0o022)
    try:
        file = store.fetch(store.put(b"x"), tmp_path / "file")
        tree = store.fetch(store.put_tree(tmp_path / "folder"), tmp_path / "tree")
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (file, tree / "a")] == [0o644, 0o644]
    assert {path.stat().st_mode & 0o077 for path in root.rglob("*") if path.is_file()} == {0}


def test_a_tree_that_fails_leaves_nothing(store, root, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in "abc":
        (source / name).write_text(name)
    tree_id = store.put_tree(source)
    next((root / "whole").rglob(digest(b"c"))).unlink()
    with pytest.raises(NotFoundError):
        store.fetch(tree_id, tmp_path / "target")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs", "source"]


def test_names_that_are_not_utf8_are_refused(store, tmp_path):
    (tmp_path / os.fsdecode(b"\xff")).write_text("")
    with pytest.raises(UsageError, match="UTF-8"):
        store.put_tree(tmp_path)


def test_special_files_are_refused(store, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe"):
        store.put_tree(tmp_path)


# --- collecting -------------------------------------------------------------------------------------


def test_the_grace_period_begins_when_it_was_last_put(store, clock, keyring):
    kept, old, renewed = (store.put(name) for name in (b"kept", b"old", b"renewed"))
    clock.now_ms += 50_000
    store.put(b"renewed")
    clock.now_ms += 50_000
    assert store.collect([kept], grace_s=60) == len(keyring.seal("", b"old"))
    assert [store.contains(blob_id) for blob_id in (kept, old, renewed)] == [True, False, True]


def test_what_another_store_sends_is_young(store, tmp_path, clock):
    """Also what was here already, and old: a collection must not take it before a record names it."""
    other = open_blobs(f"file://{tmp_path / 'other'}", folder=tmp_path, clock=clock)
    sent = [each.put(data) for data in (b"small", noise(2 * MEBIBYTE)) for each in (store, other)][1::2]
    kept = store.put(b"kept")
    clock.now_ms += 50_000
    assert other.send(store, sent) == 0
    clock.now_ms += 50_000
    assert store.collect([kept], grace_s=60) == 0
    assert all(store.contains(blob_id) for blob_id in sent)


def test_abandoned_temporary_files_are_swept(store, root, clock):
    kept = store.put(b"kept")
    abandoned = root / "tmp" / ".tmp-x"
    abandoned.write_bytes(b"12345")
    os.utime(abandoned, (clock.now_ms / 1000, clock.now_ms / 1000))
    assert store.collect([kept], grace_s=60) == 0
    clock.now_ms += 61_000
    assert store.collect([kept], grace_s=60) == 5
    assert not abandoned.exists()


def test_an_unknown_root_stops_the_collection(store):
    kept = store.put(b"kept")
    with pytest.raises(NotFoundError, match="nothing was deleted"):
        store.collect(["0" * 64], grace_s=0)
    assert store.contains(kept)


@pytest.mark.parametrize("url", ["s3://bucket/x", "blobs", "file://"])
def test_other_urls_are_refused(url, tmp_path):
    with pytest.raises(UsageError):
        open_blobs(url, folder=tmp_path, clock=FakeClock())


def test_opening_makes_nothing(tmp_path):
    store = open_blobs("file://blobs", folder=tmp_path, clock=FakeClock())
    assert not store.contains("0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_what_lacks_a_part_is_not_there(store, root, tmp_path):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"a" * 100)
    empty = tmp_path / "empty"
    empty.mkdir()
    tree, large = store.put_tree(tmp_path / "tree"), store.put(random.Random(1).randbytes(5 * MEBIBYTE))
    assert store.contains(tree)
    assert store.contains(large)
    assert store.contains(store.put_tree(empty))
    for part in (*(root / "whole").rglob("*"), *(root / "packs").iterdir()):
        if part.is_file():
            part.unlink()
    assert not store.contains(tree)
    assert not store.contains(large)
