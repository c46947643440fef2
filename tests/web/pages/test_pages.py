"""Pages without a browser: what each shows, what it never lets through, who may change what."""

import html
import json
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient
from tests.web.pages.conftest import EMPTY, NASTY, opened

from bakeoff import Project
from bakeoff.actions.disagreement import Disagreement, DisagreementRow
from bakeoff.core.events import PredictionEvent
from bakeoff.core.graph import LineageEdge, LineageGraph, LineageNode
from bakeoff.core.queries import Query
from bakeoff.core.records import Metric, RunChange
from bakeoff.feedback.review import ReviewBatch, ReviewQueue, ReviewRow
from bakeoff.loop.replay import PolicyReplay, ReplayPeriod, ReplayResult, ReplayStep, ReplayValue
from bakeoff.project import wiring
from bakeoff.report.lineage_picture import places
from bakeoff.results.candidate import Slice
from bakeoff.security.roles import Roles
from bakeoff.security.tokens import AccessTokens
from bakeoff.testing.memory import MemoryRecords
from bakeoff.web.auth import TokenAuthenticator
from bakeoff.web.pages.app import Pages
from bakeoff.web.pages.calls import address
from bakeoff.web.pages.lineage import picture
from bakeoff.web.pages.policy import _looked
from bakeoff.web.pages.previews import Preview
from bakeoff.web.pages.site import POLICY, Site
from bakeoff.web.pages.verdict import _slices
from bakeoff.web.tracking import traces
from bakeoff.web.tracking.app import create_tracking_app
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.otlp import spans_of

OWN = {"origin": "http://testserver"}
FREE = {"href", "src", "action"}
"""Attributes that could lead out, or run something."""


class Markup(HTMLParser):
    """What of a page could run or lead somewhere else, and its visible text."""

    def __init__(self, page):
        super().__init__()
        self.scripts, self.handlers, self.foreign, self.styles, self.ids, self.text = [], [], [], [], [], ""
        self.fields, self.writing = {}, None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name.startswith("on") or name == "srcdoc":
                self.handlers.append((tag, name))
            if name == "style":
                self.styles.append(tag)
            if name == "id":
                self.ids.append(value)
            if name in FREE and not (value or "").startswith(("/", "#", "?", "data:,")):
                self.foreign.append((tag, name, value))
        self.field(tag, dict(attrs))
        if tag in {"script", "iframe", "object", "embed", "img", "base", "style"}:
            self.scripts.append((tag, dict(attrs).get("src", "")))

    def field(self, tag, attrs):
        """What a form sends of a field as it stands there."""
        sent = tag == "input" and (attrs.get("type") != "checkbox" or "checked" in attrs) and "disabled" not in attrs
        if sent and "name" in attrs:
            self.fields[attrs["name"]] = attrs.get("value") or ""
        self.writing = attrs.get("name") if tag == "textarea" else None

    def handle_endtag(self, tag):
        self.writing = None

    def handle_data(self, data):
        self.text += data
        if self.writing:
            self.fields[self.writing] = self.fields.get(self.writing, "") + data


def test_every_page_of_a_hostile_project_is_only_our_markup(client, addresses):
    for at in addresses:
        answer = client.get(at)
        if at == "/nothing-here":
            assert answer.status_code == 404
            continue
        assert answer.status_code == 200, (at, Markup(answer.text).text)
        assert answer.headers["content-security-policy"] == POLICY
        page = Markup(answer.text)
        assert (page.handlers, page.styles, page.foreign) == ([], [], []), at
        of_ours = [("script", client.get("/").text.split('<script src="')[1].split('"')[0])]
        assert page.scripts in ([], of_ours), at
        assert len(set(page.ids)) == len(page.ids), at


def test_pages_of_an_empty_project_say_what_to_do(empty):
    with TestClient(empty.app, raise_server_exceptions=False) as client:
        for at in ("/", "/runs", "/verdict", "/endpoints", "/models", "/data", "/traces", "/loop", "/review"):
            answer = client.get(at)
            assert answer.status_code == 200, (at, answer.text)
            assert 'class="empty"' in answer.text, at
        assert "bakeoff run" in Markup(client.get("/verdict").text).text
        assert client.get("/runs/latest").status_code == 404
        assert "none yet" in client.get("/runs/latest").text


def test_what_did_not_work_leads_back_to_its_page(empty):
    with TestClient(empty.app, raise_server_exceptions=False) as client:
        for path, url in (("/compare", "/runs"), ("/runs/latest", "/runs"), ("/lineage", "/models"), ("/loop/x", None)):
            answer = client.get(path)
            assert answer.status_code in {400, 404}
            assert (f'<a class="button" href="{url}">' in answer.text) is (url is not None), path


def test_a_stage_without_an_endpoint_leads_to_a_page_that_is_there(empty):
    with TestClient(empty.app) as client:
        stages = client.get("/").text.split('<ol class="stages"')[1].split("</ol>")[0]
        targets = [part.split('"')[0] for part in stages.split('<a href="')[1:]]
        assert (len(targets), [client.get(each).status_code for each in targets]) == (5, [200] * 5)


def test_what_happened_last_is_one_story_newest_first(client, filled):
    section = client.get("/").text.split('id="happened"')[1]
    times = [part.split('"')[0] for part in section.split('<time datetime="')[1:]]
    assert "/runs/" in section
    assert times == sorted(times, reverse=True)


def test_changes_of_stores_are_not_what_happened_and_a_subject_is_named_once(client, filled):
    section = client.get("/").text.split('id="happened"')[1]
    assert " written</strong>" not in section
    assert "<strong>endpoint canary</strong> films <span" in section


def test_signals_have_their_units_and_rows_are_no_code(client, filled):
    page = client.get("/endpoints/films").text
    signals = page.split('id="signals"')[1].split("</table>")[0]
    row = {part.split("</th>")[0].split(">")[-1]: part.split("</tr>")[0] for part in signals.split("<tr>")[2:]}
    assert " ms</td>" in row["latency"]
    assert "%</td>" in row["errors"]
    assert 'class="prose">review good' in page.split('id="recent"')[1]


def test_the_verdict_says_how_the_winner_stands_beside_the_champion(client, filled):
    contest = filled.project.last().verdict.contest
    assert f"Beside the champion:</strong> {contest}" in client.get("/verdict").text


def test_the_metric_that_decides_is_the_first_of_a_page_of_runs(client, filled):
    page = client.get(address("/runs", filter="metrics.f1_macro > 0")).text
    assert page.split('title="metrics.')[1].startswith("f1_macro")
    assert 'title="metrics.f1_macro' not in client.get(address("/runs", filter="metrics.loss > 50")).text


def test_the_difference_of_two_versions_of_data_is_in_words():
    kinds = [SimpleNamespace(number=at, name="films", created_ms=0, content="c" * 64) for at in (1, 2)]
    classes = [[{"name": "yes", "rows": rows}, {"name": "no", "rows": 7}] for rows in (12808, 10**400)]
    values = {
        "versions": [(each, SimpleNamespace(summary={})) for each in kinds],
        "first": kinds[0],
        "second": kinds[1],
        "different": [("set_aside", {}, None), ("classes", *classes)],
        "title": "Data",
        "pages": (),
        "here": "/",
        "csrf": "",
        "done": "",
    }
    text = Markup(Site()._environment.get_template("data.html").render(values)).text
    assert "name yes, rows 12,808; name no, rows 7" in text
    assert "set aside" in text
    assert "{" not in text


def test_how_many_calls_a_canary_needs_is_told_once(client, filled, monkeypatch):
    status = filled.project.endpoints.show()
    reason = "not shown to be worse; about 574 more calls of it until it is promoted"
    needy = replace(status, rollouts=tuple(replace(each, reason=reason, calls_needed=574) for each in status.rollouts))
    monkeypatch.setattr(type(filled.project.endpoints), "show", lambda *_: needy)
    assert client.get("/endpoints/films").text.count("574 more calls") == len(status.rollouts) == 1


def test_settings_of_the_policy_are_words_and_numbers(client):
    table = Markup(client.get("/loop").text.split('id="policy"')[1]).text
    assert "loop.triggers" in table
    assert not [each for each in ("None", "[]", "['", "True") if each in table]


def test_live_quality_names_its_metric(client, filled):
    reason = next(each for each in filled.project.status().signals.signals if each.name == "quality").detail["reason"]
    assert f"Live, from labels: {reason}." in client.get("/").text


def test_records_without_a_project_have_runs_and_traces(filled):
    app = create_tracking_app(filled.tracking, pages=Pages(filled.tracking).routes())
    with TestClient(app) as client:
        assert "No project is open here" in client.get("/").text
        assert client.get("/runs").status_code == client.get("/traces").status_code == 200
        refused = client.get("/verdict")
        assert (refused.status_code, "in the folder of a project" in refused.text) == (404, True)


def rows_of(answer):
    return [line.split('aria-label="Choose ')[1].split('"')[0] for line in answer.text.split("<tr id=")[1:]]


def test_runs_are_filtered_sorted_paged_and_grouped(client, filled):
    hundred = client.get(address("/runs", filter="metrics.loss > 50", order="metrics.loss ASC", limit="5"))
    assert [name.split()[-1] for name in rows_of(hundred)] == ["50", "51", "52", "53", "54"]
    following = hundred.text.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert [name.split()[-1] for name in rows_of(client.get(following))] == ["55", "56", "57", "58", "59"]
    assert client.get(address("/runs/count", filter="metrics.loss > 50")).text.strip() == "10"
    wrong = client.get(address("/runs", filter="metrics.loss >"))
    assert (wrong.status_code, "Invalid clause" in wrong.text) == (200, True)
    groups = client.get(address("/runs", group="params.depth", filter="tags.team = 't1'"))
    assert groups.text.count('<th scope="row"><a href=') == 4
    first = groups.text.split('<th scope="row"><a href="')[1].split('"')[0].replace("&amp;", "&")
    assert len(rows_of(client.get(first))) == 5  # of twenty runs of t1, by each of four depths
    assert "param or tag to group by" in client.get(address("/runs", group="metrics.loss")).text


@pytest.mark.parametrize("value", ["it's", "C:\\data", "C:\\data\\", 'a\\\'b "c" ', 'say "no"'])
def test_a_group_leads_to_its_runs_whatever_its_text(client, filled, value):
    records = filled.project.records
    run = records.runs.start(records.experiments.search(Query(limit=1)).items[0].experiment_id, "grouped")
    records.runs.apply([RunChange(run_id=run.run_id, params={"folder": value}, status="FINISHED")])
    page = client.get(address("/runs", group="params.folder")).text
    links = [html.unescape(part.split('"')[0]) for part in page.split('<th scope="row"><a href="')[1:]]
    shown = [client.get(link).text for link in links if "IS+NULL" not in link]
    records.runs.apply([RunChange(run_id=run.run_id, lifecycle="deleted")])
    assert [f"/runs/{run.run_id}" in text for text in shown] == [True]


def test_of_numbers_one_run_is_nearer_not_right_and_no_input_is_left_out():
    row = DisagreementRow(number=1, inputs={"age": 71.0}, truth=71.0, first=70.123456789, second=90.0)
    found = Disagreement(
        rows=3, counts={"first": 2, "second": 1, "neither": 0}, side="first", shown=[row], of_numbers=True
    )
    runs = [SimpleNamespace(run_id="a"), SimpleNamespace(run_id="b")]
    values = {"problem": None, "disagreement": found, "names": {"a": "linear", "b": "forest"}, "runs": runs}
    text = Markup(Site()._environment.get_template("compare_rows.html").render(values)).text
    assert ("linear is nearer (2)" in text, "is right" in text, "70.123456789" in text) == (True, False, False)
    assert text.split("Inputs")[1].split("of 2")[0].count("71.0") == 2


def test_a_key_of_any_text_can_be_sorted_by(client, filled):
    key = "metrics." + next(key for key in filled.project.records.runs.get(filled.nasty_run).metrics if key != "loss")
    page = client.get(address("/runs", columns=f"started,{key}"))
    links = [each.split('"')[0] for each in page.text.split('aria-sort="none"><a href="')[1:]]
    assert links
    for link in links:
        assert "Invalid" not in client.get(link.replace("&amp;", "&").replace("&#39;", "'").replace("&#34;", '"')).text


def test_rows_that_changed_are_fetched_by_id_and_newer_ones_counted(client, filled):
    running = next(r for r in filled.project.records.runs.search(_running()).items if r.status == "RUNNING")
    answer = client.get(address("/runs/rows", id=[running.run_id], columns="status,metrics.loss", since="0"))
    assert f'id="r-{running.run_id}"' in answer.text
    assert '<p id="newer-rows">63</p>' in answer.text  # sixty here, and the bake-off with its two candidates
    live = f"/runs/{running.run_id}/live"
    seen = client.get(live).text.split("live?seen=")[1].split('"')[0]
    assert client.get(f"{live}?seen={seen}").status_code == 304


def _running():
    from bakeoff.core.queries import Query, attribute

    return Query(where=attribute("status", "=", "RUNNING"))


def test_views_are_saved_under_a_name(client):
    saved = client.post(
        "/views", data={"name": "deep", "query": "filter=x&page=1.2"}, headers=OWN, follow_redirects=False
    )
    assert (saved.status_code, saved.headers["location"]) == (303, "/runs?filter=x&done=Saved+as+deep.")
    assert '<a href="/runs?filter=x">deep</a>' in client.get("/runs").text
    client.post("/views/delete", data={"name": "deep"}, headers=OWN)
    assert ">deep</a>" not in client.get("/runs").text


def test_a_form_of_another_site_changes_nothing(client, filled):
    before = filled.project.endpoints.show().routes
    for headers in ({}, {"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        answer = client.post("/endpoints/films/change", data={"what": "pause"}, headers=headers)
        assert answer.status_code == 403, headers
    assert filled.project.endpoints.show().routes == before
    assert client.post("/views", json={"name": "x"}, headers=OWN).status_code == 415


def test_an_address_to_go_back_to_is_one_of_this_site(client, filled):
    data = {"note": "n", "back": "//evil.example/x"}
    answer = client.post(f"/runs/{filled.nasty_run}/note", data=data, headers=OWN, follow_redirects=False)
    assert answer.headers["location"] == "/x?done=The+note+is+saved."


def test_changes_of_routes_say_who_and_why(client, filled):
    live = filled.project.endpoints.show().live.model_version
    paused = client.post("/endpoints/films/change", data={"what": "pause", "why": "lunch"}, headers=OWN)
    assert "paused" in paused.text.lower()
    change = filled.project.endpoints.show().changes[0]
    assert (change.what, change.why, bool(change.who)) == ("pause", "lunch", True)
    assert "Resume" in client.get("/endpoints/films").text
    client.post("/endpoints/films/change", data={"what": "undo"}, headers=OWN)
    assert filled.project.endpoints.show().live.model_version == live
    assert not filled.project.endpoints.show().paused
    assert "expected promote" in client.post("/endpoints/films/change", data={"what": "x"}, headers=OWN).text


def test_an_alias_moves_and_is_written_down(client, filled):
    first, second = (f"/models/films/{each.number}/change" for each in filled.project.models()[:2])
    for url in (first, second):
        client.post(url, data={"what": "alias", "alias": "best"}, headers=OWN)
    named = filled.project.records.versions.by_alias("films", "best")
    assert f"/{named.number}/" in second
    record = list(filled.project.audit.records())[-1]
    assert (record.action, record.after["aliases"]) == ("model alias moved", {"best": named.number})
    refused = client.post(second, data={"what": "alias", "alias": "champion"}, headers=OWN)
    assert (refused.status_code, "release the version" in refused.text) == (400, True)


def test_a_model_that_becomes_a_canary_is_told_in_words(client, filled):
    live = filled.project.endpoints.show().live.model_version
    other = next(each for each in filled.project.models() if f"films/{each.number}" != live)
    aside = client.post(f"/models/films/{other.number}/change", data={"what": "canary"}, headers=OWN)
    assert f"{live} answers on films, canary films/{other.number} (" in aside.text
    assert "canary on films" in client.get("/models").text


def test_a_prediction_is_tried_shown_and_labelled(client, filled):
    answer = client.post("/endpoints/films/try", data={"in.review": "good film", "in.year": "1999"}, headers=OWN)
    assert ">yes<" in answer.text
    identity = answer.text.split("/predictions/")[1].split('"')[0]
    page = client.get(f"/predictions/{identity}")
    assert "good film" in page.text
    told = client.post(f"/predictions/{identity}/feedback", data={"label": "no"}, headers=OWN)
    assert "Thank you" in told.text
    wrong = client.post("/endpoints/films/try", data={"in.year": "long ago"}, headers=OWN)
    assert (wrong.status_code, "expected a number" in wrong.text) == (400, True)
    short = client.post("/endpoints/films/try", data={"in.review": "[1, 2] good film"}, headers=OWN)
    assert (short.status_code, "without: year" in short.text, "Gaps(" in short.text) == (200, True, False)
    listed = client.post("/endpoints/films/try", data={"in.review": "[1, 2]", "in.year": "1999"}, headers=OWN)
    assert listed.status_code == 200
    unknown = client.post("/predictions/ffff/feedback", data={"label": "no"}, headers=OWN)
    assert (unknown.status_code, "expected the id of a logged prediction" in unknown.text) == (404, True)


CHAT = """
[project]
name = "desk"
task = "generation"
[data]
source = "chats.jsonl"
target = "answer"
[split]
near_duplicates = 0
[candidates.retrieval]
"""


def test_a_conversation_goes_on_where_it_was(tmp_path):
    topics = ("password", "invoice", "refund", "address")
    turns = [
        [{"role": "user", "content": f"Where is my {topic} {at}?"}, {"role": "assistant", "content": f"Open {topic}."}]
        for at in range(10)
        for topic in topics
    ]
    (tmp_path / "chats.jsonl").write_text("\n".join(json.dumps({"messages": each}) for each in turns) + "\n")
    (tmp_path / "bakeoff.toml").write_text(CHAT)
    with Project(tmp_path) as project:
        project.run()
        tracking = Tracking(records=project.records, blobs=project.blobs, clock=wiring.now_ms, scratch=tmp_path)
        with TestClient(create_tracking_app(tracking, pages=Pages(tracking, project).routes())) as client:
            assert "data-again" in client.get("/endpoints/desk").text
            first = client.post("/endpoints/desk/try", data={"in.messages": "my <b>refund</b>?"}, headers=OWN)
            assert "Open refund." in first.text
            data = {"in.messages": "and my invoice?", "turns": Markup(first.text).fields["turns"]}
            second = Markup(client.post("/endpoints/desk/try", data=data, headers=OWN).text)
            wrong = client.post("/endpoints/desk/try", data={**data, "turns": "x"}, headers=OWN)
        last = list(project.events.read(PredictionEvent))[-1]
    said = json.loads(second.fields["turns"])
    assert [each["role"] for each in said] == ["user", "assistant", "user", "assistant"]
    assert [each["content"] for each in said[:3]] == ["my <b>refund</b>?", "Open refund.", "and my invoice?"]
    assert "and my invoice?" in str(last.row["messages"])
    assert "Open refund." in str(last.row["messages"])
    assert (wrong.status_code, "expected messages as JSON" in wrong.text) == (400, True)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("metric=accuracy", "the metric is accuracy"),
        ("metric=nothing", "expected one of"),
        ("margin=x", "expected a number"),
        ("margin=-1", "margin: expected a finite number of at least 0"),
        ("gate=f1_macro&least=0&most=&sure=2", "received confidence = 2"),
        ("gate=f1_macro&least=2&most=&sure=", "Nobody"),
    ],
)
def test_the_verdict_by_other_rules(client, query, told):
    answer = client.get(f"/verdict?{query}")
    assert answer.status_code == 200
    assert told.lower() in answer.text.lower()


@pytest.mark.parametrize(("decided", "first"), [("accuracy", 0.7), ("log_loss", 0.9)])
@pytest.mark.parametrize("asked", ["accuracy", "log_loss"])
def test_slices_begin_with_the_weakest_by_the_metric_that_they_have(decided, first, asked):
    parts = [Slice(column="year", slice=str(value), rows=9, value=value) for value in (0.9, 0.7, 0.8)]
    outcome = SimpleNamespace(
        fine=[SimpleNamespace(name="linear", slices=parts)],
        task="classification",
        verdict=SimpleNamespace(metric=decided),
    )
    by_rules = SimpleNamespace(outcome=outcome, verdict=SimpleNamespace(metric=asked))
    assert _slices(by_rules, ["linear"])[0][0].value == first


def test_callers_see_what_they_reach_and_are_offered_what_they_may(filled):
    tokens = AccessTokens(filled.project.records.documents, Roles({}), filled.tracking.clock)
    pages = Pages(filled.tracking, filled.project).routes()
    app = create_tracking_app(filled.tracking, authenticator=TokenAuthenticator(tokens), pages=pages)

    def caller(*roles, scopes=()):
        text = tokens.create("x", roles=roles, scopes=scopes)[1]
        return {"authorization": f"Bearer {text}", **OWN}

    with TestClient(app) as client:
        assert client.get("/runs").status_code == 401
        viewer = caller("viewer")
        assert "Promote" not in client.get("/endpoints/films", headers=viewer).text
        assert client.post("/endpoints/films/change", data={"what": "pause"}, headers=viewer).status_code == 403
        assert "Promote" in client.get("/endpoints/films", headers=caller("operator")).text
        elsewhere = caller("admin", scopes=["experiment:films"])
        assert client.get("/endpoints/films", headers=elsewhere).status_code == 403
        assert client.get(f"/predictions/{filled.prediction}", headers=elsewhere).status_code == 404
        assert client.get(f"/runs/{filled.nasty_run}", headers=elsewhere).status_code == 404
        assert client.get("/verdict", headers=elsewhere).status_code == 403


def test_rows_of_the_queue_are_labelled_one_after_the_other(client, filled):
    batch = filled.project.review.pick(4, shares={"random": 1.0}).id
    first = client.post("/review/take", data={"batch": batch}, headers=OWN)
    assert ("What is true here?" in first.text, "Why you are asked" in first.text) == (True, True)
    row = str(first.url.path)
    wrong = client.post(row, data={"what": "label", "label": "maybe"}, headers=OWN)
    assert (wrong.status_code, "means something to the model" in wrong.text) == (400, True)
    second = client.post(row, data={"what": "label", "label": "no"}, headers=OWN)
    assert str(second.url.path) == row[:-1] + "1"
    third = client.post(str(second.url.path), data={"what": "skip"}, headers=OWN)
    back = client.post(str(third.url.path), data={"what": "back"}, headers=OWN)
    assert "given back" in back.text
    progress = filled.project.review.progress(batch)[0]
    assert (progress.done, progress.skipped, sum(progress.by.values())) == (2, 1, 1)


def test_after_the_last_row_of_a_batch_comes_one_of_another(client, filled):
    review = filled.project.review
    last, other = (review.pick(2, shares={"random": 1.0}).id for _ in range(2))
    at = f"/review/{last}/0"
    client.post("/review/take", data={"batch": last}, headers=OWN)
    for _ in range(2):
        after = client.post(at, data={"what": "label", "label": "no"}, headers=OWN)
        at = after.url.path
    assert at.startswith("/review/")
    assert last not in at
    assert "What is true here?" in after.text
    assert sum(each.done for each in review.progress(last)) == 2
    assert sum(each.done for each in review.progress(other)) == 0


def test_who_says_yes_to_a_winner_where_none_waits_is_told_so(client):
    answer = client.post("/loop/decide", data={"what": "approve"}, headers=OWN)
    assert answer.status_code == 409
    assert "expected approve or reject" in client.post("/loop/decide", data={"what": "x"}, headers=OWN).text


def test_people_who_sign_in_send_forms_of_their_session(filled):
    pytest.importorskip("argon2")
    from bakeoff.config.sections import AuthConfig
    from bakeoff.project import wiring
    from bakeoff.web.people import access

    auth, documents = AuthConfig(required=True, public_url="https://pages.example"), filled.project.records.documents
    wiring.people(auth, documents, wiring.now_ms).add("ada", "correct horse battery", roles=["contributor"])
    here = SimpleNamespace(records=filled.project.records, auth=auth)
    authenticator, people = access(here, secure=True)
    pages = [*Pages(filled.tracking, filled.project).routes(), *people.routes()]
    app = create_tracking_app(filled.tracking, authenticator=authenticator, pages=pages)
    same, browses = {"origin": "https://pages.example"}, {"sec-fetch-dest": "document"}
    with TestClient(app, base_url="https://pages.example", follow_redirects=False) as client:
        sent = client.get("/runs?group=status", headers=browses)
        assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in?next=/runs%3Fgroup%3Dstatus")
        plain = client.get("/runs", headers={"accept": "text/html,*/*;q=0.8"})  # browsers say no more without TLS
        assert (plain.status_code, plain.headers["location"]) == (303, "/sign-in?next=/runs")
        assert client.get("/runs", headers={"accept": "*/*"}).status_code == 401
        client.post("/sign-in", data={"name": "ada", "password": "correct horse battery"}, headers=same)
        page = client.get(f"/runs/{filled.nasty_run}").text
        assert "Sign out ada" in page
        token = page.split('name="csrf" value="')[1].split('"')[0]
        note = f"/runs/{filled.nasty_run}/note"
        assert client.post(note, data={"note": "x"}, headers=same).status_code == 403
        assert client.post(note, data={"note": "by ada", "csrf": token}, headers=same).status_code == 303
        tags = filled.project.records.runs.get(filled.nasty_run).tags
        assert tags["mlflow.note.content"] == "by ada"
        refused = client.post("/endpoints/films/change", data={"what": "pause", "csrf": token}, headers=same)
        assert refused.status_code == 403  # a contributor moves no routes


def test_a_run_whose_only_tag_is_its_note_has_no_tags(client, filled):
    records = filled.project.records
    run = records.runs.start(records.experiments.search(Query(limit=1)).items[0].experiment_id, "noted")
    client.post(f"/runs/{run.run_id}/note", data={"note": "alone"}, headers=OWN)
    page = client.get(f"/runs/{run.run_id}").text
    records.runs.apply([RunChange(run_id=run.run_id, lifecycle="deleted")])
    assert ("alone" in page, "None were set." in page) == (True, True)


def asking(filled):
    """The pages for callers with tokens, and what makes the headers of one."""
    tokens = AccessTokens(filled.project.records.documents, Roles({}), filled.tracking.clock)
    pages = Pages(filled.tracking, filled.project).routes()
    app = create_tracking_app(filled.tracking, authenticator=TokenAuthenticator(tokens), pages=pages)

    def caller(*roles, scopes=()):
        return {"authorization": f"Bearer {tokens.create('x', roles=roles, scopes=scopes)[1]}", **OWN}

    return app, caller


def test_the_overview_is_for_who_reaches_all_that_it_shows(filled):
    app, caller = asking(filled)
    with TestClient(app) as client:
        for scopes in (["endpoint:films"], ["endpoint:*"], ["experiment:*"], ["model:*"]):
            for at in ("/", "/overview/live"):
                assert client.get(at, headers=caller("viewer", scopes=scopes)).status_code == 403, (at, scopes)
        nearly = client.get("/", headers=caller("viewer", scopes=["endpoint:*", "experiment:*"]))
        everything = client.get("/", headers=caller("viewer"))
        assert (nearly.status_code, everything.status_code) == (200, 200)
        changes = '<span class="muted">by '
        happened = [page.text.split('id="happened"')[1] for page in (nearly, everything)]
        assert [changes in each for each in happened] == [False, True]  # changes are of models, too
        assert all("/runs/" in each for each in happened)


def test_pages_of_models_and_of_the_loop_name_no_endpoint_out_of_reach(filled):
    app, caller = asking(filled)
    live = filled.project.endpoints.show().live
    at = f"/models/films/{live.number}"
    with TestClient(app) as client:
        models, both = caller("admin", scopes=["model:*"]), caller("admin", scopes=["model:*", "endpoint:films"])
        assert ["live on films" in client.get("/models", headers=each).text for each in (models, both)] == [False, True]
        assert ["/endpoints/films" in client.get(at, headers=each).text for each in (models, both)] == [False, True]
        loop, whole = caller("admin", scopes=["experiment:*"]), caller("admin")
        assert ["films: canary" in client.get("/loop", headers=each).text for each in (loop, whole)] == [False, True]
        assert client.post("/loop/decide", data={"what": "approve"}, headers=loop).status_code == 403


def test_callers_of_another_endpoint_or_model_have_theirs(filled):
    app, caller = asking(filled)
    project, records = filled.project, filled.project.records
    project.endpoints.create("mail")
    records.versions.register("model", "letters", "c" * 64)
    queue = ReviewQueue(records.documents, filled.tracking.clock, lease_ms=60_000)
    batch = {"id": "ofmail", "endpoint": "mail", "created_by": "x", "rows": 1, "random": 0, "population": 1}
    row = ReviewRow(batch="ofmail", position=0, id="p", endpoint="mail", model_version="m/1", row={}, answer="eleven")
    queue.add(ReviewBatch(**batch, created_ms=1), [row])
    with TestClient(app, follow_redirects=False) as client:
        mail, films = (caller("admin", scopes=[f"endpoint:{name}"]) for name in ("mail", "films"))
        listed = client.get("/endpoints", headers=mail)
        assert (listed.status_code, "/endpoints/mail" in listed.text, "/endpoints/films" in listed.text) == (
            200,
            True,
            False,
        )
        letters = client.get("/models", headers=caller("viewer", scopes=["model:letters"]))
        assert (letters.status_code, "letters/1" in letters.text, "films" in letters.text) == (200, True, False)
        assert client.get("/models?name=films", headers=caller("viewer", scopes=["model:letters"])).status_code == 404
        batches = client.get("/review", headers=mail)
        assert (batches.status_code, "ofmail" in batches.text, filled.batch in batches.text) == (200, True, False)
        assert client.post("/review/pick", data={"budget": "1"}, headers=mail).status_code == 403
        other = client.post("/review/take", data={"batch": ""}, headers=films)
        assert (other.status_code, "ofmail" in other.headers["location"]) == (303, False)
        assert client.post("/review/take", data={"batch": "ofmail"}, headers=films).status_code == 404
        assert client.get("/review/ofmail/0", headers=films).status_code == 404
        unknown = client.post("/review/take", data={"batch": "nothing"}, headers=mail)
        assert (unknown.status_code, "ofmail" in unknown.text, filled.batch in unknown.text) == (404, True, False)
        taken = client.post("/review/take", data={"batch": ""}, headers=mail)
        assert taken.headers["location"] == "/review/ofmail/0"
        page = client.get("/review/ofmail/0", headers=mail).text
        assert '<textarea name="label" rows="3" required></textarea>' in page  # the model's answer would sway people
    project.review.close("ofmail")


def test_the_audit_log_names_the_caller_of_a_page_for_all_that_it_changes(filled):
    app, caller = asking(filled)
    project = filled.project
    other = next(
        each for each in project.models() if f"films/{each.number}" != project.endpoints.show().live.model_version
    )
    before = len(list(project.audit.records()))
    with TestClient(app) as client:
        operator = caller("operator")
        client.post("/review/pick", data={"budget": "1"}, headers=operator)
        client.post(
            "/endpoints/films/change", data={"what": "release", "model": f"films/{other.number}"}, headers=operator
        )
        client.post("/endpoints/films/change", data={"what": "undo"}, headers=operator)
    records = list(project.audit.records())[before:]
    assert {each.who for each in records} == {"token x"}
    assert {"review_batches written", "endpoint release", "model alias moved"} <= {each.action for each in records}


def test_numbers_and_times_of_a_client_end_no_page(client, filled):
    records = filled.project.records
    experiment = records.experiments.search(Query(limit=1)).items[0].experiment_id
    run = records.runs.start(experiment, "far", start_ms=-(10**14))
    values = [("huge", 1e308, 0), ("huge", -1e308, 1), ("late", 1.0, 2**62), ("tiny", 5e-324, 1)]
    metrics = [Metric(key=key, value=value, step=step) for key, value, step in values]
    records.runs.apply([RunChange(run_id=run.run_id, metrics=metrics)])
    answers = [client.get(f"/runs/{run.run_id}"), client.get(address("/runs", filter="run_name = 'far'"))]
    records.runs.apply([RunChange(run_id=run.run_id, lifecycle="deleted")])
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].text.count("<polyline") == 3


def test_an_old_bake_off_is_listed_after_many_other_runs(empty, monkeypatch):
    records = MemoryRecords(empty.tracking.clock)
    experiment = records.experiments.open("empty").experiment_id
    old = records.runs.start(experiment, "bake-off", tags={"bakeoff.kind": "pass"}, start_ms=1)
    records.runs.apply([RunChange(run_id=old.run_id, status="FINISHED")])
    running = records.runs.start(experiment, "bake-off", tags={"bakeoff.kind": "pass"}, start_ms=2)
    for at in range(501):
        records.runs.start(experiment, f"other {at}")
    monkeypatch.setitem(empty.project._opened, "records", records)
    assert [each.run_id for each in empty.project.bake_offs()] == [running.run_id, old.run_id]
    assert [each.run_id for each in empty.project.bake_offs(finished=True, limit=1)] == [old.run_id]
    with TestClient(empty.app) as client:
        assert f"/runs/{old.run_id}" in client.get("/loop").text


def test_an_endpoint_that_services_answer_says_so(tmp_path):
    upstreams = (
        '[{ url = "http://127.0.0.1:9/v1", model = "small" }, { url = "http://127.0.0.1:9/v1", model = "large" }]'
    )
    (tmp_path / "bakeoff.toml").write_text(f"{EMPTY}\n[endpoints.chat]\nupstreams = {upstreams}\n")
    with Project(tmp_path) as project:
        tracking = Tracking(records=project.records, blobs=project.blobs, clock=wiring.now_ms, scratch=tmp_path)
        with TestClient(create_tracking_app(tracking, pages=Pages(tracking, project).routes())) as client:
            listed, page = client.get("/endpoints").text, client.get("/endpoints/chat").text
    assert ("asks small, then large" in listed, "nothing released" in listed) == (True, False)
    assert ("Services answer" in page, "is released" in page) == (True, False)


def test_a_sum_of_a_client_that_no_number_holds_ends_no_page(client, filled):
    huge = f'{{"total_cost": 1{"0" * 400}, "total_tokens": 1{"0" * 400}}}'
    given = [("mlflow.llm.cost", huge), ("mlflow.chat.tokenUsage", huge)]
    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in given]
    times = {"startTimeUnixNano": "1790000000000000000", "endTimeUnixNano": "1790000000100000000"}
    span = {"traceId": "cd" * 16, "spanId": "01" * 8, "name": "huge", "attributes": attributes, **times}
    body = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}
    read = spans_of(json.dumps(body).encode(), kind="application/json", encoding=None)
    traces.take(filled.tracking, None, read)
    answers = [client.get(each).status_code for each in ("/traces", f"/traces/tr-{'cd' * 16}")]
    assert answers == [200, 200]


def links_of(text):
    """The boxes of a lineage's picture: where each leads, and its title."""
    boxes = text.split('<svg class="lineage"')[1].split("</svg>")[0].split("<a href=")[1:]
    return {box.split("<title>")[1].split("</title>")[0]: html.unescape(box.split('"')[1]) for box in boxes}


def test_lineage_is_a_picture_whose_boxes_lead_somewhere_and_a_table(client, filled):
    graph = filled.project.lineage_of(f"prediction:{filled.prediction}", direction="up")
    page = client.get(address("/lineage/graph", of=f"prediction:{filled.prediction}", direction="up")).text
    links = links_of(page)
    assert len(links) == len(graph.nodes)
    for node in graph.nodes:
        (url,) = [url for title, url in links.items() if title.startswith(f"{node.kind} {node.label[:40]}")]
        assert client.get(url).status_code == 200, url
    (here,) = [box for box in page.split("<a href=") if 'aria-current="true"' in box]
    assert f"/predictions/{filled.prediction}" in here
    table = page.split("<tbody>")[1].split("</tbody>")[0]
    assert table.count('<th scope="row">') == len(graph.nodes)
    assert "/lineage/graph?of=prediction" in client.get(f"/predictions/{filled.prediction}").text
    assert "/lineage/graph?of=model" in client.get(f"/models/films/{filled.project.models()[0].number}").text


def test_a_lineage_names_a_thing_and_no_file_of_the_server(client, filled):
    for thing in ("source:/etc/passwd", "source:films.csv", "/etc/passwd", "model:none/7", "nothing:x", ""):
        assert client.get(address("/lineage", of=thing)).status_code == 404, thing
    assert client.get(address("/lineage", of="model:films/1", direction="sideways")).status_code == 400


def test_a_time_of_a_thing_is_told_in_the_readers_zone_and_once(client, filled):
    page = client.get(address("/lineage", of=f"prediction:{filled.prediction}")).text
    facts = page.split('id="facts"')[1]
    assert facts.count("<time datetime=") == 1
    assert "time ms" not in facts


def test_a_snapshot_of_any_name_and_a_caller_of_any_name_are_text(filled, client):
    folder = filled.project.folder / NASTY[:40].replace("/", "_")
    folder.mkdir()
    (folder / "a.csv").write_text("a\n1\n")
    taken = filled.project.snapshots.take(folder)
    pages = [client.get(address("/lineage", of=f"snapshot:{taken.name}/{taken.number}")).text]
    tokens = AccessTokens(filled.project.records.documents, Roles({}), filled.tracking.clock)
    text = tokens.create(NASTY.replace("\u202e", ""), roles=["admin"])[1]
    headers = {"authorization": f"Bearer {text}", **OWN}
    routes = Pages(filled.tracking, filled.project).routes()
    app = create_tracking_app(filled.tracking, authenticator=TokenAuthenticator(tokens), pages=routes)
    with TestClient(app) as other:
        change = {"what": "pause", "why": NASTY}
        pages.append(other.post("/endpoints/films/change", data=change, headers=headers).text)
        other.post("/endpoints/films/change", data={"what": "undo", "why": NASTY}, headers=headers)
        batch = filled.project.review.pick(1, shares={"random": 1.0}).id
        other.post("/review/take", data={"batch": batch}, headers=headers)
        other.post(f"/review/{batch}/0", data={"what": "label", "label": "no"}, headers=headers)
        pages += [other.get(each, headers=headers).text for each in ("/", "/loop", "/review")]
        sent = {"fields": "loop.freeze loop.cool_down", "loop.freeze": NASTY, "loop.cool_down": NASTY, "by": NASTY}
        pages += [other.post(f"/loop/policy/{each}", data=sent, headers=headers).text for each in ("change", "preview")]
    for page in map(Markup, pages):
        assert "alert(" in page.text
        assert (page.handlers, page.foreign) == ([], [])
        assert [each for each in page.scripts if not each[1].startswith("/pages/")] == []


def test_of_thousands_of_things_the_picture_has_some_and_says_so():
    nodes = [LineageNode(id="dataset:films/1", kind="dataset", label="films/1")]
    nodes += [LineageNode(id=f"source:{at:064x}", kind="source", label=f"part-{at}.csv") for at in range(5000)]
    edges = [LineageEdge(of=each.id, made=nodes[0].id) for each in nodes[1:]]
    graph = LineageGraph(start=nodes[0].id, nodes=tuple(nodes), edges=tuple(edges))
    placed = places(graph, most=12)
    drawn = str(picture(graph, placed))
    assert (drawn.count("<a href="), drawn.count('class="edge"')) == (13, 12)
    assert "4,988 more: source" in drawn
    assert [len(column) for column in placed.columns] == [12, 1]


def test_who_reaches_a_model_alone_sees_nothing_else_of_its_lineage(filled):
    tokens = AccessTokens(filled.project.records.documents, Roles({}), filled.tracking.clock)
    text = tokens.create("m", roles=["viewer"], scopes=["model:films"])[1]
    pages = Pages(filled.tracking, filled.project).routes()
    app = create_tracking_app(filled.tracking, authenticator=TokenAuthenticator(tokens), pages=pages)
    with TestClient(app) as client:
        headers = {"authorization": f"Bearer {text}"}
        number = filled.project.models()[0].number
        page = client.get(address("/lineage", of=f"model:films/{number}"), headers=headers)
        assert {title.partition(" ")[0] for title in links_of(page.text)} == {"model"}
        hidden = address("/lineage", of=f"prediction:{filled.prediction}")
        assert client.get(hidden, headers=headers).status_code == 404
        for of in (hidden, address("/lineage", of="prediction:none")):  # nobody learns which of them there is
            assert "expected a thing that is known here" in client.get(of, headers=headers).text
        caller = {"authorization": f"Bearer {tokens.create('e', roles=['viewer'], scopes=['endpoint:films'])[1]}"}
        assert {title.partition(" ")[0] for title in links_of(client.get(hidden, headers=caller).text)} == {
            "release",
            "prediction",
        }


def test_of_many_runs_the_ranges_of_groups_come_after_the_groups(client, filled, monkeypatch):
    whole = client.get(address("/runs", group="params.depth", filter="tags.team = 't1'")).text
    monkeypatch.setattr("bakeoff.web.pages.runs.AT_ONCE", 0)
    first = client.get(address("/runs", group="params.depth", filter="tags.team = 't1'")).text
    url = html.unescape(first.split('data-load="')[-1].split('"')[0])
    table = whole[whole.index('<div class="scroll" tabindex="0" role="group" aria-label="Groups of runs">') :]
    table = table[: table.index("</table>")]
    assert url.startswith("/runs/groups?")
    assert first.count('<th scope="row"><a href=') == 4
    assert "…</td>" in first
    assert "…</td>" not in table
    assert table in client.get(url).text
    monkeypatch.setattr("bakeoff.stores.runs.Runs.search", None)  # the page before read the runs
    assert table in client.get(url).text


# --- the policy -----------------------------------------------------------------------------------

FILE = """
# the policy
[loop]
cool_down = "1h"  # a pause
feedback_rows = 1234567
"""


@pytest.fixture
def ruled(tmp_path):
    """A project with a policy in its file, and what a browser sends of its form."""
    (tmp_path / "bakeoff.toml").write_text(EMPTY + FILE)
    site = opened(tmp_path, tmp_path / "scratch")
    with TestClient(site.app, raise_server_exceptions=False) as client:
        yield SimpleNamespace(client=client, file=tmp_path / "bakeoff.toml", project=site.project)
    site.project.close()


def sent_of(page):
    """What a browser would send of the form of the policy."""
    fields = Markup(page).fields
    return {key: value for key, value in fields.items() if key == "fields" or "." in key}


def test_the_form_as_it_is_changes_nothing(ruled):
    page = ruled.client.get("/loop/policy").text
    sent = sent_of(page)
    assert sent["loop.triggers.quality"] == "1"
    assert sent["loop.feedback_rows"] == "1234567"  # as it is, and not rounded
    assert {each.key for each in ruled.project.cycles.policy.fields() if not each.fixed} == set(sent["fields"].split())
    assert "says all of this already" in ruled.client.post("/loop/policy/change", data=sent, headers=OWN).text


def test_a_policy_is_shown_as_a_difference_and_saved_with_its_comments(ruled):
    before = ruled.file.read_text()
    sent = sent_of(ruled.client.get("/loop/policy").text)
    sent |= {
        "loop.cool_down": "6h",
        "loop.approval": "1",
        "loop.budget.runs": "4",
        "loop.freeze": "fri 18:00/mon 06:00",
    }
    shown = ruled.client.post("/loop/policy/change", data=sent, headers=OWN)
    assert ruled.file.read_text() == before
    assert "+cool_down = &#34;6h&#34;  # a pause" in shown.text
    confirmed = Markup(shown.text).fields
    wrong = ruled.client.post("/loop/policy", data={**confirmed, "digest": ""}, headers=OWN)
    assert (wrong.status_code, ruled.file.read_text()) == (400, before)
    saved = ruled.client.post("/loop/policy", data={**confirmed, "why": "fewer runs"}, headers=OWN)
    assert (saved.url.path, "Saved in bakeoff.toml" in saved.text) == ("/loop", True)
    text = ruled.file.read_text()
    assert text.startswith(EMPTY)
    assert '# the policy\n[loop]\ncool_down = "6h"  # a pause\n' in text
    loop = ruled.project.config.loop
    assert (loop.approval, loop.budget.runs, loop.freeze) == (True, 4, ("fri 18:00/mon 06:00",))
    (record,) = [each for each in ruled.project.audit.records() if each.action == "policy changed"]
    assert (record.action, record.before["loop.cool_down"], record.after["loop.cool_down"], record.after["why"]) == (
        *("policy changed", "1h", "6h"),
        "fewer runs",
    )


def test_a_file_that_changed_meanwhile_is_not_overwritten(ruled):
    sent = sent_of(ruled.client.get("/loop/policy").text) | {"loop.cool_down": "6h"}
    confirmed = Markup(ruled.client.post("/loop/policy/change", data=sent, headers=OWN).text).fields
    other = ruled.file.read_text() + "# somebody else\n"
    ruled.file.write_text(other)
    refused = ruled.client.post("/loop/policy", data=confirmed, headers=OWN)
    assert (refused.status_code, "changed meanwhile" in refused.text) == (409, True)
    assert ruled.file.read_text() == other
    assert not [each for each in ruled.project.audit.records() if each.action == "policy changed"]


def test_all_that_is_wrong_with_a_policy_is_said_at_once(ruled):
    before = ruled.file.read_text()
    sent = sent_of(ruled.client.get("/loop/policy").text)
    sent |= {"loop.cool_down": "soon", "loop.feedback_rows": "many", "loop.budget.runs": "0"}
    for path in ("/loop/policy/change", "/loop/policy/preview"):
        page = ruled.client.post(path, data=sent, headers=OWN).text
        for key in ("loop.cool_down", "loop.feedback_rows", "loop.budget.runs"):
            assert f"bakeoff.toml: {key}: expected" in page
    assert ruled.client.post("/loop/policy", data={**sent, "digest": "x"}, headers=OWN).status_code == 400
    assert ruled.file.read_text() == before


def test_what_a_policy_would_have_cost_is_in_dollars(ruled):
    value = ReplayValue(value=0.5, low=0.4, high=0.6)
    step = ReplayStep(period="may", model=0, quality=value)
    policies = [
        PolicyReplay(
            policy=name,
            quality=value,
            gain=value,
            runs=1,
            promotions=0,
            alarms=0,
            false_alarms=0,
            seconds=2.0,
            usd=1.25,
            steps=(step,),
        )
        for name in ("loop", "beside", "never", "oracle")
    ]
    period = ReplayPeriod(name="may", end_ms=1, rows=9)
    result = ReplayResult(project="p", metric="f1", by="t", periods=(period,), policies=tuple(policies))
    shown = _looked(Preview(id="x", who="ada", began=0.0, seen=0.0, state="done", result=result))
    page = Site()._environment.get_template(shown.template).render({**shown.values, "csrf": ""})
    assert page.count('<td class="num">$1.2500</td>') == 4


def test_a_form_that_lacks_settings_leaves_them_as_they_are(ruled):
    before = ruled.file.read_text()
    for data in ({"x": "1"}, {"loop.cool_down": "6h"}, {"fields": "data.target", "data.target": "x"}):
        assert "says all of this already" in ruled.client.post("/loop/policy/change", data=data, headers=OWN).text
    assert ruled.file.read_text() == before


def test_what_a_variable_sets_cannot_be_changed_here(ruled, monkeypatch):
    monkeypatch.setenv("BAKEOFF_LOOP__APPROVAL", "true")
    page = ruled.client.get("/loop/policy").text
    assert "$BAKEOFF_LOOP__APPROVAL sets it." in page
    assert "loop.approval" not in sent_of(page)["fields"].split()


def test_who_may_not_release_changes_no_policy(filled):
    tokens = AccessTokens(filled.project.records.documents, Roles({}), filled.tracking.clock)
    pages = Pages(filled.tracking, filled.project).routes()
    app = create_tracking_app(filled.tracking, authenticator=TokenAuthenticator(tokens), pages=pages)
    before = (filled.project.folder / "bakeoff.toml").read_text()
    with TestClient(app) as client:
        for role, status in (("viewer", 403), ("contributor", 403), ("operator", 200), ("admin", 200)):
            text = tokens.create(role, roles=[role])[1]
            headers = {"authorization": f"Bearer {text}", **OWN}
            data = {"fields": "loop.cool_down", "loop.cool_down": "6h"}
            assert client.post("/loop/policy/change", data=data, headers=headers).status_code == status, role
            assert ("/loop/policy" in client.get("/loop", headers=headers).text) == (status == 200)
            if status != 200:
                assert client.post("/loop/policy", data=data, headers=headers).status_code == status
        assert client.post("/loop/policy", data=data, headers={"authorization": f"Bearer {text}"}).status_code == 403
    assert (filled.project.folder / "bakeoff.toml").read_text() == before
