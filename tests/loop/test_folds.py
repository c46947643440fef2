"""Whole runs by folds, on candidates that fit in no time."""

import random
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bakeoff import Project
from bakeoff.cli.run_page import leaderboard
from bakeoff.config.sections import Config
from bakeoff.core.types import Column, Schema
from bakeoff.data import splits
from bakeoff.loop import search
from bakeoff.loop.context import Contender
from bakeoff.loop.dataset import load_arrays
from bakeoff.loop.fit import Fitted
from bakeoff.loop.folds import _whole, middle
from bakeoff.loop.sides import sides
from bakeoff.project.project import Project as Opened
from bakeoff.results.search import Cut

FOLDS = """
[split]
folds = 3
[combine]
blends = false
cascades = false
"""


@pytest.fixture
def by_folds(films_project):
    with (films_project / "bakeoff.toml").open("a") as file:
        file.write(FOLDS)
    with (films_project / "films.csv").open("a") as file:
        file.write("good film number 7 with words and more words in it all the way to the end of the line,1999,yes\n")
        file.write("good film number 7 with words and more words in it all the way to the end of the page,1998,yes\n")
        file.writelines(f"word{at} that only row {at} begins with,{1950 + at},yes\n" for at in range(9))
    return films_project


def run(folder, lines=None, **given):
    with Project(folder, progress=(lines if lines is not None else []).append) as project:
        return project.run(**given)


def edit(folder, old, new):
    file = folder / "bakeoff.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def outcomes_of(project: Opened, name: str) -> pl.DataFrame:
    run_of = next(each for each in project.runs() if each.name == name)
    return pl.read_parquet(project.blobs.get(run_of.artifacts["outcomes.parquet"]))


def test_every_row_is_tested_by_a_model_that_did_not_see_it_and_the_released_one_saw_all(by_folds) -> None:
    document = run(by_folds).document
    assert document["split"] == {"by": "stratified", "folds": 3}
    dataset = document["dataset"]
    assert (dataset["train"], dataset["validation"], dataset["test"], dataset["folds"]) == (311, 0, 311, 3)
    assert dataset["near_duplicates"]["groups"] == 1
    first = document["candidates"][0]
    assert len(first["fold_metrics"]["f1_macro"]) == 3
    with Project(by_folds) as project:
        kept = outcomes_of(project, "first")
        assert kept["row"].to_list() == list(range(311))
        made = project.lineage().model.lineage
        assert made["rows"] == "all"
        assert len(made["fold_trees"]) == 3
        fold_n = load_arrays(project.blobs, made["rows_blob"])["fold"]
        texts = project.rows("test")["review"]
        near = [at for at, text in enumerate(texts.to_list()) if "and more words" in text]
        assert len(set(fold_n[near].tolist())) == 1
        values = [
            float((part["truth"] == part["predicted"]).mean())
            for part in (kept.filter(pl.Series(fold_n == fold)) for fold in range(3))
        ]
        assert values == pytest.approx(first["fold_metrics"]["accuracy"])
        history = project.records.runs.history(first["run_id"], "fold_accuracy").items
        assert [each.value for each in history] == pytest.approx(values)
        alone = kept.filter(texts.str.starts_with("word"))
        assert alone["probability:yes"].to_list() == [0.5] * 9  # an unknown word, to a model that did not see the row
        said = project.predict([{"review": "word3 that only", "year": 2000}])[0]
        assert said.label == "yes"


def test_again_nothing_is_done_a_change_refits_one_and_the_champion_is_held_to_unseen_rows(by_folds, steady) -> None:
    before = run(by_folds)
    again = run(by_folds)
    assert again.unchanged
    assert again.document == before.document
    edit(by_folds, "smooth = 5.0", "smooth = 6.0")
    lines = []
    after = run(by_folds, lines)
    assert {line.partition(":")[0] for line in lines if ": fitted " in line} == {"second", "second, folds 1 2 3"}
    assert not any(line.startswith("first") for line in lines)
    assert steady(after.document)[0]["first"] == steady(before.document)[0]["first"]

    # The champion has seen every row: on those, its like that had not are compared, and on new ones it is itself.
    with (by_folds / "films.csv").open("a") as file:
        file.writelines(f"great new film {at} that nobody saw before {at},{1950 + at},yes\n" for at in range(10))
    edit(by_folds, "[candidates.second]", "smooth = 300.0\n[candidates.second]")
    contest = run(by_folds).document["verdict"]["contest"]
    assert "on 321 unseen rows" in contest


def test_a_fold_that_fails_fails_its_candidate_alone(by_folds) -> None:
    edit(by_folds, "smooth = 5.0", 'crash = "error"')
    first, second = run(by_folds).document["candidates"]
    assert first["status"] == "ok"
    assert second["status"] == "failed"
    assert "made to fail" in second["error"]


@pytest.mark.processes
def test_with_a_budget_each_fold_is_searched_without_its_rows(by_folds, monkeypatch) -> None:
    """Settings of a fold's model come of the other folds' rows; those of the released one of all rows."""
    edit(by_folds, "smooth = 5.0", "[candidates.second.search]\nsmooth = { low = 0.5, high = 50.0, log = true }")
    searched: list[set[int]] = []
    parted = search._parted

    def seen(stage, gathered, train, validation):
        searched.append({*train.tolist(), *validation.tolist()})
        return parted(stage, gathered, train, validation)

    monkeypatch.setattr(search, "_parted", seen)
    document = run(by_folds, budget_s=4.0).document
    with Project(by_folds) as project:
        last = project.records.documents.get("passes", "last").body["gathered"]
        fold_n = load_arrays(project.blobs, last["rows_blob"])["fold"]
    whole, *of_folds = searched
    assert len(of_folds) == document["dataset"]["folds"] == 3
    assert whole == set(range(len(fold_n)))
    for fold, rows in enumerate(of_folds):
        assert rows == set(np.flatnonzero(fold_n != fold).tolist())
    assert document["budget"]["limit_s"] == 4.0
    assert document["budget"]["by_candidate"][1]["trials"] > 0
    assert {each["status"] for each in document["candidates"]} == {"ok"}


def test_few_rows_are_tested_by_folds_unasked_and_that_is_told(films_project, monkeypatch) -> None:
    monkeypatch.setattr(splits, "FEW_ROWS", 2000)
    outcome = run(films_project).results
    assert (outcome.dataset.folds, outcome.dataset.test) == (5, 300)
    assert any("300 rows are few: tested by 5 folds" in note for note in outcome.dataset.notes)
    step = outcome.next_step
    assert step.step == "[split] repeats = 3"  # these candidates are not known to be quick
    assert step.width == pytest.approx(((1 / 3 + 1.25) / 2.25) ** 0.5)
    assert step.fits_s == pytest.approx(sum(each.train_s for each in outcome.candidates) * 10 / 6, rel=1e-6)
    assert "each of 300 rows is tested once" in leaderboard(outcome)


def test_the_next_step_is_named_with_its_price(films_project) -> None:
    outcome = run(films_project).results
    assert outcome.dataset.folds == 0
    step = outcome.next_step
    assert step.step == "[split] folds = 5"
    assert step.width == pytest.approx((2.25 * 60 / 300) ** 0.5)
    assert step.fits_s == pytest.approx(5 * sum(each.train_s for each in outcome.candidates), rel=1e-6)
    assert f"next step: {step.sentence}" in leaderboard(outcome)
    assert outcome.to_json()["next_step"]["width"] == step.width


def test_folds_dealt_again_test_each_row_as_often_by_models_that_did_not_see_it(by_folds) -> None:
    once = run(by_folds).results.candidates[0]
    edit(by_folds, "folds = 3", "folds = 3\nrepeats = 2")
    outcome = run(by_folds).results
    assert (outcome.dataset.folds, outcome.dataset.repeats, outcome.dataset.test) == (3, 2, 311)
    assert "each of 311 rows is tested 2 times, in other folds each time" in leaderboard(outcome)
    first = outcome.candidates[0]
    assert first.fold_metrics == once.fold_metrics
    with Project(by_folds) as project:
        kept = outcomes_of(project, "first")
        last = project.records.documents.get("passes", "last").body["gathered"]
        rows = load_arrays(project.blobs, last["rows_blob"])
        said = project.what_if(outcome.run_id).verdict
        alone = kept.filter(project.rows("test")["review"].str.starts_with("word"))
    assert rows["fold_again"].shape == (1, 311)
    assert (rows["fold_again"][0] != rows["fold"]).mean() > 0.5
    right = [(kept["truth"] == kept[name]).mean() for name in ("predicted", "again:1:predicted")]
    assert first.metrics["accuracy"].value == pytest.approx(sum(right) / 2)
    assert right[0] == pytest.approx(once.metrics["accuracy"].value)
    assert alone["again:1:probability:yes"].to_list() == [0.5] * 9  # an unknown word, in the second deal, too
    assert said.comparisons == outcome.verdict.comparisons  # worked out again from what is stored


def test_the_middle_choice() -> None:
    assert middle([{"penalty": 1.0}, {"penalty": 0.1}, {"penalty": 0.3}]) == {"penalty": 0.3}
    assert middle([{"kind": "a"}, {"kind": "b"}, {"kind": "b"}]) == {"kind": "b"}
    assert middle([{"n": {"trees": 5}}, {"n": {"trees": 50}}, {"n": {"trees": 9}}]) == {"n": {"trees": 9}}
    assert middle([{}, {}]) == {}
    rng = random.Random(0)
    numbers = [rng.random() for _ in range(7)]
    assert middle([{"x": each} for each in numbers]) == {"x": float(np.median(numbers))}


def test_what_the_limit_cut_short_of_the_fit_on_all_rows_is_told_too() -> None:
    contender = Contender(name="one", family_name="one", requires=(), params=None, code="")
    part = Fitted(contender=contender, key="k", tree_blob="part", train_s=1.0, work_s=0.25)
    whole = Fitted(contender=contender, key="k", tree_blob="whole", train_s=1.0, cut=Cut(limit_s=3.0, what="short"))
    made = _whole(whole, [part, part], 2)
    assert made.cut == Cut(limit_s=3.0, what="short")
    assert (made.train_s, made.work_s) == (3.0, 1.5)  # it is not known of the whole one


def test_a_search_that_folds_leave_aside_is_told(films_project) -> None:
    lines = []
    with Project(films_project, progress=lines.append) as project, project._stage() as stage:
        given = search.as_given(replace(stage, found={"second": {"smooth": 9.0}}))
    assert given.contenders[1].params.smooth == 5.0
    assert lines == [
        "tested by folds: parameters are the project's own, as the search before compared rows of the test"
    ]


def test_folds_that_cannot_be_are_told_beside_the_one_part_that_is_tested(monkeypatch) -> None:
    monkeypatch.setattr(splits, "FEW_ROWS", 2000)
    table = pl.DataFrame(
        {
            "x": [float(at) for at in range(60)],
            "who": [f"user {at // 2}" for at in range(60)],
            "y": ["yes" if at < 2 else "no" for at in range(60)],
        }
    )
    columns = tuple(Column(name=name, kind="numeric", dtype="Float64") for name in ("x", "who", "y"))
    schema = Schema(columns=columns, target="y", inputs=("x",), group="who")
    config = Config.model_validate(
        {
            "project": {"name": "rare", "task": "classification", "seed": 1},
            "data": {"source": "x.csv", "target": "y", "group": "who"},
            "candidates": {"linear": {}},
            "split": {"near_duplicates": 0},
        }
    )
    arrays, facts = sides(config, table, schema)  # all of one class are one user's: the fold without it has one class
    assert (facts.folds, facts.test) == (0, len(arrays["test"]))
    assert 0 in arrays["train"]
    (note,) = [each for each in facts.notes if "folds" in each]
    assert note.startswith("tested by one part, as 5 folds cannot be: [split] by = 'group'")
    assert "expected at least two classes in train rows, found only 'no'" in note
