"""Our own protocol: rows in, answers out; feedback on answers."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bakeoff.feedback.record import MAX_ID
from bakeoff.serve.engine import Call
from bakeoff.serve.runtime import Answer
from bakeoff.web.openapi import takes
from bakeoff.web.permissions import permission
from bakeoff.web.problems import HttpError, JsonResponse
from bakeoff.web.serving.bodies import decoded
from bakeoff.web.serving.context import Serving, caller_key

__all__ = ["RowRoutes", "deadline_s", "rendered"]

T = TypeVar("T")
ROWS = '{"rows": [{…}, …]} or {"row": {…}}'
DEADLINE = "x-deadline-ms"
"""The header in which callers say how long they wait for an answer."""


Key = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)]


class _PredictRequest(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[dict[str, Any]] | None = None
    row: dict[str, Any] | None = None
    keys: list[Key] | None = None
    key: Key | None = None


class _FeedbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    items: list[dict[str, Any]]


class _Said(msgspec.Struct, omit_defaults=True):
    id: str
    label: str | None = None
    value: float | str | None = None
    probabilities: Mapping[str, float] | None = None
    absent: tuple[str, ...] = ()
    imputed: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class _PredictResponse(msgspec.Struct):
    predictions: list[_Said]
    model_version: str | None
    release_id: str | None


class RowRoutes:
    """Handlers of `/predict` and `/feedback`, for the default endpoint and for each by its name."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    @property
    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/predict", self.predict, methods=["POST"]),
            Route("/predict/{name}", self.predict, methods=["POST"]),
            Route("/feedback", self.feedback, methods=["POST"]),
            Route("/endpoints/{name}/predict", self.predict, methods=["POST"]),
            Route("/endpoints/{name}/feedback", self.feedback, methods=["POST"]),
        ]

    @permission("predict")
    @takes(_PredictRequest)
    async def predict(self, request: Request) -> Response:
        """Answer rows: `{"rows": [{…}, …]}` or `{"row": {…}}`; each answer has an id for feedback.

        `keys` (one for each of `rows`) or `key` (of `row`) are the caller's own: feedback may name them instead of ids.
        A caller with a key (the header `X-Bakeoff-Key`) is answered by the same release while a rollout goes on.
        """
        engine = self._serving.of_path(request)
        asked = _decoded(await request.body(), _PREDICT, ROWS)
        if asked.rows is None and asked.row is None:
            raise HttpError(400, "BadRequest", f"expected {ROWS}, received neither")
        if asked.rows is not None and asked.row is not None:
            raise HttpError(400, "BadRequest", f"expected {ROWS}, received both")
        rows = asked.rows if asked.rows is not None else [asked.row or {}]
        keys = asked.keys if asked.rows is not None else None if asked.key is None else [asked.key]
        if (asked.key if asked.rows is not None else asked.keys) is not None or len(keys or rows) != len(rows):
            raise HttpError(400, "BadRequest", "expected `keys` beside `rows`, one for each, or `key` beside `row`")
        answers = await self._serving.turns(engine).answered(Call(rows, caller_key(request)), deadline_s(request))
        if keys and engine.recorder.logs:
            await self._serving.in_thread(lambda: self._serving.record_keys(engine.endpoint, keys, answers))
        return JsonResponse(rendered(answers))

    @permission("feedback")
    @takes(_FeedbackRequest)
    async def feedback(self, request: Request) -> Response:
        """Log what was true of an answer: `{"items": [{"id": …, "label": …}, …]}`; sent twice, counted once.

        `key` may stand for the `id`: the caller's own, sent with the row. Beside it, it gives the answer that key.
        """
        engine = self._serving.of_path(request)
        asked = _decoded(await request.body(), _FEEDBACK, '{"items": [{"id": …, "label": …}, …]}')
        recorded = await self._serving.in_thread(
            lambda: self._serving.record_feedback(request, engine.endpoint, asked.items)
        )
        return JsonResponse(recorded.to_json())


_PREDICT = msgspec.json.Decoder(_PredictRequest)
_FEEDBACK = msgspec.json.Decoder(_FeedbackRequest)


def deadline_s(request: Request) -> float | None:
    """Within which time the caller wants an answer, if it says so.

    Raises:
        HttpError: no number above 0.
    """
    given = request.headers.get(DEADLINE)
    if given is None:
        return None
    try:
        deadline_ms = float(given)
    except ValueError:
        deadline_ms = math.nan
    if not 0 < deadline_ms < math.inf:
        raise HttpError(400, "BadRequest", f"expected milliseconds above 0 in {DEADLINE}, received {given[:40]!r}")
    return deadline_ms / 1e3


def _decoded(body: bytes, decoder: msgspec.json.Decoder[T], example: str) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return decoded(body, decoder.type, example)  # says what is wrong
    except HttpError as error:
        if error.code != "unknown_parameter":
            raise
        problem = f"expected {example}; {error.message}"
        raise HttpError(400, "BadRequest", problem, error.param, error.code) from None


def rendered(answers: Sequence[Answer]) -> _PredictResponse:
    """Answers as this protocol has them; all of a call come from one release."""
    return _PredictResponse(
        predictions=[
            _Said(
                id=answer.id,
                label=answer.label,
                value=answer.value,
                probabilities=answer.probabilities,
                absent=answer.gaps.absent,
                imputed=answer.gaps.imputed,
                unseen=answer.gaps.unseen,
                unknown=answer.gaps.unknown,
            )
            for answer in answers
        ],
        model_version=answers[0].model_version if answers else None,
        release_id=answers[0].release_id if answers else None,
    )
