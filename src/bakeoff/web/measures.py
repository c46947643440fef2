"""Request counts and latencies of one app, in Prometheus' text format (version 0.0.4)."""

import bisect
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["DurationHistogram", "EndpointMeasures", "Measures", "escaped"]

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FIRST_ERROR = 400
_NUMBERS = (
    ("lost_log_records_total", "lost_log_records", "counter", "Records that the prediction log could not take."),
    ("running_batches", "running", "gauge", "Batches of rows that are computed in threads."),
    ("waiting_calls", "waiting", "gauge", "Calls with rows that wait for a thread."),
    ("refused_calls_total", "refused", "counter", "Calls that could not be answered in time."),
)
"""Metrics of an endpoint: their names, the attributes of `EndpointMeasures`, their kinds, what they mean."""


class DurationHistogram:
    """Counts of durations up to limits, in seconds; as Prometheus has them."""

    def __init__(self, limits_s: Sequence[float]) -> None:
        self._limits_s, self._counts, self._sum_s = limits_s, [0] * (len(limits_s) + 1), 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect.bisect_left(self._limits_s, seconds)] += 1
        self._sum_s += seconds

    def lines(self, name: str, label: str) -> Iterator[str]:
        """The series of a metric with a label."""
        total = 0
        for limit, count in zip((*map(str, self._limits_s), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{{label},le="{limit}"}} {total}'
        yield f"{name}_sum{{{label}}} {self._sum_s:.9g}"
        yield f"{name}_count{{{label}}} {total}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointMeasures:
    """What is measured of one endpoint.

    `violated` counts violations of the contract by column and rule, `lacked` answered rows by what was wrong with their
    inputs and which. Of calls that need a thread, `running` are batches, `waiting` are calls, and `refused` those that
    could not be answered in time.
    """

    endpoint: str
    model_version: str | None
    ready: bool
    violated: Mapping[tuple[str, str], int]
    lacked: Mapping[tuple[str, str], int]
    lost_log_records: int = 0
    running: int = 0
    waiting: int = 0
    refused: int = 0


class Measures:
    """Counts requests by route and status, and their durations by route."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._durations: dict[str, DurationHistogram] = {}

    def add(self, route: str, status: int, seconds: float) -> None:
        """Count one finished request. Routes must be few: give the pattern, never the path."""
        with self._lock:
            self._requests[route, status] += 1
            histogram = self._durations.get(route)
            if histogram is None:
                histogram = self._durations[route] = DurationHistogram(BUCKETS_S)
            histogram.add(seconds)

    def text(self) -> str:
        """What is known of all requests, ending in a newline."""
        with self._lock:
            return "\n".join([*self._requests_lines(), *self._duration_lines()]) + "\n"

    def render(self, endpoints: Sequence[EndpointMeasures]) -> str:
        """All series, ending in a newline."""
        lines = [self.text().removesuffix("\n")]
        lines += [
            "# HELP bakeoff_endpoint_ready Whether the endpoint can answer.",
            "# TYPE bakeoff_endpoint_ready gauge",
        ]
        for each in endpoints:
            labels = f'endpoint="{escaped(each.endpoint)}",model_version="{escaped(each.model_version or "")}"'
            lines.append(f"bakeoff_endpoint_ready{{{labels}}} {int(each.ready)}")
        for name, attribute, kind, meaning in _NUMBERS:
            lines += [f"# HELP bakeoff_{name} {meaning}", f"# TYPE bakeoff_{name} {kind}"]
            lines += [f'bakeoff_{name}{{endpoint="{escaped(e.endpoint)}"}} {getattr(e, attribute)}' for e in endpoints]
        lines += _violation_lines(endpoints)
        lines += _lacked_lines(endpoints)
        return "\n".join(lines) + "\n"

    def _requests_lines(self) -> Iterator[str]:
        yield "# HELP bakeoff_http_requests_total Requests by route and status."
        yield "# TYPE bakeoff_http_requests_total counter"
        for (route, status), count in sorted(self._requests.items()):
            yield f'bakeoff_http_requests_total{{route="{escaped(route)}",status="{status}"}} {count}'
        yield "# HELP bakeoff_http_errors_total Requests answered with status 400 or more, by route."
        yield "# TYPE bakeoff_http_errors_total counter"
        errors: Counter[str] = Counter()
        for (route, status), count in self._requests.items():
            errors[route] += count if status >= FIRST_ERROR else 0
        for route, count in sorted(errors.items()):
            yield f'bakeoff_http_errors_total{{route="{escaped(route)}"}} {count}'

    def _duration_lines(self) -> Iterator[str]:
        name = "bakeoff_http_request_duration_seconds"
        yield f"# HELP {name} Time from the first byte of a request to its answer."
        yield f"# TYPE {name} histogram"
        for route, histogram in sorted(self._durations.items()):
            yield from histogram.lines(name, f'route="{escaped(route)}"')


def _violation_lines(endpoints: Sequence[EndpointMeasures]) -> Iterator[str]:
    name = "bakeoff_contract_violations_total"
    yield f"# HELP {name} Violations of the released data contract by column and rule."
    yield f"# TYPE {name} counter"
    for each in endpoints:
        for (column, rule), count in sorted(each.violated.items()):
            labels = f'endpoint="{escaped(each.endpoint)}",column="{escaped(column)}",rule="{escaped(rule)}"'
            yield f"{name}{{{labels}}} {count}"


def _lacked_lines(endpoints: Sequence[EndpointMeasures]) -> Iterator[str]:
    name = "bakeoff_rows_lacking_inputs_total"
    yield f"# HELP {name} Answered rows with an input absent, imputed or of an unseen category, or with unknown keys."
    yield f"# TYPE {name} counter"
    for each in endpoints:
        for (lack, column), count in sorted(each.lacked.items()):
            labels = f'endpoint="{escaped(each.endpoint)}",lack="{escaped(lack)}",column="{escaped(column)}"'
            yield f"{name}{{{labels}}} {count}"


def escaped(value: str) -> str:
    """A label's value as the format has it."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
