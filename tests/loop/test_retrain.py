import json
import shutil
from dataclasses import replace

import jsonschema

from bakeoff import Project
from bakeoff.cli.documents import schema_of
from bakeoff.cli.render import turn_json, turn_page
from bakeoff.loop import retrain

SETTINGS = """
[monitor]
min_rows = 50
min_feedback = 50
[loop]
triggers = ["quality"]
"""


def serve_month(project, rows, label):
    answers = project.predict(rows)
    project.feedback([{"id": answer.id, "label": label(row)} for answer, row in zip(answers, rows, strict=True)])


def rows(words, count=120):
    return [{"review": f"{words[i % len(words)]} film {i}", "year": 2021} for i in range(count)]


def test_the_loop_waits_while_all_is_well_and_learns_when_quality_drops(films_project):
    with (films_project / "bakeoff.toml").open("a") as file:
        file.write(SETTINGS)
    with Project(films_project) as project:
        first = project.run().document
        serve_month(project, rows(["good", "great", "bad", "dull"]), lambda r: "yes" if r["review"][0] == "g" else "no")
        calm = project.loop_once()
        assert calm.triggers == ()
        assert calm.outcome is None

        # A word that meant nothing now tells everything, and an old one turned around.
        turned = rows(["sick", "good"], 400)
        serve_month(project, turned, lambda r: "yes" if r["review"].startswith("sick") else "no")
        turn = project.loop_once()
        assert [trigger.kind for trigger in turn.triggers] == ["quality"]
        assert turn.taken_in == 520
        assert turn.report.signal("quality").alert
        document = turn.outcome.document
        assert document["dataset"]["from_feedback"] == 520
        assert document["dataset"]["rows"] == first["dataset"]["rows"] + 520
        assert document["verdict"]["promoted"]
        assert project.predict([{"review": "sick film", "year": 2021}])[0].label == "yes"
        assert project.lineage().dataset.lineage["from_feedback"] == 520

        again = project.loop_once()
        assert again.outcome is None


def test_monitoring_needs_a_release(films_project):
    import pytest

    from bakeoff.core.errors import NotFoundError

    with Project(films_project) as project, pytest.raises(NotFoundError, match="bakeoff run"):
        project.monitor()


def test_a_turn_says_why_it_does_not_monitor_a_live_release(films_run, tmp_path, monkeypatch, third_party):
    folder = shutil.copytree(films_run, tmp_path / "films")
    live = retrain.current
    monkeypatch.setattr(retrain, "current", lambda *given: replace(live(*given), reference_id=None))
    with Project(folder) as project:
        turn = project.loop_once()
    assert turn.report is None
    assert "(films/1) to have a reference that monitoring compares with, found none" in turn.unwatched
    assert "nothing is released" not in turn_page(turn)
    assert turn_page(turn).startswith(f"not monitored: {turn.unwatched}")
    jsonschema.validate(json.loads(json.dumps({"format": 1, **turn_json(turn)})), schema_of("loop"))
    assert turn_json(turn)["unwatched"] == turn.unwatched


def test_the_first_turn_says_that_nothing_was_released(films_project):
    with Project(films_project) as project:
        assert project.loop_once().unwatched == "nothing was released before this turn"


def test_a_slip_in_a_label_does_not_become_a_class(films_project):
    with (films_project / "bakeoff.toml").open("a") as file:
        file.write(SETTINGS.replace('"quality"', '"feedback"') + "feedback_rows = 50\n")
    with Project(films_project) as project:
        project.run()
        serve_month(project, rows(["good", "bad"]), lambda r: "yse" if r["review"].endswith(" 7") else "yes")
        turn = project.loop_once()
    assert turn.taken_in == 120
    dataset = turn.outcome.document["dataset"]
    assert dataset["from_feedback"] == 119
    assert dataset["set_aside"] == {"feedback with an unknown label": 1}
