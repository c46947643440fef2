"""`bakeoff plan`: load the live release of an endpoint here, and say what it takes to bear a given load.

One replica, a process with the release alone, is started as its package would be, beside the project: what it logs
goes away with it. Callers who ask again at once, 1, 2, 4 … of them, show how throughput grows
(`bakeoff.metrics.scalability`). Requests at times drawn beforehand, at shares of that capacity, show latencies with all
the waiting; in several turns, as a machine is not the same from minute to minute. A server that does nothing gets
requests, too: what is slow there is the machine's own.
"""

import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bakeoff.actions.load import WARM_S, Load, ask_at_once, ask_when_due, joined
from bakeoff.actions.packages.check import example_rows, module_command, started
from bakeoff.core import machine
from bakeoff.core.errors import CandidateError, DataError, NotFoundError, UsageError
from bakeoff.evaluate.score.prices import HOURS
from bakeoff.metrics.intervals import Interval
from bakeoff.metrics.latency import percentile_ends, percentiles
from bakeoff.metrics.scalability import LoadCurve, Scalability, scalability, settling
from bakeoff.results.capacity import Autoscaling, CapacityPlan, LoadStep, Saturated, TrainingForecast

if TYPE_CHECKING:
    from bakeoff.project.project import Project
    from bakeoff.results.outcome import RunOutcome

__all__ = ["Goal", "plan", "training_forecast"]

CALLERS = (1, 2, 4, 8, 16, 32, 64)
GAIN = 1.03
"""More callers are tried while twice as many of them get this many times the answers."""
LEAST_STEPS = 4
SHARES = (0.1, 0.3, 0.5, 0.65, 0.78, 0.87, 0.93)
"""Of the capacity, at which latencies are measured; beyond, one replica is not to be planned for."""
WINDOWS = 8
TURNS = 3
"""Each load is put on the replica so many times, for a part of its time: stalls of the machine come in stretches."""
LEAST_ANSWERS = 1000
LONGEST = 6
"""A step lasts longer than asked for, up to so many times, until it has so many answers and the queue has settled."""
WIDE = 1.5
"""And until another look would hardly show a 99th percentile of more than so many times what it is."""
MOST_FAILED = 0.01
ROWS = 500
FULL = 0.85
"""A share of a core, of all cores or of the time that counts as all of it."""
STARVED, MISFIT = 0.1, 0.15
"""Over these shares, the numbers are rough."""
READY_S = 300
NODES = (1, 2, 4, 8)
SPARE_REPLICAS = 2
"""At least so many run, so that one may fail."""
HEADROOM = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Requests of one row a second, within how many milliseconds 99 of 100 of them are to be answered."""

    rps: float
    p99_ms: float

    def __post_init__(self) -> None:
        """Check it."""
        for name, value in (("rps", self.rps), ("p99", self.p99_ms)):
            if not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name}: expected a number over 0, received {value!r}")


class _Replica:
    """The server under load: what it answers, and what it takes of the machine."""

    def __init__(self, url: str, pid: int, bodies: Sequence[bytes], seconds: float) -> None:
        self._url, self._pid, self._bodies, self._seconds = f"{url}/predict", pid, bodies, seconds
        self.windows: dict[int, list[float]] = {}
        self.callers_s = seconds
        """How long callers ask."""
        self.busy = self.waits_for_disk = 0.0

    def with_callers(self, callers: int) -> LoadStep:
        """As many callers as that."""
        before_s = _cpu_s(self._pid)
        load = ask_at_once(self._url, self._bodies, callers=callers, seconds=self.callers_s)
        self.windows[callers] = load.windows(WINDOWS)
        self.busy, self.waits_for_disk = load.busy, _disk_wait_s(self._pid)
        return self._step(load, self._cores(before_s, load), callers=callers)

    def at(self, shares: Sequence[float], capacity_s: float, seed: int) -> tuple[LoadStep, ...]:
        """Requests at these shares of the capacity, each in several turns, and more where little is known then."""
        loads: dict[float, list[Load]] = {share: [] for share in shares}
        cores: dict[float, list[float]] = {share: [] for share in shares}
        turn = 0
        while todo := [share for share in shares if turn < TURNS or self._goes_on(loads[share])]:
            for share in todo:
                per_second = share * capacity_s
                times = max(1.0, LEAST_ANSWERS / per_second / self._seconds, settling(share))
                seconds = min(times, LONGEST) * self._seconds / TURNS
                before_s, of_it = _cpu_s(self._pid), seed + shares.index(share) + turn * len(shares)
                load = ask_when_due(self._url, self._bodies, per_second=per_second, seconds=seconds, seed=of_it)
                loads[share].append(load)
                cores[share] += self._cores(before_s, load)
            turn += 1
        return tuple(
            self._step(joined(parts), cores[share], offered_s=share * capacity_s) for share, parts in loads.items()
        )

    def _goes_on(self, parts: Sequence[Load]) -> bool:
        """Whether a load is to last longer: its 99th percentile is not known well, and it may."""
        load = joined(parts)
        if load.seconds + parts[0].seconds > LONGEST * self._seconds or not load.latency_ms_n.size:
            return False
        _, high_ms = percentile_ends(load.latency_ms_n, again=True)["p99"]
        return high_ms is None or high_ms > WIDE * percentiles(load.latency_ms_n)["p99"]

    def _cores(self, before_s: float | None, load: Load) -> list[float]:
        """The processor time that it took in a second since then, if that is known."""
        after_s = _cpu_s(self._pid)
        return [] if before_s is None or after_s is None else [(after_s - before_s) / (load.seconds + WARM_S)]

    def _step(
        self, load: Load, cores: Sequence[float], *, callers: int | None = None, offered_s: float | None = None
    ) -> LoadStep:
        timed = load.latency_ms_n
        shown = percentiles(timed) if timed.size else dict.fromkeys(("p50", "p95", "p99"), math.inf)
        low_ms, high_ms = percentile_ends(timed, again=True)["p99"] if timed.size else (0.0, None)
        return LoadStep(
            callers=callers,
            offered_s=offered_s,
            answered_s=float(np.mean(load.windows(1))),
            answered=int(timed.size),
            failed=load.failed,
            p50_ms=shown["p50"],
            p95_ms=shown["p95"],
            p99_ms=shown["p99"],
            p99_low_ms=low_ms,
            p99_high_ms=high_ms,
            cores=float(np.mean(cores)) if cores else None,
        )

    @property
    def starved(self) -> float:
        """The share of the time in which it could have run for which others had the processor."""
        ran_ns = waited_ns = 0
        for path in Path(f"/proc/{self._pid}/task").glob("*/schedstat"):
            try:
                ran, waited, _ = path.read_text(encoding="utf-8").split()
            except (OSError, ValueError):
                continue
            ran_ns, waited_ns = ran_ns + int(ran), waited_ns + int(waited)
        return waited_ns / max(ran_ns + waited_ns, 1)

    @property
    def memory_mib(self) -> int | None:
        """What it took at most."""
        try:
            status = Path(f"/proc/{self._pid}/status").read_text(encoding="utf-8")
        except OSError:
            return None
        return math.ceil(int(status.partition("VmHWM:")[2].split()[0]) / 1024)


def plan(
    project: "Project",
    endpoint: str,
    goal: Goal,
    *,
    seconds: float = 4.0,
    seed: int = 0,
    progress: Callable[[str], None],
) -> CapacityPlan:
    """Measure one replica of the endpoint's live release for 20 to 50 × `seconds`, and plan for the goal.

    Raises:
        NotFoundError: nothing is released there. UsageError: no such goal. CandidateError: the release does not serve.
        DataError: it answers nothing.
    """
    state = project.folder / ".bakeoff"
    with tempfile.TemporaryDirectory(prefix=".plan-", dir=state, ignore_cleanup_errors=True) as scratch:
        place = Path(scratch)  # on the disk that the event log is on, whose speed counts
        command, environment = module_command(project, endpoint, None, place)
        version, bodies = _bodies(project, endpoint)
        progress(f"starting {version} of endpoint {endpoint!r}")
        with started(command, environment, place) as (url, pid):
            _wait_until_ready(url)
            replica = _Replica(url, pid, bodies, seconds)
            callers = _ladder(replica, progress)
            law = scalability({each.callers or 0: replica.windows[each.callers or 0] for each in callers}, seed=seed)
            saturates = _saturated(replica, callers[-1], seconds)
            progress(f"latencies at {len(SHARES)} shares of the capacity, in {TURNS} turns")
            loads = tuple(_reported(each, progress) for each in replica.at(SHARES, law.peak_s.value, seed))
            memory_mib, starved = replica.memory_mib, replica.starved
    sizing = _sizing(goal, law, loads)
    return CapacityPlan(
        endpoint=endpoint,
        model_version=version,
        rps=goal.rps,
        p99_limit_ms=goal.p99_ms,
        capacity_s=law.peak_s,
        scaling=law,
        per_replica_s=sizing and sizing.per_replica_s,
        p99_ms=sizing and sizing.p99_ms,
        replicas=sizing and sizing.replicas,
        cores=sizing and sizing.cores,
        memory_mib=memory_mib,
        price_usd_month=sizing and sizing.replicas * HOURS * project.config.cost.price_per_hour_usd,
        saturates=saturates,
        autoscaling=sizing and _autoscaling(sizing, law.peak_s.value, memory_mib),
        callers=callers,
        loads=loads,
        training=_training(project),
        notes=_notes(law, saturates, starved),
    )


def _wait_until_ready(url: str) -> None:
    """A server says where it is before it has loaded its model, which takes a language model half a minute.

    Raises:
        CandidateError: it is not ready in time.
    """
    from urllib.request import urlopen

    until_s = time.monotonic() + READY_S
    while True:
        with suppress(OSError), urlopen(f"{url}/health/ready", timeout=READY_S):  # noqa: S310 - a server of our own
            return
        if time.monotonic() > until_s:
            raise CandidateError(f"expected the release to be ready within {READY_S} s, and it is not")
        time.sleep(0.1)


def _bodies(project: "Project", endpoint: str) -> tuple[str, list[bytes]]:
    """The release's model version, and a request for each of some test rows."""
    from bakeoff.serve.releases import current

    release = current(project.records.documents, endpoint)
    assert release is not None, "its module has been written"
    table = example_rows(project, project.model(release.model_version), ROWS)
    return release.model_version, [msgspec.json.encode({"rows": [row]}) for row in table.to_dicts()]


def _ladder(replica: _Replica, progress: Callable[[str], None]) -> tuple[LoadStep, ...]:
    """Twice as many callers each time, until that brings nothing, or refusals."""
    if replica.with_callers(1).answered < WINDOWS:  # it warms up: threads, caches, the first answers
        replica.callers_s *= LONGEST
    steps: list[LoadStep] = []
    for callers in CALLERS:
        step = _reported(replica.with_callers(callers), progress)
        if not step.answered:
            raise DataError(
                f"expected answers to {callers} callers within {replica.callers_s:g} s, received {step.failed} "
                "refusals; if it answers more slowly, let steps last longer (--step-s)"
            )
        if step.failed > MOST_FAILED * step.answered and len(steps) >= LEAST_STEPS - 1:
            break
        steps.append(step)
        best = max((each.answered_s for each in steps[:-1]), default=0.0)
        if len(steps) > LEAST_STEPS and step.answered_s < GAIN * best:
            break
    return tuple(steps)


def _reported(step: LoadStep, progress: Callable[[str], None]) -> LoadStep:
    what = f"{step.callers} callers" if step.offered_s is None else f"{step.offered_s:.4g} requests a second"
    progress(f"{what}: {step.answered_s:.4g} answers a second, p99 {step.p99_ms:.3g} ms, {step.failed} failed")
    return step


# --- what follows -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizing:
    """How the goal is met: replicas, the load of each, and the 99th percentile and processor time that go with it."""

    replicas: int
    per_replica_s: float
    p99_ms: Interval
    cores: float | None


def _sizing(goal: Goal, law: Scalability, loads: Sequence[LoadStep]) -> _Sizing | None:
    """None where even a replica with hardly any load is too slow."""
    good = [each for each in loads if each.failed <= MOST_FAILED * each.answered]
    if not good:
        return None
    curve = LoadCurve(
        [each.offered_s or 0.0 for each in good],
        [each.p99_ms for each in good],
        [(each.p99_low_ms, each.p99_high_ms) for each in good],
        law.peak_s.value,
    )
    most_s = curve.greatest_within(goal.p99_ms)
    if most_s is None:
        return None
    replicas = math.ceil(goal.rps / most_s)
    load_s = goal.rps / replicas
    return _Sizing(replicas=replicas, per_replica_s=load_s, p99_ms=curve.at(load_s), cores=_cores_at(load_s, good))


def _cores_at(per_second: float, loads: Sequence[LoadStep]) -> float | None:
    known = [(each.offered_s or 0.0, each.cores) for each in loads if each.cores is not None]
    if not known:
        return None
    offered_n, cores_n = zip(*known, strict=True)
    return float(np.interp(per_second, (0.0, *offered_n), (0.0, *cores_n)))


def _autoscaling(sizing: _Sizing, capacity_s: float, memory_mib: int | None) -> Autoscaling | None:
    """One more replica when each takes more than planned; a container may have what a replica takes at its most."""
    if sizing.cores is None or memory_mib is None:
        return None
    request = math.ceil(sizing.cores / sizing.per_replica_s * capacity_s * 20) * 50
    return Autoscaling(
        min_replicas=max(SPARE_REPLICAS, sizing.replicas),
        max_replicas=max(SPARE_REPLICAS + 1, math.ceil(sizing.replicas * HEADROOM)),
        cpu_request_millicores=max(request, 50),
        cpu_utilisation_percent=max(1, min(95, round(100_000 * sizing.cores / max(request, 50)))),
        memory_mib=math.ceil(memory_mib * 1.25 / 64) * 64,
    )


def _saturated(replica: _Replica, last: LoadStep, seconds: float) -> Saturated:
    """What is used up with the most callers."""
    if replica.busy > FULL:
        return "load generator"
    available = machine.cores()
    cores = last.cores or 0.0
    if cores >= FULL * available and available > 1:
        return "processor"
    if cores >= FULL:
        return "interpreter" if available > 1 else "processor"
    return "disk" if replica.waits_for_disk > seconds / 4 else "waiting"


def _notes(law: Scalability, saturates: Saturated, starved: float) -> tuple[str, ...]:
    notes = [
        "measured on this machine: on another one, other numbers",
        "replicas share nothing: so many of them are taken to answer so many times the requests",
    ]
    if starved > STARVED:
        notes.append(f"others had the processor for {starved:.0%} of the replica's time: measure on a quiet machine")
    if law.misfit > MISFIT:
        notes.append(f"the law of scalability is off by {law.misfit:.0%} at one step: capacity and load are rough")
    if saturates == "load generator":
        notes.append("the load generator was at its limit: the capacity is at least what is said here")
    return tuple(notes)


def _cpu_s(pid: int) -> float | None:
    """Processor time of a process until now."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _disk_wait_s(pid: int) -> float:
    """For how long threads of a process have waited for the disk, where the system counts it."""
    total = 0
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            total += int(stat.read_text(encoding="utf-8").rpartition(")")[2].split()[39])
        except OSError:
            continue
    return total / os.sysconf("SC_CLK_TCK")


# --- training -----------------------------------------------------------------------------------


def _training(project: "Project") -> tuple[TrainingForecast, ...]:
    """Of a run like the last one; nothing where none has ended."""
    from bakeoff.loop.stored_outcome import last_outcome

    outcome = last_outcome(project.records, project.blobs)
    if outcome is None:
        return ()
    try:
        run = project.records.runs.get(outcome.run_id)
    except NotFoundError:
        return ()
    took_s = 0.0 if run.end_ms is None else (run.end_ms - run.start_ms) / 1000
    return training_forecast(outcome, took_s, project.config.cost.price_per_hour_usd)


def training_forecast(outcome: "RunOutcome", took_s: float, price_per_hour_usd: float) -> tuple[TrainingForecast, ...]:
    """Hours and price of the same run on 1 to 8 nodes, each with one fit at a time.

    Fits are spread over the nodes, the longest first; all else of the run is taken to stay as long as it was.
    Source: Graham, SIAM J. Applied Math. 17 (1969), of longest processing time first; Amdahl (1967), of the rest.
    """
    fits_s = sorted((each.train_s for each in outcome.fine if each.train_s), reverse=True)
    rest_s = max(took_s - sum(fits_s), 0.0)
    forecasts: list[TrainingForecast] = []
    for nodes in NODES:
        ends = [0.0] * nodes
        for fit_s in fits_s:
            ends[ends.index(min(ends))] += fit_s
        hours = (rest_s + max(ends)) / 3600
        forecasts.append(TrainingForecast(nodes=nodes, hours=hours, price_usd=hours * nodes * price_per_hour_usd))
    return tuple(forecasts)
