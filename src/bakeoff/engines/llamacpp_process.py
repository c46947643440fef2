"""llama.cpp in a process of its own, asked over HTTP on loopback under a random key.

Loading a model in this process would hold Python's lock for as long as it takes: an endpoint that loads its next
release would answer nobody meanwhile, not even for its health. And a crash, or a lack of memory, would take all with
it; like this it takes the process, and the next call starts another.
"""

import contextlib
import http.client
import json
import secrets
import subprocess
import sys
import threading
import weakref
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bakeoff.chat.streaming import events
from bakeoff.core.errors import CandidateError

__all__ = ["LlamaProcess", "LlamaSettings", "RefusedRequest"]

PROGRAM = Path(__file__).with_name("llamacpp_server.py")
KV_CACHES = {"f16": 1, "q8_0": 8}
"""ggml's numbers of the forms in which keys and values are kept."""
STOP_S = 5.0
BAD_REQUEST = 400
BLOCK = 2**16
DONE = "[DONE]"


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaSettings:
    """What llama.cpp is to load and how; `answers` may be under way or waiting in it at once.

    `context` is for each of `parallel` conversations, whose keys and values have the form `kv_cache`.
    """

    file: str
    lora: str | None
    threads: int
    context: int
    parallel: int
    answers: int
    kv_cache: str


class RefusedRequest(Exception):  # noqa: N818 - an answer of the server, which its reader makes an error of
    """What the server says of a request that it does not take."""

    def __init__(self, body: Any) -> None:
        super().__init__(body)
        self.body = body


class LlamaProcess:
    """The process, started when this is made, and ended when this is closed or nobody has it any more.

    Raises:
        CandidateError: it cannot load the model.
    """

    def __init__(self, settings: LlamaSettings) -> None:
        self._settings, self._key = settings, secrets.token_hex(16)
        self._starting = threading.Lock()
        self._start()

    def ask(self, path: str, body: Any = None) -> Any:
        """What a path answers; `RefusedRequest` when it does not take the request."""
        with self._answer(path, body) as response:
            return json.loads(response.read())

    def stream(self, path: str, body: Any) -> Generator[dict[str, Any]]:
        """The events of an answer, as they come; closing the iterator stops it.

        Raises:
            RefusedRequest: the request is not taken. CandidateError: the process ended before the answer did.
        """
        with self._answer(path, body) as response:
            try:
                for data in events(iter(lambda: response.read1(BLOCK), b"")):
                    if data == DONE:
                        return
                    yield json.loads(data)
            except (OSError, http.client.HTTPException) as error:
                raise self._lost() from error
        raise self._lost()

    def close(self) -> None:
        """End the process; calls that are under way fail."""
        self._end()

    @contextlib.contextmanager
    def _answer(self, path: str, body: Any) -> Generator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(*self._address())
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._key}"}
        with contextlib.closing(connection):
            try:
                connection.request("GET" if body is None else "POST", path, _encoded(body), headers)
                response = connection.getresponse()
                refusal = response.read() if response.status >= BAD_REQUEST else None
            except (OSError, http.client.HTTPException) as error:
                raise self._lost() from error
            if refusal is not None:
                raise RefusedRequest(json.loads(refusal)["error"])
            yield response

    def _address(self) -> tuple[str, int]:
        """Where it answers; a process that has ended is started again."""
        with self._starting:
            if self._process.poll() is not None:
                self._start()
            return self._host, self._port

    def _lost(self) -> CandidateError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)  # a socket closes a little before its process is gone
        ended = self._process.returncode
        return CandidateError(
            f"expected llama.cpp to answer, but its process ended with {ended}; it is started again by the next call "
            "(memory may be too small: lower context or slots)"
        )

    def _start(self) -> None:
        """Start the process and wait until the model is loaded."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent, which ends it when its last answer is sent
        )
        self._end = weakref.finalize(self, _ended, self._process)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        settings = json.dumps(
            asdict(self._settings) | {"key": self._key, "kv_cache": KV_CACHES[self._settings.kv_cache]}
        )
        with contextlib.suppress(BrokenPipeError):  # the reason stands in what comes back
            self._process.stdin.write(settings.encode() + b"\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        reply = json.loads(line) if line else {"error": f"its process ended with {self._process.wait(STOP_S)}"}
        if "error" in reply:
            self._end()
            raise CandidateError(
                f"expected a model that llama.cpp can load, found {self._settings.file!r}: {reply['error']}; the file "
                f"may be damaged, memory too small, or kv_cache = {self._settings.kv_cache!r} not for this model"
            )
        parts = urlsplit(str(reply["url"]))
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80


def _encoded(body: Any) -> bytes | None:
    return None if body is None else json.dumps(body).encode()


def _ended(process: "subprocess.Popen[bytes]") -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_S)
