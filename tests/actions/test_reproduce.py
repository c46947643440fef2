"""A model made again in a clean folder, by a process of its own: the same, or why not."""

import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from bakeoff import Project
from bakeoff.actions import reproduce
from bakeoff.actions.packages.environment import packages_of
from bakeoff.config.toml_text import toml_text
from bakeoff.core.errors import CandidateError, MissingExtraError, NotFoundError, UsageError

pytestmark = [pytest.mark.slow, pytest.mark.processes]

FEW_FITS = """
explain = "none"
[combine]
blends = false
cascades = false
[split]
folds = 0
"""


@pytest.fixture(scope="module")
def real_run(films_run, third_party_path, tmp_path_factory):
    """A project that was run as users run it."""
    folder = tmp_path_factory.mktemp("real")
    shutil.copy(films_run / "films.csv", folder)
    (folder / "bakeoff.toml").write_text((films_run / "bakeoff.toml").read_text() + FEW_FITS)
    environ = os.environ | {"PYTHONPATH": str(third_party_path)}
    subprocess.run([sys.executable, "-m", "bakeoff", "run", "-C", folder], env=environ, check=True, capture_output=True)
    return folder


@pytest.fixture
def ran(real_run, tmp_path, third_party):
    return shutil.copytree(real_run, tmp_path / "ran")


def test_the_champion_comes_out_the_same(ran, tmp_path):
    with Project(ran) as project:
        again = project.reproduce(into=tmp_path / "again", environment="here")
        assert (again.result, again.model_version, again.changes) == ("bit-identical", again.made, ())
        assert again.metrics["accuracy"][0] == again.metrics["accuracy"][1] > 0.8
        assert again.differences == ()
        assert again.same
        assert (tmp_path / "again" / "films.csv").read_bytes() == (ran / "films.csv").read_bytes()
        with pytest.raises(UsageError, match="new or empty folder"):
            project.reproduce(into=tmp_path / "again")
        with pytest.raises(NotFoundError):
            project.reproduce("films/9", into=tmp_path / "other")


def test_files_that_changed_are_replaced_by_the_rows_as_they_were_read_and_settings_are_those_of_then(ran, tmp_path):
    recorded = tomllib.loads((ran / "bakeoff.toml").read_text())
    (ran / "films.csv").write_text("review,year,liked\ngood,1999,yes\n")
    (ran / "bakeoff.toml").write_text((ran / "bakeoff.toml").read_text() + "test = 0.5\n")
    with Project(ran) as project:
        dataset = project.datasets()[0]
        again = project.reproduce(into=tmp_path / "again", environment="here")
    assert again.result == "metric-identical"  # the model also says how its columns were written
    assert "of the model's files these differ: " in again.reasons[1]
    assert [each.partition(":")[0] for each in again.changes] == [
        "[data] source is dataset.parquet, the rows as they were read then"
    ]
    assert "films.csv is not what it was" in again.changes[0]
    with Project(tmp_path / "again") as made:
        assert made.datasets()[0].content == dataset.content
        assert made.config.data.source == ("dataset.parquet",)
        assert made.config.split.test != 0.5
    assert not (tmp_path / "again" / "films.csv").exists()
    assert recorded["candidates"] == tomllib.loads((tmp_path / "again" / "bakeoff.toml").read_text())["candidates"]


def registered(project, toml, tmp_path, **environment):
    """The champion once more, as if its project file had been this one; its environment with these changes."""
    versions, champion = project.records.versions, project.lineage().model
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "bakeoff.toml").write_text(toml)
    code = dict(champion.lineage["code"]) | {"tree_blob": project.blobs.put_tree(tmp_path / "code")}
    around = project.environment("champion").to_json() | environment
    versions.register("environment", "films", "e" * 64, lineage=around)
    lineage = {**champion.lineage, "code": code, "environment": "e" * 64}
    other = versions.register("model", "films", champion.content, run_id=champion.run_id, lineage=lineage, always=True)
    return str(other.number)


def test_what_differs_is_explained(ran, tmp_path):
    """Made on another Python, with a project file of other parameters: the metrics differ, and both are named."""
    toml = (ran / "bakeoff.toml").read_text().replace("smooth = 5.0", "smooth = 60.0")
    toml = toml.replace("[candidates.second]", "smooth = 30.0\n[candidates.second]")
    with Project(ran) as project:
        packages = dict(project.environment("champion").packages) | {"numpy": "2.0.0"}
        del packages["blake3"]  # what is only here must not stand before what changed
        other = registered(project, toml, tmp_path, python="3.12.1", packages=packages)
        again = project.reproduce(other, into=tmp_path / "again", environment="here")
    assert again.result == "different"
    assert not again.same
    differences = "\n".join(again.differences)
    assert "Python: 3.12.1 then, 3." in differences
    assert "1 packages: numpy 2.0.0 → " in differences
    assert "1 packages that were not there then: blake3" in differences
    assert "parameters" in differences
    assert "metrics differ, such as" in again.reasons[0]
    assert "not the one that was recorded" in again.environment


def test_a_version_whose_project_file_was_not_recorded_gets_that_of_now(ran, tmp_path):
    with Project(ran) as project:
        other = registered(project, "", tmp_path)
        version = project.lineage(other).model
        (tmp_path / "code" / "bakeoff.toml").rename(tmp_path / "code" / "metric.py")
        code = dict(version.lineage["code"]) | {"tree_blob": project.blobs.put_tree(tmp_path / "code")}
        lineage = {**version.lineage, "code": code}
        version = project.records.versions.register("model", "films", "0" * 64, lineage=lineage, always=True)
        (change,) = reproduce._write_project(project, version, tmp_path / "again")
    assert change == "the version was registered before bakeoff.toml was recorded with it: it is that of now"
    assert (tmp_path / "again" / "metric.py").exists()
    assert "[candidates" in (tmp_path / "again" / "bakeoff.toml").read_text()


def test_a_run_that_fails_says_why(ran, tmp_path):
    with Project(ran) as project:
        other = registered(project, '[project]\nname = "films"\n[data]\ntarget = "liked"\n', tmp_path)
        with pytest.raises(CandidateError, match=r"ended with 2: .*data.source"):
            project.reproduce(other, into=tmp_path / "again", environment="here")


def test_the_environment_has_what_the_project_needs(ran):
    try:
        packages_of(("bakeoff",))
    except MissingExtraError as error:
        pytest.skip(f"not all that bakeoff needs is installed: {error}")
    with Project(ran) as project:
        recorded = project.environment("champion")
        needed = reproduce._needed(project, recorded)
    assert {"polars", "numpy", "bakeoff"} <= needed.packages.keys() < recorded.packages.keys()
    assert "ruff" not in needed.packages
    assert all(recorded.packages[name] == version for name, version in needed.packages.items())


def test_settings_come_back_from_their_text():
    tree = {
        "project": {"name": 'a "quoted" \\ name\n', "seed": 3},
        "data": {"source": ["a.csv", "ü.csv"], "sources": {}, "max_lost": 0.5},
        "candidates": {"linear": {}, "my.own": {"family": "linear", "balanced": True, "x": [{"a": 1.5}, {}]}},
        "decide": {"gates": {"f1": {"min": float("inf")}}},
    }
    assert tomllib.loads(toml_text(tree)) == tree
