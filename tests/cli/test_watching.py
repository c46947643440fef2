"""`bakeoff top`: the loop in a terminal; `bakeoff mcp`: the command as a client of the protocol starts it."""

import asyncio
import json
import sys

import pytest
from typer.testing import CliRunner

from bakeoff.cli.main import app


def test_top_shows_each_stage_once_and_as_json(ran):
    shown = CliRunner().invoke(app, ["top", "--once", "-C", str(ran)])
    assert shown.exit_code == 0, shown.output
    for word in ("Verdict", "Champion", "films/", "rows, last hour", "starts the next run", "drift"):
        assert word in shown.output
    told = json.loads(CliRunner().invoke(app, ["top", "--json", "-C", str(ran)]).stdout)
    assert [each["name"] for each in told["stages"]][:4] == ["Run", "Data", "Candidates", "Verdict"]
    assert len(told["rows"]) == 60


def test_an_agent_starts_the_command_and_asks_over_its_pipes(tmp_path):
    mcp = pytest.importorskip("mcp", reason="needs the extra mcp: pip install 'bakeoff[mcp]'")
    from mcp.client.stdio import stdio_client

    (tmp_path / "films.csv").write_text("review,liked\ngood,yes\nbad,no\n")
    (tmp_path / "bakeoff.toml").write_text(
        '[project]\nname = "films"\ntask = "classification"\n'
        '[data]\nsource = "films.csv"\ntarget = "liked"\n[candidates.linear]\n'
    )

    async def asked():
        command = mcp.StdioServerParameters(command=sys.executable, args=["-m", "bakeoff", "mcp", "-C", str(tmp_path)])
        async with stdio_client(command) as (read, write), mcp.ClientSession(read, write) as session:
            about = await session.initialize()
            return about.server_info.name, await session.call_tool("status", {})

    name, status = asyncio.run(asyncio.wait_for(asked(), 60))
    assert name == "bakeoff: films"
    assert json.loads(status.content[0].text)["endpoint"] == "films"
