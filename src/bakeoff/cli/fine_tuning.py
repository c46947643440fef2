"""The command that fine-tunes a language model on a file of conversations."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from bakeoff.cli.options import AsJson, Folder, emit, next_step, open_project

__all__ = ["add_to"]

HERE = Path()


def add_to(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("fine-tune")(fine_tune)


def fine_tune(
    file: Annotated[
        Path | None, typer.Argument(help='Conversations, one in each line: {"messages": […]}, or pairs for dpo.')
    ] = None,
    *,
    validation: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Others to stop by; the project's validation rows by default."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="A candidate of family lora; the first by default.")
    ] = None,
    method: Annotated[Literal["supervised", "dpo"], typer.Option(help="dpo learns pairs of answers.")] = "supervised",
    job: Annotated[str | None, typer.Option(hidden=True, metavar="ID")] = None,
    worker: Annotated[str | None, typer.Option(hidden=True, metavar="NAME")] = None,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a candidate on a file, judge it against the champion, and register it; nothing is released.

    For example: bakeoff fine-tune chats.jsonl
    """
    from bakeoff.core.errors import CandidateError, UsageError
    from bakeoff.loop.fine_tune_jobs import Tuning

    if (file is None) == (job is None):
        raise UsageError("expected a file of conversations, received none; 'bakeoff fine-tune chats.jsonl'")
    with open_project(folder) as project:
        tuning = project.fine_tuning
        if job is not None:
            ended = tuning.work(job, worker=worker)
        else:
            assert file is not None
            ended = tuning.train(file, validation=validation, model=model, tuning=Tuning(method=method))
    if ended.error is not None:
        raise CandidateError(ended.error)
    if as_json:
        shown = {"model_version": ended.model_version, "verdict": ended.verdict, "takes_over": ended.takes_over}
        emit({"job": ended.id, "status": ended.status, **shown})
        return
    typer.echo(f"{ended.model_version}: {ended.verdict}")
    next_step(f"endpoints release {ended.model_version}", folder)
