"""What answers hold beside words: calls of tools, and references to sources; held against those of the truth.

A row has such a score only where the truth has calls (or references), or the answer has some that it should not.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRUCTURES", "calls_in", "citations_in", "structure_scores"]

Call: TypeAlias = tuple[str, str]
"""A tool's name and its arguments as JSON of sorted keys."""

_CALL = re.compile(r"<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_CITED = re.compile(r"[\[【]\s*(\d+(?:\s*[,;]\s*\d+)*)\s*(?:†[^\]】]*)?[\]】]")


def calls_in(text: str) -> tuple[Call, ...]:
    """The calls of tools in an answer, each as `<tool_call>{"name": …, "arguments": {…}}</tool_call>`.

    What stands in such marks and is no call is one without a name: it matches nothing.

    >>> calls_in('<tool_call>{"name": "area", "arguments": {"unit": "km", "city": "Ghent"}}</tool_call>')
    (('area', '{"city": "Ghent", "unit": "km"}'),)
    """
    return tuple(_call(body) for body in _CALL.findall(text))


def _call(body: str) -> Call:
    try:
        call: Any = json.loads(body)
        arguments = call.get("arguments", call.get("parameters", {}))
        arguments = json.loads(arguments or "{}") if isinstance(arguments, str) else arguments
        return str(call["name"]), json.dumps(arguments, sort_keys=True, ensure_ascii=False)
    except (ValueError, KeyError, AttributeError, RecursionError):
        return "", body


def citations_in(text: str) -> frozenset[str]:
    """The numbers of sources that a text refers to: [1], [2, 3], 【4†source】.

    >>> sorted(citations_in("It is so [1], or not [2, 3]."))
    ['1', '2', '3']
    """
    return frozenset(number.strip() for match in _CITED.findall(text) for number in re.split(r"[,;]", match))


def _same_names(truth: str, answer: str) -> float:
    expected, made = calls_in(truth), calls_in(answer)
    if not expected and not made:
        return np.nan
    return float(sorted(name for name, _ in expected) == sorted(name for name, _ in made))


def _same_calls(truth: str, answer: str) -> float:
    expected, made = calls_in(truth), calls_in(answer)
    return np.nan if not expected and not made else float(sorted(expected) == sorted(made))


def _citations(truth: str, answer: str) -> float:
    expected, made = citations_in(truth), citations_in(answer)
    return np.nan if not expected and not made else 2 * len(expected & made) / (len(expected) + len(made))


STRUCTURES: Mapping[str, Callable[[str, str], float]] = {
    "tool_name": _same_names,
    "tool_call": _same_calls,
    "citation_f1": _citations,
}


def structure_scores(truth: Sequence[str], answers: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """The scores (n,) by metric, NaN where neither side has such a thing; none where no truth has one."""
    scores: dict[str, NDArray[np.float64]] = {}
    for name, measure in STRUCTURES.items():
        if all(np.isnan(measure(text, "")) for text in truth):
            continue
        values = [measure(text, answer) for text, answer in zip(truth, answers, strict=True)]
        scores[name] = np.asarray(values, dtype=np.float64)
    return scores
