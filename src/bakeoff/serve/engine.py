"""The engine: answers for one endpoint with the releases that its routes name, and follows the routes.

A call keeps the runtime that it started with, so a release that is replaced lives until its calls have drained.
The caller that sees the routes moved loads what is new; the others go on with what there is meanwhile.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bakeoff.core.abilities import abilities_of
from bakeoff.core.errors import BakeoffError, DataError, NotFoundError
from bakeoff.core.generation import Embedded, Messages, Piece, Sampling, Tool, ToolCall
from bakeoff.core.protocols import Clock, EventLog, Model
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, Signature
from bakeoff.data.contract_rows import RowCheck
from bakeoff.serve.inputs import Inputs, OnUnknown
from bakeoff.serve.recorder import LogMode, Recorder, Redact
from bakeoff.serve.runtime import Admitted, Answer, OnViolation, Prepare, Row, Runtime

__all__ = ["Engine", "Health"]

POLL_MS = 500
RETRY_MS = 10_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the engine can answer, with what, and what is wrong (it may answer all the same)."""

    ready: bool
    release_id: str | None
    model_version: str | None
    problem: str | None
    lost_log_records: int


def _random_id() -> str:
    return secrets.token_hex(16)


class Engine:
    """Serves one endpoint; safe to call from many threads.

    Args:
        endpoint: the endpoint's name.
        load: reads the model of a release.
        routes: the releases that take part, each with its role and share, the live one first; none before the first
            release. Cheap: looked at twice a second at most.
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
        routes: Callable[[], Sequence[Release]],
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
        self.recorder = Recorder(endpoint, events, log=log, redact=redact)
        self._load, self._routes, self._prepare = load, routes, prepare
        self._clock, self._ids, self._timer = clock, ids, timer
        self._max_rows = max_rows
        self._check = check
        self._on_violation: OnViolation = on_violation
        self._unknown: OnUnknown = unknown
        self._live: Runtime | None = None
        self._refreshing = threading.Lock()
        self._polled_ms: int | None = None
        self._failed: tuple[str, int] | None = None
        self._problem: str | None = None

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
        runtime = self._current()
        started = self._timer()
        try:
            return self._answered(runtime, self._admitted(runtime, rows), started)
        except Exception as error:
            self.recorder.failed(runtime, len(rows), self._since_ms(started), error)
            raise

    def predict_each(self, rows: Sequence[Row]) -> list[Answer | DataError]:
        """Answer the rows that can be answered, in order, and say of each other one why not.

        Raises:
            NotFoundError, CandidateError, StoreError: as for `predict`.
        """
        runtime = self._current()
        started = self._timer()
        refused: dict[int, DataError] = {}
        try:
            try:
                admitted = self._admitted(runtime, rows)
            except DataError:
                refused = self._refused(runtime, rows)
                admitted = self._admitted(runtime, [row for at, row in enumerate(rows) if at not in refused])
            answers = iter(self._answered(runtime, admitted, started))
        except Exception as error:
            self.recorder.failed(runtime, len(rows), self._since_ms(started), error)
            raise
        if refused:
            self.recorder.failed(runtime, len(refused), 0.0, next(iter(refused.values())))
        return [refused[at] if at in refused else next(answers) for at in range(len(rows))]

    def check_names(self, names: Collection[str], where: str) -> None:
        """See whether rows with these keys could be answered; `where` is how a message calls them.

        Raises:
            DataError: inputs are lacking, and such rows are refused. NotFoundError: nothing is released.
        """
        self._current().inputs.of(names, where)

    def _refused(self, runtime: Runtime, rows: Sequence[Row]) -> dict[int, DataError]:
        """The rows that cannot be answered, by their place, each looked at alone."""
        refused: dict[int, DataError] = {}
        for at, row in enumerate(rows):
            try:
                self._admitted(runtime, [row])
            except DataError as error:
                refused[at] = error
        return refused

    def _admitted(self, runtime: Runtime, rows: Sequence[Row]) -> Admitted:
        if len(rows) > self._max_rows:
            raise DataError(
                f"expected at most {self._max_rows} rows in a call, received {len(rows)}; send them in several calls"
            )
        return runtime.admitted(rows, self.recorder.count_broken)

    def _answered(self, runtime: Runtime, admitted: Admitted, started: float) -> list[Answer]:
        answers = runtime.answers(admitted, self._ids)
        self.recorder.answered(runtime, admitted.rows, answers, self._since_ms(started), admitted.broken)
        return answers

    def _since_ms(self, started: float) -> float:
        return (self._timer() - started) * 1e3

    @property
    def violated(self) -> Mapping[tuple[str, str], int]:
        """How often served rows violated the released contract, by column and rule, since the start."""
        return self.recorder.violated

    @property
    def lacked(self) -> Mapping[tuple[str, str], int]:
        """How many answered rows lacked which input and how, or had unknown keys (under ""), since the start."""
        return self.recorder.lacked

    # --- conversing -------------------------------------------------------------------------------

    def chat(self, messages: Messages, sampling: Sampling, *, answer_id: str) -> Generator[Piece]:
        """Answer a conversation piece by piece; logged under `answer_id` when it ends, so feedback finds it.

        An answer that its reader breaks off is logged as far as it came.

        Raises:
            DataError: the live model does not converse, or the prompt is too long.
            NotFoundError: nothing is released on the endpoint.
            StoreError: the answer could not be logged.
        """
        runtime = self._current()
        chat, row = runtime.chat, runtime.row_of(messages)
        broken = runtime.violations([row], self.recorder.count_broken)

        def log(text: str, latency_ms: float) -> None:
            release = runtime.release
            answer = Answer(
                id=answer_id, value=text, release_id=release.release_id, model_version=release.model_version
            )
            self.recorder.answered(runtime, [row], [answer], latency_ms, broken)

        return self._conversed(runtime, chat(messages, sampling), log)

    def prompt_tokens(self, messages: Messages, tools: Sequence[Tool] = ()) -> int:
        """How many tokens `chat` would read.

        Raises:
            UsageError: the live model does not count them.
            DataError: its chat template refuses the conversation. NotFoundError: nothing is released.
        """
        return self._current().prompt_tokens(messages, tools)

    def _conversed(
        self, runtime: Runtime, pieces: Iterator[Piece], log: Callable[[str, float], None]
    ) -> Generator[Piece]:
        started = self._timer()
        read: list[Piece] = []
        try:
            for piece in pieces:
                read.append(piece)
                if piece.finish is not None:
                    text, read = _text_of(read), []
                    log(text, self._since_ms(started))  # durable before its end is told
                yield piece
        except GeneratorExit:
            if read:
                log(_text_of(read), self._since_ms(started))
            raise
        except Exception as error:
            self.recorder.failed(runtime, 1, self._since_ms(started), error)
            raise

    @property
    def concurrency(self) -> int | None:
        """How many answers the live model works at; None where it does not say, or nothing is live yet."""
        concurrency = None if self._live is None else abilities_of(self._live.model).concurrency
        return concurrency and concurrency()

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts by the encoder of the live release; not logged, as no label ever comes for them.

        Raises:
            UsageError: the live model has no encoder.
            NotFoundError: nothing is released on the endpoint.
            CandidateError: the encoder failed.
        """
        return self._current().embedded(texts)

    # --- following the routes ---------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at the routes now and load what they name; waits for a refresh that is under way.

        For those who moved them in this process and want the next call answered by the new release.
        """
        with self._refreshing:
            self._follow()

    def refresh_if_due(self) -> None:
        """Look at the routes unless that was done in the last half second or is being done."""
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
        release = self._live.release if self._live else None
        return Health(
            ready=release is not None,
            release_id=release and release.release_id,
            model_version=release and release.model_version,
            problem=self._problem,
            lost_log_records=self.recorder.lost,
        )

    @property
    def signature(self) -> Signature:
        """What the live model takes and gives; `NotFoundError` when there is none."""
        return self._current().model.signature

    def _current(self) -> Runtime:
        self.refresh_if_due()
        if self._live is None:
            self.refresh()
        if self._live is None:
            raise NotFoundError(
                f"expected a release on endpoint {self.endpoint!r}, found none"
                + (f" that works: {self._problem}" if self._problem else "; run 'bakeoff run' to make one")
            )
        return self._live

    def _follow(self) -> None:
        """One look at the routes; any failure leaves what serves in place and stands in `health`."""
        self._polled_ms = self._clock()
        try:
            live = next(iter(self._routes()), None)
        except Exception as error:  # noqa: BLE001 - it is kept as the problem, and logged
            self._problem = f"cannot read the endpoint's routes: {error}"
            _log_problem(self._problem, error)
            return
        if live is None or (self._live and live.release_id == self._live.release.release_id):
            self._problem = self._failed = None
            return
        if self._failed_lately(live):
            return
        try:
            model = self._load(live)
            if warm := abilities_of(model).warm:
                warm()  # the old release answers meanwhile, and stays if this fails
            self._live = self._runtime(live, model)
        except Exception as error:  # noqa: BLE001 - it is kept as the problem, and logged
            self._failed = (live.release_id, self._clock())
            self._problem = f"cannot load release {live.release_id} ({live.model_version}): {error}"
            _log_problem(self._problem, error)
        else:
            self._problem = self._failed = None

    def _runtime(self, release: Release, model: Model) -> Runtime:
        columns, check = model.signature.inputs, None
        if self._check is not None and release.contract_id is not None and self._on_violation != "off":
            check = self._check(release.contract_id, columns)
        inputs = Inputs(columns, aside=(*release.columns, *release.aside), unknown=self._unknown)
        return Runtime(
            release, model, prepare=self._prepare, inputs=inputs, check=check, on_violation=self._on_violation
        )

    def _failed_lately(self, live: Release) -> bool:
        if self._failed is None or self._failed[0] != live.release_id:
            return False
        return 0 <= self._clock() - self._failed[1] < RETRY_MS


def _text_of(pieces: Sequence[Piece]) -> str:
    """An answer as the log has it: calls of tools stand in its text, each in a line."""
    text = "".join(piece.text for piece in pieces)
    calls = ToolCall.joined(bit for piece in pieces for bit in piece.calls)
    return "\n".join([text, *(call.text for call in calls)]).strip("\n") if calls else text


def _log_problem(problem: str, error: Exception) -> None:
    """Errors raised on purpose say all there is to say; of others the traceback is wanted."""
    logger.warning(problem, exc_info=None if isinstance(error, BakeoffError) else error)
