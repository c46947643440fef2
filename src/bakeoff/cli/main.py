"""The entry point: gathers the commands, turns errors into one clear line and an exit code.

Exit codes: 0 done, 1 error, 2 usage (also a wrong project file), 3 a gate failed; 130 interrupted.
"""

import atexit
import contextlib
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

import bakeoff
from bakeoff.cli.failures import INTERRUPTED, described
from bakeoff.cli.options import FORMAT, AsJson, Folder, quiet_progress, uncollected
from bakeoff.cli.root import FIRST, Root, arranged
from bakeoff.cli.terminal import terminal
from bakeoff.core.children import PARENT, end_with_parent
from bakeoff.core.threads import WAITING

__all__ = ["MODULES", "app", "main"]

MODULES: Mapping[str, tuple[str, ...]] = {
    "lifecycle": ("init", "run", "status", "demo", "report"),
    "looping": ("loop",),
    "serving": ("serve", "predict"),
    "feedback": ("feedback",),
    "reviewing": ("review",),
    "monitoring": ("monitor",),
    "together": ("up",),
    "endpoints": ("endpoints",),
    "replaying": ("replay",),
    "packaging": ("package",),
    "planning": ("plan",),
    "tracking": ("ui",),
    "watching": ("top", "mcp"),
    "moving": ("move", "import-mlflow", "export-mlflow"),
    "records": ("explain", "config", "doctor", "verify", "gc", "expire", "runs"),
    "questions": ("compare", "sql"),
    "data": ("data",),
    "models": ("models",),
    "lineage": ("lineage", "reproduce"),
    "versions": ("diff", "prompts", "hook"),
    "fine_tuning": ("fine-tune",),
    "environments": ("env",),
    "checking": ("check", "advise"),
    "pipelines": ("ci",),
    "access": ("tokens", "people", "audit", "keys", "certs", "forget"),
    "for_programs": ("completion", "schema"),
}
"""The modules of `bakeoff.cli` that have commands, and which: of one that is called, only its own is imported."""

app: typer.Typer
"""The whole command line; made when it is first looked at."""


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()["app"] = _application(MODULES)
    return globals()["app"]


def _application(modules: Collection[str]) -> typer.Typer:
    """The command line with the commands of these modules."""
    made = typer.Typer(
        name="bakeoff",
        cls=Root,
        help="Build classical and language-model candidates on your own data, ship the winner, keep it winning.",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(_root)
    for module in modules:
        import_module(f"bakeoff.cli.{module}").add_to(made)
    return made


def _needed(args: Sequence[str]) -> Collection[str]:
    """The module of the command that is called; all of them for help, completion, and what is no command."""
    command = next((each for each in arranged([*args]) if each not in FIRST), "")
    return [module for module, commands in MODULES.items() if command in commands] or MODULES


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the shape that typer calls
    if wanted:
        typer.echo(bakeoff.__version__)
        raise typer.Exit


def _root(
    *,
    folder: Folder = Path(),
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no next step on stderr.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log to stderr.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and end."),
    ] = False,
) -> None:
    del version, folder, as_json  # the last two are handed on to the command (`Root`)
    if os.environ.pop(PARENT, None) is not None:  # processes that this one starts have another parent
        end_with_parent()
    quiet_progress(quiet=quiet)
    level = logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING
    shape = logging.BASIC_FORMAT if verbose else "  %(levelname)s: %(message)s"
    logging.basicConfig(level=level, stream=sys.stderr, format=shape)


@cache
def _command(modules: tuple[str, ...]) -> Any:
    """What parses arguments and runs; made once, for who calls `main` again in the same process."""
    with uncollected():
        return typer.main.get_command(_application(modules))


def main() -> NoReturn:
    """Run the command line and exit."""
    for name, value in WAITING.items():  # before anything loads OpenBLAS
        os.environ.setdefault(name, value)
    if sys.platform == "win32":
        sys.exit(bakeoff.NOT_ON_WINDOWS)
    as_json = "--json" in sys.argv
    with terminal(as_json=as_json):
        _main(as_json=as_json)


def _spare_collection() -> None:
    """The process ends: to look through all that it had would take a fifth of a short command.

    DuckDB's binding (nanobind) complains on stderr of each object of its own that is not collected.
    """
    if "duckdb" not in sys.modules:
        gc.freeze()


def _main(*, as_json: bool) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a supervisor's stop is as clean as Ctrl-C
    atexit.unregister(_spare_collection)
    atexit.register(_spare_collection)
    try:
        args = sys.argv[1:] or ["--help"]
        code = _command(tuple(_needed(args)))(args, prog_name="bakeoff", standalone_mode=False) or 0
        if sys.stdout is not None:  # pyright: ignore[reportUnnecessaryComparison] - it is, when it was closed
            sys.stdout.flush()
        if code == INTERRUPTED:
            raise typer.Abort  # noqa: TRY301 - as when it comes out of the command
    except typer.Abort as error:
        _fail(*described(error), as_json=as_json)
    except BrokenPipeError:
        _leave(1)
    except Exception as error:  # noqa: BLE001 - this is where all errors end
        _fail(*described(error), as_json=as_json)
    except BaseException as error:
        # What libraries written in Rust raise when they have a defect derives from none of the usual types.
        if type(error).__module__.partition(".")[0] in {"builtins", "bakeoff"}:
            raise
        _fail(*described(error), as_json=as_json)
    sys.exit(code)


def _fail(kind: str, message: str, code: int, *, as_json: bool) -> NoReturn:
    """Tell the error on stderr, and with --json as the one document on stdout."""
    typer.echo(f"error: {message}" if kind == "Interrupted" else f"error: {kind}: {message}", err=True)
    if as_json:
        with contextlib.suppress(OSError):  # nobody reads it, or its disk is full: stderr has it
            typer.echo(json.dumps({"format": FORMAT, "error": {"type": kind, "message": message}}))
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
