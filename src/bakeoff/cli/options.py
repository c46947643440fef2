"""Options and small pieces that commands share."""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["AsJson", "Folder", "duration_s", "emit", "open_project", "optional_value", "read_rows", "show_progress"]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Folder = Annotated[Path, typer.Option("--project", "-C", help="The project folder.", show_default="this folder")]


def duration_s(text: str) -> float:
    """Seconds of a duration such as "90s", "30m" or "1.5h".

    Raises:
        UsageError: it is none, or not longer than nothing.

    >>> duration_s("30m"), duration_s("1.5h")
    (1800.0, 5400.0)
    """
    from bakeoff.core.errors import UsageError

    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh])", text.strip().lower())
    seconds = float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if not seconds:
        raise UsageError(f"expected a time with its unit, such as 90s, 30m or 2h; received {text!r}")
    return seconds


def open_project(folder: Path) -> "Project":
    """The project in a folder, with progress on stderr."""
    from bakeoff.project.project import Project

    return Project(folder, progress=show_progress)


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


def read_rows(file: Path | None, inline: str | None, what: str) -> list[dict[str, Any]]:
    """Objects from an inline JSON text, or a JSON, JSONL, CSV, TSV or Parquet file ("-": JSONL on stdin).

    Raises:
        UsageError: neither or both are given. DataError: it holds something else than objects.
    """
    from bakeoff.core.errors import DataError, UsageError

    if (file is None) == (inline is None):
        raise UsageError(f"expected {what} either inline or as a file, received {'both' if file else 'neither'}")
    if file is not None and file.suffix in {".csv", ".tsv", ".parquet"}:
        return _table_rows(file)
    try:
        text = inline if inline is not None else _read(file)
        found = _parsed(text)
    except (ValueError, RecursionError, OSError) as error:
        raise DataError(f"expected {what} as JSON or JSON lines in UTF-8, found: {error}") from error
    items: list[Any] = found if isinstance(found, list) else [found]
    for number, item in enumerate(items):
        if not isinstance(item, dict):
            raise DataError(f"expected {what} as objects, received {item!r} at position {number}")
    return items


def _read(file: Path | None) -> str:
    data = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
    return data.decode("utf-8-sig")


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


def _table_rows(file: Path) -> list[dict[str, Any]]:
    import polars as pl

    from bakeoff.core.errors import DataError

    try:
        if file.suffix == ".parquet":
            return pl.read_parquet(file).to_dicts()
        return pl.read_csv(file, separator="\t" if file.suffix == ".tsv" else ",", infer_schema=False).to_dicts()
    except (OSError, pl.exceptions.PolarsError) as error:
        found = str(error).partition("\n")[0]
        raise DataError(f"expected a readable table (UTF-8) in {str(file)!r}, found: {found}") from error
