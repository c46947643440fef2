"""Rollouts: how soon bad releases are rolled back, how seldom good ones are, and whether any call fails meanwhile.

python benchmarks/rollouts.py            all of it
python benchmarks/rollouts.py alike      simulated canaries as good as the live release, a look after every call
python benchmarks/rollouts.py bad        trials of bad releases through the engine, the log and the steerer
python benchmarks/rollouts.py clients    rollouts under clients of a server, streaming ones among them
"""

import dataclasses
import http.client
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bakeoff.core.errors import StoreError
from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.core.generation import Piece, Sampling
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.feedback.truth import Truth
from bakeoff.loop.rollout import ALPHA, SLOW_MARGIN, RolloutRules, Steerer
from bakeoff.metrics.sequential import log_evidence_worse
from bakeoff.serve import releases
from bakeoff.serve.endpoints import Endpoints
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryEvents, MemoryRecords

NUMBER = Column(name="x", kind="numeric", dtype="Float64")
QUESTION = Column(name="question", kind="text", dtype="String")
SHARE = 0.1


# --- releases as good as the live one ---------------------------------------------------------------


def alike(trials: int, calls: int, *, rates: tuple[float, float, float], seed: int) -> tuple[int, dict[str, int]]:
    """How many canaries are ever rolled back, and by which test; errors, slow calls and wrong answers at these rates.

    Every answered call has a label, and there is a look after every call.
    """
    rng, rules = np.random.default_rng(seed), RolloutRules()
    margins = dict(zip(("errors", "latency", "quality"), (rules.errors, SLOW_MARGIN, rules.quality), strict=True))
    limit = np.log(3 / ALPHA)
    canary_calls, live_calls = np.zeros(trials), np.zeros(trials)
    bad = {name: (np.zeros(trials), np.zeros(trials)) for name in margins}
    back = {name: np.zeros(trials, bool) for name in margins}
    for _ in range(calls):
        canary = rng.random(trials) < SHARE
        canary_calls += canary
        live_calls += ~canary
        for (name, margin), rate in zip(margins.items(), rates, strict=True):
            failed = rng.random(trials) < rate
            of_canary, of_live = bad[name]
            of_canary += failed & canary
            of_live += failed & ~canary
            # Elsewhere there is no evidence, or it was enough already.
            with np.errstate(divide="ignore", invalid="ignore"):
                over = of_canary / canary_calls - of_live / live_calls > margin
            at = np.flatnonzero(over & ~back[name])
            if len(at):
                evidence = log_evidence_worse(of_canary[at], canary_calls[at], of_live[at], live_calls[at], margin)
                back[name][at] = evidence >= limit
    ever = np.logical_or.reduce(list(back.values()))
    return int(ever.sum()), {name: int(each.sum()) for name, each in back.items()}


# --- bad releases ------------------------------------------------------------------------------------


class Model:
    """Twice x, as a number; `odd` makes of a call what it answers."""

    def __init__(self, odd: Callable[[np.ndarray], np.ndarray] | None = None, column: Column = NUMBER) -> None:
        self.signature = Signature(task="regression", inputs=(column,))
        self.chosen: dict[str, Any] = {}
        self._odd = odd

    def predict(self, table: Any) -> Predictions:
        x_n = table[self.signature.inputs[0].name].to_numpy()
        return Predictions(values_n=x_n * 2.0 if self._odd is None else self._odd(x_n))

    def save(self, folder: Any) -> None:
        raise NotImplementedError


class Talker:
    """Says some words."""

    signature = Signature(task="generation", inputs=(QUESTION,))

    def __init__(self, *words: str, wait_s: float = 0.0) -> None:
        self.chosen: dict[str, Any] = {}
        self._words, self._wait_s = words, wait_s

    def chat(self, messages: Any, sampling: Any) -> Iterator[Piece]:
        del messages, sampling
        for word in self._words:
            time.sleep(self._wait_s)
            yield Piece(text=word + " ")
        yield Piece(finish="stop", prompt_tokens=1, completion_tokens=len(self._words))

    def predict(self, table: Any) -> Predictions:
        raise NotImplementedError

    def save(self, folder: Any) -> None:
        raise NotImplementedError


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class World:
    """An endpoint with an engine, and a release for each of these models; the first one is live."""

    def __init__(self, name: str, models: list[Any]) -> None:
        self.name = name
        self.documents, self.events = MemoryRecords(now_ms).documents, MemoryEvents(now_ms)
        self.endpoints = Endpoints(self.documents, now_ms, who="bench")
        self.models = {f"b{number}": model for number, model in enumerate(models)}
        self.ids = [self._release(number) for number in range(len(models))]
        self.endpoints.release(name, self.ids[0])
        self.engine = Engine(
            name,
            load=self._load,
            routes=lambda: releases.routed(self.documents, name),
            prepare=lambda table, *_: table,
            events=self.events,
            clock=now_ms,
        )
        self.steerer = Steerer(
            self.documents,
            self.events,
            clock=now_ms,
            truth_of=lambda _: Truth("regression", ()),
            rules=lambda _: RolloutRules(),
            holder="bench",
        )

    def _load(self, release: releases.Release) -> Any:
        if release.blob_id not in self.models:
            raise StoreError("its blob is gone")
        return self.models[release.blob_id]

    def _release(self, number: int) -> str:
        return releases.make_release(
            self.documents,
            endpoint=self.name,
            model="m",
            number=number,
            family="f",
            blob_id=f"b{number}",
            clock=now_ms,
        ).release_id

    def rolled_back_after(self, call: Callable[[], None], *, look_every: int, most: int) -> float:
        """Calls that the canary got until it was rolled back; infinite where it never was."""
        self.endpoints.canary(self.name, self.ids[1], share=SHARE)
        self.engine.refresh()
        for number in range(most):
            call()
            if number % look_every == 0:
                (rollout,) = self.steerer.steer()
                if rollout.action == "rollback":
                    return rollout.tests[0].calls
        return float("inf")


def often(rng: np.random.Generator, share: float) -> Callable[[np.ndarray], np.ndarray]:
    def answer(x_n: np.ndarray) -> np.ndarray:
        if rng.random() < share:
            raise RuntimeError("made to fail")
        return x_n * 2.0

    return answer


def slowly(x_n: np.ndarray) -> np.ndarray:
    time.sleep(0.004)
    return x_n * 2.0


def trial(kind: str, seed: int, *, look_every: int = 10, most: int = 1_500) -> float:
    """After how many of its calls a bad canary is rolled back."""
    rng = np.random.default_rng(seed)
    callers = (
        f"caller {seed}.{number}" for number in itertools.count()
    )  # which of them meet the canary is their key's
    if kind == "streams that say nothing":
        world = World("talk", [Talker("good", "day"), Talker()])
        messages = [{"role": "user", "content": "hello"}]

        def converse() -> None:
            answer_id = world.engine.new_id()
            assert (
                next(iter([*world.engine.chat(messages, Sampling(), answer_id=answer_id, key=next(callers))])).text
                == "good "
            )

        return world.rolled_back_after(converse, look_every=look_every, most=most)
    odd = {
        "30% errors": Model(often(rng, 0.3)),
        "NaN answers": Model(lambda x_n: x_n * np.nan),
        "4 ms slower": Model(slowly),
        "other inputs": Model(column=dataclasses.replace(NUMBER, name="height")),
        "cannot be loaded": None,
        "wrong answers": Model(lambda x_n: x_n * 2.0 + rng.normal(0, 3, len(x_n))),
    }[kind]
    world = World("numbers", [Model(lambda x_n: x_n * 2.0 + rng.normal(0, 1, len(x_n))), odd])
    if odd is None:
        del world.models["b1"]

    def predict() -> None:
        x = float(rng.normal())
        (answer,) = world.engine.predict([{"x": x}], key=next(callers))
        if kind == "wrong answers":
            world.events.append([FeedbackEvent(id=answer.id, label=x * 2.0)])

    return world.rolled_back_after(predict, look_every=look_every, most=most)


KINDS = (
    "30% errors",
    "NaN answers",
    "4 ms slower",
    "streams that say nothing",
    "other inputs",
    "cannot be loaded",
    "wrong answers",
)


# --- rollouts under clients ----------------------------------------------------------------------------


@dataclasses.dataclass
class Clients:
    """What clients got: calls by kind, the releases that answered rows, and what went wrong."""

    rows: int = 0
    streams: int = 0
    releases: set[str] = dataclasses.field(default_factory=set)
    failures: list[str] = dataclasses.field(default_factory=list)


PATIENCE = {"content-type": "application/json", "x-deadline-ms": "60000"}


def ask_rows(port: int, key: str, seen: Clients, stop: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    while not stop.is_set():
        connection.request("POST", "/predict/numbers", b'{"rows": [{"x": 1.5}]}', {**PATIENCE, "x-bakeoff-key": key})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200 or json.loads(body)["predictions"][0]["value"] != 3.0:
            seen.failures.append(f"rows: {response.status} {body[:200]!r}")
        else:
            seen.releases.add(json.loads(body)["release_id"])
        seen.rows += 1
    connection.close()


def ask_streams(port: int, key: str, seen: Clients, stop: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = {"model": "talk", "stream": True, "user": key, "messages": [{"role": "user", "content": "hello"}]}
    while not stop.is_set():
        connection.request("POST", "/v1/chat/completions", json.dumps(body), PATIENCE)
        response = connection.getresponse()
        text = response.read().decode()
        whole = response.status == 200 and text.endswith("data: [DONE]\n\n") and "good" in text and "error" not in text
        if not whole:
            seen.failures.append(f"stream: {response.status} {text[-200:]!r}")
        seen.streams += 1
    connection.close()


def clients(port: int, count: int) -> None:
    """Ask, a third of them for streams, until the standard input ends; then say what came of it."""
    seen, stop = Clients(), threading.Event()
    threads = [
        threading.Thread(target=ask_rows if number % 3 else ask_streams, args=(port, f"c{number}", seen, stop))
        for number in range(count)
    ]
    for thread in threads:
        thread.start()
    print("asking", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps(dataclasses.asdict(seen) | {"releases": sorted(seen.releases)}))


def under_clients(rollouts: int, count: int, *, pause_s: float = 0.1) -> Clients:
    """So many rollouts of both endpoints of a server, every other one promoted, under so many clients."""
    from bakeoff.feedback.record import record
    from bakeoff.web.server import Server, local_hosts
    from bakeoff.web.serving.app import create_app

    numbers = World("numbers", [Model() for _ in range(rollouts + 1)])
    talk = World("talk", [Talker("good", "day", wait_s=0.002) for _ in range(rollouts + 1)])
    app = create_app(
        DataPlane.of(numbers.engine, talk.engine),
        lambda items: record(numbers.events, items),
        hosts=local_hosts("127.0.0.1"),
    )
    with Server(app) as server:
        asking = subprocess.Popen(
            [sys.executable, __file__, "ask", str(server.port), str(count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert asking.stdout is not None
        asking.stdout.readline()
        for number in range(1, rollouts + 1):
            for world in (numbers, talk):
                world.endpoints.canary(world.name, world.ids[number], share=0.5)
                world.engine.refresh()
            time.sleep(pause_s)
            for world in (numbers, talk):
                (world.endpoints.promote if number % 2 else world.endpoints.rollback)(world.name)
                world.engine.refresh()
            time.sleep(pause_s)
        out, _ = asking.communicate("")
    seen = Clients(**json.loads(out))
    logged = sum(1 for _ in numbers.events.read(PredictionEvent))
    if logged != seen.rows - sum(each.startswith("rows") for each in seen.failures):
        seen.failures.append(f"{seen.rows} calls with rows, {logged} of them in the log")
    return seen


def main(parts: list[str]) -> None:
    if "alike" in parts:
        for rates in ((0.01, 0.05, 0.1), (0.1, 0.05, 0.4)):
            started = time.monotonic()
            back, by_test = alike(10_000, 3_000, rates=rates, seed=1)
            print(
                f"as good, rates {rates}: {back} of 10,000 rolled back {by_test}, {time.monotonic() - started:.0f} s",
                flush=True,
            )
    if "bad" in parts:
        for kind in KINDS:
            trials = 100 if kind == KINDS[0] else 20
            needed = np.array([trial(kind, seed) for seed in range(trials)])
            print(
                f"{kind}: {np.sum(needed <= 50)} of {trials} rolled back within 50 calls; "
                f"median {np.median(needed):.0f}, most {needed.max():.0f}",
                flush=True,
            )
    if "clients" in parts:
        seen = under_clients(50, 30)
        print(
            f"50 rollouts under 30 clients: {seen.rows} calls with rows, {seen.streams} streams, "
            f"{len(seen.releases)} releases answered, {len(seen.failures)} failed {seen.failures[:3]}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["ask"]:
        clients(int(sys.argv[2]), int(sys.argv[3]))
        sys.exit()
    main(sys.argv[1:] or ["alike", "bad", "clients"])
