"""Follows an endpoint's routes: loads what they name, and lets go of what they name no more.

Who looks first loads what is new; the others go on with what there is meanwhile. Any failure leaves what serves in
place.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bakeoff.core.abilities import abilities_of
from bakeoff.core.errors import BakeoffError, CandidateError, DataError, NotFoundError
from bakeoff.core.protocols import Clock, Model
from bakeoff.core.releases import Release
from bakeoff.serve.runtime import Runtime

__all__ = ["POLL_MS", "Follower", "LoadedRoutes"]

POLL_MS = 500
RETRY_MS = 10_000
STUCK_MS = 5_000

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedRoutes:
    """The live runtime, and the routes with the runtimes of those that could be loaded, by release."""

    live: Runtime
    routes: Sequence[Release]
    runtimes: Mapping[str, Runtime]


@dataclass(frozen=True, slots=True)
class _Unloadable:
    """Why a release could not be loaded, and when that was."""

    error: Exception
    time_ms: int


class Follower:
    """The runtimes of an endpoint's routes; safe to call from many threads.

    Args:
        endpoint: its name.
        routes: the releases that take part, the live one first.
        load: reads the model of a release.
        make: a runtime of a release and its model.
        clock: milliseconds since the epoch.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        routes: Callable[[], Sequence[Release]],
        load: Callable[[Release], Model],
        make: Callable[[Release, Model], Runtime],
        clock: Clock,
    ) -> None:
        self._endpoint = endpoint
        self._routes, self._load, self._make, self._clock = routes, load, make, clock
        self.loaded: LoadedRoutes | None = None
        """What serves now; None before the first release."""
        self.problem: str | None = None
        """What is wrong with the routes, or with a release that they name."""
        self.is_empty = False
        """Whether a look found that nothing is released."""
        self._unloadable: dict[str, _Unloadable] = {}
        self._refreshing = threading.Lock()
        self._polled_ms: int | None = None

    def current(self) -> LoadedRoutes:
        """What serves now, looked at anew when that is due.

        Raises:
            NotFoundError: nothing is released on the endpoint, or nothing that works.
        """
        self.refresh_if_due()
        if self.loaded is None:
            self.refresh()
        if self.loaded is None:
            raise NotFoundError(
                f"expected a release on endpoint {self._endpoint!r}, found none"
                + (f" that works: {self.problem}" if self.problem else "; run 'bakeoff run' to make one")
            )
        return self.loaded

    def runtime_of(self, loaded: LoadedRoutes, route: Release) -> Runtime:
        """The runtime of a route beside the live one.

        Raises:
            CandidateError: it could not be loaded.
        """
        runtime = loaded.runtimes.get(route.release_id)
        if runtime is not None:
            return runtime
        failed = self._unloadable.get(route.release_id)
        raise CandidateError(
            f"model {route.model_version} could not be loaded: {failed.error if failed else 'it is loaded no more'}"
        )

    def refresh(self) -> None:
        """Look at the routes now and load what they name; waits for a look that is under way."""
        with self._refreshing:
            self._follow()

    def refresh_if_due(self, *, after_ms: int = POLL_MS) -> None:
        """Look at the routes unless that was done in the last half second (or `after_ms`), or is being done."""
        if self._is_due(after_ms) and self._refreshing.acquire(blocking=False):
            try:
                self._follow()
            finally:
                self._refreshing.release()

    def _is_due(self, after_ms: int) -> bool:
        # A clock that was set back (or replays the past) must not stop the looking.
        return self._polled_ms is None or not 0 <= self._clock() - self._polled_ms < after_ms

    def stuck(self) -> str | None:
        """What there is to say of a look at the routes that does not end."""
        if not self._refreshing.locked() or self._polled_ms is None:
            return None
        waiting_ms = self._clock() - self._polled_ms
        if waiting_ms <= STUCK_MS:
            return None
        return f"the records have not answered, or a release is loading, for {waiting_ms / 1e3:.0f} s"

    def _follow(self) -> None:
        """One look at the routes; any failure leaves what serves in place and stands in `health`."""
        self._polled_ms = self._clock()
        try:
            routes = list(self._routes())
        except Exception as error:  # noqa: BLE001 - it is kept as the problem, and logged
            self.problem = f"cannot read the endpoint's routes: {error}"
            _log_problem(self.problem, error)
            return
        self.is_empty = not routes
        wanted, named = routes, {route.release_id for route in routes}
        self._unloadable = {name: each for name, each in self._unloadable.items() if name in named}
        if routes:
            before = self.loaded.runtimes if self.loaded else {}
            live = self._loaded(routes[0], before)
            if live is None and self.loaded is not None:  # what was live before goes on, alone
                live = self.loaded.live
                routes = [live.release]
            if live is not None:
                beside = {route.release_id: self._loaded(route, before, beside=live) for route in routes[1:]}
                runtimes = {name: runtime for name, runtime in beside.items() if runtime is not None}
                self.loaded = LoadedRoutes(live, routes, {routes[0].release_id: live} | runtimes)
        problems = [
            f"cannot load release {route.release_id} ({route.model_version}): {failed.error}"
            for route in wanted
            if (failed := self._unloadable.get(route.release_id)) is not None
        ]
        self.problem = "; ".join(problems) or None

    def _loaded(
        self, route: Release, before: Mapping[str, Runtime], *, beside: Runtime | None = None
    ) -> Runtime | None:
        """The runtime of a route, loaded now if it is not; None where that cannot be done."""
        known = before.get(route.release_id)
        if known is not None:  # its model stays, whatever it does now
            return known if known.release.status == route.status else known.with_release(route)
        failed = self._unloadable.get(route.release_id)
        if failed is not None and 0 <= self._clock() - failed.time_ms < RETRY_MS:
            return None
        try:
            model = self._load(route)
            if beside is not None:
                _require_same_task(model, beside.model)
            if warm := abilities_of(model).warm:
                warm()  # what served before answers meanwhile, and stays if this fails
            runtime = self._make(route, model)
        except Exception as error:  # noqa: BLE001 - it is kept as the problem, and logged
            self._unloadable[route.release_id] = _Unloadable(error, self._clock())
            _log_problem(f"cannot load release {route.release_id} ({route.model_version}): {error}", error)
            return None
        self._unloadable.pop(route.release_id, None)
        return runtime


def _require_same_task(model: Model, live: Model) -> None:
    if model.signature.task != live.signature.task:
        raise DataError(
            f"expected a model for {live.signature.task}, as the live one is, received one for {model.signature.task}"
        )


def _log_problem(problem: str, error: Exception) -> None:
    """Errors raised on purpose say all there is to say; of others the traceback is wanted."""
    logger.warning(problem, exc_info=None if isinstance(error, BakeoffError) else error)
