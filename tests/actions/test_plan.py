"""A plan of a release that serves; and the load generator against a server whose times are known."""

import os
import socket
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

from bakeoff import Project
from bakeoff.actions.load import Load, ask_at_once, ask_when_due
from bakeoff.actions.plan import Goal, _ladder, _Replica, _sizing, _wait_until_ready, training_forecast
from bakeoff.core.errors import DataError, NotFoundError, StoreError, UsageError
from bakeoff.core.events import PredictionEvent
from bakeoff.metrics.scalability import scalability
from bakeoff.results.capacity import LoadStep


class Server:
    """Answers one connection after the other; the request of the number `stall_at` only after half a second."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url, self.count, self.stall_at = f"http://127.0.0.1:{self.socket.getsockname()[1]}", 0, -1
        self.loads = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, suppress(ConnectionError):  # a caller that has had enough may hang up
                while request := connection.recv(1 << 16):
                    self.count += 1
                    if self.count == self.stall_at:
                        time.sleep(0.5)
                    status = b"429 Busy" if request.startswith(b"POST /refuse") else b"200 OK"
                    if self.count <= self.loads:
                        status = b"503 Loading"
                    connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")


@pytest.fixture
def server():
    made = Server()
    yield made
    made.socket.close()


def test_waiting_counts_from_when_a_request_was_due(server, monkeypatch):
    """At 100 a second, a stall of half a second makes some 50 requests wait."""
    monkeypatch.setattr("bakeoff.actions.load.MOST_CONNECTIONS", 1)
    server.stall_at = 80
    open_ = ask_when_due(f"{server.url}/", [b"{}"], per_second=100, seconds=1.5, seed=1, warm_s=0.2)
    assert open_.failed == 0
    assert np.mean(open_.latency_ms_n > 50) > 0.2
    server.count = 0
    closed = ask_at_once(f"{server.url}/", [b"{}"], callers=1, seconds=1.0, warm_s=0.0)
    assert np.mean(closed.latency_ms_n > 50) < 0.05  # who waits before asking again sees one slow answer


def test_refusals_are_no_answers(server):
    load = ask_at_once(f"{server.url}/refuse", [b"{}"], callers=1, seconds=0.2, warm_s=0.0)
    assert load.failed > 0
    assert load.latency_ms_n.size == 0
    with pytest.raises(StoreError, match=r"expected a server at 127.0.0.1:1"):
        ask_at_once("http://127.0.0.1:1/", [b"{}"], callers=1, seconds=0.1)


def test_a_release_that_loads_is_waited_for(server):
    server.loads = 2
    _wait_until_ready(server.url)
    assert server.count == 3


def test_a_slow_release_gets_longer_steps(server, monkeypatch):
    """One caller of a language model got no answer within a step of 1.5 s, which was an error."""
    answered = iter([0, 40])
    replica = _Replica(server.url, os.getpid(), [b"{}"], 0.1)
    steps_s = []

    def ask(*_, seconds, **__):
        steps_s.append(seconds)
        times = np.linspace(0, seconds, next(answered, 0), endpoint=False)
        return Load(latency_ms_n=times, answered_at_n=times, failed=0, seconds=seconds, busy=0.0)

    monkeypatch.setattr("bakeoff.actions.plan.ask_at_once", ask)
    with pytest.raises(DataError, match=r"to 2 callers within 0.6 s, received 0 refusals; if it answers more slowly"):
        _ladder(replica, lambda _: None)
    assert steps_s == [0.1, pytest.approx(0.6), pytest.approx(0.6)]


def step(offered_s, p99_ms):
    return LoadStep(
        offered_s=offered_s, answered_s=offered_s, answered=1000, failed=0, p50_ms=1, p95_ms=2, p99_ms=p99_ms,
        p99_low_ms=p99_ms, p99_high_ms=p99_ms, cores=offered_s / 1000,
    )  # fmt: skip


def test_replicas_follow_from_the_goal():
    law = scalability({n: [1000.0] * 4 for n in (1, 2, 4)})
    loads = [step(500, 10.0), step(800, 40.0)]
    sizing = _sizing(Goal(rps=2000, p99_ms=40), law, loads)
    assert (sizing.replicas, sizing.per_replica_s) == (3, pytest.approx(2000 / 3))
    # Between utilisations of 0.5 and 0.8 (1 and 4 on the scale of waiting), two thirds are 2.
    assert sizing.p99_ms.value == pytest.approx(20.0)
    assert sizing.cores == pytest.approx(2 / 3)
    assert _sizing(Goal(rps=2000, p99_ms=9), law, loads) is None
    with pytest.raises(UsageError, match="p99: expected a number over 0, received -1"):
        Goal(rps=1, p99_ms=-1)


def test_training_is_spread_over_nodes(ran):
    with Project(ran) as project:
        outcome = project.last()
    fits = [each.train_s for each in outcome.fine]
    one, two, *_ = training_forecast(outcome, took_s=sum(fits) + 3600, price_per_hour_usd=2.0)
    assert one.hours == pytest.approx(1 + sum(fits) / 3600)
    assert two.hours == pytest.approx(1 + max(*fits, sum(fits) / 2) / 3600, rel=1e-3)
    assert two.price_usd == pytest.approx(two.hours * 4.0)


@pytest.mark.slow
def test_a_release_is_planned(ran, monkeypatch):
    monkeypatch.setattr("bakeoff.actions.plan.SHARES", (0.2, 0.5))
    monkeypatch.setattr("bakeoff.actions.plan.CALLERS", (1, 2, 4))
    monkeypatch.setattr("bakeoff.actions.plan.LEAST_ANSWERS", 10)
    with Project(ran) as project:
        before = project.events.scan(PredictionEvent).collect().height
        made = project.plan(rps=5, p99_ms=5_000, seconds=0.5)
        assert project.events.scan(PredictionEvent).collect().height == before
        with pytest.raises(NotFoundError, match="expected an endpoint with a release"):
            project.plan(rps=5, p99_ms=5, endpoint="fims")
    assert (made.endpoint, made.model_version, made.replicas) == ("films", "films/1", 1)
    assert made.capacity_s.value > 5
    assert [each.callers for each in made.callers] == [1, 2, 4]
    assert all(each.failed == 0 and each.cores > 0 for each in (*made.callers, *made.loads))
    assert made.autoscaling.min_replicas == 2
    assert made.memory_mib > 20
