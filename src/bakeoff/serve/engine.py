"""The engine: answers rows with the live release's model, logs what it said, follows the pointer.

A call holds the model that it started with, so a model that is replaced lives until its calls have drained.
The caller that finds the pointer moved loads the new model; the others go on with the old one meanwhile.
"""

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from bakeoff.core import narrow
from bakeoff.core.abilities import abilities_of
from bakeoff.core.conversation import question_text
from bakeoff.core.errors import (
    BakeoffError,
    CandidateError,
    ContractError,
    DataError,
    NotFoundError,
    StoreError,
    UsageError,
)
from bakeoff.core.events import FailureEvent, PredictionEvent
from bakeoff.core.generation import (
    Counting,
    Embedded,
    Messages,
    Piece,
    Sampling,
    Tool,
    ToolCall,
)
from bakeoff.core.protocols import Clock, EventLog, Model
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, Json, Predictions, Signature
from bakeoff.data.contract_rows import Broken, RowCheck
from bakeoff.data.schema import conform
from bakeoff.serve.inputs import NO_GAPS, Gaps, Inputs, OnUnknown

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Answer", "Engine", "Health", "Lack", "LogMode", "Row"]

Row: TypeAlias = Mapping[str, object]
"""Columns and values as JSON has them, or as plain Python (times, decimals)."""
LogMode: TypeAlias = Literal["required", "best_effort"]
OnViolation: TypeAlias = Literal["reject", "log", "off"]
Lack: TypeAlias = Literal["absent", "imputed", "unseen", "unknown"]
Prepare: TypeAlias = "Callable[[pl.DataFrame, tuple[Json, ...], tuple[Column, ...]], pl.DataFrame]"

Redact: TypeAlias = Callable[[Sequence[Json]], Callable[[Json], Json]]

POLL_MS = 500
RETRY_MS = 10_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was said about one row: `label` for classification, else `value` (a number or a text).

    `gaps` say which inputs the row lacked, and which of its keys nobody knows.
    """

    id: str
    label: str | None = None
    value: float | str | None = None
    probabilities: Mapping[str, float] | None = None
    release_id: str
    model_version: str
    gaps: Gaps = NO_GAPS

    def __repr__(self) -> str:
        answer = self.value if self.label is None else self.label
        sure = f" ({self.probabilities[self.label]:.3f})" if self.probabilities and self.label is not None else ""
        return f"Answer({answer!r}{sure}, id={self.id!r}{', with gaps' if self.gaps else ''})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the engine can answer, with what, and what is wrong (it may answer all the same)."""

    ready: bool
    release_id: str | None
    model_version: str | None
    problem: str | None
    lost_log_records: int


@dataclass(frozen=True, slots=True)
class _Serving:
    release: Release
    model: Model
    check: RowCheck | None
    inputs: Inputs


@dataclass(frozen=True, slots=True)
class _Admitted:
    """Rows that may be answered: their table, what each lacks, and what they violate of the contract."""

    rows: Sequence[Row]
    table: "pl.DataFrame"
    gaps: Sequence[Gaps]
    broken: Sequence[Broken]


def _random_id() -> str:
    return secrets.token_hex(16)


class Engine:
    """Serves one endpoint; safe to call from many threads.

    Args:
        endpoint: the endpoint's name.
        load: reads the model of a release.
        pointer: the live release, or None; cheap, asked at most twice a second.
        prepare: applies a release's preparation steps to a table with these columns.
        events: the log of predictions.
        clock: milliseconds since the epoch.
        ids: makes prediction ids; they must be unguessable, as whoever knows one may give feedback on it.
        timer: seconds, for latencies.
        log: "required": no answer before its record is durable; "best_effort": answers do not wait for it.
        max_rows: the most rows in one call.
        check: compiles a released contract (its blob) for the model's columns; without it none is held.
        on_violation: "reject": a call with a row that violates an error rule is refused whole; "log": it is
            answered and counted; "off": rows are not looked at.
        redact: makes, of a release's steps, what they redact of values before they are logged; without it nothing is.
        unknown: "reject": a call with a row that lacks inputs while it has keys that nobody knows is refused whole;
            "warn": it is answered and counted.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        load: Callable[[Release], Model],
        pointer: Callable[[], Release | None],
        prepare: Prepare,
        events: EventLog,
        clock: Clock,
        ids: Callable[[], str] = _random_id,
        timer: Callable[[], float] = time.perf_counter,
        log: LogMode = "required",
        max_rows: int = 10_000,
        check: Callable[[str, Sequence[Column]], RowCheck] | None = None,
        on_violation: OnViolation = "reject",
        unknown: OnUnknown = "reject",
        redact: Redact = lambda _: lambda value: value,
    ) -> None:
        self.endpoint = endpoint
        self._load, self._pointer, self._prepare = load, pointer, prepare
        self._events, self._clock, self._ids, self._timer = events, clock, ids, timer
        self._log: LogMode = log
        self._max_rows = max_rows
        self._check = check
        self._on_violation: OnViolation = on_violation
        self._unknown: OnUnknown = unknown
        self._redact = redact
        self._violated: Counter[tuple[str, str]] = Counter()
        self._lacked: Counter[tuple[Lack, str]] = Counter()
        self._counting = threading.Lock()
        self._serving: _Serving | None = None
        self._refreshing = threading.Lock()
        self._polled_ms: int | None = None
        self._failed: tuple[str, int] | None = None
        self._problem: str | None = None
        self._lost = 0

    def new_id(self) -> str:
        """An id for an answer that is yet to come."""
        return self._ids()

    def now_ms(self) -> int:
        """The engine's clock: milliseconds since the epoch."""
        return self._clock()

    # --- answering ------------------------------------------------------------------------------

    def predict(self, rows: Sequence[Row]) -> list[Answer]:
        """Answer each row, in order; with `log = "required"` the answers are durable when this returns.

        Raises:
            DataError: too many rows, or a row that does not fit the model's inputs.
            ContractError: a row violates an error rule of the released contract, and such calls are refused.
            NotFoundError: nothing is released on the endpoint.
            CandidateError: the model failed.
            StoreError: the answers could not be logged.
        """
        serving = self._current()
        started = self._timer()
        try:
            return self._answered(serving, self._admitted(serving, rows), started)
        except Exception as error:
            self._log_failure(serving, len(rows), (self._timer() - started) * 1e3, error)
            raise

    def predict_each(self, rows: Sequence[Row]) -> list[Answer | DataError]:
        """Answer the rows that can be answered, in order, and say of each other one why not.

        Raises:
            NotFoundError, CandidateError, StoreError: as for `predict`.
        """
        serving = self._current()
        started = self._timer()
        refused: dict[int, DataError] = {}
        try:
            try:
                admitted = self._admitted(serving, rows)
            except DataError:
                refused = self._refused(serving, rows)
                admitted = self._admitted(serving, [row for at, row in enumerate(rows) if at not in refused])
            answers = iter(self._answered(serving, admitted, started))
        except Exception as error:
            self._log_failure(serving, len(rows), (self._timer() - started) * 1e3, error)
            raise
        if refused:
            self._log_failure(serving, len(refused), 0.0, next(iter(refused.values())))
        return [refused[at] if at in refused else next(answers) for at in range(len(rows))]

    def check_names(self, names: Collection[str], where: str) -> None:
        """See whether rows with these keys could be answered; `where` is how a message calls them.

        Raises:
            DataError: inputs are lacking, and such rows are refused. NotFoundError: nothing is released.
        """
        self._current().inputs.of(names, where)

    def _refused(self, serving: _Serving, rows: Sequence[Row]) -> dict[int, DataError]:
        """The rows that cannot be answered, by their place, each looked at alone."""
        refused: dict[int, DataError] = {}
        for at, row in enumerate(rows):
            try:
                self._admitted(serving, [row])
            except DataError as error:
                refused[at] = error
        return refused

    def _admitted(self, serving: _Serving, rows: Sequence[Row]) -> _Admitted:
        """The rows as the model's table, if all of them may be answered."""
        if len(rows) > self._max_rows:
            raise DataError(
                f"expected at most {self._max_rows} rows in a call, received {len(rows)}; send them in several calls"
            )
        rows = [serving.inputs.renamed(row) for row in rows]
        gaps = serving.inputs.of_rows(rows)
        broken = self._violations(serving, rows)
        table = conform(rows, serving.model.signature.inputs)
        return _Admitted(rows, table, serving.inputs.with_values(gaps, table), broken)

    def _violations(self, serving: _Serving, rows: Sequence[Row]) -> list[Broken]:
        """What the rows violate of the released contract, counted; refused when that is the project's wish."""
        broken = serving.check(rows) if serving.check is not None else []
        if broken:
            with self._counting:
                self._violated.update((each.rule.column, each.rule.rule) for each in broken)
            errors = [each for each in broken if each.rule.severity == "error"]
            if errors and self._on_violation == "reject":
                raise RowCheck.error(errors)
        return broken

    @property
    def violated(self) -> Mapping[tuple[str, str], int]:
        """How often served rows violated the released contract, by column and rule, since the start."""
        with self._counting:
            return dict(self._violated)

    @property
    def lacked(self) -> Mapping[tuple[str, str], int]:
        """How many answered rows lacked which input and how, or had unknown keys (under ""), since the start."""
        with self._counting:
            return {(lack, name): count for (lack, name), count in self._lacked.items()}

    def _answered(self, serving: _Serving, admitted: _Admitted, started: float) -> list[Answer]:
        """Ask the model and log what it says."""
        rows, inputs = admitted.rows, serving.model.signature.inputs
        try:
            predictions = serving.model.predict(self._prepare(admitted.table, serving.release.steps, inputs))
        except BakeoffError:
            raise
        except Exception as error:
            name = serving.release.model_version
            raise CandidateError(f"model {name} failed on {len(rows)} rows: {type(error).__name__}: {error}") from error
        _check(predictions, len(rows), serving.release)
        latency_ms = (self._timer() - started) * 1e3
        answers = _answers(serving, predictions, admitted.gaps, self._ids)
        self._count(admitted.gaps)
        self._log_answers(serving, rows, answers, latency_ms, admitted.broken)
        return answers

    def _count(self, gaps: Sequence[Gaps]) -> None:
        lacked = Counter[tuple[Lack, str]]()
        for each in filter(None, gaps):
            lacked.update(("absent", name) for name in each.absent)
            lacked.update(("imputed", name) for name in each.imputed)
            lacked.update(("unseen", name) for name in each.unseen)
            lacked["unknown", ""] += bool(each.unknown)
        if lacked:
            with self._counting:
                self._lacked.update(lacked)

    def _log_answers(
        self,
        serving: _Serving,
        rows: Sequence[Row],
        answers: Sequence[Answer],
        latency_ms: float,
        broken: Sequence[Broken],
    ) -> None:
        inputs = serving.model.signature.inputs
        logged = serving.release.columns or [column.name for column in inputs]
        vectors = {column.name: column.format.vector for column in inputs if column.format.vector is not None}
        texts = {column.name for column in inputs if column.kind == "text"}  # which the steps rewrite, and no others
        plain = [_logged(row, logged, vectors) for row in rows]
        open_texts: list[Json] = [{name: row[name] for name in texts & row.keys()} for row in plain]
        redacted = self._redact(serving.release.steps)([open_texts, [answer.value for answer in answers]])
        plain_texts, values = narrow.json_array(redacted)
        violations = [list[tuple[str, str]]() for _ in rows]
        for each in broken:
            violations[each.row - 1].append((each.rule.column, each.rule.rule))
        events = [
            PredictionEvent(
                id=answer.id,
                endpoint=self.endpoint,
                release_id=serving.release.release_id,
                model_version=serving.release.model_version,
                row=row | texts,
                label=answer.label,
                value=value,
                probabilities=answer.probabilities,
                latency_ms=latency_ms / max(len(rows), 1),
                rows_in_call=len(rows),
                violations=tuple(rules),
                absent=answer.gaps.absent,
                imputed=answer.gaps.imputed,
                unseen=answer.gaps.unseen,
                unknown=answer.gaps.unknown,
            )
            for answer, row, texts, value, rules in zip(answers, plain, plain_texts, values, violations, strict=True)
        ]
        try:
            self._events.append(events, durable=self._log == "required")
        except StoreError as error:
            if self._log == "required":
                raise
            self._lose(len(events), error)

    def _log_failure(self, serving: _Serving, rows: int, latency_ms: float, error: Exception) -> None:
        """Failures are for monitoring: losing such a record must not hide the failure itself."""
        violations = error.violations if isinstance(error, ContractError) else ()
        event = FailureEvent(
            endpoint=self.endpoint,
            release_id=serving.release.release_id,
            model_version=serving.release.model_version,
            error=type(error).__name__,
            message=str(self._redact(serving.release.steps)(str(error)))[:500],
            latency_ms=latency_ms / max(rows, 1),
            rows_in_call=rows,
            violating_rows=len({each["row"] for each in violations}),
        )
        try:
            self._events.append([event], durable=False)
        except StoreError as lost:
            self._lose(1, lost)

    def _lose(self, records: int, error: StoreError) -> None:
        self._lost += records
        logger.warning("prediction log failed: %s", error, extra={"endpoint": self.endpoint, "records": records})

    # --- conversing -------------------------------------------------------------------------------

    def chat(self, messages: Messages, sampling: Sampling, *, answer_id: str) -> Generator[Piece]:
        """Answer a conversation piece by piece; logged under `answer_id` when it ends, so feedback finds it.

        An answer that its reader breaks off is logged as far as it came.

        Raises:
            DataError: the live model does not converse, or the prompt is too long.
            NotFoundError: nothing is released on the endpoint.
            StoreError: the answer could not be logged.
        """
        serving = self._current()
        chat = abilities_of(serving.model).chat
        if chat is None:
            task = serving.model.signature.task
            raise DataError(f"expected a model that converses, found one for {task}; ask it by POST /predict")
        row = _row_of(messages, serving.model.signature)
        broken = self._violations(serving, [row])
        pieces = chat(messages, sampling)

        def log(text: str, latency_ms: float) -> None:
            version = serving.release.model_version
            answer = Answer(id=answer_id, value=text, release_id=serving.release.release_id, model_version=version)
            self._log_answers(serving, [row], [answer], latency_ms, broken)

        return self._conversed(serving, pieces, log)

    def prompt_tokens(self, messages: Messages, tools: Sequence[Tool] = ()) -> int:
        """How many tokens `chat` would read.

        Raises:
            UsageError: the live model does not count them.
            DataError: its chat template refuses the conversation. NotFoundError: nothing is released.
        """
        serving = self._current()
        if not isinstance(serving.model, Counting):
            version, family = serving.release.model_version, serving.release.family
            raise UsageError(
                f"expected a model that counts tokens before it is asked, found {version} of family {family!r}, which "
                "does not; the usage of an answer tells them"
            )
        return serving.model.prompt_tokens(messages, tools)

    def _conversed(
        self, serving: _Serving, pieces: Iterator[Piece], log: Callable[[str, float], None]
    ) -> Generator[Piece]:
        started = self._timer()

        def since_ms() -> float:
            return (self._timer() - started) * 1e3

        read: list[Piece] = []
        try:
            for piece in pieces:
                read.append(piece)
                if piece.finish is not None:
                    text, read = _text_of(read), []
                    log(text, since_ms())  # durable before its end is told
                yield piece
        except GeneratorExit:
            if read:
                log(_text_of(read), since_ms())
            raise
        except Exception as error:
            self._log_failure(serving, 1, since_ms(), error)
            raise

    @property
    def concurrency(self) -> int | None:
        """How many answers the live model works at; None where it does not say, or nothing is live yet."""
        concurrency = None if self._serving is None else abilities_of(self._serving.model).concurrency
        return concurrency and concurrency()

    # --- embedding --------------------------------------------------------------------------------

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts by the encoder of the live release; not logged, as no label ever comes for them.

        Raises:
            UsageError: the live model has no encoder.
            NotFoundError: nothing is released on the endpoint.
            CandidateError: the encoder failed.
        """
        serving = self._current()
        embedder = abilities_of(serving.model).embedder
        encoder = embedder and embedder()
        version = serving.release.model_version
        if encoder is None:
            raise UsageError(
                f"expected a release with an encoder, found {version} of family {serving.release.family!r}, which has "
                "none; release a candidate of family embedding or encoder, or ask this one by POST /predict"
            )
        try:
            found = encoder.embed(texts)
        except BakeoffError:
            raise
        except Exception as error:
            name = type(error).__name__
            raise CandidateError(f"model {version} failed on {len(texts)} texts: {name}: {error}") from error
        if len(found.vectors_nd) != len(texts) or not np.isfinite(found.vectors_nd).all():
            raise CandidateError(f"model {version}: expected {len(texts)} finite vectors, received others")
        return found

    # --- following the pointer --------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at the pointer now and load what it names; waits for a refresh that is under way.

        For those who moved the pointer in this process and want the next call answered by the new release.
        """
        with self._refreshing:
            self._follow()

    def refresh_if_due(self) -> None:
        """Look at the pointer unless that was done in the last half second or is being done."""
        if self._is_due() and self._refreshing.acquire(blocking=False):
            try:
                self._follow()
            finally:
                self._refreshing.release()

    def _is_due(self) -> bool:
        # A clock that was set back (or replays the past) must not stop the looking.
        return self._polled_ms is None or not 0 <= self._clock() - self._polled_ms < POLL_MS

    def health(self) -> Health:
        """Whether it can answer, and with what."""
        serving = self._serving
        return Health(
            ready=serving is not None,
            release_id=serving.release.release_id if serving else None,
            model_version=serving.release.model_version if serving else None,
            problem=self._problem,
            lost_log_records=self._lost,
        )

    @property
    def signature(self) -> Signature:
        """What the live model takes and gives; `NotFoundError` when there is none."""
        return self._current().model.signature

    def _current(self) -> _Serving:
        self.refresh_if_due()
        if self._serving is None:
            self.refresh()
        if self._serving is None:
            raise NotFoundError(
                f"expected a release on endpoint {self.endpoint!r}, found none"
                + (f" that works: {self._problem}" if self._problem else "; run 'bakeoff run' to make one")
            )
        return self._serving

    def _follow(self) -> None:
        """One look at the pointer; any failure leaves what serves in place and stands in `health`."""
        self._polled_ms = self._clock()
        try:
            live = self._pointer()
        except Exception as error:  # noqa: BLE001 - it is kept as the problem, and logged
            self._problem = f"cannot read the endpoint's pointer: {error}"
            _log_problem(self._problem, error)
            return
        if live is None or (self._serving and live.release_id == self._serving.release.release_id):
            self._problem = self._failed = None
            return
        if self._failed_lately(live):
            return
        try:
            model = self._load(live)
            if warm := abilities_of(model).warm:
                warm()  # the old release answers meanwhile, and stays if this fails
            self._serving = _Serving(live, model, self._compiled(live, model), self._inputs(live, model))
        except Exception as error:  # noqa: BLE001 - it is kept as the problem, and logged
            self._failed = (live.release_id, self._clock())
            self._problem = f"cannot load release {live.release_id} ({live.model_version}): {error}"
            _log_problem(self._problem, error)
        else:
            self._problem = self._failed = None

    def _compiled(self, live: Release, model: Model) -> RowCheck | None:
        if self._check is None or live.contract_id is None or self._on_violation == "off":
            return None
        return self._check(live.contract_id, model.signature.inputs)

    def _inputs(self, live: Release, model: Model) -> Inputs:
        return Inputs(model.signature.inputs, aside=(*live.columns, *live.aside), unknown=self._unknown)

    def _failed_lately(self, live: Release) -> bool:
        if self._failed is None or self._failed[0] != live.release_id:
            return False
        return 0 <= self._clock() - self._failed[1] < RETRY_MS


def _row_of(messages: Messages, signature: Signature) -> Row:
    """The conversation as a row of the dataset: as the text that training knows conversations by."""
    text = next((column.name for column in signature.inputs if column.kind == "text"), None)
    return {} if text is None else {text: question_text(messages)}


def _text_of(pieces: Sequence[Piece]) -> str:
    """An answer as the log has it: calls of tools stand in its text, each in a line."""
    text = "".join(piece.text for piece in pieces)
    calls = ToolCall.joined(bit for piece in pieces for bit in piece.calls)
    return "\n".join([text, *(call.text for call in calls)]).strip("\n") if calls else text


def _log_problem(problem: str, error: Exception) -> None:
    """Errors raised on purpose say all there is to say; of others the traceback is wanted."""
    logger.warning(problem, exc_info=None if isinstance(error, BakeoffError) else error)


def _check(predictions: Predictions, rows: int, release: Release) -> None:
    """A model that answers with holes must not be believed."""
    if len(predictions) != rows:
        raise CandidateError(f"model {release.model_version}: expected {rows} predictions, received {len(predictions)}")
    numbers = predictions.probabilities_nk if predictions.probabilities_nk is not None else predictions.values_n
    if np.issubdtype(numbers.dtype, np.floating) and not np.isfinite(numbers).all():
        raise CandidateError(f"model {release.model_version}: expected finite predictions, received NaN or infinity")


def _answers(serving: _Serving, predictions: Predictions, gaps: Sequence[Gaps], ids: Callable[[], str]) -> list[Answer]:
    release_id, model_version = serving.release.release_id, serving.release.model_version
    values: list[Any] = predictions.values_n.tolist()
    shares = predictions.probabilities_nk.tolist() if predictions.probabilities_nk is not None else None
    classification = serving.model.signature.task == "classification"
    return [
        Answer(
            id=ids(),
            label=str(value) if classification else None,
            value=None if classification else value,
            probabilities=dict(zip(predictions.classes, shares[i], strict=True)) if shares else None,
            release_id=release_id,
            model_version=model_version,
            gaps=gaps[i],
        )
        for i, value in enumerate(values)
    ]


def _logged(row: Row, names: Sequence[str], vectors: Mapping[str, str]) -> dict[str, Any]:
    """What a row holds under these names; the elements of a vector as the row has them, by the vector's name."""
    if vectors:
        names = list(dict.fromkeys(name if name in row else vectors.get(name, name) for name in names))
    return {name: row.get(name) for name in names}
