"""`bakeoff ci init`: files that run the project elsewhere by themselves."""

from pathlib import Path
from typing import Annotated

import typer

from bakeoff.cli.options import AsJson, Folder, emit, open_project
from bakeoff.cli.root import CommandGroup

__all__ = ["add_to"]

HERE = Path()


def add_to(app: typer.Typer) -> None:
    """Add the group `ci` to the app."""
    group = typer.Typer(
        name="ci",
        help="Pipelines as code: pull requests that are held to the champion, a loop by the clock.\n\n"
        "For example: bakeoff ci init github",
        cls=CommandGroup,
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command("init")(init)
    app.add_typer(group)


def init(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="github, gitlab, jenkins, pre-commit, container, cron, systemd, cronjob or kubernetes.",
        ),
    ],
    *,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    folder: Folder = HERE,
    as_json: AsJson = False,
) -> None:
    """Write the files of a pipeline into the project: read them, then commit them.

    For example: bakeoff ci init github
    """
    from dataclasses import asdict

    from bakeoff.actions.pipelines import write_pipeline

    with open_project(folder) as project:
        files = write_pipeline(project, kind, force=force)
    if as_json:
        emit({"files": [asdict(file) for file in files]})
        return
    for file in files:
        typer.echo(f"wrote {file.path}: read it, then commit it")
