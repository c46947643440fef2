"""A project is moved to PostgreSQL and S3 and back: nothing is lost, and both sides say the same."""

import pytest

from bakeoff import Project
from bakeoff.core.errors import ConfigError, UsageError
from bakeoff.core.events import FeedbackEvent, PredictionEvent

pytestmark = pytest.mark.slow

HOME = {
    "records": "sqlite:///.bakeoff/records.db",
    "blobs": "file://.bakeoff/blobs",
    "events": "file://.bakeoff/events",
}


def stores(folder, name="there.toml", **urls):
    path = folder / name
    path.write_text("[store]\n" + "\n".join(f'{key} = "{url}"' for key, url in (HOME | urls).items()))
    return path


@pytest.fixture
def used(ran):
    """A run that was served, with labels."""
    with Project(ran) as project:
        answers = project.predict([{"review": f"good film {n}", "year": 1990} for n in range(30)])
        project.feedback([{"id": answer.id, "label": "yes"} for answer in answers])
        project.monitor()
    return ran


def everything(project):
    """What people see of a project."""
    documents = {
        (name, document.key): (dict(document.body), document.revision)
        for name in ("releases", "endpoints", "passes", "steps", "signals")
        for document in project.records.documents.find(name)
    }
    events = [list(project.events.read(kind)) for kind in (PredictionEvent, FeedbackEvent)]
    return project.runs(), project.models(), project.datasets(), documents, events


def switched(folder, **urls):
    lines = "\n".join(f'{key} = "{url}"' for key, url in urls.items())
    text = (folder / "bakeoff.toml").read_text().partition("\n[store]")[0]
    (folder / "bakeoff.toml").write_text(f"{text}\n[store]\n{lines}\n")


def test_there_and_back(used, empty_postgresql, bucket, tmp_path):
    there = {"records": empty_postgresql, "blobs": f"{bucket}/films", "events": empty_postgresql}
    with Project(used) as project:
        before = everything(project)
        winner = project.last().verdict.winner
        moved = project.move(stores(used, **there))
        assert (moved.events, moved.events_already, moved.blobs_already) == (60, 0, 0)
        assert {each.table for each in moved.records if each.rows} >= {"runs", "versions", "documents", "aliases"}
        again = project.move(stores(used, **there))
        assert (again.blobs_already, again.events_already) == (moved.blobs, 60)
        assert again.records == moved.records
    switched(used, **there)
    with Project(used) as project:
        assert everything(project) == before
        assert project.run().unchanged  # all that was made is there
        assert project.last().verdict.winner == winner
        project.monitor()  # it goes on though places in the log are others here
        project.predict([{"review": "bad film", "year": 1999}])
        assert project.verify() == []
        new = project.records.runs.start(project.runs()[0].experiment_id, "later")  # numbers go on where they were
        before = everything(project)
        back = {"records": "sqlite:///back/records.db", "blobs": "file://back/blobs", "events": "file://back/events"}
        returned = project.move(stores(used, **back))
        assert returned.events == 61
    switched(used, **back)
    with Project(used) as project:
        assert everything(project) == before
        assert project.records.runs.get(new.run_id).name == "later"
        assert project.predict([{"review": "bad film", "year": 1999}])[0].label == "no"
        assert project.verify() == []


def test_a_move_that_was_killed_goes_on(used, monkeypatch):
    there = {"records": "sqlite:///there/records.db", "blobs": "file://there/blobs", "events": "file://there/events"}
    monkeypatch.setattr("bakeoff.actions.move.PART", 7)
    lines = []

    def interrupt(line):
        lines.append(line)
        if line == "copying events: 21":
            raise KeyboardInterrupt

    with Project(used, progress=interrupt) as project, pytest.raises(KeyboardInterrupt):
        project.move(stores(used, **there))
    with Project(used) as project:
        moved = project.move(stores(used, **there))
        assert (moved.events, moved.events_already, moved.blobs_already) == (60, 21, moved.blobs)
        project.predict([{"review": "bad film", "year": 1999}])
        project.records.documents.put("notes", "a", {})
        with pytest.raises(UsageError, match=r"expected empty records at .*found rows in .*--again"):
            project.move(stores(used, **there))
        assert project.move(stores(used, **there), again=True).events == 61


def test_what_is_no_target_is_refused(used, tmp_path):
    with Project(used) as project:
        with pytest.raises(UsageError, match=r"expected other stores .* received the same records, blobs, events"):
            project.move(stores(used))
        (tmp_path / "link").symlink_to(used)
        own = {"records": f"sqlite:///{used}/.bakeoff/records.db", "events": f"file://{tmp_path}/link/.bakeoff/events"}
        with pytest.raises(UsageError, match=r"received the same records, blobs, events"):
            project.move(stores(used, **own, blobs="file://./.bakeoff/blobs/"), again=True)
        (used / "there.toml").write_text("")
        with pytest.raises(ConfigError, match=r"there.toml: store: expected a \[store\] .*, found nothing"):
            project.move(used / "there.toml")
        with pytest.raises(ConfigError, match=r"none.toml: expected a file in TOML with a \[store\], found nothing"):
            project.move(used / "none.toml")
        (used / "there.toml").write_text("[store]\nrecord = 'x'")
        with pytest.raises(ConfigError, match=r"store.record: expected a known key"):
            project.move(used / "there.toml")
        there = {"records": "sqlite:///o/r.db", "blobs": "file://o/b", "events": "file://o/e"}
        project.move(stores(used, **there))
        project.events.compact()
        with Project(used, environ={f"BAKEOFF_STORE__{key.upper()}": url for key, url in there.items()}) as other:
            other.feedback([{"id": "x", "label": "yes"}])
        project.feedback([{"id": "y", "label": "yes"}])
        with pytest.raises(UsageError, match=r"found another one at place 61"):
            project.move(stores(used, **there))
