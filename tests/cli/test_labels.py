"""`bakeoff data labels`: a plan from a pilot, and what is wrong with one."""

import numpy as np
import polars as pl

import bakeoff as library


def pilot(folder, rows=60):
    rng = np.random.default_rng(0)
    human = (rng.random(rows) < 0.8).astype(int)
    judge = np.where(rng.random(rows) < 0.9, human, 1 - human)
    pl.DataFrame({"human": human, "judge": judge}).write_csv(folder / "pilot.csv")
    return human, judge


def test_the_plan_is_that_of_the_library(tmp_path, bakeoff):
    human, judge = pilot(tmp_path)
    plan = library.label_budget(human, judge, within=0.05, vote_cost=0.01)
    ended = bakeoff("data", "labels", tmp_path / "pilot.csv", "--within", 0.05, "--vote-cost", 0.01, "--json")
    assert ended.code == 0
    assert ended.document["labels"] == plan.labels < plan.labels_alone
    assert ended.document["votes"] == plan.votes > 0
    assert ended.document["pilot_rows"] == 60
    shown = bakeoff("data", "labels", tmp_path / "pilot.csv", "--within", 0.05, "--vote-cost", 0.01).out
    assert f"{plan.labels:,} labels and votes of the judge on these and {plan.votes:,} more" in shown


def test_what_is_wrong_is_one_line(tmp_path, bakeoff):
    pilot(tmp_path, rows=10)
    few = bakeoff("data", "labels", tmp_path / "pilot.csv", "--within", 0.05)
    assert few.code != 0
    assert "at least 20 answers" in few.errors[0]
    pl.DataFrame({"human": [1.0, 5.0], "other": [1, 0]}).write_csv(tmp_path / "other.csv")
    assert "columns ['judge']" in bakeoff("data", "labels", tmp_path / "other.csv", "--within", 0.05).errors[0]
    pl.DataFrame({"human": ["4", "x"], "judge": [1, 0]}).write_csv(tmp_path / "stars.csv")
    ended = bakeoff("data", "labels", tmp_path / "stars.csv", "--within", 0.05)
    assert "between 0 and 1 in 'human', received 2 others" in ended.errors[0]
    assert "no such file" in bakeoff("data", "labels", tmp_path / "none.csv", "--within", 0.05).err.lower()
