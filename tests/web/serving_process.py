"""A server in a process of its own, for tests that signal or kill it: `python serving_process.py FOLDER [SECONDS]`."""

import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

from bakeoff.core.releases import Release
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.feedback.record import record
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.stores.events import open_events
from bakeoff.web.server import Server
from bakeoff.web.serving.app import create_app
from bakeoff.web.serving.turns import Pace


class Doubling:
    signature = Signature(task="regression", inputs=(Column(name="x", kind="numeric", dtype="Float64"),))

    def __init__(self, seconds: float) -> None:
        self.chosen = {}
        self.seconds = seconds

    def predict(self, table: pl.DataFrame) -> Predictions:
        time.sleep(self.seconds)
        return Predictions(values_n=np.asarray(table["x"].to_numpy() * 2.0))

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def serve(folder: Path, seconds: float, **pace: float) -> None:
    """Serve until a signal; the URL is written first, and `closed` last."""
    events = open_events("file://events", folder=folder, clock=now_ms)
    release = Release(release_id="r1", endpoint="doubles", model="double", number=1, family="double", blob_id="b1")
    engine = Engine(
        "doubles",
        load=lambda release: Doubling(seconds),
        routes=lambda: [release],
        prepare=lambda table, steps, columns: table,
        events=events,
        clock=now_ms,
    )
    paced = Pace(**pace)
    server = Server(
        create_app(DataPlane.of(engine), lambda items, **within: record(events, items, **within), pace=lambda _: paced)
    )
    try:
        server.serve_forever(on_ready=lambda: print(server.url, flush=True))
    finally:
        events.close()
    print("closed", flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
