"""What callers may call the endpoints: each knows those within its reach alone. Every protocol looks them up here."""

from collections.abc import Sequence

from bakeoff.core.principals import Principal
from bakeoff.serve.engine import Engine
from bakeoff.serve.gateway.gateway import Gateway
from bakeoff.serve.plane import DataPlane
from bakeoff.web.problems import HttpError
from bakeoff.web.serving.bodies import shown

__all__ = ["Names"]

ANY_NAME = "*"


class Names:
    """The names of a plane's endpoints.

    Args:
        plane: the endpoints.
        aliases: what the default endpoint may be called beside its name; "*" for whatever callers like.
    """

    def __init__(self, plane: DataPlane, aliases: Sequence[str] = ()) -> None:
        self._plane, self._aliases = plane, tuple(aliases)

    def endpoints(self, principal: Principal) -> tuple[str, ...]:
        """The endpoints that the caller may know of, the default first."""
        return tuple(name for name in self._plane.names if principal.reaches("endpoint", name))

    def models(self, principal: Principal) -> list[str]:
        """What the caller may name as its model: these endpoints, and the default one by its other names."""
        known = [name for name in self.endpoints(principal) if self._plane.is_served(name)]
        aliases = self._aliases if self._plane.default in known else ()
        return list(dict.fromkeys([*known, *(name for name in aliases if name != ANY_NAME)]))

    def gateway(self, principal: Principal, name: str | None) -> Gateway | None:
        """The endpoint of this name, if services answer it and the caller may know of it."""
        gateway = self._plane.gateways.get(name or "")
        return gateway if gateway is not None and principal.reaches("endpoint", gateway.endpoint) else None

    def engine(self, principal: Principal, name: str | None) -> Engine:
        """The endpoint that a caller names as its model, or the default one; a version means where it is live.

        Raises:
            HttpError: there is no such endpoint, or the caller may not know of it (404).
        """
        known = self.endpoints(principal)
        if name in known:
            return self._plane.engine(name)
        engines = (self._plane.engine(each) for each in known if name and each not in self._plane.gateways)
        live = next((each for each in engines if each.model_version == name), None)
        if live is not None:
            return live
        if self._plane.default in known and (name in {None, "", *self._aliases} or ANY_NAME in self._aliases):
            return self._plane.engine()
        names = " or ".join(map(repr, self.models(principal))) or "(none is yours)"
        problem = f"expected model {names}, received {shown(name)}; [endpoint] model_names can allow it other names"
        raise HttpError(404, "NotFoundError", problem, "model", "model_not_found")
