"""The entry point: wrong calls, defects, interrupts, broken pipes, start-up time."""

import ast
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from bakeoff import Project
from bakeoff.cli import main as entry

BAKEOFF = [sys.executable, "-m", "bakeoff"]


@pytest.mark.parametrize(
    "args",
    [
        ["nope"],
        ["run", "--nope"],
        ["run", "extra"],
        ["serve", "--port", "x"],
        ["init"],
        ["runs", "--limit", "0"],
    ],
)
def test_a_wrong_call_is_exit_code_2_with_one_document(bakeoff, args):
    ended = bakeoff(*args, "--json")
    assert ended.code == 2
    assert ended.document["error"]["type"] == "UsageError"
    assert len(ended.errors) == 1
    assert "--help" in ended.errors[0]


def test_without_a_command_the_help_is_shown(bakeoff):
    ended = bakeoff()
    assert ended.code == 0
    assert "run" in ended.out


def test_a_defect_of_ours_is_one_line_that_asks_for_a_report(bakeoff, films_project, monkeypatch):
    def broken(*_args, **_kwargs):
        raise KeyError("x")

    monkeypatch.setattr("bakeoff.project.project.Project.status", broken)
    ended = bakeoff("status", "-C", films_project, "--json")
    assert ended.code == 1
    assert ended.document["error"]["type"] == "KeyError"
    assert "report it" in ended.errors[0]


def test_a_missing_project_names_the_way_to_one(bakeoff, tmp_path):
    ended = bakeoff("run", "-C", tmp_path / "nowhere", "--json")
    assert ended.code == 2
    assert "bakeoff init" in ended.document["error"]["message"]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_a_fit_at_once_and_the_next_run_goes_on(films_project, sent):
    """Polars' handler of SIGINT restarts system calls: a wait without end for a worker never saw Ctrl-C."""
    toml = films_project / "bakeoff.toml"
    slow = toml.read_text().replace("smooth = 5.0", "sleep_s = 60.0") + "[split]\nfolds = 0\n"
    toml.write_text(slow)
    command = [*BAKEOFF, "run", "-C", str(films_project), "--json"]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert run.stderr is not None
    for line in run.stderr:
        if line.startswith("  first: fitted"):
            break
    run.send_signal(sent)
    started = time.monotonic()
    out, err = run.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert run.returncode == entry.INTERRUPTED
    assert json.loads(out)["error"]["type"] == "Interrupted"
    assert "Traceback" not in err
    with Project(films_project) as project:
        assert [run.status for run in project.runs()] == ["KILLED"]

    toml.write_text(slow.replace("sleep_s = 60.0", "smooth = 5.0"))
    lines = []
    with Project(films_project, progress=lines.append) as project:
        assert project.run().verdict.winner
    fitted = next(at for at, line in enumerate(lines) if line.startswith("second: fitted"))
    assert "first: counting" not in lines[:fitted]  # it was fitted before the interrupt


def test_a_reader_that_leaves_is_no_error(films_project):
    command = [*BAKEOFF, "config", "-C", str(films_project)]
    shown = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shown.stdout is not None
    shown.stdout.close()
    _, err = shown.communicate(timeout=30)
    assert err == b""


def test_starting_imports_nothing_heavy():
    heavy = "polars", "numpy", "sklearn", "duckdb", "sqlalchemy", "scipy", "lightgbm", "starlette", "pydantic"
    look = f"import sys; from bakeoff.cli.main import app; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True, env=os.environ)
    assert found.stdout.strip() == "[]"


def test_an_unchanged_run_imports_only_what_it_needs_to_see_that(ran):
    heavy = "polars", "pyarrow", "duckdb", "sklearn", "scipy", "lightgbm", "torch", "starlette", "alembic", "jinja2"
    sequence = "bakeoff.loop.lifecycle", "bakeoff.loop.bake_off", "bakeoff.evaluate.decide.verdict"
    look = f"""
import atexit, sys
names = {heavy + sequence!r}
atexit.register(lambda: print("imported:", [name for name in names if name in sys.modules], file=sys.stderr))
from bakeoff.cli.main import main
main()
"""

    def imported():
        command = [sys.executable, "-c", look, "run", "--json", "-C", str(ran)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
        return json.loads(run.stdout)["unchanged"], run.stderr.rpartition("imported: ")[2].strip()

    assert imported() == (True, "[]")
    toml = ran / "bakeoff.toml"
    toml.write_text(toml.read_text().replace("smooth = 5.0", "smooth = 6.0"))
    unchanged, names = imported()
    assert not unchanged
    assert set(sequence) <= set(ast.literal_eval(names))


def test_a_question_in_sql_says_nothing_but_its_answer(tmp_path):
    pytest.importorskip("duckdb")
    (tmp_path / "bakeoff.toml").write_text('[project]\nname = "empty"\n[data]\nsource = "a.csv"\ntarget = "b"\n')
    command = [sys.executable, "-m", "bakeoff", "sql", "SELECT count(*) n FROM runs", "-C", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.split()[-1]) == (0, "0")
    assert "leaked" not in done.stderr, "DuckDB's binding complains of what is not collected at the end"
