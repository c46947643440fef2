"""What clients of Triton ask about models beside the Open Inference Protocol: index, configuration, statistics.

Models come and go by releases here, not by a caller's word: loading and unloading is refused, with what to do instead.

Source: Triton's protocol extensions, github.com/triton-inference-server/server/tree/main/docs/protocol
(extension_model_repository, extension_model_configuration, extension_statistics).
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter_ns, time_ns

from bakeoff.core.types import Json
from bakeoff.serve.engine import Engine
from bakeoff.web.problems import HttpError
from bakeoff.web.serving.bodies import shown
from bakeoff.web.serving.tensors import BYTES, input_tensors, output_tensors

__all__ = ["InferenceCounts", "index_entry", "model_config", "statistics", "steered"]


@dataclass(slots=True)
class InferenceCounts:
    """Calls of one endpoint by this protocol over REST since the process began; used on the loop's thread."""

    calls: int = 0
    rows: int = 0
    ns: int = 0
    failed: int = 0
    failed_ns: int = 0
    last_ms: int = 0

    @contextmanager
    def call(self) -> Generator[Callable[[int], None]]:
        """Count a call when it ends; what it gives takes the number of its rows."""
        began, rows = perf_counter_ns(), 0

        def answered(count: int) -> None:
            nonlocal rows
            rows = count

        try:
            yield answered
        except BaseException:
            self.failed += 1
            self.failed_ns += perf_counter_ns() - began
            raise
        self.calls += 1
        self.rows += rows
        self.ns += perf_counter_ns() - began
        self.last_ms = time_ns() // 1_000_000


def index_entry(engine: Engine, version: str) -> dict[str, Json]:
    """An endpoint as a model of the index; why it is not ready, if so."""
    health = engine.health()
    entry: dict[str, Json] = {"name": engine.endpoint, "version": version}
    return entry | ({"state": "READY"} if health.ready else {"state": "UNAVAILABLE", "reason": health.problem or ""})


def model_config(engine: Engine) -> dict[str, Json]:
    """How an endpoint's model is served, in the words of Triton's `ModelConfig`.

    Shapes are whole ones, with the number of rows first: there is no limit of rows to name as `max_batch_size`.

    Raises:
        NotFoundError: nothing is released on it.
    """
    signature = engine.signature
    described = {"input": input_tensors(signature), "output": output_tensors(signature)}
    tensors: dict[str, Json] = {
        side: [
            {"name": name, "data_type": f"TYPE_{'STRING' if kind == BYTES else kind}", "dims": list(shape)}
            for name, kind, shape in listed
        ]
        for side, listed in described.items()
    }
    head: dict[str, Json] = {"name": engine.endpoint, "platform": "bakeoff", "backend": "bakeoff"}
    return head | {"version_policy": {"latest": {"num_versions": 1}}, "max_batch_size": 0} | tensors


def statistics(engine: Engine, version: str, counts: InferenceCounts) -> dict[str, Json]:
    """What was counted of an endpoint; times that are not taken (waiting, reading, writing) are left out."""
    return {
        "name": engine.endpoint,
        "version": version,
        "last_inference": counts.last_ms,
        "inference_count": counts.rows,
        "execution_count": counts.calls,
        "inference_stats": {
            "success": {"count": counts.calls, "ns": counts.ns},
            "fail": {"count": counts.failed, "ns": counts.failed_ns},
        },
        "batch_stats": [],
    }


def steered(endpoint: str, wish: str) -> HttpError:
    """Why no model is loaded or unloaded by a caller."""
    commands = (
        f"'bakeoff endpoints release MODEL --endpoint {endpoint}' or 'bakeoff endpoints rollback --endpoint {endpoint}'"
    )
    problem = f"expected no {shown(wish)}: releases decide which model an endpoint serves; use {commands}"
    return HttpError(400, "BadRequest", problem, code="unsupported_operation")
