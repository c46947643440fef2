"""What a model needs on this machine, predicted from its architecture; and a probe that checks the prediction.

Weights are bytes for each parameter; keys and values 2 · layers · kv heads · head size · bytes for each token of the
context. A pass forwards costs 2 operations for each parameter and token, backwards twice that (frozen weights: once);
attention adds 4 · layers · hidden · tokens for each token. Training holds for each parameter that learns its float32
value, gradient and two moments, and for each token of a batch the activations of the layers that learn.

Source: J. Kaplan et al. (2020), "Scaling Laws for Neural Language Models", section 2.1 (operations); D. Kingma,
J. Ba (2015), "Adam" (moments); V. Korthikanti et al. (2022), "Reducing Activation Recomputation in Large Transformer
Models", section 4 (activations, 34 · hidden bytes for each token and layer in 16 bits).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from bakeoff.core.machine import cores
from bakeoff.core.memory import peak_memory_bytes
from bakeoff.families.language.catalogue import Entry

__all__ = ["USES", "FootprintProbe", "Machine", "Need", "Use", "assumed_gpu", "machine", "needs", "probe"]

Use: TypeAlias = Literal["prompt", "lora", "full", "serve"]
USES: tuple[Use, ...] = ("prompt", "lora", "full", "serve")
GIB = 2**30
BATCH_TOKENS = 16 * 64
"""Tokens of a batch in training: what the parameter `batch` gives for short texts."""
SERVED_TOKENS = 4 * 2048
"""Tokens whose keys and values an endpoint holds."""
ROW_TOKENS = 64
MEASURED_S = 0.8
LORA_LAYERS, LORA_RANK = 10, 8
ACTIVATION_BYTES = 34
OVERHEAD_BYTES = int(0.6 * GIB)
"""Python with torch and transformers imported."""
CUDA_BYTES = int(0.7 * GIB)
"""What a CUDA context with its libraries' work space takes of a GPU's memory, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What there is: memory that is free, and the speed of matrix products (operations a second)."""

    memory_bytes: int
    flops: float
    cores: int
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a use of a model takes: memory, milliseconds for a row of 64 tokens, and tokens a second."""

    memory_bytes: int
    row_ms: float
    tokens_s: float
    fits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FootprintProbe:
    """What was measured, and how far the prediction was off it: 0.2 is a fifth too much."""

    row_ms: float
    memory_bytes: int
    row_ms_error: float
    memory_error: float


def assumed_gpu(memory_gib: float, tflops: float | None) -> Machine:
    """A GPU that is not here, by its memory and its speed in 16 bits (unknown: NaN)."""
    flops = float("nan") if tflops is None else tflops * 1e12
    return Machine(memory_bytes=int(memory_gib * GIB), flops=flops, cores=0, device="cuda")


def machine() -> Machine:
    """Look at this machine; its speed is that of one product of matrices, taken in some tenths of a second."""
    import torch

    from bakeoff.families.language.backbone import device_of, fastest_precision
    from bakeoff.families.language.network import free_memory_bytes

    device = device_of()
    threads = cores()
    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if fastest_precision() == "bf16" else torch.float32
    size = 512 if device == "cpu" else 4096
    one, other = (torch.ones((size, size), dtype=dtype, device=device) for _ in range(2))
    best_s = float("inf")
    until = time.perf_counter() + MEASURED_S
    while time.perf_counter() < until:
        started = time.perf_counter()
        (one @ other).sum().item()
        best_s = min(best_s, time.perf_counter() - started)
    memory = free_memory_bytes() if device == "cpu" else int(torch.cuda.mem_get_info()[0])
    return Machine(memory_bytes=memory, flops=2 * size**3 / best_s, cores=threads, device=device)


EFFICIENCY: Mapping[Use, float] = {"prompt": 0.35, "lora": 0.25, "full": 0.2, "serve": 0.35}
"""Share of the speed of one large product that a model's many small ones reach on short rows (measured with
SmolLM2-135M on two cores)."""


def needs(entry: Entry, found: Machine) -> dict[Use, Need]:
    """What each use of a model takes on a machine."""
    parameters, width = entry.parameters_m * 1e6, 2 if entry.kind == "decoder" else 4
    size = entry.head_size or entry.hidden // entry.heads
    cached = 2 * entry.layers * entry.kv_heads * size * width
    layer = entry.hidden * size * (2 * entry.heads + 2 * entry.kv_heads)
    layer += (3 if entry.kind == "decoder" else 2) * entry.hidden * entry.intermediate  # decoders' are gated
    body = float(entry.layers * layer)
    top = min(LORA_LAYERS, entry.layers)
    adapters = top * LORA_RANK * (9 * entry.hidden + 3 * entry.intermediate)
    activations = BATCH_TOKENS * entry.hidden * ACTIVATION_BYTES
    logits = BATCH_TOKENS * 16
    weights = parameters * width + (OVERHEAD_BYTES if found.device == "cpu" else CUDA_BYTES)
    memory: dict[Use, float] = {
        "prompt": weights + cached * 16 * ROW_TOKENS * 2,
        "lora": weights + 16 * adapters + activations * top + logits,
        "full": weights + 16 * parameters + activations * entry.layers + logits,
        "serve": weights + cached * SERVED_TOKENS,
    }
    attention = 4 * entry.layers * entry.hidden * ROW_TOKENS
    once = 2 * body + attention
    operations: dict[Use, float] = {
        "prompt": once,
        "lora": once * (1 + 2 * top / entry.layers),
        "full": 3 * once,
        "serve": once,
    }
    return {
        use: Need(
            memory_bytes=int(memory[use]),
            row_ms=1000 * ROW_TOKENS * operations[use] / (found.flops * EFFICIENCY[use]),
            tokens_s=found.flops * EFFICIENCY[use] / operations[use],
            fits=memory[use] < found.memory_bytes,
        )
        for use in USES
    }


def probe(entry: Entry, folder: Path, found: Machine) -> FootprintProbe:
    """Run a model that is at hand on a batch of rows of 64 tokens, some seconds long."""
    import torch

    from bakeoff.families.language import backbone

    precision = backbone.fastest_precision() if entry.kind == "decoder" else "fp32"
    loaded = backbone.load(folder, entry.kind, precision=precision, threads=found.cores)
    ids_bt, lengths_b = loaded.padded([list(range(10, 10 + ROW_TOKENS))] * 16)
    best_s = float("inf")
    with torch.inference_mode():
        for _ in range(3):
            started = time.perf_counter()
            loaded.hidden(ids_bt, lengths_b).sum().item()
            best_s = min(best_s, time.perf_counter() - started)
    row_ms, memory = best_s * 1000 / 16, peak_memory_bytes()
    said = needs(entry, found)["prompt"]
    return FootprintProbe(
        row_ms=row_ms,
        memory_bytes=memory,
        row_ms_error=said.row_ms / row_ms - 1,
        memory_error=said.memory_bytes / memory - 1,
    )
