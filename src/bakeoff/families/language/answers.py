"""Conversations as examples of the answers in them: each with the very prompt that serving makes for it.

Prompt and answer share a number of tokens. What is too much goes from the oldest turns; an answer that takes more than
half of all is learned as far as it fits, without an end, so that nobody learns to stop in the middle of a sentence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff.chat.tokens import ChatTokens, TokenSequence
from bakeoff.core.conversation import calls_text, conversation, question_text, unlearned
from bakeoff.core.generation import Message, Messages
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.families.language.examples import Example
from bakeoff.families.language.prompts import LOUD_SHARE, Part, Prompt, cut_losses, sequences

__all__ = ["Answering", "Learned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """An answer as it is learned; `answer` is its text where the end of it is not."""

    example: Example
    prompt: TokenSequence
    question: str
    answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """How conversations become examples of at most `most` tokens: of the last answer, or of `every` one."""

    words: ChatTokens
    prompt: Prompt
    most: int
    every: bool = False

    def examples(self, question: str, answer: str, rejected: str | None = None) -> list[Learned]:
        """What is learned from a row: its question (`core.conversation`), the answer, one that was turned down."""
        turns = conversation(question)
        skipped = unlearned(question)
        earlier = [each for each in _earlier(turns) if each[0] not in skipped] if self.every else []
        return [
            *(self._example(turns[:at], said, None) for at, said in earlier),
            self._example(turns, answer, rejected),
        ]

    def losses(self, learned: Sequence[Sequence[Learned]], part: Part) -> tuple[Loss, ...]:
        """What of the rows of a part was cut."""
        every = [each for row in learned for each in row]
        cut = [each.answer for each in every if each.answer is not None]
        questions, prompts = [each.question for each in every], [each.prompt for each in every]
        without_end = Loss(
            kind="text",
            reason=f"of an answer for which {self.most:,} tokens have no room, the end is not learned",
            subject=f"{part} rows",
            count=len(cut),
            of=len(every),
            examples=tuple(example(text) for text in cut[:EXAMPLES]),
            remedy="raise max_tokens",
            grave=len(cut) > LOUD_SHARE * len(every),
        )
        shorter = cut_losses(questions, prompts, part, self.most, remedy="raise max_tokens")
        return (*shorter, without_end) if cut else shorter

    def _example(self, turns: Messages, answer: str, rejected: str | None) -> Learned:
        wanted = self.words.answer(self.prompt.continuation(answer))
        room = max(self.most - len(wanted), self.most // 2)
        question = question_text(turns)
        (asked,) = sequences(self.words, [question], room, lambda _, shorter: self.prompt.ids(self.words, shorter))
        left = self.most - len(asked.ids)
        good = wanted[:left]
        other = self.words.answer(self.prompt.continuation(rejected))[:left] if rejected else []
        pair = None
        if other and other != good:
            pair = Example(ids=(*asked.ids, *other), completion=len(other))
        made = Example(ids=(*asked.ids, *good), completion=len(good), rejected=pair)
        return Learned(example=made, prompt=asked, question=question, answer=answer if len(wanted) > left else None)


def _earlier(turns: Messages) -> list[tuple[int, str]]:
    """The places of what the assistant said before, with the text of it."""
    said: list[tuple[int, str]] = []
    for at, turn in enumerate(turns):
        if turn["role"] == "assistant" and at and _is_asked(turns[:at]):
            calls = turn.get("tool_calls")
            said.append((at, calls_text(turn.get("content"), calls) if calls else str(turn.get("content") or "")))  # pyright: ignore[reportArgumentType]
    return said


def _is_asked(turns: Sequence[Message]) -> bool:
    """Whether somebody spoke before: a conversation that the assistant opens has nothing to answer."""
    return turns[-1]["role"] in {"user", "tool"}
