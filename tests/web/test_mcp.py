"""The server for agents, asked by the protocol's own client."""

import asyncio
import json

import pytest

from bakeoff import Project

mcp = pytest.importorskip("mcp", reason="needs the extra mcp: pip install 'bakeoff[mcp]'")


def asked(project, *calls, may_run=False):
    """The names of the tools, and what they answer to calls."""
    from bakeoff.web.mcp import mcp_server

    async def session():
        async with mcp.Client(mcp_server(project, may_run=may_run)) as client:
            tools = [each.name for each in (await client.list_tools()).tools]
            return tools, [await client.call_tool(name, given) for name, given in calls]

    return asyncio.run(session())


def body(result):
    assert not result.is_error, result.content
    return json.loads(result.content[0].text)


def test_agents_read_what_ran_was_decided_and_answers(ran):
    with Project(ran) as project:
        project.predict([{"review": "good film", "year": 1999}])
        last = project.last()
        filters = {"filter": "metrics.f1_macro > 0", "limit": 1}
        calls = [("status", {}), ("runs", filters), ("verdict", {}), ("what_if", {"metric": "accuracy"})]
        tools, answers = asked(project, *calls, ("signals", {}), ("endpoints", {}), ("lineage", {}))
        status, runs, verdict, what_if, signals, endpoints, lineage = map(body, answers)
    assert tools == ["status", "runs", "verdict", "what_if", "signals", "endpoints", "lineage"]
    live = endpoints["endpoints"][0]["routes"][0]
    assert status["champion"] == f"{live['model']}/{live['number']}"
    assert (len(runs["runs"]), runs["runs"][0]["experiment"]) == (1, "films")
    assert verdict["verdict"]["winner"] == last.verdict.winner
    assert what_if["changed"] == ["the metric is accuracy"]
    assert signals == {"endpoint": "films", "report": None}
    assert "model" in {each["kind"] for each in lineage["nodes"]}


def test_agents_start_runs_only_where_they_may(ran):
    with Project(ran) as project:
        _, (refused,) = asked(project, ("start_run", {}))
        assert refused.is_error
        tools, (answer,) = asked(project, ("start_run", {}), may_run=True)
        assert "start_run" in tools
        assert body(answer)["unchanged"] is True


def test_an_argument_that_a_tool_has_not_is_refused(ran):
    with Project(ran) as project:
        _, answers = asked(project, ("what_if", {"gates": {"f1_macro": {"min": 1.0}}}), ("status", {"endpoint": "x"}))
    assert [each.is_error for each in answers] == [True, True]
    assert "gates" in answers[0].content[0].text


def test_what_is_wrong_is_told(ran):
    with Project(ran) as project:
        _, (filtered, lost) = asked(project, ("runs", {"filter": "metrics.x >"}), ("lineage", {"thing": "nothing"}))
    assert filtered.is_error
    assert "Invalid clause" in filtered.content[0].text
    assert lost.is_error
