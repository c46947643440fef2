"""Baselines in a run: shown apart from candidates, and nobody wins who is not better than the best of them."""

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from bakeoff import Project
from bakeoff.cli.run_page import full_report, leaderboard
from bakeoff.report.html import html
from bakeoff.report.markdown import markdown

START = datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None)
TOML = """
[project]
name = "rentals"
task = "regression"
[data]
source = "rentals.csv"
target = "count"
time = "when"
ignore = ["when"]
numeric = ["noise", "level"]
[split]
test = "7d"
validation = "7d"
[candidates.linear]
[decide]
resamples = 100
findings = false
"""


def rentals(*, signal):
    """Hours of ten weeks: the same each week, but for noise; `signal`: what a model is told of it."""
    rng = np.random.default_rng(0)
    lines = ["when,noise,level,count"]
    for at in range(24 * 70):
        hour, day = at % 24, at // 24 % 7
        level = 100 + 60 * math.sin(math.pi * hour / 12) + 15 * day
        count = level + rng.normal(0, 5)
        told = level + rng.normal(0, 1) if signal else rng.normal()
        lines.append(f"{(START + timedelta(hours=at)).isoformat()},{rng.normal():.3f},{told:.3f},{count:.3f}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def project_folder(tmp_path):
    (tmp_path / "rentals.csv").write_text(rentals(signal=False))
    (tmp_path / "bakeoff.toml").write_text(TOML)
    return tmp_path


def by_name(document):
    return {each["name"]: each for each in document["baselines"]}


def test_who_does_not_beat_the_last_week_does_not_win_and_it_is_said_first(project_folder):
    with Project(project_folder) as project:
        finished = project.run()
    assert not finished.won  # the command ends with 3
    document = json.loads(json.dumps(finished.document))
    verdict = document["verdict"]
    assert verdict["winner"] is None
    assert document["release"] is None
    assert verdict["yardstick"]["baseline"] == "same time last week"
    # Two independent errors of 5: the root of their squares' sum.
    week = by_name(document)["same time last week"]
    assert week["metrics"]["rmse"]["value"] == pytest.approx(math.hypot(5, 5), abs=0.9)
    assert week["needs"] == "the truth of a week before"
    assert by_name(document)["last value"]["stops"] == "none"
    assert week["comparison"]["high"] < 0
    assert not any("version" in each for each in document["baselines"])
    with Project(project_folder) as project:
        assert project.release() is None
        page, report = leaderboard(project.outcome(None)), project.report(None)
        assert page.startswith("\ufdd0no model is needed: linear does not beat the baseline: rmse")
        assert "same time last week" in full_report(project.outcome(None))
    shown = markdown(report)
    assert shown.startswith("## rentals: Nobody wins: no model beats the baseline 'same time last week'")
    assert "**linear does not beat the baseline" in shown
    assert '<p class="bad"><strong>linear does not beat the baseline' in html(report)


def test_who_beats_it_wins_and_it_is_told_how_much_that_is(project_folder):
    (project_folder / "rentals.csv").write_text(rentals(signal=True))
    with Project(project_folder) as project:
        document = project.run().document
    verdict = document["verdict"]
    assert verdict["winner"] == "linear"
    assert verdict["yardstick"]["passed"]
    assert verdict["yardstick"]["warning"] is None
    rmse = document["candidates"][0]["metrics"]["rmse"]["value"]
    assert rmse == pytest.approx(5, abs=0.8)
    gone = 1 - verdict["value"]["value"] / by_name(document)["same time last week"]["metrics"]["rmse"]["value"]
    assert verdict["yardstick"]["improvement"] == pytest.approx(gone)
    assert f"rmse {rmse:.4g} and mae" in verdict["scale"]
    assert "of its variance is explained" in verdict["scale"]
    assert f"{gone:.0%} is gone" in verdict["scale"]


def test_the_champion_stays_and_a_check_fails(project_folder):
    (project_folder / "rentals.csv").write_text(rentals(signal=True))
    with Project(project_folder) as project:
        project.run()
        champion = project.release().model_version
    file = project_folder / "bakeoff.toml"
    file.write_text(
        file.read_text()
        .replace('"noise", "level"', '"noise"')
        .replace('ignore = ["when"]', 'ignore = ["when", "level"]')
    )
    with Project(project_folder) as project:
        found = project.check(candidate="linear")
    assert "better than a rule that needs no model" in found.failing
    with Project(project_folder) as project:
        assert project.run().document["verdict"]["winner"] is None
        assert project.release().model_version == champion


def test_truth_that_comes_at_once_lets_the_last_value_count(project_folder):
    file = project_folder / "bakeoff.toml"
    file.write_text(file.read_text().replace('time = "when"', 'time = "when"\nhorizon = "1h"'))
    with Project(project_folder) as project:
        document = project.run().document
    assert all(each["stops"] == "equal" for each in document["baselines"])
    assert by_name(document)["last value"]["needs"] == "the truth of an hour before"


def test_a_run_again_does_nothing_and_by_folds_the_complement_answers(tmp_path):
    rng = np.random.default_rng(1)
    lines = [f"{x:.3f},{'yes' if x + rng.normal(0, 0.3) > 0.5 else 'no'}" for x in rng.normal(size=200)]
    (tmp_path / "d.csv").write_text("x,y\n" + "\n".join(lines) + "\n")
    toml = '[project]\nname = "d"\n[data]\nsource = "d.csv"\ntarget = "y"\n[split]\nfolds = 4\n[candidates.linear]\n'
    (tmp_path / "bakeoff.toml").write_text(toml + '[decide]\nmetric = "log_loss"\nresamples = 100\nfindings = false\n')
    with Project(tmp_path) as project:
        document = project.run().document
        assert project.run().unchanged
    prior, majority = by_name(document)["class prior"], by_name(document)["majority class"]
    share = sum(line.endswith("yes") for line in lines) / 200
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)
    assert prior["metrics"]["log_loss"]["value"] == pytest.approx(entropy, abs=0.01)
    assert majority["undefined"] == ["log_loss"]
    assert document["verdict"]["yardstick"]["baseline"] == "class prior"
    assert document["verdict"]["winner"] == "linear"
