"""Child processes for the stores' tests."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start Python code in a child process, in `tmp_path`; it is killed at the end.

    It writes no bytecode: Python 3.11 keeps what a limit of its size cut short, and reads it ever after.
    """
    children: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            [sys.executable, "-B", "-c", textwrap.dedent(code), *map(str, arguments)],
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
