"""What is shipped: the winner of all rows, its twin as the evidence, and no row that judges whom it taught."""

import textwrap

import polars as pl
import pytest

from bakeoff import Project
from bakeoff.cli.run_page import leaderboard
from bakeoff.evaluate.decide import verdict
from bakeoff.report.markdown import markdown

MEMORY = '''
"""A family that knows every row it was fitted on by heart, and of others only what the first word says."""

import json
from dataclasses import dataclass

import firstword
import numpy as np
from bakeoff.core.types import Predictions


@dataclass(frozen=True)
class Params:
    smooth: float = 1.0
    spoil: str = ""


class Model(firstword.Model):
    known = {}

    def predict(self, table):
        said = super().predict(table)
        shares = said.probabilities_nk.copy()
        for at, text in enumerate(table[self.column].to_list()):
            if text in self.known:
                shares[at] = 0.01
                shares[at, said.classes.index(self.known[text])] = 0.99
        return Predictions.of_probabilities(shares / shares.sum(axis=1, keepdims=True), said.classes)

    def save(self, folder):
        super().save(folder)
        (folder / "known.json").write_text(json.dumps(self.known))


class MemoryFamily(firstword.FirstWordFamily):
    name = "memory"
    params = Params

    def fit(self, job):
        from dataclasses import replace

        if job.params.spoil == "fails" and job.chosen is not None and not len(job.validation):
            raise ValueError("made to fail")
        found = super().fit(replace(job, params=firstword.Params(smooth=job.params.smooth)))
        model = Model(found.signature, found.column, found.counts, {"rows": len(job.train)})
        rows = zip(job.train[found.column].to_list(), job.train[job.schema.target].to_list(), strict=True)
        model.known = dict(rows)
        if job.params.spoil == "diverges" and job.chosen is not None and not len(job.validation):
            model.known = {text: "yes" if label == "no" else "no" for text, label in model.known.items()}
        return model

    def load(self, folder, threads, cache=None):
        found = super().load(folder, threads)
        model = Model(found.signature, found.column, found.counts, found.chosen)
        model.known = json.loads((folder / "known.json").read_text())
        return model
'''
CANDIDATES = '[candidates.first]\nfamily = "firstword"\n[candidates.second]\nfamily = "firstword"\nsmooth = 5.0\n'


@pytest.fixture
def memory(films_project, third_party, register_family, monkeypatch, ships_all):
    (films_project / "memory.py").write_text(textwrap.dedent(MEMORY))
    monkeypatch.syspath_prepend(str(films_project))
    register_family("memory", "memory:MemoryFamily")
    edit(films_project, CANDIDATES, '[candidates.first]\nfamily = "memory"\n')
    return films_project


def edit(folder, old, new):
    file = folder / "bakeoff.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def run(folder):
    lines = []
    with Project(folder, progress=lines.append) as project:
        return project.run(), lines


def test_the_winner_is_fitted_on_all_rows_and_its_twin_is_the_evidence(memory):
    finished, _ = run(memory)
    shipped, data = finished.results.shipped, finished.results.dataset
    assert (shipped.rows, shipped.evaluated_rows) == (300, data.train + data.validation) == (300, 240)
    assert shipped.reason is None
    with Project(memory) as project:
        origin = project.lineage().model.model_origin
        assert (origin.rows, origin.fitted_rows, origin.evaluated_rows) == ("all", 300, 240)
        evaluated = finished.results.candidates[0].model_version
        assert project.release().model_version != evaluated
        assert project.lineage(evaluated).model.content == origin.evaluated_tree
        assert len(project.model().model.known) == 300
        facts = project.lineage_of().nodes[0].facts
        assert facts["fitted_on"] == "300 rows: its evaluated twin's 240 and 60 more"
        shown = markdown(project.report(None))
        assert project.run().unchanged
    assert "served: fitted with the same choices on all 300 rows" in leaderboard(finished.results)
    assert "Served: fitted with the same choices on all 300 rows" in shown
    # What monitoring expects and what is shown is the twin's: it knows no test row by heart.
    assert finished.results.candidates[0].metrics["accuracy"].value < 0.97


@pytest.mark.parametrize(
    ("spoil", "why"), [("fails", "made to fail"), ("diverges", "it answers test rows worse than before")]
)
def test_a_fit_that_fails_or_diverges_leaves_the_twin_and_it_is_told(memory, spoil, why):
    edit(memory, 'family = "memory"\n', f'family = "memory"\nspoil = "{spoil}"\n')
    finished, lines = run(memory)
    shipped = finished.results.shipped
    assert why in shipped.reason
    assert shipped.rows == shipped.evaluated_rows == 240
    assert any(f"released as evaluated: {shipped.reason}" in line for line in lines)
    with Project(memory) as project:
        assert project.release().model_version == finished.results.candidates[0].model_version


def test_what_would_take_too_long_and_what_is_switched_off_is_not_fitted_again(memory):
    edit(memory, "[decide]", "[loop]\nrefit_max_s = 1e-9\n[decide]")
    finished, _ = run(memory)
    assert "over [loop] refit_max_s = 1e-09" in finished.results.shipped.reason
    edit(memory, "refit_max_s = 1e-9", "refit = false")
    finished, _ = run(memory)
    assert not finished.unchanged
    with Project(memory) as project:
        assert project.lineage().model.model_origin.rows == "train"


def test_a_champion_that_knows_all_rows_by_heart_is_met_by_its_twin(memory):
    """The planted leak: asked about test rows that it was shipped with, the champion would have 1.0 and never go."""
    first, _ = run(memory)
    accuracy = first.results.candidates[0].metrics["accuracy"].value
    edit(memory, 'family = "memory"\n', 'family = "memory"\nsmooth = 1.5\n')
    second, _ = run(memory)
    assert second.results.verdict.promoted
    assert "+0.0000 f1_macro" in second.results.verdict.contest
    assert "on 60 unseen rows" in second.results.verdict.contest
    # With new rows, old test rows are answered by the twin and new ones by the champion itself.
    rows = (memory / "films.csv").read_text()
    more = "".join(
        f"{'good' if at % 2 else 'bad'} new film {at},2001,{'yes' if at % 2 else 'no'}\n" for at in range(60)
    )
    (memory / "films.csv").write_text(rows + more)
    third, _ = run(memory)
    contest = third.results.verdict.contest
    tests = third.results.dataset.test
    assert f"on {tests} unseen rows" in contest
    assert tests > 60
    assert "+0.0000 f1_macro" in contest or abs(float(contest.split(": ")[1].split()[0])) < 0.05
    assert accuracy < 0.97
    with Project(memory) as project:
        checked = project.check(model=third.results.release.model_version)
    assert any("its twin that was evaluated in its place" in note for note in checked.notes)
    assert checked.passed


def test_by_folds_the_released_model_has_all_rows_already(memory):
    edit(memory, "[decide]", "[split]\nfolds = 3\n[decide]")
    finished, lines = run(memory)
    assert finished.results.shipped.sentence == "fitted on all 300 rows, and judged by its like of 3 folds"
    assert not any("fitting on all" in line for line in lines)
    with Project(memory) as project:
        assert project.lineage().model.model_origin.fitted_rows == 300


def test_the_twin_is_compared_by_groups_where_rows_have_some(memory, monkeypatch):
    compared = []
    compare = verdict.compare

    def seen(truth_n, *answers, **how):
        compared.append((len(truth_n), how["groups_n"], how["time_n"]))
        return compare(truth_n, *answers, **how)

    monkeypatch.setattr(verdict, "compare", seen)
    edit(memory, 'numeric = ["year"]', 'group = "year"')
    finished, _ = run(memory)
    years = pl.read_csv(memory / "films.csv")["year"].n_unique()
    ((rows, groups_n, time_n),) = compared
    assert (rows, time_n) == (finished.results.dataset.test, None)
    assert len(groups_n) == rows
    assert len(set(groups_n.tolist())) < min(rows, years)
