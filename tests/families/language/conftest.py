import importlib.util
import json
import random
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("peft")

_spec = importlib.util.spec_from_file_location("tiny_language_model", Path(__file__).with_name("tiny.py"))
_tiny = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_tiny)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _tiny.write_tiny(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def tiny_plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _tiny.write_tiny(tmp_path_factory.mktemp("models"), chat=False)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _tiny.write_tiny_encoder(tmp_path_factory.mktemp("models"))


OVERFITTED = """
[project]
name = "tiny"
task = "generation"
[data]
source = "rows.jsonl"
target = "answer"
text = ["question"]
[split]
test = 0.3
near_duplicates = 0
[candidates.full]
model = "{model}"
precision = "fp32"
learning_rate = 0.003
epochs = 120
checks = 1
engine = "transformers"
max_new_tokens = 6
[candidates.retrieval]
[decide]
resamples = 200
findings = false
[combine]
blends = false
cascades = false
[compute]
workers = 1
threads = 1
"""
WORDS = [f"{letter}{letter}ord" for letter in "abcdefghijklmnopqrstuvwxyz"]


@pytest.fixture(scope="session")
def overfitted(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose language model was trained on few rows, nobody could guess, until it knew them by heart."""
    from bakeoff.project.project import Project

    folder = tmp_path_factory.mktemp("overfitted")
    draw = random.Random(1)
    pairs = draw.sample([f"{first} {second}" for first in WORDS for second in WORDS], 40)
    lines = [json.dumps({"question": pair, "answer": " ".join(draw.sample(WORDS, 2))}) for pair in pairs]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    (folder / "bakeoff.toml").write_text(OVERFITTED.format(model=tiny), encoding="utf-8")
    with Project(folder) as project:
        project.run()
    return folder
