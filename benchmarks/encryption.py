"""What encryption at rest costs: committed events (`log = "required"` waits for them), a log read, blobs put and read.

Plain and encrypted take turns, so that the machine's moods hit both. Prints a line each with the medians.
"""

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bakeoff.core.events import PredictionEvent
from bakeoff.stores.blobs import open_blobs
from bakeoff.stores.encryption import Keyring, new_key
from bakeoff.stores.events import open_events

ROW = {f"x{number}": random.Random(number).random() for number in range(30)}


def event(name: str) -> PredictionEvent:
    """A prediction on 30 numbers."""
    return PredictionEvent(id=name, endpoint="e", release_id="r", model_version="m/1", row=ROW, label="yes")


def now_ms() -> int:
    """The clock of stores."""
    return time.time_ns() // 1_000_000


def committed(folder: Path, keyring: Keyring, *, callers: int, each: int) -> float:
    """Seconds for callers who each wait until their event is on disk, then log the next."""
    log = open_events("file://events", folder=folder, clock=now_ms, keyring=keyring)
    log.append([event("first")])

    def call(caller: int) -> None:
        for number in range(each):
            log.append([event(f"{caller}-{number}")])

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    log.close()
    return seconds


def read(folder: Path, keyring: Keyring) -> float:
    """Seconds to read 20,000 archived events."""
    log = open_events("file://events", folder=folder, clock=now_ms, segment_bytes=2 << 20, keyring=keyring)
    for part in range(20):
        log.append([event(f"{part}-{number}") for number in range(1_000)])
    log.compact()
    start = time.perf_counter()
    assert sum(1 for _ in log.read(PredictionEvent)) == 20_000
    seconds = time.perf_counter() - start
    log.close()
    return seconds


def blobs(folder: Path, keyring: Keyring) -> float:
    """Seconds to put 64 MiB and read them again."""
    store = open_blobs("file://blobs", folder=folder, clock=now_ms, keyring=keyring)
    data = random.Random(0).randbytes(64 << 20)
    start = time.perf_counter()
    assert store.get(store.put(data)) == data
    return time.perf_counter() - start


def main() -> None:
    """Measure in turns."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=9)
    turns = parser.parse_args().turns
    keys = new_key()
    measures: dict[str, Callable[[Path, Keyring], float]] = {
        "300 events, 1 caller": lambda folder, ring: committed(folder, ring, callers=1, each=300),
        "1,600 events, 16 callers": lambda folder, ring: committed(folder, ring, callers=16, each=100),
        "20,000 archived events read": read,
        "64 MiB put and read": blobs,
    }
    for name, measure in measures.items():
        seconds: dict[str, list[float]] = {"plain": [], "encrypted": []}
        for _ in range(turns):
            for kind, ring in (("plain", Keyring()), ("encrypted", Keyring(lambda: keys))):
                with tempfile.TemporaryDirectory() as folder:
                    seconds[kind].append(measure(Path(folder), ring))
        plain, encrypted = (statistics.median(seconds[kind]) for kind in ("plain", "encrypted"))
        print(f"{name}: plain {plain:.3f} s, encrypted {encrypted:.3f} s, {encrypted / plain - 1:+.1%}")


if __name__ == "__main__":
    main()
