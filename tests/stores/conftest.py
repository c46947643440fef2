"""Real servers and child processes for the stores' tests."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python code in a child process, in `tmp_path`; it is killed at the end."""
    children: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def together(start: Start) -> Callable[..., list[str]]:
    """Run the code in several processes that begin at the same moment; what each printed."""

    def together(code: str, arguments: list[object]) -> list[str]:
        wait = "import sys; print('ready', flush=True); sys.stdin.readline()\n"
        head, _, body = textwrap.dedent(code).partition("# together\n")
        children = [start(head + wait + body, argument) for argument in arguments]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n", child.communicate()[1]
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        outputs = [child.communicate(timeout=60) for child in children]
        assert [child.returncode for child in children] == [0] * len(children), outputs
        return [stdout.strip() for stdout, _ in outputs]

    return together


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server of our own, on a socket."""
    if shutil.which("postgres") is None or shutil.which("initdb") is None:
        pytest.skip("needs PostgreSQL's postgres and initdb on the PATH")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip('needs psycopg: pip install "bakeoff[postgres]"')
    folder = Path(tmp_path_factory.mktemp("postgresql"))
    # The server refuses to run as root; elsewhere it runs as who we are.
    other = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    if other:
        folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/bakeoff-pg-XXXXXX"], text=True, **other).strip())
    data = folder / "data"
    made = ["initdb", "-D", data, "-U", "bakeoff", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, cwd="/", **other)
    server = subprocess.Popen(
        ["postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        **other,
    )
    assert server.stderr is not None
    for line in server.stderr:
        if "ready to accept connections" in line:
            break
    yield f"postgresql://bakeoff@/postgres?host={folder}"
    server.send_signal(signal.SIGINT)  # does not wait for clients
    server.communicate(timeout=30)
    shutil.rmtree(folder, ignore_errors=True)
