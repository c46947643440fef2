"""The loop goes on when a class lacks in a part: by time, rare and new classes come and go."""

import datetime as dt
import random

import pytest

from bakeoff import Project

TOML = """
[project]
name = "kinds"
[data]
source = "d.csv"
target = "kind"
time = "at"
text = ["x"]
[split]
near_duplicates = 0
[combine]
blends = false
cascades = false
[decide]
resamples = 100
findings = false
"""
FIRST = """
[candidates.first]
family = "firstword"
"""
LINEAR = """
calibrate = "temperature"
[candidates.linear]
"""
START = dt.datetime.fromisoformat("2025-01-01")


def lines(first, count, kind_of):
    rng = random.Random(first)
    for at in range(first, first + count):
        word = rng.choice(["up", "down"])
        kind = kind_of(at) or ("a" if (word == "up") != (rng.random() < 0.1) else "b")
        yield f"{(START + dt.timedelta(hours=6 * at)).isoformat()},{word} {at},{kind}\n"


@pytest.fixture
def kinds(tmp_path, third_party):
    rare = "".join(lines(0, 300, lambda at: "rare" if at % 12 == 0 else None))
    (tmp_path / "d.csv").write_text("at,x,kind\n" + rare)
    (tmp_path / "bakeoff.toml").write_text(TOML + FIRST)
    return tmp_path


def test_a_class_without_test_rows_is_told_and_the_loop_goes_on(kinds):
    with Project(kinds) as project:
        project.run()
        with (kinds / "d.csv").open("a") as file:
            file.writelines(lines(300, 120, lambda _at: None))
        document = project.loop_once().outcome.document
    (warning,) = [each["told"] for each in document["dataset"]["warnings"] if each["kind"] == "split"]
    assert "nothing is known of how well class 'rare' is answered: none of its 25 rows is a test row" in warning
    assert document["verdict"]["winner"] is not None
    assert document["verdict"]["promoted"]
    assert all(candidate["status"] == "ok" for candidate in document["candidates"])


def test_classes_of_one_part_alone_are_learned_where_they_can_be(kinds):
    parts = {range(380, 386): "new", range(360, 362): "new"}
    (kinds / "bakeoff.toml").write_text(TOML + LINEAR)
    with (kinds / "d.csv").open("a") as file:
        file.writelines(lines(300, 120, lambda at: next((kind for rows, kind in parts.items() if at in rows), None)))
    text = (kinds / "d.csv").read_text().splitlines(keepends=True)
    text[290:300] = [line.rsplit(",", 1)[0] + ",between\n" for line in text[290:300]]
    (kinds / "d.csv").write_text("".join(text))
    with Project(kinds) as project:
        document = project.run().document
        version = document["candidates"][0]["model_version"]
        assert set(project.model(version).signature.classes) == {"a", "b", "between", "rare"}
    warnings = [each["told"] for each in document["dataset"]["warnings"] if each["kind"] == "split"]
    assert (
        "no candidate can answer class 'new': all its rows are test rows, and its 8 rows count as wrong" in warnings[0]
    )
    assert "each of the 2 classes 'between', 'rare'" in warnings[1]
    assert all(candidate["status"] == "ok" for candidate in document["candidates"])


def test_test_rows_of_one_class_are_still_scored_and_the_majority_is_as_good_as_any(kinds):
    with (kinds / "d.csv").open("a") as file:
        file.writelines(lines(300, 100, lambda _at: "a"))
    with Project(kinds) as project:
        document = project.run().document
    best = next(each for each in document["candidates"] if each["name"] == document["verdict"]["best"])
    assert 0 < best["metrics"]["accuracy"]["value"] <= 1
    assert not any(name.startswith("roc_auc") for name in best["metrics"])
    assert document["verdict"]["winner"] is None
    assert document["verdict"]["yardstick"]["baseline"] == "majority class"
    assert document["verdict"]["yardstick"]["value"] == 1.0
