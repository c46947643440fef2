"""Rows and feedback on their way in, answers on their way out: part by part, and at the end what was lost."""

import json
import tempfile
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

from bakeoff.cli.options import (
    FORMAT,
    emit,
    json_file,
    json_rows,
    next_step,
    open_project,
    project_folder,
    show_progress,
)

if TYPE_CHECKING:
    from bakeoff.data.batches import Batch
    from bakeoff.project.files import BatchResult, Total
    from bakeoff.serve.runtime import Answer

__all__ = ["answering", "recording", "show_answers", "show_recorded"]

Doc: TypeAlias = Mapping[str, Any]
MOST_PROBLEMS = 100
REMOTE_ROWS = 200
"""Rows of a file that are sent to an endpoint in one call, which must not be larger than it takes."""


@contextmanager
def answering(
    file: str | None, row: str | None, url: str | None, folder: Path
) -> "Generator[Iterable[BatchResult[Any]]]":
    """The answers to rows of a file, or to those given inline as JSON, by the project in a folder or by an endpoint.

    Raises:
        UsageError: neither or both are given.
    """
    from bakeoff.core.errors import UsageError
    from bakeoff.project.files import answered_remotely, answered_whole

    if (file is None) == (row is None):
        raise UsageError(f"expected a row as JSON or --file with rows, received {'both' if file else 'neither'}")
    if url is not None:
        from bakeoff.web.client import Client

        with Client(url) as client, tempfile.TemporaryDirectory() as cache:

            def ask(rows: Sequence[Doc]) -> list[Doc]:
                return client.predict(rows)["predictions"]

            if row is not None:
                yield [answered_whole(ask(json_rows(row, "rows")))]
            else:
                yield answered_remotely(ask, _batches(str(file), "rows", folder, Path(cache)))
        return
    rows = json_rows(row, "rows") if row is not None else _in_memory(str(file), "rows")
    with open_project(folder) as project:
        if row is not None and rows is not None:
            yield [answered_whole(project.predict(rows))]
        else:
            yield project.predict_file(str(file)) if rows is None else project.predict_each(rows, name=str(file))


@contextmanager
def recording(
    file: str | None, item: Doc | None, url: str | None, folder: Path
) -> "Generator[Iterable[BatchResult[Doc]]]":
    """What is said of the feedback of a file, or of one item, by the project in a folder or by an endpoint."""
    from bakeoff.project.files import BatchResult, recorded

    if url is not None:
        from bakeoff.web.client import Client

        with Client(url) as client, tempfile.TemporaryDirectory() as cache:
            if item is not None:
                yield [BatchResult(results=[client.feedback([item])], rows=1)]
            else:
                yield recorded(client.feedback, _batches(str(file), "feedback items", folder, Path(cache)))
        return
    with open_project(folder) as project:
        if item is not None:
            yield [BatchResult(results=[project.feedback([item]).to_json()], rows=1)]
            return
        items = _in_memory(str(file), "feedback items")
        yield project.feedback_file(str(file)) if items is None else project.record_each(items, name=str(file))


def _in_memory(file: str, what: str) -> list[dict[str, Any]] | None:
    """The objects of a JSON file or of stdin; None for files that are read as `[data]` reads them."""
    return json_file(file, what) if file == "-" or file.lower().endswith(".json") else None


def _batches(file: str, what: str, folder: Path, cache: Path) -> "Generator[Batch]":
    """The rows of a file for an endpoint elsewhere; read as the project says if there is one here."""
    from bakeoff.config.file import FILE_NAME, load
    from bakeoff.config.sections import DataConfig
    from bakeoff.data.batches import batches
    from bakeoff.data.sources import resolve
    from bakeoff.project.files import listed

    rows = _in_memory(file, what)
    if rows is not None:
        return listed(rows, file, REMOTE_ROWS)
    folder = project_folder(folder)
    config = load(folder).config.data if (folder / FILE_NAME).exists() else DataConfig(target="")
    return batches(resolve(file, folder=Path.cwd(), cache=cache, progress=show_progress), config, rows=REMOTE_ROWS)


def show_answers(parts: "Iterable[BatchResult[Any]]", *, as_json: bool, folder: Path) -> None:
    """Print the answers to rows as they come, and what was lost of the rows.

    Raises:
        typer.Exit: a row has no answer.
    """
    from bakeoff.cli.render import answers_page
    from bakeoff.core.errors import BakeoffError
    from bakeoff.project.files import Total

    total = Total()
    pages = ([_answer_json(answer) for answer in part.results] for part in total.counted(parts))
    pages = chain([next(pages, [])], pages)  # what stops the whole is told before anything is printed
    if not as_json:
        last = None
        for page in filter(None, pages):
            typer.echo(answers_page(page))
            last = page[-1]["id"]
        if last:
            next_step(f"feedback {last} WHAT_WAS_TRUE", folder)
        _end(total)
        return
    end: dict[str, Any] = {}
    typer.echo(f'{{"format": {FORMAT}, "predictions": [', nl=False)
    try:
        for number, answer in enumerate(chain.from_iterable(pages)):
            typer.echo((", " if number else "") + json.dumps(answer, ensure_ascii=False, default=str), nl=False)
    except BakeoffError as error:  # the document has begun: it must end as one
        typer.echo(f"error: {type(error).__name__}: {error}", err=True)
        end["error"] = {"type": type(error).__name__, "message": str(error)}
        total.code = error.exit_code
    if total.losses:
        end["ledger"] = total.ledger.to_json()
    typer.echo(
        "]" + "".join(f", {json.dumps(key)}: {json.dumps(each, default=str)}" for key, each in end.items()) + "}"
    )
    _end(total)


def _answer_json(answer: "Answer | Doc") -> Doc:
    """An answer as the endpoint gives it: what its row lacked stands there only where it lacked something."""
    if isinstance(answer, Mapping):
        return answer
    fields = asdict(answer)
    gaps = fields.pop("gaps")
    return fields | {name: names for name, names in gaps.items() if names}


def show_recorded(parts: "Iterable[BatchResult[Doc]]", *, as_json: bool, folder: Path) -> None:
    """Print how much feedback counts, and what was lost of it.

    Raises:
        typer.Exit: an item does not count.
    """
    from bakeoff.cli.render import feedback_page
    from bakeoff.project.files import Total

    total = Total()
    document: dict[str, Any] = {}
    for answer in chain.from_iterable(part.results for part in total.counted(parts)):
        for key, value in answer.items():  # counts, and lists of the first items that do not count
            document[key] = (
                (document[key] + value if key in document else value)
                if key != "problems"
                else ([*document.get(key, []), *value][:MOST_PROBLEMS])
            )
    document = {"accepted": 0} | document
    if as_json:
        emit(document | ({"ledger": total.ledger.to_json()} if total.losses else {}))
    else:
        typer.echo(feedback_page(document))
        next_step("monitor", folder)
    if document["accepted"] < total.used:
        total.code = max(total.code, 1)
    _end(total, went="recorded")


def _end(total: "Total", *, went: str = "answered") -> None:
    """Tell what was lost on stderr, and end with the worst exit code."""
    if total.losses:
        from bakeoff.cli.ledger_page import ledger_page

        typer.echo(ledger_page(total.ledger, went=went), err=True)
    if total.code:
        raise typer.Exit(total.code)
