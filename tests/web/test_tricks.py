"""What is tried at a server that asks who calls: its host, its redirects, its headers, its paths, its cookies.

Each is sent as it stands, over a socket: clients would mend most of it. Guessing, fixation, forged forms and sign-in
are in `test_sign_in.py`; ways out of folders in `tracking/fuzz.py`.
"""

import socket
from urllib.parse import urlsplit

import pytest

pytest.importorskip("schemathesis")

from tests.web import fuzz_roles

from bakeoff.core.events import PredictionEvent
from bakeoff.core.queries import Query
from bakeoff.web.permissions import permission_of
from bakeoff.web.sessions import local_target

EVIL = "evil.example"
CREATE = "/api/2.0/mlflow/experiments/create"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = fuzz_roles.World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


class Answer:
    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = [tuple(line.split(": ", 1)) for line in lines]

    def of(self, name):
        return [value for each, value in self.headers if each.lower() == name]


def sent(server, method, target, *headers, host=None, body=b""):
    """One request, byte for byte."""
    lines = [f"{method} {target} HTTP/1.1", *([] if host == "" else [f"Host: {host or f'127.0.0.1:{server.port}'}"])]
    lines += [*headers, "Connection: close", f"Content-Length: {len(body)}"]
    with socket.create_connection((server.host, server.port), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        data = b""
        while part := connection.recv(65536):
            data += part
    return Answer(data)


def bearer(world, role):
    return f"Authorization: Bearer {world.tokens[role]}"


HOSTS = [
    EVIL, f"127.0.0.1.{EVIL}", f"127.0.0.1@{EVIL}", f"{EVIL}@127.0.0.1", f"{EVIL}#127.0.0.1", f"{EVIL}/127.0.0.1",
    f"{EVIL}?localhost", f"127.0.0.1:80@{EVIL}", f"localhost\t{EVIL}", f"localhost, {EVIL}", f"{EVIL}:80", "[::ffff:1]",
    f"\\{EVIL}", "0.0.0.0", "127.1", "2130706433", "",
]  # fmt: skip


@pytest.mark.parametrize("name", ["tracking", "serving"])
def test_no_name_of_another_host_is_answered_or_said_again(world, name):
    server = world.servers[name]
    for host in HOSTS:
        answer = sent(server, "GET", "/health", bearer(world, "admin"), host=host)
        assert answer.status in {400, 421}, (host, answer.status)
        assert EVIL.encode() not in b"".join(f"{each}".encode() for each in answer.headers)
    host = f"Host: 127.0.0.1:{server.port}"
    for first, second in ((host, f"Host: {EVIL}"), (f"Host: {EVIL}", host)):
        answer = sent(server, "GET", "/", bearer(world, "admin"), first, second, host="")
        assert answer.status == 400 or EVIL not in str(answer.headers), (first, answer.headers)
    for header in ("X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Server"):
        value = f"host={EVIL}" if header == "Forwarded" else f"/sign-in/{EVIL}" if "URL" in header else EVIL
        for path in ("/", "//runs", "/nowhere"):
            answer = sent(server, "GET", path, "Accept: text/html", f"{header}: {value}")
            assert EVIL.encode() not in answer.body
            assert EVIL not in str(answer.headers)


REDIRECTS = [
    f"//{EVIL}", f"//{EVIL}//", f"///{EVIL}", f"/\\{EVIL}", f"//{EVIL}/%2e%2e", f"/%2f{EVIL}", f"/%5c{EVIL}//",
    f"//%09/{EVIL}", f"/.//{EVIL}", f"/x//{EVIL}", f"http://{EVIL}//x", f"//{EVIL}@127.0.0.1//",
    "/%0d%0aLocation:%20x//",
]  # fmt: skip


def test_no_redirect_leads_to_another_site(world):
    server = world.servers["tracking"]
    here = f"127.0.0.1:{server.port}"
    seen = 0
    for target in REDIRECTS:
        for headers in ((), (bearer(world, "viewer"),), ("Accept: text/html", "Sec-Fetch-Dest: document")):
            answer = sent(server, "GET", target, *headers)
            assert answer.status < 500
            for location in answer.of("location"):
                seen += 1
                parts = urlsplit(location)
                assert parts.netloc in {"", here}, (target, location)
                assert parts.netloc or local_target(location) == location, (target, location)
        form = f"name=x&password={world.tokens['viewer']}&next={target}".encode()
        origin, kind = f"Origin: http://{here}", "Content-Type: application/x-www-form-urlencoded"
        answer = sent(server, "POST", "/sign-in", origin, kind, body=form)
        (location,) = answer.of("location")
        assert answer.status == 303
        assert local_target(location) == location, (target, location)
    assert seen > 5


PLANTED = "Set-Cookie: planted=1"
INJECTED = ["%0d%0a" + PLANTED.replace(" ", "%20"), "%0a" + PLANTED, "%E5%98%8A%E5%98%8D" + PLANTED, "\u560a" + PLANTED]
INJECTED += [f"x%22%3b{PLANTED}", f"%00{PLANTED}", f"x%0d%0a%0d%0a<script>{PLANTED}"]


def test_no_text_of_a_request_becomes_a_header(world):
    server, run = world.servers["tracking"], world.ids["run_id"]
    token = bearer(world, "admin")
    for text in (each.encode("latin-1", "replace").decode("latin-1").replace(" ", "%20") for each in INJECTED):
        artifact = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/a{text}"
        sent(server, "PUT", artifact, token, body=b"x")
        for target in (
            artifact, f"/get-artifact?run_id={run}&path=a{text}", f"//runs{text}", f"/runs/{text}", f"/x//{text}",
            f"/sign-in?next=/{text}", f"/api/2.0/mlflow/runs/get?run_id={text}", f"/models/{text}/1",
            f"/api/3.0/mlflow/get-trace-artifact?request_id={text}",
        ):  # fmt: skip
            answer = sent(server, "GET", target, token)
            assert answer.status < 500, (target, answer.status)
            assert not answer.of("set-cookie"), target
            assert b"<script>Set-Cookie" not in answer.body or answer.of("content-type") == ["application/json"], target
        answer = sent(server, "GET", "/health", f"X-Request-Id: {text}", token)
        assert not answer.of("set-cookie")
        assert answer.of("x-request-id") != [text]


def spelled(path):
    """A path in ways that some server or proxy takes for the same."""
    yield from (
        f"{path}/",
        f"/{path}",
        path.replace("/", "//"),
        path.upper(),
        f"/.{path}",
        f"/x/..{path}",
        f"{path}%2f",
    )
    yield from (
        f"{path};x",
        f"{path}%20",
        f"{path}%00",
        f"{path}?",
        f"{path}.json",
        path[:-1] + f"%{ord(path[-1]):02x}",
    )
    yield from (
        f"http://127.0.0.1{path}",
        f"/ajax-api{path.removeprefix('/api')}",
        f"{path}#",
        path.replace("/", "/%2e/"),
    )


@pytest.mark.parametrize("name", ["tracking", "serving"])
def test_no_spelling_of_a_path_and_no_method_goes_round_the_check(world, name):
    server, path = world.servers[name], CREATE if name == "tracking" else "/predict/signs"
    role = "viewer" if name == "tracking" else "annotator"
    kind = "Content-Type: application/json"
    body = b'{"name": "planted"}' if name == "tracking" else b'{"row": {"x": 1, "note": "a"}}'
    for target in spelled(path):
        for token in ((), (bearer(world, role),)):
            for method in ("POST", "GET", "PUT", "OPTIONS", "HEAD", "TRACE", "post", "PATCH"):
                if method in {"GET", "HEAD"}:
                    continue  # what they may read is read
                answer = sent(server, method, target, kind, *token, body=body)
                assert 300 <= answer.status < 500, (method, target, answer.status)
            for header in ("X-HTTP-Method-Override: POST", "X-Method-Override: POST", "X-Original-Method: POST"):
                answer = sent(server, "GET", target.split("?")[0] + "?_method=POST", header, kind, *token, body=body)
                assert answer.status != 200 or b"planted" not in answer.body
    names = {each.name for each in world.records.experiments.search(Query(lifecycle=None)).items}
    assert "planted" not in names
    assert list(world.events.read(PredictionEvent)) == []


def test_no_secret_of_one_kind_is_one_of_another(world):
    """A session is no token, a token is no cookie, and neither is taken from the address."""
    server, here = world.servers["tracking"], f"127.0.0.1:{world.servers['tracking'].port}"
    token = world.tokens["admin"]
    form = f"name=&password={token}".encode()
    kind = "Content-Type: application/x-www-form-urlencoded"
    answer = sent(server, "POST", "/sign-in", f"Origin: http://{here}", kind, body=form)
    cookie = answer.of("set-cookie")[0].partition(";")[0]
    session = cookie.partition("=")[2]
    assert sent(server, "GET", SEARCH, f"Cookie: {cookie}").status == 200
    assert sent(server, "GET", SEARCH, f"Cookie: bakeoff_session=x; {cookie}").status in {200, 401}
    for headers in (
        (f"Authorization: Bearer {session}",),
        (f"X-Api-Key: {session}",),
        (f"Cookie: bakeoff_session={token}",),
        (f"Cookie: Bakeoff_Session={session}",),
        (f"Cookie: bakeoff_session={session[:-1]}",),
        (f"Cookie: bakeoff_session={session}x",),
        ("X-Forwarded-User: admin", "X-Remote-User: admin", "Remote-User: admin"),
    ):
        assert sent(server, "GET", SEARCH, *headers).status == 401, headers
    for name in ("token", "access_token", "api_key", "bakeoff_session", "authorization"):
        assert sent(server, "GET", f"{SEARCH}&{name}={token}").status == 401
    for method, target in (("POST", CREATE), ("POST", "/views"), ("POST", f"/runs/{world.ids['run_id']}/note")):
        for headers in ((), (f"Origin: http://{EVIL}",), ("Origin: null",), ("Sec-Fetch-Site: cross-site",)):
            body = b"note=x&name=x"
            assert sent(server, method, target, f"Cookie: {cookie}", kind, *headers, body=body).status == 403
        own = f"Origin: http://{here}"
        if target != CREATE:  # a form of this site without the session's token
            assert sent(server, method, target, f"Cookie: {cookie}", kind, own, body=b"note=x").status == 403


def test_pages_may_be_framed_by_nobody_and_no_answer_is_for_other_origins(world):
    server, seen = world.servers["tracking"], 0
    for route in world.apps["tracking"].routes:
        if "GET" not in route.methods or "{" in route.path:
            continue
        answer = sent(server, "GET", route.path, bearer(world, "admin"), "Accept: text/html")
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")], route.path
        foreign = sent(server, "GET", route.path, bearer(world, "admin"), f"Origin: http://{EVIL}")
        assert foreign.status == 403, route.path
        if "html" not in str(answer.of("content-type")):
            continue
        seen += 1
        (policy,) = answer.of("content-security-policy")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.of("x-content-type-options") == ["nosniff"]
        assert permission_of(route.endpoint) != "public" or route.path == "/sign-in"
    assert seen > 8
