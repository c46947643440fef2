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
from bakeoff.cli import checking, data, lifecycle, models, records, serving, tracking
from bakeoff.cli.terminal import terminal

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


for _module in (lifecycle, serving, tracking, records, data, checking, models):
    _module.add_to(app)


def main() -> NoReturn:
    """Run the command line and exit."""
    as_json = "--json" in sys.argv
    with terminal(as_json=as_json):
        _main(as_json=as_json)


def _main(*, as_json: bool) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's stop is as clean as Ctrl-C
    try:
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] - it is, when it was closed
            sys.stdout.flush()
        if code == INTERRUPTED:
            raise typer.Abort  # noqa: TRY301 - as when it comes out of the command
    except typer.Abort:
        message = "interrupted; what was finished is kept: run again to go on"
        _fail("Interrupted", message, INTERRUPTED, as_json=as_json)
    except BrokenPipeError:
        _leave(1)
    except Exception as error:  # noqa: BLE001 - this is where all errors end
        _fail(*_told(error), as_json=as_json)
    except BaseException as error:
        # What libraries written in Rust raise when they have a defect derives from none of the usual types.
        if type(error).__module__.partition(".")[0] in {"builtins", "bakeoff"}:
            raise
        _fail(*_told(error), as_json=as_json)
    sys.exit(code)


def _told(error: BaseException) -> tuple[str, str, int]:
    """An error's name, message and exit code."""
    from bakeoff.core.errors import BakeoffError
    from bakeoff.core.explain import explained

    wrong_call = getattr(error, "format_message", None)
    if wrong_call is not None:  # in the words of click, which typer brings along under a private name
        command = getattr(getattr(error, "ctx", None), "command_path", None) or "bakeoff"
        return "UsageError", f"{wrong_call().rstrip('.')}. Try '{command} --help'.", WRONG_CALL
    ours = explained(error)
    if ours is not error or not isinstance(ours, BakeoffError):
        logging.getLogger(__name__).info("unexpected error", exc_info=error)
    if isinstance(ours, BakeoffError):
        return type(ours).__name__, str(ours), ours.exit_code
    name = type(error).__name__
    defect = "this is a defect of bakeoff: run again as 'bakeoff --verbose …' for the traceback, and report it"
    return name, f"unexpected: {str(error) or name}; {defect}", 1


def _fail(kind: str, message: str, code: int, *, as_json: bool) -> NoReturn:
    """Tell the error on stderr, and with --json as the one document on stdout."""
    typer.echo(f"error: {message}" if kind == "Interrupted" else f"error: {kind}: {message}", err=True)
    if as_json:
        with contextlib.suppress(OSError):  # nobody reads it, or its disk is full: stderr has it
            typer.echo(json.dumps({"error": {"type": kind, "message": message}}))
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End; output that cannot be written any more is dropped, or Python would complain of it at exit."""
    out = sys.stdout
    if out is not None:  # pyright: ignore[reportUnnecessaryComparison] - it is, when it was closed
        try:
            out.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    sys.exit(code)
