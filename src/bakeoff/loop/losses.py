"""The losses of a run on the way to its candidates: what reading, the choice of inputs and the split leave out."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bakeoff.config.sections import DataConfig
from bakeoff.core import narrow
from bakeoff.core.errors import DataError
from bakeoff.core.ledger import EXAMPLES, Ledger, Loss, example
from bakeoff.core.types import Schema

if TYPE_CHECKING:
    import polars as pl

    from bakeoff.data.reading import TableReading
    from bakeoff.data.schema import Inferred

__all__ = ["check_lost", "gone_classes", "ignored", "of_reading", "of_split"]
__all__ += ["rows_read"]

CELLS = re.compile(r"""[,;\t|]""")
INFORMATIVE_WORDS = 1.5
INFORMATIVE_SHARE = 0.5
DECIMAL = r"^[^0-9\p{L}]{0,3}[0-9]{1,3}([.,' ]?[0-9]{3})*[.,][0-9]{1,2}\D{0,4}$"


def rows_read(reading: "TableReading") -> int:
    """The rows that reading gave, and those that it set aside."""
    return reading.table.height + sum(loss.count for loss in reading.losses if loss.kind == "row")


def of_reading(reading: "TableReading", inferred: "Inferred", target: Sequence[Loss], data: DataConfig) -> list[Loss]:
    """What reading, the choice of inputs and (as told) the target leave out.

    A cell of the target that became missing is told by the row that it takes along.
    """
    table = reading.table
    cells = [loss for loss in reading.losses if loss.kind != "row"]
    unread = tuple(text for loss in cells if loss.subject == data.target for text in loss.examples)
    rows = [
        replace(loss, examples=unread[:EXAMPLES]) if loss.kind == "row" and not loss.examples else loss
        for loss in target
    ]
    others = [loss for loss in cells if loss.subject != data.target]
    columns = [_with_evidence(loss, table) for loss in inferred.losses]
    return [
        *_unreadable(reading, data),
        *rows,
        *others,
        *_infinite(table, inferred.schema),
        *columns,
        *ignored(table, data),
    ]


def _unreadable(reading: "TableReading", data: DataConfig) -> list[Loss]:
    """Rows that could not be read; of what class they are, where a cell names one."""
    classes = _telling_classes(reading.table, data.target)
    named: dict[tuple[str, str], list[str]] = {}
    for row in reading.rejected.iter_rows(named=True) if classes else ():
        name = _class_in(row["text"], classes)
        if name is not None:
            named.setdefault((row["file"], row["reason"].partition(":")[0]), []).append(name)
    return [
        replace(loss, classes=dict(Counter(named.get((loss.subject or "", loss.reason), ()))))
        for loss in reading.losses
        if loss.kind == "row"
    ]


def _infinite(table: "pl.DataFrame", schema: Schema) -> list[Loss]:
    """Numbers without an end, which no model can take and which are missing to all."""
    numeric = frozenset(schema.of_kind("numeric"))
    infinite = {
        series.name: int(np.isinf(series.to_numpy()).sum())
        for series in table
        if series.name in numeric and series.dtype.is_float()
    }
    return [
        Loss(kind="cell", reason="not a finite number", subject=name, count=count, of=table.height)
        for name, count in infinite.items()
        if count
    ]


def _telling_classes(table: "pl.DataFrame", target: str) -> frozenset[str]:
    """The classes, if only cells of the target hold them: then a cell of a broken row tells the row's class."""
    import polars as pl

    if target not in table.columns or table.schema[target] != pl.String:
        return frozenset()
    classes = table[target].drop_nulls().unique()
    others = [name for name, kind in table.schema.items() if kind == pl.String and name != target]
    if len(classes) > table.height / 2 or any(table[name].is_in(classes.implode()).any() for name in others):
        return frozenset()
    return frozenset(classes.to_list())


def _class_in(text: str, classes: frozenset[str]) -> str | None:
    """The one class that a row's cells name."""
    named = {cell.strip(" \"'\r\n{}") for cell in CELLS.split(text.replace(":", ","))} & classes
    return next(iter(named)) if len(named) == 1 else None


def _with_evidence(loss: Loss, table: "pl.DataFrame") -> Loss:
    """A column that is left out, with some of its values, and whether it looks as if it mattered."""
    if loss.kind != "column" or loss.subject not in table.columns:
        return loss
    series = table[loss.subject]
    values = series.drop_nulls().head(3).to_list()
    return replace(loss, examples=tuple(map(example, values)), grave=loss.grave or informative(series))


def informative(series: "pl.Series") -> bool:
    """Whether a column that is left out looks as if a model could learn from it: numbers, words, nested values."""
    import polars as pl

    present = series.drop_nulls()
    if present.is_empty():
        return False
    if series.dtype.is_nested():
        return True
    if series.dtype != pl.String:
        return False
    words = narrow.number((present.str.strip_chars().str.count_matches(r"\s+") + 1).mean())
    numbers = narrow.number(present.str.strip_chars().str.contains(DECIMAL).mean())
    unspaced = narrow.number(present.str.contains(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Hangul}]").mean())
    return words > INFORMATIVE_WORDS or numbers > INFORMATIVE_SHARE or unspaced > INFORMATIVE_SHARE


def ignored(table: "pl.DataFrame", data: DataConfig) -> list[Loss]:
    """Columns that the project leaves out: its choice, listed with the others."""
    special = {data.target, data.time, data.group}
    return [
        Loss(kind="column", reason="[data] ignore", subject=name, count=1, of=table.width, chosen=True)
        for name in data.ignore
        if name in table.columns and name not in special
    ]


def of_split(left_out: "pl.DataFrame", schema: Schema, *, of: int) -> list[Loss]:
    """Rows that stand on no side of the split."""
    from bakeoff.prepare.losses import class_counts, row_examples

    return [
        Loss(
            kind="row",
            reason="near-duplicate of a row in an earlier part of the split",
            count=left_out.height,
            of=of,
            examples=row_examples(left_out, schema),
            classes=class_counts(left_out, schema),
            remedy="[split] near_duplicates = 0 keeps them",
        )
    ]


def gone_classes(losses: Sequence[Loss], classes: Mapping[str, int]) -> list[Loss]:
    """Classes of which every row was set aside, beside those that a loss of classes names already."""
    named = {loss.reason for loss in losses if loss.kind == "class"}
    lost: dict[str, int] = {}
    for loss in losses:
        if loss.kind == "row" and loss.candidate is None and loss.reason not in named:
            for name, rows in loss.classes.items():
                lost[name] = lost.get(name, 0) + rows
    return [
        Loss(kind="class", reason="all its rows were set aside", subject=name, count=1, classes={name: rows})
        for name, rows in lost.items()
        if not classes.get(name)
    ]


def check_lost(ledger: Ledger, data: DataConfig) -> None:
    """Refuse to go on when more rows were lost than the project allows.

    Raises:
        DataError: the share of rows lost is over `[data] max_lost`.
    """
    if data.max_lost is None or ledger.lost_share <= data.max_lost:
        return
    from bakeoff.report.ledger import plain

    raise DataError(
        f"[data] max_lost: expected at most {data.max_lost:.4g} of the rows to be lost, received "
        f"{ledger.lost_share:.4g} ({ledger.rows_lost:,} of {ledger.rows_in:,}); nothing was fitted.\n"
        f"{plain(_of_rows(ledger.losses), ledger)}\nMend the data, or raise max_lost."
    )


def _of_rows(losses: Iterable[Loss]) -> list[Loss]:
    return [loss for loss in losses if loss.kind == "row" and loss.candidate is None]
