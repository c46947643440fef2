"""Run the own tests of openai-python or anthropic-sdk-python against an endpoint, for the routes that it serves.

    git clone https://github.com/openai/openai-python
    pip install './openai-python[aiohttp]' pytest pytest-asyncio respx
    python tools/client_tests.py openai openai-python [--python ENVIRONMENT/bin/python] [--url http://127.0.0.1:8080]
    python tools/client_tests.py anthropic anthropic-sdk-python

The tests are written for a mock that answers whatever it is asked. Three things are changed in a copy of them, and
told: options that are refused here are taken out of the tests that ask for all options at once (`REFUSED`), so that
the rest of each is tested; a response is asked about something, where they ask about nothing; nothing else. With
`--as-is` they are run as they are. What fails is listed with the error, each test once.

Pausing and resuming fine-tuning jobs are not served.

Without `--url` the endpoint is that of `tests/web/serving`, which repeats what it is told, has vectors for texts, and
files and jobs of the names in the tests. An endpoint of one's own needs `[endpoint] model_names = ["*"]`, as the tests
name OpenAI's and Anthropic's models.
"""

import argparse
import ast
import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import msgspec
import numpy as np

from bakeoff.core.generation import Embedded
from bakeoff.loop.fine_tune_jobs import FineTuneJob, FineTuneJobs
from bakeoff.loop.stored_files import StoredFiles
from bakeoff.project.fine_tuning import ProjectFineTuning
from bakeoff.project.project import Project
from bakeoff.project.wiring import now_ms

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """Tests of a client: their files, which of them (pytest's -k), what is refused here and why."""

    files: tuple[str, ...]
    chosen: str
    path: str
    refused: dict[str, str]
    fixed: dict[str, dict[str, str]] = field(default_factory=dict)


SUITES = {
    "openai": Suite(
        files=(
            "chat/test_completions.py",
            "test_completions.py",
            "test_embeddings.py",
            "test_models.py",
            "test_responses.py",
            "responses/test_input_tokens.py",
            "test_files.py",
            "fine_tuning/test_jobs.py",
            "fine_tuning/jobs/test_checkpoints.py",
        ),
        chosen="create or count or (Models and not delete) or Files or Checkpoints "
        "or (Jobs and not pause and not resume)",
        path="/v1",
        refused={
            "after": "'after' is no id of the list",
            "audio": "no sound is made",
            "background": "nothing is stored",
            "best_of": "0 is refused by OpenAI too",
            "context_management": "nothing is cut silently",
            "conversation": "nothing is stored",
            "dimensions": "1: vectors have the width of the encoder",
            "echo": "the prompt is a question",
            "expires_after": "files are kept until they are deleted",
            "function_call": "replaced by tool_choice",
            "functions": "replaced by tools",
            "dpo": "the method is supervised",
            "hyperparameters": "they stand in the method, too",
            "integrations": "nothing is sent elsewhere",
            "logit_bias": "'foo' is no token, for OpenAI neither",
            "max_completion_tokens": "0 is refused by OpenAI too",
            "max_tokens": "0 is refused by OpenAI too",
            "moderation": "there is none",
            "personality": "there is none",
            "previous_response_id": "nothing is stored",
            "prompt": "nothing is stored",
            "reinforcement": "the method is supervised",
            "suffix": "the prompt is a question",
            "truncation": "auto: nothing is cut silently",
            "verbosity": "low: models here have none",
            "web_search_options": "nothing is looked up",
        },
        fixed={"responses": {"input": "string"}, "input_tokens": {"input": "string"}},
    ),
    "anthropic": Suite(
        files=("test_messages.py", "test_models.py"),
        chosen="create or count or Models or deprecated",
        path="",
        refused={
            "container": "nothing is stored",
            "inference_geo": "the place of the machine cannot be chosen",
            "effort": "low: the models of these tests do not reason",
        },
    ),
}
CALLS = frozenset({"create", "count", "count_tokens", "list", "list_events"})
FAILED = re.compile(r"^FAILED \S+?::(\w+)::(\w+)\[?.*? - (.*)$")


class Adapted(ast.NodeTransformer):
    """Takes refused options out of calls of the client, and gives some calls what they lack."""

    def __init__(self, suite: Suite) -> None:
        self.suite, self.removed = suite, Counter[str]()

    def visit_Call(self, node: ast.Call) -> ast.AST:
        """A call such as `client.chat.completions.with_raw_response.create(…)`."""
        self.generic_visit(node)
        steps = ast.unparse(node.func).split(".")
        if steps[0] not in {"client", "async_client"} or steps[-1] not in CALLS:
            return node
        # The prompt of a completion is no stored prompt; max_tokens and truncation may have other values than these.
        whole = {"prompt"} if "completions" in steps else {"suffix"} if "fine_tuning" in steps else set[str]()
        node.keywords = [
            each for each in node.keywords if each.arg in whole or not self._taken_out(each.arg, each.value)
        ]
        for resource, options in self.suite.fixed.items():
            if resource in steps:
                given = {each.arg for each in node.keywords}
                node.keywords += [
                    ast.keyword(name, ast.Constant(value)) for name, value in options.items() if name not in given
                ]
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        """An option of an option, such as `text={"verbosity": …}`."""
        self.generic_visit(node)
        pairs = [
            (key, value)
            for key, value in zip(node.keys, node.values, strict=True)
            if not (
                isinstance(key, ast.Constant)
                and key.value in {"verbosity", "effort", "dpo", "reinforcement"}
                and self._taken_out(key.value, value)
            )
        ]
        node.keys, node.values = [key for key, _ in pairs], [value for _, value in pairs]
        return node

    def _taken_out(self, name: str | None, value: ast.expr) -> bool:
        fine = isinstance(value, ast.Constant) and value.value in (16, 1024, "none")
        if name not in self.suite.refused or (fine and name in {"max_tokens", "effort"}):
            return False
        self.removed[name] += 1
        return True


class Embedder:
    """Vectors of texts by their letters."""

    def embed(self, texts):
        """See `bakeoff.core.generation.Embedder`."""
        vectors = np.array([[len(text), 1.0] for text in texts])
        return Embedded(vectors_nd=vectors / np.linalg.norm(vectors, axis=1, keepdims=True), tokens=len(texts))


TOML = """
[project]
name = "talk"
task = "generation"
[data]
source = "rows.jsonl"
target = "answer"
[candidates."gpt-4o-mini"]
family = "lora"
"""
LINE = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Oh"}]}\n'


class Jobs(FineTuneJobs):
    """Jobs, of which the one that the tests name is there again however often it is cancelled."""

    def cancel(self, job_id: str) -> FineTuneJob:
        """The job as it would be cancelled."""
        return replace(self.get(job_id), status="cancelled")


def fine_tuning(folder: Path) -> ProjectFineTuning:
    """Files and jobs of a project, those that the tests name among them; nothing is trained."""
    (folder / "bakeoff.toml").write_text(TOML)
    project = Project(folder)
    documents, later = project.records.documents, count()
    names = iter(("abc123",))
    made = project.fine_tuning
    made.files = StoredFiles(documents, project.blobs, now_ms, lambda: next(names, None) or f"{next(later)}")
    made.jobs = Jobs(documents, now_ms, lambda: f"{next(later)}")
    file = made.files.put("chats.jsonl", LINE * 10, purpose="fine-tune")
    documents.put("files", "file_id", {**msgspec.to_builtins(file), "id": "file_id"})
    job = replace(made.create("gpt-4o-mini", file.id), id="ft-AF1WoRqd3aJAHsqc9NY7iL8F")
    documents.put("fine_tuning", job.id, msgspec.to_builtins(job))
    made.files.delete = made.files.get  # type: ignore[method-assign]  # the file is asked for again
    return made


def world(folder: Path):
    """The endpoint of the tests of the APIs."""
    spec = importlib.util.spec_from_file_location("web_conftest", ROOT / "tests" / "web" / "serving" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.EchoModel.embedder = Embedder()
    return module.World(model_names=("*",), fine_tuning=fine_tuning(folder))


@contextlib.contextmanager
def endpoint(url: str | None):
    """The address of the endpoint to ask."""
    if url is not None:
        yield url.rstrip("/")
        return
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)).server as server:
        yield server.url


def adapt(copy: Path, suite: Suite) -> Counter[str]:
    """Change the tests in a copy; how often each option was taken out."""
    removed = Counter[str]()
    for file in suite.files:
        test = copy / "tests" / "api_resources" / file
        adapted = Adapted(suite)
        test.write_text(ast.unparse(adapted.visit(ast.parse(test.read_text()))))
        removed += adapted.removed
    return removed


def main() -> None:
    """Run the tests and print what passes and what does not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("client", choices=SUITES)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--url")
    parser.add_argument("--as-is", action="store_true")
    parser.add_argument("--only", help="pytest's -k")
    options = parser.parse_args()
    suite = SUITES[options.client]
    with tempfile.TemporaryDirectory() as scratch, endpoint(options.url) as url:
        copy = Path(shutil.copytree(options.checkout, Path(scratch) / "tests-of-client"))
        if not options.as_is:
            for name, count in sorted(adapt(copy, suite).items()):
                print(f"taken out {count} times: {name} ({suite.refused[name]})")
        chosen = suite.chosen if options.only is None else f"({suite.chosen}) and ({options.only})"
        done = subprocess.run(
            [options.python, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "-o", "addopts=", "-k", chosen]
            + [f"tests/api_resources/{file}" for file in suite.files],
            cwd=copy,
            env=os.environ | {"TEST_API_BASE_URL": url + suite.path, "COLUMNS": "400"},
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
