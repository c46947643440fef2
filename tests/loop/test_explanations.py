"""A run explains its candidates after the verdict, keeps that, and can be asked about single rows."""

import json

import pytest
from typer.testing import CliRunner

from bakeoff import Project
from bakeoff.cli.main import app
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.results.outcome import RunOutcome

WORDS = {"yes": ["good", "great", "lovely"], "no": ["bad", "awful", "dull"]}
ROW = {"review": "great film number 7 with words", "year": 1999}


def test_the_run_tells_what_matters_and_keeps_it(ran):
    with Project(ran) as project:
        outcome = project.outcome()
    first, other = outcome.explanations
    assert first.candidate == outcome.verdict.winner
    review = first.importance[0]
    assert review.columns == ("review",)
    assert review.low > 0.2  # the first word is all that the family reads
    assert next(each for each in first.importance if each.columns == ("year",)).drop == 0
    assert {word.word for word in first.words} >= {"good", "bad"}
    (output,) = first.outputs
    assert all((word.adds > 0) == (word.word in WORDS[output]) for word in first.words)
    assert first.curves[0].output == output == outcome.positive.name
    assert first.learning is not None
    assert [point.rows for point in first.learning.points][-1] == outcome.dataset.train + outcome.dataset.validation
    assert other.learning is None
    again = RunOutcome.from_json(json.loads(json.dumps(outcome.to_json())))
    assert again.explanations == outcome.explanations


def test_what_was_explained_is_not_explained_again(ran):
    lines = []
    with Project(ran, progress=lines.append) as project:
        before = project.outcome().explanations
        project.records.documents.delete("passes", "last")  # as if it had been killed before its end
        assert project.run().results.explanations == before
    assert not [line for line in lines if "explaining" in line or "learning curve" in line]


def test_the_project_may_have_none(ran):
    text = (ran / "bakeoff.toml").read_text()
    (ran / "bakeoff.toml").write_text(text.replace("[decide]", '[decide]\nexplain = "none"'))
    with Project(ran) as project:
        assert project.run().results.explanations == ()


def test_one_answer_is_explained_by_row_and_by_prediction(ran):
    with Project(ran) as project:
        by_row = project.explain(ROW)
        answer = project.predict([ROW])[0]
        by_id = project.explain(prediction=answer.id)
        with pytest.raises(NotFoundError, match="expected the id of a prediction"):
            project.explain(prediction="nobody")
        with pytest.raises(UsageError, match="expected a row"):
            project.explain(ROW, prediction=answer.id)
    assert by_row == by_id
    assert by_row.answer == answer.label == "yes"
    assert by_row.output == "yes"
    assert by_row.base + sum(part.adds for part in by_row.columns) == pytest.approx(by_row.score)
    assert by_row.score == pytest.approx(by_row.probability)
    assert by_row.columns[0].column == "review"
    assert by_row.words[0].word == "great"


def test_the_command_tells_both(ran):
    runner = CliRunner()
    page = runner.invoke(app, ["explain", "-C", str(ran)])
    assert page.exit_code == 0, page.output
    assert "review" in page.output
    told = runner.invoke(app, ["explain", json.dumps(ROW), "-C", str(ran), "--json"])
    assert json.loads(told.stdout)["columns"][0]["column"] == "review"
    shown = runner.invoke(app, ["explain", json.dumps(ROW), "-C", str(ran)])
    assert "answers yes" in shown.output
    assert "great +" in shown.output
