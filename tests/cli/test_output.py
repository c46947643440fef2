"""Every command's output in any encoding and width, from data that would steer the terminal; streams that end early."""

import io
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from bakeoff.cli.main import main

YES, NO = "ja – 日本 \x1b]0;owned\x07", "né \x9b31m≥"
COLUMN = "größe \x1b[2J"
TOML = f"""
[project]
name = "films"
[data]
source = "films – é.csv"
target = "liked"
text = ["review"]
numeric = [{json.dumps(COLUMN)}]
[candidates.first]
family = "firstword"
[decide]
resamples = 200
"""
ROW = json.dumps({"review": "good film", COLUMN: 2000})
COMMANDS = (
    ("report",),
    ("report", "--markdown"),
    ("status",),
    ("runs",),
    ("models",),
    ("lineage",),
    ("config",),
    ("doctor",),
    ("monitor",),
    ("predict", ROW),
    ("data", "card"),
    ("check",),
)


def called(*args: str, encoding: str = "utf-8") -> tuple[int, str, str]:
    """Call a command with streams of an encoding; how it ended, and what it printed."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
    usual = sys.stdout, sys.stderr, sys.argv
    sys.stdout, sys.stderr, sys.argv = *streams, ["bakeoff", *args]
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.stdout, sys.stderr, sys.argv = usual
    for stream in streams:
        stream.flush()
    return ended.value.code or 0, *(stream.buffer.getvalue().decode(encoding) for stream in streams)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, family_installed) -> Path:
    """A project with a finished run whose labels, columns and files have characters of every kind."""
    folder = tmp_path_factory.mktemp("hostile – é")
    lines = [f"review,{COLUMN},liked"]
    lines += [
        f"{'good' if at % 3 else 'bad'} film {at} 日本,{1950 + at % 60},{YES if at % 3 else NO}" for at in range(300)
    ]
    (folder / "films – é.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "bakeoff.toml").write_text(TOML, encoding="utf-8")
    with family_installed():
        code, out, err = called("run", "-C", str(folder))
    assert code == 0, err
    assert not steering(out + err)
    return folder


def steering(text: str) -> list[str]:
    return [each for each in text if unicodedata.category(each) in {"Cc", "Cs"} and each not in "\n\t"]


@pytest.fixture
def printed(hostile, third_party):
    """Call a command on that project."""
    return lambda *args, encoding="utf-8": called(*args, "-C", str(hostile), encoding=encoding)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_in_every_encoding_and_width(printed, third_party, monkeypatch, command):
    documents = []
    for encoding, columns in (("utf-8", "200"), ("latin-1", "20"), ("cp1252", "43"), ("ascii", "80")):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setenv("NO_COLOR", "1" if encoding == "utf-8" else "")
        code, out, err = printed(*command, encoding=encoding)
        assert code == 0, err
        assert out.strip()
        assert not steering(out + err)
        if "--markdown" not in command:
            code, out, err = printed(*command, "--json", encoding=encoding)
            assert (code, steering(out + err)) == (0, [])
            documents.append(json.loads(out))
    kinds = {json.dumps(sorted(str(key) for key in document)) for document in documents}
    assert len(kinds) <= 1


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_json_tells_names_as_they_are(printed, encoding):
    _, out, _ = printed("predict", ROW, "--json", encoding=encoding)
    assert json.loads(out)["predictions"][0]["probabilities"].keys() == {YES, NO}


def test_errors_steer_nothing(printed):
    code, out, err = printed("predict", '{"rev\x1b[31miew": "a"}')
    assert code != 0
    assert not steering(out + err)
    code, out, err = printed("predict", json.dumps({"review": "a", COLUMN: "\x1b[31m \udcff"}))
    assert code != 0
    assert not steering(out + err)


def test_written_files_are_utf_8(printed, tmp_path):
    page = tmp_path / "page – é.html"
    code, _, err = printed("report", "--html", str(page), encoding="ascii")
    assert code == 0, err
    assert "日本" in page.read_text(encoding="utf-8")
    assert not steering(page.read_text(encoding="utf-8").replace("\r", ""))


def spawned(command: str, folder: Path, **environ: str) -> "subprocess.CompletedProcess[bytes]":
    """A command of the shell, in which `bakeoff` is ours."""
    environment = {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "PATH": os.environ["PATH"], **environ}
    line = f'bakeoff() {{ {sys.executable} -m bakeoff "$@" -C "$FOLDER"; }}; {command}'
    environment["FOLDER"] = str(folder)
    return subprocess.run(["bash", "-c", line], capture_output=True, env=environment, check=False, timeout=60)


@pytest.mark.parametrize(
    ("environ", "encoding"),
    [
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
        ({"PYTHONIOENCODING": "cp1252:strict"}, "cp1252"),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "ascii"),
    ],
)
def test_a_real_process_in_another_locale(hostile, third_party, environ, encoding):
    ended = spawned("bakeoff report", hostile, **environ)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert "first" in ended.stdout.decode(encoding)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("bakeoff report | head -c 1; exit ${PIPESTATUS[0]}", {0, 1}),
        ("bakeoff report >&-", {0}),
        ("bakeoff report 2>&-", {0}),
        ("bakeoff nonsense >&- 2>&-", {2}),
        ("bakeoff report >/dev/full", {1}),
        ("bakeoff report --json >/dev/full", {1}),
        ("bakeoff check 2> >(exit)", {0}),
    ],
)
def test_streams_that_end_early(hostile, third_party, command, code):
    ended = spawned(command, hostile)
    assert ended.returncode in code, ended.stderr
    assert b"Traceback" not in ended.stderr
    assert b"Exception ignored" not in ended.stderr
    assert b"defect" not in ended.stderr
    if "full" in command:
        assert b"the disk is full: free space on it" in ended.stderr


def test_a_copy_of_the_project_has_names_that_are_no_text(hostile, third_party, tmp_path):
    folder = tmp_path / os.fsdecode(b"proj\xff\x1b")
    shutil.copytree(hostile, folder)
    ended = spawned("bakeoff status", folder)
    assert ended.returncode == 0, ended.stderr
    assert "\\udcff\\x1b" in ended.stdout.decode()
