"""Options and small pieces that commands share."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from bakeoff.core.jobs import Progress
    from bakeoff.project.project import Project

__all__ = [
    "AsJson",
    "Folder",
    "emit",
    "json_file",
    "json_rows",
    "open_project",
    "optional_value",
    "show_progress",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Folder = Annotated[Path, typer.Option("--project", "-C", help="The project folder.", show_default="this folder")]


def open_project(folder: Path, progress: "Progress | None" = None) -> "Project":
    """The project in a folder, with progress on stderr."""
    from bakeoff.project.project import Project

    return Project(folder, progress=progress or show_progress)


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
    """One line of progress on stderr."""
    typer.echo(f"  {line}", err=True)


def emit(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print one JSON document on stdout."""
    typer.echo(json.dumps(document, ensure_ascii=False, default=str))


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
