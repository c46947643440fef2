import math

import pytest

from bakeoff.families.language.available import ModelQuery
from bakeoff.families.language.catalogue import catalogue
from bakeoff.families.language.footprint import USES, Machine, assumed_gpu, machine, needs, probe

GIB = 2**30
LAPTOP = Machine(memory_bytes=8 * GIB, flops=2e11, cores=2, device="cpu")


def test_needs_grow_with_the_model_and_the_use() -> None:
    found = {name: needs(entry, LAPTOP) for name, entry in catalogue().items()}
    small, large = found["smollm2-135m-instruct"], found["mistral-7b-instruct"]
    for use in USES:
        assert small[use].memory_bytes < large[use].memory_bytes
        assert small[use].row_ms < large[use].row_ms
    assert small["prompt"].memory_bytes < small["lora"].memory_bytes < small["full"].memory_bytes
    assert all(need.fits for need in small.values())
    assert not large["serve"].fits


def test_parameters_follow_from_the_architecture() -> None:
    for name, entry in catalogue().items():
        size = entry.head_size or entry.hidden // entry.heads
        layer = entry.hidden * size * (2 * entry.heads + 2 * entry.kv_heads)
        layer += (3 if entry.kind == "decoder" else 2) * entry.hidden * entry.intermediate
        body, words = entry.layers * layer / 1e6, entry.vocabulary * entry.hidden / 1e6
        assert (
            0.97 < entry.parameters_m / (body + words) < 1.03 or 0.97 < entry.parameters_m / (body + 2 * words) < 1.03
        ), name


def test_what_is_wanted() -> None:
    entry = catalogue()["qwen2.5-0.5b-instruct"]
    said = needs(entry, LAPTOP)
    assert ModelQuery(task="generation", languages=("de", "en"), licence="apache").takes(entry, said)
    assert not ModelQuery(task="regression").takes(entry, said)
    assert not ModelQuery(languages=("xx",)).takes(entry, said)
    assert not ModelQuery(licence="MIT").takes(entry, said)
    assert not ModelQuery(max_memory_bytes=GIB).takes(entry, said)
    assert not ModelQuery(max_latency_ms=1).takes(entry, said)


def test_a_probe_tells_how_far_off_the_prediction_was(tiny) -> None:
    here = machine()
    assert here.flops > 1e8
    measured = probe(catalogue()["smollm2-135m-instruct"], tiny, here)
    assert measured.row_ms > 0
    assert measured.row_ms_error == pytest.approx(
        needs(catalogue()["smollm2-135m-instruct"], here)["prompt"].row_ms / measured.row_ms - 1
    )


def test_a_gpu_that_is_not_here_is_predicted_by_its_memory() -> None:
    entry = catalogue()["mistral-7b-instruct"]
    small, large = needs(entry, assumed_gpu(14, None)), needs(entry, assumed_gpu(24, 300))
    assert not small["serve"].fits
    assert large["serve"].fits
    assert not large["full"].fits  # weights, gradients and moments of seven billion parameters
    assert math.isnan(small["serve"].row_ms)
    assert 0 < large["serve"].row_ms < needs(entry, LAPTOP)["serve"].row_ms
