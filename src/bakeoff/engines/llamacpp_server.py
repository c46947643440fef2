"""The program that `LlamaProcess` runs: llama.cpp's own server on loopback, until standard input ends.

It reads its settings (`LlamaSettings` as JSON) from the first line of its standard input, and answers with a line of
JSON: `{"url": …}`, or `{"error": …}` when the model cannot be loaded. It imports nothing of bakeoff, to begin at once.
"""

import importlib
import json
import os
import sys
from typing import Any

THREADS_BESIDE = 8
"""Threads for questions about tokens and templates, which do not wait behind answers."""


def _parameters(xllamacpp: Any, settings: dict[str, Any]) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = settings["file"]
    params.n_ctx, params.n_parallel = settings["context"] * settings["parallel"], settings["parallel"]
    params.kv_unified = False
    params.cache_type_k = params.cache_type_v = settings["kv_cache"]
    for cores in (params.cpuparams, params.cpuparams_batch):
        cores.n_threads = settings["threads"]
    params.n_threads_http = settings["answers"] + THREADS_BESIDE
    params.warmup, params.verbosity = False, -1
    # Fitting what is held to a device's memory loads the model once more: here the settings say what is held.
    params.fit_params = any("GPU" in str(device["type"]) for device in xllamacpp.get_device_info())
    params.embedding, params.pooling_type = False, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.api_keys = [settings["key"]]
    if settings["lora"] is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(settings["lora"], 1.0)]
    return params


def main() -> None:
    """Serve until standard input ends, which it does when the parent ends, however that happens."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what llama.cpp prints is no answer
    settings = json.loads(sys.stdin.readline())
    try:
        xllamacpp: Any = importlib.import_module("xllamacpp")  # compiled, without types
        server = xllamacpp.Server(_parameters(xllamacpp, settings))
        print(json.dumps({"url": server.listening_address}), file=answer, flush=True)
    except Exception as error:  # noqa: BLE001 - told to the parent
        print(json.dumps({"error": str(error)}), file=answer, flush=True)
    sys.stdin.read()
    os._exit(0)  # a server that ends before its loop has begun would wait for it for ever


if __name__ == "__main__":
    main()
