"""Answers that are there at once, as pieces: the limits of a call hold for them as for those that are generated."""

import re
from collections.abc import Iterator

from bakeoff.core.generation import Finish, Messages, Piece, Sampling
from bakeoff.core.scripts import UNSPACED

__all__ = ["token_ends", "whole_answer"]

_DENSE = rf"{UNSPACED}\uac00-\ud7af"  # and Hangul, of which a syllable says as much
_TOKEN = re.compile(rf"[{_DENSE}]|[^\s{_DENSE}]+")


def token_ends(text: str) -> list[int]:
    """Where each token of a text ends, for families without a tokenizer.

    A token is a word with the white space before it, or one character of a script that is written without spaces.

    >>> token_ends("Press the key.")
    [5, 9, 14]
    >>> len(token_ends("\u5728\u6839\u7279 (Ghent)"))
    4
    """
    return [match.end() for match in _TOKEN.finditer(text)]


def whole_answer(messages: Messages, text: str, sampling: Sampling) -> Iterator[Piece]:
    """The text as an answer to the messages, cut before the first stop text and after `max_tokens` tokens."""
    ends = token_ends(text)
    finish: Finish = "stop"
    if len(ends) > sampling.max_tokens:
        text, finish = text[: ends[sampling.max_tokens - 1]], "length"
    stops = [place for stop in sampling.stop if (place := text.find(stop)) >= 0]
    if stops:
        text, finish = text[: min(stops)], "stop"
    if text:
        yield Piece(text=text)
    asked = sum(len(token_ends(str(turn["content"]))) for turn in messages)
    yield Piece(finish=finish, prompt_tokens=asked, completion_tokens=len(token_ends(text)))
