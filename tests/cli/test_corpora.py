"""`bakeoff data prepare`: what it writes, what it tells, and where steps come from."""

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from bakeoff.cli.main import app
from bakeoff.compute.local import LocalCompute
from bakeoff.core.errors import ConfigError, UsageError
from bakeoff.project import wiring

TOML = """
[project]
name = "films"
[data]
source = "films.csv"
target = "liked"
text = ["review"]
[prepare]
steps = ["squeeze_whitespace", "drop_duplicates"]
[candidates.linear]
"""


@pytest.fixture
def films(tmp_path):
    (tmp_path / "films.csv").write_text("review,liked\na  film,yes\na film,yes\na film,no\nwrite to a@b.org,no\n")
    (tmp_path / "bakeoff.toml").write_text(TOML)
    return tmp_path


def call(*given: object) -> str:
    found = CliRunner().invoke(app, ["data", "prepare", *map(str, given)], catch_exceptions=False)
    if found.exception is not None:
        raise found.exception
    return found.stdout


def test_steps_and_columns_of_a_project(films) -> None:
    out = films / "out.parquet"
    told = json.loads(call(films / "films.csv", "--out", out, "-C", films, "--workers", 1, "--json"))
    assert (told["rows_in"], told["rows_out"], told["workers"]) == (4, 3, 1)
    assert [step["step"] for step in told["steps"]] == ["squeeze_whitespace", "drop_duplicates"]
    assert told["duplicates"][0]["largest"] == [{"size": 2, "rows": [0, 1], "start": "a film"}]
    assert pl.read_parquet(out).rows() == [("a film", "yes"), ("a film", "no"), ("write to a@b.org", "no")]


def test_a_project_whose_jobs_run_elsewhere_has_corpora_prepared_there(films, monkeypatch) -> None:
    class Elsewhere(LocalCompute):
        def run(self, jobs, **given):
            waiting = list(jobs)
            functions.append([job.function for job in waiting])
            return super().run(waiting, **given)

    def made(config, blobs, *, work, cache, jobs):
        assert (config.compute.backend, config.compute.workers) == ("ray:head:1", 2)
        return Elsewhere(blobs=blobs, work=work, cache=cache, workers=1, threads=1)

    functions = []
    monkeypatch.setattr(wiring, "compute", made)
    (films / "bakeoff.toml").write_text(TOML + '[compute]\nbackend = "ray:head:1"\n')
    out = films / "out.jsonl"
    told = json.loads(call(films / "films.csv", "--out", out, "-C", films, "--workers", 2, "--json"))
    assert (told["rows_in"], told["rows_out"]) == (4, 3)
    assert functions == [[], *[["bakeoff.prepare.corpus.shards:work"]] * 2]
    assert [json.loads(line)["liked"] for line in out.read_text().splitlines()] == ["yes", "no", "no"]


def test_steps_by_name_and_as_json_and_a_page_to_read(films) -> None:
    given = [films / "films.csv", "--text", "review", "--workers", 1]
    steps = '[{"name": "redact_pii", "kinds": ["email"]}, "drop_near_duplicates"]'
    page = call(*given, "--out", films / "a.jsonl", "--steps", steps, "--tokenizer", "words")
    assert "redact_pii" in page
    assert "4 rows in, 2 out, 5 tokens" in page
    assert "3 × 'a  film'" in page
    rows = [json.loads(line) for line in (films / "a.jsonl").read_text().splitlines()]
    assert rows[1] == {"review": "write to [email]", "liked": "no", "tokens": 3}
    call(*given, "--out", films / "b.jsonl", "--steps", "squeeze_whitespace, drop_duplicates")
    assert len((films / "b.jsonl").read_text().splitlines()) == 2


def test_what_is_wrong_is_told(films) -> None:
    given = [films / "films.csv", "--text", "review", "--out", films / "a.jsonl"]
    with pytest.raises(ConfigError, match="Did you mean 'mask'"):
        call(*given, "--steps", "masc")
    with pytest.raises(UsageError, match="JSON list of names and tables"):
        call(*given, "--steps", "[1]")
    assert sorted(path.name for path in films.iterdir()) == ["bakeoff.toml", "films.csv"]
