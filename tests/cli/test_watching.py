"""`bakeoff top`: the loop in a terminal."""

import json

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
