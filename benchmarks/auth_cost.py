"""What it costs to ask who calls: `bakeoff serve` with tokens and without, in turns.

    python benchmarks/auth_cost.py                     # 15 turns of a second each, 1 and 16 connections (two minutes)
    python benchmarks/auth_cost.py --turns 5 --seconds 0.5

The same project twice, a model of 30 numbers, one process each; both servers run, and one at a time is asked. A turn is
a load without a token and one with, in changing order, so that what else the machine does meets both alike. The cost is
the median of the turns' own differences. The server has the first core, the load generator the second.
"""

import argparse
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from pathlib import Path
from statistics import median

import psutil
from load import Load, measure
from serving import TOML

START_S = 120
GOAL_SHARE, GOAL_MS = 0.05, 0.2
BAKEOFF = [sys.executable, "-m", "bakeoff"]


def prepared(folder: Path) -> tuple[bytes, str]:
    """The project without tokens and the one with; the body of a call, and a token."""
    import polars as pl
    from sklearn.datasets import load_breast_cancer

    from bakeoff import Project

    read = load_breast_cancer()
    names = [name.replace(" ", "_") for name in read.feature_names]
    rows = [dict(zip(names, map(float, values), strict=True)) for values in read.data]
    plain, asking = folder / "plain", folder / "asking"
    plain.mkdir()
    labels = pl.Series([str(read.target_names[at]) for at in read.target])
    pl.DataFrame(rows).with_columns(diagnosis=labels).write_csv(plain / "cancer.csv")
    (plain / "bakeoff.toml").write_text(TOML.format(model="linear"))
    with Project(plain, progress=lambda _: None) as project:
        project.run()
    shutil.copytree(plain, asking)
    with (asking / "bakeoff.toml").open("a") as file:
        file.write("[auth]\nrequired = true\n")
    command = [*BAKEOFF, "tokens", "create", "bench", "--role", "caller", "--json", "-C", str(asking)]
    made = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return json.dumps({"rows": rows[3:4]}).encode(), made["text"]


@contextlib.contextmanager
def served(folder: Path, body: bytes, token: str | None) -> Generator[tuple[str, psutil.Process]]:
    """A server of a project, on the first core, from its first answer on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*BAKEOFF, "serve", "-C", str(folder), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, {0}),  # noqa: PLW1509 - one thread runs here
    )
    try:
        url, until = f"http://127.0.0.1:{port}/predict", time.monotonic() + START_S
        while not _answers(url, body, token):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server of {folder} did not start")
            time.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def _headers(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _answers(url: str, body: bytes, token: str | None) -> bool:
    headers = {"Content-Type": "application/json", **_headers(token)}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=10):
            return True
    except OSError:
        return False


def timed(url: str, process: psutil.Process, body: bytes, token: str | None, **load: float) -> tuple[Load, float]:
    """A load, and the server's processor time for a request, in microseconds."""
    before = sum(process.cpu_times()[:2])
    made = measure(url, body, headers=_headers(token), warm_s=0.2, **load)  # type: ignore[arg-type]
    assert made.answered > 0, "no call was answered"
    assert not made.failed, f"{made.failed} calls failed"
    return made, (sum(process.cpu_times()[:2]) - before) * 1e6 / made.in_all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        body, token = prepared(Path(folder))
        ask = functools.partial(served, body=body)
        with ask(Path(folder) / "plain", token=None) as plain, ask(Path(folder) / "asking", token=token) as asking:
            if (os.cpu_count() or 1) > 1:
                os.sched_setaffinity(0, {1})
            print(f"load of the machine before: {os.getloadavg()[0]:.1f}; {given.turns} turns of {given.seconds:g} s")
            print("| connections | | without | with a token | cost | goal |\n|---|---|---|---|---|---|")
            for connections in given.connections:
                pairs: list[list[tuple[Load, float]]] = []
                for turn in range(given.turns):
                    both = [(plain, None), (asking, token)]
                    made = {
                        at: timed(*both[at][0], body, both[at][1], connections=connections, seconds=given.seconds)
                        for at in ((0, 1) if turn % 2 else (1, 0))
                    }
                    pairs.append([made[0], made[1]])
                print(rows_of(connections, pairs), flush=True)


def rows_of(connections: int, pairs: list[list[tuple[Load, float]]]) -> str:
    """The rows of the table."""
    speed = [median(pair[at][0].per_second for pair in pairs) for at in (0, 1)]
    p50 = [median(pair[at][0].p50_ms for pair in pairs) for at in (0, 1)]
    spent = [median(pair[at][1] for pair in pairs) for at in (0, 1)]
    slower = median(1 - asking.per_second / plain.per_second for (plain, _), (asking, _) in pairs)
    later = median(asking.p50_ms - plain.p50_ms for (plain, _), (asking, _) in pairs)
    more = median(asking / plain - 1 for (_, plain), (_, asking) in pairs)
    verdict = [f"< 5%: {'reached' if slower < GOAL_SHARE else '**missed**'}"]
    verdict += [f"< 0.2 ms: {'reached' if later < GOAL_MS else '**missed**'}" if connections == 1 else ""]
    return (
        f"| {connections} | requests/s | {speed[0]:,.0f} | {speed[1]:,.0f} | {slower:.1%} | {verdict[0]} |\n"
        f"| | p50, ms | {p50[0]:.3f} | {p50[1]:.3f} | {later:+.3f} ms | {verdict[1]} |\n"
        f"| | processor of the server, µs a request | {spent[0]:.0f} | {spent[1]:.0f} | {more:+.1%} | |"
    )


if __name__ == "__main__":
    main()
