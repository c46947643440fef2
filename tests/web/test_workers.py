"""Workers that are replaced: each place has its own again, whenever it is asked for."""

import os
import signal
import socket
import sys
import threading
import time

import pytest

from bakeoff.core.errors import StoreError
from bakeoff.web.workers import Workers

ANSWERS = """
import os, pathlib, socket, sys, threading, time
folder = pathlib.Path(sys.argv[1])
(folder / f"{time.monotonic_ns()}").touch()
if len(list(folder.iterdir())) == int(sys.argv[2]):
    while not (folder.parent / "go").exists():
        time.sleep(0.02)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print("ready", flush=True)
listening = socket.socket(fileno=int(sys.argv[3]))
while True:
    connection, _ = listening.accept()
    connection.sendall(b"yes")
    connection.close()
"""


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def answered(port) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        return connection.recv(3) == b"yes"


@pytest.mark.processes
def test_asked_for_again_meanwhile_all_are_replaced_again_each_at_its_place(tmp_path):
    starts = tmp_path / "starts"
    starts.mkdir()
    # The second that follows another, at the second place, answers when it may.
    workers = Workers("127.0.0.1", 0, 3, [sys.executable, "-S", "-c", ANSWERS, str(starts), "5"])
    answers: list[bool] = []

    def ask() -> None:
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            until(lambda: len(list(starts.iterdir())) == 5)
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.2)
            (tmp_path / "go").touch()
            until(lambda: len(list(starts.iterdir())) == 8)
            time.sleep(0.5)  # the last one answers, and the one before it ends
            answers.extend(answered(workers.port) for _ in range(40))  # they are shared out over the sockets
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask)
    workers.run(lambda _: asking.start())
    asking.join()
    assert answers == [True] * 40


@pytest.mark.processes
def test_one_that_ends_before_it_answers_is_no_slow_one():
    with pytest.raises(StoreError, match="a worker ended before it answered"):
        Workers("127.0.0.1", 0, 1, [sys.executable, "-S", "-c", "raise SystemExit(1)"]).run(print)
