"""`bakeoff data labels`: how many answers people should score beside a judge, from a pilot."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bakeoff.cli.options import AsJson, emit

if TYPE_CHECKING:
    from bakeoff.metrics.judges import LabelBudget

__all__ = ["labels"]

COLUMNS = ("human", "judge")


def labels(
    pilot: Annotated[
        Path, typer.Argument(help="Answers scored by both, in columns human and judge (CSV, JSONL, Parquet).")
    ],
    *,
    within: Annotated[float, typer.Option(metavar="SCORE", help="How far the mean score may be off, either way.")],
    label_cost: Annotated[float, typer.Option(metavar="COST", help="What a score by a person costs.", min=0)] = 1.0,
    vote_cost: Annotated[
        float,
        typer.Option(metavar="COST", help="What a vote of the judge costs, in the same unit.", min=0),
    ] = 0.0,
    most_votes: Annotated[
        int,
        typer.Option(metavar="N", help="How many answers there are that the judge alone could score.", min=0),
    ] = 100_000,
    as_json: AsJson = False,
) -> None:
    """How many answers people should score beside a judge, and how many the judge alone: the cheapest plan.

    For example: bakeoff data labels pilot.csv --within 0.02
    """
    from dataclasses import asdict

    from bakeoff.metrics.judges import label_budget

    table = _read(pilot)
    plan = label_budget(
        *(table[name].to_numpy() for name in COLUMNS),
        within=within,
        label_cost=label_cost,
        vote_cost=vote_cost,
        most_votes=most_votes,
    )
    if as_json:
        emit({"within": within, "pilot_rows": table.height, **asdict(plan)})
    else:
        typer.echo(_sentence(plan, within, table.height))


def _sentence(plan: "LabelBudget", within: float, rows: int) -> str:
    judge = f" and votes of the judge on these and {plan.votes:,} more" if plan.votes else ", no votes of the judge"
    saved = f"people alone: {plan.labels_alone:,} labels, {plan.cost_alone:,.2f}"
    return f"±{within:g}, from {rows:,} answers of the pilot: {plan.labels:,} labels{judge}, {plan.cost:,.2f} ({saved})"


def _read(file: Path) -> Any:
    import polars as pl

    from bakeoff.core.errors import DataError

    readers = {".csv": pl.read_csv, ".jsonl": pl.read_ndjson, ".parquet": pl.read_parquet}
    if file.suffix not in readers:
        raise DataError(f"expected a file ending in {', '.join(readers)}, received {str(file)!r}")
    try:
        table = readers[file.suffix](file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{str(file)!r}: expected a table, found: {error}") from error
    if missing := [name for name in COLUMNS if name not in table.columns]:
        raise DataError(f"{str(file)!r}: expected the columns {missing}, received {table.columns}")
    for name in COLUMNS:
        score_n = table[name].cast(pl.Float64, strict=False)
        bad = int((score_n.is_null() | score_n.is_nan() | (score_n < 0) | (score_n > 1)).sum())
        if bad:
            raise DataError(f"{str(file)!r}: expected scores between 0 and 1 in {name!r}, received {bad} others")
    return table.select(pl.col(name).cast(pl.Float64) for name in COLUMNS)
