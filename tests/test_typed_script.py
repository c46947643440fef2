"""What strangers write over the SDK passes the strictest type checkers, as the package says of itself (`py.typed`)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "typed_script.py"


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
    line = "table: pl.DataFrame = project.predict(frame)"
    assert line in script
    messages = pyright(tmp_path, script=script, wrong=script.replace(line, "table: int = project.predict(frame)"))
    assert messages["script"] == []
    errors = [message.replace("\n", " ") for severity, message in messages["wrong"] if severity == "error"]
    assert any('"DataFrame" is not assignable to' in each for each in errors), errors


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
