"""One small use of what each extra advertises, in a folder of its own; tools/install_check.py runs it.

ENVIRONMENT/bin/python tools/extra_uses.py xgboost FOLDER            # it must work
ENVIRONMENT/bin/python tools/extra_uses.py xgboost FOLDER --without  # it must end with the extra's name
"""

import argparse
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROJECT = """
[project]
name = "films"
[data]
source = "rows.csv"
target = "label"
{data}
[candidates.{candidate}]
{params}
[combine]
blends = false
cascades = false
[decide]
resamples = 100
findings = false
explain = "none"
"""
ROWS = "text,stars,day,label\n" + "".join(
    f"{word} {thing} {'very ' * (i % 4)}number {i},{i % 5},2026-0{1 + i % 9}-0{1 + i % 7},{label}\n"
    for i in range(30)
    for word, label, thing in [("delightful", "fresh", "film"), ("boring", "rotten", "play")]
)
TEXT = "text,kind\n<p>The dogs were running; call +49 30 901820 now.</p>,a\nLe chat est sur la table de la cuisine.,b\n"
NOBODY_WINS = 3
START_S = 300.0
"""So long may a server take to start, on a machine with much else to do."""


class RefusedError(Exception):
    """A command ended with an error; its text is what was written."""


def bakeoff(folder: Path, *arguments: object, given: str | None = None, ends: Sequence[int] = (0,)) -> str:
    """What a command prints that ends with one of these codes."""
    command = [sys.executable, "-m", "bakeoff", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, input=given)
    if done.returncode not in ends:
        raise RefusedError(done.stderr + done.stdout)
    return done.stdout


def fitted(folder: Path, name: str, params: str = "", data: str = "", ends: Sequence[int] = (0, NOBODY_WINS)) -> None:
    """A candidate is fitted on 60 rows and evaluated; one of random weights wins nothing."""
    project(folder, name, params, data)
    run = json.loads(bakeoff(folder, "run", "--json", ends=ends))
    entry = next(each for each in run["candidates"] if each["name"] == name)
    expect(entry["status"] == "ok" and "f1_macro" in entry["metrics"], entry)


def candidate(folder: Path, name: str, params: str = "", data: str = "") -> None:
    """A candidate is fitted, wins, is released, and predicts."""
    fitted(folder, name, params, data, ends=(0,))
    answer = json.loads(
        bakeoff(folder, "predict", '{"text": "boring play", "stars": 1, "day": "2026-03-01"}', "--json")
    )
    expect(answer["predictions"][0]["label"] in {"fresh", "rotten"}, answer)


def project(folder: Path, name: str = "linear", params: str = "", data: str = "") -> None:
    (folder / "rows.csv").write_text(ROWS)
    (folder / "bakeoff.toml").write_text(PROJECT.format(candidate=name, params=params, data=data))


def expect(good: object, shown: object) -> None:
    if not good:
        sys.exit(f"expected something else than {shown!r}")


def prepared(folder: Path, steps: str) -> list[str]:
    """The texts after steps."""
    (folder / "texts.csv").write_text(TEXT)
    bakeoff(folder, "data", "prepare", "texts.csv", "--out", "out.jsonl", "--text", "text", "--workers", "1",
            "--steps", steps)  # fmt: skip
    return [json.loads(line)["text"] for line in (folder / "out.jsonl").read_text().splitlines()]


def text(folder: Path) -> None:
    steps = [{"name": "strip_html"}, {"name": "keep_languages", "languages": ["en"]}]
    steps += [{"name": "redact_pii"}, {"name": "drop_stop_words", "language": "english"}, {"name": "stem"}]
    texts = prepared(folder, json.dumps(steps))
    expect(len(texts) == 1 and "dog" in texts[0].split() and "run" in texts[0] and "901820" not in texts[0], texts)


def nlp(folder: Path) -> None:
    texts = prepared(folder, "lemmatise")
    expect("dog" in texts[0] and "run" in texts[0] and "running" not in texts[0], texts)


def tabicl(folder: Path) -> None:
    weights = folder / "tiny.ckpt"
    if find_spec("tabicl"):
        import torch
        from tabicl._model.tabicl import TabICL

        shape = dict.fromkeys(("col_num_blocks", "row_num_blocks", "icl_num_blocks"), 1)
        shape |= dict.fromkeys(("col_nhead", "row_nhead", "row_num_cls", "icl_nhead"), 2)
        shape |= {"embed_dim": 16, "col_num_inds": 8, "max_classes": 10, "num_quantiles": 19}
        torch.save({"config": shape, "state_dict": TabICL(**shape).state_dict()}, weights)
    fitted(folder, "tabicl", f'weights = "{weights}"\nviews = 1')


def tiny_language_model(folder: Path) -> Path:
    """A language model of random weights, as tests make it."""
    if find_spec("transformers") is None:
        return folder / "tiny"
    sys.path.insert(0, str(ROOT / "tests" / "families" / "language"))
    from tiny import write_tiny

    return write_tiny(folder)


def llm(folder: Path) -> None:
    model = tiny_language_model(folder)
    fitted(folder, "lora", f'model = "{model}"\nprecision = "fp32"\nlayers = 1\nepochs = 1')
    (folder / "bakeoff.toml").unlink()
    fitted(folder, "prompted", f'model = "{model}"\nprecision = "fp32"')


def harness(folder: Path) -> None:
    """The harness runs the project's language model: it needs the extra llm beside it."""
    model = tiny_language_model(folder)
    fitted(folder, "prompted", f'model = "{model}"\nprecision = "fp32"')
    (folder / "docs.jsonl").write_text('{"q": "aaord", "a": "bbord"}\n' * 4)
    (folder / "mine.yaml").write_text(
        "task: mine\ndataset_path: json\ndataset_kwargs: {data_files: docs.jsonl}\ntest_split: train\n"
        "output_type: multiple_choice\ndoc_to_text: '{{q}}'\ndoc_to_target: 0\ndoc_to_choice: ['bbord', 'ccord']\n"
        "metric_list: [{metric: acc}]\n"
    )
    results = bakeoff(folder, "models", "harness", "prompted", "--tasks", "mine", "--include-path", ".", "--json")
    expect("acc" in results, results)


class Service(BaseHTTPRequestHandler):
    """A service like OpenAI's that knows one word."""

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        asked = json.loads(self.rfile.read(length))
        label = "rotten" if "boring" in str(asked["messages"][-1]["content"]) else "fresh"
        message = {"role": "assistant", "content": label}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": asked["model"]}
        self._answer(body | {"choices": [choice], "usage": usage})

    def do_GET(self) -> None:
        self._answer({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    def _answer(self, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...  # type: ignore[override]


def chat(folder: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        candidate(folder, "remote", f'url = "http://127.0.0.1:{server.server_port}/v1"\nmodel = "tiny"')
        server.shutdown()


@contextmanager
def serving(folder: Path, *command: object) -> Iterator[str]:
    """A server of a project on a free port; its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "bakeoff", *map(str, command), "--port", str(port)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for _ in range(int(START_S * 5)):
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None:
                raise RefusedError(server.stderr.read() if server.stderr else "")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate()


def tracking(folder: Path) -> None:
    project(folder)
    span = bytes([0x0A, 16, *range(16), 0x12, 8, *range(8), 0x2A, 4, *b"call", 0x39, *bytes(7), 1, 0x41, *bytes(7), 2])
    traces = span
    for _ in range(3):  # a request of resources of scopes of spans
        tag = 0x0A if traces is not span and traces[0] != span[0] else 0x12
        traces = bytes([tag, len(traces)]) + traces
    traces = bytes([0x0A]) + traces[1:]
    with serving(folder, "ui") as url:
        request = urllib.request.Request(f"{url}/v1/traces", data=traces)
        request.add_header("content-type", "application/x-protobuf")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                expect(answer.status == 200, answer.status)  # noqa: PLR2004
        except urllib.error.HTTPError as error:
            raise RefusedError(error.read().decode()) from None


def grpc(folder: Path) -> None:
    candidate(folder, "linear")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with serving(folder, "serve", "--grpc-port", port):
        import grpc as library

        with library.insecure_channel(f"127.0.0.1:{port}") as channel:
            ready = channel.unary_unary("/inference.GRPCInferenceService/ServerReady")
            for _ in range(int(START_S * 5)):  # the release is loaded after the port is there
                answer = ready(b"", timeout=20)
                if answer == b"\x08\x01":
                    return
                time.sleep(0.2)
        expect(answer == b"\x08\x01", answer)


def postgres(folder: Path) -> None:
    if shutil.which("initdb") is None:
        sys.exit("needs PostgreSQL's postgres and initdb on the path")
    if find_spec("psycopg") is None:
        candidate(folder, "linear", data='[store]\nrecords = "postgresql://nobody@/postgres?host=/nowhere"')
        return
    import os

    other: dict[str, Any] = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    place = Path(subprocess.check_output(["mktemp", "-d", "/tmp/bakeoff-pg-XXXXXX"], text=True, **other).strip())
    made = ["initdb", "-D", place / "data", "-U", "bakeoff", "--auth=trust", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, cwd="/", **other)
    command = ["postgres", "-D", place / "data", "-k", place, "-c", "listen_addresses="]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd="/", **other)
    try:
        assert server.stderr is not None
        next(line for line in server.stderr if "ready to accept connections" in line)
        url = f"postgresql://bakeoff@/postgres?host={place}"
        candidate(folder, "linear", data=f'[store]\nrecords = "{url}"\nevents = "{url}"')
        runs = json.loads(bakeoff(folder, "runs", "--json"))
        expect(runs["runs"], runs)
    finally:
        server.terminate()
        server.communicate()
        shutil.rmtree(place)


def tls(folder: Path) -> None:
    project(folder, data='[store.encryption]\nkey_file = "films.keys"')
    bakeoff(folder, "certs", "dev")
    bakeoff(folder, "keys", "create")
    bakeoff(folder, "run")
    shown = bakeoff(folder, "doctor")
    expect("blobs and events are encrypted with key" in " ".join(shown.split()), shown)


def people(folder: Path) -> None:
    project(folder)
    bakeoff(folder, "people", "add", "ada", "--role", "viewer", given="correct horse battery staple\n")
    shown = bakeoff(folder, "people", "list")
    expect("ada" in shown, shown)


def mlflow(folder: Path) -> None:
    candidate(folder, "linear")
    there = f"sqlite:///{folder}/mlflow.db"
    bakeoff(folder, "export-mlflow", there)
    other = folder / "other"
    other.mkdir()
    project(other)
    bakeoff(other, "import-mlflow", there)
    runs = json.loads(bakeoff(other, "runs", "--json"))
    expect(runs["runs"], runs)


def mcp(folder: Path) -> None:
    project(folder)
    client = {"name": "check", "version": "1"}
    asked = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client}
    messages: list[dict[str, Any]] = [{"id": 1, "method": "initialize", "params": asked}]
    messages += [{"method": "notifications/initialized"}, {"id": 2, "method": "tools/list"}]
    server = subprocess.Popen(
        [sys.executable, "-m", "bakeoff", "mcp"],
        cwd=folder,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        for message in messages:
            server.stdin.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
        server.stdin.flush()
        answers = [json.loads(line) for line in (server.stdout.readline(), server.stdout.readline()) if line]
    except BrokenPipeError:
        answers = []
    finally:
        server.terminate()
        _, errors = server.communicate()
    if not answers:
        raise RefusedError(errors)
    expect(any(answer.get("result", {}).get("tools") for answer in answers), answers)


def segment(folder: Path) -> None:
    from bakeoff.prepare.text.segments import words

    del folder
    expect(len(list(words("我喜欢看电影"))) > 1, words)


def report(folder: Path) -> None:
    candidate(folder, "linear")
    bakeoff(folder, "report", "--html", "report.html")
    expect((folder / "report.html").stat().st_size > 20_000, "a short page")  # noqa: PLR2004


def sql(folder: Path) -> None:
    candidate(folder, "linear")
    shown = bakeoff(folder, "sql", "select count(*) from runs")
    expect(shown, shown)


def docs(folder: Path) -> None:
    if find_spec("mkdocs") is None:
        raise RefusedError("bakeoff[docs]")
    command = [sys.executable, "-m", "mkdocs", "build", "-q", "-f", ROOT / "mkdocs.yml", "-d", folder / "site"]
    subprocess.run(command, check=True)
    expect((folder / "site" / "index.html").is_file(), "no page")


def gpu(folder: Path) -> None:
    """No GPU is here: what is asked for is refused, and what is missing is told."""
    if find_spec("torch") is None or find_spec("transformers") is None:
        return
    model = tiny_language_model(folder)
    fitted(folder, "lora", f'model = "{model}"\nprecision = "fp32"\nlayers = 1\nepochs = 1\nquantise_base = "int8"')


USES: dict[str, Callable[[Path], object]] = {
    **{name: partial(candidate, name=name) for name in ("xgboost", "catboost", "words", "embedding")},
    **{use.__name__: use for use in (text, nlp, tabicl, llm, harness, chat, tracking, grpc, postgres, tls, people)},
    **{use.__name__: use for use in (mlflow, mcp, segment, report, sql, docs, gpu)},
    "holidays": partial(candidate, name="linear", data='holidays = "DE"'),
    "ray": partial(candidate, name="linear", data='[compute]\nbackend = "ray"'),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extra", choices=sorted(USES))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--without", action="store_true")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True)
    try:
        USES[asked.extra](asked.folder)
    except RefusedError as error:
        message = str(error)
        named = f"bakeoff[{asked.extra}]" in message and "Traceback" not in message
        print(message.strip().splitlines()[-1] if named else message)
        sys.exit(not (asked.without and named))
    if asked.without:
        sys.exit(f"expected a word that the extra {asked.extra} is missing, received none")


if __name__ == "__main__":
    main()
