"""Write a first project file from a look at the data."""

import json
import os
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from bakeoff.config.file import FILE_NAME, loads
from bakeoff.config.portfolio import advised
from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import BakeoffError, StoreError, UsageError
from bakeoff.core.families import load_family
from bakeoff.core.ledger import Ledger
from bakeoff.core.plugins import names
from bakeoff.core.types import Schema, Task
from bakeoff.data.sources import SCHEME
from bakeoff.metrics.registry import default

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FrameColumns", "WrittenProject", "write_project"]

CLASSES: Task = "classification"
QUANTITY: Task = "regression"
FEW_CLASSES, MANY_CLASSES = 10, 30
"""So many different numbers are hardly ever a quantity; of more, classes hardly ever come."""
FIRST_YEAR, LAST_YEAR = 1800, 2100
REMOTE_HINT = (
    "# [candidates.remote]                  # a language model behind an OpenAI-compatible API",
    '# url = "http://127.0.0.1:8000/v1"      # on another machine: [privacy] remote = true, price_in, price_out',
    '# model = "NAME"',
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenProject:
    """A new project file, what a run with it would lose of the data before steps and the split, and what is a guess."""

    file: Path
    ledger: Ledger
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


ANSWER = "answer"
"""The target of conversations: what their last turn becomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What the data are taken for."""

    task: Task
    schema: Schema
    ledger: Ledger
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameColumns:
    """What a frame that is kept in the project's folder says of its columns, beside their values.

    `categorical` are those of a type for categories, `ids` those that name rows, which no model learns from.
    """

    categorical: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()


NO_FRAME = FrameColumns()


def write_project(
    folder: Path,
    *,
    name: str | None,
    source: str,
    target: str | None,
    task: str | None,
    frame: FrameColumns | None = None,
) -> WrittenProject:
    """Write `bakeoff.toml` into the folder (made if need be) and check it.

    Args:
        folder: Where the project will be.
        name: The project's; the folder's by default.
        source: The data; with a `frame`, the file in the folder that has its rows.
        target: The column to predict.
        task: What to learn; seen in the target by default.
        frame: What a frame says of its columns.

    Raises:
        UsageError: there is one already, or the name or the task cannot be used.
        DataError: the data or its target cannot be used.
    """
    file = folder / FILE_NAME
    if file.exists():
        raise UsageError(f"expected no project file yet, found {str(file)!r}; edit it, or choose another folder")
    known = next((each for each in get_args(Task) if each == task), None)
    if task is not None and known is None:
        raise UsageError(f"expected the task classification, regression or generation, received {task!r}")
    with _made(folder):
        return _write(file, name=name, source=source, target=target, task=known, frame=frame)


@contextmanager
def _made(folder: Path) -> Generator[None]:
    """The folder exists within; one that was made for nothing is removed again."""
    new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        if new:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(error, OSError) and not isinstance(error, BakeoffError):
            raise StoreError(f"cannot write a project in {str(folder)!r}: {error.strerror or error}") from error
        raise


def project_name(text: str) -> str:
    """A text as the name of a project: in small letters, without blanks and signs.

    >>> project_name("My Films")
    'my-films'
    """
    return re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-_.") or "project"


def from_folder(source: str, folder: Path) -> str:
    """A path as the project's folder has it: one that is there from the working directory is meant from there.

    Raises:
        DataError: no path leads from the folder to the file, as between drives.
    """
    outer, *inside = source.split("!")
    path = Path(outer)
    if SCHEME.match(source) or path.is_absolute() or folder.resolve() == Path.cwd():
        return source
    if not path.exists() and not any(True for _ in Path.cwd().glob(outer)):
        return source
    return "!".join([Path(os.path.relpath(Path.cwd() / path, folder.resolve())).as_posix(), *inside])


def _write(
    file: Path, *, name: str | None, source: str, target: str | None, task: Task | None, frame: FrameColumns | None
) -> WrittenProject:
    folder = file.parent
    source = source if frame else from_folder(source, folder)
    look = _look(folder, source, target, task, frame or NO_FRAME)
    text = _text(project_name(name or folder.resolve().name), source, look, ignore=frame.ids if frame else ())
    loads(text, folder=folder, environ={})
    file.write_text(text, encoding="utf-8")
    return WrittenProject(file=file, ledger=look.ledger, warnings=look.warnings, notes=look.notes)


def _look(folder: Path, source: str, target: str | None, task: Task | None, frame: FrameColumns) -> _Look:
    import tempfile

    from bakeoff.data.conversations import usual_target
    from bakeoff.data.reading import read
    from bakeoff.data.schema import infer
    from bakeoff.data.sources import resolve
    from bakeoff.data.target import name_classes, prepare_target
    from bakeoff.loop.losses import gone_classes, of_reading, rows_read
    from bakeoff.prepare.losses import class_counts

    def config_of(target: str) -> DataConfig:
        categorical = tuple(each for each in frame.categorical if each != target)
        return DataConfig(source=(source,), target=target, categorical=categorical, ignore=frame.ids)

    config = config_of(target or ANSWER)
    with tempfile.TemporaryDirectory() as cache:
        files = resolve(source, folder=folder.resolve(), cache=Path(cache), progress=_quiet)
        reading = read(config, {"source": files})
        if target is None:
            target = ANSWER if reading.layout is not None else usual_target(reading.table.columns)
            if target is None:
                known = ", ".join(reading.table.columns)
                raise UsageError(f"expected a target (--target, or target= in Python), one of {known}; received none")
            config = config_of(target)
            reading = read(config, {"source": files})
        table = reading.table
        if task is None and (reading.layout is not None or usual_target(table.columns) == target):
            task = "generation"
        guess: tuple[str, ...] = ()
        if task is None:
            numeric = target in table.columns and table.schema[target].is_numeric()
            task, guess = _guess(table[target]) if numeric and target not in frame.categorical else (CLASSES, ())
        named = name_classes(table, config, task, reading.formats)
        inferred = infer(named.table, config, task, named.formats)
        prepared = prepare_target(named.table, inferred.schema, task)  # tells what stands in the way of learning it
        losses = of_reading(reading, inferred, [*named.losses, *prepared.losses], config)
        classes = class_counts(prepared.table, inferred.schema)
        ledger = Ledger(rows_in=rows_read(reading), rows_used=prepared.table.height, classes=classes)
        ledger = ledger.with_losses([*losses, *gone_classes(losses, classes)])
        notes = (*guess, *inferred.notes, *named.notes, *reading.notes)
        warnings = (*named.warnings, *prepared.warnings)
        return _Look(task=task, schema=inferred.schema, ledger=ledger, warnings=warnings, notes=notes)


def _guess(target: "pl.Series") -> tuple[Task, tuple[str, ...]]:
    """Whether the numbers of a target are a quantity or classes, and what is told where it may be otherwise."""
    values = target.drop_nulls().unique().sort().to_list()
    first, last, many = values[0] if values else 0, values[-1] if values else 0, len(values)
    if many > MANY_CLASSES or many > len(target) / 2:
        return QUANTITY, ()
    whole = all(value % 1 == 0 for value in values)
    years = whole and first >= FIRST_YEAR and last <= LAST_YEAR
    codes = first in {0, 1} and last - first == many - 1  # numbered one after the other, as classes are
    shown = f"target {target.name!r}: its {many} different numbers, from {first:g} to {last:g}, are taken as"
    if many > 2 and (years or (many > FEW_CLASSES and not codes)):  # noqa: PLR2004 - two are a choice
        return QUANTITY, (f"{shown} a quantity; --task {CLASSES} (task= in Python) takes them as classes",)
    return CLASSES, (f"{shown} classes; --task {QUANTITY} (task= in Python) takes them as a quantity",) * (many > 2)  # noqa: PLR2004


def _quiet(line: str) -> None:
    del line


def _installed(family: str) -> bool:
    """Whether there is such a family, and all that it stands on."""
    from importlib.metadata import PackageNotFoundError, version

    if family not in names("bakeoff.families"):
        return False
    try:
        return all(version(each) for each in load_family(family).requires)
    except (PackageNotFoundError, BakeoffError):
        return False


def _candidates(look: _Look) -> list[str]:
    """The sections of the candidates to begin with; what the size of the data speaks against, as a comment."""
    if look.task == "generation":
        return ["[candidates.retrieval]"]
    kinds = [column.kind for column in look.schema.input_columns]
    classes = len(look.ledger.classes) if look.task == "classification" else 0
    there = [each for each in advised(kinds, rows=look.ledger.rows_used, classes=classes) if _installed(each.family)]
    return [f"# {each.family} {each.reason}" if each.reason else f"[candidates.{each.family}]" for each in there]


def _text(name: str, source: str, look: _Look, *, ignore: Sequence[str]) -> str:
    task, schema = look.task, look.schema
    texts = schema.of_kind("text")
    metric = default(task)
    lines = [
        "[project]",
        f"name = {json.dumps(name)}",
        f"task = {json.dumps(task)}",
        "",
        "[data]",
        f"source = {json.dumps(source)}",
        f"target = {json.dumps(schema.target)}",
        *_columns("text", texts),
        *_columns("categorical", schema.of_kind("categorical")),
        *_columns("numeric", _listed_once(schema)),
        *_columns("datetime", schema.of_kind("datetime")),
        *_columns("boolean", schema.of_kind("boolean")),
        *_columns("ignore", ignore),
        "",
        "[decide]",
        f"metric = {json.dumps(metric)}",
        "# gates = { latency_p95_ms = { max = 50 } }",
        "",
        *_candidates(look),
        *(REMOTE_HINT if task == "generation" else ()),
        "",
        "[endpoint]",
        f"name = {json.dumps(name)}",
        "",
    ]
    return "\n".join(lines)


def _listed_once(schema: Schema) -> list[str]:
    """Numeric inputs, the elements of a vector by the name of their vector."""
    columns = [column for column in schema.input_columns if column.kind == "numeric"]
    return list(dict.fromkeys(column.format.vector or column.name for column in columns))


def _columns(kind: str, columns: Sequence[str]) -> list[str]:
    return [f"{kind} = {json.dumps(list(columns), ensure_ascii=False)}"] if columns else []
