"""One host of `test_hosts_for_minutes.py`: `python host.py FOLDER NUMBER SECONDS` prints what it has done as JSON."""

import json
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter

from bakeoff import Project
from bakeoff.core.errors import ConflictError, StoreError
from bakeoff.project import wiring

SERVER = """
import sys
from bakeoff.project import wiring

now_ms = wiring.now_ms
assert "bakeoff.project.project" not in sys.modules, "it has the clock already"
wiring.now_ms = lambda: now_ms() + {ahead_ms}
from bakeoff.cli.main import main
main()
"""
PAUSE_S, LOOK_S, MINUTE_S = 0.4, 3.0, 60.0
FLIPPED = 0.05


class Caller:
    """Asks for three rows at a time, and labels the answers."""

    def __init__(self, url, draw, began):
        self.url, self.draw, self.began = url, draw, began
        self.predictions, self.labels, self.why = [], 0, Counter()

    def row(self):
        """A row and its label: the label is that of its first word, of which there are more every minute."""
        minute = int((time.monotonic() - self.began) / MINUTE_S)
        number = self.draw.randrange(4 * minute, 4 * minute + 8)
        label = "yes" if number % 2 else "no"
        if self.draw.random() < FLIPPED:
            label = "no" if label == "yes" else "yes"
        return {"review": f"word{number} film {self.draw.random()}", "year": 1990}, label

    def post(self, path, body):
        request = urllib.request.Request(f"{self.url}{path}", json.dumps(body).encode())
        request.add_header("content-type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            self.why[str(error.code)] += 1
        except OSError as error:
            self.why[type(error).__name__] += 1
        return None

    def call(self):
        rows = [self.row() for _ in range(3)]
        if (answer := self.post("/predict", {"rows": [row for row, _ in rows]})) is None:
            return
        names = [each["id"] for each in answer["predictions"]]
        self.predictions += names
        items = [{"id": name, "label": label} for name, (_, label) in zip(names, rows, strict=True)]
        if (taken := self.post("/feedback", {"items": items})) is not None:
            self.labels += taken["accepted"]

    def until(self, end):
        while time.monotonic() < end:
            self.call()
            time.sleep(PAUSE_S)


def main():
    folder, number, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    draw, ahead_ms, began = random.Random(number), number * 3_600_000, time.monotonic()
    done = {"runs": [], "conflicts": 0}
    code = SERVER.format(ahead_ms=ahead_ms)
    command = [sys.executable, "-c", code, "serve", "--port", "0", "--json", "-C", folder]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            caller = Caller(json.loads(server.stdout.readline())["url"], draw, began)
            calls = threading.Thread(target=caller.until, args=(began + seconds,))
            calls.start()
            with Project(folder, clock=lambda: wiring.now_ms() + ahead_ms) as project:
                while calls.is_alive():
                    try:
                        outcome = project.run() if draw.random() < 0.1 else project.loop_once().outcome
                        if outcome and not getattr(outcome, "unchanged", False):
                            done["runs"].append(getattr(outcome, "results", outcome).run_id)
                    except ConflictError:
                        done["conflicts"] += 1
                    except StoreError as error:
                        caller.why[str(error)[:80]] += 1
                    calls.join(LOOK_S)
        finally:
            server.terminate()
    done |= {"predictions": caller.predictions, "labels": caller.labels}
    print(json.dumps(done | {"failed": caller.why.total(), "why": caller.why}))


if __name__ == "__main__":
    main()
