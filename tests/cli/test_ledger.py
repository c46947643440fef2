"""The ledger in commands: what init would lose, what a run lost, what monitoring could not use; and as JSON."""

import json

import pytest
from typer.testing import CliRunner

from bakeoff.cli.main import app

ROWS = "".join(
    f"{word} film {n},{n % 7},{label}\n" for n in range(60) for word, label in (("good", "yes"), ("bad", "no"))
)
TABLE = "review,year,liked\n" + ROWS + "good film,1,yes,more\n" + "fine film,2,\n" * 5


def call(*given):
    return CliRunner().invoke(app, [*map(str, given)], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "films.csv").write_text(TABLE)
    return tmp_path


def test_init_says_what_would_be_lost(folder):
    page = call("init", "films.csv", "--target", "liked", "-C", folder)
    assert "ledger: 126 rows read, 120 used, 6 lost (5%)" in page.stdout
    assert "LOST: 5% of the rows are lost: no model has seen them" in page.stdout
    assert "too many cells" in page.stdout
    (folder / "bakeoff.toml").unlink()
    found = json.loads(call("init", "films.csv", "--target", "liked", "-C", folder, "--json").stdout)
    assert (found["ledger"]["rows_in"], found["ledger"]["rows_lost"]) == (126, 6)
    assert {loss["reason"]: loss["count"] for loss in found["ledger"]["losses"]} == {
        "too many cells": 1,
        "target missing": 5,
    }


def test_init_of_clean_data_says_so_in_a_line(folder):
    (folder / "films.csv").write_text("review,year,liked\n" + ROWS)
    assert (
        "ledger: nothing was lost: 120 rows read, all used\n"
        in call("init", "films.csv", "--target", "liked", "-C", folder).stdout
    )


def test_more_lost_than_allowed_is_exit_1_with_the_reasons(folder):
    call("init", "films.csv", "--target", "liked", "-C", folder)
    file = folder / "bakeoff.toml"
    file.write_text(file.read_text().replace('target = "liked"', 'target = "liked"\nmax_lost = 0.01'))
    from bakeoff.core.errors import DataError

    with pytest.raises(DataError, match=r"expected at most 0\.01 .* \(6 of 126\)") as caught:
        call("run", "-C", folder)
    assert caught.value.exit_code == 1
    assert "5 rows, target missing" in str(caught.value)


def test_every_command_shows_the_ledger_of_a_run(folder, third_party):
    (folder / "bakeoff.toml").write_text(
        '[project]\nname = "films"\n[data]\nsource = "films.csv"\ntarget = "liked"\n'
        '[candidates.first]\nfamily = "firstword"\n[decide]\nresamples = 100\n'
    )
    headline = "ledger: 126 rows read, 120 used, 6 lost (5%)"
    document = json.loads(call("run", "-C", folder, "--json").stdout)
    assert document["ledger"]["rows_lost"] == 6
    assert document["dataset"]["set_aside"] == {"target missing": 5}  # the key of before is still there
    assert headline.removeprefix("ledger: ") in call("data", "show", "-C", folder).stdout
    for command in (("run",), ("report",), ("status",), ("data", "card")):
        assert headline in call(*command, "-C", folder).stdout, command
    assert headline.removeprefix("ledger: ") in call("lineage", "-C", folder).stdout
    assert headline.removeprefix("ledger: ") in call("report", "--markdown", "-C", folder).stdout
    assert json.loads(call("report", "--json", "-C", folder).stdout)["ledger"] == document["ledger"]
    assert json.loads(call("data", "card", "--json", "-C", folder).stdout)["ledger"]["rows_lost"] == 6
    call("feedback", "nobody", "yes", "-C", folder)
    monitored = call("monitor", "-C", folder).stdout
    assert "no prediction has this id" in monitored
    seen = json.loads(call("monitor", "--json", "-C", folder).stdout)["ledger"]
    assert [(loss["kind"], loss["count"]) for loss in seen["losses"]] == [("feedback", 1)]
