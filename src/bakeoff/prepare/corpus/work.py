"""What a corpus run tells its workers, and what they answer."""

from typing import Any

import msgspec

from bakeoff.prepare.corpus.blocks import Block
from bakeoff.prepare.corpus.shapes import Shape

__all__ = ["Done", "Plan", "StepDone", "Task", "Tokens"]


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a chain: how many tokens each text has, and which.

    `tokenizer`: a `tokenizer.json` or a folder with one; none: words. With `ids` also a column `token_ids`
    (`words` without a tokenizer).
    """

    tokenizer: str | None = None
    ids: bool = False


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. `folder` is where blocks go between stages, `suffix` how finished parts are written."""

    steps: list[Any]
    text: list[str]
    target: str
    tokens: Tokens | None
    folder: str
    suffix: str


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One stage on one block: number `part`; `kept` is where in the mask of kept rows its rows begin.

    A task without a stage only looks at the block, to learn the columns of the corpus; `careful` reads a block line
    by line, since some of its lines are no records.
    """

    part: int
    stage: int | None
    block: Block | None = None
    kept: int = 0
    careful: bool = False


class StepDone(msgspec.Struct, frozen=True, kw_only=True):
    """What a step did to one block."""

    step: str
    rows_in: int
    rows_out: int
    cells_changed: int
    cells_emptied: int = 0
    seconds: float


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a task: `read` records, `rows` left, tokens, columns of keys that were written.

    `shape` is what a look saw, `rounded` how many numbers it saw that no double holds; `size_bytes` is that of the file
    of rows that was written, `not_finite` how many NaN and infinities are empty in it.
    """

    part: int
    read: int = 0
    rows: int = 0
    steps: list[StepDone] = []
    bad: list[str] = []
    bad_lines: int = 0
    halves: int = 0
    shape: Shape | None = None
    rounded: int = 0
    not_finite: int = 0
    size_bytes: int = 0
    tokens: int = 0
    keys: int = 0
    text_bytes: int = 0
    peak_memory_bytes: int = 0
