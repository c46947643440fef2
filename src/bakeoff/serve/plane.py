"""The data plane: the endpoints that one process serves, by name. Every protocol only translates to it."""

import logging
from collections.abc import Callable, Collection, Mapping
from threading import Lock
from types import MappingProxyType

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.plugins import suggestion
from bakeoff.serve.engine import Engine
from bakeoff.serve.gateway.gateway import Gateway

__all__ = ["DataPlane"]

FOLLOW_MS = 200

logger = logging.getLogger(__name__)


class DataPlane:
    """Engines by the name of their endpoint; safe to call from many threads.

    Args:
        default: the endpoint that answers where a request names none.
        names: the endpoints that there are; cheap, as they may be made while this one serves.
        make: an engine for one of them; called once for each, when it is first wanted.
        gateways: those that services answer, by name; they have no engine.
    """

    def __init__(
        self,
        default: str,
        names: Callable[[], Collection[str]],
        make: Callable[[str], Engine],
        gateways: Mapping[str, Gateway] = MappingProxyType({}),
    ) -> None:
        self.default, self._names, self._make, self.gateways = default, names, make, gateways
        self._engines: dict[str, Engine] = {}
        self._making = Lock()
        self._problems: dict[str, str] = {}
        self._last: tuple[str, ...] = ()
        self._unsure = False

    @classmethod
    def of(cls, *engines: Engine) -> "DataPlane":
        """A plane of these engines alone; the first is the default."""
        by_name = {engine.endpoint: engine for engine in engines}
        return cls(engines[0].endpoint, lambda: by_name, by_name.__getitem__)

    @property
    def names(self) -> tuple[str, ...]:
        """The endpoints that there are, the default first.

        While the records are being looked at, or do not answer, those that there were: whoever asks for health, in the
        one thread that answers all, must not wait for a database.
        """
        return self._last if self._unsure and self._last else self._look()

    def _look(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([self.default, *self._names(), *self.gateways]))

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines of all endpoints that have one, the default first."""
        return tuple(self.engine(name) for name in self.names if name not in self.gateways)

    def is_served(self, name: str) -> bool:
        """Whether an endpoint is to answer: a project that stands before services alone never releases on its own."""
        return not self.gateways or name in self.gateways or name != self.default or not self.engine(name).is_empty

    @property
    def ready(self) -> bool:
        """Whether every endpoint that is served answers."""
        return all(engine.health().ready for engine in self.engines if self.is_served(engine.endpoint))

    def engine(self, name: str | None = None) -> Engine:
        """The engine of an endpoint, or of the default one.

        Raises:
            NotFoundError: there is no such endpoint. UsageError: services answer it.
        """
        name = self.default if name is None else name
        if name in self.gateways:
            raise UsageError(
                f"expected an endpoint with a release, received {name!r}, which services answer ([endpoints.{name}] "
                "upstreams): ask it by /v1/chat/completions, completions, responses, messages or embeddings"
            )
        engine = self._engines.get(name)
        if engine is not None:
            return engine
        with self._making:
            if name not in self.names and name not in self._look():
                hint = suggestion(name, self.names)
                raise NotFoundError(
                    f"expected endpoint {' or '.join(map(repr, self.names))}, received {name[:80]!r}"
                    + (f". {hint}" if hint else "")
                )
            return self._engines.setdefault(name, self._engines.get(name) or self._make(name))

    def followed(self) -> tuple[str, ...]:
        """The endpoints to be looked at; while the records cannot say which there are, those that have an engine."""
        try:
            self._unsure = True
            self._last = self._look()
            self._unsure = False
            return tuple(name for name in self._last if name not in self.gateways)
        except Exception as error:  # noqa: BLE001 - it is logged, and what is served goes on
            self._log("", f"cannot read which endpoints there are: {error}")
            return (self.default, *self._engines)

    def follow(self, name: str) -> None:
        """Have an endpoint's engine look at its routes, unless it has just done so; what goes wrong is logged.

        Called four times a second, this keeps calls from ever having to: none then waits for a model to be loaded.
        """
        try:
            self.engine(name).refresh_if_due(after_ms=FOLLOW_MS)
        except Exception as error:  # noqa: BLE001 - it is logged, and the next look may do better
            self._log(name, f"endpoint {name!r} cannot be looked at: {error}")
        else:
            self._problems.pop(name, None)

    def _log(self, of: str, problem: str) -> None:
        """Log a problem once, however often it is met."""
        if self._problems.get(of) != problem:
            self._problems[of] = problem
            logger.warning(problem)

    def refresh_if_due(self) -> None:
        """Have every engine look at its routes, one after the other, as `follow` does."""
        for name in self.followed():
            self.follow(name)
