"""Snapshots of files and folders: taken, looked at, compared, checked out, shared."""

import errno
import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import polars as pl
import pytest

from bakeoff import Project
from bakeoff.cli.data_pages import difference_page
from bakeoff.core.errors import CorruptError, DataError, NotFoundError, StoreError, UsageError
from bakeoff.project import snapshots, wiring
from bakeoff.registry.table_difference import table_difference
from bakeoff.stores import blobs, folder_index

TOML = '[project]\nname = "films"\n[data]\nsource = "films.csv"\ntarget = "liked"\n[candidates.linear]\n'
NAMES = ["a.txt", "ü/b c.txt", "ü/日本.txt", "new\nline", "e\u0301.txt", "\u00e9.txt"]


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "bakeoff.toml").write_text(TOML)
    with Project(folder) as opened:
        yield opened


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "link").symlink_to("a.txt")
    old(folder)
    return folder


def old(folder):
    """Let the clock that stamps files tick: what is younger than a look is read again."""
    del folder
    time.sleep(0.03)


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def kinds(difference):
    return {each.name: each.how for each in difference.files}


def test_a_snapshot_comes_back_as_it_was_taken(project, images, tmp_path):
    version = project.snapshots.take(images, tags=["first"])
    assert (version.name, version.number, version.aliases) == ("images", 1, ("first",))
    assert version.snapshot_origin.files == len(NAMES)
    assert project.snapshots.take(images).number == 1  # nothing changed
    made = project.snapshots.checkout("images/first", tmp_path / "again")
    assert tree(made) == tree(images)
    assert (made / "link").readlink().as_posix() == "a.txt"
    with pytest.raises(UsageError, match="new or empty"):
        project.snapshots.checkout("images", made)
    with pytest.raises(NotFoundError, match="images/1"):
        project.snapshots.get("nobody")


@pytest.mark.parametrize("how", ["here", "link", "mounted"])
def test_an_empty_folder_that_must_stay_itself_is_filled(project, images, tmp_path, monkeypatch, how):
    """A shell stands in it, it is a link, or another file system is mounted there: nothing can take its place."""
    target = tmp_path / "target"
    target.mkdir()
    project.snapshots.take(images)
    inode = target.stat().st_ino
    if how == "here":
        monkeypatch.chdir(target)
        project.snapshots.checkout("images", ".")
    elif how == "link":
        (tmp_path / "to it").symlink_to("target")
        project.snapshots.checkout("images", tmp_path / "to it")
    else:
        monkeypatch.setattr(type(target), "is_mount", lambda path: path == target)
        project.snapshots.checkout("images", target)
    assert (target.stat().st_ino, tree(target)) == (inode, tree(images))
    assert (target / "link").readlink().as_posix() == "a.txt"
    assert not any(path.name.startswith(".tmp-") for path in tmp_path.rglob("*"))


def test_status_tells_what_changed_and_reads_nothing_that_did_not(project, images, monkeypatch):
    project.snapshots.take(images)
    read = []
    monkeypatch.setattr("bakeoff.project.snapshots.digest_file", lambda path: read.append(path) or "0" * 64)
    same = project.snapshots.status(images)
    assert (bool(same), same.unchanged, read) == (False, len(NAMES) + 1, [])
    monkeypatch.undo()
    (images / "a.txt").write_text("A.txt")  # as long as before
    (images / "ü" / "b c.txt").rename(images / "moved")
    (images / "e\u0301.txt").unlink()
    (images / "more").write_text("more")
    (images / "link").unlink()
    (images / "link").symlink_to("more")
    changed = project.snapshots.status(images)
    expected = {"a.txt": "changed", "moved": "renamed", "e\u0301.txt": "removed", "more": "added", "link": "changed"}
    assert kinds(changed) == expected
    assert project.snapshots.take(images).number == 2
    assert kinds(project.snapshots.difference("images/1", "images/2")) == expected
    assert not project.snapshots.status(images)


def test_a_change_within_a_tick_of_the_clock_is_seen(project, images, monkeypatch):
    """The same size, times and inode as when it was read: only that it was too young then gives it away."""
    path = images / "a.txt"
    project.snapshots.take(images)
    before = path.stat()
    monkeypatch.setattr(folder_index, "_TICK_NS", 10**12)  # all of them are young
    (images / "more").write_text("more")
    project.snapshots.take(images)
    path.write_text("A.txt")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kinds(project.snapshots.status(images)) == {"a.txt": "changed"}


def test_what_leads_outside_or_is_no_file_is_refused(project, images, tmp_path):
    (images / "out").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="stays within the folder"):
        project.snapshots.take(images)
    (images / "out").unlink()
    os.mkfifo(images / "pipe")
    with pytest.raises(UsageError, match="pipe"):
        project.snapshots.take(images)
    with pytest.raises(UsageError, match="'/dev/null', a device"):
        project.snapshots.take("/dev/null")
    with pytest.raises(NotFoundError, match="nothing"):
        project.snapshots.take(images / "none")


def test_a_folder_that_changes_meanwhile_is_refused(project, images, monkeypatch):
    real = type(project.blobs).put_files

    def put_files(self, *given):
        (images / "late").write_text("late")
        return real(self, *given)

    monkeypatch.setattr(type(project.blobs), "put_files", put_files)
    with pytest.raises(Exception, match="changed while its snapshot was taken"):
        project.snapshots.take(images)


def test_damage_is_named_by_file_and_what_is_needed_is_not_collected(project, images):
    project.snapshots.take(images)
    blob, _ = project.snapshots.files("images")["ü/日本.txt"]
    assert project.collect(grace_s=0, delete=True).deleted == 0
    assert project.snapshots.verify() == []
    path = project.folder / ".bakeoff" / "blobs" / "whole" / blob[:2] / blob[2:4] / blob
    path.write_text("damaged")
    assert project.snapshots.verify("images") == ["images/1: ü/日本.txt"]
    assert any(each.place == str(path) for each in project.verify())


def test_a_folder_that_no_snapshot_keeps_is_put_again(project, images, monkeypatch):
    """One that was killed before it was registered; a collection may come before the next one's record."""
    versions = type(project.records.versions)
    monkeypatch.setattr(versions, "register", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        project.snapshots.take(images)
    monkeypatch.undo()
    put, real = [], type(project.blobs).put_files
    monkeypatch.setattr(type(project.blobs), "put_files", lambda *each: put.append(each) or real(*each))
    project.snapshots.take(images)
    assert len(put) == 1
    project.snapshots.take(images)
    assert len(put) == 1  # a record keeps it now


CSV = "id,size,kind\n" + "".join(f"{n},{n % 7},{'a' if n % 2 else 'b'}\n" for n in range(200))


def test_rows_are_compared_by_key_or_as_wholes(project, tmp_path):
    (tmp_path / "rows.csv").write_text(CSV)
    project.snapshots.take(tmp_path / "rows.csv")
    lines = CSV.splitlines()
    lines[11] = "10,99,b"  # was 10,3,b
    changed = [*lines[:100], *lines[103:], "500,1,c"]
    (tmp_path / "rows.csv").write_text("\n".join(changed) + "\n")
    project.snapshots.take(tmp_path / "rows.csv")
    by_key = project.snapshots.difference("rows.csv/1", "rows.csv/2", key=["id"]).table
    assert (by_key.rows, by_key.added, by_key.removed, by_key.changed) == ((200, 198), 1, 3, 1)
    assert by_key.changed_by_column == {"size": 1}
    (example,) = by_key.examples
    assert (example.column, example.before, example.after) == ("size", 3, 99)
    wholes = project.snapshots.difference("rows.csv/1", str(tmp_path / "rows.csv")).table
    assert (wholes.added, wholes.removed, wholes.changed) == (2, 4, None)
    assert wholes.unread == (0, 0)
    with (tmp_path / "rows.csv").open("a") as file:
        file.write("600,1\n")
    broken = project.snapshots.difference("rows.csv/2", str(tmp_path / "rows.csv"))
    assert (broken.table.added, broken.table.removed, broken.table.unread) == (0, 0, (0, 1))
    assert "not compared: 0 of the first, 1 of the second" in difference_page(broken)
    with pytest.raises(DataError, match="tells rows apart"):
        project.snapshots.difference("rows.csv/1", "rows.csv/2", key=["kind"])
    with pytest.raises(DataError, match="'nothing'"):
        project.snapshots.difference("rows.csv/1", "rows.csv/2", key=["nothing"])


def test_an_empty_folder_is_compared_and_of_many_files_the_table_is_named(project, images, tmp_path):
    (tmp_path / "nothing").mkdir()
    project.snapshots.take(tmp_path / "nothing")
    project.snapshots.take(images)
    same = project.snapshots.difference("nothing", str(tmp_path / "nothing"))
    assert (bool(same), same.unchanged, same.files, same.table) == (False, 0, (), None)
    assert {*kinds(project.snapshots.difference("nothing", "images/1")).values()} == {"added"}
    assert {*kinds(project.snapshots.difference("images/1", "nothing/1")).values()} == {"removed"}
    with pytest.raises(UsageError, match=r"--table.*nothing has 0 files"):
        project.snapshots._table("nothing", None)
    with pytest.raises(UsageError, match=r"--table.*images has 6 files"):
        project.snapshots._table("images", None)


def test_a_column_of_another_type_is_compared_by_its_values(project, tmp_path):
    """A gap makes whole numbers decimal ones: 1 is 1.0, in a key and in a cell, and of other rows nothing is said."""
    (tmp_path / "a.csv").write_text(CSV)
    pl.read_csv(tmp_path / "a.csv").with_columns(pl.col("id", "size").cast(pl.Float64)).write_parquet(
        tmp_path / "b.parquet"
    )
    sides = str(tmp_path / "a.csv"), str(tmp_path / "b.parquet")
    for key in ([], ["id"]):
        differs = project.snapshots.difference(*sides, key=key)
        found = differs.table
        assert (found.added, found.removed, found.changed) == (0, 0, 0 if key else None)
        assert found.retyped == {"id": ("Int64", "Float64"), "size": ("Int64", "Float64")}
        assert difference_page(replace(differs, files=())).endswith(": other columns")
    moved = pl.read_parquet(tmp_path / "b.parquet").with_columns(pl.when(pl.col("id") > 0).then("size").alias("size"))
    moved.write_parquet(tmp_path / "b.parquet")
    found = project.snapshots.difference(*sides, key=["id"]).table
    assert (found.changed, found.changed_by_column) == (1, {"size": 1})
    texts = (
        pl.DataFrame({"id": ["0", "1", "x"], "size": [7, 8, 9]}),
        pl.DataFrame({"id": [0, 1, 2], "size": [7.0, 8.5, 9.0]}),
    )
    found = table_difference(*texts, ["id"])
    assert (found.added, found.removed, found.changed_by_column) == (1, 1, {"size": 1})
    nan = pl.DataFrame({"id": [1, 2], "x": [float("nan"), 1.0], "y": [1, 2]})
    changed = table_difference(nan, nan.with_columns(y=pl.Series([5, 2])), ["id"])
    assert [(each.column, each.before, each.after) for each in changed.examples] == [("y", 1, 5)]
    large = [
        pl.DataFrame({"id": pl.Series([1, most], dtype=dtype)})
        for most, dtype in [(2**64 - 1, pl.UInt64), (2, pl.Int8)]
    ]
    assert (table_difference(*large).added, table_difference(*large, ["id"]).removed) == (1, 1)


def test_the_same_table_does_not_differ(project, tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.csv").write_text("".join(f"{line}\r\n" for line in CSV.splitlines()))
    differs = project.snapshots.difference(str(tmp_path / "a.csv"), str(tmp_path / "b" / "a.csv"))
    assert (differs.table.added, differs.table.removed) == (0, 0)
    assert not replace(differs, files=())
    assert difference_page(replace(differs, files=())).endswith(": no difference")


def test_columns_and_distributions_are_compared(project, tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    rows = "".join(f"{n},{n % 7 + 5}.5,x\n" for n in range(200))
    (tmp_path / "b.csv").write_text("id,size,extra\n" + rows)
    differs = project.snapshots.difference(str(tmp_path / "a.csv"), str(tmp_path / "b.csv")).table
    assert (differs.columns_added, differs.columns_removed) == (("extra",), ("kind",))
    assert differs.shifts[0].column == "size"
    assert differs.shifts[0].psi > 1
    assert next(each.psi for each in differs.shifts if each.column == "id") < 0.01
    from bakeoff.report.shift_chart import shift_chart

    chart = shift_chart(differs.shifts, "a", "b")
    assert chart.told == "1 of 2 columns moved: size"
    assert [row["psi"] for row in chart.spec["data"]["values"]] == [each.psi for each in differs.shifts]


def modes(folder):
    return {path.name: bool(path.stat().st_mode & 0o100) for path in folder.rglob("*") if path.is_file()}


def test_what_is_executable_comes_back_so_and_a_change_of_it_is_told(project, images, tmp_path):
    (images / "a.txt").chmod(0o755)
    old(images)
    project.snapshots.take(images)
    made = project.snapshots.checkout("images/1", tmp_path / "again")
    assert modes(made) == modes(images)
    assert sum(modes(made).values()) == 2  # the file, and the link that leads to it
    (images / "a.txt").chmod(0o644)
    (images / "more").write_text("more")
    (images / "more").chmod(0o700)
    changed = project.snapshots.status(images)
    assert kinds(changed) == {"a.txt": "changed", "more": "added"}
    assert "~ a.txt  5 bytes, not executable now" in difference_page(changed)
    assert project.snapshots.take(images).number == 2
    differs = project.snapshots.difference("images/1", "images/2")
    assert [(each.name, each.executable) for each in differs.files] == [("a.txt", False), ("more", None)]
    script = tmp_path / "run.sh"
    script.write_text("true\n")
    script.chmod(0o755)
    project.snapshots.take(script)
    assert os.access(project.snapshots.checkout("run.sh", tmp_path / "run"), os.X_OK)
    assert not bool(project.snapshots.status(images))


def test_a_tree_of_before_which_names_no_executables_is_read(project, images, tmp_path):
    blobs = project.blobs
    files = {"a.txt": str(images / "a.txt")}
    plain = blobs.put_files(files).id
    assert json.loads(blobs.get(plain)).keys() == {"files"}
    assert blobs.executable(plain) == frozenset()
    assert blobs.put_files(files, {}, frozenset({"a.txt", "nobody"})).id != plain
    assert modes(blobs.fetch(plain, tmp_path / "plain")) == {"a.txt": False}


def test_a_name_cannot_fake_a_line_of_a_difference(project, images):
    project.snapshots.take(images)
    (images / "x  1 bytes\n+ paid.csv").write_text("x")
    page = difference_page(project.snapshots.status(images))
    assert page.splitlines()[0] == "+ x  1 bytes\\n+ paid.csv  1 bytes"
    assert len(page.splitlines()) == 2


def test_of_many_files_those_that_changed_alone_are_read(project, tmp_path, monkeypatch):
    """A status after a change, and the next snapshot, read and store what is new; the rest is known."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}").write_text(str(number))
    old(folder)
    project.snapshots.take(folder)
    (folder / "7").write_text("other")
    (folder / "8").rename(folder / "88")
    read = []
    real = snapshots.digest_file
    monkeypatch.setattr(snapshots, "digest_file", lambda path: read.append(path.name) or real(path))
    status = project.snapshots.status(folder)
    assert kinds(status) == {"7": "changed", "88": "renamed"}
    assert (status.unchanged, sorted(read)) == (38, ["7", "88"])
    opened = []
    monkeypatch.setattr(type(project.blobs), "_put_file", noted(type(project.blobs)._put_file, opened))
    assert project.snapshots.take(folder).number == 2
    assert sorted(opened) == ["7", "88"]


def noted(real, paths):
    def put_file(self, path, *rest, **options):
        paths.append(path.rpartition("/")[2])
        return real(self, path, *rest, **options)

    return put_file


def test_records_that_nobody_wrote_to_are_not_opened(project, images, monkeypatch):
    made = project.snapshots.take(images, tags=["first"])
    project.close()
    known = project.folder / ".bakeoff" / "cache" / "snapshots" / "known"
    opened, real = [], wiring.open_audited
    monkeypatch.setattr(wiring, "open_audited", lambda *args: opened.append(args) or real(*args))

    def asked(look):
        """What a new process answers, and whether it opened the records."""
        old(images)
        opened.clear()
        with Project(project.folder) as again:
            return look(again.snapshots), bool(opened)

    assert asked(lambda snapshots: snapshots.list()) == ([made], True)
    assert asked(lambda snapshots: snapshots.list()) == ([made], False)
    assert asked(lambda snapshots: [snapshots.get(each) for each in ("images/1", "images/first", "images")]) == (
        [made] * 3,
        False,
    )
    assert asked(lambda snapshots: bool(snapshots.status(images))) == (False, False)
    assert asked(lambda snapshots: snapshots.list("others")) == ([], False)
    with pytest.raises(NotFoundError, match="images"):
        asked(lambda snapshots: snapshots.get("images/2"))
    known.write_bytes(known.read_bytes()[:-1] + b"?")
    assert asked(lambda snapshots: snapshots.list()) == ([made], True)
    with Project(project.folder) as other, Project(project.folder) as server:
        assert server.records.versions.get("snapshot", "images", 1) == made  # it stays open, so that the log stays
        other.snapshots.tag("images/1", "second")
        assert asked(lambda snapshots: snapshots.get("images/second").aliases) == (("first", "second"), True)
        assert asked(lambda snapshots: snapshots.get("images/second").aliases) == (("first", "second"), False)
        other.snapshots.tag("images/1", "third")
        assert asked(lambda snapshots: snapshots.get("images").aliases) == (("first", "second", "third"), True)
    (images / "a.txt").write_text("A.txt")
    with Project(project.folder) as other:
        other.snapshots.take(images)
    (images / "a.txt").write_text("a.txt")
    assert asked(lambda snapshots: kinds(snapshots.status(images))) == ({"a.txt": "changed"}, True)


def test_after_a_write_within_a_tick_the_records_are_asked(project, images, monkeypatch):
    project.snapshots.take(images)
    monkeypatch.setattr(folder_index, "_TICK_NS", 10**12)
    assert [each.number for each in project.snapshots.list()] == [1]
    assert not (project.folder / ".bakeoff" / "cache" / "snapshots" / "known").exists()


def test_a_look_at_what_did_not_change_imports_nothing_heavy(project, images):
    project.snapshots.take(images)
    project.close()
    old(images)
    look = """
import sys
from bakeoff import Project
with Project(sys.argv[1]) as project:
    changed = bool(project.snapshots.status(sys.argv[2]))
print(changed, [name for name in ("sqlalchemy", "numpy", "polars", "asyncio") if name in sys.modules])
"""
    answers = [
        subprocess.run([sys.executable, "-c", look, project.folder, images], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [each.stdout for each in answers] == ["False ['sqlalchemy', 'asyncio']\n", "False []\n"]


@pytest.mark.parametrize("wrong", ["damaged", "full"])
def test_a_checkout_that_fails_leaves_nothing(project, tmp_path, monkeypatch, wrong):
    """Files are written by threads while the next ones are read."""
    folder = tmp_path / "many"
    for number in range(900):
        (folder / f"{number % 3}").mkdir(parents=True, exist_ok=True)
        (folder / f"{number % 3}" / f"{number}").write_text(f"file {number}")
    project.snapshots.take(folder)
    assert tree(project.snapshots.checkout("many", tmp_path / "whole")) == tree(folder)
    if wrong == "damaged":
        (pack,) = (project.folder / ".bakeoff" / "blobs" / "packs").iterdir()
        pack.write_bytes(pack.read_bytes().replace(b"file 700", b"file 7O0"))
    else:
        real = blobs.write_sparse

        def full(descriptor, pieces):
            pieces = list(pieces)
            if pieces == [b"file 700"]:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor, pieces)

        monkeypatch.setattr(blobs, "write_sparse", full)
    with pytest.raises(CorruptError if wrong == "damaged" else StoreError, match=r"hash|No space left"):
        project.snapshots.checkout("many", tmp_path / "again")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many", "project", "whole"]
