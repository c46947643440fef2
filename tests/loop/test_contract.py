"""The data contract in the loop: held at runs, when feedback joins, and by what is served."""

import json
import re

import pytest

from bakeoff import Project
from bakeoff.core.errors import ConfigError, ContractError
from bakeoff.core.events import PredictionEvent

CONTRACT = """
[columns.review]
type = "text"
missing = 0
length = { max = 60 }
[columns.year]
type = "numeric"
range = { min = 1900, max = 2100 }
[columns.liked]
type = "categorical"
allowed = ["yes", "no"]
"""


@pytest.fixture
def contracted(films_project):
    """A project with a contract that its data keeps to."""
    file = films_project / "bakeoff.toml"
    text = file.read_text().replace('target = "liked"', 'target = "liked"\ncontract = "contract.toml"')
    # One candidate is enough here, and twice as fast as two that would be combined.
    file.write_text(re.sub(r"\[candidates\.second\][^\[]*", "", text) + "findings = false\n")
    (films_project / "contract.toml").write_text(CONTRACT)
    return films_project


def run(folder):
    with Project(folder) as project:
        return project.run()


def append(folder, line):
    with (folder / "films.csv").open("a") as file:
        file.write(line + "\n")


def test_an_error_stops_the_run_before_anything_and_the_champion_stays(contracted):
    before = run(contracted).document
    assert before["dataset"]["contract"]["rules"] == 7
    append(contracted, "good film of tomorrow,2999,yes")
    append(contracted, f"good {'x' * 80},1999,yes")
    with pytest.raises(ContractError) as caught:
        run(contracted)
    assert caught.value.exit_code == 3
    told = str(caught.value)
    assert "column 'year', rule range: expected ≥ 1900 and ≤ 2100: 1 row (row 301: 2999)" in told
    assert "column 'review', rule length" in told
    assert "row 302" in told
    with Project(contracted) as project:
        assert project.lineage().model.aliases == ("champion",)
        assert project.last().document == before
        assert [run.status for run in project.runs() if run.name == "bake-off"] == ["FAILED", "FINISHED"]


def test_a_warning_goes_into_the_document_and_the_run_goes_on(contracted):
    append(contracted, "good film of tomorrow,2999,yes")
    file = contracted / "contract.toml"
    file.write_text(CONTRACT.replace("max = 2100 }", 'max = 2100, severity = "warn" }'))
    data = run(contracted).document["dataset"]
    assert data["warnings"][0]["column"] == "year"
    assert "row 301: 2999" in data["warnings"][0]["told"]


def test_an_edited_contract_is_a_change_and_a_comment_is_none(contracted):
    run(contracted)
    file = contracted / "contract.toml"
    file.write_text("# reviewed\n" + CONTRACT)
    assert run(contracted).unchanged
    file.write_text(CONTRACT.replace("2100", "2101"))
    after = run(contracted)
    assert not after.unchanged
    with Project(contracted) as project:
        version = after.document["dataset"]["contract"]["version"]
        assert project.release().contract_id == version
        assert project.lineage().dataset.lineage["contract"]["version"] != version  # that of its first run


def test_what_is_wrong_with_the_contract_is_told_with_all_else(contracted):
    (contracted / "contract.toml").write_text(CONTRACT.replace("[columns.year]", "[colums.year]"))
    file = contracted / "bakeoff.toml"
    file.write_text(file.read_text().replace('family = "firstword"', 'family = "firstword"\nsmoth = 5.0'))
    with pytest.raises(ConfigError) as caught:
        run(contracted)
    assert "contract.toml: colums: expected a known key" in str(caught.value)
    assert "smoth" in str(caught.value)
    assert not (contracted / ".bakeoff").exists()


def test_a_served_row_is_held_against_the_released_contract_not_the_file(contracted):
    run(contracted)
    (contracted / "contract.toml").write_text("")
    with Project(contracted) as project:
        with pytest.raises(ContractError, match="row 2, column 'year', rule range"):
            project.predict([{"review": "good", "year": 2000}, {"review": "bad", "year": 99}])
        with pytest.raises(ContractError, match="column 'review', rule missing"):
            project.predict([{"year": 2000}])
        assert project.predict([{"review": "good", "year": 2000}])[0].label == "yes"
        report = project.monitor()
    signal = report.signal("contract")
    assert (signal.rows, signal.value) == (3, 2 / 3)


def test_logged_violations_are_served_and_seen_by_monitoring(contracted):
    file = contracted / "bakeoff.toml"
    file.write_text(file.read_text() + '[endpoint]\ncontract = "log"\n')
    run(contracted)
    with Project(contracted) as project:
        answers = project.predict([{"review": "good", "year": 99}] * 50)
        assert len(answers) == 50
        report = project.monitor()
        events = list(project.events.read(PredictionEvent))
    assert events[0].violations == (("year", "range"),)
    signal = report.signal("contract")
    assert signal.alert
    assert signal.detail["by_rule"] == {"year: range": 50}


def test_off_looks_at_nothing(contracted):
    file = contracted / "bakeoff.toml"
    file.write_text(file.read_text() + '[endpoint]\ncontract = "off"\n')
    run(contracted)
    with Project(contracted) as project:
        assert project.predict([{"review": "good", "year": 99}])
        assert next(iter(project.events.read(PredictionEvent))).violations == ()


def test_feedback_rows_that_violate_are_set_aside_and_counted(contracted):
    file = contracted / "bakeoff.toml"
    text = file.read_text() + '[endpoint]\ncontract = "log"\n[loop]\ntriggers = ["feedback"]\nfeedback_rows = 30\n'
    file.write_text(text)
    run(contracted)
    with Project(contracted) as project:
        years = [2000] * 30 + [99] * 10
        rows = [{"review": f"good one {at}", "year": year} for at, year in enumerate(years)]
        project.feedback([{"id": answer.id, "label": "yes"} for answer in project.predict(rows)])
        turn = project.loop_once()
    data = turn.outcome.document["dataset"]
    assert data["from_feedback"] == 30
    assert data["set_aside"] == {"feedback that violates the contract": 10}
    json.dumps(turn.outcome.document)
