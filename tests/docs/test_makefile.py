"""What `make` would do in a folder with a space in its name; nothing is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ANEW = "-m venv --clear"


@pytest.fixture
def make(tmp_path):
    """Calls make in a copy of what it reads; without `really`, what it would do."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    environ = {name: value for name, value in os.environ.items() if name not in {"PYTHON", "MAKEFLAGS", "MAKELEVEL"}}

    def call(*words, really=False):
        command = ["make", *([] if really else ["-n"]), *words]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environ, check=False)

    call.folder = folder
    return call


def installed(folder, python=sys.executable):
    """Stamps as a finished installation leaves them."""
    environment = folder / ".venv"
    environment.mkdir()
    code = 'import sys; print("%d.%d" % sys.version_info[:2], sys.base_prefix)'
    made = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    for name, text in ((".made", made), ("pins.txt", ""), (".demo", ""), (".installed", "")):
        (environment / name).write_text(text)


def test_the_demo_installs_what_it_needs_and_the_rest_comes_after_it(make):
    demo = make("demo").stdout
    assert ANEW in demo
    assert "install '.[embedding,sql]'" in demo
    assert "llm" not in demo
    both = make("-j", "demo", "dev").stdout
    assert both.index("'.[embedding,sql]'") < both.index("'.[chat,embedding,llm")


def test_a_second_time_there_is_nothing_to_install(make):
    installed(make.folder)
    assert make("demo").stdout.split() == [".venv/bin/bakeoff", "demo", "reviews"]
    assert make("demo", f"PYTHON={sys.executable}").stdout.split() == [".venv/bin/bakeoff", "demo", "reviews"]
    assert "pip install" not in make("test").stdout


def test_what_was_cut_off_is_made_anew(make):
    installed(make.folder)
    (make.folder / ".venv" / ".begun").touch()
    assert ANEW in make("demo").stdout
    assert "install '.[embedding,sql]'" in make("demo").stdout


def test_another_python_is_taken_or_refused(make):
    installed(make.folder)
    other = make.folder / "python"
    other.write_text(f'#!/bin/sh\nif [ "$1" = -c ]; then echo 3.99 /elsewhere; else exec "{sys.executable}" "$@"; fi\n')
    other.chmod(0o755)
    assert ANEW in make("demo", f"PYTHON={other}").stdout
    for wrong in ("nosuchpython", "/bin/false"):
        ended = make("demo", f"PYTHON={wrong}", really=True)
        assert ended.returncode == 2
        assert f"bakeoff needs Python 3.11 or newer; {wrong} is" in ended.stdout
        assert (make.folder / ".venv" / ".demo").exists()  # nothing was touched


def test_pins_are_the_locks_without_its_hashes(make):
    installed(make.folder)
    (make.folder / ".venv" / "pins.txt").unlink()
    assert make(".venv/pins.txt", really=True).returncode == 0
    pins = (make.folder / ".venv" / "pins.txt").read_text().splitlines()
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    assert pins == [line.removesuffix(" \\") for line in lock if line[:1].isalnum()]
    assert any("--hash=sha256:" in line for line in lock)
    assert any(pin.startswith("numpy==") for pin in pins)
