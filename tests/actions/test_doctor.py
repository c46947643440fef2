"""What the doctor tries of a project's stores."""

import time

import pytest

from bakeoff import Project
from bakeoff.actions import doctor
from bakeoff.core.errors import UsageError
from bakeoff.stores.remotes import FolderRemote

TOML = '[project]\nname = "films"\n[data]\nsource = "films.csv"\ntarget = "liked"\n[candidates.linear]\n'


@pytest.fixture
def examined(tmp_path, monkeypatch):
    """The checks of a project whose step cache is set so, by name."""
    monkeypatch.setattr(doctor, "examine_installation", lambda: doctor.Diagnosis(checks=()))

    def examined(settings):
        (tmp_path / "bakeoff.toml").write_text(TOML + settings)
        with Project(tmp_path) as project:
            return {each.name: (each.ok, each.message) for each in project.doctor().checks}

    return examined


def test_the_step_cache_is_tried_as_runs_use_it(examined, tmp_path, monkeypatch):
    assert "step cache" not in examined("")
    there = tmp_path / "team" / "steps"
    reads = '[store.step_cache]\nurl = "team"\nwrite = false\n'
    assert examined(reads)["step cache"] == (True, f"{there} can be read; write = false")
    assert not there.exists()
    writes = '[store.step_cache]\nurl = "team"\nwait = "0.5s"\n'
    for _ in range(2):
        assert examined(writes)["step cache"] == (True, f"{there} can be read and written")
    assert {path.name for path in there.iterdir()} == {"lock", "tried.json"}
    (there / "tried.json").unlink()
    (there / "tried.json").mkdir()
    ok, message = examined(writes)["step cache"]
    assert not ok
    assert str(there / "tried.json") in message
    monkeypatch.setattr(FolderRemote, "get", lambda *_: time.sleep(2))
    assert examined(writes)["step cache"] == (
        False,
        f"{there} did not answer within 0.5 s ([store.step_cache] wait sets more)",
    )


def test_a_bucket_that_is_not_there_is_told(examined, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "one")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "two")
    url = "s3://team/x?endpoint=http://127.0.0.1:9&region=here"
    ok, message = examined(f'[store.step_cache]\nurl = "{url}"\n')["step cache"]
    assert not ok
    assert "s3://team/x/steps" in message


def test_names_that_a_remote_cannot_have_are_refused_when_a_snapshot_is_made(tmp_path):
    (tmp_path / "bakeoff.toml").write_text(TOML)
    (tmp_path / "data").write_text("x")
    with Project(tmp_path) as project:
        longest = "ü" * 125
        assert project.snapshots.take(tmp_path / "data", name=longest).name == longest
        assert project.snapshots.push(str(tmp_path / "remote")).snapshots == (f"{longest}/1",)
        with pytest.raises(UsageError, match=r"at most 250 bytes.*has 251: use --name"):
            project.snapshots.take(tmp_path / "data", name=f"{longest}n")
        project.records.versions.register("snapshot", "n" * 251, project.snapshots.get(longest).content)
        with pytest.raises(UsageError, match="at most 250 bytes"):  # one of before
            project.snapshots.push(str(tmp_path / "remote"))
