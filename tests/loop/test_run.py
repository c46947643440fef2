import json

import pytest

from bakeoff import Project
from bakeoff.core.errors import ConfigError, ConflictError
from bakeoff.project.lock import held


def edit(folder, old, new):
    file = folder / "bakeoff.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def run(folder, lines=None):
    with Project(folder, progress=(lines if lines is not None else []).append) as project:
        return project.run()


def test_the_document_holds_what_the_design_promises(films_project):
    document = run(films_project).document
    json.dumps(document, allow_nan=False)
    assert document["run_id"]
    assert document["dataset"]["rows"] == 300
    assert len(document["dataset"]["version"]) == 64
    first = document["candidates"][0]
    assert {"name", "family", "status", "run_id", "model_version", "metrics", "latency_ms", "cost_usd_per_1k"} <= set(
        first
    )
    assert {"train_s", "size_bytes"} <= set(first)
    assert set(first["metrics"]["f1_macro"]) == {"value", "low", "high", "method", "reason"}
    assert {"p50", "p95"} <= set(first["latency_ms"])
    assert {"winner", "reason", "gates", "pareto", "promoted"} <= set(document["verdict"])
    assert document["verdict"]["promoted"] is True
    assert document["endpoint"] == "films"


def test_an_unchanged_run_does_nothing_and_says_so(films_project):
    before = run(films_project)
    lines = []
    after = run(films_project, lines)
    assert not before.unchanged
    assert after.unchanged
    assert after.document == before.document
    assert lines == []
    with Project(films_project) as project:
        assert len(project.runs()) == 3


def test_a_touched_but_equal_file_changes_nothing(films_project):
    run(films_project)
    (films_project / "films.csv").touch()
    assert run(films_project).unchanged


def test_a_changed_parameter_refits_only_its_candidate(films_project):
    run(films_project)
    edit(films_project, "smooth = 5.0", "smooth = 6.0")
    lines = []
    assert not run(films_project, lines).unchanged
    fitted = [line for line in lines if "fitted in" in line]
    assert len(fitted) == 1
    assert fitted[0].startswith("second:")
    assert not any("reading" in line for line in lines)


def test_same_seed_same_result_in_another_folder(films_project, steady, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    edit(films_project, "[decide]", "[decide]\nmargin = 0.0")  # of two that are as good the cheaper wins, by the clock
    for name in ("films.csv", "bakeoff.toml"):
        (other / name).write_text((films_project / name).read_text())
    assert steady(run(films_project).document) == steady(run(other).document)


@pytest.mark.processes
@pytest.mark.parametrize(("crash", "told"), [("error", "made to fail"), ("kill", "signal 9")])
def test_a_candidate_that_crashes_leaves_the_others_alone(films_project, crash, told):
    edit(films_project, "smooth = 5.0", f'crash = "{crash}"')
    document = run(films_project).document
    first, second = document["candidates"]
    assert first["status"] == "ok"
    assert second["status"] == "failed"
    assert told in second["error"]
    assert document["verdict"]["winner"] == "first"
    with Project(films_project) as project:
        statuses = {r.name: r.status for r in project.runs()}
    assert statuses == {"bake-off": "FINISHED", "first": "FINISHED", "second": "FAILED"}


def test_no_gate_passed_no_winner_and_the_champion_stays(films_project):
    run(films_project)
    edit(films_project, "resamples = 200", "resamples = 200\ngates = { f1_macro = { min = 0.99 } }")
    outcome = run(films_project)
    assert not outcome.won
    assert outcome.document["verdict"]["winner"] is None
    assert outcome.document["verdict"]["promoted"] is False
    assert not any(gate["passed"] for gate in outcome.document["verdict"]["gates"])
    with Project(films_project) as project:
        assert project.release() is not None
        assert project.lineage().model.aliases == ("champion",)


def test_new_rows_make_a_new_dataset_version_and_a_contest(films_project):
    before = run(films_project).document
    with (films_project / "films.csv").open("a") as file:
        file.write("good film at the end,1999,yes\n")
    after = run(films_project).document
    assert after["dataset"]["version"] != before["dataset"]["version"]
    assert after["dataset"]["rows"] == 301
    assert "films/" in after["verdict"]["contest"]


def test_two_runs_at_once_are_refused(films_project):
    with held(films_project / ".bakeoff" / "run.lock"), pytest.raises(ConflictError, match="running one"):
        run(films_project)


def test_all_that_is_wrong_is_told_before_anything_runs(films_project):
    edit(films_project, "smooth = 5.0", "smoth = 5.0")
    edit(films_project, "resamples = 200", 'resamples = 200\nmetric = "f1_makro"\n[prepare]\nsteps = ["strip_htlm"]')
    with pytest.raises(ConfigError) as caught:
        run(films_project)
    told = str(caught.value)
    assert "smoth" in told
    assert "Did you mean 'smooth'?" in told
    assert "f1_makro" in told
    assert "Did you mean 'strip_html'?" in told
    assert not (films_project / ".bakeoff").exists()
