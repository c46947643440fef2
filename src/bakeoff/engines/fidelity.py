"""Served = trained: hold an engine's log-probabilities against those of the trained model in the reference engine."""

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.core.errors import CandidateError
from bakeoff.core.generation import Messages, Sampling, TextSession, Token
from bakeoff.engines.reference import ReferenceSession

__all__ = ["PROMPTS", "TOLERANCES", "Fidelity", "compare", "require"]

PROMPTS: tuple[Messages, ...] = (
    ({"role": "user", "content": "What is the capital of France?"},),
    ({"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "12345 + 1 = ?"}),
    (
        {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": "Hello! How can I help?"},
        {"role": "user", "content": "  Naïve café — it's 3.14, isn't it?\n\n日本"},
    ),
)
TOKENS = 24
TOLERANCES = {"f32": 0.01, "f16": 0.02, "bf16": 0.1, "q8_0": 0.1, "q5_1": 0.4, "q4_1": 0.6, "q4_0": 0.6}
"""The largest mean |difference| of log-probabilities (nats a token) that a quantisation may cost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """How far an engine is from the trained model.

    `mean_gap` and `max_gap` are |differences| of log-probabilities over all compared tokens, in nats.
    `diverges` tells of the first token that is out of tolerance, or is empty.
    """

    tokens: int
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
    """Let the served model answer fixed prompts, and ask the trained one how likely those tokens are to it.

    Prompts go through each engine's own chat template and tokenizer, so that a template, a special token or a
    missing adapter shows as well as damaged weights do.
    """
    gaps: list[float] = []
    first = ""
    for number, messages in enumerate(prompts, 1):
        ours, theirs = trained.render(messages), served.render(messages)
        if ours != theirs:
            first = first or f"prompt {number}: {_first_difference(trained, ours, theirs)}"
            continue
        sampling = Sampling(max_tokens=TOKENS, top_logprobs=1)
        said = _whole([token for piece in served.chat(messages, sampling) for token in piece.tokens], trained)
        if not said:  # it ended at once: nothing to compare
            continue
        known = trained.score(ours, [token.id for token in said])
        here = [abs(token.logprob - value) for token, value in zip(said, known, strict=True)]
        gaps += here
        place = next((i for i, gap in enumerate(here) if gap > 10 * tolerance), None)
        if place is not None and not first:
            first = (
                f"prompt {number}, token {place + 1} of the answer: {said[place].text!r} has log-probability "
                f"{said[place].logprob:.3f} served, {known[place]:.3f} trained"
            )
    mean = sum(gaps) / len(gaps) if gaps else 0.0
    if mean > tolerance and not first:
        first = f"log-probabilities differ by {mean:.3f} nats a token on average"
    return Fidelity(
        tokens=len(gaps), mean_gap=mean, max_gap=max(gaps, default=0.0), tolerance=tolerance, diverges=first
    )


def require(found: Fidelity, engine: str) -> None:
    """Raise `CandidateError` when the served model is not the trained one."""
    if not found.holds:
        raise CandidateError(
            f"expected engine {engine!r} to serve the trained model within {found.tolerance} nats a token, found "
            f"{found.diverges} (mean {found.mean_gap:.3f} over {found.tokens} tokens); serve with engine transformers, "
            "or with a finer quantisation"
        )


def _whole(said: list[Token], trained: ReferenceSession) -> list[Token]:
    """Tokens up to the first that is a part of a character: streams put such parts together under one of their ids."""
    place = next((i for i, token in enumerate(said) if token.text != trained.text_of(token.id)), len(said))
    return said[:place]


def _first_difference(trained: ReferenceSession, ours: Sequence[int], theirs: Sequence[int]) -> str:
    place = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    expected, found = (repr(trained.text_of(ids[place])) if place < len(ids) else "the end" for ids in (ours, theirs))
    return f"token {place + 1} of the prompt is {expected} when trained and {found} when served"
