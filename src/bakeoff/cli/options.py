"""Options and small pieces that commands share."""

import gc
import json
import logging
import shlex
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from bakeoff.core.streams import watched

if TYPE_CHECKING:
    from bakeoff.core.jobs import Progress
    from bakeoff.project.project import Project

__all__ = [
    "FORMAT",
    "AllowMissing",
    "AsJson",
    "Folder",
    "emit",
    "json_file",
    "json_rows",
    "next_step",
    "open_project",
    "optional_value",
    "project_folder",
    "quiet_progress",
    "seldom_collected",
    "show_progress",
    "uncollected",
]

FORMAT = 1
"""Of the documents of `--json`, whose key `format` it is: it grows when one of them loses or changes something."""
NEW_OBJECTS = 50_000
_PROGRESS = logging.getLogger("bakeoff.cli.progress")
"""Its level says whether progress is shown."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
AllowMissing = Annotated[
    bool,
    typer.Option(
        "--allow-missing", help="Go on without candidates that lack a package, a GPU or their service, or that fail."
    ),
]
Folder = Annotated[
    Path,
    typer.Option(
        "--project",
        "-C",
        metavar="FOLDER",
        help="The project folder; else this one, or the nearest above with a bakeoff.toml.",
        show_default=False,
    ),
]


def open_project(folder: Path, progress: "Progress | None" = None) -> "Project":
    """The project in a folder, with progress on stderr."""
    with uncollected():
        from bakeoff.project.project import Project

    return Project(project_folder(folder), progress=progress or show_progress)


@contextmanager
def uncollected() -> Generator[None]:
    """Within it no garbage is looked for: what is imported stays, and looking through it takes a tenth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def seldom_collected() -> Generator[None]:
    """Within it garbage is looked for seldom: a run imports much that stays, and each look through it takes 30 ms."""
    first, *more = gc.get_threshold()
    gc.set_threshold(max(first, NEW_OBJECTS), *more)
    try:
        yield
    finally:
        gc.set_threshold(first, *more)


def project_folder(folder: Path) -> Path:
    """The folder that was named; else this one, or the nearest above it that has a project file."""
    from bakeoff.config.file import FILE_NAME

    if folder != Path() or (folder / FILE_NAME).exists():
        return folder
    above = next((each for each in Path.cwd().parents if (each / FILE_NAME).is_file()), None)
    if above is None:
        return folder
    show_progress(f"project: {above}")
    return above


def quiet_progress(*, quiet: bool) -> None:
    """Whether `show_progress` and `next_step` stay silent."""
    _PROGRESS.setLevel(logging.ERROR if quiet else logging.INFO)


def next_step(command: str, folder: Path = Path()) -> None:
    """Tell a person at a terminal what one would do now; `folder` is the one that the command was given."""
    if _PROGRESS.isEnabledFor(logging.INFO) and watched(sys.stderr):
        where = "" if folder == Path() else f" -C {shlex.quote(str(folder))}"
        typer.echo(f"next: bakeoff {command}{where}", err=True)


def optional_value(option: str, value: str) -> type[TyperCommand]:
    """A command whose `option` may stand without a value, which is then `value`."""

    class Command(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            full = [
                f"{option}={value}" if arg == option and (not after or after.startswith("-")) else arg
                for arg, after in zip(args, [*args, ""][1:], strict=True)
            ]
            return super().parse_args(ctx, full)

    return Command


def show_progress(line: str) -> None:
    """One line of progress on stderr, unless it is not wanted."""
    if _PROGRESS.isEnabledFor(logging.INFO):
        typer.echo(f"  {line}", err=True)


def emit(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout, with the format that it is of."""
    typer.echo(json.dumps({"format": FORMAT, **document}, ensure_ascii=False, default=str))


def json_rows(text: str, what: str) -> list[dict[str, Any]]:
    """Objects from a JSON text: one, an array of them, or one in each line.

    Raises:
        DataError: it holds something else.
    """
    from bakeoff.core.errors import DataError

    try:
        found = _parsed(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"expected {what} as JSON or JSON lines, found: {error}") from error
    items: list[Any] = found if isinstance(found, list) else [found]
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise DataError(f"expected {what} as objects, received {item!r} at position {number}")
    return items


def json_file(file: str, what: str) -> list[dict[str, Any]]:
    """Objects from a JSON file, or from stdin ("-").

    Raises:
        DataError: it cannot be read, or holds something else.
    """
    from bakeoff.core.errors import DataError

    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return json_rows(data.decode("utf-8-sig"), what)
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"expected {what} as JSON or JSON lines in UTF-8, found: {error}") from error


def _parsed(text: str) -> Any:
    """One JSON value or one in each line, as strict as the endpoint: no NaN, no halves of characters."""
    import msgspec

    if not text.strip():
        raise ValueError("nothing")
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) == 1:
            raise
        return [msgspec.json.decode(line) for line in lines]
