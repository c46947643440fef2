"""vLLM: a server of its own, on a GPU as a rule; started as a process, or one that already runs, by its URL.

Source: the vLLM documentation, docs.vllm.ai (serve arguments, OpenAI-compatible server, /tokenize).
"""

import contextlib
import http.client
import json
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bakeoff.chat.streaming import calls_of, end_of, functions_of, request_of
from bakeoff.core.errors import CandidateError, ContextLengthError, DataError, MissingExtraError
from bakeoff.core.generation import Messages, Option, Piece, Sampling, TextSession, Token, Tool

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["VllmEngine"]

COMMAND = ("vllm", "serve")
ADAPTER = "adapter"
START_S = 600.0
STOP_S = 30.0
ANSWER_S = 300.0
BEHIND = 2
"""So many answers wait inside vLLM, so that it is not without work until the next one is handed over."""
TOKEN_ID = "token_id:"  # noqa: S105 - how vLLM writes a token's id
BAD_REQUEST = 400
TOO_LONG = "maximum context length"
ABLE: frozenset[Option] = frozenset(
    {"frequency_penalty", "logit_bias", "logprobs", "presence_penalty", "response_format", "tools"}
)


class VllmEngine:
    """Serves a folder with vLLM.

    Args:
        url: where a vLLM that holds the model answers (`http://host:8000`); without it one is started on
            loopback, under a random key, and ended with the session.
        command: how it is started.
    """

    name = "vllm"
    quantisations = ()

    def __init__(self, url: str | None = None, *, command: Sequence[str] = COMMAND) -> None:
        self._url, self._command = url, tuple(command)

    def open(
        self,
        model: Path,
        *,
        adapter: Path | None = None,
        threads: int,
        cache: Path,
        context: int = 2048,
        parallel: int = 4,
        quantisation: str = "none",
        kv_cache: str = "f16",
    ) -> TextSession:
        """Start it, or find it; see `bakeoff.core.generation.TextEngine`. The weights are served as they are.

        Of forms of `kv_cache` it has fp8 beside its own.
        """
        del threads, cache, quantisation
        if self._url is not None:
            return _Session(self._url, "", process=None)
        if shutil.which(self._command[0]) is None:
            raise MissingExtraError(
                f"the engine vllm needs the program {self._command[0]!r}: pip install vllm, or name a running server "
                "with engine = 'vllm:http://host:8000'"
            )
        port, key = _free_port(), secrets.token_hex(16)
        arguments = ["--host", "127.0.0.1", "--port", str(port), "--api-key", key]
        arguments += ["--max-model-len", str(context), "--max-num-seqs", str(parallel)]
        arguments += [] if kv_cache == "f16" else ["--kv-cache-dtype", "fp8"]
        if adapter is not None:
            arguments += ["--enable-lora", "--max-lora-rank", "256", "--lora-modules", f"{ADAPTER}={adapter}"]
        process = subprocess.Popen(
            [*self._command, str(model), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        return _Session(f"http://127.0.0.1:{port}", key, process=process, concurrency=parallel + BEHIND)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class _Session:
    """Speaks the OpenAI API to one server; waits until it is ready when it is made."""

    def __init__(
        self, url: str, key: str, *, process: "subprocess.Popen[bytes] | None", concurrency: int | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CandidateError(f"expected the URL of a vLLM server (http://host:8000), received {url!r}")
        self._secure, self._host = parts.scheme == "https", parts.hostname
        self._port, self._key, self._process = parts.port, key, process
        self.concurrency = concurrency
        try:
            listed = self._ready()["data"]
        except BaseException:
            self.close()
            raise
        names = [str(each["id"]) for each in listed]
        self._model = ADAPTER if ADAPTER in names else names[0]

    def chat(self, messages: Messages, sampling: Sampling) -> Iterator[Piece]:
        """The answer, piece by piece; see `bakeoff.core.generation.TextSession`."""
        sampling.require(ABLE, "the engine vllm")
        body = _request(self._model, messages, sampling)
        with self._asked("POST", "/v1/chat/completions", body) as response:
            finish, usage = "stop", {}
            for line in response:
                if not line.startswith(b"data: {"):
                    continue
                chunk: dict[str, Any] = json.loads(line[6:])
                usage = chunk.get("usage") or usage
                for choice in chunk.get("choices", ()):
                    finish = choice.get("finish_reason") or finish
                    piece = _piece(choice)
                    if piece.text or piece.tokens or piece.calls:
                        yield piece
        yield end_of(finish, usage)

    def render(self, messages: Messages, tools: Sequence[Tool] = ()) -> list[int]:
        """The token ids of the prompt."""
        body: dict[str, Any] = {"model": self._model, "messages": [dict(message) for message in messages]}
        if tools:
            body["tools"] = functions_of(tools)
        return self._json("POST", "/tokenize", body)["tokens"]

    def embed(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """Vectors of length one, from a server that was started for embedding."""
        import numpy as np

        told = self._json("POST", "/v1/embeddings", {"model": self._model, "input": list(texts)})
        vectors = np.asarray([each["embedding"] for each in told["data"]], dtype=np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def close(self) -> None:
        """End the process, if it was started here."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_S)
            self._process = None

    def _ready(self) -> dict[str, Any]:
        """What the server lists, once it answers; a process that ended, or that takes too long, is an error."""
        deadline = time.monotonic() + START_S
        while True:
            try:
                return self._json("GET", "/v1/models", None)
            except OSError as error:
                ended = None if self._process is None else self._process.poll()
                if self._process is None or ended is not None or time.monotonic() > deadline:
                    how = f"it ended with {ended}" if ended is not None else str(error)
                    where = f"{self._host}:{self._port}"
                    raise CandidateError(f"expected vLLM to answer at {where}, found that {how}") from error
            time.sleep(0.2)

    def _json(self, method: str, path: str, body: Any) -> Any:
        with self._asked(method, path, body) as response:
            return json.loads(response.read())

    @contextlib.contextmanager
    def _asked(self, method: str, path: str, body: Any) -> Generator[http.client.HTTPResponse]:
        make = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = make(self._host, self._port, timeout=ANSWER_S)
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._key}"}
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            if response.status >= BAD_REQUEST:
                told = response.read().decode(errors="replace")[:500]
                kind = ContextLengthError if TOO_LONG in told else DataError
                raise kind(f"vLLM refused the request with {response.status}: {told}")
            yield response


def _request(model: str, messages: Messages, sampling: Sampling) -> dict[str, Any]:
    asked = {**request_of(messages, sampling), "model": model}
    return asked if sampling.top_logprobs is None else asked | {"return_tokens_as_token_ids": True}


def _piece(choice: dict[str, Any]) -> Piece:
    said = (choice.get("logprobs") or {}).get("content") or ()
    tokens = tuple(
        Token(
            id=int(each["token"].removeprefix(TOKEN_ID)) if each["token"].startswith(TOKEN_ID) else -1,
            text=bytes(each.get("bytes") or b"").decode(errors="replace"),
            logprob=each["logprob"],
            top=tuple((_text(other), other["logprob"]) for other in each.get("top_logprobs", ())),
        )
        for each in said
    )
    delta = choice.get("delta") or {}
    return Piece(text=delta.get("content") or "", tokens=tokens, calls=calls_of(delta))


def _text(token: dict[str, Any]) -> str:
    return bytes(token.get("bytes") or b"").decode(errors="replace")
