# pyright: basic
# the gguf and safetensors packages are only partly typed
"""Write a model that stands as Hugging Face safetensors, or a LoRA adapter on it, as GGUF for llama.cpp.

Source: the GGUF specification, github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import quantize

from bakeoff.chat.tokens import ChatTokens
from bakeoff.core.errors import CandidateError

__all__ = ["adapter_to_gguf", "model_to_gguf"]

ARCHITECTURES = {
    "llama": gguf.MODEL_ARCH.LLAMA,
    "mistral": gguf.MODEL_ARCH.LLAMA,
    "qwen2": gguf.MODEL_ARCH.QWEN2,
    "qwen3": gguf.MODEL_ARCH.QWEN3,
}
PERMUTED = frozenset({"llama", "mistral"})
CONTROL, USER_DEFINED, NORMAL, UNUSED = 3, 4, 1, 5


def model_to_gguf(folder: Path, file: Path, *, quantisation: str, pre_tokenizer: str) -> None:
    """Write the model in `folder` (config.json, *.safetensors, tokenizer.json) to the GGUF `file`.

    Matrices get the quantisation, vectors stay float32. `pre_tokenizer` is llama.cpp's name of the rule that
    splits text before byte-pair encoding; the format holds a name where Hugging Face holds the rule.

    Raises:
        CandidateError: an architecture, rope scaling or tokenizer that this cannot write.
    """
    config = _config(folder)
    kind = gguf.GGMLQuantizationType[quantisation.upper()]
    file_type = gguf.LlamaFileType[f"{'ALL' if quantisation == 'f32' else 'MOSTLY'}_{quantisation.upper()}"]
    writer = gguf.GGUFWriter(file, gguf.MODEL_ARCH_NAMES[_architecture(config)])
    try:
        _write_settings(writer, config)
        writer.add_file_type(file_type)
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        _write_tokenizer(writer, folder, config, pre_tokenizer)
        name_of = _names(config)
        for name, read in _tensors(folder, "*.safetensors"):
            if name == "lm_head.weight" and config.get("tie_word_embeddings"):
                continue
            weights = _in_order(config, name, read)
            wanted = kind if weights.ndim > 1 and _fits(weights, kind) else gguf.GGMLQuantizationType.F32
            writer.add_tensor(name_of(name), quantize(weights, wanted), raw_dtype=wanted)
        _finish(writer)
    finally:
        writer.close()


def adapter_to_gguf(folder: Path, adapter: Path, file: Path) -> None:
    """Write the peft LoRA adapter in `adapter`, on the model in `folder`, to the GGUF `file`.

    Raises:
        CandidateError: it holds more than the two matrices of LoRA on linear layers.
    """
    config, settings = _config(folder), json.loads((adapter / "adapter_config.json").read_text())
    if settings.get("modules_to_save") or settings.get("use_dora") or settings.get("use_rslora"):
        raise CandidateError("expected a plain LoRA adapter, found DoRA, rsLoRA or saved modules; merge it instead")
    name_of = _names(config)
    writer = gguf.GGUFWriter(file, gguf.MODEL_ARCH_NAMES[_architecture(config)])
    try:
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", float(settings["lora_alpha"]))
        for name, read in _tensors(adapter, "adapter_model.safetensors"):
            stem, _, matrix = name.removeprefix("base_model.model.").removesuffix(".weight").rpartition(".lora_")
            # Rows of B (out, r) are the layer's rows; those of A (r, in) are the rank's.
            weights = _in_order(config, f"{stem}.weight", read) if matrix == "B" else read
            writer.add_tensor(f"{name_of(f'{stem}.weight')}.lora_{matrix.lower()}", weights)
        _finish(writer)
    finally:
        writer.close()


def _config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())


def _architecture(config: dict[str, Any]) -> gguf.MODEL_ARCH:
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise CandidateError(f"expected a model of type {known} for llama.cpp, found {kind!r}; use engine transformers")
    scaling = (config.get("rope_parameters") or config.get("rope_scaling") or {}).get("rope_type", "default")
    if scaling != "default":
        raise CandidateError(f"expected plain rope for llama.cpp, found {scaling!r}; use engine transformers")
    return ARCHITECTURES[kind]


def _write_settings(writer: gguf.GGUFWriter, config: dict[str, Any]) -> None:
    heads, width = config["num_attention_heads"], config["hidden_size"]
    head = config.get("head_dim") or width // heads
    rope = config.get("rope_parameters") or {}
    writer.add_name(str(config.get("_name_or_path", "model")))
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", heads))
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta", 10_000.0)))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])


def _write_tokenizer(writer: gguf.GGUFWriter, folder: Path, config: dict[str, Any], pre_tokenizer: str) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    model = tokenizer["model"]
    if model["type"] != "BPE" or model.get("byte_fallback"):
        raise CandidateError(
            f"expected a byte-level BPE tokenizer for llama.cpp, found {model['type']}; use engine transformers"
        )
    size = config["vocab_size"]
    tokens, kinds = [f"[PAD{i}]" for i in range(size)], [UNUSED] * size
    for token, i in model["vocab"].items():
        tokens[i], kinds[i] = token, NORMAL
    for added in tokenizer.get("added_tokens", []):
        tokens[added["id"]], kinds[added["id"]] = added["content"], CONTROL if added["special"] else USER_DEFINED
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]])
    _write_special(writer, folder)


def _write_special(writer: gguf.GGUFWriter, folder: Path) -> None:
    """Ids of special tokens, whether they are added, and the chat template: as transformers itself reads them."""
    from transformers import AutoTokenizer

    tokenizer, words = AutoTokenizer.from_pretrained(folder, local_files_only=True), ChatTokens.read(folder)
    for add, token_id in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, words.end),  # what answers were learned to end with
        (writer.add_pad_token_id, tokenizer.pad_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
    ):
        if token_id is not None:
            add(token_id)
    empty = tokenizer("a", add_special_tokens=True)["input_ids"]
    writer.add_add_bos_token(tokenizer.bos_token_id is not None and empty[:1] == [tokenizer.bos_token_id])
    writer.add_add_eos_token(tokenizer.eos_token_id is not None and empty[-1:] == [tokenizer.eos_token_id])
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _tensors(folder: Path, pattern: str) -> Iterator[tuple[str, np.ndarray]]:
    """Each tensor as float32, one at a time, so that memory holds one copy of one."""
    from safetensors import safe_open

    for file in sorted(folder.glob(pattern)):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                yield name, opened.get_tensor(name).float().numpy()


def _in_order(config: dict[str, Any], name: str, weights: np.ndarray) -> np.ndarray:
    """Rows of queries and keys in llama.cpp's order: rope pairs neighbours there, halves here."""
    heads = {
        "q_proj": config["num_attention_heads"],
        "k_proj": config.get("num_key_value_heads", config["num_attention_heads"]),
    }.get(name.split(".")[-2] if "." in name else "")
    if heads is None or config["model_type"] not in PERMUTED:
        return weights
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weights.shape))


def _names(config: dict[str, Any]) -> Callable[[str], str]:
    known = gguf.get_tensor_name_map(_architecture(config), config["num_hidden_layers"])

    def name_of(name: str) -> str:
        found = known.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise CandidateError(f"expected tensors that llama.cpp knows, found {name!r}; use engine transformers")
        return found

    return name_of


def _fits(weights: np.ndarray, kind: gguf.GGMLQuantizationType) -> bool:
    """Whether rows divide into the quantisation's blocks."""
    return weights.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
