"""The report of a real run, by the SDK and by the command."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bakeoff.cli.main import app
from bakeoff.core.errors import NotFoundError
from bakeoff.project.project import Project


def call(*arguments):
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result


def test_a_run_has_its_report_in_every_form(films_project, tmp_path, monkeypatch):
    with Project(films_project) as project:
        with pytest.raises(NotFoundError, match="run 'bakeoff run' first"):
            project.report()
        document = project.run().document
        report = project.report()
    assert report.verdict.winner == document["verdict"]["winner"]
    assert {each.name for each in report.candidates if each.card and each.reliability} >= {"first", "second"}
    assert report.origin is not None
    assert report.origin.sources == ("films.csv",)
    assert sum(sum(line) for line in report.candidates[0].card.confusion) == document["dataset"]["test"]

    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    call("--html", "-C", films_project)
    assert [file.name for file in away.iterdir()] == ["report.html"]
    call("-C", films_project, "--html", "named.html", "--png", "charts")
    assert Path("named.html").read_text() == Path("report.html").read_text()
    assert (away / "charts" / "leaderboard.png").exists()
    assert call("-C", films_project, "--markdown").stdout.startswith("## films: ")
    assert "verdict:" in call("-C", films_project).stdout
    told = json.loads(call("-C", films_project, "--json", "--html=again.html").stdout)
    assert told["files"] == ["again.html"]
    assert told["run_id"] == document["run_id"]
