"""What callers may use, and what they have used: calls, tokens and dollars, by the minute and by the day.

Each process counts what goes through it. Once a second it adds that to the records and reads what all have counted, so
workers share one allowance and a restart forgets nothing. What calls under way will use is taken to be the mean so far.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

import msgspec

from bakeoff.config.sections import LimitConfig
from bakeoff.core import narrow
from bakeoff.core.errors import BakeoffError, ConflictError
from bakeoff.core.principals import SERVICE
from bakeoff.core.protocols import Clock, DocumentRecords
from bakeoff.core.types import Json

__all__ = ["Admission", "Allowances", "LimitError"]

Span: TypeAlias = Literal["minute", "day"]

COLLECTION = "allowances"
SPANS_MS: Mapping[Span, int] = {"minute": 60_000, "day": 86_400_000}
NEWEST = 0.1
TRIES = 20
IDLE_MS = 120_000

logger = logging.getLogger(__name__)


class LimitError(BakeoffError, RuntimeError):
    """A caller has used what it may; `retry_after_s` says when there is more."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """An amount of calls, tokens and dollars."""

    requests: float = 0
    tokens: float = 0
    usd: float = 0.0

    def __add__(self, other: "Used") -> "Used":
        return Used(
            requests=self.requests + other.requests, tokens=self.tokens + other.tokens, usd=self.usd + other.usd
        )

    def __mul__(self, times: float) -> "Used":
        return Used(requests=self.requests * times, tokens=self.tokens * times, usd=self.usd * times)


KINDS = tuple(each.name for each in fields(Used))


@dataclass(slots=True)
class _Window:
    """A minute or a day: when it began, what the records know of it, and what was counted here since they were told.

    It goes forward only, as calls come with times that differ a little; back it goes with a clock that was set back.
    """

    length_ms: int
    start_ms: int = 0
    shared: Used = Used()
    own: Used = Used()

    def begin(self, start_ms: int) -> None:
        if start_ms > self.start_ms or start_ms < self.start_ms - self.length_ms:
            self.start_ms, self.shared, self.own = start_ms, Used(), Used()


@dataclass(slots=True)
class _Account:
    """One caller under one limit."""

    limit: LimitConfig
    windows: dict[Span, _Window] = field(
        default_factory=lambda: {span: _Window(length_ms) for span, length_ms in SPANS_MS.items()}
    )
    under_way: int = 0
    mean: Used = Used()
    active_ms: int = 0

    def begin(self, now_ms: int) -> None:
        for span, window in self.windows.items():
            window.begin(now_ms - now_ms % SPANS_MS[span])


class Admission:
    """A call that was let in; `settle` once says what it used."""

    def __init__(self, accounts: "list[_Account]", allowances: "Allowances") -> None:
        self._accounts, self._allowances = accounts, allowances

    def settle(self, tokens: int = 0, usd: float | None = None) -> None:
        """Count what the call used; later calls of it change nothing."""
        self._allowances.settle(self._accounts, Used(tokens=tokens, usd=usd or 0.0))
        self._accounts = []


class Allowances:
    """The limits of all callers.

    Args:
        limits: by their name.
        documents: where what was used is added up.
        clock: milliseconds since the epoch.
    """

    def __init__(self, limits: Mapping[str, LimitConfig], documents: DocumentRecords, clock: Clock) -> None:
        self._limits, self._documents, self._clock = dict(limits), documents, clock
        self._accounts: dict[tuple[str, str], _Account] = {}
        self._lock = threading.Lock()
        self._is_loaded, self._is_late = False, False
        self.refused: dict[str, int] = dict.fromkeys(self._limits, 0)

    def __bool__(self) -> bool:
        return bool(self._limits)

    def admit(self, caller: str, endpoint: str) -> Admission:
        """Let a call in.

        Raises:
            LimitError: the caller has used up what one of its limits allows.
        """
        accounts: list[_Account] = []
        refusals: list[LimitError] = []
        with self._lock:
            now_ms = self._clock()
            for name in self._of(caller, endpoint):
                account = self._accounts.setdefault((name, caller), _Account(self._limits[name]))
                account.begin(now_ms)
                account.active_ms = now_ms
                spent = _spent(account)
                if spent is not None:
                    self.refused[name] += 1
                    refusals.append(self._refusal(name, caller, spent, account, now_ms))
                accounts.append(account)
            if refusals:
                raise max(refusals, key=lambda error: error.retry_after_s)
            for account in accounts:
                account.under_way += 1
                for window in account.windows.values():
                    window.own += Used(requests=1)
        return Admission(accounts, self)

    def settle(self, accounts: "list[_Account]", used: Used) -> None:
        """Count what a call used that was let in."""
        with self._lock:
            now_ms = self._clock()
            for account in accounts:
                account.begin(now_ms)
                account.under_way -= 1
                account.mean = account.mean * (1 - NEWEST) + used * NEWEST if account.mean != Used() else used
                for window in account.windows.values():
                    window.own += used

    def load(self) -> None:
        """Read what was used before, so that a restart forgets nothing."""
        for document in self._documents.find(COLLECTION):
            name, _, caller = document.key.partition("/")
            if name in self._limits:
                with self._lock:
                    account = self._accounts.setdefault((name, caller), _Account(self._limits[name]))
                    account.begin(self._clock())
                    _take(account, document.body)
        self._is_loaded = True

    def sync(self) -> None:
        """Add what was counted here to the records, and read what all processes have counted; never raises."""
        if not self._is_loaded and not self._loads():
            return
        with self._lock:
            now_ms = self._clock()
            active = {key: each for key, each in self._accounts.items() if now_ms - each.active_ms < IDLE_MS}
        for (name, caller), account in active.items():
            try:
                self._sync(f"{name}/{caller}", account)
            except Exception as error:  # noqa: BLE001 - it counts on by itself, and the next look may do better
                logger.warning("what %r used under limit %r was not added up: %s", caller, name, error)

    def _loads(self) -> bool:
        """Whether what was used before could be read; the next look tries again."""
        try:
            self.load()
        except Exception as error:  # noqa: BLE001 - as for those that are added up
            if not self._is_late:
                logger.warning("what callers used before cannot be read yet: %s", error)
            self._is_late = True
        return self._is_loaded

    def _sync(self, key: str, account: _Account) -> None:
        for _ in range(TRIES):
            document = self._documents.get(COLLECTION, key)
            with self._lock:
                account.begin(self._clock())
                starts: dict[Span, int] = {span: window.start_ms for span, window in account.windows.items()}
                own: dict[Span, Used] = {span: window.own for span, window in account.windows.items()}
            stored: Mapping[str, Json] = {} if document is None else document.body
            ours: list[Span] = [
                span for span, start_ms in starts.items() if not _is_later(stored.get(span), start_ms, span)
            ]
            shared: dict[Span, Used] = _read(stored, starts)
            if any(own[span] != Used() for span in ours):
                shared = {span: used + own[span] for span, used in shared.items()}
                body: dict[str, Json] = {span: stored[span] for span in starts if span not in ours}
                for span in ours:
                    body[span] = {"start_ms": starts[span], **msgspec.to_builtins(shared[span])}
                try:
                    self._documents.put(COLLECTION, key, body, expected=document.revision if document else 0)
                except ConflictError:
                    continue
            with self._lock:
                for span in ours:
                    window = account.windows[span]
                    if window.start_ms == starts[span]:
                        window.shared, window.own = shared[span], _less(window.own, own[span])
            return
        raise ConflictError(f"expected to write {COLLECTION}/{key} in {TRIES} attempts; others wrote it each time")

    def _of(self, caller: str, endpoint: str) -> Iterator[str]:
        own = caller.removeprefix(SERVICE)
        for name, limit in self._limits.items():
            named = any(fnmatchcase(own, pattern) for pattern in limit.callers)
            if named and any(fnmatchcase(endpoint, pattern) for pattern in limit.endpoints):
                yield name

    @staticmethod
    def _refusal(name: str, caller: str, spent: tuple[str, Span], account: _Account, now_ms: int) -> LimitError:
        kind, span = spent
        most = getattr(account.limit, f"{kind}_per_{span}")
        wait_s = max(-(-(account.windows[span].start_ms + SPANS_MS[span] - now_ms) // 1000), 1)
        return LimitError(
            f"expected {caller!r} to use at most {most:g} {kind} in a {span} ([limits.{name}] {kind}_per_{span}), and "
            f"that is used up; there is more in {wait_s} s",
            wait_s,
        )


def _spent(account: _Account) -> tuple[str, Span] | None:
    """The limit that leaves nothing for one more call, those of days first."""
    expected = replace(account.mean, requests=0) * account.under_way
    for span in ("day", "minute"):
        window = account.windows[span]
        used = window.shared + window.own + expected
        for kind in KINDS:
            most = getattr(account.limit, f"{kind}_per_{span}")
            if most is not None and getattr(used, kind) >= most:
                return kind, span
    return None


def _less(one: Used, other: Used) -> Used:
    return one + other * -1


def _read(body: Mapping[str, Json], starts: Mapping[Span, int]) -> dict[Span, Used]:
    """What the records know of the windows that began at these times."""
    known: dict[Span, Used] = {}
    for span, start_ms in starts.items():
        entry = body.get(span)
        same = narrow.is_object(entry) and entry.get("start_ms") == start_ms
        known[span] = msgspec.convert(entry, Used) if same else Used()
    return known


def _is_later(entry: Json, start_ms: int, span: Span) -> bool:
    """Whether the records have a window that another host's clock began already; one from far ahead is a mistake."""
    start = entry.get("start_ms") if narrow.is_object(entry) else None
    return isinstance(start, int) and start_ms < start <= start_ms + SPANS_MS[span]


def _take(account: _Account, body: Mapping[str, Json]) -> None:
    shared = _read(body, {span: window.start_ms for span, window in account.windows.items()})
    for span, window in account.windows.items():
        window.shared = shared[span]
