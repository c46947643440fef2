"""Three times the load that can be answered: what is accepted stays quick, the rest is told when to come again.

A model of 20 ms a call (it sleeps: nothing competes for the processor), as many at once as there are cores, every
answer logged durably. First as many callers as keep it busy, whose slowest answers set the deadline; then three times
as many, who come again 20 ms after they were refused. The server is a process of its own (`overload.py serve MS`).
"""

import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from load import Load, measure

from bakeoff.core.events import PredictionEvent
from bakeoff.stores.events import open_events

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "web"))
from serving_process import serve

CALLERS, SECONDS = 8, 10.0
BODY = b'{"row": {"x": 3}}'


def loaded(folder: Path, deadline_ms: float, callers: int) -> tuple[Load, list[float]]:
    """What so many callers meet, and how long /health/live takes meanwhile (ms)."""
    command = [sys.executable, __file__, "serve", str(folder), str(deadline_ms)]
    live: list[float] = []
    stop = threading.Event()

    def look(url: str) -> None:
        while not stop.wait(0.05):
            began = time.monotonic()
            with urllib.request.urlopen(f"{url}/health/live", timeout=30) as answer:
                answer.read()
            live.append((time.monotonic() - began) * 1e3)

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().strip()
            looking = threading.Thread(target=look, args=(url,))
            looking.start()
            load = measure(f"{url}/predict", BODY, connections=callers, seconds=SECONDS, warm_s=1.0, pause_s=0.02)
            stop.set()
            looking.join()
        finally:
            server.terminate()
            server.wait(30)
    return load, sorted(live)


def logged(folder: Path) -> int:
    """How many answers the log has."""
    events = open_events("file://events", folder=folder, clock=lambda: 0)
    count = sum(1 for _ in events.read(PredictionEvent))
    events.close()
    return count


def main() -> None:
    """Measure, and print."""
    if sys.argv[1:2] == ["serve"]:
        serve(Path(sys.argv[2]), 0.02, deadline_s=float(sys.argv[3]) / 1e3, batch_rows=1)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        once, live = loaded(folder, 60_000, CALLERS)
        print(f"{CALLERS} callers: {_cells(once, live)}")
        before = logged(folder)
        thrice, live = loaded(folder, once.p99_ms, 3 * CALLERS)
        print(f"{3 * CALLERS} callers, deadline {once.p99_ms:.0f} ms: {_cells(thrice, live)}")
        print(f"refused {thrice.failed}, p99 {thrice.failed_p99_ms:.1f} ms")
        print(f"logged {logged(folder) - before}, answered while measured {thrice.answered}")


def _cells(load: Load, live: list[float]) -> str:
    health = f"/health/live p99 {live[len(live) * 99 // 100]:.1f} ms, slowest {live[-1]:.1f}"
    return f"{load.per_second:.0f}/s, p50 {load.p50_ms:.0f} ms, p99 {load.p99_ms:.0f} ms; {health}"


if __name__ == "__main__":
    main()
