"""Searches for parameters within a budget, of whole projects."""

import time

import pytest

from bakeoff import Project
from bakeoff.core.errors import ConfigError
from bakeoff.loop import context, search
from bakeoff.report.charts import charts
from bakeoff.report.markdown import markdown
from bakeoff.results.search import SearchBudget

SEARCH = """
[candidates.second.search]
smooth = { low = 0.5, high = 50.0, log = true }
"""


class Ticking:
    """A clock that goes on by as much each time it is read: a budget comes to the same trials on every machine."""

    def __init__(self):
        self._looks = 0

    def monotonic(self):
        self._looks += 1
        return self._looks * 0.02


@pytest.fixture(autouse=True)
def clock(request, monkeypatch):
    ticking = Ticking()
    for module in () if request.node.get_closest_marker("processes") else (context, search):
        monkeypatch.setattr(module, "time", ticking)


@pytest.fixture
def searched(films_project):
    file = films_project / "bakeoff.toml"
    text = file.read_text().replace("smooth = 5.0\n", "").replace("[decide]", SEARCH + "[decide]\nfindings = false")
    file.write_text(text + "[combine]\nblends = false\ncascades = false\n")
    return films_project


def run(folder, budget_s=None, lines=None):
    with Project(folder, progress=(lines if lines is not None else []).append) as project:
        return project.run(budget_s=budget_s)


def test_a_budget_goes_into_trials_and_is_told(searched):
    document = run(searched, 2.5).document
    budget = document["budget"]
    assert budget["limit_s"] == 2.5
    assert 0.8 < budget["used_s"] <= 1.0  # the fits that follow would need more than is left: 0.4 of it in any case
    first, second = budget["by_candidate"]
    assert (first["trials"], first["searched"]) == (0, [])
    assert second["searched"] == ["smooth"]
    assert second["trials"] == len(budget["trials"]) > 1
    assert second["best"] >= second["default"]
    assert [rung["rows"] for rung in budget["rungs"]] == [204]
    assert budget["scored_rows"] == document["dataset"]["validation"]
    assert {trial["status"] for trial in budget["trials"]} <= {"done", "stopped"}
    with Project(searched) as project:
        report = project.report()
    assert isinstance(report.budget, SearchBudget)
    assert "budget" in charts(report)
    assert "trials of parameters" in markdown(report)


def test_an_unchanged_budget_does_nothing_and_a_larger_one_goes_on(searched):
    before = run(searched, 1.5)
    lines = []
    again = run(searched, 1.5, lines)
    assert again.unchanged
    assert lines == []
    more = run(searched, 2.5, lines).document["budget"]
    known = [trial["params"] for trial in before.document["budget"]["trials"]]
    assert [trial["params"] for trial in more["trials"]][: len(known)] == known
    assert any("going on with a search" in line for line in lines)
    assert run(searched).document["budget"] is None


def test_a_killed_search_goes_on_with_its_trials(searched):
    class KilledError(Exception):
        pass

    seen = []

    def stop(line):
        seen.append(line)
        if sum("(" in each and "of 30 s" in each for each in seen) == 2:
            raise KilledError

    with pytest.raises(KilledError), Project(searched, progress=stop) as project:
        project.run(budget_s=30.0)
    lines = []
    with Project(searched, progress=lines.append) as project:
        kept = [len(each.body["trials"]) for each in project.records.documents.find("studies")]
        document = project.run(budget_s=2.5).document
    assert kept == [2]
    assert any("going on with a search of 2 trials" in line for line in lines)
    assert {trial["setting"] for trial in document["budget"]["trials"][:2]} == {0, 1}


@pytest.mark.processes
def test_a_trial_that_outlasts_the_budget_is_stopped(searched):
    file = searched / "bakeoff.toml"
    file.write_text(file.read_text().replace("[candidates.second.search]", "sleep_s = 60\n[candidates.second.search]"))
    began = time.monotonic()
    with Project(searched) as project, project._stage(budget_s=2.0) as stage:
        from bakeoff.loop.cache import Steps
        from bakeoff.loop.dataset import gather
        from bakeoff.loop.search import tune

        tuned = tune(stage, gather(stage, Steps(stage.records.documents, stage.blobs)))
    assert time.monotonic() - began < 30
    assert {trial.status for trial in tuned.budget.trials} == {"stopped"}
    assert tuned.stage.contenders == stage.contenders


@pytest.fixture
def alone(searched):
    """One candidate, judged by its probabilities: hardly ever is the default the best smoothing."""
    file = searched / "bakeoff.toml"
    text = file.read_text().replace('[candidates.first]\nfamily = "firstword"\n', "")
    file.write_text(text.replace("[decide]", '[decide]\nmetric = "log_loss"'))
    return searched


def smooth(version):
    return version.lineage["params"]["smooth"]


def test_a_check_and_a_retrain_go_on_with_what_the_search_of_the_champion_found(alone):
    searched = alone
    document = run(searched, 2.5).document
    with Project(searched) as project:
        champion = project.records.versions.by_alias("films", "champion")
        found = champion.lineage["found"]
        assert found == {each["name"]: each["params"] for each in document["budget"]["by_candidate"] if each["params"]}
        assert smooth(champion) == found["second"]["smooth"] != 1.0

        lines = []
        with Project(searched, progress=lines.append) as again:
            checked = again.check()
        assert checked.checks[0].told.endswith("is this very model")
        assert f"second: smooth {found['second']['smooth']}" in checked.notes[-1]
        assert not any("fitted in" in line for line in lines)

        with (searched / "bakeoff.toml").open("a") as file:
            file.write('[loop]\ntriggers = ["feedback"]\nfeedback_rows = 20\n')
    with Project(searched) as project:
        rows = [{"review": f"good film {i}", "year": 2021} for i in range(30)]
        project.feedback([{"id": each.id, "label": "yes"} for each in project.predict(rows)])
        document = project.loop_once().outcome.document
        retrained = project.lineage(document["candidates"][0]["model_version"]).model
        assert smooth(retrained) == found["second"]["smooth"]
        assert retrained.lineage["found"] == found


@pytest.mark.parametrize("folds", [0, 3])
def test_trials_know_which_rows_came_as_feedback(searched, folds):
    """They, and the fit on all rows after them, are given other rows than the bake-off's own fits."""
    with (searched / "bakeoff.toml").open("a") as file:
        file.write('[loop]\ntriggers = ["feedback"]\nfeedback_rows = 20\n')
        file.write(f"[split]\nfolds = {folds}\n" if folds else "")
    run(searched)
    with Project(searched) as project:
        rows = [{"review": f"good film {i}", "year": 2021} for i in range(30)]
        project.feedback([{"id": each.id, "label": "yes"} for each in project.predict(rows)])
        project.loop_once()
    document = run(searched, 2.5).document
    assert document["dataset"]["from_feedback"] == 30
    assert {trial["status"] for trial in document["budget"]["trials"]} <= {"done", "stopped"}
    assert all(each["model_version"] for each in document["candidates"])


def test_what_the_project_file_says_goes_before_what_a_search_found(searched):
    run(searched, 2.5)
    text = (searched / "bakeoff.toml").read_text().replace(SEARCH, "smooth = 3.0\n")
    (searched / "bakeoff.toml").write_text(text)
    with Project(searched) as project:
        checked = project.check()
    assert not any("search" in note for note in checked.notes)


def test_settings_that_fail_are_told_and_cost_no_candidate(searched, monkeypatch):
    from bakeoff.train import halving

    monkeypatch.setattr(halving, "PATIENCE", 4)
    file = searched / "bakeoff.toml"
    file.write_text(
        file.read_text().replace(
            "smooth = { low = 0.5, high = 50.0, log = true }", 'crash = { choices = ["", "error"] }'
        )
    )
    document = run(searched, 5.0).document
    assert {trial["status"] for trial in document["budget"]["trials"]} == {"done", "failed"}
    second = document["candidates"][1]
    assert second["status"] == "ok"


def test_a_search_that_the_family_does_not_take_is_told_before_anything_runs(searched):
    file = searched / "bakeoff.toml"
    file.write_text(file.read_text().replace("smooth = {", "smoth = {"))
    with pytest.raises(ConfigError, match="Did you mean 'smooth'"):
        run(searched, 4.0)
