"""What a release can bear, and what it takes to bear more."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec

from bakeoff.core.types import Json
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.scalability import Scalability

__all__ = ["Autoscaling", "CapacityPlan", "LoadStep", "Saturated", "TrainingForecast"]

Saturated: TypeAlias = Literal["processor", "interpreter", "disk", "waiting", "load generator"]
"""What is used up first: all cores; one core, as Python runs one thread at a time; the disk of the event log; the model
waits for something else (a service, a device); or this machine could not ask fast enough, so that there is more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadStep:
    """A load that was put on one replica: so many `callers` who ask again at once, or requests at `offered_s` a second.

    Latencies in milliseconds count from when a request was due. `failed` requests got no answer, or one of refusal.
    `cores` is the processor time that the replica took in a second. From `p99_low_ms` to `p99_high_ms` (None: nothing
    that was seen bounds it) another look of the same length would see its 99th percentile in 95 of 100 cases.
    """

    callers: int | None = None
    offered_s: float | None = None
    answered_s: float
    answered: int
    failed: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    p99_low_ms: float
    p99_high_ms: float | None = None
    cores: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Autoscaling:
    """Settings of a HorizontalPodAutoscaler and of the container's resources, per replica."""

    min_replicas: int
    max_replicas: int
    cpu_request_millicores: int
    cpu_utilisation_percent: int
    memory_mib: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingForecast:
    """What a run like the last one would take on so many nodes, each with one fit at a time."""

    nodes: int
    hours: float
    price_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPlan:
    """How many replicas an endpoint needs for a load.

    Attributes:
        endpoint, model_version: what was measured.
        rps, p99_limit_ms: the goal: requests of one row a second, and the 99th percentile of their latency.
        capacity_s: requests a second that one replica answers at most.
        scaling: the universal scalability law of one replica.
        per_replica_s: requests a second that one replica should get; None where the goal cannot be met.
        p99_ms: expected at that load.
        replicas: how many it takes; None where the goal cannot be met.
        cores, memory_mib: what one replica takes at that load.
        price_usd_month: of all replicas, by `[cost] price_per_hour_usd`.
        saturates: what is used up first.
        autoscaling: settings that follow.
        callers, loads: what was measured, step by step.
        training: what a run like the last one would take.
        notes: what to know of it.
    """

    endpoint: str
    model_version: str
    rps: float
    p99_limit_ms: float
    capacity_s: Interval
    scaling: Scalability
    per_replica_s: float | None
    p99_ms: Interval | None
    replicas: int | None
    cores: float | None
    memory_mib: int | None
    price_usd_month: float | None
    saturates: Saturated
    autoscaling: Autoscaling | None
    callers: tuple[LoadStep, ...]
    loads: tuple[LoadStep, ...]
    training: tuple[TrainingForecast, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff plan --json` has it."""
        return msgspec.to_builtins(self)

    def __repr__(self) -> str:
        what = "cannot be met" if self.replicas is None else f"{self.replicas} replicas"
        goal = f"{self.rps:g}/s within {self.p99_limit_ms:g} ms"
        return f"CapacityPlan({self.endpoint!r}, {goal}: {what})"
