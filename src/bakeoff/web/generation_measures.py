"""What is measured of answers that come piece by piece, under the names that vLLM gives to its metrics.

So that dashboards and scalers that are made for it read ours. `model_name` is the endpoint.
Source: vLLM's documentation, "Production Metrics".
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager

from bakeoff.core.generation import Piece
from bakeoff.web.measures import DurationHistogram

__all__ = ["GenerationMeasures", "generation_lines"]

FIRST_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
WHOLE_S = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
ABORTED = "abort"


class GenerationMeasures:
    """Of one endpoint; safe to use from many threads.

    Args:
        waiting: how many calls wait for their turn.
        timer: seconds.
    """

    def __init__(self, waiting: Callable[[], int], timer: Callable[[], float] = time.perf_counter) -> None:
        self._waiting, self._timer, self._lock = waiting, timer, threading.Lock()
        self._running = 0
        self._prompt = self._written = self._cached = 0
        self._ends: Counter[str] = Counter()
        self._first, self._whole = DurationHistogram(FIRST_S), DurationHistogram(WHOLE_S)

    def measured(self, pieces: Generator[Piece]) -> Generator[Piece]:
        """The same pieces, measured as they come."""
        began, first, end = self._timer(), False, ABORTED
        with self._lock:
            self._running += 1
        try:
            with closing(pieces):
                for piece in pieces:
                    if not first and (piece.text or piece.calls):
                        first = True
                        with self._lock:
                            self._first.add(self._timer() - began)
                    if piece.finish is not None:
                        end = piece.finish
                        with self._lock:
                            self._prompt += piece.prompt_tokens
                            self._written += piece.completion_tokens
                            self._cached += piece.cached_tokens
                    yield piece
        finally:
            with self._lock:
                self._running -= 1
                self._ends[end] += 1
                self._whole.add(self._timer() - began)

    @contextmanager
    def relayed(self) -> "Generator[_Relayed]":
        """The same of an answer that goes through as it is: what it notes of itself counts when it ends."""
        began, answer = self._timer(), _Relayed(self._timer)
        with self._lock:
            self._running += 1
        try:
            yield answer
        finally:
            with self._lock:
                self._running -= 1
                self._ends[answer.end] += 1
                self._whole.add(self._timer() - began)
                if answer.first is not None:
                    self._first.add(answer.first - began)
                read, written, cached = answer.tokens
                self._prompt += read
                self._written += written
                self._cached += cached

    def series(self, label: str) -> Mapping[str, list[str]]:
        """The lines of each metric by its name; `label` is the endpoint's."""
        waiting = self._waiting()
        with self._lock:
            ends = sorted(self._ends.items())
            return {
                "vllm:num_requests_running": [f"{{{label}}} {self._running}"],
                "vllm:num_requests_waiting": [f"{{{label}}} {waiting}"],
                "vllm:prompt_tokens_total": [f"{{{label}}} {self._prompt}"],
                "vllm:generation_tokens_total": [f"{{{label}}} {self._written}"],
                "vllm:prompt_tokens_cached_total": [f"{{{label}}} {self._cached}"],
                "vllm:request_success_total": [f'{{{label},finished_reason="{end}"}} {count}' for end, count in ends],
                "vllm:time_to_first_token_seconds": list(self._first.lines("", label)),
                "vllm:e2e_request_latency_seconds": list(self._whole.lines("", label)),
            }


class _Relayed:
    """An answer that goes through: when its first part came, what it used, how it ended."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self.first: float | None = None
        self.tokens, self.end = (0, 0, 0), ABORTED

    def begin(self) -> None:
        """Its first part is there."""
        self.first = self._timer()

    def finish(self, tokens: tuple[int, int, int]) -> None:
        """It is whole."""
        self.tokens, self.end = tokens, "stop"


METRICS: Mapping[str, tuple[str, str]] = {
    "vllm:num_requests_running": ("gauge", "Answers that the model works at."),
    "vllm:num_requests_waiting": ("gauge", "Calls that wait for their turn."),
    "vllm:prompt_tokens_total": ("counter", "Tokens of prompts."),
    "vllm:generation_tokens_total": ("counter", "Tokens of answers."),
    "vllm:prompt_tokens_cached_total": ("counter", "Tokens of prompts that the model had from an earlier one."),
    "vllm:request_success_total": ("counter", "Answers that ended, by why."),
    "vllm:time_to_first_token_seconds": ("histogram", "Time until an answer began."),
    "vllm:e2e_request_latency_seconds": ("histogram", "Time until an answer ended."),
}


def generation_lines(measures: Mapping[str, GenerationMeasures]) -> Iterator[str]:
    """The text of all endpoints that have any, by the endpoint's name as a label's value."""
    series = [each.series(f'model_name="{endpoint}"') for endpoint, each in sorted(measures.items())]
    if not series:
        return
    for name, (kind, meaning) in METRICS.items():
        yield f"# HELP {name} {meaning}"
        yield f"# TYPE {name} {kind}"
        for each in series:
            yield from (f"{name}{line}" for line in each[name])
