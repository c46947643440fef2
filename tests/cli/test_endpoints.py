"""bakeoff endpoints: each change from the command line, its page and its document."""

import time

import jsonschema
import pytest

from bakeoff import Project
from bakeoff.cli.documents import schema_of


@pytest.fixture
def models(ran):
    """The live model, and another one."""
    with Project(ran) as project:
        live = project.release().model_version
        return live, next(f"{each.name}/{each.number}" for each in project.models() if each.number != int(live[-1]))


def test_a_rollout_from_the_command_line(bakeoff, ran, models):
    live, other = models

    def roles(*words):
        ended = bakeoff("endpoints", *words, "-C", ran, "--json")
        assert ended.code == 0, ended.err
        jsonschema.validate(ended.document, schema_of(f"endpoints {words[0]}"))
        return [(each["model"] + f"/{each['number']}", each["status"]) for each in ended.document["routes"]]

    assert roles("show") == [(live, "live")]
    assert roles("canary", other, "--share", "0.25", "--why", "try") == [(live, "live"), (other, "canary")]
    assert roles("pause") == [(live, "live"), (other, "canary")]
    assert roles("resume") == [(live, "live"), (other, "canary")]
    assert roles("promote") == [(other, "live")]
    assert roles("rollback") == [(live, "live")]
    assert roles("shadow", other) == [(live, "live"), (other, "shadow")]
    assert roles("undo") == [(live, "live")]
    assert roles("create", "mails") == []
    assert roles("release", other, "--endpoint", "mails") == [(other, "live")]
    ended = bakeoff("endpoints", "list", "-C", ran, "--json")
    jsonschema.validate(ended.document, schema_of("endpoints list"))
    assert [each["name"] for each in ended.document["endpoints"]] == ["films", "mails"]
    ended = bakeoff("endpoints", "steer", "--once", "-C", ran, "--json")
    jsonschema.validate(ended.document, schema_of("endpoints steer"))
    assert ended.document["rollouts"] == []


def test_the_page_tells_the_evidence_and_the_history(bakeoff, ran, models):
    live, other = models
    bakeoff("endpoints", "canary", other, "--share", "0.5", "-C", ran, "--why", "a first try")
    with Project(ran) as project:
        engine = project.engine()
        for _ in range(30):
            engine.predict([{"review": "good film", "year": 2021}])
    page = bakeoff("endpoints", "show", "-C", ran).out
    assert f"canary {other}: wait" in page
    assert "errors: 0.0% of" in page
    assert "a first try" in page
    listed = bakeoff("endpoints", "-C", ran).out
    assert live in listed
    assert other in listed


def test_what_cannot_be_done_is_told(bakeoff, ran):
    ended = bakeoff("endpoints", "promote", "-C", ran)
    assert (ended.code, "found none" in ended.errors[0]) == (1, True)
    ended = bakeoff("endpoints", "show", "fims", "-C", ran)
    assert "Did you mean 'films'?" in ended.errors[0]


def test_another_steerer_that_is_at_work_is_told(bakeoff, ran, models):
    bakeoff("endpoints", "canary", models[1], "--share", "0.004", "-C", ran)
    assert bakeoff("endpoints", "steer", "--once", "-C", ran).out.startswith(f"canary {models[1]}: wait")
    with Project(ran) as project:
        until_ms = int(time.time() * 1e3) + 20_000
        documents = project.records.documents
        documents.put("leases", "steerer", {"holder": "a server", "until_ms": until_ms})
    assert "another steerer has the lease until" in bakeoff("endpoints", "steer", "--once", "-C", ran).out
    ended = bakeoff("endpoints", "steer", "--once", "-C", ran, "--json")
    jsonschema.validate(ended.document, schema_of("endpoints steer"))
    assert (ended.document["rollouts"], ended.document["steered_until_ms"]) == ([], until_ms)
    assert "99.6%" in bakeoff("endpoints", "show", "-C", ran).out
    assert "0.4%" in bakeoff("endpoints", "list", "-C", ran).out
