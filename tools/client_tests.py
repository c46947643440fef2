"""Run the own tests of openai-python or anthropic-sdk-python against our endpoint, for the routes that it serves.

    git clone https://github.com/openai/openai-python && pip install ./openai-python pytest pytest-asyncio respx
    python tools/client_tests.py openai openai-python [--python ENVIRONMENT/bin/python]
    python tools/client_tests.py anthropic anthropic-sdk-python

The endpoint answers by the model of `tests/web` that repeats what it is told, and has vectors for texts. In a copy of
the tests their models ("gpt-5.4") are named as the endpoint is. Left out are routes for what is stored, which nothing
is here. What fails is listed with the error, each test once.
"""

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from bakeoff.core.generation import Embedded

ROOT = Path(__file__).parents[1]
SUITES = {
    "openai": (
        (
            "chat/test_completions.py",
            "test_completions.py",
            "test_embeddings.py",
            "test_models.py",
            "test_responses.py",
        ),
        "create or (Models and not delete)",
        "/v1",
    ),
    "anthropic": (("test_messages.py", "test_models.py"), "create or Models", ""),
}
NAMES = re.compile(r"""(\bmodel=|\bmodel_id=|"model": |models\.(?:with_\w+\.)?retrieve\(\s*)"[^"]+\"""")
FAILED = re.compile(r"^FAILED \S+?::(\w+)::(\w+)\[?.*? - (.*)$")


class Embedder:
    """Vectors of texts by their letters."""

    def embed(self, texts):
        """See `bakeoff.core.generation.Embedder`."""
        vectors = np.array([[len(text), 1.0] for text in texts])
        return Embedded(vectors_nd=vectors / np.linalg.norm(vectors, axis=1, keepdims=True), tokens=len(texts))


def world():
    """The endpoint of the tests of the APIs."""
    spec = importlib.util.spec_from_file_location("web_conftest", ROOT / "tests" / "web" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.EchoModel.embedder = Embedder()
    return module.World()


def main() -> None:
    """Run the tests and print what passes and what does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("client", choices=SUITES)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--python", default=sys.executable)
    asked = parser.parse_args()
    files, chosen, path = SUITES[asked.client]
    with tempfile.TemporaryDirectory() as scratch, world().server as server:
        copy = Path(shutil.copytree(asked.checkout, Path(scratch) / "tests-of-client"))
        for file in files:
            test = copy / "tests" / "api_resources" / file
            test.write_text(NAMES.sub(r'\1"talk"', test.read_text()))
        done = subprocess.run(
            [asked.python, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "-o", "addopts=", "-k", chosen]
            + [f"tests/api_resources/{file}" for file in files],
            cwd=copy,
            env=os.environ | {"TEST_API_BASE_URL": server.url + path, "COLUMNS": "400"},
            capture_output=True,
            text=True,
            check=False,
        )
    lines = done.stdout.splitlines()
    failed = [match.groups() for match in map(FAILED.match, lines) if match]
    tests = Counter((where.replace("Async", ""), test, why[:160]) for where, test, why in failed)
    for (where, test, why), count in sorted(tests.items()):
        print(f"{where}.{test} ({count}): {why}")
    print(lines[-1] if lines else done.stderr)


if __name__ == "__main__":
    main()
