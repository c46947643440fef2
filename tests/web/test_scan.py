"""Every route of both servers as a scanner would look at it: its headers, and texts of attacks in all that it reads."""

import re
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient
from tests.web.scans import PAYLOADS, faults
from tests.web.test_auth import World

from bakeoff.stores.blobs import open_blobs
from bakeoff.web import auth
from bakeoff.web.tracking.app import CALLS

BODY = ("model", "prompt", "input", "name", "training_file", "version", "id", "label", "content", "system", "stop")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blobs")
    return World(folder, open_blobs("file://blobs", folder=folder, clock=lambda: 1_000_000))


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(auth, "STEP_S", 0.001)


def requests(routes, fill):
    """Each route's method and path, with this text in the place of its names."""
    for route in routes:
        if route.path.startswith("/ajax-api/"):
            continue  # as those of /api/
        path = re.sub(r"{[^}]*}", lambda _: fill, route.path)
        for method in sorted(route.methods):
            yield method, path


@pytest.mark.parametrize("app", ["serving", "tracking"])
def test_no_route_answers_anybody_without_the_headers_that_browsers_go_by(world, app):
    wrong, count = [], 0
    with TestClient(world.apps[app], raise_server_exceptions=False, follow_redirects=False) as client:
        for method, path in [*requests(world.apps[app].routes, "x"), ("GET", "/nowhere"), ("GET", "/.git/config")]:
            for token in (world.texts["admin"], None):
                headers = {"accept": "text/html", "origin": "http://testserver"}
                headers |= {} if token is None else {"authorization": f"Bearer {token}"}
                answer = client.request(method, path, headers=headers)
                count += 1
                wrong += [(each, method, path, answer.status_code) for each in faults(answer)]
        for method in ("TRACE", "OPTIONS", "PROPFIND", "CONNECT"):  # 90028
            answer = client.request(method, "/", headers={"authorization": f"Bearer {world.texts['admin']}"})
            assert (answer.status_code, faults(answer)) == (405, [])
    assert wrong == []
    assert count > 100


@pytest.mark.parametrize("payload", PAYLOADS)
def test_texts_of_attacks_in_what_mlflows_protocol_reads(world, payload):
    """Paths, arguments and bodies of every operation: refused or stored as text, and nothing is told by an error."""
    wrong = []
    with TestClient(world.apps["tracking"], raise_server_exceptions=False, follow_redirects=False) as client:
        headers = {"authorization": f"Bearer {world.texts['admin']}", "accept": "text/html"}
        for call in CALLS:
            texts = {
                name: [payload] if want.shape in {"texts", "list"} else payload for name, want in call.takes.items()
            }
            path = re.sub(r"{[^}]*}", lambda _: quote(payload, safe=""), f"/api/{call.path}")
            more = {"params": texts} if call.method == "GET" else {"json": texts}
            answer = client.request(call.method, path, headers=headers, **more)
            wrong += [(each, call.path, answer.text[:300]) for each in faults(answer, sent=payload)]
    assert wrong == []


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("app", ["serving", "tracking"])
def test_texts_of_attacks_in_paths_queries_headers_and_bodies(world, app, payload):
    wrong, text = [], payload.encode("ascii", "ignore").decode().replace("\r\n", " ").replace("\0", "")
    messages = [{"role": "user", "content": payload}]
    body = {
        **dict.fromkeys(BODY, payload),
        "messages": messages,
        "row": {payload: payload},
        "rows": [{payload: payload}],
    }
    query = dict.fromkeys(("page", "filter", "order", "after", "limit", "next", "q"), payload)
    with TestClient(world.apps[app], raise_server_exceptions=False, follow_redirects=False) as client:
        headers = {"authorization": f"Bearer {world.texts['admin']}", "origin": "http://testserver"}
        headers |= dict.fromkeys(("user-agent", "accept-language", "x-request-id", "referer", "cookie"), text)
        for method, path in requests(world.apps[app].routes, quote(payload, safe="")):
            if path.startswith("/api/"):
                continue  # the test above
            more = {} if method in {"GET", "HEAD"} else {"json": body}
            answer = client.request(method, path, params=query, headers=headers, **more)
            wrong += [(each, method, path[:80], answer.text[:300]) for each in faults(answer, sent=payload)]
    assert wrong == []
