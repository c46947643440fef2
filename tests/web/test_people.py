"""Browsers of people who have a token and no account: where there is a page to sign in with, and where is none."""

import sys
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from bakeoff import Project
from bakeoff.project import wiring
from bakeoff.web.auth import TokenAuthenticator
from bakeoff.web.people import access
from bakeoff.web.sign_in import SignIn
from bakeoff.web.tracking.app import create_tracking_app
from bakeoff.web.tracking.context import Tracking

TOML = """
[project]
name = "pages"
task = "classification"
[data]
source = "a.csv"
target = "b"
[auth]
required = true
"""
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=1"
CREATE = "/api/2.0/mlflow/experiments/create"
SAME, BROWSES = {"origin": "http://testserver"}, {"sec-fetch-dest": "document"}
COOKIE = "bakeoff_session"


@pytest.fixture
def now(monkeypatch):
    """The clock of tokens and sessions, in a list."""
    moment = [wiring.now_ms()]
    monkeypatch.setattr(wiring, "now_ms", lambda: moment[0])
    return moment


@pytest.fixture
def project(tmp_path, now):
    (tmp_path / "bakeoff.toml").write_text(TOML)
    with Project(tmp_path, clock=lambda: now[0]) as project:
        yield project


def browser(project, authenticator, people):
    tracking = Tracking(records=project.records, blobs=None, clock=wiring.now_ms, scratch=project.folder)
    tracking.prepare()
    app = create_tracking_app(tracking, authenticator=authenticator, pages=[] if people is None else people.routes())
    return TestClient(app, follow_redirects=False)


def signed_in(client, token, **more):
    return client.post("/sign-in", data={"password": token, "next": "/runs", **more}, headers=SAME)


def test_without_accounts_and_provider_browsers_ask_for_a_token(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "argon2", None)  # as without the extra people
    authenticator, people = access(SimpleNamespace(records=project.records, auth=project.config.auth), secure=False)
    _, token = project.create_token("ci", roles=["viewer"])
    assert people is None
    with browser(project, authenticator, people) as client:
        asked = client.get(SEARCH, headers=BROWSES)
        assert (asked.status_code, "Basic" in asked.headers["www-authenticate"]) == (401, True)
        assert client.get(SEARCH, headers=BROWSES, auth=("anybody", token)).status_code == 200


def test_where_people_sign_in_a_token_is_a_password_of_any_name(project):
    pytest.importorskip("argon2")
    authenticator, people = access(SimpleNamespace(records=project.records, auth=project.config.auth), secure=False)
    _, token = project.create_token("ci", roles=["viewer"], scopes=["experiment:pages"])
    with browser(project, authenticator, people) as client:
        assert client.get(SEARCH, headers=BROWSES).headers["location"].startswith("/sign-in?next=")
        assert signed_in(client, "wrong", name="ada").status_code == 401
        for name in ("anybody", ""):
            answer = signed_in(client, f" {token}\n", name=name)
            assert (answer.status_code, answer.headers["location"]) == (303, "/runs")
        assert token not in answer.headers["set-cookie"]
        assert "Signed in as token ci" in client.get("/sign-in").text
        assert client.get(SEARCH).json().get("experiments", []) == []  # the token reaches no other experiment
        assert client.post(CREATE, json={"name": "pages"}, headers=SAME).status_code == 403  # a viewer logs nothing


@pytest.fixture
def signing(project):
    """A browser that may sign in with tokens alone."""
    tokens = wiring.open_tokens(project.config.auth, project.records.documents, wiring.now_ms)
    sessions = wiring.open_sessions(project.config.auth, project.records.documents, wiring.now_ms)
    people = SignIn(sessions=sessions, tokens=tokens)
    with browser(project, TokenAuthenticator(tokens, sessions), people) as client:
        yield client


def test_a_session_ends_when_its_token_is_revoked(project, signing, now):
    for name in ("ci", "other"):
        project.create_token(name, roles=["viewer"])
    _, token = project.create_token("nightly", roles=["viewer"])
    signed_in(signing, token)
    assert signing.get(SEARCH).status_code == 200
    project.revoke_token("other")
    now[0] += 1000
    assert signing.get(SEARCH).status_code == 200
    project.revoke_token("nightly")
    now[0] += 1000
    assert signing.get(SEARCH).status_code == 401
    assert signed_in(signing, token).status_code == 401


def test_a_session_ends_with_its_token_at_the_latest(project, signing, now):
    _, token = project.create_token("short", roles=["viewer"], expires="1h")
    signed_in(signing, token)
    now[0] += 59 * 60_000
    assert signing.get(SEARCH).status_code == 200
    now[0] += 60_000
    assert signing.get(SEARCH).status_code == 401


def test_a_token_that_is_revoked_while_it_signs_in_leaves_no_session(project):
    tokens = wiring.open_tokens(project.config.auth, project.records.documents, wiring.now_ms)
    sessions = wiring.open_sessions(project.config.auth, project.records.documents, wiring.now_ms)
    _, token = project.create_token("nightly", roles=["viewer"])
    create = sessions.create

    def slowly(*positional, **named):
        project.revoke_token("nightly")
        return create(*positional, **named)

    sessions.create = slowly
    with browser(project, TokenAuthenticator(tokens, sessions), SignIn(sessions=sessions, tokens=tokens)) as client:
        answer = signed_in(client, token)
        assert (answer.status_code, COOKIE in client.cookies) == (401, False)
    assert [each.revoked_ms is None for each in sessions.all()] == [False]


def test_a_role_that_is_gone_does_not_keep_a_token_out(project, signing):
    documents = project.records.documents
    token, text = project.create_token("old", roles=["viewer"])
    documents.put("tokens", token.id, {**documents.get("tokens", token.id).body, "roles": ["viewer", "pusher"]})
    assert signed_in(signing, text).status_code == 303
    documents.put("tokens", token.id, {**documents.get("tokens", token.id).body, "roles": ["pusher"]})
    assert signed_in(signing, text).status_code == 401
