"""`bakeoff data prepare`: a chain of steps over a corpus of any size."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bakeoff.cli.options import AsJson, emit, next_step, show_progress

if TYPE_CHECKING:
    from collections.abc import Generator

    from bakeoff.core.types import Json
    from bakeoff.prepare.corpus.report import CorpusReport
    from bakeoff.prepare.corpus.shards import CorpusCompute

__all__ = ["prepare"]


def prepare(
    inputs: Annotated[list[str], typer.Argument(help="Files, globs, https:// or pypi:// locations, in order.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="FILE.parquet, .jsonl, .jsonl.gz, .jsonl.zst, or a folder of Parquet files."),
    ] = None,
    steps: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Names with commas between, or a JSON list.")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="A column to prepare; may be repeated.")
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option(
            "--project", "-C", metavar="FOLDER", help="A project to take steps, columns and [compute] backend from."
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(metavar="FILE", help="Count tokens: a tokenizer.json, its folder, or 'words'.")
    ] = None,
    token_ids: Annotated[
        bool, typer.Option("--token-ids", help="Write the tokens, too, not only their number.")
    ] = False,
    workers: Annotated[int, typer.Option(metavar="N", help="Blocks at once; 0: one for each core.", min=0)] = 0,
    max_bad_share: Annotated[
        float,
        typer.Option(metavar="SHARE", help="The share of lines that may be unreadable before it stops.", min=0, max=1),
    ] = 0.01,
    explain: Annotated[bool, typer.Option("--explain", help="Only show on some rows what steps do, and why.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run preparation steps over a corpus of any size, in bounded memory and on all cores.

    For example: bakeoff data prepare docs.parquet --out clean.parquet --steps repair_unicode,keep_quality
    """
    from bakeoff.core.errors import UsageError
    from bakeoff.prepare.corpus.run import Tokens, prepare_corpus

    chain, columns, target = _from_project(project)
    chain, columns = chain if steps is None else _steps(steps), text or columns or ["text"]
    if explain:
        _explain(inputs, chain, columns, as_json=as_json)
        return
    if out is None:
        raise UsageError("expected --out, the name of the result, or --explain; received neither")
    with _compute(project, workers) as compute:
        report = prepare_corpus(
            inputs,
            out,
            steps=chain,
            text=columns,
            target=target,
            tokens=Tokens(tokenizer=None if tokenizer == "words" else tokenizer, ids=token_ids) if tokenizer else None,
            workers=workers,
            max_bad_share=max_bad_share,
            replace=force,
            compute=compute,
            progress=show_progress,
        )
    _show(report, as_json=as_json)


@contextmanager
def _compute(folder: Path | None, workers: int) -> "Generator[CorpusCompute | None]":
    """Where a project's jobs run; None: in processes here."""
    if folder is None:
        yield None
        return
    from bakeoff.project.project import Project

    with Project(folder) as project:
        yield project.corpus_compute(workers=workers)


def _show(told: "CorpusReport", *, as_json: bool) -> None:
    if as_json:
        emit(told.to_json())
        return
    typer.echo(_page(told))
    if told.rows_out:
        next_step(f"init {told.out}")


SHOWN_LINES = 3


def _explain(inputs: list[str], chain: "list[Json]", text: list[str], *, as_json: bool) -> None:
    import msgspec

    from bakeoff.core.types import Column, Schema
    from bakeoff.prepare.corpus.sample import sample
    from bakeoff.prepare.explain import explain, order_warnings
    from bakeoff.prepare.text.marks import marked

    shown = sample(inputs, text=text, progress=show_progress)
    table, bad = shown.table, [marked(line) for line in shown.bad[:SHOWN_LINES]]
    columns = tuple(Column(name=name, kind="text", dtype="String") for name in text)
    steps = explain(table, Schema(columns=columns, target="", inputs=tuple(text)), chain)
    warnings = order_warnings(chain)
    if as_json:
        lines_bad: dict[str, Json] = {"bad_lines": len(shown.bad), "bad": list(bad)}
        emit({"rows": table.height, **lines_bad, "steps": msgspec.to_builtins(steps), "warnings": warnings})
        return
    lines = [f"on {table.height:,} rows from the beginning, the middle and the end of the inputs:"]
    if shown.bad:
        lines += [f"\nset aside: {len(shown.bad):,} lines that are no records", *(f"  {line}" for line in bad)]
    for step in steps:
        dropped = step.rows_in - step.rows_out
        done = f"{dropped:,} dropped" if dropped else f"{step.cells_changed:,} texts changed"
        lines.append(f"\n{step.step}: {step.rows_in:,} rows in, {step.rows_out:,} out; {done}")
        for example in step.examples:
            lines.append(f"  row {example.row:,} before: {example.before!r}")
            after = f"after:  {example.after!r}" if example.after is not None else f"goes:   {example.why}"
            lines.append(f"  row {example.row:,} {after}")
    typer.echo("\n".join([*lines, *(f"\nwarning: {warning}" for warning in warnings)]))


def _from_project(folder: Path | None) -> "tuple[list[Json], list[str], str]":
    if folder is None:
        return [], [], ""
    from bakeoff.config.file import load

    config = load(folder).config
    return list(config.prepare.specs), list(config.data.text), config.data.target


def _steps(given: str) -> "list[Json]":
    import msgspec

    from bakeoff.core.errors import UsageError

    if not given.lstrip().startswith("["):
        return [name.strip() for name in given.split(",") if name.strip()]
    try:
        return msgspec.json.decode(given, type=list[str | dict[str, object]])  # pyright: ignore[reportReturnType]
    except msgspec.DecodeError as error:
        raise UsageError(f"expected --steps as a JSON list of names and tables, received {given!r}: {error}") from error


def _page(told: "CorpusReport") -> str:
    from bakeoff.cli.ledger_page import ledger_page

    lines = [f"{'step':24}{'rows in':>12}{'rows out':>12}{'cells changed':>15}{'seconds':>10}"]
    lines += [
        f"{s.step:24}{s.rows_in:>12,}{s.rows_out:>12,}{s.cells_changed:>15,}{s.seconds:>10.1f}" for s in told.steps
    ]
    for found in told.duplicates:
        lines.append(f"\n{found.step}: {found.clusters:,} clusters hold {found.rows_in_clusters:,} rows; the largest:")
        lines += [f"  {cluster.size:>8,} × {cluster.start!r}" for cluster in found.largest]
        for pair in found.pairs:
            lines += [
                f"  row {pair.stayed:,} stays:   {pair.stayed_text!r}",
                f"  row {pair.dropped:,} dropped: {pair.dropped_text!r}",
            ]
    lines += [f"\nwarning: {warning}" for warning in told.warnings]
    lines += ["", ledger_page(told.ledger, went="written")]
    if told.resumed_blocks:
        lines.append(f"\nwent on after {told.resumed_blocks:,} blocks that an unfinished run had done")
    tokens = "" if told.tokens is None else f", {told.tokens:,} tokens"
    speed = f"{told.docs_per_s:,.0f} documents and {told.mb_per_s:.1f} MB a second"
    memory = f"{told.workers} workers, at most {told.peak_memory_bytes / 1e6:,.0f} MB"
    lines.append(
        f"\n{told.rows_in:,} rows in, {told.rows_out:,} out{tokens}, in {told.seconds:.1f} s: {speed}; {memory}"
    )
    return "\n".join([*lines, f"wrote {told.out}"])
