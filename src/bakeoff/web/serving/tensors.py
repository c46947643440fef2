"""Tensors of the Open Inference Protocol (v2): rows from them, and answers as them. REST and gRPC translate to these.

An input of a model is a tensor of shape [n] or [n, 1] by its name, a vector one of [n, d]. Where all inputs are
numbers, one tensor of shape [n, d] with another name holds them in their order.

Source: Open Inference Protocol, github.com/kserve/open-inference-protocol; the binary extension of Triton,
github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bakeoff.core.types import Column, Signature
from bakeoff.serve.runtime import Answer, Row
from bakeoff.web.serving.bodies import refused

__all__ = [
    "BYTES",
    "WIDTHS",
    "Tensor",
    "input_tensors",
    "output_tensors",
    "packed",
    "rows_of",
    "tensors_of",
    "unpacked",
]

BYTES = "BYTES"
CODES = {
    "BOOL": "?",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
WIDTHS = {datatype: struct.calcsize(code) for datatype, code in CODES.items()}
"""Bytes of an element, by datatype."""
MATRIX = 2
LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor: its elements in row-major order, as plain Python; texts are `str`."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Sequence[Any]


def input_tensors(signature: Signature) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name, datatype and shape of each input; -1 for the number of rows."""
    lengths = {c.format.vector: c.format.length for c in signature.inputs if c.format.vector is not None}
    kinds = {column.name: _datatype(column) for column in signature.inputs}
    return [(name, kinds.get(name, "FP64"), (-1, lengths.get(name, 1))) for name in signature.input_names]


def output_tensors(signature: Signature) -> list[tuple[str, str, tuple[int, ...]]]:
    """The same of the outputs: each row's answer, and its id (by which it gets feedback)."""
    ids = ("prediction_id", BYTES, (-1,))
    if signature.task == "classification":
        return [("label", BYTES, (-1,)), ("probabilities", "FP64", (-1, len(signature.classes))), ids]
    return [("value", "FP64" if signature.task == "regression" else BYTES, (-1,)), ids]


def _datatype(column: Column) -> str:
    if column.kind == "numeric":
        return "INT64" if "Int" in column.dtype else "FP64"
    return "BOOL" if column.kind == "boolean" else BYTES


def rows_of(tensors: Sequence[Tensor], signature: Signature) -> list[Row]:
    """The rows that tensors hold.

    Raises:
        HttpError: they have no rows, or not the same number, or a shape that no input has.
    """
    for tensor in tensors:
        _check(tensor)
    if not tensors:
        raise refused("inputs", "at least one tensor", [])
    counts = {tensor.name: tensor.shape[0] if tensor.shape else 0 for tensor in tensors}
    if len(set(counts.values())) > 1:
        raise refused("inputs", "tensors of one number of rows (their first dimension)", counts)
    if len(counts) < len(tensors):
        raise refused("inputs", "tensors of different names", [tensor.name for tensor in tensors])
    matrix, width = _matrix(tensors, signature), len(signature.input_names)
    first = tensors[0]
    if first.shape == (width,) and width > 1 == len(tensors) and first.name not in signature.input_names:
        raise refused(f"inputs.{first.name[:80]}.shape", f"[1, {width}] for one row of all inputs", list(first.shape))
    names = list(signature.input_names) if matrix else [tensor.name for tensor in tensors]
    columns = _columns_of(tensors[0]) if matrix else [_column_of(tensor, signature) for tensor in tensors]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _matrix(tensors: Sequence[Tensor], signature: Signature) -> bool:
    """Whether one tensor holds all inputs, which are numbers, in their order."""
    names = signature.input_names
    if len(tensors) > 1 or tensors[0].name in names or len(tensors[0].shape) != MATRIX:
        return False
    numbers = all(column.kind in {"numeric", "boolean"} for column in signature.inputs)
    return numbers and len(names) == len(signature.inputs) and tensors[0].shape[1] == len(names)


def _columns_of(tensor: Tensor) -> list[list[Any]]:
    width = tensor.shape[1]
    return [list(map(_value, tensor.values[at::width])) for at in range(width)]


def _column_of(tensor: Tensor, signature: Signature) -> list[Any]:
    width = math.prod(tensor.shape[1:])
    if width == 0:
        raise refused(f"inputs.{tensor.name[:80]}.shape", "rows of one element or more", list(tensor.shape))
    vectors = {column.format.vector for column in signature.inputs}
    if tensor.name in vectors:
        return [list(map(_value, tensor.values[at : at + width])) for at in range(0, len(tensor.values), width)]
    if width != 1:
        wide = f"[{tensor.shape[0]}] or [{tensor.shape[0]}, 1]"
        numbers = f"; one tensor of [n, {len(signature.input_names)}] may hold all inputs where they are numbers"
        raise refused(f"inputs.{tensor.name[:80]}.shape", wide + numbers, list(tensor.shape))
    return list(map(_value, tensor.values))


def _value(value: Any) -> Any:
    """A number that is none is a missing value."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _check(tensor: Tensor) -> None:
    place = f"inputs.{tensor.name[:80]}"
    if tensor.datatype != BYTES and tensor.datatype not in CODES:
        raise refused(f"{place}.datatype", " or ".join([*CODES, BYTES]), tensor.datatype)
    if any(size < 0 for size in tensor.shape) or not tensor.shape:
        raise refused(f"{place}.shape", "whole numbers from 0, the rows first", list(tensor.shape))
    if math.prod(tensor.shape) != len(tensor.values):
        expected = f"{math.prod(tensor.shape)} elements, as the shape {list(tensor.shape)} says"
        raise refused(f"{place}.data", expected, f"{len(tensor.values)} elements")


def tensors_of(answers: Sequence[Answer], signature: Signature, wanted: Sequence[str]) -> list[Tensor]:
    """Answers as tensors; those that are `wanted`, or all.

    Raises:
        HttpError: one is wanted that there is not.
    """
    classes = signature.classes
    values: Mapping[str, Any] = {
        "label": lambda: [answer.label for answer in answers],
        "value": lambda: [answer.value for answer in answers],
        "probabilities": lambda: [(answer.probabilities or {}).get(k, 0.0) for answer in answers for k in classes],
        "prediction_id": lambda: [answer.id for answer in answers],
    }
    made = {name: (datatype, shape[1:]) for name, datatype, shape in output_tensors(signature)}
    if made.keys() & {"probabilities"} and any(answer.probabilities is None for answer in answers):
        del made["probabilities"]  # a model that only says labels
    for name in wanted:
        if name not in made:
            raise refused("outputs", " or ".join(made), name)
    return [
        Tensor(name=name, datatype=made[name][0], shape=(len(answers), *made[name][1]), values=values[name]())
        for name in wanted or made
    ]


def packed(tensor: Tensor) -> bytes:
    """A tensor's elements as bytes: little endian; texts behind their lengths."""
    if tensor.datatype == BYTES:
        texts = [str(value).encode() for value in tensor.values]
        return b"".join(LENGTH.pack(len(text)) + text for text in texts)
    return struct.pack(f"<{len(tensor.values)}{CODES[tensor.datatype]}", *tensor.values)


def unpacked(name: str, datatype: str, data: bytes) -> list[Any]:
    """The elements in bytes.

    Raises:
        HttpError: they are no such elements.
    """
    place = f"inputs.{name[:80]}"
    if datatype != BYTES:
        if datatype not in CODES:
            raise refused(f"{place}.datatype", " or ".join([*CODES, BYTES]), datatype)
        width = WIDTHS[datatype]
        if len(data) % width:
            raise refused(f"{place}.data", f"bytes of {datatype}, {width} for each element", f"{len(data)} bytes")
        return list(struct.unpack(f"<{len(data) // width}{CODES[datatype]}", data))
    texts: list[str] = []
    at = 0
    while at < len(data):
        end = at + LENGTH.size
        size = LENGTH.unpack_from(data, at)[0] if end <= len(data) else len(data)
        text, at = data[end : end + size], end + size
        if at > len(data):
            raise refused(f"{place}.data", "texts, each behind its length in 4 bytes", f"{len(data)} bytes")
        texts.append(text_of(text, place))
    return texts


def text_of(text: bytes, place: str) -> str:
    """An element of BYTES as the text that it must be.

    Raises:
        HttpError: it is not UTF-8.
    """
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise refused(f"{place}.data", "texts in UTF-8", text[:40]) from None
