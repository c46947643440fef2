"""Combinations in the whole loop: two candidates that are good on different columns, and one that is neither."""

import random
import shutil
import textwrap

import numpy as np
import polars as pl
import pytest

from bakeoff import Project

pytestmark = pytest.mark.slow

FAMILY = '''
"""A family that looks at one column and is right about it as often as the column is."""

import json
from dataclasses import dataclass, field

import firstword
import numpy as np


@dataclass(frozen=True)
class Params:
    column: str = "left"
    slow: int = 0


class Model(firstword.Model):
    slow = 0

    def predict(self, table):
        for _ in range(self.slow * len(table)):
            np.linalg.norm(np.ones(2000))
        return super().predict(table)

    def save(self, folder):
        super().save(folder)
        (folder / "slow.json").write_text(json.dumps(self.slow))


class OneColumnFamily(firstword.FirstWordFamily):
    name = "onecolumn"
    params = Params

    def fit(self, job):
        from dataclasses import replace

        inputs = (job.params.column,)
        params = firstword.Params()
        found = super().fit(replace(job, schema=replace(job.schema, inputs=inputs), params=params))
        model = Model(found.signature, found.column, found.counts, {"rows": len(job.train)})
        model.slow = job.params.slow
        return model

    def load(self, folder, threads, cache=None):
        found = super().load(folder, threads)
        model = Model(found.signature, found.column, found.counts, found.chosen)
        model.slow = json.loads((folder / "slow.json").read_text())
        return model
'''

TOML = """
[project]
name = "signs"
[data]
source = "signs.csv"
target = "truth"
text = ["left", "right"]
[candidates.first]
family = "onecolumn"
column = "left"
[candidates.second]
family = "onecolumn"
column = "right"
[combine]
cascades = false
[decide]
resamples = 400
"""


@pytest.fixture(scope="module")
def one_column_path(third_party_path):
    """The family `onecolumn`, beside `firstword`."""
    (third_party_path / "onecolumn.py").write_text(textwrap.dedent(FAMILY))
    info = third_party_path / "onecolumn-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: onecolumn\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bakeoff.families]\nonecolumn = onecolumn:OneColumnFamily\n")
    yield
    shutil.rmtree(info)


@pytest.fixture
def one_column(one_column_path, third_party):
    """That family, installed."""


WORDS = ["none", "weak", "fair", "sure"]


def signs(rows=2000, seed=1, *, time=False):
    """Two independent signs of the truth, each of them more or less telling."""
    rng = random.Random(seed)

    def sign(truth):
        strength = rng.randrange(4)
        right = rng.random() < 0.5 + strength * 0.16
        return f"{WORDS[strength]}{truth if right else 1 - truth} sign {rng.random():.6f}"  # no two rows are alike

    lines = ["left,right,day,truth" if time else "left,right,truth"]
    for number in range(rows):
        truth = rng.randrange(2)
        day = f"2024-{1 + number * 12 // rows:02}-{1 + number % 28:02}," if time else ""
        lines.append(f"{sign(truth)},{sign(truth)},{day}{'yes' if truth else 'no'}")
    return "\n".join(lines) + "\n"


def write(folder):
    folder.mkdir()
    (folder / "signs.csv").write_text(signs())
    (folder / "bakeoff.toml").write_text(TOML)
    return folder


@pytest.fixture
def signs_project(tmp_path, one_column):
    """A project whose two candidates are good at different columns."""
    return write(tmp_path / "project")


@pytest.fixture(scope="module")
def signs_run(tmp_path_factory, one_column_path, family_installed):
    """Such a project that was run once, and the run's document."""
    folder = write(tmp_path_factory.mktemp("signs") / "project")
    with family_installed():
        return folder, run(folder).document


@pytest.fixture
def signs_ran(signs_run, tmp_path, one_column):
    """A copy of that project, and the document."""
    return shutil.copytree(signs_run[0], tmp_path / "project"), signs_run[1]


def run(folder, lines=None):
    with Project(folder, progress=(lines if lines is not None else []).append) as project:
        return project.run()


def edit(folder, old, new):
    text = (folder / "bakeoff.toml").read_text()
    assert old in text
    (folder / "bakeoff.toml").write_text(text.replace(old, new))


def by_kind(document, kind):
    return [each for each in document["combinations"] if each["kind"] == kind]


def test_a_blend_is_found_enters_wins_is_served_and_traced(signs_ran, tmp_path):
    folder, document = signs_ran
    (blend,) = by_kind(document, "blend")
    assert blend["entered"]
    assert set(blend["members"]) == {"first", "second"}
    assert len(blend["weights"]) == 2
    assert {"value", "low", "high"} <= set(blend["quality"])
    assert blend["cost_usd_per_1k"] > 0
    (candidate,) = (c for c in document["candidates"] if c["name"] == blend["name"])
    assert candidate["status"] == "ok"
    assert candidate["family"] == "blend"
    assert candidate["latency_ms"]["p50"] > 0
    # It was put together from the very models that it was priced with: the same answers.
    assert candidate["metrics"]["f1_macro"] == pytest.approx(blend["quality"])
    assert document["verdict"]["winner"] == blend["name"]
    assert f"{blend['name']} wins" in document["verdict"]["reason"]
    curve = document["verdict"]["power_curve"]
    assert [point["detectable"] for point in curve] == sorted((p["detectable"] for p in curve), reverse=True)

    with Project(folder) as project:
        answers = project.predict(
            [{"left": "sure1 word", "right": "fair1 word"}, {"left": "sure0 word", "right": None}]
        )
        assert [answer.label for answer in answers] == ["yes", "no"]
        made = project.lineage().model.lineage
        singles = {c["name"]: c["model_version"] for c in document["candidates"]}
        assert made["members"] == {name: singles[name] for name in ("first", "second")}
        assert made["chosen"] == {"members": {name: {"rows": 1360} for name in ("first", "second")}}
        runs = {r.name: r.status for r in project.runs()}
        assert runs[blend["name"]] == "FINISHED"
        blob = project.lineage().model.content
        folder = project.blobs.fetch(blob, tmp_path / "away" / "model")
    from bakeoff.families.wrappers.blend import BlendFamily

    table = pl.DataFrame({"left": ["sure1 word"], "right": ["fair1 word"]})
    shares = BlendFamily().load(folder, 1).predict(table).probabilities_nk
    np.testing.assert_allclose(shares[0, 1], answers[0].probabilities["yes"])


def test_unchanged_does_nothing_and_the_same_seed_finds_the_same(signs_ran, tmp_path):
    folder, first = signs_ran
    lines = []
    assert run(folder, lines).unchanged
    assert lines == []

    def steady(document):
        kept = ("name", "weights", "biases", "validation", "quality", "entered")
        return [{key: each[key] for key in kept} for each in by_kind(document, "blend")]

    assert steady(first) == steady(run(write(tmp_path / "other")).document)


def test_a_changed_candidate_finds_combinations_again(signs_ran):
    folder, before = signs_ran
    edit(folder, 'column = "right"', 'column = "left"')
    lines = []
    after = run(folder, lines).document
    assert [line for line in lines if "fitted in" in line and line.startswith("first")] == []
    assert any(line.startswith("looking for combinations") for line in lines)
    (blend,) = by_kind(after, "blend")
    assert by_kind(before, "blend")[0]["entered"]
    assert not blend["entered"]
    assert "not distinguishably better" in blend["reason"]
    assert {c["name"] for c in after["candidates"]} == {"first", "second"}


def test_a_killed_search_goes_on_with_what_is_done(signs_project):
    class KilledError(Exception):
        pass

    def stop(line):
        if line.startswith("blend+") and "putting" in line:
            raise KilledError

    with pytest.raises(KilledError), Project(signs_project, progress=stop) as project:
        project.run()
    lines = []
    document = run(signs_project, lines).document
    told = ("fitted in", "holding", "looking for combinations")
    singles = [line for line in lines if not line.startswith("blend+")]  # that one is fitted on all rows, to be shipped
    assert not [line for line in singles if any(word in line for word in told)]
    assert by_kind(document, "blend")[0]["entered"]
    assert document["verdict"]["winner"].startswith("blend+")


def test_one_candidate_is_combined_with_nothing(signs_project):
    edit(signs_project, '[candidates.second]\nfamily = "onecolumn"\ncolumn = "right"\n', "")
    lines = []
    document = run(signs_project, lines).document
    assert document["combinations"] == []
    assert not any("holding" in line for line in lines)


def test_combining_can_be_turned_off(signs_project):
    edit(signs_project, "cascades = false", "blends = false\ncascades = false")
    document = run(signs_project).document
    assert document["combinations"] == []
    assert len(document["candidates"]) == 2


def test_a_cascade_of_a_cheap_and_a_dear_candidate_is_served(signs_project):
    """The dear one is needed only where the cheap one is unsure; nothing else is as good for its price."""
    edit(signs_project, 'column = "right"', 'column = "right"\nslow = 200')
    edit(signs_project, "cascades = false", "blends = false")
    document = run(signs_project).document
    two, route = by_kind(document, "cascade")[0], by_kind(document, "route")
    assert two["name"] == "cascade+first+second"
    assert two["entered"], two["reason"]
    assert 0 < two["shares"][1] < 1
    assert two["curve"]
    assert len(route) == 1
    (candidate,) = (c for c in document["candidates"] if c["name"] == two["name"])
    dear = next(c for c in document["candidates"] if c["name"] == "second")
    assert candidate["metrics"]["f1_macro"] == pytest.approx(two["quality"])
    assert candidate["cost_usd_per_1k"] < dear["cost_usd_per_1k"]
    assert document["verdict"]["winner"] == two["name"]
    with Project(signs_project) as project:
        (answer,) = project.predict([{"left": "none1 word", "right": "sure0 word"}])
    assert answer.label == "no"


def test_the_winner_is_refitted_on_all_rows_member_by_member(signs_project, ships_all):
    (signs_project / "signs.csv").write_text(signs(time=True))
    edit(signs_project, 'text = ["left", "right"]', 'text = ["left", "right"]\ntime = "day"')
    with (signs_project / "bakeoff.toml").open("a") as file:
        file.write("[loop]\nrefit = true\n[split]\ntest = 0.3\n")
    document = run(signs_project).document
    assert document["verdict"]["winner"].startswith("blend+")
    with Project(signs_project) as project:
        made = project.lineage().model.lineage
        assert made["rows"] == "all"
        assert set(made["members"]) == {"first", "second"}
        assert project.predict([{"left": "sure1 word", "right": "fair1 word"}])[0].label == "yes"
        model = project.model().model
    assert model.chosen == {"members": {"first": {"rows": 2000}, "second": {"rows": 2000}}}


def test_groups_are_drawn_whole_when_the_project_names_them(signs_project):
    lines = (signs_project / "signs.csv").read_text().splitlines()
    grouped = [f"{line},{'user' if at == 0 else at // 20}" for at, line in enumerate(lines)]
    (signs_project / "signs.csv").write_text("\n".join(grouped) + "\n")
    edit(signs_project, 'text = ["left", "right"]', 'text = ["left", "right"]\ngroup = "user"')
    document = run(signs_project).document
    assert by_kind(document, "blend")[0]["entered"]
    free = document["verdict"]["comparisons"][0]
    assert free["low"] < free["difference"] < free["high"]


def test_by_folds_a_blend_is_judged_as_it_was_found_without_each_fold(signs_project):
    edit(signs_project, "[combine]", "[split]\nfolds = 2\n[combine]")
    document = run(signs_project).document
    (tried,) = [each for each in document["combinations"] if each["kind"] == "blend"]
    assert tried["entered"]
    made = next(each for each in document["candidates"] if each["family"] == "blend")
    assert made["status"] == "ok"
    assert len(made["fold_metrics"]["f1_macro"]) == 2
    # Measured again through saved models, it is what was made of kept outcomes.
    assert made["metrics"]["f1_macro"] == pytest.approx(tried["quality"])
    with Project(signs_project) as project:
        assert len(project.lineage(made["model_version"]).model.lineage["fold_trees"]) == 2


@pytest.mark.parametrize("how", ["temperature", "isotonic"])
def test_what_is_calibrated_is_judged_served_and_named(signs_project, how):
    edit(signs_project, "[decide]", f'[decide]\ncalibrate = "{how}"')
    document = run(signs_project).document
    names = [candidate["name"] for candidate in document["candidates"]]
    assert {"first+" + how, "second+" + how} <= set(names)
    assert all(name.endswith(how) for name in names)
    assert document["verdict"]["winner"].startswith("blend+")
    with Project(signs_project) as project:
        made = project.lineage().model.lineage
        assert made["family"] == "calibrated"
        assert made["params"]["members"][0]["family"] == "blend"
        assert project.predict([{"left": "sure1 word", "right": "fair1 word"}])[0].label == "yes"


def test_what_took_long_to_fit_is_not_combined_and_it_is_said(signs_project):
    edit(signs_project, "cascades = false", "cascades = false\nmax_train_s = 0.000001")
    document = run(signs_project).document
    assert document["combinations"] == []
    assert set(document["not_combined"]) == {"first", "second"}
    assert "max_train_s" in document["not_combined"]["first"]
