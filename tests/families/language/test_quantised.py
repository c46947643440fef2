"""Frozen weights in few bits: what is asked of transformers, and what is told where that cannot be."""

import importlib.machinery
import importlib.util
from pathlib import Path

import pytest

from bakeoff.core.errors import CandidateError, MissingExtraError
from bakeoff.families.language import backbone
from bakeoff.families.language.lora import LoraFamily, LoraParams
from bakeoff.testing.families import FamilyConformance

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def fit(tmp_path, tiny, bits):
    params = LoraParams(model=str(tiny), layers=1, precision="bf16", quantise_base=bits)
    return LoraFamily().fit(FamilyConformance().job_of("classification", params, tmp_path, columns=("text",)))


@pytest.fixture
def packages(monkeypatch):
    """Pretends that there is a CUDA device, and that bitsandbytes is installed or not."""
    pytest.importorskip("peft")  # which looks for it when it is imported
    find = importlib.util.find_spec

    def pretend(*, installed: bool) -> None:
        found = importlib.machinery.ModuleSpec("bitsandbytes", None) if installed else None
        monkeypatch.setattr(importlib.util, "find_spec", lambda n, p=None: found if n == "bitsandbytes" else find(n, p))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    return pretend


def test_without_a_device_it_says_what_to_do(tiny: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(
        CandidateError, match=r"expected a CUDA device for quantise_base = '4bit'.*leave quantise_base out"
    ):
        fit(tmp_path, tiny, "4bit")


def test_without_the_library_it_names_the_install_command(tiny: Path, tmp_path: Path, packages) -> None:
    packages(installed=False)
    with pytest.raises(MissingExtraError, match=r'needs the module .bitsandbytes.: pip install "bakeoff\[gpu\]"'):
        fit(tmp_path, tiny, "8bit")


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_the_base_is_read_in_few_bits(tiny: Path, monkeypatch, packages, bits: str) -> None:
    packages(installed=True)
    asked = {}
    read = transformers.AutoModelForCausalLM.from_pretrained

    class Config(dict):
        def __init__(self, **given):
            super().__init__(given)

    def from_pretrained(folder, *, quantization_config, device_map, **given):
        asked.update(quantization_config, device=device_map[""])
        return read(folder, **given)

    monkeypatch.setattr(transformers, "BitsAndBytesConfig", Config)
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", from_pretrained)
    backbone.load(tiny, "decoder", precision="bf16", threads=1, device="cpu", quantised=bits)
    if bits == "8bit":
        assert asked == {"load_in_8bit": True, "device": "cpu"}
    else:
        assert (asked["load_in_4bit"], asked["bnb_4bit_quant_type"]) == (True, "nf4")
        assert asked["bnb_4bit_compute_dtype"] is torch.bfloat16


def test_the_family_asks_for_it(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    seen = {}
    load = backbone.load

    def spy(folder, kind, **given):
        seen.setdefault("quantised", given.pop("quantised", None))
        return load(folder, kind, **{**given, "device": "cpu"})

    monkeypatch.setattr("bakeoff.families.language.lora.need_quantisation", seen.setdefault)
    monkeypatch.setattr(backbone, "load", spy)
    model = fit(tmp_path, tiny, "4bit")
    assert seen == {"4bit": None, "quantised": "4bit"}
    assert set(model.parts) == {"base", "adapter"}
