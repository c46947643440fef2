"""People sign in: by accounts and with a stub of a provider; and what others try with their sessions."""

import base64
import hashlib
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from starlette.testclient import TestClient

pytest.importorskip("argon2")
pytest.importorskip("joserfc")

from joserfc import jwt
from joserfc.jwk import RSAKey

from bakeoff import Project
from bakeoff.config.sections import AuthConfig, OpenIdConfig
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.project import wiring
from bakeoff.security.accounts import Accounts
from bakeoff.security.roles import Roles
from bakeoff.testing.memory import MemoryRecords
from bakeoff.web.people import access, hosts
from bakeoff.web.sessions import local_target
from bakeoff.web.sign_in import ATTEMPTS
from bakeoff.web.tracking.app import create_tracking_app
from bakeoff.web.tracking.context import Tracking

HOST = "https://pages.example"
SAME = {"origin": HOST}
PASSWORD = "correct horse battery"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
CREATE = "/api/2.0/mlflow/experiments/create"
KEY = RSAKey.generate_key(2048, parameters={"kid": "k1"}, auto_kid=False)
OTHER = RSAKey.generate_key(2048, parameters={"kid": "k1"}, auto_kid=False)


class World:
    def __init__(self, **config) -> None:
        self.records = MemoryRecords(wiring.now_ms)
        self.auth = AuthConfig(required=True, public_url=HOST, **config)
        wiring.people(self.auth, self.records.documents, wiring.now_ms).add("ada", PASSWORD, roles=["contributor"])
        authenticator, people = access(self, secure=True)
        tracking = Tracking(records=self.records, blobs=None, clock=wiring.now_ms, scratch=None)
        tracking.prepare()
        self.app = create_tracking_app(
            tracking, authenticator=authenticator, pages=people.routes(), hosts=hosts("0.0.0.0", self.auth)
        )
        self.sessions = wiring.open_sessions(self.auth, self.records.documents, wiring.now_ms)

    def client(self):
        return TestClient(self.app, base_url=HOST, follow_redirects=False, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def world():
    return World()


def signed_in(client):
    return client.post("/sign-in", data={"name": "ada", "password": PASSWORD, "next": "/runs"}, headers=SAME)


def form_token(client):
    return re.search(r'name=csrf value="([0-9a-f]+)"', client.get("/sign-in").text)[1]


def test_a_person_signs_in_works_and_signs_out(world):
    with world.client() as client:
        assert client.get(SEARCH).status_code == 401
        answer = signed_in(client)
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
        cookie = answer.headers["set-cookie"].lower()
        for part in ("__host-bakeoff_session=bks_", "httponly", "samesite=lax", "secure", "path=/"):
            assert part in cookie
        assert "domain" not in cookie
        assert client.get(SEARCH).status_code == 200
        assert client.post(CREATE, json={"name": "by ada"}, headers=SAME).status_code == 200
        session = client.cookies["__Host-bakeoff_session"]
        assert "Signed in as ada" in client.get("/sign-in").text
        assert client.post("/sign-out", data={"csrf": form_token(client)}, headers=SAME).status_code == 303
        client.cookies.set("__Host-bakeoff_session", session)
        assert client.get(SEARCH).status_code == 401
    stored = json.dumps([each.body for each in world.records.documents.find("sessions")])
    assert session.rpartition("_")[2] not in stored


def test_other_sites_can_make_nobody_do_anything(world):
    with world.client() as client:
        signed_in(client)
        for headers in (
            {},
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "https://pages.example.evil.example"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": HOST, "sec-fetch-site": "cross-site"},
        ):
            assert client.post(CREATE, json={"name": "forged"}, headers=headers).status_code == 403
            assert client.post("/sign-out", data={"csrf": form_token(client)}, headers=headers).status_code == 403
            entered = client.post("/sign-in", data={"name": "ada", "password": PASSWORD}, headers=headers)
            assert entered.status_code == 403
        for token in ("", "0" * 64, "é"):
            assert client.post("/sign-out", data={"csrf": token}, headers=SAME).status_code == 403
        assert client.get(SEARCH).status_code == 200
        assert client.post(CREATE, json={"name": "own"}, headers={"sec-fetch-site": "same-origin"}).status_code == 200
    assert {each.name for each in world.records.experiments.search(_all()).items} >= {"own"}
    assert "forged" not in {each.name for each in world.records.experiments.search(_all()).items}


def _all():
    from bakeoff.core.queries import Query

    return Query(lifecycle=None)


def test_a_session_that_was_planted_is_not_the_one_that_signs_in(world):
    with world.client() as attacker, world.client() as victim:
        signed_in(attacker)
        planted = attacker.cookies["__Host-bakeoff_session"]
        victim.cookies.set("__Host-bakeoff_session", planted, domain="pages.example", path="/")
        signed_in(victim)
        assert victim.cookies["__Host-bakeoff_session"] != planted
        assert world.sessions.principal(planted) is None  # the one before has ended
        plain = {"cookie": f"bakeoff_session={victim.cookies['__Host-bakeoff_session']}"}
        victim.cookies.clear()
        assert victim.get(SEARCH, headers=plain).status_code == 401  # a subdomain could have set it


def test_cookies_that_are_no_sessions(world):
    token = "bkf_" + "0" * 16 + "_" + "a" * 43
    with world.client() as client:
        for value in ("", "x", token, "bks_0000000000000000_" + "a" * 43, '"', "\\", "a" * 5_000):
            assert client.get(SEARCH, headers={"cookie": f"__Host-bakeoff_session={value}"}).status_code == 401


def test_a_wrong_token_is_not_helped_by_a_cookie(world):
    with world.client() as client:
        signed_in(client)
        assert client.get(SEARCH, headers={"authorization": "Bearer nonsense"}).status_code == 401


def test_guessing_closes_a_name_and_says_nothing_of_which_there_are():
    now = [1_000_000]
    accounts = Accounts(MemoryRecords(lambda: 1).documents, Roles({}), lambda: now[0])
    accounts._hasher = SimpleNamespace(hash=lambda text: text, verify=lambda known, text: known == text)
    accounts._nobody = "nobody"
    accounts.add("ada", PASSWORD, roles=["viewer"])
    assert accounts.signed_in("ada", PASSWORD).roles == ("viewer",)
    for _ in range(5):
        assert accounts.signed_in("ada", "wrong") is None
        assert accounts.signed_in("bo", "nobody") is None
    assert accounts.signed_in("ada", PASSWORD) is None
    now[0] += 15 * 60_000
    assert accounts.signed_in("ada", PASSWORD) is not None


@pytest.mark.processes
def test_a_password_is_kept_as_the_hash_that_argon2_recommends():
    from argon2 import PasswordHasher

    documents = MemoryRecords(lambda: 1).documents
    Accounts(documents, Roles({}), lambda: 1).add("ada", PASSWORD, roles=["viewer"])
    known = documents.get("accounts", "ada").body["hash"]
    assert re.match(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=\d+\$", known), known
    assert int(re.search("m=([0-9]+)", known)[1]) >= 47_104  # the least that OWASP names for one pass, in KiB
    assert PasswordHasher().verify(known, PASSWORD)


def test_names_that_nobody_can_have_are_not_stored():
    accounts = Accounts(MemoryRecords(lambda: 1).documents, Roles({}), lambda: 1_000_000)
    accounts._hasher = SimpleNamespace(hash=lambda text: text, verify=lambda known, text: known == text)
    assert accounts.signed_in("a" * 1025, "nobody") is None
    assert accounts.signed_in("a" * 1024, "nobody") is None
    assert {len(name) for name in accounts._failures} == {1024}
    with pytest.raises(UsageError, match="1024"):
        accounts.add("a" * 1025, PASSWORD, roles=["viewer"])


def test_who_tries_many_passwords_leaves_threads_to_others(world, monkeypatch):
    go, begun = threading.Event(), threading.Semaphore(0)

    def slow(_accounts, _name, _password):
        begun.release()
        go.wait(10)

    monkeypatch.setattr(Accounts, "signed_in", slow)
    with world.client() as client, ThreadPoolExecutor(ATTEMPTS) as pool:
        waiting = [pool.submit(signed_in, client) for _ in range(ATTEMPTS)]
        for _ in waiting:
            assert begun.acquire(timeout=10)
        turned_away = signed_in(client)
        go.set()
        assert [each.result().status_code for each in waiting] == [401] * ATTEMPTS
        assert signed_in(client).status_code == 401
    assert turned_away.status_code == 503


def test_an_odd_cookie_of_another_app_takes_nobody_out(world):
    with world.client() as client:
        signed_in(client)
        session = client.cookies["__Host-bakeoff_session"]
        client.cookies.clear()
        headers = {"cookie": f'x={{"a":1}}; __Host-bakeoff_session={session}'}
        assert client.get(SEARCH, headers=headers).status_code == 200


def test_sessions_end_of_people_who_have_no_account(films_project):
    with Project(films_project) as project:
        sessions = wiring.open_sessions(project.config.auth, project.records.documents, wiring.now_ms)
        for name in ("zoe@example.org", "bo"):
            sessions.create(name, roles=["viewer"], lifetime_ms=60_000)
        assert project.remove_person("zoe@example.org").roles == ("viewer",)
        assert [each.name for each in sessions.all() if each.revoked_ms is None] == ["bo"]
        with pytest.raises(NotFoundError):
            project.remove_person("zoe@example.org")
        project.add_person("ada", PASSWORD, roles=["contributor"])
        sessions.create("ada", roles=["contributor"], lifetime_ms=60_000)
        assert project.remove_person("ada").roles == ("contributor",)
        assert [each.name for each in sessions.all() if each.revoked_ms is None] == ["bo"]
        actions = [each.action for each in project.audit.records()]
        assert actions == ["session ended", "person added", "session ended", "person removed"]
        assert project.audit.verify() == []


def test_what_is_answered_to_an_unknown_name_is_what_is_answered_to_a_wrong_password(world):
    with world.client() as client:
        texts = {
            client.post("/sign-in", data={"name": name, "password": "wrong"}, headers=SAME).text
            for name in ("ada", "bo")
        }
        assert len(texts) == 1


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil", "javascript:alert(1)", "/\tx", "", None,
     "///evil.example", " /a", "http:/evil", "/%0d", "/\x00"],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(target):
    assert local_target(target) in ({"/", "/%0d"} if target == "/%0d" else {"/"})
    assert local_target("/runs?x=1#y") == "/runs?x=1#y"


def test_names_of_the_host_and_headers_of_pages(world):
    with world.client() as client:
        for host in ("evil.example", "pages.example@evil.example", "pages.example.evil.example", ""):
            assert client.get("/sign-in", headers={"host": host}).status_code == 421
        page = client.get('/sign-in?next="><script>alert(1)</script>')
        assert "<script" not in page.text
        headers = page.headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


# --- a provider ------------------------------------------------------------------------------------


class Provider:
    """A stub of a provider of OpenID Connect: signs in whoever comes, as `claims` say."""

    def __init__(self) -> None:
        self.codes, self.claims, self.key, self.algorithm = {}, {}, KEY, "RS256"
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                paths = {"/jwks": {"keys": [KEY.as_dict(private=False) | {"kid": "k1"}]}}
                paths["/.well-known/openid-configuration"] = {
                    "issuer": provider.url,
                    "authorization_endpoint": f"{provider.url}/authorize",
                    "token_endpoint": f"{provider.url}/token",
                    "jwks_uri": f"{provider.url}/jwks",
                }
                self.answer(paths[self.path])

            def do_POST(self):
                form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
                self.answer({"id_token": provider.token(form), "access_token": "a"})

            def answer(self, body):
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def authorize(self, address):
        """What the provider sends a browser back with."""
        query = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
        assert query["code_challenge_method"] == "S256"
        self.codes["c0de"] = query
        return {"code": "c0de", "state": query["state"], "iss": self.url}

    def token(self, form):
        query = self.codes[form["code"]]
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        assert challenge.decode() == query["code_challenge"]
        assert (form["redirect_uri"], form["client_secret"]) == (query["redirect_uri"], "s3cret")
        now = wiring.now_ms() // 1000
        claims = {"iss": self.url, "aud": "us", "sub": "7", "exp": now + 60, "iat": now, "nonce": query["nonce"]}
        claims |= {"email": "zoe@example.org", "email_verified": True, "groups": ["ml"]} | self.claims
        return jwt.encode({"alg": self.algorithm, "kid": "k1"}, claims, self.key)


@pytest.fixture
def provider():
    made = Provider()
    yield made
    made.server.shutdown()
    made.server.server_close()


@contextmanager
def begun(provider, monkeypatch, **config):
    """A browser that is at the provider, and what it comes back with."""
    monkeypatch.setenv("OPENID_SECRET", "s3cret")
    openid = OpenIdConfig(issuer=provider.url, client_id="us", secret_env="OPENID_SECRET", **config)
    world = World(openid=openid)
    with world.client() as client:
        answer = client.get("/sign-in/openid?next=/runs")
        assert answer.status_code == 303
        yield world, client, provider.authorize(answer.headers["location"])


def test_a_person_of_a_provider(provider, monkeypatch):
    with begun(provider, monkeypatch, roles={"ml": "contributor", "boss": "admin"}) as (world, client, back):
        answer = client.get(f"/sign-in/callback?{urlencode(back)}")
        assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
        principal = world.sessions.principal(client.cookies["__Host-bakeoff_session"])
        assert principal.name == "zoe@example.org"
        assert principal.may("track")
        assert not principal.may("administer")
        assert client.get(SEARCH).status_code == 200
        again = client.get(f"/sign-in/callback?{urlencode(back)}")  # the cookie of the beginning is gone
        assert again.status_code == 400


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"iss": "https://evil.example"}, 403),
        ({"aud": "others"}, 403),
        ({"aud": ["us", "others"]}, 403),
        ({"aud": ["us", "others"], "azp": "us"}, 303),
        ({"exp": 1}, 403),
        ({"exp": None}, 403),
        ({"iat": 99_999_999_999}, 403),
        ({"nonce": "another"}, 403),
        ({"sub": ""}, 403),
        ({"groups": ["strangers"]}, 403),
        ({"groups": "ml"}, 303),
        ({"email_verified": False}, 303),
    ],
)
def test_tokens_of_a_provider(provider, monkeypatch, claims, status):
    provider.claims = claims
    with begun(provider, monkeypatch, roles={"ml": "viewer"}) as (world, client, back):
        assert client.get(f"/sign-in/callback?{urlencode(back)}").status_code == status
        people = [each.name for each in world.sessions.all()]
        unverified = claims.get("email_verified") is False
        assert people == ([] if status == 403 else ["7 of 127.0.0.1" if unverified else "zoe@example.org"])


def test_answers_that_are_not_of_this_sign_in(provider, monkeypatch):
    with begun(provider, monkeypatch, default_role="viewer") as (world, client, back):
        for change in (
            {"state": "x"},
            {"state": ""},
            {"iss": "https://evil.example"},
            {"code": None, "error": "denied"},
        ):
            query = {key: value for key, value in {**back, **change}.items() if value is not None}
            assert client.get(f"/sign-in/callback?{urlencode(query)}").status_code == 403
        with world.client() as other:
            assert other.get(f"/sign-in/callback?{urlencode(back)}").status_code == 400
        provider.key = OTHER
        assert client.get(f"/sign-in/callback?{urlencode(back)}").status_code == 403
        provider.key = KEY
        provider.algorithm = "none"
        monkeypatch.setattr(Provider, "token", lambda *_: "eyJhbGciOiJub25lIn0.eyJzdWIiOiI3In0.")
        assert client.get(f"/sign-in/callback?{urlencode(back)}").status_code == 403
        assert world.sessions.all() == []


def test_a_provider_without_https_is_refused(monkeypatch):
    monkeypatch.setenv("S", "s")
    with pytest.raises(UsageError, match="https"):
        World(openid=OpenIdConfig(issuer="http://provider.example", client_id="us"))
    with pytest.raises(UsageError, match="ABSENT"):
        World(openid=OpenIdConfig(issuer="https://p.example", client_id="us", secret_env="ABSENT"))
