"""`bakeoff ui` beside `mlflow server` and trackio: the same requests, the same machine, SQLite each.

    python benchmarks/tracking.py                          # all of it, half an hour
    SCALE=0.1 python benchmarks/tracking.py                # a tenth of all sizes and times
    RAW=1 python benchmarks/tracking.py                    # writes without the stock clients
    python benchmarks/tracking.py --systems bakeoff --parts writes search
    python benchmarks/tracking.py --report                 # the tables of what is there

Requests are sent raw (one process of ours, keep-alive connections), which measures the server; and once more through
MLflow's stock client, whose own processor time for each call stands beside it. Peers live in an environment of their
own. Runs to search, and long histories, are written into both databases directly (in mlflow, 100,000 runs through its
server would take an hour). trackio speaks another protocol, and has no search: its values go to `/api/bulk_log`, which
is what its client sends. "log_batch" brings 1,000 values of ten metrics. An answer means: the write is committed. The
commits of trackio are not synced to the disk (`synchronous` is not FULL there); the other two are.
"""

import argparse
import asyncio
import itertools
import json
import os
import platform
import random
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import psutil
import uvloop
from sqlalchemy import insert

import data
from bakeoff.config.sections import StoreConfig
from bakeoff.core.records import Metric
from bakeoff.project import wiring
from bakeoff.stores import schema
from bakeoff.stores.history import pack

HERE = Path(__file__).parent
SCALE = float(os.environ.get("SCALE", "1"))
PEERS = ["mlflow==3.17.2", "trackio==0.43.0"]
SYSTEMS = ["bakeoff", "mlflow", "trackio"]
PARTS = ["start", "writes", "search", "history", "traces", "artifact"]
RESULTS = data.CACHE / "tracking.json"
TOKEN = "bench"
SECONDS, RUNS, POINTS, TRACES, SPANS = max(1.0, 5 * SCALE), (10_000, 100_000), (100_000, 1_000_000), 10_000, 10
TRACES_A_REQUEST = 50
BEGAN_MS = 1_700_000_000_000
MEGA = 2**20
CLIENT = "RAW" not in os.environ
SETTLE_S = 8
"""mlflow answers before all of its processes have begun."""
SEARCHES = {
    "newest first": {},
    "ordered by a metric": {"order_by": ["metrics.loss ASC"]},
    "filter and order": {
        "filter": "metrics.acc > 0.5 and params.model = 'rf'",
        "order_by": ["metrics.acc DESC"],
    },
}


def python() -> str:
    """The interpreter of the peers' environment."""
    return str(data.environment("tracking", PEERS) / "bin" / "python")


def scaled(number: int) -> int:
    return max(1, int(number * SCALE))


class Server:
    """One system's server on a folder of its own."""

    def __init__(self, system: str, folder: Path) -> None:
        self.system, self.folder = system, folder
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.peak, self._ended = 0, threading.Event()

    def command(self) -> list[str]:
        at = ["--host", "127.0.0.1", "--port", str(self.port)]
        if self.system == "bakeoff":
            return [str(Path(sys.executable).parent / "bakeoff"), "ui", *at]
        beside = Path(python()).parent
        return {
            "mlflow": [
                *(str(beside / "mlflow"), "server", *at, "--backend-store-uri", "sqlite:///mlflow.db"),
                *("--artifacts-destination", "./artifacts"),
            ],
            "trackio": [str(beside / "trackio"), "show", "--host", "127.0.0.1"],
        }[self.system]

    def __enter__(self) -> Self:
        environ = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "HF_HUB_OFFLINE": "1"}
        environ |= {"TRACKIO_WRITE_TOKEN": TOKEN, "TRACKIO_DIR": str(self.folder)}
        environ |= {"GRADIO_SERVER_PORT": str(self.port), "BROWSER": "true"}
        began = time.perf_counter()
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=self.folder, env=environ, stdout=log, stderr=log, start_new_session=True
            )
        while not self._answers():
            if self.process.poll() is not None or time.perf_counter() - began > 120:
                self.__exit__()
                sys.exit(f"{self.system} did not start: {self.folder / 'server.log'}")
            time.sleep(0.01)
        self.start_s = time.perf_counter() - began
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def memory(self) -> int:
        """Resident memory of all its processes."""
        try:
            known = psutil.Process(self.process.pid)
            return sum(each.memory_info().rss for each in [known, *known.children(recursive=True)])
        except psutil.Error:
            return 0

    def processor_s(self) -> float:
        """Processor time of all its processes so far."""
        try:
            known = psutil.Process(self.process.pid)
            times = [each.cpu_times() for each in [known, *known.children(recursive=True)]]
            return sum(each.user + each.system for each in times)
        except psutil.Error:
            return 0.0

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self.peak = max(self.peak, self.memory())

    def _answers(self) -> bool:
        try:
            path = "version" if self.system == "trackio" else "health"
            return urllib.request.urlopen(f"{self.url}/{path}", timeout=5).status == 200
        except OSError:
            return False

    def call(self, path: str, body: dict | None = None) -> Any:
        """One request below MLflow's API; a GET when there is no body."""
        sent = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/{path}", sent, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=900) as answer:
            return json.load(answer)

    def run(self) -> str:
        return self.call("2.0/mlflow/runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]

    def client(self, what: str, **job: Any) -> dict:
        """One operation through the stock client."""
        done = subprocess.run(
            [python(), str(HERE / "peers" / "tracking_client.py")],
            input=json.dumps({"what": what, "url": self.url, **job}),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{what} of {self.system} failed:\n{done.stderr[-3000:]}")
        return json.loads(done.stdout.splitlines()[-1])


# --- raw load -----------------------------------------------------------------------------------


def message(path: str, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{named}Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def answered(reader: asyncio.StreamReader) -> bytes:
    """The body of one answer, whose status must be 200."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b"chunked" in head:
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:size]
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    if head.split(b" ", 2)[1] != b"200":
        sys.exit(f"a request was refused: {head.decode()}{body[:500].decode()}")
    return body


def load(port: int, streams: list[Iterator[bytes]], seconds: float) -> dict:
    """So many connections, each sending its requests one after another; how many a second, and how long they take."""
    took: list[float] = []

    async def one(stream: Iterator[bytes], until: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**26)
        for sent in stream:
            began = time.perf_counter()
            if began > until:
                break
            writer.write(sent)
            try:
                await answered(reader)
            except (asyncio.IncompleteReadError, ConnectionError):  # it closed an idle connection: again on another
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**26)
                writer.write(sent)
                await answered(reader)
            took.append(time.perf_counter() - began)
        writer.close()

    async def all_of() -> float:
        began = time.perf_counter()
        await asyncio.gather(*(one(stream, began + seconds) for stream in streams))
        return time.perf_counter() - began

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # what the client takes is no server's
        wall = runner.run(all_of())
    took.sort()
    return {
        "count": len(took),
        "per_s": len(took) / wall,
        "p50_ms": 1000 * took[len(took) // 2],
        "p99_ms": 1000 * took[int(len(took) * 0.99)],
    }


def value(at: int) -> dict:
    return {"key": "loss", "value": 0.1 * at, "timestamp": BEGAN_MS + at, "step": at}


def requests_of(server: Server, operation: str, client: int) -> Iterator[bytes]:
    """What one client sends, without end."""
    if server.system == "trackio":
        token, at = {"x_trackio_write_token": TOKEN}, 0
        known = {"project": "bench", "run": f"run-{client}", "run_id": f"{client:032x}"}
        many = [{**known, "step": at, "metrics": {f"m{k}": at * 0.1 for k in range(10)}} for at in range(100)]
        while True:
            at += 1
            logs = [{**known, "step": at, "metrics": {"loss": at * 0.1}}] if operation == "log_metric" else many
            yield message("/api/bulk_log", json.dumps({"logs": logs, "hf_token": None}).encode(), **token)
    run_id, api, at = server.run(), "/api/2.0/mlflow/runs", 0
    marked = 1_700_000_000_000  # its middle digits are replaced, so that no value comes twice
    values = [
        {"key": f"m{at % 10}", "value": at * 0.001, "timestamp": marked + at, "step": at // 10} for at in range(1000)
    ]
    batch = json.dumps({"run_id": run_id, "metrics": values}).encode()
    while True:
        at += 1
        if operation == "log_metric":
            yield message(f"{api}/log-metric", json.dumps({"run_id": run_id, **value(at)}).encode())
        elif operation == "create_run":
            new = {"experiment_id": "0", "start_time": BEGAN_MS, "tags": [{"key": "mlflow.user", "value": "a"}]}
            yield message(f"{api}/create", json.dumps(new).encode())
        else:
            yield message(f"{api}/log-batch", batch.replace(b": 17000000", b": 17%06d" % at))


def ready(stream: Iterator[bytes]) -> Iterator[bytes]:
    """The same, begun before the clock runs."""
    return itertools.chain([next(stream)], stream)


# --- parts --------------------------------------------------------------------------------------


def start(server: Server) -> dict:
    """Start-up with a database that is there, and memory when nothing has been asked for."""
    times = [server.start_s]
    idle = server.memory()
    for _ in range(2):
        with Server(server.system, server.folder) as again:
            times.append(again.start_s)
    return {"first start s": times[0], "start s": min(times[1:]), "idle MB": idle / MEGA}


def writes(server: Server) -> dict:
    result: dict[str, float] = {}
    for operation in ("log_metric", "log_batch", "create_run"):
        if server.system == "trackio" and operation == "create_run":
            continue
        for clients in (1, 8):
            streams = [ready(requests_of(server, operation, each)) for each in range(clients)]
            before = server.processor_s()
            measured = load(server.port, streams, SECONDS)
            own_us = 1e6 * (server.processor_s() - before) / measured["count"]
            result[f"{operation} raw, {clients}: /s"] = measured["per_s"]
            result[f"{operation} raw, {clients}: server's own us"] = own_us
            result[f"{operation} raw, {clients}: p99 ms"] = measured["p99_ms"]
            if server.system != "trackio" and CLIENT:
                through = server.client("writes", operation=operation, clients=clients, seconds=SECONDS)
                result[f"{operation} client, {clients}: /s"] = through["per_s"]
                result[f"{operation} client, {clients}: client's own ms"] = through["client_ms"]
    if server.system == "trackio" and CLIENT:
        url = f"{server.url}/?write_token={TOKEN}"
        result["log_metric client, 1: /s"] = server.client("trackio", url=url, seconds=SECONDS, values=10**6)["per_s"]
    result["peak MB"] = server.peak / MEGA
    return result


def search(server: Server) -> dict:
    result: dict[str, float] = {}
    for number, count in enumerate(map(scaled, RUNS), 1):
        SEED[server.system](server.folder, str(number * 1000), count)
        for name, asked in SEARCHES.items():
            body = {"experiment_ids": [str(number * 1000)], "max_results": 100, **asked}
            took, answer = _timed(lambda body=body: server.call("2.0/mlflow/runs/search", body), 7)
            result[f"{count:,} runs, {name}: ms"] = took
            assert len(answer["runs"]) == min(100, count) or name == "filter and order", name
    result["peak MB"] = server.peak / MEGA
    return result


def _timed(work: Callable[[], Any], times: int) -> tuple[float, Any]:
    """The median of milliseconds, of as many calls as half a minute allows; and what came."""
    took: list[float] = []
    answer, until = work(), time.perf_counter() + 30
    while len(took) < times and (not took or time.perf_counter() < until):
        began = time.perf_counter()
        answer = work()
        took.append(1000 * (time.perf_counter() - began))
    return statistics.median(took), answer


def history(server: Server) -> dict:
    result: dict[str, float] = {}
    for points in map(scaled, POINTS):
        run_id = server.run()
        HISTORY[server.system](server.folder, run_id, points)
        query = f"run_id={run_id}&metric_key=loss"
        page, answer = _timed(lambda q=query: server.call(f"2.0/mlflow/metrics/get-history?{q}&max_results=25000"), 3)
        assert len(answer["metrics"]) == min(points, 25_000)
        plot = f"2.0/mlflow/metrics/get-history-bulk-interval?run_ids={run_id}&metric_key=loss&max_results=320"
        thin, _ = _timed(lambda p=plot: _ajax(server, p), 3)
        whole = server.client("history", run_id=run_id)
        assert whole["count"] == points
        result |= {
            f"{points:,} points, first page of 25,000: ms": page,
            f"{points:,} points, 320 for a plot: ms": thin,
            f"{points:,} points, all through the client: s": whole["seconds"],
        }
    result["peak MB"] = server.peak / MEGA
    return result


def _ajax(server: Server, path: str) -> Any:
    with urllib.request.urlopen(f"{server.url}/ajax-api/{path}", timeout=900) as answer:
        return json.load(answer)


def traces(server: Server) -> dict:
    """Spans by OTLP in protobuf, 500 in a request, then searched."""
    count = max(TRACES_A_REQUEST, scaled(TRACES))
    bodies = [spans(at, TRACES_A_REQUEST) for at in range(0, count, TRACES_A_REQUEST)]
    sent = [message("/v1/traces", each, "application/x-protobuf", x_mlflow_experiment_id="0") for each in bodies]
    began, before = time.perf_counter(), server.processor_s()
    load(server.port, [iter(sent[half::2]) for half in range(2)], 3600)
    wrote = time.perf_counter() - began
    result = {
        f"{count:,} traces of {SPANS} spans written: s": wrote,
        "server's own ms for a trace": 1000 * (server.processor_s() - before) / count,
    }
    where = {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}]}
    for name, asked in {
        "newest first": {},
        "by status and time taken": {"filter": "attributes.status = 'ERROR' AND attributes.execution_time_ms > 500"},
        "by an attribute of a span": {"filter": "span.attributes.user_number LIKE '7'"},
    }.items():
        body = {**where, "max_results": 100, **asked}
        try:
            took, answer = _timed(lambda body=body: server.call("3.0/mlflow/traces/search", body), 5)
        except urllib.error.HTTPError as error:
            print(f"{server.system} refuses to search {name}: {error.read()[:200]}", flush=True)
            continue
        result[f"{count:,} traces searched, {name} ({len(answer.get('traces', []))}): ms"] = took
    result["peak MB"] = server.peak / MEGA
    return result


def spans(first: int, count: int) -> bytes:
    """Traces of ten spans each, as an exporter sends them."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(first, first + count):
        rnd = random.Random(number)
        began = (BEGAN_MS + 1000 * number) * 1_000_000
        for at in range(SPANS):
            span = scope.spans.add()
            span.trace_id, span.span_id = (number + 1).to_bytes(16, "big"), (number * 100 + at + 1).to_bytes(8, "big")
            if at:
                span.parent_span_id = (number * 100 + 1).to_bytes(8, "big")
            span.name = "chat" if at else f"request {number % 10}"
            span.start_time_unix_nano = began + at * 1_000_000
            span.end_time_unix_nano = began + rnd.randrange(10, 1000) * 1_000_000
            span.status.code = 2 if number % 10 == 0 else 1
            for key, text in (
                ("user_number", str(number % 1000)),
                ("gen_ai.request.model", "m-1"),
                ("text", "word " * 20),
            ):
                attribute = span.attributes.add()
                attribute.key, attribute.value.string_value = key, text
    return request.SerializeToString()


def artifact(server: Server) -> dict:
    size = max(MEGA, scaled(1024) * MEGA)
    time.sleep(2)
    before = server.peak = server.memory()
    result = server.client("artifact", size_bytes=size)
    assert result["size_bytes"] == size
    return {
        f"{size // MEGA:,} MiB up: s": result["up_s"],
        f"{size // MEGA:,} MiB down: s": result["down_s"],
        f"{size // MEGA:,} MiB: MB more than idle": (server.peak - before) / MEGA,
    }


# --- sets written directly ----------------------------------------------------------------------


def known_run(number: int) -> dict:
    """What a run of the sets to search says."""
    rnd = random.Random(number)
    choices = {"model": ["rf", "gb", "lr", "nn"], "lr": [0.1, 0.01], "depth": [2, 4, 8], "opt": ["adam", "sgd"]}
    return {
        "metrics": {key: rnd.random() for key in ("acc", "loss", "f1", "auc", "time")},
        "params": {**{key: str(rnd.choice(values)) for key, values in choices.items()}, "seed": str(number)},
        "tags": {"mlflow.user": f"u{number % 7}", "team": f"t{number % 5}", "stage": "dev"},
    }


def seed_bakeoff(folder: Path, experiment: str, count: int) -> None:
    records, _ = wiring.open_stores(
        folder, StoreConfig(records="sqlite:///.bakeoff/records.db", blobs="file://.bakeoff/blobs"), wiring.now_ms
    )
    records.experiments.create(f"search {count}", experiment_id=experiment)
    for first in range(0, count, 5000):
        rows: dict[Any, list[dict]] = {
            each: [] for each in (schema.runs, schema.latest_metrics, schema.params, schema.tags)
        }
        for at in range(first, min(count, first + 5000)):
            run_id, known = f"{experiment}{at:028x}", known_run(at)
            rows[schema.runs].append(
                {"run_id": run_id, "experiment_id": int(experiment), "name": f"run-{at}", "status": "FINISHED"}
                | {"start_ms": BEGAN_MS + at, "end_ms": BEGAN_MS + at + 1000}
            )
            for table, kind in ((schema.params, "params"), (schema.tags, "tags")):
                rows[table] += [{"run_id": run_id, "key": key, "value": each} for key, each in known[kind].items()]
            rows[schema.latest_metrics] += [
                {"run_id": run_id, "key": key, "value": each, "step": 0, "time_ms": BEGAN_MS, "is_nan": False}
                for key, each in known["metrics"].items()
            ]
        with records.database.write() as connection:  # faster than through its own door
            for table, values in rows.items():
                connection.execute(insert(table), values)
    records.close()


def seed_mlflow(folder: Path, experiment: str, count: int) -> None:
    with sqlite3.connect(folder / "mlflow.db", timeout=60) as connection:
        new = (int(experiment), f"search {count}", "mlflow-artifacts:/" + experiment, "active", BEGAN_MS, BEGAN_MS)
        connection.execute(
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, "
            "last_update_time) VALUES (?, ?, ?, ?, ?, ?)",
            new,
        )
        for at in range(count):
            run_id, known = f"{experiment}{at:028x}", known_run(at)
            connection.execute(
                "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, "
                "lifecycle_stage, artifact_uri, experiment_id) VALUES (?, ?, 'UNKNOWN', 'u', 'FINISHED', ?, ?, "
                "'active', '', ?)",
                (run_id, f"run-{at}", BEGAN_MS + at, BEGAN_MS + at + 1000, int(experiment)),
            )
            for table in ("params", "tags"):
                connection.executemany(
                    f"INSERT INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)",
                    [(key, each, run_id) for key, each in known[table].items()],
                )
            rows = [(key, each, BEGAN_MS, 0, False, run_id) for key, each in known["metrics"].items()]
            for table in ("metrics", "latest_metrics"):
                connection.executemany(
                    f"INSERT INTO {table} (key, value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)",
                    rows,
                )


def history_bakeoff(folder: Path, run_id: str, points: int) -> None:
    records, _ = wiring.open_stores(
        folder, StoreConfig(records="sqlite:///.bakeoff/records.db", blobs="file://.bakeoff/blobs"), wiring.now_ms
    )
    for first in range(0, points, 1000):
        values = [
            Metric(key="loss", value=0.1 * at, step=at, time_ms=BEGAN_MS + at)
            for at in range(first, min(points, first + 1000))
        ]
        series, packed = pack(values)
        with records.database.write() as connection:  # faster than through its own door
            connection.execute(insert(schema.metric_blocks), {"run_id": run_id, "series": series, "points": packed})
    records.close()


def history_mlflow(folder: Path, run_id: str, points: int) -> None:
    with sqlite3.connect(folder / "mlflow.db", timeout=60) as connection:
        connection.executemany(
            "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES ('loss', ?, ?, ?, 0, ?)",
            ((0.1 * at, BEGAN_MS + at, at, run_id) for at in range(points)),
        )


SEED = {"bakeoff": seed_bakeoff, "mlflow": seed_mlflow}
HISTORY = {"bakeoff": history_bakeoff, "mlflow": history_mlflow}


# --- all of it ----------------------------------------------------------------------------------


@contextmanager
def fresh(system: str, part: str) -> Iterator[Server]:
    folder = data.CACHE / "work" / f"tracking-{system}-{part}"
    shutil.rmtree(folder, ignore_errors=True)
    with Server(system, folder) as server:
        time.sleep(SETTLE_S)
        yield server
    shutil.rmtree(folder, ignore_errors=True)


def report(results: dict) -> str:
    """A table for each part: every measure by system, and how many times ours is better."""
    lines = [f"scale {SCALE:g}, {results.get('when', '')}", ""]
    for part in PARTS:
        known = {system: results.get(f"{system} {part}", {}) for system in SYSTEMS}
        names = list(dict.fromkeys(name for measured in known.values() for name in measured))
        if not names:
            continue
        lines += [f"| {part} | bakeoff | mlflow | trackio | ours to mlflow |", "|---|---|---|---|---|"]
        for name in names:
            values = [known[system].get(name) for system in SYSTEMS]
            ratio = ""
            if values[0] and values[1]:
                ratio = f"{values[0] / values[1] if name.endswith('/s') else values[1] / values[0]:.3g} ×"
            lines.append(f"| {name} | {' | '.join('' if v is None else f'{v:.4g}' for v in values)} | {ratio} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--systems", nargs="*", choices=SYSTEMS, default=SYSTEMS)
    asked.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    asked.add_argument("--report", action="store_true")
    given = asked.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # who ends it from outside ends its servers, too
    data.CACHE.mkdir(parents=True, exist_ok=True)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in [] if given.report else given.parts:
        for system in given.systems:
            if system == "trackio" and part not in {"start", "writes"}:
                continue
            with fresh(system, part) as server:
                results[f"{system} {part}"] = globals()[part](server)
            peers = ", ".join(each.replace("==", " ") for each in PEERS)
            results["when"] = (
                f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, Python {platform.python_version()}, "
                f"bakeoff {version('bakeoff')}, {peers}"
            )
            RESULTS.write_text(json.dumps(results, indent=1))
            print(f"{system} {part}: {results[f'{system} {part}']}", flush=True)
    print(report(results))


if __name__ == "__main__":
    main()
