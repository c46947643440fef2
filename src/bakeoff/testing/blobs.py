"""What every `BlobStore` must do."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.hashing import digest
from bakeoff.core.protocols import BlobStore

__all__ = ["BlobStoreConformance"]

_MEBIBYTE = 1 << 20
# Each example finds what earlier ones left in the store, and several classes inherit the test.
_shared = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
_examples = settings(max_examples=25, deadline=None, suppress_health_check=_shared, database=None)
_unknown = "0" * 64


def _folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def _read(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class BlobStoreConformance:
    """Derive from it and give the fixture `store`: an empty store."""

    @pytest.fixture
    def store(self) -> BlobStore:
        """The store under test."""
        raise NotImplementedError

    @given(data=st.binary(max_size=2000))
    @_examples
    def test_bytes_come_back_under_their_hash(self, store: BlobStore, data: bytes) -> None:
        """The id is the BLAKE3 of the content; storing again changes nothing."""
        blob_id = store.put(data)
        assert blob_id == digest(data) == store.put(data)
        assert store.get(blob_id) == data
        assert store.size_bytes(blob_id) == len(data)
        assert store.contains(blob_id)
        assert store.intact(blob_id)

    @pytest.mark.parametrize("size", [0, _MEBIBYTE - 1, _MEBIBYTE, 5 * _MEBIBYTE + 3])
    def test_any_size(self, store: BlobStore, tmp_path: Path, size: int) -> None:
        """As bytes and as a file, read and fetched."""
        data = bytes(i * i % 251 for i in range(1009)) * (size // 1009 + 1)
        data = data[:size]
        path = tmp_path / "file"
        path.write_bytes(data)
        blob_id = store.put(path)
        assert blob_id == digest(data) == store.put(data)
        assert store.get(blob_id) == data
        assert store.size_bytes(blob_id) == size
        target = tmp_path / "new" / "copy"
        assert store.fetch(blob_id, target) == target
        assert target.read_bytes() == data

    def test_unknown_ids(self, store: BlobStore, tmp_path: Path) -> None:
        """They are not there: `NotFoundError`, and no file is made."""
        for blob_id in (_unknown, "short", "../../etc/passwd", ""):
            assert not store.contains(blob_id)
            assert not store.intact(blob_id)
            for call in (
                lambda blob_id=blob_id: store.get(blob_id),
                lambda blob_id=blob_id: store.size_bytes(blob_id),
                lambda blob_id=blob_id: store.fetch(blob_id, tmp_path / "target"),
                lambda blob_id=blob_id: store.collect([blob_id]),
            ):
                with pytest.raises(NotFoundError):
                    call()
        assert not (tmp_path / "target").exists()

    def test_fetch_replaces_a_file(self, store: BlobStore, tmp_path: Path) -> None:
        """All or nothing."""
        target = tmp_path / "target"
        target.write_bytes(b"old")
        store.fetch(store.put(b"new"), target)
        assert target.read_bytes() == b"new"

    def test_trees_come_back(self, store: BlobStore, tmp_path: Path) -> None:
        """Files in folders, whatever the order in which they were made; equal folders have one id."""
        files = {"a.txt": b"1", "deep/er/b": b"2" * 2 * _MEBIBYTE, "deep/ü": b"", "same": b"1"}
        tree_id = store.put_tree(_folder(tmp_path / "one", files))
        backwards = dict(reversed(files.items()))
        assert store.put_tree(_folder(tmp_path / "two", backwards)) == tree_id
        assert store.size_bytes(tree_id) == 2 * _MEBIBYTE + 2
        assert store.intact(tree_id)
        target = tmp_path / "new" / "target"
        assert store.fetch(tree_id, target) == target
        assert _read(target) == files

    def test_a_tree_that_is_not_cut_is_the_same_tree(self, store: BlobStore, tmp_path: Path) -> None:
        """Cut or not is how it lies there: it has the same id, and is read and collected alike."""
        files = {"a": b"1", "large": bytes(range(256)) * 8 * 1024}
        tree_id = store.put_tree(_folder(tmp_path / "one", files), cut=False)
        assert store.contains(tree_id)
        assert store.intact(tree_id)
        assert store.size_bytes(tree_id) == sum(map(len, files.values()))
        assert _read(store.fetch(tree_id, tmp_path / "fetched")) == files
        assert store.put_tree(tmp_path / "one") == tree_id
        assert _read(store.fetch(tree_id, tmp_path / "again")) == files

    def test_another_tree_has_another_id(self, store: BlobStore, tmp_path: Path) -> None:
        """Names and contents count."""
        variants = [{"a": b"1"}, {"b": b"1"}, {"a": b"2"}, {"a": b"1", "b": b"1"}, {}]
        ids = {store.put_tree(_folder(tmp_path / str(i), v)) for i, v in enumerate(variants[:-1])}
        (tmp_path / "empty").mkdir()
        ids.add(store.put_tree(tmp_path / "empty"))
        assert len(ids) == len(variants)

    def test_a_tree_needs_a_new_or_empty_target(self, store: BlobStore, tmp_path: Path) -> None:
        """A folder with files is left as it is."""
        tree_id = store.put_tree(_folder(tmp_path / "source", {"a": b"1"}))
        (tmp_path / "empty").mkdir()
        assert _read(store.fetch(tree_id, tmp_path / "empty")) == {"a": b"1"}
        full = _folder(tmp_path / "full", {"mine": b"0"})
        with pytest.raises(UsageError):
            store.fetch(tree_id, full)
        assert _read(full) == {"mine": b"0"}

    def test_trees_hold_regular_files_only(self, store: BlobStore, tmp_path: Path) -> None:
        """Links are refused, and so is what is no folder."""
        folder = _folder(tmp_path / "source", {"a": b"1"})
        (folder / "link").symlink_to(folder / "a")
        with pytest.raises(UsageError, match="link"):
            store.put_tree(folder)
        with pytest.raises(UsageError):
            store.put_tree(tmp_path / "none")

    def test_collect_keeps_what_roots_reach(self, store: BlobStore, tmp_path: Path) -> None:
        """Blobs, trees and their files, small and large."""
        large = bytes(range(256)) * 8192
        kept_tree = store.put_tree(_folder(tmp_path / "kept", {"a": b"1", "large": large}))
        lost_tree = store.put_tree(_folder(tmp_path / "lost", {"a": b"1", "b": b"2"}))
        kept, lost = store.put(b"kept"), store.put(b"lost")
        expected = store.collect([kept_tree, kept], grace_s=0, delete=False)
        assert store.contains(lost)
        assert store.collect([kept_tree, kept], grace_s=0) == expected > 0
        assert store.get(kept) == b"kept"
        assert _read(store.fetch(kept_tree, tmp_path / "again")) == {"a": b"1", "large": large}
        assert [store.contains(i) for i in (lost_tree, lost, digest(b"2"))] == [False] * 3
        assert store.collect([kept_tree, kept], grace_s=0) == 0

    def test_collect_spares_what_is_young(self, store: BlobStore) -> None:
        """The grace period is for what is stored but not yet referenced."""
        kept, young = store.put(b"kept"), store.put(b"young")
        assert store.collect([kept]) == 0
        assert store.contains(young)

    def test_collect_refuses_no_roots(self, store: BlobStore) -> None:
        """Nothing is deleted then."""
        blob_id = store.put(b"x")
        with pytest.raises(UsageError):
            store.collect([], grace_s=0)
        assert store.contains(blob_id)
