"""Conversations with models that answer rows: a client of language models can use a classical winner.

The last message of the user is the row: its text where the model has one text as its input, else a JSON object. The
answer is the label (or the number) as a text of one token. The classes are its alternatives, and their probabilities
are its log-probabilities. Nothing else that is said has a place in a row: not what the system says, nor earlier turns.
"""

import json
import math
from collections.abc import Mapping, Sequence

from bakeoff.core.conversation import row_in
from bakeoff.core.generation import Messages, Option, Piece, Sampling, Token
from bakeoff.core.types import Signature
from bakeoff.serve.runtime import Answer, Row
from bakeoff.web.serving.bodies import refused

__all__ = ["answer_pieces", "require_plain", "row_of"]

IMPOSSIBLE = -9999.0
"""The log-probability of what has none, as OpenAI's API has it."""


def row_of(messages: Messages, signature: Signature) -> Row:
    """The row that a conversation asks about.

    Raises:
        HttpError: the user says nothing, or no JSON object where the model has several inputs.
    """
    at = next((at for at in reversed(range(len(messages))) if messages[at]["role"] == "user"), None)
    if at is None:
        raise refused("messages", "a message of the user", [message["role"] for message in messages])
    row, names = row_in(messages, signature.inputs, whole=False), signature.input_names
    if row is None:
        example = "{" + ", ".join(f'"{name}": …' for name in names[:5]) + (", …}" if len(names) > 5 else "}")  # noqa: PLR2004
        expected = f"the row as a JSON object, such as {example}"
        raise refused(f"messages[{at}].content", expected, str(messages[at]["content"]))
    return row


def require_plain(sampling: Sampling, choices: int, signature: Signature) -> None:
    """See that a call wants nothing but one answer, with log-probabilities at most.

    Raises:
        HttpError, OptionError: it does.
    """
    task = signature.task
    able = frozenset[Option]({"logprobs"}) if task == "classification" else frozenset[Option]()
    sampling.require(able, f"a model for {task}")
    if choices != 1:
        raise refused("n", f"1: a model for {task} has one answer", choices)


def answer_pieces(answer: Answer, signature: Signature, sampling: Sampling) -> list[Piece]:
    """An answer as a model that converses gives it.

    Raises:
        HttpError: log-probabilities are wanted of a model that only says labels.
    """
    text = json.dumps(answer.value) if isinstance(answer.value, float) else str(answer.label or answer.value or "")
    tokens: tuple[Token, ...] = ()
    if sampling.top_logprobs is not None:
        if answer.probabilities is None:
            raise refused("logprobs", "it to be left out: this model has no probabilities", True)  # noqa: FBT003
        tokens = (_token(text, answer.probabilities, signature.classes, sampling.top_logprobs),)
    return [Piece(text=text, tokens=tokens), Piece(finish="stop", completion_tokens=1)]


def _token(label: str, probabilities: Mapping[str, float], classes: Sequence[str], most: int) -> Token:
    likeliest = sorted(classes, key=lambda name: -probabilities.get(name, 0.0))
    top = tuple((name, _logarithm(probabilities.get(name, 0.0))) for name in likeliest[:most])
    place = classes.index(label) if label in classes else -1
    return Token(id=place, text=label, logprob=_logarithm(probabilities.get(label, 0.0)), top=top)


def _logarithm(probability: float) -> float:
    return math.log(probability) if probability > 0 else IMPOSSIBLE
