"""Tables of conversations, in the forms that fine-tuning files have, as a column of turns and the answer to them.

Known are `messages` (OpenAI), `conversations` (ShareGPT), `text` with marks of turns (`transcripts`), the columns of
Alpaca and Dolly, and prompts with a completion (wanted or not) or with a chosen and a rejected answer. To add a form,
write a `Layout`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.config.sections import DataConfig
from bakeoff.core import narrow
from bakeoff.core.conversation import question_text
from bakeoff.core.errors import DataError
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.types import ColumnFormat
from bakeoff.data.transcripts import transcript_of
from bakeoff.data.turns import (
    ConversationExample,
    alpaca_turns,
    answered,
    is_turns,
    transcript_turns,
    turns_of,
    without_place,
)

if TYPE_CHECKING:
    import polars as pl

__all__ = ["MESSAGES", "TURNS", "Layout", "Turned", "layout_of", "question_row", "unpacked", "usual_target"]

MESSAGES = "messages"
SAMPLE = 50
TURNS = ColumnFormat(form="conversation")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A form in which files hold conversations.

    Attributes:
        name: As people call it.
        column: The column that holds the turns, then.
        target: The column that holds the answer, if one does.
        rejected: The column that holds an answer that was turned down, if one does.
        replaced: Columns that are in the turns, and go.
        unwanted: A row whose answer nobody should learn.
        read: A row's turns with the answer; `TypeError` with what is wrong.
    """

    name: str
    column: str
    read: Callable[[Row], ConversationExample]
    target: str | None = None
    rejected: str | None = None
    replaced: tuple[str, ...] = ()
    unwanted: Callable[[Row], bool] = lambda _: False


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """A table whose conversations are texts (`core.conversation`), their formats, and what was lost and done."""

    table: "pl.DataFrame"
    formats: Mapping[str, ColumnFormat] = field(default_factory=dict[str, ColumnFormat])
    losses: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()
    layout: str | None = None


def layout_of(row: Row) -> Layout | None:
    """The form of a table by one of its rows; None when it holds no conversations, or texts that need no reading."""
    return _of_turns(row) or _of_pairs(row) or _of_texts(row)


def _of_turns(row: Row) -> Layout | None:
    """A column of lists of turns that end with the answer."""
    name = next((each for each in (MESSAGES, "conversations", "conversation") if is_turns(row.get(each))), None)
    if name is None:
        return None
    share = name != MESSAGES or "from" in _listed(row[name])[0]
    beside = ["system"] if isinstance(row.get("system"), str) else []
    beside += ["prompt"] if isinstance(row.get("prompt"), str) and _repeats(row, name) else []
    return Layout(
        name="ShareGPT" if share else "messages",
        column=name,
        read=partial(_messages, name, beside),
        replaced=tuple(beside),
    )


def _of_pairs(row: Row) -> Layout | None:
    """A prompt with its answer, or answers, of which any may be turns."""
    if is_turns(row.get("chosen")) or (transcript_of(row.get("chosen")) and transcript_of(row.get("rejected"))):
        return Layout(name="preference", column="prompt", target="chosen", rejected="rejected", read=_preference)
    if is_turns(row.get("prompt")):
        return Layout(name="prompt and completion", column="prompt", target="completion", read=_completion)
    if isinstance(row.get("label"), bool) and isinstance(row.get("completion"), str) and "prompt" in row:
        return Layout(
            name="KTO",
            column="prompt",
            target="completion",
            read=_completion,
            replaced=("label",),
            unwanted=lambda each: each.get("label") is False,
        )
    return None


def _of_texts(row: Row) -> Layout | None:
    """Columns of an instruction and what it is about, or a text that is a whole conversation."""
    output = next((each for each in ("output", "response") if isinstance(row.get(each), str)), None)
    if isinstance(row.get("instruction"), str) and output is not None:
        names = ("instruction", "input" if output == "output" else "context", "system", "history")
        return Layout(
            name="Alpaca" if output == "output" else "Dolly",
            column=MESSAGES,
            target=output,
            read=lambda each: ConversationExample(turns=alpaca_turns(each), answer=_text(each.get(output))),
            replaced=tuple(name for name in names if name in row),
        )
    if (form := transcript_of(row.get("text"))) is not None:
        return Layout(name=form.name, column="text", read=lambda each: answered(transcript_turns(each.get("text"))))
    return None


def _messages(name: str, beside: Collection[str], row: Row) -> ConversationExample:
    """A list of turns, after a system prompt that stands in a column of its own; a prompt beside it says the same."""
    if "prompt" in beside and not _repeats(row, name):
        raise TypeError(f"expected a prompt that is one of the turns, received {str(row.get('prompt'))[:80]!r}")
    return answered(turns_of(row.get(name), system=row.get("system") if "system" in beside else None))


def _repeats(row: Row, name: str) -> bool:
    """Whether the column `prompt` only says again what a user says in the turns."""
    turns = turns_of(row.get(name))
    return any(turn["role"] == "user" and str(turn["content"]).strip() == str(row["prompt"]).strip() for turn in turns)


def unpacked(table: "pl.DataFrame", config: DataConfig) -> Turned:
    """The table with its conversations as texts and their answers as the target, when it holds some.

    Rows that are none are set aside and counted.

    Raises:
        DataError: more rows are none than `max_bad_share` allows; with the first.
    """
    import polars as pl

    layout = _layout(table, config)
    if layout is None:
        return Turned(table=table)
    names = [
        name for name in {layout.column, layout.target, layout.rejected, *layout.replaced} if name in table.columns
    ]
    examples: list[ConversationExample] = []
    fine: list[int] = []
    wrong: list[str] = []
    unwanted = 0
    homeless = Counter[str]()
    for number, row in enumerate(table.select(names).iter_rows(named=True)):
        if layout.unwanted(row):
            unwanted += 1
            continue
        homeless.update(set(without_place(row.get(layout.column))))
        try:
            examples.append(layout.read(row))
            fine.append(number)
        except TypeError as error:
            wrong.append(f"row {number + 1}, column {layout.column!r} ({layout.name}): {error}")
    if len(wrong) > config.max_bad_share * table.height:
        raise DataError(
            f"{wrong[0]}. {len(wrong):,} of {table.height:,} rows are no such conversations: mend them, or set "
            "max_bad_share in [data]"
        )
    remaining = table[fine].drop([name for name in (*layout.replaced, layout.target, layout.rejected) if name in names])
    columns = [
        pl.Series(layout.column, [question_text(each.turns) for each in examples], dtype=pl.String),
        pl.Series(config.target, [each.answer for each in examples], dtype=pl.String),
    ]
    if layout.rejected in names:
        columns.append(pl.Series(config.rejected_column, [each.rejected for each in examples], dtype=pl.String))
    return Turned(
        table=remaining.with_columns(columns),
        formats={layout.column: TURNS, config.target: ColumnFormat(form="text")},
        losses=tuple(_losses(layout, wrong, unwanted, homeless, table.height)),
        layout=layout.name,
        notes=(f"conversations of the form {layout.name}: column {layout.column!r} holds the turns before the answer",),
    )


def _losses(
    layout: Layout, wrong: Sequence[str], unwanted: int, homeless: Mapping[str, int], height: int
) -> Iterator[Loss]:
    """Rows that are no conversations, or none to learn from, and what turns have beside their text."""
    if wrong:
        yield Loss(
            kind="row",
            reason=f"no conversation of the form {layout.name}",
            subject=layout.column,
            count=len(wrong),
            of=height,
            examples=tuple(example(line) for line in wrong[:EXAMPLES]),
            remedy="mend these rows",
        )
    if unwanted:
        why = "an answer that was turned down (label is false) is not learned"
        yield Loss(kind="row", reason=why, subject=layout.target, count=unwanted, of=height, chosen=True)
    for key, count in homeless.items():
        why = f"turns have a key {key!r}, which has no place in a prompt"
        yield Loss(kind="text", reason=why, subject=layout.column, count=count, of=height)


def _layout(table: "pl.DataFrame", config: DataConfig) -> Layout | None:
    """The form of a table; None when the project takes its columns as they are."""
    names = ("messages", "conversations", "conversation", "chosen", "rejected", "prompt", "completion", "text")
    names += ("instruction", "input", "output", "system", "history", "context", "response", "label")
    first = {name: _shown(table[name]) for name in names if name in table.columns}
    layout = layout_of(first)
    if layout is None:
        _check_lists(first, table, config)
        return None
    listed = {*config.text, *config.categorical, *config.numeric, *config.ignore}
    beside = listed & set(layout.replaced) & {"system", "prompt"}
    if beside:  # a project that takes them as inputs of their own
        layout = layout_of({name: value for name, value in first.items() if name not in beside}) or layout
    if config.target in table.columns and config.target != layout.target:
        return None
    return None if listed & set(layout.replaced) else layout


def question_row(row: Mapping[str, object], target: str) -> Mapping[str, object]:
    """A row of a table of conversations without its answer: what `unpacked` makes an input of; other rows as they are.

    >>> question_row({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Oh"}]}, "said")
    {'messages': [{'role': 'user', 'content': 'Hi'}]}
    """
    layout = layout_of(row)
    if layout is None or layout.column not in row or (target in row and target != layout.target):
        return row
    try:
        return {**row, layout.column: layout.read(row).turns}
    except TypeError:
        pass
    try:
        return {**row, layout.column: turns_of(row[layout.column])}
    except TypeError:
        return row


def _preference(row: Row) -> ConversationExample:
    """A prompt, if it stands apart, with an answer and one that was turned down; either may hold the whole."""
    chosen = answered(_whole(row.get("chosen")))
    before = _prompt(row.get("prompt"))
    other = row.get("rejected")
    whole = is_turns(other) or transcript_of(other) is not None
    rejected = answered(_whole(other)).answer if whole else None if other is None else _text(other)
    whole = chosen.turns if len(chosen.turns) > 0 else before
    return ConversationExample(turns=whole, answer=chosen.answer, rejected=rejected)


def _whole(value: object) -> list[dict[str, Any]]:
    return turns_of(value) if is_turns(value) else transcript_turns(value)


def _completion(row: Row) -> ConversationExample:
    completion = row.get("completion")
    answer = answered(turns_of(completion)).answer if is_turns(completion) else _text(completion)
    return ConversationExample(turns=_prompt(row.get("prompt")), answer=answer)


def _prompt(value: object) -> list[dict[str, Any]]:
    if value is None:
        return []
    return turns_of(value) if is_turns(value) else [{"role": "user", "content": _text(value)}]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, received {str(value)[:80]!r}")
    return value


def _shown(column: "pl.Series") -> object:
    """A value that shows what a column holds: of the first ones, one that holds turns, if any does."""
    values = column.drop_nulls()[:SAMPLE].to_list()
    return next((value for value in values if is_turns(value)), values[0] if values else None)


def _check_lists(first: Row, table: "pl.DataFrame", config: DataConfig) -> None:
    """Tell why lists that have the name of conversations are none, where the target is to come from them.

    Raises:
        DataError: they are none.
    """
    if config.target in table.columns:
        return
    for name in (MESSAGES, "conversations", "conversation"):
        value = first.get(name)
        if isinstance(value, list) or str(value or "").lstrip().startswith("["):
            raise DataError(
                f"column {name!r}: expected lists of turns with role and content (or from and value), so that the "
                f"last one becomes the target {config.target!r}, received {str(value)[:80]!r}"
            )


def usual_target(columns: Collection[str]) -> str | None:
    """The target of tables with columns of such names, as fine-tuning files have them; None when there is no usual one.

    >>> usual_target(["prompt", "chosen", "rejected"]), usual_target(["a", "b"])
    ('chosen', None)
    """
    usual = {"chosen": {"chosen", "rejected"}, "completion": {"prompt", "completion"}}
    usual |= {"output": {"instruction", "output"}, "response": {"instruction", "response"}}
    return next((target for target, names in usual.items() if names <= set(columns)), None)


def _listed(value: object) -> list[dict[str, Any]]:
    if isinstance(value, str):
        value = msgspec.json.decode(value)
    return list(narrow.json_array(value))
