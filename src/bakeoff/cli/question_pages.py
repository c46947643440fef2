"""Judged runs, and answers to questions in SQL, in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.cli.tables import table
from bakeoff.results.judged_runs import JudgedRuns

if TYPE_CHECKING:
    from bakeoff.actions.runs_table import SeedMeans

__all__ = ["answer_page", "judged_page", "means_page", "views_page"]

MOST_ROWS = 1_000


def judged_page(judged: JudgedRuns) -> str:
    """The verdict, the runs, how far they are apart, and what a person must know beside."""
    verdict, priced = judged.verdict, any(each.cost_usd_per_1k is not None for each in judged.runs)
    grouped = "" if judged.groups is None else f" in {judged.groups:,} groups"
    runs = [
        [
            each.name,
            *(f"{each.values[name].value:.4f} {each.values[name].ends()}" for name in judged.metrics),
            *([f"{each.cost_usd_per_1k:.4g}"] if each.cost_usd_per_1k is not None else []),
            f"{each.rows:,}",
            each.source,
            each.run_id[:8],
        ]
        for each in judged.runs
    ]
    apart = [
        [
            each.candidate,
            each.versus,
            each.metric,
            f"{each.difference:+.4f} [{each.low:+.4f}, {each.high:+.4f}]",
            f"{each.p_holm:.4f}",
        ]
        for each in judged.differences()
    ]
    prices = ["$ per 1,000"] if priced else []
    return "\n".join(
        [
            verdict.reason,
            "",
            table(["run", *judged.metrics, *prices, "rows", "logged as", "id"], runs, right=[*prices, "rows"]),
            "",
            f"{judged.rows:,} rows{grouped}, paired by {judged.key}; better by (95%, all at once):",
            "",
            table(["run", "against", "metric", "better by", "p"], apart, right=["better by", "p"]),
            *(["", *judged.sentences] if judged.sentences else []),
        ]
    )


def means_page(means: "SeedMeans") -> str:
    """Means over seeds: a line for each setting and metric; params that are the same everywhere stand below."""
    frame = means.table
    about = frame.columns[: frame.columns.index("metric")]
    differing = [name for name in about if frame[name].n_unique() > 1]
    rows = [
        [
            *(row[name] or "" for name in differing),
            row["metric"],
            "" if row["mean"] is None else f"{row['mean']:.4f}",
            "(one run)" if row["low"] is None else f"[{row['low']:.4f}, {row['high']:.4f}]",
            "" if row["sd"] is None else f"{row['sd']:.4f}",
            f"{row['runs']:,}" + (f" ({row['without']:,} without)" if row["without"] else ""),
        ]
        for row in frame.iter_rows(named=True)
    ]
    alike = [
        f"{name} = {frame[name][0]}" for name in about if name not in differing and frame.height and frame[name][0]
    ]
    heads = ["metric", "mean", "95%", "sd", "runs"]
    lines = [table([*differing, *heads], rows, right=["mean", "sd", "runs"]), ""]
    lines += [f"the same in all: {'; '.join(alike)}"] if alike else []
    lines.append(f"over {', '.join(means.over) or 'no param that is a seed'}; intervals are of the mean over seeds")
    lines += [f"{means.unfinished:,} runs that did not finish are left out"] if means.unfinished else []
    return "\n".join(lines)


def answer_page(path: Path) -> str:
    """An answer as a table, its first rows if it is long."""
    import polars as pl

    from bakeoff.actions.sql import read_answer

    answer = read_answer(path)
    rows = int(answer.select(pl.len()).collect().item())
    shown = answer.head(MOST_ROWS).collect()
    numeric = [name for name, dtype in shown.schema.items() if dtype.is_numeric()]
    cells = [["" if value is None else _cell(value) for value in row] for row in shown.iter_rows()]
    more = f"\n… the first {MOST_ROWS:,} of {rows:,} rows; --format csv prints all" if rows > MOST_ROWS else ""
    return f"{table(shown.columns, cells, right=numeric)}{more}"


def _cell(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def views_page() -> str:
    """The views of `bakeoff sql`, with their columns."""
    from bakeoff.actions.sql_views import VIEWS

    rows = [[name, view.about, ", ".join(view.columns)] for name, view in VIEWS.items()]
    return table(["view", "a row is", "columns"], rows)
