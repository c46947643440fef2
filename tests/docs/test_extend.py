"""The examples of docs/extend run: out of the page, under their entry points, through their suites, in a project."""

import atexit
import importlib
import re
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from bakeoff.config.file import loads
from bakeoff.core import plugins

PAGES = Path(__file__).parents[2] / "docs" / "extend"
EXAMPLES = ("family", "metric", "step", "store", "compute", "engine")
FOLDER = Path(tempfile.mkdtemp(prefix="bakeoff-extend-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
sys.path.insert(0, str(FOLDER))


def blocks(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", (PAGES / f"{page}.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)


def entry_points(page):
    (block,) = [each for each in blocks(page, "toml") if "entry-points" in each]
    group, lines = re.fullmatch(r'\[project\.entry-points\."([\w.]+)"\]\n(.*)', block, re.DOTALL).groups()
    return group, {key.strip('"'): value for key, value in re.findall(r'^("?[\w+]+"?) = "(.*)"$', lines, re.MULTILINE)}


def suite(page):
    """The page's modules as files, and the class of tests that it shows."""
    for block in blocks(page, "python"):
        name = re.match(r"# (\w+)\.py\n", block)[1]
        (FOLDER / f"{name}.py").write_text(block)
    module = importlib.import_module(name)
    return next(value for key, value in vars(module).items() if key.startswith("Test") and value.__module__ == name)


class TestNearestMean(suite("family")):
    pass


class TestSureErrors(suite("metric")):
    pass


class TestLogSkewed(suite("step")):
    pass


class TestOneFile(suite("store")):
    pass


class TestInline(suite("compute")):
    pass


suite("engine")  # tests/engines runs it, where torch is imported anyway


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """All examples as one installed distribution, with the entry points that the pages show."""
    info = tmp_path / "site" / "examples-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: examples\nVersion: 1.0\n")
    groups = dict(entry_points(page) for page in EXAMPLES)
    text = "".join(
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()
    )
    (info / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(str(info.parent))
    plugins._registered.cache_clear()
    yield groups
    plugins._registered.cache_clear()


@pytest.mark.parametrize("page", EXAMPLES)
def test_what_a_page_registers_is_there(page, installed):
    group, points = entry_points(page)
    for name, place in points.items():
        module, _, attribute = place.partition(":")
        assert plugins.load(group, name) is getattr(importlib.import_module(module), attribute)


def test_every_group_of_entry_points_has_a_page():
    import typing

    assert {entry_points(page)[0] for page in EXAMPLES} == set(typing.get_args(plugins.Group))
    index = (PAGES / "index.md").read_text("utf-8")
    assert all(f"({page}.md)" in index and f"`{entry_points(page)[0]}`" in index for page in EXAMPLES)


DATA = """
[project]
name = "stars"
task = "classification"
[data]
source = "stars.csv"
target = "liked"
text = ["review"]
numeric = ["year", "price"]
"""


def settings(page):
    """The tables that a page would add to a project file, as one would have to write them together."""
    return "\n".join(
        block for block in blocks(page, "toml") if "entry-points" not in block and "metrics_file" not in block
    )


def test_all_of_them_serve_one_project(tmp_path, installed):
    import polars as pl

    from bakeoff import Project

    rows = [
        {
            "review": f"{'GOOD' if i % 2 else 'Bad'} film {i % 17}",
            "year": 1950 + i % 60 + 20 * (i % 2),
            "price": 2.0 ** (i % 23),
            "liked": "yes" if i % 2 else "no",
        }
        for i in range(240)
    ]
    pl.DataFrame(rows).write_csv(tmp_path / "stars.csv")
    used = "\n".join(settings(page) for page in EXAMPLES if page != "engine")
    (tmp_path / "bakeoff.toml").write_text(DATA + used.replace("[decide]", "[decide]\nresamples = 100"))
    with Project(tmp_path) as project:
        document = project.run().document
        answer = project.predict([{"review": "GOOD film", "year": 2015, "price": 4.0}])[0]
        made = project.lineage().to_json()["made_from"]
    candidates = {each["name"]: each for each in document["candidates"]}
    assert candidates["nearest_mean"]["status"] == "ok", candidates["nearest_mean"]["error"]
    assert candidates["nearest_mean"]["metrics"]["accuracy"]["value"] > 0.6
    assert [gate["metric"] for gate in document["verdict"]["gates"]] == ["sure_errors"]
    assert answer.label in {"yes", "no"}
    assert made["steps"] == ["lower_case", {"name": "log_skewed", "over": 1.5}]
    assert (tmp_path / ".bakeoff" / "blobs.db").is_file()
    assert not (tmp_path / ".bakeoff" / "blobs").exists()


def test_a_metric_of_a_file_needs_no_package(tmp_path):
    from bakeoff.metrics.custom import read_file

    (file,) = [block for block in blocks("metric", "toml") if "metrics_file" in block]
    name = loads(DATA + file, folder=tmp_path, environ={}).config.decide.metrics_file
    assert list(read_file(FOLDER / name)) == ["sure_errors"]
