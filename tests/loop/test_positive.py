"""The positive class of a project's rows, and metrics that name classes, from the project file to what is shown."""

import csv
import io
import random

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score, mean_pinball_loss, recall_score
from typer.testing import CliRunner

from bakeoff import Project
from bakeoff.cli.main import app
from bakeoff.core.errors import ConfigError
from bakeoff.evaluate.score.worker import read_outcomes
from bakeoff.report.html import html
from bakeoff.report.markdown import markdown

TOML = """
[project]
name = "payments"
[data]
source = "rows.csv"
target = "status"
text = ["note"]
[candidates.first]
family = "firstword"
[combine]
blends = false
cascades = false
[decide]
resamples = 100
findings = false
"""
FRAUD = {"fraud": 0.06, "legit": 0.94}


def project(folder, shares, decide="", rows=400, seed=0):
    """A project whose note begins with a word that leans towards a label."""
    rng = random.Random(seed)
    names = list(shares)
    with (folder / "rows.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["note", "status"])
        for number in range(rows):
            label = rng.choices(names, list(shares.values()))[0]
            word = label if rng.random() < 0.5 else rng.choice(names)
            out.writerow([f"{'abcdef'[names.index(word)]} note number {number}", label])
    (folder / "bakeoff.toml").write_text(TOML + decide)
    return folder


def run(folder):
    with Project(folder, progress=lambda _: None) as opened:
        document = opened.run().document
    return document, document["candidates"][0]


def outcomes(opened, candidate):
    """What was true and what was said of the test rows."""
    kept = opened.records.runs.get(candidate["run_id"]).artifacts["outcomes.parquet"]
    return read_outcomes(pl.read_parquet(io.BytesIO(opened.blobs.get(kept))))


@pytest.mark.parametrize(
    ("shares", "decide", "positive"),
    [
        (FRAUD, "", "fraud"),
        ({"0": 0.1, "1": 0.9}, "", "0"),
        ({"no": 0.8, "yes": 0.2}, "", "yes"),
        (FRAUD, 'positive = "legit"\n', "legit"),
        ({"false": 0.9, "true": 0.1}, "positive = false\n", "false"),
    ],
)
def test_one_class_decides_and_its_name_is_shown(tmp_path, third_party, shares, decide, positive):
    document, first = run(project(tmp_path, shares, 'metric = "pr_auc"\n' + decide))
    name = f"pr_auc[{positive}]"
    assert document["verdict"]["metric"] == name
    assert document["positive"]["name"] == positive
    assert document["positive"]["chosen"] is bool(decide)
    assert {name, f"roc_auc[{positive}]", f"recall[{positive}]"} < set(first["metrics"])
    assert "pr_auc" not in first["metrics"]
    with Project(tmp_path) as opened:
        truth, said = outcomes(opened, first)
        expected = average_precision_score(truth == positive, said.probabilities_nk[:, said.classes.index(positive)])
        assert first["metrics"][name]["value"] == pytest.approx(expected, abs=1e-12)
        report = opened.report()
        assert report.positive.name == positive
        pages = (html(report), markdown(report))
    shown = CliRunner().invoke(app, ["report", "-C", str(tmp_path)]).stdout
    for page in (shown, *pages):
        assert name in page.replace("\\", "")
        assert f"Positive class: '{positive}'" in page.replace("&#39;", "'").replace("\\", "")


def test_names_with_classes_are_gates_utility_and_shown(tmp_path, third_party):
    gates = """
metric = "f1[fraud]"
metrics = ["precision_at_recall[0.5]", 'recall["legit"]']
utility = "recall[fraud] + 0 * precision_at_recall[fraud, 0.80]"
gates = { "recall[fraud]" = { min = 0.99 }, specificity = { min = 0.01 } }
"""
    document, first = run(project(tmp_path, FRAUD, gates))
    asked = {"f1[fraud]", "precision_at_recall[fraud, 0.5]", "precision_at_recall[fraud, 0.8]", "recall[legit]"}
    assert asked < set(first["metrics"])
    verdict = document["verdict"]
    assert verdict["metric"] == "f1[fraud]"
    assert verdict["winner"] is None
    assert [(gate["metric"], gate["passed"]) for gate in verdict["gates"]] == [
        ("recall[fraud]", False),
        ("specificity[fraud]", True),
    ]
    assert verdict["utilities"]["first"] == pytest.approx(first["metrics"]["recall[fraud]"]["value"])
    with Project(tmp_path) as opened:
        truth, said = outcomes(opened, first)
    expected = recall_score(truth == "fraud", said.values_n == "fraud")
    assert first["metrics"]["recall[fraud]"]["value"] == pytest.approx(expected, abs=1e-12)


def test_with_three_classes_one_can_be_gated_on(tmp_path, third_party):
    shares = {"cat": 0.6, "dog, big": 0.3, "f\u00f6x": 0.1}
    gates = """metric = "pr_auc"\ngates = { 'recall["dog, big"]' = { min = 0.1 } }\nmetrics = "f1[fo\u0308x]"\n"""
    document, first = run(project(tmp_path, shares, gates))
    assert document["verdict"]["metric"] == "pr_auc"
    assert document["positive"] is None
    assert 'recall["dog, big"]' in first["metrics"]
    assert [name for name in first["metrics"] if name.startswith("f1[")] == ["f1[f\u00f6x]"]
    (gate,) = document["verdict"]["gates"]
    assert gate["metric"] == 'recall["dog, big"]'
    assert gate["passed"]


@pytest.mark.parametrize(
    ("shares", "decide", "told"),
    [
        (FRAUD, 'metric = "recall[frued]"\n', "decide.metric.*'frued'.*Did you mean 'fraud'"),
        (FRAUD, 'positive = "Fraud"\n', "decide.positive.*'Fraud'.*Did you mean 'fraud'"),
        (FRAUD, 'gates = { "f1[yes]" = { min = 0.1 } }\n', "decide.gates.f1.yes.*'fraud', 'legit'.*'yes'"),
        (FRAUD, 'utility = "recall[frau d]"\n', "decide.utility.*'frau d'.*Did you mean 'fraud'"),
        (FRAUD, 'gates = { recall = { min = 0 }, "recall[fraud]" = { min = 0 } }\n', "one gate on recall.fraud."),
        ({"a": 0.5, "b": 0.3, "c": 0.2}, 'metric = "recall"\n', "a class, as in recall.*positive"),
        (FRAUD, 'metric = "expected_cost"\n[decide.costs]\nfraud = { legitt = 1 }\n', "Did you mean 'legit'"),
        (FRAUD, 'metric = "expected_cost"\n', "decide.costs"),
        (FRAUD, 'metric = "precision_at_recall[fraud]"\n', "a number between 0 and 1"),
    ],
)
def test_what_is_no_class_is_told_before_anything_is_fitted(tmp_path, third_party, shares, decide, told):
    folder = project(tmp_path, shares, decide)
    lines = []
    with Project(folder, progress=lines.append) as opened, pytest.raises(ConfigError, match=f"(?s){told}"):
        opened.run()
    assert not any("fitted" in line for line in lines)


def test_answers_by_cost_are_judged_and_served(tmp_path, third_party):
    costs = """metric = "expected_cost"
decide_by = "cost"
[decide.costs]
fraud = { legit = 100 }
legit = { fraud = 4 }
"""
    document, first = run(project(tmp_path, FRAUD, costs))
    assert first["name"] == "first+cost"
    with Project(tmp_path) as opened:
        truth, said = outcomes(opened, first)
        fraud = said.probabilities_nk[:, said.classes.index("fraud")]
        assert (said.values_n == np.where(100 * fraud > 4 * (1 - fraud), "fraud", "legit")).all()
        assert (said.values_n == "fraud").any()
        cost = np.where(truth == said.values_n, 0, np.where(truth == "fraud", 100, 4)).mean()
        assert first["metrics"]["expected_cost"]["value"] == pytest.approx(cost, abs=1e-12)
        (answer,) = opened.predict([{"note": "a note number 7"}])
        assert answer.label == "fraud"
        assert answer.probabilities["fraud"] < 0.5
    assert document["verdict"]["winner"] == "first+cost"


def test_numbers_have_metrics_with_arguments_too(tmp_path):
    rng = random.Random(0)
    lines = ["x,y", *(f"{x},{2 * x + rng.gauss(0, 1)}" for x in (rng.uniform(0, 10) for _ in range(200)))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    decide = 'metric = "pinball[0.90]"\n'
    toml = (TOML + decide).replace('target = "status"\ntext = ["note"]', 'target = "y"\nnumeric = ["x"]')
    toml = toml.replace('"payments"', '"payments"\ntask = "regression"')
    (tmp_path / "bakeoff.toml").write_text(
        toml.replace("[candidates.first]\nfamily", "[candidates.linear]\nfamily").replace("firstword", "linear")
    )
    document, first = run(tmp_path)
    assert document["verdict"]["metric"] == "pinball[0.9]"
    assert document["positive"] is None
    with Project(tmp_path) as opened:
        truth, said = outcomes(opened, first)
    assert first["metrics"]["pinball[0.9]"]["value"] == pytest.approx(
        mean_pinball_loss(truth, said.values_n, alpha=0.9)
    )
