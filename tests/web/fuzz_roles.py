"""Malformed requests to both servers from callers of each role: no 5xx, and nothing done that the role may not do.

    python -m tests.web.fuzz_roles 1000       # requests of each role; --seed N for others

Requests are made by schemathesis from documents of all routes, pages and sign-in among them; half are against the
document, some carry ids of things that are there. What a caller may, the route says that the router finds for a path:
who may not, gets 401 (without a token) or 403, or is told what is wrong with the request, and never what was asked for.
"""

import argparse
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

from starlette.routing import Match, Route
from tests.web.serving.conftest import EchoModel, SignModel
from tests.web.tracking import fuzz

from bakeoff.core.principals import ROLES, Principal
from bakeoff.core.releases import Release
from bakeoff.feedback.record import record
from bakeoff.project import wiring
from bakeoff.project.fine_tuning import ProjectFineTuning
from bakeoff.security.roles import Roles
from bakeoff.security.tokens import AccessTokens
from bakeoff.serve.engine import Engine
from bakeoff.serve.plane import DataPlane
from bakeoff.testing.memory import MemoryEvents
from bakeoff.web import openapi
from bakeoff.web.auth import TokenAuthenticator
from bakeoff.web.pages.app import Pages
from bakeoff.web.permissions import permission_of
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.serving.app import create_app
from bakeoff.web.sign_in import SignIn
from bakeoff.web.tracking import openapi as tracking_openapi
from bakeoff.web.tracking.app import create_tracking_app

NOBODY = "nobody"
TURNED_AWAY = {400, 401, 403, 404, 405, 413, 415, 421, 422}
MODELS = {"signs": SignModel, "talk": EchoModel}


@dataclass
class Faults:
    """What was answered to each role by status, and what should not have been."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)


class World:
    """Both servers, asking who calls, over a folder with one of each thing; a token for each role."""

    def __init__(self, folder: Path) -> None:
        self._made = fuzz.World(folder)
        self._opened = ExitStack()
        self._opened.callback(self._made.close)
        tracking = self._made.tracking
        self.records, self.ids = tracking.records, self._made.ids
        documents = self.records.documents
        tokens, sessions = (
            AccessTokens(documents, Roles({}), wiring.now_ms, kind=kind) for kind in ("token", "session")
        )
        authenticator, hosts = TokenAuthenticator(tokens, sessions), local_hosts("127.0.0.1")
        self.tokens: dict[str, str | None] = {
            role: tokens.create(role, roles=[role], scopes=())[1] for role in ROLES
        } | {NOBODY: None}
        pages = [*Pages(tracking).routes(), *SignIn(sessions=sessions, tokens=tokens).routes()]
        self.apps = {
            "tracking": create_tracking_app(tracking, authenticator=authenticator, pages=pages, hosts=hosts),
            "serving": self._serving(authenticator, hosts),
        }
        routes = {name: [each for each in app.routes if isinstance(each, Route)] for name, app in self.apps.items()}
        self.operations = {
            "tracking": fuzz.operations_of(tracking_openapi.document(routes["tracking"], "1")),
            "serving": fuzz.operations_of(openapi.document(routes["serving"])),
        }
        self.servers = {name: self._opened.enter_context(Server(app)) for name, app in self.apps.items()}

    def close(self) -> None:
        self._opened.close()

    def _serving(self, authenticator, hosts):
        events = self.events = MemoryEvents(wiring.now_ms)

        def engine(name):
            model = MODELS[name]()
            release = Release(release_id=f"r-{name}", endpoint=name, model=name, number=1, family="f", blob_id="b")
            return Engine(
                name,
                load=lambda _: model,
                routes=lambda: [release],
                prepare=lambda table, *_: table,
                events=events,
                clock=wiring.now_ms,
            )

        tracking = self._made.tracking
        config = SimpleNamespace(project=SimpleNamespace(seed=0), candidates={})
        project = SimpleNamespace(records=tracking.records, blobs=tracking.blobs, config=config)
        return create_app(
            DataPlane.of(*map(engine, MODELS)),
            lambda items, **within: record(events, items, **within),
            authenticator=authenticator,
            hosts=hosts,
            fine_tuning=ProjectFineTuning(project, wiring.now_ms, nullcontext),
        )

    def permission(self, app: str, method: str, path: str) -> str | None:
        """What the route that takes a request needs; None where there is none."""
        scope = {"type": "http", "method": method, "path": unquote(path), "root_path": "", "headers": []}
        routes = (each for each in self.apps[app].routes if isinstance(each, Route))
        taken = (each for each in routes if each.matches(scope)[0] is Match.FULL)
        route = next(taken, None)
        return None if route is None else permission_of(route.endpoint)

    def fuzzed(self, role: str, app: str, count: int, number: int, faults: Faults) -> None:
        """So many requests of a role to a server."""
        text, server = self.tokens[role], self.servers[app]
        headers: Mapping[str, str] = {"origin": server.url} | (
            {} if text is None else {"authorization": f"Bearer {text}"}
        )
        statuses = faults.statuses.setdefault(role, Counter())

        def send(case) -> None:
            answer = case.call(base_url=server.url, headers=headers, timeout=30, allow_redirects=False)
            statuses[answer.status_code] += 1
            needed = self.permission(app, case.method.upper(), urlsplit(answer.request.url).path)
            principal = Principal(name=role, permissions=ROLES.get(role, frozenset()))
            allowed = needed is None or principal.may(needed)
            line = f"{role} {app} {needed}: {answer.status_code} {case.as_curl_command()[:600]} {answer.text[:200]}"
            if answer.status_code >= 500:
                faults.errors.append(line)
            elif not allowed and answer.status_code not in TURNED_AWAY:
                faults.leaks.append(line)

        fuzz.requests(self.operations[app], count, number, self.ids, send)


def fuzzed(world: World, count: int, number: int) -> Faults:
    """So many requests of each role, a quarter of them to the server of endpoints."""
    faults = Faults()
    for role in world.tokens:
        world.fuzzed(role, "tracking", count - count // 4, number, faults)
        world.fuzzed(role, "serving", count // 4, number, faults)
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requests", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        try:
            faults = fuzzed(world, given.requests, given.seed)
        finally:
            world.close()
    for role, statuses in faults.statuses.items():
        print(f"{role}: {statuses.total()} requests, by status {dict(sorted(statuses.items()))}")
    print("\n".join([*faults.errors[:20], *faults.leaks[:20]]))
    print(f"{len(faults.errors)} answers with a 5xx, {len(faults.leaks)} that the role may not have")
    sys.exit(bool(faults.errors or faults.leaks))


if __name__ == "__main__":
    main()
