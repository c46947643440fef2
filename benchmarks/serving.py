"""Serving rows of 30 numbers: bakeoff beside mlflow, BentoML, LitServe, Ray Serve, and Starlette with the bare model.

`boosting` is the same LightGBM model everywhere, by its text. `linear` is bakeoff's own (a curve for each number,
fitted by scikit-learn) and for the others a plain logistic regression of scikit-learn, which is less work. bakeoff
checks rows, gives each answer an id and logs it; the others do none of it.

`python benchmarks/serving.py [--only bakeoff,mlflow] [--models linear] [--seconds 3] [--per-core] [--turns 12]`. The
server has the first core, the load generator the second; with --per-core both share all cores, and each server has a
process for each. With --turns all are started, and loaded one after the other so many times; told is the best turn of
each, so that what else a busy machine does meets all of them.
"""

import argparse
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import psutil
from load import Load, measure

import data as packages

PEERS = [
    "mlflow==3.17.2",
    "bentoml==1.4.40",
    "litserve==0.2.19",
    "ray[serve]==2.60.0",
    "scikit-learn==1.9.1",
    "lightgbm==4.7.0",
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "httptools==0.9.0",
    "msgspec==0.22.0",
    "pandas==3.1.1",
]
MODES = ("best_effort", "required", "off")
SYSTEMS = (*(f"bakeoff {mode}" for mode in MODES), "bare numpy", "bare", "mlflow", "bentoml", "litserve", "ray")
PORT = 18700
START_S = 120
TOML = """[project]
name = "cancer"
task = "classification"
[data]
source = "cancer.csv"
target = "diagnosis"
[candidates.{model}]
[split]
folds = 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server."""

    url: str
    start_s: float
    process: psutil.Process

    @property
    def _tree(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    @property
    def memory_mb(self) -> float:
        """Of the process and all below it: what belongs to it alone, and its share of the rest."""
        return sum(each.memory_full_info().pss for each in self._tree) / 1e6

    @property
    def processor_s(self) -> float:
        """Seconds of processor time until now, of all of them: it tells systems apart also on a busy machine."""
        times = [each.cpu_times() for each in self._tree]
        return sum(each.user + each.system for each in times)


def prepared(folder: Path) -> str:
    """The projects, rows and models in a folder, made once; the peers' Python."""
    import polars as pl
    from sklearn.datasets import load_breast_cancer

    from bakeoff import Project

    python = str(packages.environment("serving", PEERS) / "bin" / "python")
    if (folder / "done").exists():
        return python
    read = load_breast_cancer()
    names = [name.replace(" ", "_") for name in read.feature_names]
    labels = [str(read.target_names[at]) for at in read.target]
    rows = [dict(zip(names, map(float, values), strict=True)) for values in read.data]
    for model in ("linear", "boosting"):
        place = folder / model
        place.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows).with_columns(diagnosis=pl.Series(labels)).write_csv(place / "cancer.csv")
        (place / "bakeoff.toml").write_text(TOML.format(model=model))
        with Project(place, progress=lambda _: None) as project:
            project.run()
            engine = project.engine()
            engine.refresh()
            if model == "boosting":
                assert engine.direct is not None
                (folder / "trees.txt").write_text(engine.direct.model.trees)  # type: ignore[attr-defined]
    (folder / "data.json").write_text(json.dumps({"names": names, "rows": rows, "labels": labels}))
    subprocess.run([python, str(_peers()), "fit", "-", str(folder), "0", "0"], check=True)
    (folder / "done").write_text("")
    return python


def _peers() -> Path:
    return Path(__file__).parent / "peers" / "serving_peers.py"


@contextlib.contextmanager
def served(system: str, model: str, folder: Path, python: str, workers: int, *, port: int = PORT) -> Generator[Served]:
    """A server of a model; it has the first core alone, if it is one process."""
    cores = {0} if workers == 1 else set(range(os.cpu_count() or 1))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if system.startswith("bakeoff"):
        environment["BAKEOFF_ENDPOINT__LOG"] = system.split()[1]
        place = str(folder / model)
        command = [sys.executable, "-m", "bakeoff", "serve", "-C", place, "--port", str(port)]
        command += ["--workers", str(workers)] if workers > 1 else []
    else:
        command = [python, str(_peers()), system, model, str(folder), str(port), str(workers)]
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise SystemExit(f"something serves at port {port} already: end it first")
    began = time.monotonic()
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509 - one thread runs here
        )
    url = f"http://127.0.0.1:{port}/{'invocations' if system == 'mlflow' else 'predict'}"
    try:
        _wait(url, _body(system, folder, 1), process)
        yield Served(url=url, start_s=time.monotonic() - began, process=psutil.Process(process.pid))
    finally:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            own = psutil.Process(process.pid)
            below = own.children(recursive=True)
            os.killpg(process.pid, signal.SIGTERM)
            psutil.wait_procs([*below, own], timeout=15)
            for each in below:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()
        process.wait(20)


def _wait(url: str, body: bytes, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            request = urllib.request.Request(url, body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=10):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server did not start ({error}); its server.log says why") from error
            time.sleep(0.05)


def _body(system: str, folder: Path, count: int) -> bytes:
    given = json.loads((folder / "data.json").read_text())
    rows = given["rows"][3 : 3 + count]
    if system == "mlflow":
        split = {"columns": given["names"], "data": [[row[name] for name in given["names"]] for row in rows]}
        return json.dumps({"dataframe_split": split}).encode()
    return json.dumps({"rows": rows}).encode()


def main() -> None:
    """Measure what is asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(SYSTEMS))
    parser.add_argument("--models", default="linear,boosting")
    parser.add_argument("--connections", default="1,16,64")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--per-core", action="store_true")
    parser.add_argument("--turns", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=packages.CACHE / "serving")
    parser.add_argument("--prepare", action="store_true", help="make models and environments, and measure nothing")
    given = parser.parse_args()
    python = prepared(given.folder)
    if given.prepare:
        return
    workers = (os.cpu_count() or 1) if given.per_core else 1
    if not given.per_core and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}; {workers} process(es) each")
    print("| system | model | rows | connections | requests/s | p50 ms | p99 ms | processor µs | MB | start s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    systems = [each for each in SYSTEMS if any(each.startswith(name) for name in given.only.split(","))]
    for model in given.models.split(","):
        if given.turns:
            in_turns(systems, model, given, python)
            continue
        for system in systems:
            if system == "bare numpy" and model != "linear":
                continue
            with served(system, model, given.folder, python, workers) as server:
                loads = [(1, int(count)) for count in given.connections.split(",")] + [(64, 16)]
                for rows, connections in loads:
                    body = _body(system, given.folder, rows)
                    before = server.processor_s
                    load = measure(server.url, body, connections=connections, seconds=given.seconds, warm_s=0.5)
                    spent_us = (server.processor_s - before) * 1e6 / max(load.in_all, 1)
                    cells = _cells(load, server, spent_us)
                    print(f"| {system} | {model} | {rows} | {connections} | {cells} |", flush=True)


def in_turns(systems: list[str], model: str, given: argparse.Namespace, python: str) -> None:
    """Load all systems in turns, and print the best turn of each."""
    loads = [(1, int(count)) for count in given.connections.split(",")] + [(64, 16)]
    with contextlib.ExitStack() as running:
        servers = {
            system: running.enter_context(served(system, model, given.folder, python, 1, port=PORT + at))
            for at, system in enumerate(systems)
            if system != "bare numpy" or model == "linear"
        }
        for rows, connections in loads:
            taken: dict[str, list[tuple[float, Load]]] = {system: [] for system in servers}
            for _, (system, server) in itertools.product(range(given.turns), servers.items()):
                before, body = server.processor_s, _body(system, given.folder, rows)
                load = measure(server.url, body, connections=connections, seconds=given.seconds, warm_s=0.1)
                taken[system].append(((server.processor_s - before) * 1e6 / max(load.in_all, 1), load))
            for system, turns in taken.items():
                load = max((load for _, load in turns), key=lambda load: load.per_second)
                cells = _cells(load, servers[system], min(spent_us for spent_us, _ in turns))
                print(f"| {system} | {model} | {rows} | {connections} | {cells} |", flush=True)


def _cells(load: Load, server: Served, spent_us: float) -> str:
    failed = f" ({load.failed} failed)" if load.failed else ""
    latencies = f"{load.p50_ms:.2f} | {load.p99_ms:.2f}"
    return (
        f"{load.per_second:,.0f}{failed} | {latencies} | {spent_us:.0f} | {server.memory_mb:.0f} | {server.start_s:.1f}"
    )


if __name__ == "__main__":
    main()
