"""Language models as candidates of a project: fitted, evaluated, decided over, served; done once."""

from pathlib import Path

import polars as pl
import pytest

from bakeoff.project.project import Project
from bakeoff.testing.families import sample_table

FILE = """
[project]
name = "tiny"
[data]
source = "rows.csv"
target = "target"
text = ["text"]
[candidates.linear]
[candidates.prompted]
model = "{model}"
precision = "fp32"
[candidates.lora]
model = "{model}"
precision = "fp32"
layers = 1
learning_rate = 0.02
epochs = 4
[combine]
cascades = false
[decide]
resamples = 200
findings = false
[compute]
workers = 1
"""


@pytest.mark.slow
def test_a_bake_off_with_language_models(tiny: Path, tmp_path: Path) -> None:
    sample_table("classification", rows=200).select("text", "target").write_csv(tmp_path / "rows.csv")
    (tmp_path / "bakeoff.toml").write_text(FILE.format(model=tiny), encoding="utf-8")
    told: list[str] = []
    with Project(tmp_path, progress=told.append) as project:
        outcome = project.run()
        found = {candidate["name"]: candidate for candidate in outcome.document["candidates"]}
        assert all(candidate["status"] == "ok" for candidate in found.values()), found
        assert found["lora"]["metrics"]["f1_macro"]["value"] > 0.6
        held_out = [line for line in told if "taking what an earlier fit trained" in line]
        assert len(held_out) == 1  # the fit without validation rows is the first one again
        version = found["lora"]["model_version"]
        rows = pl.DataFrame({"text": ["aaord label1 sign1", "bbord label0 sign0"]})
        assert len(project.model(version).predict(rows)) == 2
        assert project.run().unchanged
