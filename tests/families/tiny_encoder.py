"""An encoder of a few hundred bytes: a vector per word, doubled by a second layer."""

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from bakeoff.families.features.onnx_encoder import EncoderSource, _field

WORDS = ["[UNK]", "[CLS]", *(f"{letter}{letter}ord" for letter in "abcdefghijklmnopqrstuvwxyz")]
WORDS += [f"{kind}{group}" for kind in ("label", "sign") for group in range(6)] + ["nothing"]
HIDDEN = 8


def write_tiny_encoder(folder) -> EncoderSource:
    """Write both files; the source names them, with the layer before the last as an inner tensor."""
    (folder / "tiny.onnx").write_bytes(_onnx())
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    tokenizer.save(str(folder / "tiny.json"))
    return EncoderSource(weights=str(folder / "tiny.onnx"), tokenizer=str(folder / "tiny.json"), inner=("words",))


def _number(tag: int, value: int) -> bytes:
    return bytes([tag, value])


def _text(tag: int, value: str) -> bytes:
    return _field(tag, value.encode())


def _node(kind: str, inputs: list[str], output: str) -> bytes:
    return _field(0x0A, b"".join(_text(0x0A, name) for name in inputs) + _text(0x12, output) + _text(0x22, kind))


def _value(tag: int, name: str, elem: int) -> bytes:
    shape = _field(0x12, _field(0x0A, _text(0x12, "n")) + _field(0x0A, _text(0x12, "t")))
    tensor = _number(0x08, elem) + (shape if elem == 7 else b"")
    return _field(tag, _text(0x0A, name) + _field(0x12, _field(0x0A, tensor)))


def _onnx() -> bytes:
    table = np.random.default_rng(0).normal(size=(len(WORDS), HIDDEN)).astype(np.float32)
    dims = _number(0x08, len(WORDS)) + _number(0x08, HIDDEN)
    initializer = _field(0x2A, dims + _number(0x10, 1) + _text(0x42, "table") + _field(0x4A, table.tobytes()))
    graph = (
        _node("Gather", ["table", "input_ids"], "words")
        + _node("Add", ["words", "words"], "last_hidden_state")
        + _text(0x12, "tiny")
        + initializer
        + _value(0x5A, "input_ids", 7)
        + _value(0x62, "last_hidden_state", 1)
    )
    return _number(0x08, 8) + _field(0x3A, graph) + _field(0x42, _text(0x0A, "") + _number(0x10, 13))
