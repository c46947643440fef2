"""The entry point: gathers the commands, turns errors into one clear line and an exit code.

Exit codes: 0 done, 1 error, 2 usage (also a wrong project file), 3 a gate failed; 130 interrupted.
"""

import json
import logging
import sys
from typing import Annotated, NoReturn

import typer

import bakeoff
from bakeoff.cli import lifecycle, records, serving

__all__ = ["app", "main"]

INTERRUPTED = 130

app = typer.Typer(
    name="bakeoff",
    help="Build classical and language-model candidates on your own data, ship the winner, keep it winning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the shape that typer calls
    if wanted:
        typer.echo(bakeoff.__version__)
        raise typer.Exit


@app.callback()
def _root(  # pyright: ignore[reportUnusedFunction] - typer calls it
    *,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr.")] = False,
) -> None:
    del version
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)


for _module in (lifecycle, serving, records):
    _module.add_to(app)


def main() -> NoReturn:
    """Run the command line and exit."""
    from bakeoff.core.errors import BakeoffError

    try:
        app()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            told = "interrupted; what was finished is kept: run again to go on"
            _fail(told, "Interrupted", told, INTERRUPTED)
        raise
    except BakeoffError as error:
        _fail(f"{type(error).__name__}: {error}", type(error).__name__, str(error), error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader left (as in `| head`); Python would complain at exit
        sys.exit(1)
    sys.exit(0)


def _fail(line: str, kind: str, message: str, code: int) -> NoReturn:
    """Tell the error on stderr, and with --json as the one document on stdout."""
    typer.echo(f"error: {line}", err=True)
    if "--json" in sys.argv:
        typer.echo(json.dumps({"error": {"type": kind, "message": message}}))
    sys.exit(code)
