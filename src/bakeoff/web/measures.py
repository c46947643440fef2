"""Request counts and latencies of one app, in Prometheus' text format (version 0.0.4)."""

import bisect
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

__all__ = ["Measures"]

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FIRST_ERROR = 400


@dataclass(slots=True)
class _Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_S) + 1))
    sum_s: float = 0.0


class Measures:
    """Counts requests by route and status, and their durations by route."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._durations: dict[str, _Histogram] = {}

    def add(self, route: str, status: int, seconds: float) -> None:
        """Count one finished request. Routes must be few: give the pattern, never the path."""
        with self._lock:
            self._requests[route, status] += 1
            histogram = self._durations.setdefault(route, _Histogram())
            histogram.counts[bisect.bisect_left(BUCKETS_S, seconds)] += 1
            histogram.sum_s += seconds

    def text(self) -> str:
        """What is known of all requests, ending in a newline."""
        with self._lock:
            return "\n".join([*self._requests_lines(), *self._duration_lines()]) + "\n"

    def render(
        self,
        endpoint: str,
        model_version: str | None,
        *,
        ready: bool,
        violated: Mapping[tuple[str, str], int] | None = None,
        lacked: Mapping[tuple[str, str], int] | None = None,
    ) -> str:
        """All series, ending in a newline.

        `violated` counts violations of the contract by column and rule, `lacked` answered rows by what was wrong with
        their inputs and which.
        """
        with self._lock:
            lines = [*self._requests_lines(), *self._duration_lines()]
        labels = f'endpoint="{_escaped(endpoint)}",model_version="{_escaped(model_version or "")}"'
        lines += [
            "# HELP bakeoff_endpoint_ready Whether the endpoint can answer.",
            "# TYPE bakeoff_endpoint_ready gauge",
            f"bakeoff_endpoint_ready{{{labels}}} {int(ready)}",
        ]
        lines += _violation_lines(violated or {})
        lines += _lacked_lines(lacked or {})
        return "\n".join(lines) + "\n"

    def _requests_lines(self) -> Iterator[str]:
        yield "# HELP bakeoff_http_requests_total Requests by route and status."
        yield "# TYPE bakeoff_http_requests_total counter"
        for (route, status), count in sorted(self._requests.items()):
            yield f'bakeoff_http_requests_total{{route="{_escaped(route)}",status="{status}"}} {count}'
        yield "# HELP bakeoff_http_errors_total Requests answered with status 400 or more, by route."
        yield "# TYPE bakeoff_http_errors_total counter"
        errors: Counter[str] = Counter()
        for (route, status), count in self._requests.items():
            errors[route] += count if status >= FIRST_ERROR else 0
        for route, count in sorted(errors.items()):
            yield f'bakeoff_http_errors_total{{route="{_escaped(route)}"}} {count}'

    def _duration_lines(self) -> Iterator[str]:
        name = "bakeoff_http_request_duration_seconds"
        yield f"# HELP {name} Time from the first byte of a request to its answer."
        yield f"# TYPE {name} histogram"
        for route, histogram in sorted(self._durations.items()):
            label, total = f'route="{_escaped(route)}"', 0
            for limit, count in zip((*map(str, BUCKETS_S), "+Inf"), histogram.counts, strict=True):
                total += count
                yield f'{name}_bucket{{{label},le="{limit}"}} {total}'
            yield f"{name}_sum{{{label}}} {histogram.sum_s:.9g}"
            yield f"{name}_count{{{label}}} {total}"


def _violation_lines(violated: Mapping[tuple[str, str], int]) -> Iterator[str]:
    yield "# HELP bakeoff_contract_violations_total Violations of the released data contract by column and rule."
    yield "# TYPE bakeoff_contract_violations_total counter"
    for (column, rule), count in sorted(violated.items()):
        yield f'bakeoff_contract_violations_total{{column="{_escaped(column)}",rule="{_escaped(rule)}"}} {count}'


def _lacked_lines(lacked: Mapping[tuple[str, str], int]) -> Iterator[str]:
    name = "bakeoff_rows_lacking_inputs_total"
    yield f"# HELP {name} Answered rows with an input absent, imputed or of an unseen category, or with unknown keys."
    yield f"# TYPE {name} counter"
    for (lack, column), count in sorted(lacked.items()):
        yield f'{name}{{lack="{_escaped(lack)}",column="{_escaped(column)}"}} {count}'


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
