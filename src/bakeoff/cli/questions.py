"""Commands that ask the records: which of several runs is best, and anything in SQL."""

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step
from bakeoff.cli.stores import stores

__all__ = ["add_to"]

HERE = Path()
FAILED = 3


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (compare, sql):
        app.command()(command)


def _column(meaning: str, option: str) -> Any:
    return typer.Option(option, metavar="COLUMN", help=meaning)


_Metric = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Scores or a metric; the first decides. May be given again."),
]
_Cost = Annotated[
    str | None, typer.Option(metavar="METRIC", help="A metric of the runs: the price of 1,000 rows in US dollars.")
]
_Artifact = Annotated[str | None, typer.Option(metavar="PATH", help="The table among each run's artifacts.")]
_Missing = Annotated[
    Literal["refuse", "drop", "wrong"],
    typer.Option(
        metavar="HOW", help="Rows without an answer in some run: refuse, drop them for all, or count them as wrong."
    ),
]
_Baseline = Annotated[
    str | None, typer.Option(metavar="RUN", help="Exit code 3 unless the winner is shown to be better than this.")
]
_Margin = Annotated[float | None, typer.Option(min=0, help="How much worse counts as no worse.")]
_Confidence = Annotated[float | None, typer.Option(min=0.5, max=1, help="Nobody wins unless it is shown this surely.")]


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN RUN…", help="Ids, how these begin, or names; of a bake-off, its winner.")
    ],
    *,
    metric: _Metric = None,
    key: Annotated[str | None, _column("By which rows are paired.", "--key")] = None,
    truth: Annotated[str | None, _column("What is true.", "--truth")] = None,
    prediction: Annotated[str | None, _column("What was predicted.", "--prediction")] = None,
    lower: Annotated[list[str] | None, _column("Scores of which less is better.", "--lower")] = None,
    group: Annotated[str | None, _column("What rows belong to (a user, a document).", "--group")] = None,
    time: Annotated[str | None, _column("When rows happened.", "--time")] = None,
    cost: _Cost = None,
    artifact: _Artifact = None,
    missing: _Missing = "refuse",
    baseline: _Baseline = None,
    margin: _Margin = None,
    confidence: _Confidence = None,
    log: Annotated[bool, typer.Option("--log/--no-log", help="Keep the judgement with the runs.")] = True,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Judge runs by the rows that they logged, whoever made them: paired tests, clusters, prices.

    For example: bakeoff compare 3f2a 91bc --metric f1_macro --key id
    """
    how: dict[str, Any] = {
        "metric": tuple(metric or ()),
        "key": key,
        "truth": truth,
        "prediction": prediction,
        "lower": tuple(lower or ()),
        "group": group,
        "time": time,
        "cost": cost,
        "artifact": artifact,
        "missing": missing,
        "baseline": baseline,
        "margin": margin,
        "confidence": confidence,
    }
    with stores(folder) as opened:
        if opened.project is not None:
            judged = opened.project.compare(*runs, **how, log=log)
        else:
            from bakeoff.actions.judge_runs import judge_runs, keep
            from bakeoff.project.wiring import now_ms

            judged = judge_runs(opened.records, opened.blobs, runs, **how)
            if log:
                keep(opened.records, opened.blobs, judged, now_ms)
    if as_json:
        emit(judged.to_json())
    else:
        from bakeoff.cli.question_pages import judged_page

        typer.echo(judged_page(judged))
        next_step("runs", folder)
    if not judged.passed:
        raise typer.Exit(FAILED)


def sql(
    query: Annotated[
        str | None, typer.Argument(metavar="[SELECT]", help="One SELECT; without it, the views are listed.")
    ] = None,
    *,
    form: Annotated[
        Literal["table", "csv", "parquet", "json"],
        typer.Option("--format", metavar="FORMAT", help="table, csv, parquet or json."),
    ] = "table",
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it to a file instead.")] = None,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="The most that it may run.")] = 300.0,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Ask runs, metrics, params, predictions, feedback, signals and traces in SQL (DuckDB, read-only).

    For example: bakeoff sql "SELECT name, value FROM runs JOIN metrics USING (run_id) WHERE key = 'accuracy'"
    """
    from bakeoff.actions.sql import answered, document, write_answer
    from bakeoff.cli.question_pages import answer_page, views_page
    from bakeoff.core.errors import UsageError

    if query is None:
        from bakeoff.actions.sql_views import VIEWS

        if as_json:
            head = [{"name": name, "type": kind} for name, kind in (("view", "String"), ("a row is", "String"))]
            views = [{"view": name, "a row is": view.about, "columns": view.columns} for name, view in VIEWS.items()]
            emit({"columns": [*head, {"name": "columns", "type": "Struct"}], "rows": views})
        else:
            typer.echo(views_page())
        return
    if as_json and output is None and form not in {"table", "json"}:
        raise UsageError(f"expected --json or --format {form}, received both: name --output FILE for the {form}")
    if output is None and form == "parquet":
        raise UsageError("expected --output FILE for --format parquet")
    if output is not None and form == "table":
        raise UsageError("expected --format csv, parquet or json beside --output, received table")
    with stores(folder) as opened:
        events = opened.project.events if opened.project is not None else None
        with answered(query, opened.records, events, timeout_s=timeout) as path:
            if output is not None:
                rows = write_answer(path, form, output)
                emit({"file": str(output), "rows": rows}) if as_json else typer.echo(f"{rows:,} rows in {output}")
            elif as_json or form == "json":
                emit(document(path))
            elif form == "csv":
                part = path.with_suffix(".csv")
                write_answer(path, form, part)
                with part.open(encoding="utf-8") as lines:
                    shutil.copyfileobj(lines, sys.stdout)
            else:
                typer.echo(answer_page(path))
