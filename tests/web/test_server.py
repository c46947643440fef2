"""The server's life: ports, signals, and what a kill leaves behind."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakeoff.core.errors import SecurityError, StoreError, UsageError
from bakeoff.core.events import PredictionEvent
from bakeoff.stores.events import open_events
from bakeoff.web.client import Client, EndpointError
from bakeoff.web.server import Server, local_hosts


async def app(scope, receive, send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def test_a_taken_port_is_told_when_the_server_is_made():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StoreError, match="choose another"):
        Server(app, port=taken.getsockname()[1])


def test_a_public_bind_is_refused():
    with pytest.raises(SecurityError):
        Server(app, "0.0.0.0")


def test_it_answers_inside_and_not_after():
    with Server(app) as server, Client(server.url) as client:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert client.predict([]) == {}
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=2)


def test_an_app_that_fails_at_start_is_told():
    async def broken(scope, receive, send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(StoreError, match="did not start"), Server(broken):
        pass


def test_local_names():
    assert local_hosts("::1") >= {"localhost", "127.0.0.1"}


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://x", "http://"])
def test_a_url_that_is_none(url):
    with pytest.raises(UsageError, match="expected the URL"):
        Client(url)


@contextlib.contextmanager
def process(folder: Path, seconds: float = 0.0) -> Iterator[tuple[subprocess.Popen, str]]:
    script = Path(__file__).with_name("serving_process.py")
    command = [sys.executable, str(script), str(folder), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            url = child.stdout.readline().strip()
            assert url.startswith("http://127.0.0.1:")
            yield child, url
        finally:
            child.kill()


class Callers:
    """Threads that predict until the server is gone, and remember what was acknowledged."""

    def __init__(self, url: str, threads: int = 8) -> None:
        self.acknowledged: list[tuple[str, float]] = []
        self.odd: list[Exception] = []
        self._threads = [threading.Thread(target=self._call, args=(url, i)) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def _call(self, url: str, first: int) -> None:
        with Client(url, timeout_s=10) as client:
            for x in range(first, 1_000_000, 10):
                try:
                    said = client.predict([{"x": x}])["predictions"][0]
                except EndpointError:
                    return
                except Exception as error:
                    self.odd.append(error)
                    return
                self.acknowledged.append((said["id"], said["value"]))

    def join(self) -> None:
        for thread in self._threads:
            thread.join(20)


def logged(folder: Path) -> dict[str, float]:
    events = open_events("file://events", folder=folder, clock=lambda: 0)
    with contextlib.closing(events):
        return {event.id: event.value for event in events.read(PredictionEvent)}


@pytest.mark.parametrize("seconds", [0.0, 0.02], ids=["fast model", "slow model"])
def test_a_kill_loses_no_acknowledged_prediction(tmp_path, seconds):
    with process(tmp_path, seconds) as (child, url):
        callers = Callers(url)
        time.sleep(0.7)
        child.kill()
        callers.join()
    assert callers.odd == []
    assert len(callers.acknowledged) > 20
    assert set(callers.acknowledged) <= set(logged(tmp_path).items())


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_calls_under_way_end(tmp_path, sent):
    with process(tmp_path, 0.8) as (child, url):
        answers = []

        def ask() -> None:
            with Client(url) as client:
                answers.append(client.predict([{"x": 4}])["predictions"][0])

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.4)
        child.send_signal(sent)
        asking.join(10)
        assert child.wait(10) == 0
        assert child.stdout.read() == "closed\n"
    assert [answer["value"] for answer in answers] == [8.0]
    assert set(logged(tmp_path)) == {answers[0]["id"]}
