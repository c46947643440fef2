"""Alerts: when a signal's being over its limit begins and ends, who is told of it, and what is silenced.

An alert is an episode. It begins when its rule holds for `after` looks and ends when it has not for `until` looks, so
that a value at its limit does not ring all day. Its state is a document that moves by compare-and-swap, and with it
what is to be delivered. Who delivers claims that first: of two that look at once one tells. What could not be delivered
is tried at the next look, and so is, when its claim has run out, what somebody claimed who was killed.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

import msgspec

from bakeoff.config.sections import SEVERITIES, SIGNAL_NAMES, AlertRule, AlertsConfig, Severity
from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.plugins import suggestion
from bakeoff.core.protocols import DocumentRecords
from bakeoff.monitor.claims import CLAIM_MS, is_claimed
from bakeoff.monitor.signals import MonitorReport, Signal

_logger = logging.getLogger("bakeoff.alerts")

__all__ = ["AlertEvent", "Alerts", "Deliver", "encoded"]

ALERTS, SILENCES = "alerts", "alert_silences"
HOUR_MS = 3_600_000
ATTEMPTS = 5
MOST_WAITING = 100
ROUNDING = 1e-9

EventKind: TypeAlias = Literal["begun", "goes on", "ended", "test"]


class AlertEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody is told: that an alert has begun, goes on, or has ended.

    Attributes:
        id: the same whenever it is delivered again.
        endpoint: that it is about.
        rule: by which it is an alert; that of a signal's own limit has the signal's name.
        signal: that it is of, with its `value` and `limit`, and the `reason` in a sentence.
        kind: what happened; "test" where somebody only wanted to see it arrive.
        severity: of the rule.
        since_ms: when the alert began.
        time_ms: when this happened.
    """

    id: str
    endpoint: str
    rule: str
    signal: str
    kind: EventKind
    severity: Severity
    value: float | None
    limit: float | None
    reason: str
    since_ms: int
    time_ms: int

    @property
    def title(self) -> str:
        """In a line."""
        return f"[{self.severity}] {self.endpoint}: {self.rule} {'is over' if self.kind == 'ended' else self.kind}"


Deliver: TypeAlias = Callable[[str, AlertEvent], None]
"""Deliver an event to the target of that name; raises what went wrong."""


class _Episode(msgspec.Struct, kw_only=True):
    """`over`, `calm`: looks in a row; `since_ms` of the alert that goes on, if one does; `told_ms`: of the last."""

    over: int = 0
    calm: int = 0
    since_ms: int | None = None
    told_ms: int | None = None
    is_told: bool = False


class _State(msgspec.Struct, kw_only=True):
    """Episodes by rule; events that wait to be delivered, with their targets, and until when somebody does that."""

    episodes: dict[str, _Episode] = {}
    waiting: list[tuple[str, AlertEvent]] = []
    until_ms: int = 0
    claimed_until_ms: int = 0


class Alerts:
    """The alerts of an endpoint: what reports make of them, and who is told.

    Args:
        documents: where they stand.
        endpoint: whose they are.
        config: `[alerts]`.
        deliver: what tells a target.
    """

    def __init__(self, documents: DocumentRecords, endpoint: str, config: AlertsConfig, deliver: Deliver) -> None:
        self._documents, self._endpoint, self._config, self._deliver = documents, endpoint, config, deliver

    def see(self, report: MonitorReport) -> tuple[AlertEvent, ...]:
        """Take in a look: the alerts that began, go on or ended by it are told, once. What is older is passed over."""
        for _ in range(ATTEMPTS):
            state, revision = self._state()
            events = self._moved(state, report) if report.until_ms > state.until_ms else []
            state.until_ms = max(state.until_ms, report.until_ms)
            waiting = [*state.waiting, *((to, each) for each in events for to in self._targets(each))]
            state.waiting = waiting[-MOST_WAITING:]
            delivers = bool(waiting) and not is_claimed(state.claimed_until_ms, report.until_ms)
            if delivers:
                state.claimed_until_ms = report.until_ms + CLAIM_MS
            try:
                self._documents.put(ALERTS, self._endpoint, msgspec.to_builtins(state), expected=revision)
            except ConflictError:  # another one looked
                continue
            for to, event in waiting[:-MOST_WAITING]:
                _logger.warning("%s is told no more of %r: more than %d wait", to, event.title, MOST_WAITING)
            if delivers:
                self._deliver_waiting(report.until_ms)
            return tuple(events)
        return ()

    def silence(self, rule: str, until_ms: int) -> None:
        """Tell nobody of alerts by a rule of that name (or pattern, as "*") until then; they go on all the same.

        What goes on then is told at the next look, and so is the end of what had been told before.

        Raises:
            NotFoundError: there is no such rule.
        """
        known = self.rules()
        if not any(fnmatchcase(name, rule) for name in known):
            raise NotFoundError(
                f"expected a rule of [alerts.rules] or a signal ({', '.join(known)}), received {rule!r}. "
                f"{suggestion(rule, known)}".rstrip()
            )
        self._documents.put(SILENCES, f"{self._endpoint}/{rule}", {"rule": rule, "until_ms": until_ms})

    def test(self, now_ms: int) -> dict[str, str | None]:
        """Tell every target of an alert that is none; what went wrong, by target (None: nothing)."""
        event = AlertEvent(
            id=f"test-{now_ms}",
            endpoint=self._endpoint,
            rule="test",
            signal="drift",
            kind="test",
            severity="info",
            value=0.0,
            limit=0.2,
            reason="somebody wanted to see whether alerts arrive",
            since_ms=now_ms,
            time_ms=now_ms,
        )
        return {name: self._problem(name, event) for name in self._config.to}

    def rules(self) -> dict[str, AlertRule]:
        """All rules by name: those of the project, and one for each signal's own limit that none of them is about."""
        own = {rule.signal for rule in self._config.rules.values() if rule.above is None and rule.below is None}
        return {name: AlertRule(signal=name) for name in SIGNAL_NAMES if name not in own} | dict(self._config.rules)

    def _state(self) -> tuple[_State, int]:
        document = self._documents.get(ALERTS, self._endpoint)
        if document is None:
            return _State(), 0
        return msgspec.convert(document.body, _State), document.revision

    def _moved(self, state: _State, report: MonitorReport) -> list[AlertEvent]:
        events: list[AlertEvent] = []
        silences = self._silences(report.until_ms)
        for name, rule in self.rules().items():
            signal = next((each for each in report.signals if each.name == rule.signal), None)
            if signal is None:
                continue
            episode = state.episodes.setdefault(name, _Episode())
            kind = _next(episode, rule, signal, report.until_ms, self._config.cool_down_h * HOUR_MS)
            if kind in {"begun", "goes on"}:
                if _is_like(name, silences):
                    continue
                episode.told_ms, episode.is_told = report.until_ms, True
            if kind is not None:
                events.append(
                    self._event(name, rule, signal, since_ms=episode.since_ms, kind=kind, now_ms=report.until_ms)
                )
                if kind == "ended":
                    episode.since_ms = None
        state.episodes = {name: each for name, each in state.episodes.items() if each != _Episode()}
        return events

    def _event(
        self, name: str, rule: AlertRule, signal: Signal, *, since_ms: int | None, kind: EventKind, now_ms: int
    ) -> AlertEvent:
        limit = signal.limit
        if rule.above is not None or rule.below is not None:
            limit = rule.below if rule.above is None else rule.above
        since_ms = now_ms if since_ms is None else since_ms
        value = "unknown" if signal.value is None else f"{signal.value:.4g}"
        return AlertEvent(
            id=f"{self._endpoint}/{name}/{since_ms}/{kind}/{now_ms}",
            endpoint=self._endpoint,
            rule=name,
            signal=signal.name,
            kind=kind,
            severity=rule.severity,
            value=signal.value,
            limit=limit,
            reason=str(signal.detail.get("reason") or f"{signal.name} is {value} (limit {limit})"),
            since_ms=since_ms,
            time_ms=now_ms,
        )

    def _targets(self, event: AlertEvent) -> list[str]:
        rank = SEVERITIES.index(event.severity)
        return [name for name, target in self._config.to.items() if rank >= SEVERITIES.index(target.least)]

    def _silences(self, now_ms: int) -> list[str]:
        """The patterns of rules that nobody is told of at that time."""
        known = (each.body for each in self._documents.find(SILENCES, f"{self._endpoint}/"))
        return [str(each["rule"]) for each in known if now_ms < float(str(each["until_ms"]))]

    def _deliver_waiting(self, now_ms: int) -> None:
        """Deliver what waits, also what others add meanwhile, and give the claim back with what is left."""
        silences, done, tried, dead = self._silences(now_ms), set[tuple[str, str]](), set[tuple[str, str]](), set[str]()
        while True:
            state, revision = self._state()
            state.waiting = [(to, event) for to, event in state.waiting if (to, event.id) not in done]
            new = [(to, event) for to, event in state.waiting if (to, event.id) not in tried]
            for to, event in new:
                tried.add((to, event.id))
                if to not in self._config.to:
                    done.add((to, event.id))
                elif to not in dead and not _is_like(event.rule, silences):
                    problem = self._problem(to, event)
                    if problem is None:
                        done.add((to, event.id))
                        continue
                    dead.add(to)  # the other events would wait for it as long, and the loop for all of them
                    _logger.warning(
                        "%s was not reached with %r, the next look tries again: %s", to, event.title, problem
                    )
            if new:
                continue
            state.claimed_until_ms = 0
            try:
                self._documents.put(ALERTS, self._endpoint, msgspec.to_builtins(state), expected=revision)
            except ConflictError:  # another one looked, and may have added something
                continue
            return

    def _problem(self, name: str, event: AlertEvent) -> str | None:
        try:
            self._deliver(name, event)
        except Exception as error:  # noqa: BLE001 - whatever it is: looking must go on
            return f"{type(error).__name__}: {error}"
        return None


def _is_like(rule: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(rule, each) for each in patterns)


def _next(episode: _Episode, rule: AlertRule, signal: Signal, now_ms: int, cool_down_ms: float) -> EventKind | None:
    """Count a look; what is to be told by it, if anything, and nobody is silent."""
    is_over, is_calm = _sides(rule, signal)
    episode.over = episode.over + 1 if is_over else 0
    episode.calm = episode.calm + 1 if is_calm else 0
    recent = episode.told_ms is not None and now_ms - episode.told_ms < cool_down_ms
    if episode.since_ms is None and episode.over < rule.after:
        return None
    if episode.since_ms is None:
        episode.since_ms, episode.is_told = now_ms, False
    elif episode.calm >= rule.until:
        episode.since_ms = episode.since_ms if episode.is_told else None
        return "ended" if episode.is_told else None
    if is_over and not recent:
        return "goes on" if episode.is_told else "begun"
    return None


def _sides(rule: AlertRule, signal: Signal) -> tuple[bool, bool]:
    """Whether the rule holds, and whether the value is back by its margin; in between, neither."""
    if rule.above is None and rule.below is None:
        back = signal.value is None or signal.limit is None or signal.value <= signal.limit - rule.margin
        return signal.alert, not signal.alert and (rule.margin == 0 or back)
    if signal.value is None:
        return False, False
    above = rule.above is not None and signal.value > rule.above
    below = rule.below is not None and signal.value < rule.below
    calm_above = rule.above is None or rule.above - signal.value >= rule.margin - ROUNDING
    calm_below = rule.below is None or signal.value - rule.below >= rule.margin - ROUNDING
    return above or below, calm_above and calm_below


def encoded(event: AlertEvent) -> Mapping[str, object]:
    """The event as it is sent."""
    return {"format": 1, **msgspec.to_builtins(event)}
