"""What strangers write over the SDK passes the strictest type checkers, as the package says of itself (`py.typed`)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "typed_script.py"


def test_pyright(tmp_path):
    settings = {"include": [str(SCRIPT)], "typeCheckingMode": "strict", "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "-p", tmp_path]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "0 errors" in done.stdout


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
