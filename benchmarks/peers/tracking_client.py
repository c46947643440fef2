"""One operation through the stock clients of MLflow or trackio: a job on stdin, what was measured on stdout as JSON.

A job is `{"what": …, "url": …, …}`; `what` names a function here, which gets the rest.
"""

import json
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def writes(url: str, operation: str, clients: int, seconds: float) -> dict:
    """So many clients, a process each, that write one after another for some seconds."""
    spawn = multiprocessing.get_context("spawn")
    barrier, queue = spawn.Barrier(clients), spawn.Queue()
    processes = [spawn.Process(target=_write, args=(url, operation, seconds, barrier, queue)) for _ in range(clients)]
    for process in processes:
        process.start()
    results = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    return {
        "per_s": sum(calls for calls, *_ in results) / max(wall for _, wall, _ in results),
        "client_ms": 1000 * sum(cpu for *_, cpu in results) / sum(calls for calls, *_ in results),
    }


def _write(url: str, operation: str, seconds: float, barrier: object, queue: object) -> None:
    call = _call(url, operation)
    call()
    barrier.wait()
    started, cpu, calls = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < seconds:
        call()
        calls += 1
    queue.put((calls, time.perf_counter() - started, time.process_time() - cpu))


def _call(url: str, operation: str) -> object:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(url)
    run_id, step = client.create_run("0").info.run_id, [0]
    metrics = [Metric(f"m{at % 10}", at * 0.001, 1_700_000_000_000 + at, at // 10) for at in range(1000)]

    def log_metric() -> None:
        step[0] += 1
        client.log_metric(run_id, "loss", 0.1 * step[0], step=step[0])

    return {
        "log_metric": log_metric,
        "log_batch": lambda: client.log_batch(run_id, metrics),
        "create_run": lambda: client.create_run("0"),
    }[operation]


def history(url: str, run_id: str) -> dict:
    """All values of a metric."""
    from mlflow import MlflowClient

    started = time.perf_counter()
    count = len(MlflowClient(url).get_metric_history(run_id, "loss"))
    return {"seconds": time.perf_counter() - started, "count": count}


def artifact(url: str, size_bytes: int) -> dict:
    """One large file up and down."""
    from mlflow import MlflowClient

    client = MlflowClient(url)
    run_id = client.create_run("0").info.run_id
    with tempfile.TemporaryDirectory() as folder:
        file, into = Path(folder, "large.bin"), Path(folder, "back")
        into.mkdir()
        with file.open("wb") as out:
            for _ in range(size_bytes // 2**20):
                out.write(os.urandom(2**20))
        started = time.perf_counter()
        client.log_artifact(run_id, str(file))
        sent = time.perf_counter()
        back = Path(client.download_artifacts(run_id, "large.bin", str(into)))
        fetched = time.perf_counter()
        return {"up_s": sent - started, "down_s": fetched - sent, "size_bytes": back.stat().st_size}


def trackio(url: str, seconds: float, values: int) -> dict:
    """Values that trackio's own client logs and has sent when `finish` returns."""
    import trackio as library

    with _silent():
        library.init(project="bench", server_url=url, embed=False)
        started, calls = time.perf_counter(), 0
        while time.perf_counter() - started < seconds and calls < values:
            library.log({"loss": 0.1 * calls})
            calls += 1
        library.finish()
    return {"per_s": calls / (time.perf_counter() - started)}


def _silent() -> object:
    import contextlib

    return contextlib.redirect_stdout(sys.stderr)


def main() -> None:
    job = json.load(sys.stdin)
    print(json.dumps(globals()[job.pop("what")](**job)))


if __name__ == "__main__":
    main()
