"""The pages of a project as a scanner would look at them: each address, and attacks in each field that they read."""

import inspect
import re
import sys
from dataclasses import fields
from urllib.parse import quote, unquote

from starlette.testclient import TestClient
from tests.web.scans import PAYLOADS, faults

from bakeoff.security.roles import Roles
from bakeoff.security.tokens import AccessTokens
from bakeoff.testing.memory import MemoryRecords
from bakeoff.web.auth import TokenAuthenticator
from bakeoff.web.pages.app import PAGES, Pages
from bakeoff.web.pages.runs import RunView
from bakeoff.web.sign_in import SignIn
from bakeoff.web.tracking.app import create_tracking_app

READ = re.compile(r'(?:\.get|\.getlist|\.number|\.whole|_following)\(\s*f?"([\w.]+)[{"]')
BEGINS = {"/loop/policy/preview", "/review/take"}
"""What begins work, or lends a row to the caller."""


def names(page):
    """Every name by which the module of a page reads something of an address or a form."""
    known = {*READ.findall(inspect.getsource(sys.modules[page.does.__module__]))}
    return known | ({each.name for each in fields(RunView)} if page.path.startswith("/runs") else set())


def test_the_names_that_pages_read_are_known():
    known = set().union(*map(names, PAGES))
    assert {"filter", "what", "why", "label", "alias", "metric", "margin", "run", "of", "side", "budget"} <= known


def test_no_page_of_a_project_lacks_a_header(filled, addresses):
    """Reports and cards, files with a policy of their own, among them; of somebody who signed in with a form."""
    records = MemoryRecords(filled.tracking.clock)
    tokens, sessions = (
        AccessTokens(records.documents, Roles({}), filled.tracking.clock, kind=each) for each in ("token", "session")
    )
    signing = SignIn(sessions=sessions, tokens=tokens).routes()
    pages = [*Pages(filled.tracking, filled.project).routes(), *signing]
    app = create_tracking_app(filled.tracking, authenticator=TokenAuthenticator(tokens, sessions), pages=pages)
    form = {"name": "", "password": tokens.create("ada", roles=["admin"], scopes=())[1]}
    wrong = []
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        entered = client.post("/sign-in", data=form, headers={"origin": "http://testserver"})
        assert (entered.status_code, faults(entered)) == (303, [])
        for path in (*addresses, "/report/last", "/data/1/card", "/sign-in", "/pages/pages.js", "/pages/pages.css"):
            answer = client.get(path)
            assert (answer.status_code == 404) is (path == "/nothing-here"), path
            wrong += [(each, path) for each in faults(answer)]
    assert wrong == []


def test_who_reaches_other_things_reads_nothing_of_these_on_any_page(filled, addresses):
    tokens = AccessTokens(MemoryRecords(filled.tracking.clock).documents, Roles({}), filled.tracking.clock)
    app = create_tracking_app(
        filled.tracking,
        authenticator=TokenAuthenticator(tokens),
        pages=Pages(filled.tracking, filled.project).routes(),
    )
    text = tokens.create("x", roles=["admin"], scopes=["endpoint:mine", "experiment:mine", "model:mine"])[1]
    words = {
        filled.nasty_run,
        filled.batch,
        filled.prediction,
        "good ",
        "films",
        "linear",
        "firstword",
        "onerror",
        "loss",
    }
    told = []
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        for path in (*addresses, "/report/last", "/data/1/card", "/runs/rows", "/runs/count", "/overview/live"):
            answer = client.get(path, headers={"authorization": f"Bearer {text}"})
            told += [(path, word) for word in words if word in answer.text and word not in unquote(path)]
    assert told == []


def test_attacks_in_each_field_of_each_page(client, filled):
    wrong, count, own, payload = [], 0, {"origin": "http://testserver"}, "".join(PAYLOADS[:2])
    ids = {"run_id": filled.nasty_run, "name": "films", "number": "1", "id": filled.prediction, "batch": filled.batch}
    ids |= {"position": "0", "trace_id": f"tr-{'ab' * 16}"}

    def look(page, path, given):
        nonlocal count
        with_it = {"params": given} if page.method == "GET" else {"data": given, "headers": own}
        answer = client.request(page.method, path, **with_it)
        count += 1
        wrong.extend((each, page.method, path[:60], list(given)) for each in faults(answer, sent=payload))

    for page in (each for each in PAGES if each.path not in BEGINS):
        if "{" in page.path:
            look(page, re.sub(r"{\w+}", quote(payload, safe=""), page.path), {})
        path = re.sub(r"{(\w+)}", lambda found: ids.get(found[1], "x"), page.path)
        for name in sorted(names(page) - ({"label"} if page.method == "POST" else set())):  # any text may be a label
            look(page, path, {name: payload})
    assert wrong == []
    assert count > 200
