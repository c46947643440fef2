"""Advice as programs, notebooks and `--json` have it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from bakeoff.actions.advise_facts import DataFacts
from bakeoff.config.sections import Gate
from bakeoff.core.markup import facts, notebook, table
from bakeoff.core.types import Json, Task
from bakeoff.environment.hardware import Hardware
from bakeoff.metrics.intervals import Interval
from bakeoff.results.search import Expected, PastAdvice

if TYPE_CHECKING:
    from bakeoff.evaluate.advise.advice import Option
    from bakeoff.evaluate.advise.whole_run import WholeRun

__all__ = ["Advice"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What to try on this data and machine, and why; `options` stand in the order in which to try them.

    `rows` are those of training and validation, on which a run would fit, `probe_s` the seconds that were spent. `run`
    is what the whole run takes (None: not all of its candidates could be probed), `past` how good earlier advice was,
    and `compared` this advice beside what the last run measured.
    """

    project: str
    task: Task
    metric: str
    dataset: str
    rows: int
    made_ms: int
    probe_s: float
    data: DataFacts
    hardware: Hardware
    limits: Mapping[str, Gate]
    remote_allowed: bool
    options: "tuple[Option, ...]"
    run: "WholeRun | None" = None
    past: tuple[PastAdvice, ...] = ()
    compared: tuple[Expected, ...] = ()

    def option(self, name: str) -> "Option | None":
        """The candidate or family of that name, if there is one."""
        return next((each for each in self.options if each.name == name), None)

    def __repr__(self) -> str:
        first = ", ".join(each.name for each in self.options if each.call == "try first") or "nothing that is sure"
        return f"Advice({self.project!r}: try first {first}; {len(self.options)} options)"

    def _repr_html_(self) -> str:
        rows: list[list[object]] = []
        for each in self.options:
            expected = each.expected(self.metric)
            quality, train, latency = (expected.get(name) for name in (self.metric, "train_s", "latency_p95_ms"))
            rows.append([each.call, each.name, quality and quality.value, quality and quality.ends(".3f")])
            rows[-1] += [train and train.value, latency and latency.value, "; ".join(each.reasons)]
        head = "", "candidate", f"expected {self.metric}", "95% interval", "train s", "p95 ms", "because"
        run = self.run
        about = [
            ("training rows", self.rows),
            ("machine", f"{self.hardware.cores} cores, {self.hardware.memory_bytes / 2**30:.0f} GiB"),
            ("the whole run", run and f"about {run.seconds.value:.0f} s {run.seconds.ends('.0f')}"),
        ]
        return notebook(f"{self.project}: what to try", table(head, rows), facts(about))

    def to_json(self) -> dict[str, Json]:
        """What `bakeoff advise --json` prints."""
        run = self.run
        return {
            "project": self.project,
            "task": self.task,
            "metric": self.metric,
            "dataset": self.dataset,
            "rows": self.rows,
            "made_ms": self.made_ms,
            "probe_s": self.probe_s,
            "data": self.data.to_json(),
            "hardware": msgspec.to_builtins(self.hardware),
            "limits": {name: gate.model_dump() for name, gate in self.limits.items()},
            "remote_allowed": self.remote_allowed,
            "options": [_option(each, self.metric) for each in self.options],
            "run": run and {"seconds": _interval(run.seconds), "memory_bytes": _interval(run.memory_bytes)},
            "past": msgspec.to_builtins(list(self.past)),
            "compared": msgspec.to_builtins(list(self.compared)),
        }


def _option(option: "Option", metric: str) -> dict[str, Json]:
    return {
        "name": option.name,
        "family": option.family,
        "named": option.named,
        "call": option.call,
        "reasons": list(option.reasons),
        "evidence": list(option.evidence),
        "trouble": option.trouble,
        "expected": {name: _interval(each) for name, each in option.expected(metric).items()},
        "points": msgspec.to_builtins(list(option.points)),
    }


def _interval(interval: Interval) -> dict[str, Json]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}
