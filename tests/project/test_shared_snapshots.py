"""Snapshots that projects share, through a folder and through a bucket alike."""

import http.server
import json
import re
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from bakeoff import Project
from bakeoff.cli.main import app
from bakeoff.core.errors import CorruptError, MissingKeyError, NotFoundError, StoreError, UsageError
from bakeoff.project.shared_snapshots import SharedSnapshots
from bakeoff.stores.encrypted_objects import EncryptedObjects
from bakeoff.stores.encryption import Keyring, new_key
from bakeoff.stores.remotes import FolderRemote, S3Remote, open_remote
from bakeoff.testing.clock import FakeClock

pytestmark = pytest.mark.slow

TOML = '[project]\nname = "films"\n[data]\nsource = "films.csv"\ntarget = "liked"\n[candidates.linear]\n'
FILES = {"a.txt": "a", "ü/b c.txt": "bb", "ü/日本.txt": "ccc", "new\nline": "dddd"}


@pytest.fixture(params=["folder", "s3"])
def remote(request, tmp_path):
    return str(tmp_path / "remote") if request.param == "folder" else f"{request.getfixturevalue('bucket')}/team"


@pytest.fixture
def bucket_remote(bucket):
    return f"{bucket}/team"


@pytest.fixture
def member(tmp_path):
    """Makes projects, by name."""
    opened = []

    def member(name, more=""):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "bakeoff.toml").write_text(TOML + more)
        opened.append(Project(folder))
        return opened[-1]

    yield member
    for project in opened:
        project.close()


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / "link").symlink_to("a.txt")
    return folder


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def there(remote):
    return open_remote(remote, clock=FakeClock(), keyring=Keyring())


def overwrite(remote, path, data):
    place = there(remote)
    assert place.put(path, data, place.get(path).revision)


def test_snapshots_are_shared(member, images, tmp_path, remote):
    project, mine = member("project"), member("other")
    project.snapshots.take(images, tags=["good"])
    project.snapshots.take(images, name="50% #1?")
    sent = project.snapshots.push(remote)
    assert sorted(sent.snapshots) == ["50% #1?/1", "images/1"]
    assert project.snapshots.push(remote if "://" in remote else f"file://{remote}").bytes_sent == 0
    assert mine.snapshots.pull(remote).bytes_sent == sent.bytes_sent > 0
    assert mine.snapshots.pull(remote).bytes_sent == 0
    assert tree(mine.snapshots.checkout("images/good", tmp_path / "fetched")) == tree(images)
    assert (tmp_path / "fetched" / "link").readlink() == Path("a.txt")
    assert mine.snapshots.verify() == []
    with pytest.raises(NotFoundError, match=r"named 'nobody' in .*, found 50% #1\?, images"):
        mine.snapshots.pull(remote, "images", "nobody")
    with pytest.raises(UsageError, match="s3://"):
        project.snapshots.push("gs://bucket/x")


def test_of_many_and_large_files_what_is_new_alone_is_sent(member, tmp_path, remote):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}").write_text(f"file {number}")
    large = b"".join(number.to_bytes(4, "little") for number in range(1_000_000))
    (folder / "large").write_bytes(large)
    project, mine = member("project"), member("other")
    project.snapshots.take(folder)
    whole = project.snapshots.push(remote).bytes_sent
    (folder / "20").write_text("more")
    (folder / "large").write_bytes(large[:2_000_000] + b"x" + large[2_000_000:])
    project.snapshots.take(folder)
    assert 0 < project.snapshots.push(remote, "many/2").bytes_sent < whole / 3
    mine.snapshots.pull(remote)
    made = mine.snapshots.checkout("many/2", tmp_path / "made")
    assert {path.name: path.read_bytes() for path in made.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }


def test_both_sides_say_which_tags_moved(member, images, remote):
    project, mine = member("project"), member("other")
    project.snapshots.take(images, tags=["good"])
    (images / "more").write_text("more")
    project.snapshots.take(images, tags=["newest"])
    assert project.snapshots.push(remote).moved_tags == {}
    project.snapshots.tag("images/2", "good")
    moved = project.snapshots.pull(remote)
    assert moved.moved_tags == {"images/good": "images/2"}
    assert project.snapshots.get("images/good").number == 1
    assert project.snapshots.pull(remote).moved_tags == {}
    mine.snapshots.pull(remote)
    project.snapshots.tag("images/2", "good")
    lines = CliRunner().invoke(app, ["data", "push", remote, "-C", str(project.folder)]).output.splitlines()
    assert "the tag images/good moved there: images/1 had it" in lines
    assert project.snapshots.push(remote).moved_tags == {}
    assert mine.snapshots.pull(remote).moved_tags == {"images/good": "images/1"}


def test_what_others_tag_stays(member, images, remote):
    """Of the same content, and whether or not they had heard of each other's."""
    project, mine = member("project"), member("other")
    project.snapshots.take(images, tags=["good"])
    mine.snapshots.take(images, tags=["best"])
    project.snapshots.push(remote)
    assert mine.snapshots.push(remote).moved_tags == {}
    assert project.snapshots.push(remote).moved_tags == {}
    project.snapshots.pull(remote)
    assert project.snapshots.get("images").aliases == ("best", "good")


def test_of_two_pushes_at_once_none_loses_the_tags_of_the_other(remote):
    """The other comes between the look and the write of the first."""

    class Late(type(there(remote))):
        def put(self, path, data, expected):
            if others:
                SharedSnapshots(there(remote)).tag("images", {"theirs": others.pop()})
            return super().put(path, data, expected)

    late, before = there(remote), None
    late.__class__ = Late
    for content in ("b" * 64, "c" * 64):
        others = [content]
        moved = SharedSnapshots(late).tag("images", {"own": content})
        assert (moved, others) == ({"own": before} if before else {}, [])
        assert json.loads(there(remote).get("tags/images.json").data) == {"own": content, "theirs": content}
        before = content


def test_tags_of_before_stood_with_each_snapshot(member, images, remote):
    project, mine = member("project"), member("other")
    project.snapshots.take(images)
    project.snapshots.push(remote)
    (path,) = there(remote).paths("snapshots")
    overwrite(remote, path, json.dumps(json.loads(there(remote).get(path).data) | {"tags": ["good"]}).encode())
    mine.snapshots.pull(remote)
    mine.snapshots.tag("images/good", "best")
    mine.snapshots.push(remote)
    project.snapshots.pull(remote)
    assert project.snapshots.get("images").aliases == ("best", "good")


class Killed(BaseException):
    pass


@pytest.fixture
def killed(monkeypatch):
    """Within it, the so-and-so-manieth write ends everything."""
    from contextlib import contextmanager

    @contextmanager
    def killed(at):
        left = [at]

        def counted(real):
            def write(*given, **more):
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
                return real(*given, **more)

            return write

        @contextmanager
        def together(self, real=EncryptedObjects.together):
            with real(self) as put:
                yield counted(put)

        with monkeypatch.context() as patch:
            patch.setattr(EncryptedObjects, "together", together)
            for kind in (EncryptedObjects, FolderRemote, S3Remote):
                patch.setattr(kind, "put", counted(kind.put))
            yield

    return killed


def test_a_push_that_was_killed_shows_nothing_by_half(member, images, remote, killed):
    """Wherever it ends: nothing, or the whole snapshot, or that with its tag; the next push makes up for it."""
    project = member("project")
    project.snapshots.take(images, tags=["good"])
    seen = []
    for at in range(1, 20):
        mine, place = member(f"other-{at}"), f"{remote}/{at}"
        try:
            with killed(at):
                project.snapshots.push(place)
        except Killed:
            seen.append(pulled(mine, place))
        else:
            assert pulled(mine, place) == "tagged"
            break
    assert seen == ["nothing"] * (len(FILES) + 2) + ["whole"]  # a tree and a record, then the tags
    for place in (f"{remote}/1", f"{remote}/{len(FILES) + 1}", f"{remote}/{len(seen)}"):
        project.snapshots.push(place)
        assert pulled(mine, place) == "tagged"


def pulled(mine, remote):
    try:
        mine.snapshots.pull(remote)
    except NotFoundError:
        return "nothing"
    assert mine.snapshots.verify() == []
    return "tagged" if "good" in mine.snapshots.get("images").aliases else "whole"


def test_a_push_goes_on_where_it_was(member, images, bucket_remote, killed):
    project, whole = member("project"), sum(len(each.encode()) for each in FILES.values())
    project.snapshots.take(images)
    with pytest.raises(Killed), killed(3):
        project.snapshots.push(bucket_remote)
    assert 0 < project.snapshots.push(bucket_remote).bytes_sent < whole


WRONG = [
    b"",
    b"[]",
    b"{}",
    {"name": "../../evil"},
    {"name": "other"},
    {"content": "f" * 64},
    {"lineage": {"files": "many"}},
    {"tags": ["1"]},
    {"created_ms": "today"},
]


def test_what_a_remote_says_is_looked_at(member, images, remote):
    """Others write there: a name with `..` would lead the next push out of its remote."""
    project, mine = member("project"), member("other")
    project.snapshots.take(images)
    project.snapshots.push(remote)
    (path,) = there(remote).paths("snapshots")
    known = json.loads(there(remote).get(path).data)
    for wrong in WRONG:
        overwrite(remote, path, wrong if isinstance(wrong, bytes) else json.dumps(known | wrong).encode())
        with pytest.raises(CorruptError, match=re.escape(there(remote).where(path))):
            mine.snapshots.pull(remote)
        assert mine.snapshots.list() == []
    project.snapshots.push(remote)  # heals it
    assert mine.snapshots.pull(remote).snapshots == ("images/1",)


def test_tags_that_cannot_be_read_are_not_written_over(member, images, remote):
    project = member("project")
    project.snapshots.take(images, tags=["good"])
    project.snapshots.push(remote)
    for wrong in (b"", b"[]", b'{"1": "x"}'):
        overwrite(remote, "tags/images.json", wrong)
        for move in (project.snapshots.push, project.snapshots.pull):
            with pytest.raises(CorruptError, match=r"images.json: expected tags as .*remove it"):
                move(remote)
        assert there(remote).get("tags/images.json").data == wrong


def damage(remote, kind, change):
    """Change the bytes of all stored objects of a kind, or of the packs they are in."""
    if "://" not in remote:
        folder = Path(remote) / "blobs"
        paths = [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] in kind]
        for path in paths:
            path.write_bytes(change(path.read_bytes()))
        return
    import obstore

    from bakeoff.stores.bucket import Bucket

    bucket = Bucket(remote)
    for each in kind:
        for path in list(bucket.paths(bucket.path("blobs", each))):
            obstore.put(bucket.store, path, change(bucket.get(path)[0]), use_multipart=False)


def test_a_damaged_file_is_told_and_sent_again(member, images, remote):
    project, mine = member("project"), member("other")
    project.snapshots.take(images)
    project.snapshots.push(remote)
    damage(remote, ("whole", "packs"), lambda data: bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(CorruptError, match="does not match its hash"):
        mine.snapshots.pull(remote)
    assert mine.snapshots.list() == []
    assert project.snapshots.push(remote).bytes_sent == 0
    assert project.snapshots.push(remote, repair=True).bytes_sent > 0
    mine.snapshots.pull(remote)
    assert mine.snapshots.verify() == []


def test_a_list_of_other_chunks_is_told_and_harms_nobody(member, tmp_path, remote):
    (tmp_path / "large").write_bytes(b"".join(number.to_bytes(4, "little") for number in range(1_500_000)))
    project, mine = member("project"), member("other")
    project.snapshots.take(tmp_path / "large")
    project.snapshots.push(remote)
    damage(remote, ("lists",), lambda data: json.dumps(json.loads(data)[::-1]).encode())
    with pytest.raises(CorruptError, match="--repair"):
        mine.snapshots.pull(remote)
    assert mine.snapshots.list() == []
    project.snapshots.pull(remote)  # has its own
    assert project.snapshots.verify() == []
    project.snapshots.push(remote, repair=True)
    mine.snapshots.pull(remote)
    assert mine.snapshots.verify() == []


def test_files_of_an_encrypted_project_are_sealed_there(member, tmp_path, remote):
    """Names, sizes and tags are not."""
    secret = "a secret that nobody may read"
    (tmp_path / "note.txt").write_text(secret)
    (tmp_path / "keys").write_text(new_key())
    own = f'[store.encryption]\nkey_file = "{tmp_path / "keys"}"\nrequired = true\n'
    project, mine, other = member("project", own), member("mine", own), member("other")
    project.snapshots.take(tmp_path / "note.txt", tags=["good"])
    project.snapshots.push(remote)
    stored = []
    damage(remote, ("whole", "packs", "lists", "trees"), lambda data: stored.append(data) or data)
    assert stored
    assert all(secret.encode() not in data for data in stored)
    with pytest.raises(MissingKeyError):
        other.snapshots.pull(remote)
    mine.snapshots.pull(remote)
    assert mine.snapshots.checkout("note.txt/good", tmp_path / "again").read_text() == secret


# --- buckets that cannot be used ---------------------------------------------------------------------


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"<Error><Code>InvalidAccessKeyId</Code><Message>unknown key</Message></Error>"
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_PUT = do_GET  # noqa: N815 - the names of the standard library

    def log_message(self, *_):
        pass


@pytest.fixture
def refusing():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"s3://bucket/x?endpoint=http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def hung():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"s3://bucket/x?endpoint=http://127.0.0.1:{listening.getsockname()[1]}&timeout=0.5"


@pytest.fixture
def missing(s3_server):
    assert urlsplit(s3_server[1]).port
    return "s3://no-such-bucket/x"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("missing", "cannot use s3://no-such-bucket/x.*check that the bucket is there"),
        ("refusing", "cannot use s3://bucket/x.*check its keys"),
        ("hung", "s3://bucket/x.* gave no answer.*check the service"),
    ],
)
@pytest.mark.usefixtures("s3_server")  # its keys stand in the environment
def test_a_bucket_that_cannot_be_used_is_one_error(project, request, where, message):
    remote = request.getfixturevalue(where)
    for move in (project.snapshots.push, project.snapshots.pull):
        began = time.monotonic()
        with pytest.raises(StoreError, match=message):
            move(remote)
        assert time.monotonic() - began < 5


@pytest.fixture
def project(member, images):
    project = member("project")
    project.snapshots.take(images)
    return project


def test_of_a_bucket_that_is_not_there_the_command_says_so(project, missing):
    done = CliRunner().invoke(app, ["data", "pull", missing, "-C", str(project.folder)])
    assert (done.exit_code, "Traceback" in done.output) == (1, False)
    assert "check that the bucket is there" in str(done.exception) + done.output
