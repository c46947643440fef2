import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from bakeoff.core.errors import CandidateError, ConfigError, CorruptError, MissingExtraError, NotFoundError
from bakeoff.families.language import backbone
from bakeoff.families.language.catalogue import USER_FILE, base_of, catalogue
from bakeoff.families.language.library_output import need_llm
from bakeoff.families.language.sources import find

FACTS = """
kind = "decoder"
architecture = "llama"
parameters_m = 0.1
layers = 2
hidden = 32
intermediate = 64
heads = 4
kv_heads = 2
vocabulary = 400
context = 256
licence = "none"
languages = ["en"]
use = ["classification"]
chat = true
"""


def quiet(_: str) -> None:
    pass


def test_the_catalogue_is_complete() -> None:
    found = catalogue()
    assert {"smollm2-135m-instruct", "all-minilm-l6-v2"} <= set(found)
    for entry in found.values():
        assert entry.card.startswith("https://")
        assert entry.hidden % entry.heads == 0


def test_a_users_file_adds_models(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / USER_FILE).write_text(f'[mine]\nsource = "{tiny}"\n{FACTS}', encoding="utf-8")
    base = base_of("mine", cache=tmp_path / ".bakeoff" / "cache", progress=quiet)
    assert base.kind == "decoder"
    again = base_of("mine", cache=tmp_path / ".bakeoff" / "cache", progress=pytest.fail)
    assert again == base


def test_a_wrong_catalogue_tells_all_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / USER_FILE).write_text(
        f'[mine]\nsurce = "x"\n{FACTS.replace("layers = 2", "layers = 0")}', encoding="utf-8"
    )
    with pytest.raises(ConfigError) as error:
        catalogue(tmp_path)
    assert {problem.key for problem in error.value.problems} == {"mine.surce", "mine.source", "mine.layers"}


def test_an_unknown_name_gets_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'smollm2-135m-instruct'"):
        base_of("smollm2-135m", cache=tmp_path, progress=quiet)


@pytest.mark.parametrize("content", [b"not a model", b"GGUF" + b"\x07" * 64])
def test_a_corrupt_gguf_is_one_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    with pytest.raises(CandidateError, match=r"bad\.gguf"):
        base_of(str(tmp_path / "bad.gguf"), cache=tmp_path / "cache", progress=quiet)
    assert not list((tmp_path / "cache" / "language" / "bases").glob("*"))


def test_weights_in_pickle_are_refused(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CandidateError, match="pickle"):
        base_of(str(folder), cache=tmp_path / "cache", progress=quiet)


def test_code_of_a_model_is_not_run(tiny: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise SystemExit('ran')")
    with pytest.raises(CandidateError, match="decoder"):
        base_of(str(folder), cache=tmp_path / "cache", progress=quiet)


def test_a_truncated_base_is_corrupt(tiny: Path, tmp_path: Path) -> None:
    base = base_of(str(tiny), cache=tmp_path, progress=quiet)
    weights = base.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CorruptError):
        backbone.load(base.folder, "decoder", precision="fp32", threads=1)


def test_a_model_that_is_not_on_the_hub_or_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def offline(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(NotFoundError, match="no network"):
        find("hf://nobody/nothing", {}, cache=tmp_path, progress=quiet)


@pytest.mark.parametrize("module", ["torch", "transformers", "peft"])
def test_a_missing_extra_names_the_install_command(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else plain(name))
    with pytest.raises(MissingExtraError, match=r'pip install "bakeoff\[llm\]"'):
        need_llm("lora")


def test_the_families_import_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess
    import sys

    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'peft', 'safetensors'): sys.modules[name] = None\n"
        "from bakeoff.families.language import encoder, full, lora, prompted\n"
        "print(lora.LoraFamily.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "lora", done.stderr
