"""How a row is put to a language model: its turns, what stands around them, and the token ids of both."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from bakeoff.chat.prompts import Preamble, check_template, messages_of_row
from bakeoff.chat.tokens import ChatTokens, TokenSequence
from bakeoff.core.conversation import conversation, lines_of, question_text
from bakeoff.core.errors import CandidateError, DataError
from bakeoff.core.generation import Message, Messages
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.types import Json

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Part", "Prompt", "Shot", "clipped", "cut_losses", "row_texts", "sequences"]

Part: TypeAlias = Literal["training", "validation", "test"]
ROOM = 8
"""Tokens kept free beside a prompt: how many a label may have more than was counted."""
LOUD_SHARE = 0.01
"""Of the rows; cuts beyond it are shown to everyone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """An example that is shown before the question: a row's text (`core.conversation`) and its answer."""

    text: str
    answer: str


def row_texts(
    table: "pl.DataFrame", columns: Sequence[str], template: str | None, conversations: Collection[str] = ()
) -> list[str]:
    """Each row's question as a text (`core.conversation.question_text`).

    Raises:
        CandidateError: the template names something else than columns.
    """
    if template is not None:
        try:
            check_template("prompt", template, columns)
        except DataError as error:
            raise CandidateError(str(error)) from error
    rows = table.select(columns).iter_rows(named=True)
    return [
        question_text(messages_of_row(row, columns, template=template, conversations=conversations)) for row in rows
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What stands around a row's question; `chat`: in the model's chat template, else as plain lines.

    The instruction comes first, so that all rows of a candidate begin alike and what they share is computed once.
    `conversations` is set in models of before columns told whether they hold conversations: any text may be one.
    """

    instruction: str
    target: str
    chat: bool
    system: str | None = None
    conversations: bool = False

    @classmethod
    def of(
        cls,
        words: ChatTokens,
        *,
        instruction: str | None,
        target: str,
        columns: Sequence[str],
        classes: Sequence[str],
        chat: bool | None,
        system: str | None,
    ) -> "Prompt":
        """The prompt of a candidate; its instruction is made of the names of columns and classes unless given.

        Raises:
            CandidateError: a chat template is asked for, and the model has none.
        """
        if chat and words.template is None:
            raise CandidateError(
                "expected a model with a chat template because chat = true, found none in its tokenizer; "
                "name an instruction-tuned model, or leave 'chat' out to ask with plain lines"
            )
        used = words.template is not None if chat is None else chat
        if system and not used:
            raise CandidateError(
                "expected a model with a chat template for a system turn, found none in its tokenizer (or chat = "
                "false); put what it says into the instruction"
            )
        if instruction is None:
            what = columns[0] if len(columns) == 1 else "row"
            among = f" Answer with one of: {', '.join(classes)}." if classes else ""
            instruction = f"What is the {target} of this {what}?{among}"
        return cls(instruction=instruction, target=target, chat=used, system=system)

    def to_json(self) -> dict[str, Json]:
        """For the record of what was chosen."""
        return {"instruction": self.instruction, "chat": self.chat, "system": self.system}

    def around(self, asked: Messages, shots: Sequence[Shot] = ()) -> list[Message]:
        """A conversation with what stands before it."""
        examples = tuple((*conversation(shot.text), {"role": "assistant", "content": shot.answer}) for shot in shots)
        return Preamble(system=self.system, instruction=self.instruction, examples=examples).around(asked)

    def turns(self, text: str, shots: Sequence[Shot] = ()) -> list[Message]:
        """The conversation that asks about a row."""
        return self.around(conversation(text), shots)

    def ids(self, words: ChatTokens, asked: Messages, shots: Sequence[Shot] = ()) -> list[int]:
        """The token ids of the whole prompt, up to where the answer begins.

        Raises:
            CandidateError: the model's chat template refuses the conversation.
        """
        if not self.chat:
            return words.text(self._lines(asked, shots))
        try:
            return words.prompt(self.around(asked, shots))
        except DataError as error:
            raise CandidateError(f"expected the model's chat template to take the prompt: {error}") from error

    def most(self, words: ChatTokens, shots: Sequence[Shot], *, row: int | None, context: int, answer: int) -> int:
        """Tokens that a prompt may have: `row` beside what stands around them (None: as many as there is room for).

        Raises:
            CandidateError: instruction and examples fill the model's context.
        """
        around = len(self.ids(words, [{"role": "user", "content": ""}], shots))
        left = context - around - answer - ROOM
        if left < 1:
            raise CandidateError(
                f"expected instruction and examples to leave room in {context} tokens, received a prompt of {around}: "
                "shorten the instruction, or ask for fewer examples (shots)"
            )
        return around + (left if row is None else min(row, left))

    def sequences(
        self, words: ChatTokens, texts: Sequence[str], shots: Sequence[Sequence[Shot]], most: int | Sequence[int]
    ) -> list[TokenSequence]:
        """The prompts of rows' texts, each with its examples, in at most so many tokens."""

        def encode(at: int, asked: Messages) -> list[int]:
            return self.ids(words, asked, shots[at])

        return sequences(words, texts, most, encode)

    def continuation(self, answer: str) -> str:
        """The answer as it follows the prompt."""
        return answer if self.chat else f" {answer}"

    def _lines(self, asked: Messages, shots: Sequence[Shot]) -> str:
        lead = f"{self.instruction}\n\n" if self.instruction else ""
        shown = "".join(f"{lines_of(conversation(s.text))}\n{self.target}: {s.answer}\n\n" for s in shots)
        return f"{lead}{shown}{lines_of(asked)}\n{self.target}:"


def sequences(
    words: ChatTokens, texts: Sequence[str], most: int | Sequence[int], encode: Callable[[int, Messages], list[int]]
) -> list[TokenSequence]:
    """The token ids of rows' texts in at most so many tokens; `encode` makes those of the turns of row `at`.

    Raises:
        CandidateError: what may not be cut is too long.
    """
    limits = [most] * len(texts) if isinstance(most, int) else most
    made: list[TokenSequence] = []
    for at, (text, limit) in enumerate(zip(texts, limits, strict=True)):
        try:
            made.append(words.fitted(conversation(text), limit, lambda asked, at=at: encode(at, asked)))
        except DataError as error:
            raise CandidateError(str(error)) from error
    return made


def clipped(words: ChatTokens, texts: Sequence[str], most: int) -> list[str]:
    """Rows' texts of at most so many tokens: examples are cut as questions are."""

    def encode(_: int, asked: Messages) -> list[int]:
        return words.text(lines_of(asked))

    return [question_text(each.turns) for each in sequences(words, texts, most, encode)]


def cut_losses(
    texts: Sequence[str], made: Sequence[TokenSequence], part: Part, most: int, *, remedy: str
) -> tuple[Loss, ...]:
    """What of the rows of a part was cut: conversations that lost their oldest turns, and texts that lost their end."""
    older = [text for text, each in zip(texts, made, strict=True) if each.exchanges_cut]
    ends = [text for text, each in zip(texts, made, strict=True) if each.text_cut]
    reasons = {
        f"the oldest turns of a conversation, of which {most:,} tokens are read": older,
        f"of a row's text, {most:,} tokens are read": ends,
    }
    return tuple(
        Loss(
            kind="text",
            reason=reason,
            subject=f"{part} rows",
            count=len(cut),
            of=len(texts),
            examples=tuple(example(text) for text in cut[:EXAMPLES]),
            remedy=remedy,
            grave=len(cut) > LOUD_SHARE * len(texts),
        )
        for reason, cut in reasons.items()
        if cut
    )
