"""The review queue in the terminal: pick rows, answer them, exchange them, estimate quality."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project
from bakeoff.cli.root import CommandGroup
from bakeoff.core.errors import UsageError

if TYPE_CHECKING:
    from bakeoff.feedback.review import ReviewRow
    from bakeoff.project.review import ProjectReview

__all__ = ["add_to"]

HERE = Path()
KEYS = "123456789"
Row = Annotated[str, typer.Argument(help="A row, as BATCH/POSITION.")]
Who = Annotated[str | None, typer.Option(metavar="NAME", help="Who answers; the user of this machine by default.")]
Batch = Annotated[str | None, typer.Option(metavar="BATCH", help="Of this batch alone.")]


def add_to(app: typer.Typer) -> None:
    """Add the group `review` to the app; alone, it asks for one row after the other."""
    group = typer.Typer(name="review", cls=CommandGroup, invoke_without_command=True, rich_markup_mode=None)
    group.callback()(review)
    group.command("next")(next_row)
    group.command("export")(export_rows)
    group.command("import")(import_answers)
    for command in (pick, status, answer, skip, close, estimate):
        group.command()(command)
    app.add_typer(group)


def review(
    context: typer.Context, *, who: Who = None, batch: Batch = None, folder: Folder = HERE, as_json: AsJson = False
) -> None:
    """Label rows by keyboard: a number is a class, s skips, c adds a comment, q ends. Without a terminal: the status.

    For example: bakeoff review
    """
    if context.invoked_subcommand is not None:
        return
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        status(batch=batch, folder=folder, as_json=as_json)
        return
    with open_project(folder) as project:
        _by_keyboard(project.review, who, batch)


def _by_keyboard(queue: "ProjectReview", who: str | None, batch_id: str | None) -> None:
    answered = 0
    while (row := queue.next(who=who, batch_id=batch_id)) is not None:
        batch = next(each for each in queue.batches() if each.id == row.batch)
        typer.echo(_page(row, batch.rows, batch.classes))
        if not (done := _answer(queue, row, batch.classes, who)):
            queue.give_back(row, who=who)
            break
        answered += done == "answered"
    else:
        typer.echo("nothing is left to label")
    typer.echo(f"{answered} answered")


def _page(row: "ReviewRow", rows: int, classes: tuple[str, ...]) -> str:
    """A row as people read it."""
    from bakeoff.cli.terminal import printable

    lines = [f"\n--- row {row.position + 1} of {rows} ---"]
    lines += [f"{name}: {printable(str(value))}" for name, value in row.row.items()]
    sure = "" if not row.probabilities else f" ({row.probabilities.get(str(row.answer), 0.0):.2f})"
    lines.append(f"predicted: {printable(str(row.answer))}{sure}")
    lines += [f"asked because: {reason.text or reason.kind}" for reason in row.reasons]
    keys = [f"[{key}] {printable(name)}" for key, name in zip(KEYS, classes, strict=False)]
    lines.append("  ".join([*keys, "[t] type it", "[s] skip", "[c] comment", "[q] end"]))
    return "\n".join(lines)


def _answer(
    queue: "ProjectReview", row: "ReviewRow", classes: tuple[str, ...], who: str | None
) -> Literal["answered", "skipped"] | None:
    """One row answered or skipped; None: the person stops."""
    comment: str | None = None
    while True:
        key = typer.getchar().lower()
        if key in {"q", "\x03", "\x04", ""}:
            return None
        if key == "s":
            queue.skip(row, who=who)
            return "skipped"
        if key == "c":
            comment = typer.prompt("comment")
            continue
        if key == "t":
            label = str(typer.prompt("label"))
        elif key in KEYS[: len(classes)]:
            label = classes[KEYS.index(key)]
        else:
            continue
        recorded = queue.answer(row, label, who=who, comment=comment)
        if not recorded.unusable:
            typer.echo(f"  {label}")
            return "answered"
        typer.echo(recorded.doubts[0].reason)


def _document(row: "ReviewRow | None") -> dict[str, Any]:
    import msgspec

    return {"row": None if row is None else msgspec.to_builtins(row) | {"name": row.name}}


def _shares(given: list[str]) -> dict[Any, float] | None:
    """Shares as NAME=NUMBER; None when none is given."""
    from bakeoff.feedback.review import REASONS

    shares: dict[str, float] = {}
    for each in given:
        name, _, number = each.partition("=")
        try:
            shares[name] = float(number)
        except ValueError:
            name = ""
        if name not in REASONS:
            raise UsageError(f"--share: expected REASON=NUMBER with one of {', '.join(REASONS)}, received {each!r}")
    return shares or None


def pick(
    budget: Annotated[int | None, typer.Argument(min=1, help="How many rows; [review] budget by default.")] = None,
    *,
    share: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=NUMBER", help="How much goes to a reason, such as uncertain=0.5; may be repeated."),
    ] = None,
    annotators: Annotated[int | None, typer.Option(min=1, metavar="N", help="How many people answer each row.")] = None,
    assignee: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Who may answer; may be repeated. Else everybody.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", "-e", metavar="NAME", help="Whose predictions; the project's own.")
    ] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Pick predictions that people should label, and say why.

    For example: bakeoff review pick 200 --share uncertain=0.5 --share random=0.5
    """
    shares = _shares(share or [])
    with open_project(folder) as project:
        batch = project.review.pick(
            budget, shares=shares, annotators=annotators, assignees=assignee or (), endpoint=endpoint
        )
    if as_json:
        emit({"batch": batch.to_json()})
        return
    counts = ", ".join(f"{count} {kind}" for kind, count in batch.counts.items())
    typer.echo(f"batch {batch.id}: {batch.rows:,} rows of {batch.population:,} predictions ({counts})")
    for note in batch.notes:
        typer.echo(f"  not by {note}")
    next_step("review", folder)


def status(*, batch: Batch = None, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """How far the batches are, and who answered how much; done is also what was labelled elsewhere, by feedback.

    For example: bakeoff review status
    """
    from bakeoff.cli.tables import table

    with open_project(folder) as project:
        progress = project.review.progress(batch)
    if as_json:
        emit({"batches": [each.to_json() for each in progress]})
        return
    rows = [
        [
            each.batch.id,
            each.batch.endpoint,
            f"{each.done:,}",
            f"{each.open:,}",
            f"{each.skipped:,}",
            f"{each.elsewhere:,}",
            ", ".join(f"{who} {count}" for who, count in each.by.items()),
            "closed" if each.batch.closed else "",
        ]
        for each in progress
    ]
    columns = ["batch", "endpoint", "done", "open", "skipped", "elsewhere", "by", ""]
    typer.echo(table(columns, rows, right=columns[2:6]) if rows else "nothing was asked for yet")
    next_step("review" if rows else "review pick", folder)


def next_row(*, who: Who = None, batch: Batch = None, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """The row to answer now; nobody else gets it for some minutes.

    For example: bakeoff review next --who anna --json
    """
    with open_project(folder) as project:
        row = project.review.next(who=who, batch_id=batch)
        batch_of = None if row is None else next(each for each in project.review.batches() if each.id == row.batch)
    if as_json:
        emit(_document(row))
    elif row is None or batch_of is None:
        typer.echo("nothing is left to label")
    else:
        typer.echo(_page(row, batch_of.rows, batch_of.classes).rpartition("\n")[0])
        next_step(f"review answer {row.name} LABEL", folder)


def answer(
    row: Row,
    label: Annotated[str, typer.Argument(help="What is true.")],
    *,
    who: Who = None,
    comment: Annotated[str | None, typer.Option(metavar="TEXT", help="Anything to say about it.")] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Say what is true of a row; exit 1 when the label is none of the model's.

    For example: bakeoff review answer 3f2a91c0/12 positive
    """
    from bakeoff.cli.render import feedback_page

    with open_project(folder) as project:
        recorded = project.review.answer(row, label, who=who, comment=comment)
    if as_json:
        emit(recorded.to_json())
    else:
        typer.echo(feedback_page(recorded.to_json()))
    if recorded.doubts:
        raise typer.Exit(1)


def skip(row: Row, *, who: Who = None, folder: Folder = HERE, as_json: AsJson = False) -> None:
    """Leave a row to others.

    For example: bakeoff review skip 3f2a91c0/12
    """
    with open_project(folder) as project:
        skipped = project.review.skip(row, who=who)
    if as_json:
        emit(_document(skipped))


def close(
    batch: Annotated[str, typer.Argument(help="The batch.")], *, folder: Folder = HERE, as_json: AsJson = False
) -> None:
    """Ask nobody any more for rows of a batch; its answers stay.

    For example: bakeoff review close 3f2a91c0
    """
    with open_project(folder) as project:
        closed = project.review.close(batch)
    if as_json:
        emit({"batch": closed.to_json()})


def export_rows(
    batch: Annotated[str, typer.Argument(help="The batch.")],
    *,
    form: Annotated[
        Literal["label-studio", "argilla"],
        typer.Option(metavar="FORM", help="label-studio (a JSON array) or argilla (JSON lines)."),
    ] = "label-studio",
    everything: Annotated[bool, typer.Option("--all", help="Rows that are done, too.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Else to stdout.")] = None,
    folder: Folder = HERE,
) -> None:
    """Rows of a batch for another tool.

    For example: bakeoff review export 3f2a91c0 -o tasks.json
    """
    with open_project(folder) as project:
        text = project.review.export(batch, form=form, everything=everything)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def import_answers(
    file: Annotated[Path, typer.Argument(help="What Label Studio or Argilla exported.")],
    *,
    who: Who = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Take in what was answered in another tool; exit 1 when some of it does not count.

    For example: bakeoff review import answers.json
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"expected a file of JSON, received {str(file)!r}: {error}") from error
    with open_project(folder) as project:
        taken = project.review.import_answers(text, name=file.name, who=who)
    if as_json:
        emit({"accepted": taken.accepted, "problems": list(taken.problems)})
    else:
        typer.echo("\n".join([f"{taken.accepted:,} accepted", *(f"  {each}" for each in taken.problems[:20])]))
    if taken.problems:
        raise typer.Exit(1)


def estimate(
    *,
    batch: Batch = None,
    metric: Annotated[str | None, typer.Option(metavar="NAME", help="The metric; the project's by default.")] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Quality of all predictions that a batch was picked from, by its answers so far, without bias.

    For example: bakeoff review estimate --metric accuracy
    """
    import msgspec

    with open_project(folder) as project:
        measured = project.review.estimate(batch, metric=metric)
    if as_json:
        emit(msgspec.to_builtins(measured))
        return
    value = f"{measured.interval.value:.4f} {measured.interval.ends()}"
    typer.echo(f"{measured.metric} {value} of {measured.population:,} predictions")
    typer.echo(
        f"  by {measured.rows:,} answers: {measured.random:,} drawn at random, {measured.certain:,} picked for a reason"
    )
