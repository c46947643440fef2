"""Test rows on which two runs answer differently: what is true, what each says, and what they were asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from bakeoff.actions.row_results import GROUP, TIME, logged_rows
from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import UsageError
from bakeoff.core.protocols import BlobStore, RecordStore

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Disagreement", "DisagreementRow", "Side", "disagreement"]

Side: TypeAlias = Literal["first", "second", "neither"]
"""Who is right alone (of numbers: closer); "neither": the answers differ, and both are wrong."""
KNOWN = ("row", "truth", "predicted", GROUP, TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisagreementRow:
    """A row: its number, its inputs, what is true, and what each run says."""

    number: int
    inputs: Mapping[str, Any]
    truth: Any
    first: Any
    second: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """How many of the `rows` are on each side, and the first rows of the `side` that was asked for.

    `of_numbers`: answers are numbers, of which one is nearer to what is true, not right.
    """

    rows: int
    counts: Mapping[Side, int]
    side: Side
    shown: Sequence[DisagreementRow]
    of_numbers: bool = False


def disagreement(
    records: RecordStore,
    blobs: BlobStore,
    first: str,
    second: str,
    *,
    side: Side = "first",
    limit: int = 50,
    data: DataConfig | None = None,
) -> Disagreement:
    """Put two runs of candidates beside each other, row by row.

    Raises:
        NotFoundError: a run is not there, or logged no rows. UsageError: they are not of the same rows.
    """
    import polars as pl

    if side not in get_args(Side):
        raise UsageError(f"side: expected one of {', '.join(get_args(Side))}, received {side!r}")
    tables = [logged_rows(records, blobs, records.runs.get(each), data=data).table for each in (first, second)]
    for run_id, table in zip((first, second), tables, strict=True):
        if lacking := {"row", "truth", "predicted"} - set(table.columns):
            raise UsageError(
                f"expected rows of a candidate of bakeoff, run {run_id} logged others (without {', '.join(lacking)})"
            )
    one, other = tables
    if not (one["row"].equals(other["row"]) and one["truth"].equals(other["truth"])):
        raise UsageError("expected two runs on the same test rows, received runs on different ones")
    sides = _sides(one["truth"], one["predicted"], other["predicted"])
    counts: dict[Side, int] = {each: int((sides == each).sum()) for each in get_args(Side)}
    aside = {*KNOWN, *(() if data is None else (data.target,))}
    inputs = [name for name in one.columns if name not in aside and not name.startswith(("probability:", "score:"))]
    chosen = one.with_columns(pl.Series("second", other["predicted"])).filter(sides == side).head(limit)
    shown = [
        DisagreementRow(
            number=row["row"],
            inputs={name: row[name] for name in inputs},
            truth=row["truth"],
            first=row["predicted"],
            second=row["second"],
        )
        for row in chosen.iter_rows(named=True)
    ]
    of_numbers = one["truth"].dtype.is_numeric()
    return Disagreement(rows=one.height, counts=counts, side=side, shown=shown, of_numbers=of_numbers)


def _sides(truth: "pl.Series", first: "pl.Series", second: "pl.Series") -> "pl.Series":
    """On which side each row is; "" where both answer the same, or are as far off."""
    import polars as pl

    if truth.dtype.is_numeric():
        off, other_off = (first - truth).abs(), (second - truth).abs()
        table = pl.DataFrame({"a": off < other_off, "b": other_off < off, "c": pl.Series([False] * len(truth))})
    else:
        right, other_right = first == truth, second == truth
        differ = (first != second) & ~right & ~other_right
        table = pl.DataFrame({"a": right & ~other_right, "b": other_right & ~right, "c": differ})
    named = pl.when("a").then(pl.lit("first")).when("b").then(pl.lit("second")).when("c").then(pl.lit("neither"))
    return table.select(named.otherwise(pl.lit("")).alias("side"))["side"]
