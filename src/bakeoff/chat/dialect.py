"""Dialects of the OpenAI API: services agree on its form and differ in which options they take.

The chat models of today call the limit `max_tokens`; reasoning models call it `max_completion_tokens` and take no
temperature and give no log-probabilities. A service says so with a 400 that names the option: what it says is
learned, the call made again in its dialect, and the dialect kept with the model, so that it is served as it was
measured.

Source: the OpenAI API reference, platform.openai.com/docs/guides/reasoning (limitations) and /docs/guides/error-codes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from bakeoff.core.types import Json

__all__ = ["PLAIN", "REASONING", "Dialect"]

OPTIONAL = frozenset({"temperature", "top_p", "logprobs", "top_logprobs", "seed", "stream_options"})
"""What an answer can do without; all else that is refused is an error."""
TOGETHER = frozenset({"logprobs", "top_logprobs"})
REFUSES = re.compile(
    r"unsupported|not supported|unrecognized|unknown|extra_forbidden|extra inputs|not permitted|does not support"
    r"|doesn't support|not allowed|unexpected",
    re.IGNORECASE,
)
TELLING = frozenset({400, 403, 422})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a service wants to be asked.

    Attributes:
        max_tokens: Its name for the most tokens of an answer.
        left_out: Options that it refuses.
    """

    max_tokens: str = "max_tokens"
    left_out: tuple[str, ...] = ()

    def spoken(self, body: Mapping[str, Json]) -> dict[str, Json]:
        """The body of a call in this dialect.

        >>> Dialect(max_tokens="max_completion_tokens", left_out=("seed",)).spoken({"max_tokens": 5, "seed": 1})
        {'max_completion_tokens': 5}
        """
        named = {self.max_tokens if name == "max_tokens" else name: value for name, value in body.items()}
        return {name: value for name, value in named.items() if name not in self.left_out}

    def learned(
        self, status: int, answer: Any, body: Mapping[str, Json], fixed: frozenset[str] = frozenset()
    ) -> "Dialect | None":
        """The dialect that an answer teaches; None when it teaches nothing new.

        Args:
            status: The status of the answer.
            answer: Its body, decoded.
            body: The call as it was made.
            fixed: Options that somebody asked for: they are not to be left out unasked.
        """
        if status not in TELLING or not isinstance(answer, Mapping):
            return None
        text = str(cast("Any", answer))
        if not REFUSES.search(text):
            return None
        name = _named(cast("Mapping[str, Any]", answer), text, body)
        if name in {"max_tokens", "max_completion_tokens"}:
            other = "max_completion_tokens" if name == "max_tokens" else "max_tokens"
            return replace(self, max_tokens=other) if other in text and self.max_tokens == name else None
        if name not in OPTIONAL or name in fixed:
            return None
        more = TOGETHER if name in TOGETHER else {name}
        return replace(self, left_out=tuple(sorted({*self.left_out, *more})))

    def to_json(self) -> dict[str, Json]:
        """For the record of what was chosen."""
        return {"max_tokens": self.max_tokens, "left_out": list(self.left_out)}


def _named(answer: Mapping[str, Any], text: str, body: Mapping[str, Json]) -> str | None:
    """The option of the call that an error is about: the one it names as its parameter, else the first in its words."""
    error: Any = answer.get("error")
    param: Any = cast("Mapping[str, Any]", error).get("param") if isinstance(error, Mapping) else None
    if param in body:
        return str(param)
    places = {name: place for name in body if (place := _place(name, text)) >= 0}
    return min(places, key=places.__getitem__, default=None)


def _place(name: str, text: str) -> int:
    found = re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", text)
    return found.start() if found else -1


PLAIN = Dialect()
REASONING = Dialect(
    max_tokens="max_completion_tokens", left_out=("logprobs", "seed", "temperature", "top_logprobs", "top_p")
)
