"""`bakeoff ui` killed (SIGKILL) while 16 clients write: no write that was acknowledged may be missing afterwards.

python tests/web/tracking/kills.py 50                       # SQLite
python tests/web/tracking/kills.py 50 postgresql://...      # the server of a database that is running
"""

import contextlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

CLIENTS = 16
LEAST = 100
"""Values that are acknowledged before the server ends, or twenty seconds pass."""
API, PROXY = "/api/2.0/mlflow", "/api/2.0/mlflow-artifacts/artifacts"


class Ui:
    """A server of our own on a folder, in a process group of its own."""

    def __init__(self, folder: Path, records: str | None = None) -> None:
        more = [] if records is None else ["--records", records]
        command = [sys.executable, "-m", "bakeoff", "ui", "--port", "0", "--json", "-C", str(folder)]
        with (folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, *more], stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        line = self.process.stdout.readline()
        assert line, (folder / "log").read_text()
        self.port = int(json.loads(line)["url"].rpartition(":")[2])

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self, seconds: float) -> float:
        """SIGTERM; how long it took to end, which must be without an error and in time."""
        began = time.monotonic()
        self.process.terminate()
        assert self.process.wait(seconds) == 0
        return time.monotonic() - began


@dataclass
class Client:
    """One client, what it was told is written, and what it asked for last."""

    number: int
    port: int
    run_id: str = ""
    metrics: dict[int, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    refused: list[bytes] = field(default_factory=list)

    def call(self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes = b"") -> bytes:
        connection.request(method, path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            self.refused.append(content)
            raise ConnectionError(content)
        return content

    def write(self) -> None:
        """Write until the server is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            made = self.call(connection, "POST", f"{API}/runs/create", json.dumps({"experiment_id": "0"}).encode())
            self.run_id = json.loads(made)["run"]["info"]["run_id"]
            rnd, step = random.Random(self.number), 0
            while True:
                count = rnd.choice((1, 1, 1, 20))
                values = {step + at: rnd.random() for at in range(count)}
                step += count
                self._log(connection, values)
                if rnd.random() < 0.2:
                    key = f"p{step}"
                    body = json.dumps({"run_id": self.run_id, "key": key, "value": str(step)}).encode()
                    self.call(connection, "POST", f"{API}/runs/log-parameter", body)
                    self.params[key] = str(step)
                if rnd.random() < 0.05:
                    path, content = f"0/{self.run_id}/artifacts/f{step}.bin", rnd.randbytes(5000)
                    self.call(connection, "PUT", f"{PROXY}/{path}", content)
                    self.files[path] = content

    def _log(self, connection: http.client.HTTPConnection, values: dict[int, float]) -> None:
        known = [{"key": "loss", "value": value, "timestamp": 1, "step": step} for step, value in values.items()]
        path, body = ("log-batch", {"metrics": known}) if len(known) > 1 else ("log-metric", known[0])
        self.call(connection, "POST", f"{API}/runs/{path}", json.dumps({"run_id": self.run_id, **body}).encode())
        self.metrics |= values

    def lost(self, port: int) -> list[str]:
        """What was acknowledged and is not there."""
        if not self.run_id:
            return []
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            return self._lost(connection)

    def _lost(self, connection: http.client.HTTPConnection) -> list[str]:
        run = json.loads(self.call(connection, "GET", f"{API}/runs/get?run_id={self.run_id}"))["run"]["data"]
        path = f"{API}/metrics/get-history?run_id={self.run_id}&metric_key=loss"
        stored = {each["step"]: each["value"] for each in json.loads(self.call(connection, "GET", path))["metrics"]}
        params = {each["key"]: each["value"] for each in run.get("params", [])}
        lost = [f"metric at {step}" for step, value in self.metrics.items() if stored.get(step) != value]
        lost += [f"param {key}" for key, value in self.params.items() if params.get(key) != value]
        files = self.files.items()
        return lost + [path for path, data in files if self.call(connection, "GET", f"{PROXY}/{path}") != data]


def trial(folder: Path, records: str | None, seed: int, end: str = "kill") -> tuple[int, list[str]]:
    """Start, write, end the server; how many writes were acknowledged, and which of them are missing."""
    server = Ui(folder, records)
    clients = [Client(number=seed * CLIENTS + at, port=server.port) for at in range(CLIENTS)]
    threads = [threading.Thread(target=client.write) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(random.Random(seed).uniform(0.3, 1.5))
    until = time.monotonic() + 20
    while sum(len(each.metrics) for each in clients) <= LEAST and time.monotonic() < until:
        time.sleep(0.05)  # on a busy machine nothing is acknowledged so soon
    try:
        server.kill() if end == "kill" else server.stop(10)
    finally:
        server.kill()
    for thread in threads:
        thread.join()
    again = Ui(folder, records)
    try:
        lost = [f"client {each.number}: {what}" for each in clients for what in each.lost(again.port)]
    finally:
        again.kill()
    lost += [f"client {each.number} was refused: {each.refused}" for each in clients if each.refused]
    return sum(len(each.metrics) + len(each.params) + len(each.files) for each in clients), lost


def main() -> None:
    times, records = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    acknowledged, missing = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(times):
            count, lost = trial(Path(folder), records, seed)
            acknowledged, missing = acknowledged + count, missing + len(lost)
            print(f"kill {seed + 1}: {count} acknowledged, {len(lost)} missing {lost[:5]}", flush=True)
    print(f"{times} kills, {CLIENTS} clients: {acknowledged} writes acknowledged, {missing} missing")
    sys.exit(missing > 0)


if __name__ == "__main__":
    main()
