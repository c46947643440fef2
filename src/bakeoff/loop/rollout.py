"""Rollouts that steer themselves: promote what is shown to be no worse, roll back what is shown to be worse.

The evidence is that of tests which stay valid however often one looks (`bakeoff.metrics.sequential`), so the steerer
looks as often as it likes. A release as good as the live one is rolled back with a probability of at most `ALPHA`.
Without calls nothing is promoted: missing evidence helps nobody.

One steerer at a time works, by a lease in the records. The lease saves work; what keeps two from harm is that each
change is a compare-and-swap of the whole endpoint, so that there is exactly one live release whoever dies when.
"""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from bakeoff.core.errors import ConflictError
from bakeoff.core.protocols import Clock, DocumentRecords, EventLog
from bakeoff.core.releases import Endpoint, Route
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
    """

    calls: int = 200
    share: float = 0.1
    errors: float = 0.01
    quality: float = 0.02
    accepted_ms: float = 0.0


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
    """

    endpoint: str
    release_id: str
    model_version: str
    role: str
    share: float
    paused: bool
    tests: tuple[RolloutTest, ...]
    action: RolloutAction
    reason: str
    calls_needed: int | None
    differing: float | None = None


class Steerer:
    """Looks at the endpoints that have a release beside the live one, and acts on the evidence.

    Args:
        documents: the records.
        events: the log.
        clock: milliseconds since the epoch.
        truth_of: reads labels.
        rules: for an endpoint.
        holder: who holds the lease: another name for each process.
        settle: called at each look, to let aliases follow what is live.
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
    ) -> None:
        self._documents, self._events, self._clock = documents, events, clock
        self._truth_of, self._rules, self._settle = truth_of, rules, settle
        self._holder = holder
        self._endpoints = Endpoints(documents, clock, who=STEERER, beside=AuditLog(documents, clock).endpoint_moved)

    def steer(self) -> list[Rollout]:
        """Look once, and promote or roll back what the evidence says; the rollouts as they were decided on.

        Nothing is done, and nothing given, while another steerer has the lease.
        """
        self._settle()  # what another one may have left undone
        under_way = [endpoint for endpoint in map(self._endpoints.get, self._endpoints.names) if endpoint.others]
        if not under_way or not self._leased():
            return []
        decided: list[Rollout] = []
        for endpoint in under_way:
            for route in endpoint.others:
                rollout = self._look(endpoint, route, keep=True)
                decided.append(rollout)
                if rollout.action != "wait":
                    self._act(rollout)
                    break  # the routes are others now
        self._settle()
        return decided

    def look(self, endpoint: Endpoint) -> list[Rollout]:
        """The rollouts of an endpoint, with all the log has by now; nothing is done."""
        return [self._look(endpoint, route, keep=False) for route in endpoint.others]

    def _look(self, endpoint: Endpoint, route: Route, *, keep: bool) -> Rollout:
        rules = self._rules(endpoint.name)
        before = stored(self._documents, endpoint, route)
        cursor = before.cursor
        evidence = read_on(before, self._events, self._truth_of, accepted_ms=rules.accepted_ms)
        if keep and evidence.cursor != cursor:
            self._documents.put(ROLLOUTS, evidence.key, msgspec.to_builtins(evidence))
        version = release_of(self._documents, endpoint.name, route.release_id).model_version
        return assessed(evidence, route, rules, model_version=version, paused=endpoint.paused)

    def _act(self, rollout: Rollout) -> None:
        name, release_id, why = rollout.endpoint, rollout.release_id, rollout.reason
        try:
            if rollout.action == "rollback":
                self._endpoints.end(name, release_id, why=why)
            elif rollout.role == "shadow":
                self._endpoints.canary(name, release_id, share=self._rules(name).share, why=why)
            else:
                self._endpoints.promote(name, release_id, why=why)
        except ConflictError as error:  # somebody moved it, or another canary is on: the next look sees what there is
            logger.info("not done: %s", error, extra={"endpoint": name})
        else:
            logger.info("%s %s: %s", rollout.action, rollout.model_version, why, extra={"endpoint": name})

    def _leased(self) -> bool:
        """Whether this steerer has the lease, which it takes or prolongs now."""
        now_ms = self._clock()
        lease = self._documents.get(LEASES, STEERER)
        if lease is not None and lease.body["holder"] != self._holder:
            left_ms = msgspec.convert(lease.body["until_ms"], int) - now_ms
            if 0 < left_ms <= LEASE_MS:  # more is of a clock that was set back
                return False
        try:
            body = {"holder": self._holder, "until_ms": now_ms + LEASE_MS}
            self._documents.put(LEASES, STEERER, body, expected=lease.revision if lease else 0)
        except ConflictError:
            return False
        return True


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
