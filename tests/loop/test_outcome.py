"""Every run keeps its outcome; reports, comparisons and older folders."""

import json

import pytest
from typer.testing import CliRunner

from bakeoff import Project
from bakeoff.cli.main import app
from bakeoff.core.errors import NotFoundError
from bakeoff.evaluate.decide.paired import compare
from bakeoff.evaluate.score.worker import OUTCOMES, read_outcomes
from bakeoff.loop.dataset import load_table
from bakeoff.loop.stored_outcome import LAST, PASSES, dependence_of


def call(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def two_runs(films_project):
    """Two runs, the second with another parameter."""
    with Project(films_project) as project:
        first = project.run().results
    file = films_project / "bakeoff.toml"
    text = file.read_text()
    assert "[candidates.first]" in text
    file.write_text(text.replace("[candidates.first]", "[candidates.first]\nsmooth = 7.0", 1))
    with Project(films_project) as project:
        return films_project, first, project.run().results


def test_every_run_keeps_its_outcome_and_its_report(two_runs):
    folder, first, second = two_runs
    assert first.run_id != second.run_id
    with Project(folder) as project:
        assert project.outcome() == second
        assert project.outcome(first.run_id) == first
        assert project.outcome(first.run_id[:12]).to_json() == first.to_json()
        assert project.outcome(first.candidates[0].run_id) == first
        assert project.report(first.run_id).run_id == first.run_id
        assert project.rows("test", first.run_id).height == first.dataset.test
        with pytest.raises(NotFoundError, match="found none"):
            project.outcome("nothing")
    reported, shown = (
        call("report", first.run_id, "--json", "-C", folder),
        call("runs", "show", second.run_id[:10], "--json", "-C", folder),
    )
    assert json.loads(reported) == {"format": 1, **first.to_json()}
    assert json.loads(shown) == {"format": 1, **second.to_json()}
    assert json.loads(call("status", first.run_id, "--json", "-C", folder))["last_run"]["run_id"] == first.run_id
    assert first.run_id in call("runs", "--json", "-C", folder)


def test_runs_are_compared_on_the_rows_that_they_share(two_runs):
    folder, first, second = two_runs
    with Project(folder) as project:
        found = project.compare_runs(first.run_id, second.run_id)
    assert found.same_data
    changed = next(each for each in found.candidates if each.name == "first")
    assert changed.params["smooth"][1] == "7.0"
    assert changed.difference is not None
    assert changed.difference.difference == pytest.approx(changed.second.value - changed.first.value)
    same = next(each for each in found.candidates if each.name == "second")
    assert same.difference.difference == 0.0
    told = call("runs", "compare", first.run_id, second.run_id, "-C", folder)
    assert "smooth" in told
    assert "the same dataset" in told
    told = json.loads(call("runs", "compare", first.run_id, second.run_id, "--json", "-C", folder))
    assert told["second"]["winner"] == second.verdict.winner


def test_a_folder_of_before_is_read(films_project):
    """Runs once kept no outcome; the last one's document stood in the records."""
    with Project(films_project) as project:
        outcome = project.run().results
        last = project.records.documents.get(PASSES, LAST)
        body = {key: value for key, value in last.body.items() if key not in {"outcome_blob", "run_id"}}
        gathered = body["gathered"]
        body |= {"document": outcome.to_json()}
        body |= {"snapshot_blob": gathered["snapshot_blob"], "rows_blob": gathered["rows_blob"]}
        project.records.documents.put(PASSES, LAST, body)
    with Project(films_project) as project:
        assert project.outcome() == outcome
        assert project.run().unchanged
        assert project.report().run_id == outcome.run_id


def test_rows_that_go_together_are_compared_as_such(films_project):
    """Groups of ten rows: the interval of the difference is that of groups, not of rows on their own."""
    lines = (films_project / "films.csv").read_text().splitlines()
    grouped = [f"{lines[0]},studio", *(f"{line},s{at // 10}" for at, line in enumerate(lines[1:]))]
    (films_project / "films.csv").write_text("\n".join(grouped) + "\n")
    file = films_project / "bakeoff.toml"
    file.write_text(file.read_text().replace("[data]", '[data]\ngroup = "studio"', 1))
    with Project(films_project) as project:
        first = project.run().results
        groups_n, time_n = dependence_of(project.records, project.blobs, first.run_id, project.config.data)
        assert time_n is None
        studios = project.rows("test", first.run_id)["studio"]
        assert len(set(groups_n.tolist())) == studios.n_unique() < len(studios)
        file.write_text(file.read_text().replace("[candidates.first]", "[candidates.first]\nsmooth = 40.0", 1))
    with Project(films_project) as project:
        second = project.run().results
        changed = next(each for each in project.compare_runs(first.run_id, second.run_id).candidates if each.params)
        alone = next(each for each in first.candidates if each.name == changed.name)
        kept = [
            read_outcomes(load_table(project.blobs, project.records.runs.get(run_id).artifacts[OUTCOMES]))
            for run_id in (alone.run_id, second.candidate(changed.name).run_id)
        ]
    (truth_n, before), (_, after) = kept
    metric = first.verdict.metric
    of_groups = compare(truth_n, after, before, metric, seed=0, groups_n=groups_n, task=first.task)
    of_rows = compare(truth_n, after, before, metric, seed=0, task=first.task)
    assert (changed.difference.low, changed.difference.high) == (of_groups.low, of_groups.high)
    assert of_groups.low != of_rows.low
