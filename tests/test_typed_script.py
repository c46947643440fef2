"""What strangers write over the SDK passes the strictest type checkers, as the package says of itself (`py.typed`)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "typed_script.py"


def pyright(folder, script):
    """What pyright says of a script at its strictest."""
    (folder / "script.py").write_text(script)
    settings = {"include": ["script.py"], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", folder]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder)


def test_pyright(tmp_path):
    script = SCRIPT.read_text("utf-8")
    done = pyright(tmp_path, script)
    assert done.returncode == 0, done.stdout
    assert "0 errors" in done.stdout
    wrong = pyright(
        tmp_path, script.replace("table: pl.DataFrame = project.predict(frame)", "table: int = project.predict(frame)")
    )
    assert '"DataFrame" is not assignable to' in wrong.stdout.replace("\n", " ")
    assert wrong.returncode == 1


@pytest.mark.slow
def test_mypy(tmp_path):
    pytest.importorskip("mypy")
    source = Path(__file__).parents[1] / "src"
    settings = f"[mypy]\nstrict = True\nmypy_path = {source}\n[mypy-bakeoff.*]\nfollow_imports = silent\n"
    (tmp_path / "mypy.ini").write_text(settings)
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", tmp_path / "cache", SCRIPT]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no issues found" in done.stdout
