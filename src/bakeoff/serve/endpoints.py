"""Changes of endpoints: which releases answer, with what share; each is one compare-and-swap, and in the history."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from bakeoff.config.sections import NAME_PATTERN
from bakeoff.core.errors import ConflictError, NotFoundError, UsageError
from bakeoff.core.plugins import suggestion
from bakeoff.core.protocols import Clock, DocumentRecords
from bakeoff.core.releases import Endpoint, EndpointChange, Release, Role, Route
from bakeoff.serve.releases import release_of, routed
from bakeoff.serve.routes import Beside, changes_of, endpoint_of, move, names_of

__all__ = ["Endpoints"]

LONGEST = 80


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints of a project's records, to be changed by somebody.

    Every change raises `ConflictError` when somebody else moved the endpoint meanwhile, and `NotFoundError` when there
    is no such endpoint or release. `undo` takes the last one back.

    Args:
        documents: the records.
        clock: milliseconds since the epoch.
        who: whom the history names.
        beside: makes what is written together with a change: its record in the audit log.
    """

    documents: DocumentRecords
    clock: Clock
    who: str
    beside: Beside = lambda _: ()

    @property
    def names(self) -> tuple[str, ...]:
        """Those that were released on or created, sorted."""
        return names_of(self.documents)

    def get(self, name: str) -> Endpoint:
        """The endpoint as it is.

        Raises:
            NotFoundError: there is none of this name.
        """
        endpoint = endpoint_of(self.documents, name)
        if endpoint is None:
            hint = suggestion(name, self.names)
            raise NotFoundError(
                f"expected an endpoint {' or '.join(map(repr, self.names)) or '(there is none yet)'}, found none "
                f"called {name!r}. {hint or 'bakeoff endpoints create makes one, and bakeoff run that of the project'}"
            )
        return endpoint

    def routed(self, name: str) -> tuple[Release, ...]:
        """The releases that take part, the live one first."""
        return routed(self.documents, name)

    def changes(self, name: str) -> list[EndpointChange]:
        """The history of the endpoint, newest first."""
        return changes_of(self.documents, name)

    def create(self, name: str, *, why: str = "") -> Endpoint:
        """Make an endpoint that nothing is released on yet; when there is one, nothing happens."""
        before = endpoint_of(self.documents, name)
        return before or self._moved(_new(name), "create", why, lambda endpoint: endpoint)

    def release(self, name: str, release_id: str, *, why: str = "") -> Endpoint:
        """Let this release answer everything from now on."""

        def alone(before: Endpoint) -> Endpoint:
            previous = before.live if before.live != release_id else before.previous
            return before.with_live(release_id, previous=previous)

        release_of(self.documents, name, release_id)
        return self._moved(endpoint_of(self.documents, name) or _new(name), "release", why, alone)

    def canary(
        self,
        name: str,
        release_id: str,
        *,
        share: float,
        why: str = "",
        takes_over: bool = False,
        revision: int | None = None,
    ) -> Endpoint:
        """Let this release answer a share of the traffic; one that is a canary already gets this share.

        Args:
            name: the endpoint.
            release_id: which release.
            share: over 0, and at most 1.
            why: for the history.
            takes_over: whether it takes the place of another canary.
            revision: of the endpoint as it was looked at; of another one nothing is changed.

        Raises:
            UsageError: the share is none, or the release is the live one.
            ConflictError: another release is a canary.
        """
        change = self._aside(name, release_id, "canary", share, takes_over=takes_over)
        return self._moved(self._seen(name, revision), "canary", why, change)

    def shadow(
        self, name: str, release_id: str, *, share: float = 1.0, why: str = "", takes_over: bool = False
    ) -> Endpoint:
        """Give this release copies of a share of the traffic; nobody gets its answers. Else as `canary`."""
        change = self._aside(name, release_id, "shadow", share, takes_over=takes_over)
        return self._moved(self.get(name), "shadow", why, change)

    def promote(
        self, name: str, release_id: str | None = None, *, why: str = "", revision: int | None = None
    ) -> Endpoint:
        """Let the canary (where there is none, the shadow) answer everything.

        Args:
            name: the endpoint.
            release_id: which release it is expected to be.
            why: for the history.
            revision: of the endpoint as it was looked at; of another one nothing is changed.

        Raises:
            ConflictError: it is another one, or there is none.
        """

        def promoted(before: Endpoint) -> Endpoint:
            route = before.other("canary") or before.other("shadow")
            if route is None or release_id not in (None, route.release_id):
                raise ConflictError(
                    f"expected {release_id or 'a canary or a shadow'} beside the live release of endpoint {name!r}, "
                    f"found {route.release_id if route else 'none'}; 'bakeoff endpoints show {name}' tells the routes"
                )
            return before.with_live(route.release_id, previous=before.live)

        return self._moved(self._seen(name, revision), "promote", why, promoted)

    def rollback(self, name: str, *, why: str = "") -> Endpoint:
        """End the canary and the shadow; where there are none, go back to the release that was live before.

        Raises:
            NotFoundError: there is no such endpoint, nothing is live, or nothing was live before it.
        """

        def back(before: Endpoint) -> Endpoint:
            if before.others:
                return replace(before, others=(), paused=False)
            if before.live is None:
                raise NotFoundError(f"expected a release on endpoint {name!r}, found none; release a model first")
            live = release_of(self.documents, name, before.live)
            earlier = before.previous or live.previous
            if earlier is None:
                raise NotFoundError(
                    f"expected an earlier release on endpoint {name!r}, but {live.release_id!r} "
                    f"({live.model_version}) is its first; release another model version instead"
                )
            release_of(self.documents, name, earlier)
            return before.with_live(earlier, previous=None)

        return self._moved(self.get(name), "rollback", why, back)

    def end(self, name: str, release_id: str, *, why: str = "", revision: int | None = None) -> Endpoint:
        """Take a canary or a shadow away; nothing happens when the release is none any more."""
        return self._moved(self._seen(name, revision), "end", why, lambda before: before.without(release_id))

    def pause(self, name: str, *, why: str = "") -> Endpoint:
        """Let the live release answer everything, and decide nothing, until `resume`."""
        return self._moved(self.get(name), "pause", why, lambda before: replace(before, paused=True))

    def resume(self, name: str, *, why: str = "") -> Endpoint:
        """Go on after `pause`."""
        return self._moved(self.get(name), "resume", why, lambda before: replace(before, paused=False))

    def undo(self, name: str, *, why: str = "") -> Endpoint:
        """Bring back the routes that were there before the last change, whatever it was; twice is as before.

        What comes back beside the live release begins anew: the evidence that ended it would end it again.

        Raises:
            NotFoundError: the endpoint has no change to take back.
        """
        last = next(iter(self.changes(name)), None)
        current = self.get(name)
        if last is None or last.after.to_json() != current.to_json():
            raise NotFoundError(
                f"expected the last change of endpoint {name!r} in its history, found another state: something moved "
                "it that keeps no history; 'bakeoff endpoints release' makes the release live that you want"
            )
        if last.before.live is None and current.live:
            raise NotFoundError(
                f"expected a change of endpoint {name!r} to take back, found none: what serves is its first release"
            )

        def restored(now: Endpoint) -> Endpoint:
            going_on = {(now.live, route.release_id, route.role) for route in now.others}
            others = tuple(
                route
                if (last.before.live, route.release_id, route.role) in going_on
                else replace(route, since_ms=self.clock())
                for route in last.before.others
            )
            return replace(last.before, others=others, revision=now.revision)

        return self._moved(current, "undo", why, restored)

    def _seen(self, name: str, revision: int | None) -> Endpoint:
        """The endpoint, if it is the one that was looked at.

        Raises:
            ConflictError: it is another one by now.
        """
        endpoint = self.get(name)
        if revision not in (None, endpoint.revision):
            raise ConflictError(
                f"expected endpoint {name!r} as after its change {revision}, when it was looked at, but somebody else "
                f"made change {endpoint.revision}; look at what serves now, then try again"
            )
        return endpoint

    def _aside(
        self, name: str, release_id: str, role: Role, share: float, *, takes_over: bool
    ) -> Callable[[Endpoint], Endpoint]:
        """The change that gives a release this role."""
        if not 0 < share <= 1:
            raise UsageError(f"expected a share over 0 and at most 1 for a {role}, received {share!r}")
        release_of(self.documents, name, release_id)

        def beside(before: Endpoint) -> Endpoint:
            if before.live is None or before.live == release_id:
                problem = "it is live already" if before.live else "nothing is live yet"
                raise UsageError(
                    f"expected a release beside the live one of endpoint {name!r} as {role}, received "
                    f"{release_id!r}: {problem}; 'bakeoff endpoints release' makes a release live"
                )
            other = before.other(role)
            again = other is not None and other.release_id == release_id
            if other is not None and not again and not takes_over:
                raise ConflictError(
                    f"expected no other {role} on endpoint {name!r}, found {other.release_id!r}; promote it or end it "
                    "('bakeoff endpoints rollback') first"
                )
            since_ms = other.since_ms if other is not None and again else self.clock()
            return before.with_route(Route(release_id=release_id, role=role, share=share, since_ms=since_ms))

        return beside

    def _moved(self, before: Endpoint, what: str, why: str, edit: Callable[[Endpoint], Endpoint]) -> Endpoint:
        change = EndpointChange(
            endpoint=before.name,
            what=what,
            who=self.who,
            why=why,
            time_ms=self.clock(),
            before=before,
            after=edit(before),
        )
        return move(self.documents, change, self.beside)


def _new(name: str) -> Endpoint:
    """An endpoint that is yet to be written.

    Raises:
        UsageError: an endpoint cannot be called so.
    """
    if len(name) > LONGEST or re.fullmatch(NAME_PATTERN, name) is None:
        raise UsageError(
            f"expected an endpoint's name of at most {LONGEST} small letters, digits, '-', '_' and '.', received "
            f"{name[:LONGEST]!r}"
        )
    return Endpoint(name=name)
