"""The project's endpoints: what is released on them, and the commands that change it."""

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from bakeoff.config.sections import ServedConfig
from bakeoff.core.errors import StoreError, UsageError
from bakeoff.core.markup import facts, notebook, table
from bakeoff.core.protocols import Clock
from bakeoff.core.releases import Endpoint, EndpointChange, Release
from bakeoff.core.threads import repeatedly
from bakeoff.core.types import Json
from bakeoff.project.gateways import upstream_name
from bakeoff.project.wiring import new_id
from bakeoff.security.audit import current_user
from bakeoff.serve.endpoints import Endpoints
from bakeoff.serve.releases import taking_part

if TYPE_CHECKING:
    from bakeoff.loop.rollout import Rollout, RolloutRules, Steerer
    from bakeoff.project.project import Project

__all__ = ["EndpointStatus", "ProjectEndpoints"]

STEER_S = 2.0
CHANGES = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointStatus:
    """An endpoint: what answers, how its rollouts stand, and its last changes, newest first.

    `routes` are the releases that take part, the live one first, with their role (`status`) and share; `upstreams` are
    the services that answer instead of releases, in the order in which they are asked.
    """

    name: str
    paused: bool
    routes: tuple[Release, ...]
    rollouts: "tuple[Rollout, ...]"
    changes: tuple[EndpointChange, ...]
    upstreams: tuple[str, ...] = ()

    @property
    def live(self) -> Release | None:
        """The release that answers, if there is one."""
        return next(iter(self.routes), None)

    @property
    def beside(self) -> tuple[str, ...]:
        """What answers a share of the calls beside the live release, as "canary films/2 (20%)"."""
        return tuple(f"{each.status} {each.model_version} ({each.percent})" for each in self.routes[1:])

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff endpoints show --json` has it."""
        return msgspec.to_builtins(self)

    def __repr__(self) -> str:
        parts = [f"{each.status} {each.model_version}" for each in self.routes]
        parts = parts or [f"asks {each}" for each in self.upstreams] or ["nothing released"]
        return f"EndpointStatus({self.name!r}, {', '.join(parts)}{', paused' if self.paused else ''})"

    def _repr_html_(self) -> str:
        routes = [(each.status, each.model_version, each.percent, each.release_id) for each in self.routes]
        return notebook(
            self.name,
            facts([("paused", "yes" if self.paused else None)]),
            table(("role", "model", "share", "release"), routes),
            *(facts([(each.role, each.reason)]) for each in self.rollouts),
        )


class ProjectEndpoints:
    """The endpoints of a project, as `project.endpoints`.

    A model is named by its version ("name/2", "2"), an alias, a candidate of the last run, or the id of a release.
    Where no endpoint is named, the project's own is meant. Each change stands in the endpoint's history with who made
    it and why, and `undo` takes it back. What is live on the project's own endpoint is the champion.

    Changes raise `NotFoundError` when there is no such endpoint or model, and `ConflictError` when somebody else
    changed the endpoint meanwhile.
    """

    def __init__(
        self,
        project: "Project",
        *,
        clock: Clock,
        candidates: Callable[[], Mapping[str, str]],
        who: str | None = None,
    ) -> None:
        self._project, self._clock, self._candidates, self._who = project, clock, candidates, who

    def __repr__(self) -> str:
        return f"ProjectEndpoints({', '.join(map(repr, self._changing.names))})"

    @property
    def _changing(self) -> Endpoints:
        return Endpoints(
            self._project.records.documents,
            self._clock,
            who=self._who or current_user(),
            beside=self._project.audit.endpoint_moved,
        )

    def by(self, who: str) -> "ProjectEndpoints":
        """The same, where the history names somebody else than the user of this process.

        Example:
            >>> project.endpoints.by("ana").release("boosting").changes[0].who
            'ana'
        """
        return ProjectEndpoints(self._project, clock=self._clock, candidates=self._candidates, who=who)

    def all(self) -> list[EndpointStatus]:
        """Every endpoint that was released on or created, or that services answer; the evidence `show` reads.

        Example:
            >>> project.endpoints.all()
            [EndpointStatus('films', live films/1)]
        """
        released = [self._status(self._changing.get(name)) for name in self._changing.names if not self._services(name)]
        return released + [self._of_services(name) for name in self._project.config.endpoints if self._services(name)]

    def show(self, endpoint: str | None = None) -> EndpointStatus:
        """What answers on an endpoint, the evidence about releases beside the live one, and how much more it takes.

        Example:
            >>> status = project.endpoints.show()
            >>> status.live.model_version, status.rollouts, status.changes[0].what
            ('films/1', (), 'release')
        """
        name = self._name(endpoint)
        if self._services(name):
            return self._of_services(name)
        of = self._changing.get(name)
        return self._status(of, tuple(self._steerer.look(of)) if of.others else ())

    def _status(self, of: Endpoint, rollouts: "tuple[Rollout, ...]" = ()) -> EndpointStatus:
        return EndpointStatus(
            name=of.name,
            paused=of.paused,
            routes=taking_part(self._project.records.documents, of),
            rollouts=rollouts,
            changes=tuple(self._changing.changes(of.name)[:CHANGES]),
        )

    def _services(self, name: str) -> tuple[str, ...]:
        """The services that answer on an endpoint, if any do."""
        return tuple(upstream_name(each) for each in self._settings(name).upstreams)

    def _of_services(self, name: str) -> EndpointStatus:
        return EndpointStatus(
            name=name, paused=False, routes=(), rollouts=(), changes=(), upstreams=self._services(name)
        )

    def create(self, endpoint: str, *, why: str = "") -> EndpointStatus:
        """Make an endpoint that nothing is released on yet; a server that runs serves it from now on.

        Example:
            >>> project.endpoints.create("films-by-mail")
            EndpointStatus('films-by-mail', nothing released)
        """
        self._changing.create(endpoint, why=why)
        return self.show(endpoint)

    def release(self, model: str, *, endpoint: str | None = None, why: str = "") -> EndpointStatus:
        """Let a model answer everything on an endpoint, at once.

        Example:
            >>> _ = project.endpoints.create("films-by-mail")
            >>> project.endpoints.release("champion", endpoint="films-by-mail").live.model_version
            'films/1'
        """
        name = self._name(endpoint)
        ready = self._ready(name, model)
        return self._after(name, lambda changing: changing.release(name, ready.release_id, why=why))

    def canary(
        self, model: str, *, share: float | None = None, endpoint: str | None = None, why: str = ""
    ) -> EndpointStatus:
        """Let a model answer a share of the calls, by default `canary_share`; the evidence decides how it goes on.

        Example:
            >>> project.endpoints.canary("boosting", share=0.2)
            EndpointStatus('films', live films/1, canary films/2)
        """
        name = self._name(endpoint)
        ready, part = self._ready(name, model), self._settings(name).canary_share if share is None else share
        return self._after(name, lambda changing: changing.canary(name, ready.release_id, share=part, why=why))

    def shadow(self, model: str, *, share: float = 1.0, endpoint: str | None = None, why: str = "") -> EndpointStatus:
        """Let a model answer copies of a share of the calls, for nobody; when shown to be no worse, it is a canary.

        Example:
            >>> project.endpoints.shadow("boosting")
            EndpointStatus('films', live films/1, shadow films/2)
        """
        name = self._name(endpoint)
        ready = self._ready(name, model)
        return self._after(name, lambda changing: changing.shadow(name, ready.release_id, share=share, why=why))

    def promote(self, endpoint: str | None = None, *, why: str = "") -> EndpointStatus:
        """Let the canary (or the shadow) answer everything now, whatever the evidence.

        Example:
            >>> _ = project.endpoints.canary("boosting")
            >>> project.endpoints.promote()
            EndpointStatus('films', live films/2)
        """
        name = self._name(endpoint)
        return self._after(name, lambda changing: changing.promote(name, why=why))

    def rollback(self, endpoint: str | None = None, *, why: str = "") -> EndpointStatus:
        """End the canary and the shadow; where there are none, go back to what was live before.

        Example:
            >>> _ = project.endpoints.release("boosting")
            >>> project.endpoints.rollback(why="complaints")
            EndpointStatus('films', live films/1)
        """
        name = self._name(endpoint)
        return self._after(name, lambda changing: changing.rollback(name, why=why))

    def pause(self, endpoint: str | None = None, *, why: str = "") -> EndpointStatus:
        """Let the live release answer everything, and decide nothing, until `resume`.

        Example:
            >>> project.endpoints.pause()
            EndpointStatus('films', live films/1, paused)
        """
        name = self._name(endpoint)
        return self._after(name, lambda changing: changing.pause(name, why=why))

    def resume(self, endpoint: str | None = None, *, why: str = "") -> EndpointStatus:
        """Go on after `pause`.

        Example:
            >>> _ = project.endpoints.pause()
            >>> project.endpoints.resume()
            EndpointStatus('films', live films/1)
        """
        name = self._name(endpoint)
        return self._after(name, lambda changing: changing.resume(name, why=why))

    def undo(self, endpoint: str | None = None, *, why: str = "") -> EndpointStatus:
        """Bring back the routes that were there before the last change, whatever it was.

        Example:
            >>> _ = project.endpoints.release("boosting")
            >>> project.endpoints.undo()
            EndpointStatus('films', live films/1)
            >>> project.endpoints.undo()
            EndpointStatus('films', live films/2)
        """
        name = self._name(endpoint)
        return self._after(name, lambda changing: changing.undo(name, why=why))

    def steer(self) -> "list[Rollout]":
        """Look at all rollouts once, and promote or roll back what the evidence says; a server does so by itself.

        Nothing is done, and nothing given, while another steerer has the lease (`steered_until_ms`).

        Example:
            >>> project.endpoints.steer()
            []
        """
        try:
            return self._steerer.steer()
        finally:
            self._leave()

    @property
    def steered_until_ms(self) -> int | None:
        """Until when another steerer, as that of a server, has the lease; None where none has.

        Example:
            >>> project.endpoints.steered_until_ms is None
            True
        """
        return self._steerer.other_until_ms()

    @contextmanager
    def steering(self, every_s: float = STEER_S) -> Generator[None]:
        """Have a thread look at all rollouts again and again; what goes wrong in it is logged, and it goes on.

        Example:
            >>> with project.endpoints.steering():
            ...     answer = project.predict([{"review": "great film", "year": 1999}])
        """
        steerer = self._steerer
        try:
            with repeatedly(
                lambda _: steerer.steer(),
                every_s=every_s,
                name="steerer",
                logger=logger,
                complaint="rollouts were not looked at",
            ):
                yield
        finally:
            self._leave()

    def _leave(self) -> None:
        """Give the lease back; where that cannot be done, it ends by itself."""
        try:
            self._steerer.leave()
        except StoreError as error:
            logger.warning("the lease of the steerer was not given back: %s", error)

    @cached_property
    def _steerer(self) -> "Steerer":
        from bakeoff.loop.challenger import settle
        from bakeoff.loop.rollout import Steerer

        project = self._project
        return Steerer(
            project.records.documents,
            project.events,
            clock=self._clock,
            truth_of=project.truth_of,
            rules=self._rules,
            holder=new_id(),
            settle=lambda: settle(project.records, project.config.project.name, project.endpoint),
            promoted=self._follow_live,
        )

    def _rules(self, name: str) -> "RolloutRules":
        from bakeoff.loop.rollout import RolloutRules
        from bakeoff.metrics.names import MetricName
        from bakeoff.metrics.registry import default, definitions

        settings, config = self._settings(name), self._project.config
        task = config.project.task
        metric = definitions(task).get(MetricName.parse(config.decide.metric or default(task)).base)
        gate = config.decide.gates.get("latency_p95_ms")
        allowed = [config.monitor.latency_p95_ms, gate.max if gate else None]
        return RolloutRules(
            calls=settings.canary_calls,
            share=settings.canary_share,
            errors=config.monitor.error_share,
            # A drop of a metric that is no share of answers says nothing of how many more may be wrong.
            quality=config.monitor.quality_drop if metric is not None and metric.share else RolloutRules().quality,
            accepted_ms=max([each for each in allowed if each is not None], default=0.0),
            logged=settings.log != "off",
        )

    def _settings(self, name: str) -> ServedConfig:
        return self._project.served(name)

    def _name(self, endpoint: str | None) -> str:
        return self._project.endpoint if endpoint is None else endpoint

    def _ready(self, name: str, model: str) -> Release:
        from bakeoff.actions.release import ready

        if self._services(name):
            raise UsageError(
                f"expected an endpoint that releases answer, received {name!r}, which services answer "
                f"([endpoints.{name}] upstreams): take those away, or release on another endpoint"
            )
        if name != self._project.endpoint and name not in self._project.config.endpoints:
            self._changing.get(name)  # a misspelt name makes no endpoint
        return ready(self._project, name, model, candidates=self._candidates(), clock=self._clock)

    def _after(self, name: str, change: Callable[[Endpoints], Endpoint]) -> EndpointStatus:
        change(self._changing)
        self._follow_live(name)
        return self.show(name)

    def _follow_live(self, name: str) -> None:
        """What is live on the project's own endpoint is the champion."""
        from bakeoff.loop.challenger import follow_live

        if name == self._project.endpoint:
            follow_live(self._project.records, self._project.config.project.name, name)
