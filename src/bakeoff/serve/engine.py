"""The engine: answers for one endpoint with the releases that its routes name (`bakeoff.serve.follow`).

A call keeps the runtime that it started with, so a release that is replaced lives until its calls have drained.

A canary never stops an answer: where it cannot be loaded, fails, or begins to say nothing, the live release is asked
instead. When that one answers, the failure is the canary's, and is logged as evidence; when it does not, the failure
is of the call, and the live release's error is told.
"""

import os
import random
import secrets
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TypeVar

from msgspec import Raw

from bakeoff.core import tracing
from bakeoff.core.abilities import abilities_of
from bakeoff.core.errors import CandidateError, DataError, StoreError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.generation import Embedded, Messages, Piece, Sampling, Tool, ToolCall
from bakeoff.core.protocols import Clock, EventLog, Model
from bakeoff.core.releases import Release
from bakeoff.core.types import Column, Signature
from bakeoff.data.contract_rows import Broken, RowCheck
from bakeoff.serve.follow import POLL_MS, Follower, LoadedRoutes
from bakeoff.serve.inputs import Inputs, OnUnknown
from bakeoff.serve.mirror import Mirror
from bakeoff.serve.recorder import LogMode, Recorder, Redact
from bakeoff.serve.router import beside, mirrored, pick
from bakeoff.serve.runtime import Admitted, Answer, OnViolation, Prepare, Row, Runtime

__all__ = ["Call", "Engine", "Health"]

A = TypeVar("A", bound="Answer | DataError")

DRAWN = 256
PATH_ROWS = 256
"""Of more rows a table costs less for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the engine can answer, with what, and what is wrong (it may answer all the same)."""

    ready: bool
    release_id: str | None
    model_version: str | None
    problem: str | None
    lost_log_records: int
    unmirrored_calls: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """Rows that somebody wants answers to, the caller's key (see `Engine.predict`), and the trace of the call."""

    rows: Sequence[Row]
    key: str | None = None
    trace_id: str | None = field(default_factory=tracing.current)


@dataclass(frozen=True, slots=True)
class _Conversation:
    messages: Messages
    sampling: Sampling
    answer_id: str


class _RandomIds:
    """128 random bits each, in hexadecimal; drawn many at a time, as of one the call to the system costs most."""

    def __init__(self) -> None:
        self._ready: list[str] = []
        os.register_at_fork(after_in_child=self._ready.clear)  # the parent gives those away

    def __call__(self) -> str:
        try:
            return self._ready.pop()
        except IndexError:  # also where another thread took the last one
            drawn = secrets.token_hex(16 * DRAWN)
            self._ready += [drawn[at : at + 32] for at in range(32, len(drawn), 32)]
            return drawn[:32]


_random_id = _RandomIds()


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
        log: "required": no answer before its record is durable; "best_effort": answers do not wait for it; "off".
        sample: the share of calls that are logged.
        cache: answers that are kept for rows that come again (none: 0).
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
        sample: float = 1.0,
        cache: int = 0,
        max_rows: int = 10_000,
        check: Callable[[str, Sequence[Column]], RowCheck] | None = None,
        on_violation: OnViolation = "reject",
        unknown: OnUnknown = "reject",
        redact: Redact = lambda _: lambda value: value,
    ) -> None:
        self.endpoint = endpoint
        self.recorder = Recorder(endpoint, events, log=log, redact=redact, sample=sample)
        self._prepare = prepare
        self._clock, self._ids, self._timer = clock, ids, timer
        self._max_rows, self._cache = max_rows, cache
        self._check = check
        self._on_violation: OnViolation = on_violation
        self._unknown: OnUnknown = unknown
        self._draw = random.Random()  # noqa: S311 - it draws who meets a canary
        self._follower = Follower(endpoint, routes=routes, load=load, make=self._runtime, clock=clock)
        self.mirror = Mirror()

    def new_id(self) -> str:
        """An id for an answer that is yet to come."""
        return self._ids()

    def now_ms(self) -> int:
        """The engine's clock: milliseconds since the epoch."""
        return self._clock()

    # --- answering ------------------------------------------------------------------------------

    def predict(self, rows: Sequence[Row], *, key: str | None = None, before: Sequence[Row] = ()) -> list[Answer]:
        """Answer each row, in order; with `log = "required"` the answers are durable when this returns.

        Args:
            rows: the inputs.
            key: of the caller: one with a key meets the same release each time, while a canary has a share.
            before: rows that were answered before these, for a model that looks at those (see `rows_before`).

        Raises:
            DataError: too many rows, or a row that does not fit the model's inputs.
            ContractError: a row violates an error rule of the released contract, and such calls are refused.
            NotFoundError: nothing is released on the endpoint.
            CandidateError: the model failed.
            StoreError: the answers could not be logged.
        """
        by_live, by_canary = partial(self._answered_by, before=before), partial(self._tried, before=before)
        return self._canary_first(rows, key, by_live, by_canary)

    @property
    def rows_before(self) -> int:
        """How many rows before a row the live model looks at; `NotFoundError` when there is none."""
        return self._follower.current().live.rows_before

    def predict_calls(self, calls: Sequence[Call]) -> list[list[Answer] | Exception]:
        """Answer several calls at once, each as `predict` would; what is wrong with one is not told to the others.

        Raises:
            NotFoundError: nothing is released on the endpoint.
        """
        serving, started = self._follower.current(), self._timer()
        others = beside(serving.routes)
        alone = len(calls) == 1 or serving.live.rows_before > 0  # else one call's rows would be another's past
        if alone or any(each.status == "canary" for each in others):
            return [self._result(call) for call in calls]
        results = self._together(serving.live, calls, started)
        for call, result in zip(calls, results, strict=True) if others else ():
            if not isinstance(result, Exception):
                for shadow in mirrored(serving.routes, call.key, self._draw):
                    self._mirror(serving, shadow, call.rows, result)
        return results

    def _together(self, live: Runtime, calls: Sequence[Call], started: float) -> list[list[Answer] | Exception]:
        """What the live release says to several calls, each logged."""
        with tracing.of_rows([call.trace_id for call in calls for _ in call.rows]):
            by_path = self._answered_by_path(live, [row for call in calls for row in call.rows], started)
        if by_path is not None:
            each_answer = iter(by_path)
            return [[next(each_answer) for _ in call.rows] for call in calls]
        admitted: list[Admitted | Exception] = []
        for call in calls:
            try:
                admitted.append(self._admitted(live, call.rows))
            except Exception as error:  # noqa: BLE001 - it is this call's
                self.recorder.failed(live.release, len(call.rows), self._since_ms(started), error)
                admitted.append(error)
        together = [each for each in admitted if isinstance(each, Admitted)]
        of = [
            call.trace_id
            for call, each in zip(calls, admitted, strict=True)
            if isinstance(each, Admitted)
            for _ in each.rows
        ]
        try:
            with tracing.of_rows(of):
                answers = iter(self._answered(live, Admitted.joined(together), started)) if together else iter(())
        except Exception:  # noqa: BLE001 - whose fault it is shows when each is asked alone
            return [
                each if isinstance(each, Exception) else self._alone(live, call, each)
                for each, call in zip(admitted, calls, strict=True)
            ]
        return [each if isinstance(each, Exception) else [next(answers) for _ in each.rows] for each in admitted]

    def _alone(self, live: Runtime, call: Call, admitted: Admitted) -> list[Answer] | Exception:
        """What the live release says to a call that was admitted, and whose violations are counted."""
        started = self._timer()
        try:
            with tracing.of_rows([call.trace_id] * len(call.rows)):
                return self._answered(live, admitted, started)
        except Exception as error:  # noqa: BLE001 - it is told to who called
            self.recorder.failed(live.release, len(call.rows), self._since_ms(started), error)
            return error

    def _result(self, call: Call) -> list[Answer] | Exception:
        try:
            with tracing.of_rows([call.trace_id] * len(call.rows)):
                return self.predict(call.rows, key=call.key)
        except Exception as error:  # noqa: BLE001 - it is told to who called
            return error

    def predict_each(
        self, rows: Sequence[Row], *, key: str | None = None, before: Sequence[Row] = ()
    ) -> list[Answer | DataError]:
        """Answer the rows that can be answered, in order, and say of each other one why not; else as `predict`.

        Raises:
            NotFoundError, CandidateError, StoreError: as for `predict`.
        """
        by_live, by_canary = partial(self._each_answered_by, before=before), partial(self._each_tried, before=before)
        return self._canary_first(rows, key, by_live, by_canary)

    def _canary_first(
        self,
        rows: Sequence[Row],
        key: str | None,
        by_live: Callable[[Runtime, Sequence[Row], float], list[A]],
        by_canary: Callable[[LoadedRoutes, Runtime, Sequence[Row], float], list[A]],
    ) -> list[A]:
        """Ask the canary, if this caller meets it, and where that one fails or there is none, the live release."""
        serving = self._follower.current()
        chosen = pick(serving.routes, key, self._draw)
        failure: tuple[Exception, float] | None = None
        if chosen is not serving.routes[0]:
            started = self._timer()
            try:
                return by_canary(serving, self._follower.runtime_of(serving, chosen), rows, started)
            except StoreError:  # it answered, and no other answer could be logged either
                raise
            except Exception as error:  # noqa: BLE001 - the live release is asked instead
                failure = error, self._since_ms(started)
        started = self._timer()
        try:
            answers = by_live(serving.live, rows, started)
        except Exception as error:
            self.recorder.failed(serving.live.release, len(rows), self._since_ms(started), error)
            raise
        if failure is not None:
            self.recorder.failed(chosen, len(rows), failure[1], failure[0])
        for shadow in mirrored(serving.routes, key, self._draw):
            self._mirror(serving, shadow, rows, answers)
        return answers

    def _answered_by(
        self, runtime: Runtime, rows: Sequence[Row], started: float, *, before: Sequence[Row]
    ) -> list[Answer]:
        answers = self._answered_by_path(runtime, rows, started)
        if answers is not None:
            return answers
        return self._answered(runtime, self._admitted(runtime, rows, before=before), started)

    def _answered_by_path(self, runtime: Runtime, rows: Sequence[Row], started: float) -> list[Answer] | None:
        """The answers to rows that need no table, logged; None where they need one."""
        answers = self._answers_by_path(runtime, rows)
        if answers is not None:
            self.recorder.answered(runtime, rows, answers, self._since_ms(started), ())
        return answers

    def _answers_by_path(self, runtime: Runtime, rows: Sequence[Row]) -> list[Answer] | None:
        path = runtime.row_path
        read = path.read(rows) if path is not None and len(rows) <= min(PATH_ROWS, self._max_rows) else None
        answer = path(read) if path is not None and read else None
        return None if answer is None else runtime.path_answers(answer, self._ids)

    def _tried(
        self, _: LoadedRoutes, canary: Runtime, rows: Sequence[Row], started: float, *, before: Sequence[Row]
    ) -> list[Answer]:
        """The canary's answers; what rows violate counts once it has answered, as the live one may be asked next."""
        by_path = self._answered_by_path(canary, rows, started)  # as the live one, or it would look slow
        if by_path is not None:
            return by_path
        admitted = self._admitted(canary, rows, _uncounted, before)
        answers = self._answered_by_canary(canary, admitted, started)
        self.recorder.count_broken(admitted.broken)
        return answers

    def _answered_by_canary(self, canary: Runtime, admitted: Admitted, started: float) -> list[Answer]:
        try:
            answers = canary.answers(admitted, self._ids)
        except StoreError as error:  # of the model's own files, and not of the log
            raise CandidateError(f"model {canary.release.model_version} failed: {error}") from error
        self.recorder.answered(canary, admitted.rows, answers, self._since_ms(started), admitted.broken)
        return answers

    def _each_tried(
        self, serving: LoadedRoutes, canary: Runtime, rows: Sequence[Row], started: float, *, before: Sequence[Row]
    ) -> list[Answer | DataError]:
        """The canary's answers, if it answers every row that the live release would.

        Rows that neither can answer are no failure of the canary: they are logged and told as the live one refuses
        them.
        """
        admitted, refused, broken = self._each_admitted(canary, rows, before)
        by_live = self._refused(serving.live, {at: rows[at] for at in refused}, _uncounted)
        for at, error in refused.items():
            if at not in by_live:
                raise error
        answers = iter(self._answered_by_canary(canary, admitted, started) if admitted.rows else ())
        self.recorder.count_broken(broken)
        return self._each(serving.live, rows, answers, by_live)

    def _each_answered_by(
        self, runtime: Runtime, rows: Sequence[Row], started: float, *, before: Sequence[Row]
    ) -> list[Answer | DataError]:
        admitted, refused, broken = self._each_admitted(runtime, rows, before)
        self.recorder.count_broken(broken)
        return self._each(runtime, rows, iter(self._answered(runtime, admitted, started)), refused)

    def _each(
        self, live: Runtime, rows: Sequence[Row], answers: Iterator[Answer], refused: Mapping[int, DataError]
    ) -> list[Answer | DataError]:
        """Answers and errors in the order of the rows; the errors are logged."""
        if refused:
            self.recorder.failed(live.release, len(refused), 0.0, next(iter(refused.values())))
        return [refused[at] if at in refused else next(answers) for at in range(len(rows))]

    @property
    def direct(self) -> Runtime | None:
        """The runtime that answers whatever comes, when no other one takes part and it has a row path; else None."""
        serving = self._follower.loaded
        if serving is None or beside(serving.routes) or serving.live.row_path is None:
            return None
        return serving.live

    def predict_read(
        self, runtime: Runtime, rows: Sequence[Raw]
    ) -> tuple[list[Answer], Sequence[PredictionEvent]] | None:
        """Answer rows of JSON by the runtime's row path; and what its `recorder` is to submit.

        None where they are left to `predict`.
        """
        path = runtime.row_path if 0 < len(rows) <= self._max_rows else None
        read = None if path is None else path.read_json(rows)
        if path is None or read is None:
            return None
        started = self._timer()
        answer = path(read)
        answers = None if answer is None else runtime.path_answers(answer, self._ids)
        if answers is None:
            return None
        latency_ms, now_ms = self._since_ms(started), self._clock()
        logged = path.logged(rows, read)
        return answers, self.recorder.path_events(runtime.release, logged, answers, latency_ms, now_ms)

    def _mirror(
        self, serving: LoadedRoutes, shadow: Release, rows: Sequence[Row], answers: "Sequence[Answer | DataError]"
    ) -> None:
        """Have a shadow answer the same rows later, if there is room; its answers are logged beside the live ones."""
        pairs = [(row, answer.id) for row, answer in zip(rows, answers, strict=True) if isinstance(answer, Answer)]
        if not pairs or not self.mirror.has_room():
            return
        copies, ids = [dict(row) for row, _ in pairs], [live_id for _, live_id in pairs]

        def answer() -> None:
            started = self._timer()
            try:
                runtime = self._follower.runtime_of(serving, shadow)
                answered, looked = self._answers_by_path(runtime, copies), copies
                if answered is None:
                    admitted = runtime.admitted(copies, _uncounted)
                    answered, looked = runtime.answers(admitted, self._ids), admitted.rows
            except Exception as error:  # noqa: BLE001 - it is logged
                self.recorder.failed(shadow, len(copies), self._since_ms(started), error)
            else:
                self.recorder.shadowed(runtime, looked, answered, self._since_ms(started), ids)

        self.mirror.offer(answer)

    def check_names(self, names: Collection[str], where: str) -> None:
        """See whether rows with these keys could be answered; `where` is how a message calls them.

        Raises:
            DataError: inputs are lacking, and such rows are refused. NotFoundError: nothing is released.
        """
        self._follower.current().live.inputs.of(names, where)

    def _each_admitted(
        self, runtime: Runtime, rows: Sequence[Row], before: Sequence[Row]
    ) -> tuple[Admitted, dict[int, DataError], list[Broken]]:
        """The rows that can be answered, why each other one cannot, and what all of them violate, which is to count."""
        broken: list[Broken] = []
        try:
            return self._admitted(runtime, rows, broken.extend, before), {}, broken
        except DataError:
            broken.clear()
            refused = self._refused(runtime, dict(enumerate(rows)), broken.extend)
            fine = [row for at, row in enumerate(rows) if at not in refused]
            return self._admitted(runtime, fine, _uncounted, before), refused, broken

    def _refused(
        self, runtime: Runtime, rows: Mapping[int, Row], count: Callable[[Sequence[Broken]], None]
    ) -> dict[int, DataError]:
        """The rows that cannot be answered, by their place, each looked at alone."""
        refused: dict[int, DataError] = {}
        for at, row in rows.items():
            try:
                self._admitted(runtime, [row], count)
            except DataError as error:
                refused[at] = error
        return refused

    def _admitted(
        self,
        runtime: Runtime,
        rows: Sequence[Row],
        count: Callable[[Sequence[Broken]], None] | None = None,
        before: Sequence[Row] = (),
    ) -> Admitted:
        if len(rows) > self._max_rows:
            raise DataError(
                f"expected at most {self._max_rows} rows in a call, received {len(rows)}; send them in several calls"
            )
        return runtime.admitted(rows, count or self.recorder.count_broken, before)

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

    def chat(
        self, messages: Messages, sampling: Sampling, *, answer_id: str, key: str | None = None
    ) -> Generator[Piece]:
        """Answer a conversation piece by piece; logged under `answer_id` when it ends, so feedback finds it.

        An answer that its reader breaks off is logged as far as it came. The live release is asked where a canary
        fails before it said anything.

        Raises:
            DataError: the live model does not converse, or the prompt is too long.
            NotFoundError: nothing is released on the endpoint.
            StoreError: the answer could not be logged.
        """
        serving, conversation = self._follower.current(), _Conversation(messages, sampling, answer_id)
        chosen = pick(serving.routes, key, self._draw)
        if chosen is not serving.routes[0]:
            return self._chat_tried(serving, chosen, conversation)
        pieces = self._chat_by(serving.live, conversation)
        shadows = mirrored(serving.routes, key, self._draw)
        return self._then_mirrored(serving, shadows, pieces, conversation) if shadows else pieces

    def _chat_by(self, runtime: Runtime, conversation: _Conversation, *, tried: bool = False) -> Generator[Piece]:
        """The answer of this release. When it is `tried`, an answer that says nothing is a failure."""
        chat, row = runtime.chat, runtime.row_of(conversation.messages)
        broken = runtime.violations([row], _uncounted if tried else self.recorder.count_broken)
        started = self._timer()

        def log(text: str, latency_ms: float) -> None:
            self.recorder.answered(
                runtime, [row], [_answer_of(runtime, conversation.answer_id, text)], latency_ms, broken
            )

        pieces = chat(conversation.messages, conversation.sampling)
        return self._conversed(runtime, _speaking(pieces, runtime.release) if tried else pieces, log, started)

    def _chat_tried(self, serving: LoadedRoutes, canary: Release, conversation: _Conversation) -> Generator[Piece]:
        """The canary's answer; the live release's where that one fails before it said anything."""
        started = self._timer()
        try:
            pieces = self._chat_by(self._follower.runtime_of(serving, canary), conversation, tried=True)
        except Exception as error:  # noqa: BLE001 - the live release is asked instead
            failure = error, self._since_ms(started)
        else:
            yield from pieces
            return
        pieces = self._chat_by(serving.live, conversation)
        first = next(pieces, None)
        self.recorder.failed(canary, 1, failure[1], failure[0])
        if first is not None:
            yield first
            yield from pieces

    def _then_mirrored(
        self, serving: LoadedRoutes, shadows: Sequence[Release], pieces: Generator[Piece], conversation: _Conversation
    ) -> Generator[Piece]:
        yield from pieces
        for shadow in shadows:
            self.mirror.offer(lambda shadow=shadow: self._chat_shadowed(serving, shadow, conversation))

    def _chat_shadowed(self, serving: LoadedRoutes, shadow: Release, conversation: _Conversation) -> None:
        started = self._timer()
        try:
            runtime = self._follower.runtime_of(serving, shadow)
            text = _text_of(list(runtime.chat(conversation.messages, conversation.sampling)))
        except Exception as error:  # noqa: BLE001 - it is logged
            self.recorder.failed(shadow, 1, self._since_ms(started), error)
            return
        answer, row = _answer_of(runtime, self._ids(), text), runtime.row_of(conversation.messages)
        self.recorder.shadowed(runtime, [row], [answer], self._since_ms(started), [conversation.answer_id])

    def prompt_tokens(self, messages: Messages, tools: Sequence[Tool] = ()) -> int:
        """How many tokens `chat` would read.

        Raises:
            UsageError: the live model does not count them.
            DataError: its chat template refuses the conversation. NotFoundError: nothing is released.
        """
        return self._follower.current().live.prompt_tokens(messages, tools)

    def _conversed(
        self, runtime: Runtime, pieces: Iterator[Piece], log: Callable[[str, float], None], started: float
    ) -> Generator[Piece]:
        read: list[Piece] = []
        try:
            for piece in pieces:
                read.append(piece)
                if piece.finish is not None:
                    self._note(runtime, piece)
                    text, read = _text_of(read), []
                    log(text, self._since_ms(started))  # durable before its end is told
                yield piece
        except GeneratorExit:
            if read:
                log(_text_of(read), self._since_ms(started))
            raise
        except Exception as error:
            self.recorder.failed(runtime.release, 1, self._since_ms(started), error)
            raise

    def _note(self, runtime: Runtime, last: Piece) -> None:
        """What a span says of an answer that has ended."""
        tracing.note(
            gen_ai__operation__name="chat",
            gen_ai__request__model=self.endpoint,
            gen_ai__response__model=runtime.release.model_version,
            gen_ai__response__finish_reasons=[str(last.finish)],
            gen_ai__usage__input_tokens=last.prompt_tokens,
            gen_ai__usage__output_tokens=last.completion_tokens,
        )

    @property
    def model_version(self) -> str | None:
        """The version that is live, if one is loaded."""
        return self._follower.loaded and self._follower.loaded.live.release.model_version

    @property
    def converses(self) -> bool:
        """Whether the live model answers conversations; one that does not answers rows.

        Raises:
            NotFoundError: nothing is released on the endpoint.
        """
        return abilities_of(self._follower.current().live.model).chat is not None

    @property
    def concurrency(self) -> int | None:
        """How many answers the live model works at; None where it does not say, or nothing is live yet."""
        concurrency = (
            None if self._follower.loaded is None else abilities_of(self._follower.loaded.live.model).concurrency
        )
        return concurrency and concurrency()

    @property
    def waits_for_service(self) -> bool:
        """Whether the live model pays for its answers, and mostly waits for them; False where nothing is live yet."""
        return self._follower.loaded is not None and abilities_of(self._follower.loaded.live.model).usage is not None

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Vectors of texts by the encoder of the live release; not logged, as no label ever comes for them.

        Raises:
            UsageError: the live model has no encoder.
            NotFoundError: nothing is released on the endpoint.
            CandidateError: the encoder failed.
        """
        return self._follower.current().live.embedded(texts)

    # --- following the routes ---------------------------------------------------------------------

    def refresh(self) -> None:
        """Look at the routes now and load what they name; waits for a refresh that is under way.

        For those who moved them in this process and want the next call answered by the new release.
        """
        self._follower.refresh()

    def refresh_if_due(self, *, after_ms: int = POLL_MS) -> None:
        """Look at the routes unless that was done in the last half second (or `after_ms`), or is being done."""
        self._follower.refresh_if_due(after_ms=after_ms)

    def health(self) -> Health:
        """Whether it can answer, and with what."""
        release = self._follower.loaded.live.release if self._follower.loaded else None
        blocked = self.recorder.blocked()
        problems = [self._follower.problem, blocked, self.recorder.problem, self._follower.stuck()]
        return Health(
            ready=release is not None and blocked is None,
            release_id=release and release.release_id,
            model_version=release and release.model_version,
            problem="; ".join(dict.fromkeys(filter(None, problems))) or None,
            lost_log_records=self.recorder.lost,
            unmirrored_calls=self.mirror.dropped,
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing is released on it, as far as it looked."""
        return self._follower.is_empty and self._follower.loaded is None

    @property
    def signature(self) -> Signature:
        """What the live model takes and gives; `NotFoundError` when there is none."""
        return self._follower.current().live.model.signature

    def _runtime(self, release: Release, model: Model) -> Runtime:
        columns, check = model.signature.inputs, None
        if self._check is not None and release.contract_id is not None and self._on_violation != "off":
            check = self._check(release.contract_id, columns)
        inputs = Inputs(columns, aside=(*release.columns, *release.aside), unknown=self._unknown)
        return Runtime(
            release,
            model,
            prepare=self._prepare,
            inputs=inputs,
            check=check,
            on_violation=self._on_violation,
            cache=self._cache,
        )


def _uncounted(_: Sequence[Broken]) -> None:
    """Violations that count for nothing: another release's look at the same rows counts."""


def _speaking(pieces: Iterator[Piece], release: Release) -> Iterator[Piece]:
    """The pieces, of which the first that says something was waited for.

    Raises:
        CandidateError: the answer ended, and nothing was said.
    """
    read: list[Piece] = []
    for piece in pieces:
        read.append(piece)
        if piece.text or piece.calls:
            return chain(read, pieces)
    raise CandidateError(f"model {release.model_version}: expected an answer, received an empty one")


def _answer_of(runtime: Runtime, answer_id: str, text: str) -> Answer:
    release = runtime.release
    return Answer(id=answer_id, value=text, release_id=release.release_id, model_version=release.model_version)


def _text_of(pieces: Sequence[Piece]) -> str:
    """An answer as the log has it: calls of tools stand in its text, each in a line."""
    text = "".join(piece.text for piece in pieces)
    calls = ToolCall.joined(bit for piece in pieces for bit in piece.calls)
    return "\n".join([text, *(call.text for call in calls)]).strip("\n") if calls else text
