"""The SDK on a project that was run: looking things up, and what damage it survives."""

import shutil

import pytest

from bakeoff import Project
from bakeoff.core.errors import ConflictError, CorruptError, DataError, NotFoundError, StoreError
from bakeoff.project.lock import held

ROW = {"review": "good film", "year": 2000}


def blob_files(folder):
    return sorted(path for path in (folder / ".bakeoff" / "blobs").rglob("*") if path.is_file() and path.name != "lock")


def test_a_finished_run_can_be_looked_at_from_all_sides(ran):
    with Project(ran) as project:
        status = project.status()
        assert status.champion.startswith("films/")
        assert status.newest_run.status == "FINISHED"
        assert project.lineage().dataset.content == project.last().document["dataset"]["version"]
        parts = {part: len(project.rows(part)) for part in ("train", "validation", "test")}
        assert parts == {part: project.last().document["dataset"][part] for part in parts}
        answers = project.model().predict(project.rows("test"))
        assert len(answers) == parts["test"]
        diagnosis = project.doctor()
        assert {each.name for each in diagnosis.problems} <= {"free disk"}
        assert {"python", "sqlite", "family linear", "records"} <= {each.name for each in diagnosis.checks}
        assert repr(diagnosis).startswith(f"Diagnosis({len(diagnosis.checks)} checks, problems: ")
        assert "runs in sqlite" in diagnosis._repr_html_()


def test_what_a_model_learned_is_read_once_for_all_feedback(ran, monkeypatch):
    from bakeoff.registry import lineage

    asked_for, original = [], lineage.learned_of

    def learned_of(versions, version, target):
        asked_for.append(version)
        return original(versions, version, target)

    monkeypatch.setattr(lineage, "learned_of", learned_of)
    with Project(ran) as project:
        ids = [answer.id for answer in project.predict([{"review": "good film", "year": 2000}] * 3)]
        assert [project.feedback([{"id": each, "label": "yes"}]).accepted for each in ids] == [1, 1, 1]
        assert asked_for == [project.status().champion]


def test_before_any_run_there_is_nothing_to_show(films_project):
    with Project(films_project) as project:
        assert project.status().last_run is None
        assert (project.runs(), project.models(), project.release()) == ([], [], None)
        for look in (project.last, project.lineage, lambda: project.rows("test"), lambda: project.predict([ROW])):
            with pytest.raises(NotFoundError):
                look()


def test_a_copied_project_has_nothing_to_do_and_answers(ran):
    with Project(ran) as project:
        assert project.run().unchanged
        assert project.loop_once().outcome is None
        assert project.predict([ROW])[0].label == "yes"


def test_a_deleted_cache_costs_nothing_but_time(ran):
    shutil.rmtree(ran / ".bakeoff" / "cache")
    with Project(ran) as project:
        assert project.loop_once().outcome is None
        assert project.run().unchanged
        assert project.predict([ROW])[0].label == "yes"


def test_a_lost_model_is_made_again_by_the_next_run(ran):
    shutil.rmtree(ran / ".bakeoff" / "cache")
    with Project(ran) as project:
        live = project.release().blob_id
    (lost,) = [path for path in blob_files(ran) if live in path.name]
    lost.unlink()
    with Project(ran) as project:
        with pytest.raises(NotFoundError, match="cannot load release"):
            project.predict([ROW])
        again = project.run()
        assert not again.unchanged
        assert project.release().blob_id == live
    with Project(ran) as project:
        assert project.predict([ROW])[0].label == "yes"


def test_a_lost_champion_does_not_stop_its_successor(ran):
    with Project(ran) as project:
        live = project.release().blob_id
    (lost,) = [path for path in blob_files(ran) if live in path.name]
    lost.unlink()
    with (ran / "films.csv").open("a") as file:
        file.write("good film at last,2001,yes\n")
    with Project(ran) as project:
        verdict = project.run().document["verdict"]
    assert verdict["promoted"]
    assert "cannot be read any more" in verdict["contest"]


def test_damaged_records_are_told_and_left_alone(ran):
    records = ran / ".bakeoff" / "records.db"
    for name in ("records.db-wal", "records.db-shm"):
        (ran / ".bakeoff" / name).unlink(missing_ok=True)
    records.write_bytes(b"junk" * 4000)
    with Project(ran) as project, pytest.raises(CorruptError, match="verify --repair"):
        project.status()
    assert records.read_bytes() == b"junk" * 4000


@pytest.mark.processes
def test_a_failed_candidate_is_tried_again_by_the_next_run(films_project):
    toml = films_project / "bakeoff.toml"
    toml.write_text(toml.read_text().replace("smooth = 5.0", 'crash = "kill"'))
    for _ in range(2):
        with Project(films_project) as project:
            outcome = project.run()
        assert not outcome.unchanged
        assert "killed by signal 9" in outcome.document["candidates"][1]["error"]


def test_two_runs_at_once_are_one_too_many(ran):
    with held(ran / ".bakeoff" / "run.lock"), Project(ran) as project, pytest.raises(ConflictError, match="other run"):
        project.run()


def test_a_project_that_cannot_be_written_says_so(films_project):
    (films_project / ".bakeoff").write_text("in the way")
    with Project(films_project) as project, pytest.raises(StoreError, match="there already: remove it"):
        project.run()


def test_a_feedback_file_that_is_read_in_part_is_in_the_audit_log(tmp_path):
    (tmp_path / "bakeoff.toml").write_text('[project]\nname = "p"\n[data]\nsource = "a.csv"\ntarget = "b"\n')
    (tmp_path / "labels.csv").write_text("id,label\nf1,yes\nf2,no\n")
    with Project(tmp_path) as project:
        parts = project.feedback_file("labels.csv", folder=tmp_path)
        next(parts)
        parts.close()
        with pytest.raises(DataError):
            list(project.feedback_file("none.csv", folder=tmp_path))
        records = [(each.action, each.after) for each in project.audit.records()]
    assert records == [("feedback imported", {"items": 2})]
