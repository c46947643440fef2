"""Rollouts that steer themselves: promote what is shown to be no worse, roll back what is shown to be worse.

The evidence is that of tests which stay valid however often one looks (`bakeoff.metrics.sequential`), so the steerer
looks as often as it likes. A release as good as the live one is rolled back with a probability of at most `ALPHA`.
Without calls nothing is promoted: missing evidence helps nobody.

One steerer at a time works, by a lease in the records. The lease saves work; what keeps two from harm is that each
change is a compare-and-swap of the whole endpoint, so that there is exactly one live release whoever dies when.
"""

import contextlib
import logging
import math
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import msgspec

from bakeoff.core.errors import ConflictError
from bakeoff.core.protocols import Clock, DocumentRecords, EventLog
from bakeoff.core.releases import Endpoint, Role, Route
from bakeoff.feedback.truth import TruthOf
from bakeoff.loop.rollout_evidence import ROLLOUTS, BesideLive, RolloutEvidence, read_on, stored
from bakeoff.metrics.sequential import log_evidence_better, log_evidence_worse, rate_interval, times_needed
from bakeoff.security.audit import AuditLog
from bakeoff.serve.endpoints import Endpoints
from bakeoff.serve.releases import release_of

__all__ = ["Rollout", "RolloutAction", "RolloutRules", "RolloutTest", "Steerer", "assessed"]

ALPHA = 0.01
"""The most that a release as good as the live one is rolled back, over all looks and tests."""
BETA = 0.05
"""The most that a release worse by the margin is promoted, by each test."""
SLOW_MARGIN = 0.05
LEASES, STEERER = "leases", "steerer"
LEASE_MS = 30_000
MOST = 1e12
"""Evidence over this is not told more exactly."""

RolloutAction: TypeAlias = Literal["wait", "promote", "rollback"]
TestName: TypeAlias = Literal["errors", "latency", "quality"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutRules:
    """How a release beside the live one is judged.

    Attributes:
        calls: the least calls that a canary answers before it is promoted.
        share: what a shadow gets when it becomes a canary.
        errors: by how much greater its share of failed calls may be.
        quality: by how much greater its share of wrong answers may be.
        accepted_ms: what is not slow, however fast the live release is: what gates and monitoring allow.
        logged: whether calls are logged; else there is no evidence.
    """

    calls: int = 200
    share: float = 0.1
    errors: float = 0.01
    quality: float = 0.02
    accepted_ms: float = 0.0
    logged: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutTest:
    """One test: how often calls of the release were bad, and of the live one meanwhile.

    Attributes:
        name: what is bad: a failure, a slow answer, a wrong answer.
        margin: by how much worse the release may be.
        calls, rate, low, high: of the release; the interval (95%) holds at all times at once.
        live_calls, live_rate: of the live one.
        against: the evidence that it is worse by more than the margin; it is rolled back from `against_limit` on.
        favour: the evidence that it is not; enough from `favour_limit` on.
        calls_needed: how many more calls of the release it takes at these rates until that is enough; None where they
            never are.
    """

    name: TestName
    margin: float
    calls: float
    rate: float | None
    low: float
    high: float
    live_calls: float
    live_rate: float | None
    against: float
    against_limit: float
    favour: float
    favour_limit: float
    calls_needed: int | None

    @property
    def sentence(self) -> str:
        """The numbers, in words."""
        what = {"errors": "failed", "latency": "were slow", "quality": "were wrong"}[self.name]
        live = (
            "none of the live one yet" if self.live_rate is None else f"{self.live_rate:.1%} of {self.live_calls:.0f}"
        )
        if self.rate is None:
            return f"{self.name}: no call yet; live: {live}"
        interval = f"[{self.low:.1%}, {self.high:.1%}]"
        return f"{self.name}: {self.rate:.1%} of {self.calls:.0f} calls {what} {interval}; live: {live}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A release beside the live one, the evidence so far, and what follows from it.

    `calls_needed` are calls of the release until it is promoted, at the rates so far; None where these never lead
    there, or are not known yet. `differing` is the share of a shadow's answers that are others than the live ones.
    `notes` say what of the log was not counted.
    """

    endpoint: str
    release_id: str
    model_version: str
    role: Role
    share: float
    paused: bool
    tests: tuple[RolloutTest, ...]
    action: RolloutAction
    reason: str
    calls_needed: int | None
    differing: float | None = None
    notes: tuple[str, ...] = ()


class Steerer:
    """Looks at the endpoints that have a release beside the live one, and acts on the evidence; safe in many threads.

    Args:
        documents: the records.
        events: the log.
        clock: milliseconds since the epoch.
        truth_of: reads labels.
        rules: for an endpoint.
        holder: who holds the lease: another name for each process.
        settle: called at each look, to let aliases follow what is live.
        promoted: called with the name of an endpoint on which a release was made live.
    """

    def __init__(
        self,
        documents: DocumentRecords,
        events: EventLog,
        *,
        clock: Clock,
        truth_of: TruthOf,
        rules: Callable[[str], RolloutRules],
        holder: str,
        settle: Callable[[], None] = lambda: None,
        promoted: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._documents, self._events, self._clock = documents, events, clock
        self._truth_of, self._rules, self._settle, self._promoted = truth_of, rules, settle, promoted
        self._holder, self._steering = holder, threading.Lock()
        self._endpoints = Endpoints(documents, clock, who=STEERER, beside=AuditLog(documents, clock).endpoint_moved)

    def steer(self) -> list[Rollout]:
        """Look once, and promote or roll back what the evidence says; the rollouts as they were decided on.

        Nothing is done, and nothing given, while another steerer has the lease (`other_until_ms`). An endpoint that
        cannot be looked at stops no other one; its error is raised when the others were looked at.
        """
        with self._steering:
            failures: list[Exception] = []
            with _collected(failures):
                self._settle()  # what another one may have left undone
            under_way: list[Endpoint] = []
            for name in self._endpoints.names:
                with _collected(failures):
                    endpoint = self._endpoints.get(name)
                    under_way += [endpoint] if endpoint.others else []
            decided: list[Rollout] = []
            if under_way and self._leased():
                for endpoint in under_way:
                    with _collected(failures):
                        decided += self._steered(endpoint)
                with _collected(failures):
                    self._settle()
            for further in failures[1:]:
                logger.warning("rollouts were not looked at: %s", further)
            if failures:
                raise failures[0]
            return decided

    def look(self, endpoint: Endpoint) -> list[Rollout]:
        """The rollouts of an endpoint, the canary first, with all the log has by now; nothing is done."""
        return [self._look(endpoint, route, keep=False) for route in _canary_first(endpoint)]

    def other_until_ms(self) -> int | None:
        """Until when another steerer has the lease; None where none has."""
        lease = self._documents.get(LEASES, STEERER)
        if lease is None or lease.body["holder"] == self._holder:
            return None
        until_ms = msgspec.convert(lease.body["until_ms"], int)
        return until_ms if 0 < until_ms - self._clock() <= LEASE_MS else None  # more is of a clock that was set back

    def leave(self) -> None:
        """Give the lease back, so that another steerer need not wait until it ends."""
        with self._steering:
            lease = self._documents.get(LEASES, STEERER)
            if lease is None or lease.body["holder"] != self._holder:
                return
            body = {"holder": self._holder, "until_ms": self._clock()}
            with contextlib.suppress(ConflictError):  # another one has it
                self._documents.put(LEASES, STEERER, body, expected=lease.revision)

    def _steered(self, endpoint: Endpoint) -> Iterator[Rollout]:
        for route in _canary_first(endpoint):
            rollout = self._look(endpoint, route, keep=True)
            yield rollout
            if rollout.action != "wait" and self._act(rollout, endpoint.revision):
                return  # the routes are others now

    def _look(self, endpoint: Endpoint, route: Route, *, keep: bool) -> Rollout:
        rules = self._rules(endpoint.name)
        before = stored(self._documents, endpoint, route)
        cursor = before.cursor
        evidence = read_on(before, self._events, self._truth_of, accepted_ms=rules.accepted_ms)
        if keep and evidence.cursor != cursor:
            self._documents.put(ROLLOUTS, evidence.key, msgspec.to_builtins(evidence))
        version = release_of(self._documents, endpoint.name, route.release_id).model_version
        rollout = assessed(evidence, route, rules, model_version=version, paused=endpoint.paused)
        canary = endpoint.other("canary")
        if route.role == "shadow" and rollout.action == "promote" and canary is not None:
            ahead = release_of(self._documents, endpoint.name, canary.release_id).model_version
            reason = f"waits while {ahead} is the canary; {rollout.reason}"
            return replace(rollout, action="wait", reason=reason, calls_needed=None)
        return rollout

    def _act(self, rollout: Rollout, revision: int) -> bool:
        """Whether the endpoint was moved, which it is only as it was looked at."""
        name, release_id, why = rollout.endpoint, rollout.release_id, rollout.reason
        try:
            if rollout.action == "rollback":
                self._endpoints.end(name, release_id, why=why, revision=revision)
            elif rollout.role == "shadow":
                share = self._rules(name).share
                self._endpoints.canary(name, release_id, share=share, why=why, revision=revision)
            else:
                self._endpoints.promote(name, release_id, why=why, revision=revision)
        except ConflictError as error:  # somebody moved it: the next look sees what there is
            logger.info("not done: %s", error, extra={"endpoint": name})
            return False
        logger.info("%s %s: %s", rollout.action, rollout.model_version, why, extra={"endpoint": name})
        if rollout.action == "promote" and rollout.role == "canary":
            self._promoted(name)
        return True

    def _leased(self) -> bool:
        """Whether this steerer has the lease, which it takes or prolongs now."""
        lease = self._documents.get(LEASES, STEERER)
        if self.other_until_ms() is not None:
            return False
        try:
            body = {"holder": self._holder, "until_ms": self._clock() + LEASE_MS}
            self._documents.put(LEASES, STEERER, body, expected=lease.revision if lease else 0)
        except ConflictError:
            return False
        return True


@contextlib.contextmanager
def _collected(failures: list[Exception]) -> Generator[None]:
    """Go on after an error, which is kept."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - who collects it raises it
        failures.append(error)


def _canary_first(endpoint: Endpoint) -> list[Route]:
    """The routes beside the live one: a shadow may have to wait for the canary."""
    return sorted(endpoint.others, key=lambda route: route.role != "canary")


def assessed(
    evidence: RolloutEvidence, route: Route, rules: RolloutRules, *, model_version: str = "", paused: bool = False
) -> Rollout:
    """What the evidence says, and what is to be done."""
    tests = (
        _test("errors", evidence.errors, rules.errors),
        _test("latency", evidence.slow, SLOW_MARGIN),
        _test("quality", evidence.wrong, rules.quality),
    )
    action, reason, needed = _decided(tests, rules, paused=paused)
    if action == "wait" and not paused and not rules.logged:
        reason, needed = 'no call is logged (log = "off"), so there is no evidence and nothing is promoted', None
    compared = evidence.differing
    return Rollout(
        endpoint=evidence.endpoint,
        release_id=evidence.release_id,
        model_version=model_version,
        role=route.role,
        share=route.share,
        paused=paused,
        tests=tests,
        action=action,
        reason=reason,
        calls_needed=needed,
        differing=compared.bad / compared.calls if compared.calls else None,
        notes=evidence.notes,
    )


def _test(name: TestName, pair: BesideLive, margin: float) -> RolloutTest:
    beside, live = pair.beside, pair.live
    counts = (beside.bad, beside.calls, live.bad, live.calls)
    low, high = rate_interval(beside.bad, beside.calls)
    times = times_needed(*counts, margin, log_limit=math.log(1 / BETA))
    return RolloutTest(
        name=name,
        margin=margin,
        calls=beside.calls,
        rate=beside.bad / beside.calls if beside.calls else None,
        low=low,
        high=high,
        live_calls=live.calls,
        live_rate=live.bad / live.calls if live.calls else None,
        against=min(math.exp(min(float(log_evidence_worse(*counts, margin)), 50.0)), MOST),
        against_limit=3 / ALPHA,  # three tests share it
        favour=min(math.exp(min(float(log_evidence_better(*counts, margin)), 50.0)), MOST),
        favour_limit=1 / BETA,
        calls_needed=None if times is None else math.ceil(beside.calls * (times - 1)),
    )


def _decided(
    tests: Sequence[RolloutTest], rules: RolloutRules, *, paused: bool
) -> tuple[RolloutAction, str, int | None]:
    """What is to be done, why, and how many calls it takes until the release is promoted."""
    errors, latency, quality = tests
    needs = [errors.calls_needed, latency.calls_needed, max(0, math.ceil(rules.calls - errors.calls))]
    needed = None if None in needs else max(each for each in needs if each is not None)
    if paused:
        return "wait", "paused: the live release answers everything, and nothing is decided", needed
    for test in tests:
        if test.against >= test.against_limit:
            return "rollback", f"worse than the live release: {test.sentence}", None
    if needed == 0:
        seen = "; ".join(test.sentence for test in ((errors, latency, quality) if quality.calls else (errors, latency)))
        return "promote", f"no worse than the live release: {seen}", 0
    if not (errors.calls and latency.calls):
        seen = f"{errors.calls:.0f} calls of it and {errors.live_calls:.0f} of the live release"
        return "wait", f"too little was seen yet ({seen}): without calls nothing is promoted", needed
    if needed is None:
        return "wait", "neither shown to be worse nor, at these rates, ever to be no worse", None
    return "wait", f"not shown to be worse; about {needed:,} more calls of it until it is promoted", needed
