"""What a gateway adds to a call: bakeoff and LiteLLM before the same service, and the service asked directly.

The service is a stand-in on this machine, which answers at once with fifty words (streams: twenty events). Calls come
at a steady rate, whether or not those before are answered. The gateway has the first core alone; the service and the
callers share the second. Each system is measured in turns with the direct call and with a bare relay, which passes
bytes on and does nothing else, so that what else the machine does meets all. LiteLLM (its proxy, one worker, pinned
below) has an environment of its own, logs nothing and keeps no database; bakeoff logs each call with its texts, by
`log = "best_effort"` or durably ("required").

`python benchmarks/gateway.py [--only bakeoff,litellm] [--rates 20,200] [--seconds 4] [--turns 3]`
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

import data as packages

PEERS = ["litellm[proxy]==1.108.7"]
SYSTEMS = ("bakeoff best_effort", "bakeoff required", "bakeoff off", "litellm")
SERVICE_PORT, PORT, BARE_PORT, START_S = 18750, 18751, 18752, 60
FULL = 0.9
"""A gateway of one core is not asked for more of it than this: calls would only wait."""
TOML = """[project]
name = "own"
task = "generation"
[data]
source = "rows.csv"
target = "answer"
[endpoints.far]
log = "{log}"
upstreams = [{{ url = "http://127.0.0.1:{port}/v1", model = "large", price_in = 1.0, price_out = 2.0 }}]
"""
LITELLM = """model_list:
  - model_name: far
    litellm_params:
      model: openai/large
      api_base: http://127.0.0.1:{port}/v1
      api_key: none
litellm_settings:
  telemetry: false
"""
QUESTION = {"model": "far", "messages": [{"role": "user", "content": "What is the weather like? " * 8}]}


def relay(port: int, service: int) -> None:
    """Pass bodies on and answers back as they are: what the machine takes for any gateway, whatever it does."""
    import httptools
    import uvloop

    class Asking(asyncio.Protocol):
        """A connection to the service, which has one call at a time."""

        caller: asyncio.Transport
        stays: bool

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] - as uvloop has it
            self.transport = transport
            self.parser = httptools.HttpResponseParser(self)

        def data_received(self, data: bytes) -> None:
            self.caller.write(data)
            self.parser.feed_data(data)

        def on_message_complete(self) -> None:
            if self.stays:
                free.append(self)

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] - as uvloop has it
            self.transport, self.parts = transport, list[bytes]()
            self.parser = httptools.HttpRequestParser(self)

        def data_received(self, data: bytes) -> None:
            self.parts.append(data)
            self.parser.feed_data(data)

        def on_message_complete(self) -> None:
            request, self.parts = b"".join(self.parts), []
            stays = self.parser.should_keep_alive()  # known here alone
            self.task = asyncio.get_running_loop().create_task(self.pass_on(request, stays=stays))

        async def pass_on(self, request: bytes, *, stays: bool) -> None:
            asking = free.pop() if free else None
            if asking is None:
                _, asking = await asyncio.get_running_loop().create_connection(Asking, "127.0.0.1", service)
            asking.caller, asking.stays = self.transport, stays
            asking.transport.write(request)

    free: list[Asking] = []

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(run())


def serve_stand_in(port: int) -> None:
    """Answer every call at once, as cheaply as can be."""
    import httptools
    import uvloop

    text, usage = "word " * 50, {"prompt_tokens": 50, "completion_tokens": 50, "total_tokens": 100}
    head = {"id": "chatcmpl-7f3b2c1d9e8a4f60", "created": 1, "model": "large"}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    body = json.dumps({**head, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    events: list[bytes] = []
    for at in range(20):
        bit = {"index": 0, "delta": {"content": "word "}, "finish_reason": "stop" if at == 19 else None}
        chunk = {**head, "object": "chat.completion.chunk", "choices": [bit]}
        events.append(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    counted = {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}
    events += [b"data: " + json.dumps(counted).encode() + b"\n\n", b"data: [DONE]\n\n"]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in events) + b"0\r\n\r\n"
    streamed = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + chunks

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] - as uvloop has it
            self.transport, self.body = transport, b""
            self.parser = httptools.HttpRequestParser(self)

        def data_received(self, data: bytes) -> None:
            self.parser.feed_data(data)

        def on_body(self, body: bytes) -> None:
            self.body += body

        def on_message_complete(self) -> None:
            streams = b'"stream":true' in self.body.replace(b" ", b"")
            self.transport.write(streamed if streams else whole)
            self.body = b""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", port)
        await server.serve_forever()

    uvloop.run(run())


@dataclass(slots=True)
class Taken:
    """Latencies in seconds: until the first byte of a body, and until the end."""

    first: list[float] = field(default_factory=list[float])
    whole: list[float] = field(default_factory=list[float])
    failed: int = 0

    def ms(self, share: float, *, first: bool = False) -> float:
        """The latency that so large a share of calls keeps, in milliseconds."""
        taken = sorted(self.first if first else self.whole)
        return taken[min(int(len(taken) * share), len(taken) - 1)] * 1e3 if taken else float("nan")


@dataclass(slots=True)
class _Call:
    began: float
    text: bytes = b""
    first: float = 0.0


def ask(url: str, body: bytes, rate: float, seconds: float, into: Taken) -> None:
    """Post a body at a steady rate, on as many connections as that takes."""
    parts = urlsplit(url)
    address = parts.hostname or "127.0.0.1", parts.port or 80
    request = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {address[0]}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer none\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    selector, clock = selectors.EpollSelector(), time.perf_counter
    free: list[socket.socket] = []
    busy: dict[socket.socket, _Call] = {}
    began, count, sent = clock() + 0.05, int(rate * seconds), 0
    while sent < count or busy:
        now, due = clock(), began + sent / rate
        if sent < count and now >= due:
            if not free:
                made = socket.create_connection(address, timeout=30)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(made, selectors.EVENT_READ)
                free.append(made)
            used = free.pop()
            busy[used] = _Call(clock())
            used.sendall(request)
            sent += 1
            continue
        for key, _ in selector.select(max(due - now, 0) if sent < count else 1.0):
            used = key.fileobj
            assert isinstance(used, socket.socket)
            part, call = used.recv(1 << 18), busy.get(used)
            if not part:  # closed: an answer that was awaited there never comes
                selector.unregister(used)
                used.close()
                free[:] = [each for each in free if each is not used]
                into.failed += busy.pop(used, None) is not None
                continue
            if call is None:
                continue
            call.text += part
            head, end, rest = call.text.partition(b"\r\n\r\n")
            if end and rest and not call.first:
                call.first = clock()
            if end and _is_whole(head, rest):
                into.whole.append(clock() - call.began)
                into.first.append(call.first - call.began)
                into.failed += head[9:12] != b"200"
                del busy[used]
                free.append(used)
    for each in free:
        each.close()
    selector.close()


def _is_whole(head: bytes, rest: bytes) -> bool:
    lower = head.lower()
    if b"content-length:" not in lower:
        return rest.endswith(b"0\r\n\r\n")
    return len(rest) >= int(lower.split(b"content-length:")[1].split(b"\r\n")[0])


@contextlib.contextmanager
def running(command: list[str], folder: Path, core: int, url: str, **environment: str) -> Generator[psutil.Process]:
    """A server of one process on a core, once it answers."""
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=folder,
            env=os.environ | environment,
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {core % (os.cpu_count() or 1)}),  # noqa: PLW1509
        )
    try:
        until = time.monotonic() + START_S
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{command[0]} does not answer; {folder / 'server.log'} says why")
            time.sleep(0.2)
        yield psutil.Process(process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(15)


def _answers(url: str) -> bool:
    request = urllib.request.Request(
        f"{url}/v1/chat/completions",
        json.dumps(QUESTION).encode(),
        {"content-type": "application/json", "authorization": "Bearer none"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def gateway(system: str, folder: Path) -> Generator[psutil.Process]:
    """A gateway before the service."""
    place = folder / system.replace(" ", "-")
    place.mkdir(parents=True, exist_ok=True)
    url = f"http://127.0.0.1:{PORT}"
    if system == "litellm":
        python = packages.environment("gateway", PEERS) / "bin"
        (place / "config.yaml").write_text(LITELLM.format(port=SERVICE_PORT))
        command = [str(python / "litellm"), "--config", "config.yaml", "--port", str(PORT), "--num_workers", "1"]
        more = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        more["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"  # on loopback, as bakeoff
    else:
        (place / "bakeoff.toml").write_text(TOML.format(log=system.split()[1], port=SERVICE_PORT))
        command = [sys.executable, "-m", "bakeoff", "serve", "-C", str(place), "--port", str(PORT)]
        more = {}
    with running(command, place, 0, url, **more) as process:
        yield process


def compare(system: str, folder: Path, given: argparse.Namespace, bare: psutil.Process) -> None:
    """Measure a system in turns with the direct call and the bare relay, and print its lines."""
    direct, relayed, via = (f"http://127.0.0.1:{port}/v1/chat/completions" for port in (SERVICE_PORT, BARE_PORT, PORT))
    used_s = 0.0
    with gateway(system, folder) as process:
        for rate, kind in itertools.product(map(float, given.rates.split(",")), ("whole", "stream")):
            if rate * used_s > FULL:
                print(
                    f"| {system} | {rate:g}/s {kind} | {rate * used_s:.1f} cores would be needed |" + " |" * 6,
                    flush=True,
                )
                continue
            body = json.dumps(QUESTION | ({"stream": True} if kind == "stream" else {})).encode()
            ways = {direct: (None, Taken()), relayed: (bare, Taken()), via: (process, Taken())}
            used = dict.fromkeys(ways, 0.0)
            ask(via, body, rate, 1.0, Taken())
            for _ in range(given.turns):
                for url, (server, taken) in ways.items():
                    before = sum(server.cpu_times()[:2]) if server else 0.0
                    ask(url, body, rate, given.seconds, taken)
                    used[url] += (sum(server.cpu_times()[:2]) if server else 0.0) - before
            alone, passed, taken = (taken for _, taken in ways.values())
            cells = [f"{alone.ms(0.5):.2f}, {alone.ms(0.99):.2f}", *_added(passed, alone, used[relayed])]
            cells += _added(taken, alone, used[via])
            cells.append(f"{taken.ms(0.5, first=True) - alone.ms(0.5, first=True):.2f}")
            memory = process.memory_full_info().pss / 1e6
            failed = f" ({taken.failed} failed)" if taken.failed else ""
            used_s = used[via] / len(taken.whole)
            print(f"| {system}{failed} | {rate:g}/s {kind} | {' | '.join(cells)} | {memory:.0f} |", flush=True)


def _added(taken: Taken, alone: Taken, used_s: float) -> list[str]:
    """What a way adds to the median and to the 99th percentile, and its processor time a call."""
    added = [f"{taken.ms(share) - alone.ms(share):.2f}" for share in (0.5, 0.99)]
    return [", ".join(added), f"{used_s * 1e6 / len(taken.whole):.0f}"]


def main() -> None:
    """Measure what is asked for, and print a table."""
    if sys.argv[1:2] == ["stand-in"]:
        serve_stand_in(int(sys.argv[2]))
        return
    if sys.argv[1:2] == ["relay"]:
        relay(int(sys.argv[2]), int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(SYSTEMS))
    parser.add_argument("--rates", default="20,200", help="calls a second")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=packages.CACHE / "gateway")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})
    command = [sys.executable, str(Path(__file__).resolve()), "stand-in", str(SERVICE_PORT)]
    systems = [each for each in SYSTEMS if any(each.startswith(name) for name in given.only.split(","))]
    if "litellm" in systems:
        packages.environment("gateway", PEERS)
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    columns = "system | answer | direct p50, p99 ms | bare relay added p50, p99 ms | µs | added p50, p99 ms"
    print(f"| {columns} | processor µs | added to the first byte p50 ms | MB |")
    print("|---" * 9 + "|")
    passing = [sys.executable, str(Path(__file__).resolve()), "relay", str(BARE_PORT), str(SERVICE_PORT)]
    with (
        running(command, given.folder, 1, f"http://127.0.0.1:{SERVICE_PORT}"),
        running(passing, given.folder, 0, f"http://127.0.0.1:{BARE_PORT}") as bare,
    ):
        for system in systems:
            compare(system, given.folder, given, bare)


if __name__ == "__main__":
    main()
