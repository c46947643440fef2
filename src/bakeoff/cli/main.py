"""The entry point: gathers the commands, turns errors into one clear line and an exit code.

Exit codes: 0 done, 1 error, 2 usage (also a wrong project file), 3 a gate failed; 130 interrupted.
"""

import contextlib
import json
import logging
import os
import signal
import sys
from typing import Annotated, NoReturn

import typer

import bakeoff
from bakeoff.cli import checking, data, lifecycle, models, records, serving

__all__ = ["app", "main"]

INTERRUPTED = 130
WRONG_CALL = 2

app = typer.Typer(
    name="bakeoff",
    help="Build classical and language-model candidates on your own data, ship the winner, keep it winning.",
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
    else:
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="  %(levelname)s: %(message)s")


for _module in (lifecycle, serving, records, data, checking, models):
    _module.add_to(app)


def main() -> NoReturn:
    """Run the command line and exit."""
    from bakeoff.core.errors import BakeoffError

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's stop is as clean as Ctrl-C
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
        sys.stdout.flush()
        if code == INTERRUPTED:
            _fail("Interrupted", "interrupted; what was finished is kept: run again to go on", INTERRUPTED)
    except BakeoffError as error:
        _fail(type(error).__name__, str(error), error.exit_code)
    except typer.Abort:
        _fail("Interrupted", "interrupted", INTERRUPTED)
    except BrokenPipeError:
        _leave()
    except Exception as error:
        told = getattr(error, "format_message", None)
        if told is not None:  # a wrong call, in the words of click, which typer brings along under a private name
            command = getattr(getattr(error, "ctx", None), "command_path", None) or "bakeoff"
            _fail("UsageError", f"{told().rstrip('.')}. Try '{command} --help'.", WRONG_CALL)
        logging.getLogger(__name__).info("unexpected error", exc_info=True)
        _fail(type(error).__name__, f"unexpected: {str(error) or type(error).__name__}{_hint(error)}", 1)
    sys.exit(code)


def _hint(error: Exception) -> str:
    if isinstance(error, OSError):
        return ""
    return "; this is a defect of bakeoff: run again as 'bakeoff --verbose …' for the traceback, and report it"


def _leave() -> NoReturn:
    """End without a word: the reader of our output left (as in `| head`), and Python would complain at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(1)


def _fail(kind: str, message: str, code: int) -> NoReturn:
    """Tell the error on stderr, and with --json as the one document on stdout."""
    typer.echo(f"error: {message}" if kind == "Interrupted" else f"error: {kind}: {message}", err=True)
    if "--json" in sys.argv:
        with contextlib.suppress(BrokenPipeError):
            typer.echo(json.dumps({"error": {"type": kind, "message": message}}))
    sys.exit(code)
