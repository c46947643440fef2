"""Files through the doors of an endpoint: rows to be answered, feedback to be taken in, a batch at a time.

What cannot be answered or taken in is set aside and counted; the rest goes on.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bakeoff.core import narrow
from bakeoff.core.errors import ContractError, DataError
from bakeoff.core.ledger import Ledger, Loss, example, summed
from bakeoff.core.types import Column, Json
from bakeoff.data.batches import Batch
from bakeoff.data.cast import conform
from bakeoff.serve.engine import Engine
from bakeoff.serve.inputs import NO_GAPS, Gaps
from bakeoff.serve.runtime import Answer

__all__ = ["BatchResult", "Total", "answered", "answered_remotely", "answered_whole", "gaps_lost", "listed", "recorded"]

A = TypeVar("A", bound="Answer | Mapping[str, Json]")
T = TypeVar("T")
S = TypeVar("S")
FEEDBACK_NUMBERS = tuple(Column(name=name, kind="numeric", dtype="Float64") for name in ("rating", "time_ms"))
ABSENT = "absent: answered as if it were missing"
IMPUTED = "missing, which no training row was: answered with the median or most frequent value"
UNSEEN = "a category that no training row had: the model knows nothing of it"
UNKNOWN = "not a column of the training data: not used"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult(Generic[T]):
    """What became of a batch of `rows`: what was said of those that were taken, and what was lost.

    `code` is the worst exit code among the rows that were set aside, 0 when none was.
    """

    results: Sequence[T]
    rows: int
    losses: tuple[Loss, ...] = ()
    code: int = 0

    def __repr__(self) -> str:
        return f"BatchResult({len(self.results):,} results of {self.rows:,} rows)"


@dataclass(slots=True, kw_only=True)
class Total:
    """What became of all parts: rows in, rows taken, losses added up, and the worst exit code."""

    rows: int = 0
    used: int = 0
    losses: tuple[Loss, ...] = ()
    code: int = 0

    def counted(self, parts: Iterable[BatchResult[T]]) -> Iterator[BatchResult[T]]:
        """The parts, counted as they pass."""
        for part in parts:
            self.rows += part.rows
            self.used += part.rows - sum(loss.count for loss in part.losses if loss.kind == "row")
            self.losses = summed((*self.losses, *part.losses))
            self.code = max(self.code, part.code)
            yield part

    @property
    def ledger(self) -> Ledger:
        """The losses as they are shown."""
        return Ledger(rows_in=self.rows, rows_used=self.used).with_losses(self.losses)


def listed(rows: Sequence[Mapping[str, object]], name: str, size: int) -> Generator[Batch]:
    """Rows that are in memory already, as batches of a file called `name`."""
    for start in range(0, len(rows), size):
        yield Batch(file=name, first=start + 1, rows=rows[start : start + size])


def answered(engine: Engine, parts: Generator[Batch], *, query: bool) -> Iterator[BatchResult[Answer]]:
    """Answer the rows of files, in order.

    Args:
        engine: The one that answers.
        parts: The files' rows.
        query: Whether a query made the training rows of the project's files, so that these may have other columns.

    Raises:
        DataError: a file lacks inputs (while it has unknown columns, or all of them).
    """
    before: Sequence[Mapping[str, object]] = ()
    with closing(parts):
        for part in parts:
            if part.first == 1 and part.names is not None:
                _check_names(engine, part, query=query)
            answers = engine.predict_each(part.rows, before=before)
            near = [row for row, answer in zip(part.rows, answers, strict=True) if isinstance(answer, Answer)]
            before = [*before, *near][-most:] if (most := engine.rows_before) else ()
            yield _part(part, answers, _gaps_of)


def _check_names(engine: Engine, part: Batch, *, query: bool) -> None:
    assert part.names is not None
    try:
        engine.check_names(part.names, part.file)
    except DataError as error:
        hint = "\nTraining rows come out of the project's [data] query: this file must have the columns that it gives"
        raise DataError(f"{error}{hint if query else ''}") from error


def answered_remotely(
    predict: Callable[[Sequence[Mapping[str, Json]]], Sequence[Mapping[str, Json]]], parts: Generator[Batch]
) -> Iterator[BatchResult[Mapping[str, Json]]]:
    """Have the rows of files answered by an endpoint elsewhere, which answers a call whole or not at all."""
    with closing(parts):
        for part in parts:
            yield _part(part, _each(predict, _as_json(part.rows)), _gaps_of)


def answered_whole(answers: Sequence[A]) -> BatchResult[A]:
    """The answers to rows of one call, which are all answered or none."""
    return BatchResult(results=answers, rows=len(answers), losses=summed(gaps_lost(map(_gaps_of, answers))))


def _as_json(rows: Sequence[Mapping[str, object]]) -> list[Mapping[str, Json]]:
    import msgspec

    return msgspec.json.decode(msgspec.json.encode(rows), type=list[dict[str, object]])  # type: ignore[return-value]


def _gaps_of(answer: Answer | Mapping[str, Json]) -> Gaps:
    if isinstance(answer, Answer):
        return answer.gaps
    names = {key: tuple(narrow.texts(answer.get(key, ()))) for key in ("absent", "imputed", "unseen", "unknown")}
    return Gaps(**names)


def recorded(
    record: Callable[[Sequence[Mapping[str, Json]]], Mapping[str, Json]], parts: Generator[Batch]
) -> Iterator[BatchResult[Mapping[str, Json]]]:
    """Take in the feedback items of files; an empty cell says nothing. The results are what `record` says of each call.

    Items that it refuses are set aside. (What it refuses it refuses with all the items of the call.)
    """
    with closing(parts):
        for part in parts:
            answers: list[Mapping[str, Json]] = []

            def take(items: Sequence[Mapping[str, Json]], said: list[Mapping[str, Json]] = answers) -> Sequence[Gaps]:
                said.append(record(items))
                return [NO_GAPS] * len(items)

            taken = _part(part, _each(take, [_item(row) for row in part.rows]), lambda gaps: gaps)
            yield BatchResult(results=answers, rows=taken.rows, losses=taken.losses, code=taken.code)


def _item(row: Mapping[str, object]) -> Mapping[str, Json]:
    """A feedback item of a row: the numbers among its texts as numbers."""
    item: dict[str, Any] = {name: value for name, value in row.items() if value is not None and value != ""}
    for column in FEEDBACK_NUMBERS:
        value = item.get(column.name)
        if isinstance(value, str):
            try:
                number = conform([{column.name: value}], (column,))[column.name][0]
            except DataError:
                continue  # what takes it in says what is wrong
            item[column.name] = int(number) if number is not None and number.is_integer() else number
    return {name: value for name, value in item.items() if value is not None}


def _each(ask: Callable[[Sequence[T]], Sequence[S]], rows: Sequence[T]) -> list[S | DataError]:
    """Ask for all rows at once, or by halves where some are refused, down to the single ones."""
    try:
        return list(ask(rows)) if rows else []
    except DataError as error:
        if len(rows) == 1:
            return [error]
        half = len(rows) // 2
        return [*_each(ask, rows[:half]), *_each(ask, rows[half:])]


def _part(part: Batch, results: Sequence[T | DataError], gaps: Callable[[T], Gaps]) -> BatchResult[T]:
    answers = [each for each in results if not isinstance(each, DataError)]
    refused = [(part.first + at, each) for at, each in enumerate(results) if isinstance(each, DataError)]
    bad = [
        Loss(
            kind="row",
            reason=each.reason,
            subject=part.file,
            count=1,
            examples=(f"line {each.line}: {example(each.text)}",),
        )
        for each in part.bad
    ]
    losses = [*bad, *(_refusal(part.file, number, error) for number, error in refused), *gaps_lost(map(gaps, answers))]
    codes = [1] * bool(bad) + [error.exit_code for _, error in refused]
    return BatchResult(
        results=answers, rows=len(results) + len(part.bad), losses=summed(losses), code=max(codes, default=0)
    )


def _refusal(file: str, number: int, error: DataError) -> Loss:
    reason = "violates the data contract" if isinstance(error, ContractError) else "does not fit"
    message = str(error)
    for alone in ("row 1, ", "row 1: ", "feedback item 0: "):
        message = message.removeprefix(alone)
    message = message.removesuffix("; nothing was recorded")
    return Loss(
        kind="row", reason=reason, subject=file, count=1, examples=(f"row {number}: {' '.join(message.split())}",)
    )


def gaps_lost(gaps: Iterable[Gaps]) -> list[Loss]:
    """What answered rows lacked, as losses, one for each row and column."""
    return [
        Loss(kind="cell", reason=reason, subject=name, count=1)
        for each in gaps
        for reason, names in (
            (ABSENT, each.absent),
            (IMPUTED, [name for name in each.imputed if name not in each.absent]),
            (UNSEEN, each.unseen),
            (UNKNOWN, each.unknown),
        )
        for name in names
    ]
