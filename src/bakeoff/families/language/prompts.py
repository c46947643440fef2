# pyright: basic
# tokenizers come without complete types
"""How a row is put to a language model: its text, the instruction, examples, and the chat template."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bakeoff.chat.prompts import check_template, conversation, filled, messages_of_row
from bakeoff.core.errors import CandidateError, DataError
from bakeoff.core.generation import Message, Messages
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.types import Json

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Prompt", "Shot", "row_texts", "shortened", "text_room"]

ROOM = 8
"""Tokens kept free beside a prompt: how many a label may have more than was counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """An example that is shown before the question: a row's text and its answer."""

    text: str
    answer: str


def row_texts(table: "pl.DataFrame", columns: Sequence[str], template: str | None) -> list[str]:
    """Each row as a text: by the template, else its only column, else a line for each column that has a value.

    Raises:
        CandidateError: the template names something else than columns.
    """
    rows = table.select(columns).iter_rows(named=True)
    if template is not None:
        try:
            check_template("prompt", template, columns)
        except DataError as error:
            raise CandidateError(str(error)) from error
        return [filled(template, row) for row in rows]
    if len(columns) == 1:
        return ["" if row[columns[0]] is None else str(row[columns[0]]) for row in rows]
    return [str(messages_of_row(row, columns)[0]["content"]) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What stands around a row's text; `chat`: in the model's chat template, else as plain lines.

    With `conversations`, a text that is a JSON list of messages is read as their turns.

    The instruction comes first, so that all rows of a candidate begin alike and what they share is computed once.
    """

    instruction: str
    target: str
    chat: bool
    system: str | None = None
    conversations: bool = False

    @classmethod
    def of(
        cls,
        tokenizer: Any,
        *,
        instruction: str | None,
        target: str,
        columns: Sequence[str],
        classes: Sequence[str],
        chat: bool | None,
        system: str | None,
        conversations: bool = False,
    ) -> "Prompt":
        """The prompt of a candidate; its instruction is made of the names of columns and classes unless given.

        Raises:
            CandidateError: a chat template is asked for, and the model has none.
        """
        if chat and not tokenizer.chat_template:
            raise CandidateError(
                "expected a model with a chat template because chat = true, found none in its tokenizer; "
                "name an instruction-tuned model, or leave 'chat' out to ask with plain lines"
            )
        if instruction is None:
            what = columns[0] if len(columns) == 1 else "row"
            among = f" Answer with one of: {', '.join(classes)}." if classes else ""
            instruction = f"What is the {target} of this {what}?{among}"
        used = bool(tokenizer.chat_template) if chat is None else chat
        return cls(instruction=instruction, target=target, chat=used, system=system, conversations=conversations)

    def to_json(self) -> dict[str, Json]:
        """For the record of what was chosen."""
        return {"instruction": self.instruction, "chat": self.chat, "system": self.system}

    def render(self, tokenizer: Any, text: str, shots: Sequence[Shot] = ()) -> str:
        """The whole prompt, up to where the answer begins."""
        if not self.chat:
            told = "".join(f"{shot.text}\n{self.target}: {shot.answer}\n\n" for shot in shots)
            return f"{self._lead}{told}{text}\n{self.target}:"
        try:
            turns = self.turns(text, shots)
            return tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        except Exception as error:  # a template raises what it likes, for instance of a system turn
            raise CandidateError(f"expected the model's chat template to take the prompt, found: {error}") from error

    def turns(self, text: str, shots: Sequence[Shot] = ()) -> list[Message]:
        """The conversation that asks about a row; for `conversations` its text may hold several turns."""
        asked: list[Message] = conversation(text) if self.conversations else [{"role": "user", "content": text}]
        return self.around(asked, shots)

    def around(self, asked: Messages, shots: Sequence[Shot] = ()) -> list[Message]:
        """A conversation with what stands before it: the system turn unless it has its own, instruction, examples."""
        turns: list[Message] = []
        for shot in shots:
            turns += [{"role": "user", "content": shot.text}, {"role": "assistant", "content": shot.answer}]
        opened = [dict(turn) for turn in asked]
        own = opened.pop(0) if opened and opened[0]["role"] == "system" else None
        turns += opened
        first = next((turn for turn in turns if turn["role"] == "user"), None)
        if first is not None and self._lead:
            turns[turns.index(first)] = {"role": "user", "content": f"{self._lead}{first['content']}"}
        system = own if own is not None or self.system is None else {"role": "system", "content": self.system}
        return turns if system is None else [system, *turns]

    @property
    def _lead(self) -> str:
        return f"{self.instruction}\n\n" if self.instruction else ""

    def continuation(self, answer: str) -> str:
        """The answer as it follows the prompt."""
        return answer if self.chat else f" {answer}"


def shortened(tokenizer: Any, texts: Sequence[str], most: int) -> list[str]:
    """Texts of at most so many tokens; what is longer loses its end."""
    long = [i for i, text in enumerate(texts) if len(text.encode(errors="replace")) > most]
    result = list(texts)
    for i in long:
        text = texts[i][: most * 40]  # no tokenizer has many longer tokens; a huge text is not tokenised whole
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        result[i] = text[: offsets[most - 1][1]] if len(offsets) > most else text
    return result


def texts_cut(texts: Sequence[str], shorter: Sequence[str], most: int, *, by_setting: bool) -> Loss:
    """The loss of what `shortened` cut off: by the parameter `max_tokens`, or because the model reads no more."""
    cut = [text for text, kept in zip(texts, shorter, strict=True) if len(kept) < len(text)]
    return Loss(
        kind="text",
        reason=f"of a row's text, {most:,} tokens are read",
        count=len(cut),
        of=len(texts),
        examples=tuple(example(text) for text in cut[:EXAMPLES]),
        remedy="raise max_tokens" if by_setting else "name a model with a longer context",
    )


def text_room(prompt: Prompt, tokenizer: Any, shots: Sequence[Shot], *, context: int, answer: int) -> int:
    """Tokens that are left for a row's text.

    Raises:
        CandidateError: instruction and examples fill the model's context.
    """
    around = len(tokenizer(prompt.render(tokenizer, "", shots), add_special_tokens=False)["input_ids"])
    left = context - around - answer - ROOM
    if left < 1:
        raise CandidateError(
            f"expected instruction and examples to leave room in {context} tokens, received a prompt of {around}: "
            "shorten the instruction, or ask for fewer examples (shots)"
        )
    return left
