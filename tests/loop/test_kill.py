"""kill -9 at random moments of a run: the next run ends with what an undisturbed one ends with."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from bakeoff import Project

KILLS = 4
BETWEEN = 2


def start(folder):
    return subprocess.Popen(
        [sys.executable, "-m", "bakeoff", "run", "--json", "-C", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ,
    )


def finish(folder):
    """Run in this process what another one began; no job of it can be left from there."""
    with Project(folder) as project:
        outcome = project.run()
    return json.loads(json.dumps(outcome.document)) | {"unchanged": outcome.unchanged}


def leftovers(folder):
    names = [path.name for path in (folder / ".bakeoff").rglob("*")]
    return [name for name in names if name.endswith((".tmp", ".partial", ".draft"))]


@pytest.mark.slow
def test_kill_at_random_moments(films_project, steady, tmp_path_factory):
    undisturbed = tmp_path_factory.mktemp("undisturbed")
    with (films_project / "bakeoff.toml").open("a") as file:
        file.write("[split]\nfolds = 0\n")  # the same in this process, where few rows are not dealt into folds unasked
    for name in ("films.csv", "bakeoff.toml"):
        shutil.copy(films_project / name, undisturbed / name)
    began = time.monotonic()
    with start(undisturbed) as process:
        out, _ = process.communicate(timeout=120)
    whole = time.monotonic() - began
    assert process.returncode == 0
    expected = steady(json.loads(out))

    rng = random.Random(7)
    for kill in range(KILLS):
        if kill % BETWEEN == 0:
            shutil.rmtree(films_project / ".bakeoff", ignore_errors=True)
        with start(films_project) as process:
            time.sleep(rng.uniform(0, whole * 0.95))
            os.killpg(process.pid, signal.SIGKILL)
        if kill % BETWEEN == BETWEEN - 1:
            document = finish(films_project)
            assert steady(document) == expected
            assert document["verdict"]["promoted"]
            again = finish(films_project)
            assert again["unchanged"]


def test_an_interrupted_run_goes_on_where_it_was(films_project):
    text = (films_project / "bakeoff.toml").read_text()
    slow = text.replace("smooth = 5.0", "smooth = 5.0\nsleep_s = 30.0") + "[split]\nfolds = 0\n"
    (films_project / "bakeoff.toml").write_text(slow)
    process = subprocess.Popen(
        [sys.executable, "-m", "bakeoff", "run", "-C", str(films_project)], stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if "first: fitted" in line:
            break
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run again to go on" in told
    with Project(films_project) as project:
        (interrupted,) = project.runs()
        assert interrupted.status == "KILLED"
    (films_project / "bakeoff.toml").write_text(slow.replace("sleep_s = 30.0", "sleep_s = 0.0"))
    lines = []
    with Project(films_project, progress=lines.append) as project:
        project.run()
    assert not any(line.startswith("first: fitted") for line in lines)
