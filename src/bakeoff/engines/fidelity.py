"""Served = trained: hold an engine's answers against the trained model in the reference engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from bakeoff.core.errors import CandidateError
from bakeoff.core.generation import Messages, Sampling, TextSession, Token
from bakeoff.engines.reference import ReferenceSession, Weighed

__all__ = ["PROMPTS", "TOLERANCES", "Fidelity", "OwnWords", "compare", "require"]

PROMPTS: tuple[Messages, ...] = (
    ({"role": "user", "content": "What is the capital of France?"},),
    ({"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "12345 + 1 = ?"}),
    (
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": "Hello! How can I help?"},
        {"role": "user", "content": "  Naïve café — it's 3.14, isn't it?\n\n日本"},
    ),
    ({"role": "user", "content": "Write a sentence about the sea, and one about the hills."},),
    ({"role": "system", "content": "You are brief."}, {"role": "user", "content": "Name three colours."}),
    ({"role": "user", "content": "def add(a, b):\n    return"},),
)
TOKENS = 24
LEAST = 8
"""Tokens and ends of answers; on fewer nothing is judged."""
TOLERANCES = {"f32": 0.01, "f16": 0.02, "bf16": 0.1, "q8_0": 0.1, "q5_1": 0.4, "q5_0": 0.4, "q4_1": 0.6, "q4_0": 0.6}
"""The largest mean |difference| of log-probabilities (nats a token) that a quantisation may cost."""
FAR = 10.0
"""How many times the tolerance a single token may be off."""


@runtime_checkable
class OwnWords(Protocol):
    """A session whose file has a chat template and special tokens of its own, which other programs would use."""

    def own_render(self, messages: Messages) -> list[int]:
        """The token ids that they make of a conversation."""
        ...

    def own_special(self) -> tuple[str, str]:
        """The texts of the tokens that begin and end a text."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """How far an engine is from the trained model.

    `mean_gap` and `max_gap` are |differences| of log-probabilities over all compared `tokens`, in nats; `ends` counts
    answers whose end was compared. `diverges` tells of the first thing that is out of tolerance, or is empty.
    """

    tokens: int
    ends: int
    mean_gap: float
    max_gap: float
    tolerance: float
    diverges: str

    @property
    def holds(self) -> bool:
        """Whether what is served is what was trained."""
        return not self.diverges


def compare(
    trained: ReferenceSession, served: TextSession, *, tolerance: float, prompts: Sequence[Messages] = PROMPTS
) -> Fidelity:
    """Let the served model answer fixed prompts, and ask the trained one how likely those tokens and ends are to it.

    Prompts go through the engine's own chat template and tokenizer where it has them, so that a template, a special
    token or a missing adapter shows as well as damaged weights do. An answer that ends, or goes on, where the trained
    model clearly would not, is another model's.
    """
    gaps: list[float] = []
    ends = 0
    first = _other_special(trained, served)
    for number, messages in enumerate(prompts, 1):
        ours = trained.render(messages)
        theirs = served.own_render(messages) if isinstance(served, OwnWords) else served.render(messages)
        if ours != theirs:
            first = first or f"prompt {number}: {_first_difference(trained, ours, theirs)}"
            continue
        answer = _answer(served, trained, messages)
        weighed = trained.weigh(ours, [token.id for token in answer.tokens])
        here = [abs(token.logprob - value) for token, value in zip(answer.tokens, weighed.known, strict=True)]
        gaps += here
        ends += answer.ended
        unlike = _unlike(answer, weighed, here, FAR * tolerance)
        first = first or (f"prompt {number}, {unlike}" if unlike else "")
    mean = sum(gaps) / len(gaps) if gaps else 0.0
    if mean > tolerance and not first:
        first = f"log-probabilities differ by {mean:.3f} nats a token on average"
    if len(gaps) + ends < LEAST and not first:
        first = f"{len(gaps)} tokens and {ends} ends of answers are too few to judge by (at least {LEAST})"
    return Fidelity(
        tokens=len(gaps), ends=ends, mean_gap=mean, max_gap=max(gaps, default=0.0), tolerance=tolerance, diverges=first
    )


def require(found: Fidelity, engine: str) -> None:
    """Raise `CandidateError` when the served model is not the trained one."""
    if not found.holds:
        raise CandidateError(
            f"expected engine {engine!r} to serve the trained model within {found.tolerance} nats a token, found "
            f"{found.diverges} (mean {found.mean_gap:.3f} over {found.tokens} tokens); serve with engine transformers, "
            "or with a finer quantisation"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """The tokens of an answer as far as each is told apart; whether it ended behind them, or was cut unasked."""

    tokens: list[Token]
    ended: bool
    cut: bool


def _answer(served: TextSession, trained: ReferenceSession, messages: Messages) -> _Answer:
    """What is answered to a prompt; it is read up to a part of a character, as streams put such parts together."""
    pieces = list(served.chat(messages, Sampling(max_tokens=TOKENS, top_logprobs=1)))
    every = [token for piece in pieces for token in piece.tokens]
    place = next((i for i, token in enumerate(every) if token.text != trained.text_of(token.id)), len(every))
    finish = next((piece.finish for piece in reversed(pieces) if piece.finish), None)
    count = next((piece.completion_tokens for piece in reversed(pieces) if piece.finish), 0)
    whole = place == len(every)
    return _Answer(
        tokens=every[:place],
        ended=whole and finish == "stop",
        cut=whole and finish != "stop" and max(count, len(every)) < TOKENS,
    )


def _unlike(answer: _Answer, trained: Weighed, gaps: Sequence[float], far: float) -> str:
    """What of an answer the trained model would not say, where a single difference may be `far`; empty if nothing."""
    count = len(answer.tokens)
    for at, token in enumerate(answer.tokens):
        if gaps[at] > far:
            return (
                f"token {at + 1} of the answer: {token.text!r} has log-probability {token.logprob:.3f} served, "
                f"{trained.known[at]:.3f} trained"
            )
        if trained.best[at] - trained.known[at] > far:
            instead = "it would have ended" if trained.end[at] >= trained.best[at] else "another token is likelier"
            return f"token {at + 1} of the answer: {token.text!r} is served where by what was trained {instead}"
    if answer.ended and trained.best[-1] - trained.end[-1] > far:
        return f"the answer ends after {count} tokens, where what was trained goes on"
    return f"the answer is cut after {count} tokens, though it may have {TOKENS}" if answer.cut else ""


def _other_special(trained: ReferenceSession, served: TextSession) -> str:
    """Which special token is another one."""
    if not isinstance(served, OwnWords):
        return ""
    spelling = {token: text for text, token in trained.words.control.items()}
    begin, end = served.own_special()
    words = trained.words
    for what, token, other in (("begins a text", words.bos, begin), ("ends an answer", words.end, end)):
        if token is not None and spelling.get(token, other) != other:
            return f"the token that {what} is {spelling[token]!r} when trained and {other!r} when served"
    return ""


def _first_difference(trained: ReferenceSession, ours: Sequence[int], theirs: Sequence[int]) -> str:
    place = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    expected, found = (repr(trained.text_of(ids[place])) if place < len(ids) else "the end" for ids in (ours, theirs))
    return f"token {place + 1} of the prompt is {expected} when trained and {found} when served"
