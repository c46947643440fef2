"""`bakeoff models export` on a project's candidates."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bakeoff.cli.main import app
from bakeoff.core.errors import CandidateError, NotFoundError, UsageError
from bakeoff.project.project import Project


def test_a_candidate_is_exported_by_its_name(overfitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ["models", "export", "full", str(out), "--as", "safetensors", "-C", str(overfitted), "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert made["quantisation"] is None
    assert made["mean_gap"] < 1e-4
    assert made["notes"] == []
    assert "model/model.safetensors" in made["files"]
    assert "vllm serve ./model --max-model-len 256" in (out / "README.md").read_text()


def test_what_cannot_be_exported_is_an_error(overfitted: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Project(overfitted) as project:
        with pytest.raises(CandidateError, match=r"weights of its own \(prompted, lora, full\), received tiny/2"):
            project.export("retrieval", out)
        with pytest.raises(NotFoundError, match="expected a model version"):
            project.export("nobody", out)
        with pytest.raises(UsageError, match="no quantisation beside safetensors"):
            project.export("full", out, form="safetensors", quantisation="q8_0")
    assert not out.exists()
