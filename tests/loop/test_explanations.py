"""A run explains its candidates after the verdict, keeps that, and can be asked about single rows."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from bakeoff import Project
from bakeoff.cli.main import app
from bakeoff.core.errors import DataError, NotFoundError, UsageError
from bakeoff.core.jobs import Job
from bakeoff.loop import dataset, explain
from bakeoff.loop.cache import Steps
from bakeoff.loop.evaluate import Judged
from bakeoff.loop.fit import Fitted
from bakeoff.results.outcome import RunOutcome

pytestmark = pytest.mark.usefixtures("explained")

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


def again(folder, **given):
    """The run made anew, as if it had been killed before its end."""
    with Project(folder, **given) as project:
        project.records.documents.delete("passes", "last")
        return project.run().results


def test_what_the_runs_time_is_too_short_for_is_left_out_and_says_so(ran, monkeypatch):
    monkeypatch.setattr(explain, "LEAST_S", 2000.0)  # of the hour that a run may take
    monkeypatch.setattr(explain, "MOST_S", 2000.0)
    first, other = again(ran).explanations
    why = r"the run's time is up \(3,?[56]\d\d.\d s were left\): bakeoff run --budget gives it more"
    assert first.importance
    assert first.learning is None
    (curve,) = [each for each in first.skipped if each.part == "learning curve"]
    assert re.fullmatch(why, curve.reason)
    assert [each.part for each in other.skipped] == ["all"]
    assert re.fullmatch(why, other.skipped[0].reason)


def test_what_does_not_learn_has_no_curve(films_project, register_family, monkeypatch):
    (films_project / "asking.py").write_text(
        "import firstword\n\n\nclass AskingFamily(firstword.FirstWordFamily):\n    name, learns = 'asking', False\n"
    )
    monkeypatch.syspath_prepend(str(films_project))
    register_family("asking", "asking:AskingFamily")
    text = (films_project / "bakeoff.toml").read_text()
    (films_project / "bakeoff.toml").write_text(text.replace('"firstword"', '"asking"'))
    with Project(films_project) as project:
        first = project.run().results.explanations[0]
    assert first.learning is None
    assert [(each.part, each.reason) for each in first.skipped if each.part == "learning curve"] == [
        ("learning curve", "nothing in it, or not all, learns from rows")
    ]


def test_a_curve_that_cannot_be_scored_does_not_fail_a_run_that_has_released(ran, monkeypatch):
    def undefined(*_, **__):
        raise DataError("expected predictions of the quantile 0.1; received those of []")

    monkeypatch.setattr(explain, "_curve", undefined)
    first = again(ran).explanations[0]
    assert first.importance
    (curve,) = [each for each in first.skipped if each.part == "learning curve"]
    assert curve.reason == "expected predictions of the quantile 0.1; received those of []"


def test_with_folds_a_curve_expects_what_one_fit_takes(ran):
    with Project(ran) as project, project._stage() as stage:
        gathered = dataset.gather(stage, Steps(project.records.documents, project.blobs))
        fitted = Fitted(contender=stage.contenders[0], key="k", tree_blob="t", train_s=12.0, folds=("a", "b", "c"))
        part = explain._learning(stage, gathered, Judged(fitted=fitted), 0.5)
        beside_others = explain._learning(stage, gathered, Judged(fitted=replace(fitted, work_s=8.0)), 0.5)
    assert beside_others.job.argument.whole_s == 2.0
    assert part.job.argument.whole_s == 3.0  # three fits without a fold, and one of all rows
    assert part.job.argument.all_fits_s == part.seconds == 3.0


def test_a_part_that_does_not_fit_takes_no_time_from_those_after_it(ran):
    def part(name, seconds):
        return explain._Part(job=Job(name=name, function="m:f", argument=None), key=name, seconds=seconds)

    with Project(ran) as project, project._stage() as stage:
        short = replace(stage, time=SimpleNamespace(left_s=30.0 / stage.at_once))
        fitting, reasons = explain._in_time(short, [part("a", 10.0), part("b", 100.0), part("c", 15.0), part("d", 6.0)])
    assert list(fitting) == ["a", "c"]
    assert list(reasons) == ["b", "d"]
