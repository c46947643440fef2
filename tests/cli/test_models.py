import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bakeoff.cli.main import app
from bakeoff.core.errors import UsageError

pytest.importorskip("torch")


def test_the_catalogue_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    asked = ["models", "available", "--task", "generation", "--licence", "apache", "--no-probe", "-C", str(tmp_path)]
    found = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    names = [model["name"] for model in found["models"]]
    assert names[0] == "smollm2-135m-instruct"
    assert "all-minilm-l6-v2" not in names
    assert set(found["models"][0]["needs"]) == {"prompt", "lora", "full", "serve"}
    page = CliRunner().invoke(app, asked).stdout
    assert "smollm2-135m-instruct" in page
    assert "GFLOP/s" in page


def test_language_models_are_for_the_reviews(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["demo", "flights", str(tmp_path / "demo"), "--with-llm"])
    assert isinstance(done.exception, UsageError)
    assert not (tmp_path / "demo").exists()


def test_candidates_are_added_once(tmp_path: Path) -> None:
    from bakeoff.cli.demos.play import add_language_models, make_project
    from bakeoff.config.file import load

    make_project("reviews", tmp_path)
    add_language_models(tmp_path)
    first = (tmp_path / "bakeoff.toml").read_text()
    add_language_models(tmp_path)
    assert (tmp_path / "bakeoff.toml").read_text() == first
    assert {"linear", "prompted", "lora"} <= set(load(tmp_path, {}).config.candidates)
