"""MLflow's scoring protocol: `/invocations` with the forms of rows that its servers take, `/ping` and `/version`.

Source: MLflow's documentation of local model servers, mlflow.org/docs/latest/ml/deployment/deploy-model-locally
"""

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

import bakeoff
from bakeoff.core import narrow
from bakeoff.core.types import Signature
from bakeoff.serve.engine import Call
from bakeoff.serve.runtime import Row
from bakeoff.web.openapi import takes
from bakeoff.web.permissions import permission
from bakeoff.web.problems import HttpError, JsonResponse
from bakeoff.web.serving.bodies import decoded, refused, shown
from bakeoff.web.serving.context import Serving, caller_key
from bakeoff.web.serving.rows import deadline_s

__all__ = ["InvocationRequest", "InvocationRoutes"]

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
EXAMPLE = '{"dataframe_split": {"columns": […], "data": [[…], …]}}, or dataframe_records, instances or inputs'


class _Split(msgspec.Struct):
    data: list[list[Any]]
    columns: list[str] | None = None
    index: list[Any] | None = None


class InvocationRequest(msgspec.Struct):
    """The body: one of the forms. Models here take no `params`."""

    dataframe_split: _Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    instances: list[Any] | None = None
    inputs: dict[str, Any] | list[Any] | None = None
    params: dict[str, Any] | None = None


class InvocationRoutes:
    """Handlers of MLflow's paths."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    @property
    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/invocations", self.invoke, methods=["POST"]),
            Route("/endpoints/{name}/invocations", self.invoke, methods=["POST"]),
            Route("/ping", self.ping),
            Route("/health", self.ping),
            Route("/version", self.version),
        ]

    @permission("public")
    async def ping(self, _request: Request) -> Response:
        """200 when every endpoint answers, else 503."""
        ready = self._serving.plane.ready
        return PlainTextResponse("\n", status_code=200 if ready else 503)

    @permission("list")
    async def version(self, _request: Request) -> Response:
        """The version of bakeoff."""
        return PlainTextResponse(bakeoff.__version__)

    @permission("predict")
    @takes(InvocationRequest, "text/csv")
    async def invoke(self, request: Request) -> Response:
        """Answer rows: a label, a number or a text for each."""
        engine = self._serving.of_path(request)
        signature = await self._serving.in_thread(lambda: engine.signature)
        media = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        body = await request.body()
        if media == "text/csv":
            rows = _csv_rows(body)
        elif media in {"application/json", ""}:
            # MLflow's own client writes NaN for what a DataFrame lacks.
            rows = _rows(decoded(body, InvocationRequest, EXAMPLE, nan=True), signature)
        else:
            problem = f"expected a body of application/json or text/csv, received {shown(media)}"
            raise HttpError(415, "BadRequest", problem)
        answers = await self._serving.turns(engine).answered(Call(rows, caller_key(request)), deadline_s(request))
        values = [answer.value if answer.label is None else answer.label for answer in answers]
        return JsonResponse({"predictions": values})


def _rows(asked: InvocationRequest, signature: Signature) -> list[Row]:
    given = [name for name in FORMS if getattr(asked, name) is not None]
    if len(given) != 1:
        raise refused("", f"one of {', '.join(FORMS)}", given)
    if asked.params:
        raise refused("params", "it to be left out: models here take none", asked.params)
    if asked.dataframe_split is not None:
        split = asked.dataframe_split
        names = list(signature.input_names) if split.columns is None else split.columns
        return [_named(row, names, f"dataframe_split.data[{at}]") for at, row in enumerate(split.data)]
    if asked.dataframe_records is not None:
        return list(asked.dataframe_records)
    if narrow.is_object(asked.inputs):
        return _of_columns(asked.inputs)
    items: Sequence[Any] = asked.instances if asked.instances is not None else narrow.json_array(asked.inputs or ())
    names = list(signature.input_names)
    return [_item(item, names, f"{given[0]}[{at}]") for at, item in enumerate(items)]


def _item(item: Any, names: Sequence[str], place: str) -> Row:
    """A row that is an object, a list of its values, or the one value that it has."""
    if narrow.is_object(item):
        return item
    return _named(list(narrow.json_array(item)) if isinstance(item, list) else [item], names, place)


def _named(values: Sequence[Any], names: Sequence[str], place: str) -> Row:
    if len(values) != len(names):
        raise refused(place, f"{len(names)} values ({', '.join(names)[:200]})", values)
    return dict(zip(names, values, strict=True))


def _of_columns(columns: Mapping[str, Any]) -> list[Row]:
    """Rows of lists of values by their column; values alone are one row."""
    lists = {name: values if isinstance(values, list) else [values] for name, values in columns.items()}
    if len({len(values) for values in lists.values()}) > 1:
        lengths = {name: len(values) for name, values in lists.items()}
        raise refused("inputs", "lists of one length", lengths)
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _csv_rows(body: bytes) -> list[Row]:
    """Rows of a CSV file with a header; an empty cell is a missing value."""
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode()
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise HttpError(400, "BadRequest", f"expected CSV in UTF-8 with a header; {error}") from None
    names, *rows = lines or [[]]
    if not names or len(set(names)) < len(names):
        raise refused("", "CSV with a header of different names", names)
    return [_named([cell or None for cell in row], names, f"line {at}") for at, row in enumerate(rows, 2) if row]
