"""What strangers write over the SDK passes the strictest type checkers, as the package says of itself (`py.typed`)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "typed_script.py"
WRONG = "table: pl.DataFrame = project.predict(frame)", "table: int = project.predict(frame)"


def pyright(folder, **scripts):
    """What pyright says of each script at its strictest, in one look: most of it goes to what all of them import."""
    for name, script in scripts.items():
        (folder / f"{name}.py").write_text(script)
    settings = {"include": ["*.py"], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", folder]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)
    document = json.loads(done.stdout)
    assert document["summary"]["filesAnalyzed"] == len(scripts)
    messages = {name: [] for name in scripts}
    for each in document["generalDiagnostics"]:
        messages[Path(each["file"]).stem].append((each["severity"], each["message"]))
    return messages


def test_pyright(tmp_path):
    script = SCRIPT.read_text("utf-8")
    messages = pyright(tmp_path, script=script, wrong=script.replace(*WRONG))
    assert messages["script"] == []
    errors = [message.replace("\n", " ") for severity, message in messages["wrong"] if severity == "error"]
    assert any('"DataFrame" is not assignable to' in each for each in errors), errors


UNSEEN = ["IPython", "aiohttp", "databricks", "huggingface_hub", "hypothesis", "mcp", "mlflow", "optuna", "peft", "ray"]
UNSEEN += ["sqlalchemy", "torch", "transformers"]
"""Large libraries of which the SDK shows no types: to read them would take most of the time."""


@pytest.mark.slow
def test_mypy(tmp_path, request):
    pytest.importorskip("mypy")
    source = Path(__file__).parents[1] / "src"
    unseen = ",".join(f"{name}.*" for name in UNSEEN)
    settings = f"[mypy]\nstrict = True\nmypy_path = {source}\n[mypy-bakeoff.*]\nfollow_imports = silent\n"
    (tmp_path / "mypy.ini").write_text(f"{settings}[mypy-{unseen}]\nfollow_imports = skip\n")
    script = SCRIPT.read_text("utf-8")
    (tmp_path / "script.py").write_text(script)
    (tmp_path / "wrong.py").write_text(script.replace(*WRONG))
    # What it knows of libraries is kept from one run of the tests to the next, where pytest keeps anything.
    cache = getattr(request.config, "cache", None)
    known = os.devnull if cache is None else cache.mkdir("mypy")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", known]
    done = subprocess.run(
        [*command, "script.py", "wrong.py"], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert done.returncode == 1, done.stdout + done.stderr
    assert [line for line in lines if not line.startswith("wrong.py")] == []
    assert any('expression has type "DataFrame", variable has type "int"' in line for line in lines), done.stdout
