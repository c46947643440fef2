"""What is served and how it does: an index, health, metrics."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import chain

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bakeoff.core.errors import BakeoffError
from bakeoff.core.types import Json
from bakeoff.serve.engine import Engine
from bakeoff.serve.gateway.gateway import Gateway
from bakeoff.web.gateway_measures import gateway_lines
from bakeoff.web.generation_measures import generation_lines
from bakeoff.web.measures import EndpointMeasures
from bakeoff.web.permissions import permission
from bakeoff.web.problems import JsonResponse
from bakeoff.web.serving.context import Serving
from bakeoff.web.worker_measures import WorkerMeasures

__all__ = ["HealthRoutes"]

_logger = logging.getLogger("bakeoff.serving")

SIGNALS_S = 1.0
"""So long `/metrics` waits for the records."""
_EXAMPLES: dict[str, Json] = {
    "text": "some text",
    "categorical": "a",
    "numeric": 1.5,
    "datetime": "2026-01-31T12:00:00",
    "boolean": True,
}


class HealthRoutes:
    """Handlers of `/`, `/health` and `/metrics`."""

    def __init__(
        self,
        serving: Serving,
        signals: Callable[[Sequence[str]], str] = lambda _: "",
        workers: WorkerMeasures | None = None,
    ) -> None:
        self._serving, self._signals, self._workers = serving, signals, workers
        if workers is not None:
            workers.render = lambda: self._measured(serving.plane.names)

    @property
    def routes(self) -> list[Route]:
        """What is served."""
        return [
            Route("/", self.index),
            Route("/endpoints/{name}", self.index),
            Route("/health/live", self.live),
            Route("/health/ready", self.ready),
            Route("/metrics", self.metrics),
        ]

    @permission("public")
    async def live(self, _request: Request) -> Response:
        """200 as long as the process answers."""
        return JsonResponse({"status": "live"})

    @permission("public")
    async def ready(self, _request: Request) -> Response:
        """200 when every endpoint answers, else 503; the body says with what, and how many records the log has lost.

        At the top stands the default endpoint, the others in `endpoints`; where callers are asked who they are, only
        whether it is ready.
        """
        plane = self._serving.plane
        healths = {
            engine.endpoint: asdict(engine.health()) for engine in plane.engines if plane.is_served(engine.endpoint)
        }
        healths |= {name: _gateway_health(each) for name, each in plane.gateways.items()}
        body = {
            **healths.get(plane.default, {}),
            "ready": all(each["ready"] for each in healths.values()),
            "endpoints": healths,
        }
        shown = {"ready": body["ready"]} if self._serving.guarded else body
        return JsonResponse(shown, status_code=200 if body["ready"] else 503)

    @permission("read")
    async def metrics(self, request: Request) -> Response:
        """Counts and durations of all workers, for Prometheus, and the newest signals of monitoring."""
        names = self._serving.names(request)
        text = self._measured(names)
        if self._workers is not None:
            text = await asyncio.to_thread(self._workers.together, text, names)
        text += await self._signals_of(names)
        return PlainTextResponse(text, headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    def _measured(self, names: Sequence[str]) -> str:
        """What this process measured of these endpoints."""
        gateways = self._serving.plane.gateways
        engines = [self._serving.plane.engine(name) for name in names if name not in gateways]
        text = self._serving.measures.render([self._measures(engine) for engine in engines])
        generations = {name: each for name, each in list(self._serving.generations.items()) if name in names}
        relayed = [gateway for name, gateway in gateways.items() if name in names]
        return text + "".join(f"{line}\n" for line in chain(generation_lines(generations), gateway_lines(relayed)))

    async def _signals_of(self, names: Sequence[str]) -> str:
        """Nothing while the records do not answer: all else that is measured is known without them."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(self._signals, names), SIGNALS_S)
        except (BakeoffError, TimeoutError) as error:
            _logger.info("the signals of monitoring are left out of /metrics: %s", error or "no answer yet")
            return ""

    def _measures(self, engine: Engine) -> EndpointMeasures:
        health = engine.health()
        running, waiting, refused = self._serving.depth(engine.endpoint)
        return EndpointMeasures(
            endpoint=engine.endpoint,
            model_version=health.model_version,
            ready=health.ready,
            violated=engine.violated,
            lacked=engine.lacked,
            lost_log_records=health.lost_log_records,
            running=running,
            waiting=waiting,
            refused=refused,
        )

    @permission("list")
    async def index(self, request: Request) -> Response:
        """The endpoint, what a row must hold, and an example of a call."""
        plane, others = self._serving.plane, self._serving.names(request)
        if request.url.path == "/" and (plane.default in plane.gateways or not plane.is_served(plane.default)):
            return JsonResponse({"endpoints": [name for name in others if plane.is_served(name)]})
        engine = self._serving.of_path(request)
        signature = await self._serving.in_thread(lambda: engine.signature)
        health = engine.health()
        example = {column.name: _EXAMPLES[column.kind] for column in signature.inputs}
        body = msgspec.json.encode({"rows": [example]}).decode()
        path = "predict" if engine.endpoint == self._serving.plane.default else f"predict/{engine.endpoint}"
        return JsonResponse(
            {
                "endpoint": engine.endpoint,
                "model_version": health.model_version,
                "release_id": health.release_id,
                "task": signature.task,
                "classes": signature.classes,
                "inputs": [
                    {"name": column.name, "kind": column.kind, "dtype": column.dtype} for column in signature.inputs
                ],
                "example": f"curl {request.base_url}{path} --json '{body}'",
                "endpoints": others,
            }
        )


def _gateway_health(gateway: Gateway) -> dict[str, Json]:
    """An endpoint that services answer is ready while it can log: that they are down is not this server's fault."""
    blocked = gateway.recorder.blocked()
    upstreams: list[Json] = [
        {"name": each.name, "resting": each.resting() is not None, "problem": each.problem}
        for each in gateway.upstreams
    ]
    problem = blocked or gateway.recorder.problem
    return {
        "ready": blocked is None,
        "problem": problem,
        "lost_log_records": gateway.recorder.lost,
        "upstreams": upstreams,
    }
