"""The step cache of a team: what one member worked out is there for another, and nothing wrong with it stops a run."""

import io
import json
import pickle
import shutil
import socket
import time

import pytest

from bakeoff import Project
from bakeoff.core.hashing import canonical_json, digest
from bakeoff.loop import shared_steps
from bakeoff.loop.cache import Steps
from bakeoff.loop.shared_steps import SharedSteps
from bakeoff.project import wiring
from bakeoff.stores.encryption import Keyring, new_key
from bakeoff.stores.remotes import FolderRemote, open_remote
from bakeoff.testing.clock import FakeClock
from bakeoff.testing.memory import MemoryBlobs, MemoryRecords

pytestmark = pytest.mark.slow


@pytest.fixture
def member(tmp_path, films_run, third_party, monkeypatch):
    """Runs the project of a member: the outcome, the lines, and the functions of the jobs that were run."""
    assert third_party
    jobs = []
    compute = wiring.compute

    def counted(*given, **more):
        backend = compute(*given, **more)
        real = backend.run

        def run(wanted, **how):
            wanted = list(wanted)
            jobs.extend(job.function for job in wanted)
            return real(wanted, **how)

        backend.run = run
        return backend

    monkeypatch.setattr(wiring, "compute", counted)

    def member(name, settings, more=""):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(films_run / "films.csv", folder)
        project_file = (films_run / "bakeoff.toml").read_text()
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        (folder / "bakeoff.toml").write_text("\n".join([project_file, "[store.step_cache]", *lines, more]))
        told = []
        jobs.clear()
        with Project(folder, progress=told.append) as project:
            results = project.run().results
        return results, [line for line in told if line.startswith("step cache ")], list(jobs)

    return member


@pytest.fixture(scope="module")
def filled(tmp_path_factory, films_run):
    """A folder with all steps of a finished run."""
    folder = tmp_path_factory.mktemp("steps")
    with Project(films_run) as project:
        shared = sharing(str(folder), project.blobs, folder / "scratch")
        for document in project.records.documents.find("steps", ""):
            shared.offer(document.key, document.body)
        shared.close()
        assert shared.sent > 5
    shutil.rmtree(folder / "scratch")
    return folder


@pytest.fixture
def cache(filled, tmp_path):
    """The test's own copy of it."""
    return shutil.copytree(filled, tmp_path / "cache")


def sharing(place, blobs, scratch, **more):
    scratch.mkdir(exist_ok=True)
    given = {"keyring": Keyring(), "wait_s": 30, "writes": True, "progress": print, **more}
    remote = open_remote(place, below="steps", clock=FakeClock(), keyring=given["keyring"])
    return SharedSteps(remote, blobs, scratch=scratch, **given)


def entries(cache, step=""):
    return sorted((cache / "steps" / "entries").rglob(f"{step}*/*.json"))


def test_what_one_member_worked_out_is_there_for_another(member, bucket, steady):
    first, lines, jobs = member("ada", {"url": f"{bucket}/team"})
    assert (first.from_step_cache, len(lines), len(jobs) > 4) == ({}, 1, True)
    second, lines, jobs = member("bob", {"url": f"{bucket}/team"})
    assert jobs == []
    assert steady(second.to_json()) == steady(first.to_json())
    taken = second.from_step_cache
    assert (taken["fit"], taken["evaluate"], taken["read"], taken["split"]) == (2, 2, 1, 1)
    assert second.seconds is None  # nobody says that it took so long
    assert lines == [lines[0]]
    assert f"step cache {bucket}/team/steps: {sum(taken.values())} steps came from it (" in lines[0]
    assert lines[0].endswith(" MB), 0 went to it")


def test_a_step_that_is_taken_has_the_places_of_who_takes_it(ran):
    """Entries once had the paths of their makers."""
    (ran / "of bob").mkdir()
    place = (ran / "films.csv").rename(ran / "of bob" / "movies.csv")
    toml = ran / "bakeoff.toml"
    toml.write_text(toml.read_text().replace('"films.csv"', json.dumps(str(place))))
    with Project(ran) as project:
        project.run()
        results, steps = project.outcome().results, project.records.documents.find("steps", "")
    assert [each["location"] for each in results.dataset.files] == [str(place)]
    read = [json.dumps(each.body) for each in steps if each.key.startswith("read/")]
    assert len(read) == 1  # it was taken
    assert not any(place.name in each or "films.csv" in each for each in read)


def test_what_differs_is_worked_out_and_sent(member, cache):
    more = '[candidates.third]\nfamily = "firstword"\nsmooth = 9.0\n'
    results, lines, jobs = member("ada", {"url": str(cache)}, more)
    assert results.from_step_cache["fit"] == 2
    assert jobs.count("bakeoff.train.worker:fit") == 1
    assert " went to it" in lines[-1]
    assert len(entries(cache, "fit")) == 3


def test_timings_are_of_machines_of_one_kind_and_who_only_reads_writes_nothing(member, cache, monkeypatch):
    before = entries(cache)
    monkeypatch.setattr(shared_steps, "machine_kind", lambda: "another")
    results, lines, jobs = member("ada", {"url": "../cache", "write": False})
    assert results.from_step_cache["fit"] == 2
    assert "evaluate" not in results.from_step_cache
    assert jobs.count("bakeoff.evaluate.score.worker:evaluate") == 2
    assert lines[0].endswith(", 0 went to it")
    assert entries(cache) == before


def change(path, data):
    path.chmod(0o600)
    path.write_bytes(data)


def test_what_is_damaged_is_made_again_and_told_once(member, cache):
    for path in entries(cache, "fit"):
        change(path, path.read_bytes()[:-1] + b" ")
    whole = [path for path in (cache / "steps" / "blobs").rglob("whole/*/*/*") if path.stat().st_size > 1000]
    assert len(whole) > 2
    for path in whole:
        change(path, path.read_bytes()[:-1])
    results, lines, jobs = member("ada", {"url": str(cache)})
    assert "fit" not in results.from_step_cache
    assert jobs.count("bakeoff.train.worker:fit") == 2
    assert [line for line in lines if "an entry is damaged" in line] == lines[:1]
    shared = sharing(str(cache), MemoryBlobs(), cache / "scratch")
    assert all(shared.get(f"fit/{path.stem}") for path in entries(cache, "fit"))


def test_an_entry_counts_for_its_own_step_alone(cache, tmp_path):
    first, second = entries(cache, "fit")
    change(first, second.read_bytes())
    shared = sharing(str(cache), MemoryBlobs(), tmp_path / "scratch")
    assert shared.get(f"fit/{first.stem}") is None
    assert shared.get(f"fit/{second.stem}") is not None


def test_a_model_with_code_in_it_is_not_taken(cache, tmp_path):
    """Though each hash is right, as who can write there can make them."""
    own, folder = MemoryBlobs(), tmp_path / "model"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(pickle.dumps(io.BytesIO(b"x")))
    (path, _) = entries(cache, "fit")
    remote = open_remote(str(cache), below="steps", clock=FakeClock(), keyring=Keyring())
    entry = json.loads(path.read_bytes().partition(b"\n")[2])
    body = canonical_json(entry | {"result": entry["result"] | {"tree_blob": remote.blobs.put_tree(folder)}})
    change(path, digest(body).encode() + b"\n" + body)
    lines = []
    shared = sharing(str(cache), own, tmp_path / "scratch", progress=lines.append)
    assert shared.get(f"fit/{path.stem}") is None
    assert "a pickle" in lines[0]


def test_a_cache_that_says_nothing_is_told_once_and_left_alone(member, s3_server):
    assert s3_server
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"s3://bucket/x?timeout=0.3&endpoint=http://127.0.0.1:{listening.getsockname()[1]}"
        results, lines, _ = member("ada", {"url": url, "wait": "1s"})
    assert (results.won, results.from_step_cache) == (True, {})
    assert len(lines) == 1
    assert lines[0].endswith("; this run goes on without it")


def test_a_slow_cache_costs_no_more_than_it_may(cache, tmp_path, monkeypatch):
    (path, _) = entries(cache, "fit")
    monkeypatch.setattr(FolderRemote, "get", lambda *_: time.sleep(30))
    lines = []
    shared = sharing(str(cache), MemoryBlobs(), tmp_path / "scratch", wait_s=0.1, progress=lines.append)
    began = time.monotonic()
    shared.offer("fit/other", {"x": 1})
    assert shared.get(f"fit/{path.stem}") is None
    assert shared.get("fit/more") is None
    shared.close()
    assert time.monotonic() - began < 2
    assert [line.partition(": ")[2] for line in lines] == [
        "a step did not come within 0.1 s ([store.step_cache] wait sets more); this run goes on without it",
        "1 steps were not sent within 0.1 s; a later run sends them",
    ]


def test_a_cache_that_cannot_be_written_is_read(cache, tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError("read-only")

    (path, _) = entries(cache, "fit")
    monkeypatch.setattr(FolderRemote, "put", refused)
    lines = []
    shared = sharing(str(cache), MemoryBlobs(), tmp_path / "scratch", progress=lines.append)
    shared.offer("fit/other", {"x": 1})
    shared.offer("fit/more", {"x": 1})
    assert shared.get(f"fit/{path.stem}") is not None
    shared.close()
    assert [line for line in lines if "not sent" in line] == lines[:1]
    assert "read-only" in lines[0]


def test_what_keys_seal_nobody_reads_or_forges_without(member, tmp_path):
    (tmp_path / "keys").write_text(new_key())
    place = tmp_path / "cache"
    member("ada", {"url": str(place)}, f'[store.encryption]\nkey_file = "{tmp_path / "keys"}"\nrequired = true\n')
    stored = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert all(word not in stored for word in (b"film number", b"tree_blob", b"metrics"))
    lines, (path, other) = [], entries(place, "fit")

    def got(name, keys=None):
        keyring = Keyring((tmp_path / "keys").read_text, required=True) if keys is None else keys
        return sharing(str(place), MemoryBlobs(), tmp_path / "scratch", keyring=keyring, progress=lines.append).get(
            f"fit/{name.stem}"
        )

    assert got(path).keys() >= {"tree_blob", "train_s"}
    assert got(path, Keyring()) is None
    assert "is encrypted with key" in lines.pop()
    change(other, path.read_bytes())
    assert got(other) is None
    assert "put in another's place" in lines.pop()
    body = canonical_json({"format": 1, "key": f"entries/fit/{path.name}", "result": {"tree_blob": "0" * 64}})
    change(path, digest(body).encode() + b"\n" + body)
    assert got(path) is None
    assert "to be encrypted" in lines.pop()


def test_what_was_not_good_enough_is_replaced(tmp_path):
    """A fit that ended early for want of time, and was made again by who has more."""
    blobs = MemoryBlobs()
    for number, result in enumerate([{"cut": 1}, {"cut": None}]):
        shared = sharing(str(tmp_path / "cache"), blobs, tmp_path / "scratch")
        steps = Steps(MemoryRecords(FakeClock()).documents, blobs, shared)
        assert (steps.done("fit/x") is None) == (number == 0)
        steps.publish("fit/x", result)
        shared.close()
    last = sharing(str(tmp_path / "cache"), blobs, tmp_path / "scratch")
    assert last.get("fit/x") == {"cut": None}


def test_a_blob_that_is_another_is_not_taken(tmp_path):
    class Lying(MemoryBlobs):
        def fetch(self, blob_id, target):
            target.write_bytes(b"another")
            return target

    shared = sharing(str(tmp_path / "cache"), own := MemoryBlobs(), tmp_path / "scratch")
    blob = own.put(b"it")
    shared.offer("fit/x", {"held_blob": blob})
    shared.close()
    shared = sharing(str(tmp_path / "cache"), MemoryBlobs(), tmp_path / "scratch")
    shared._remote.blobs = Lying()
    assert shared.get("fit/x") is None


@pytest.mark.parametrize(("key", "value"), [("url", "gs://x"), ("url", ""), ("wait", "soon")])
def test_settings_are_checked(member, key, value):
    with pytest.raises(Exception, match=f"store.step_cache.{key}"):
        member("ada", {"url": "x", key: value})


def test_hosts_on_shared_stores_share_their_steps_without_one(
    films_run, third_party, empty_postgresql, bucket, tmp_path
):
    assert third_party
    stores = f'[store]\nrecords = "{empty_postgresql}"\nblobs = "{bucket}"\n'
    more = '[candidates.third]\nfamily = "firstword"\nsmooth = 9.0\n'
    fits = []
    for name, extra in (("one", ""), ("two", more)):
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(films_run / "films.csv", folder)
        (folder / "bakeoff.toml").write_text((films_run / "bakeoff.toml").read_text() + stores + extra)
        lines = []
        with Project(folder, progress=lines.append) as project:
            assert project.run().results.won
        fits.append([line.partition(":")[0] for line in lines if ": fitted in " in line])
    assert [sorted(each) for each in fits] == [["first", "second"], ["third"]]
