"""Commands for programs: completion for shells, and the JSON schemas of what `--json` prints."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from bakeoff.cli.options import next_step

__all__ = ["add_to"]


class Shell(StrEnum):
    """Shells that can be told what may come next."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (completion, schema):
        app.command()(command)


def completion(shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.", metavar="SHELL")]) -> None:
    """Print a script by which a shell completes commands and options.

    For example: bakeoff completion bash >> ~/.bashrc
    """
    from typer.completion import get_completion_script  # pyright: ignore[reportPrivateImportUsage]

    typer.echo(get_completion_script(prog_name="bakeoff", complete_var="_BAKEOFF_COMPLETE", shell=shell.value))


def schema(
    command: Annotated[
        list[str] | None, typer.Argument(help="A command, such as run or 'data card'; without one, all are listed.")
    ] = None,
) -> None:
    """Print the JSON schema of what a command prints with --json.

    For example: bakeoff schema runs compare
    """
    from bakeoff.cli.documents import COMMANDS, schema_of
    from bakeoff.core.errors import NotFoundError
    from bakeoff.core.plugins import suggestion

    if not command:
        typer.echo("\n".join(COMMANDS))
        next_step("schema run")
        return
    name = " ".join(command)
    if name not in COMMANDS:
        hint = suggestion(name, COMMANDS)
        raise NotFoundError(
            f"expected a command with --json ({', '.join(COMMANDS)}), received {name!r}. {hint}".rstrip()
        )
    typer.echo(json.dumps(schema_of(name), indent=2))
