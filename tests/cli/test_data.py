"""`bakeoff data …`: contract, card and show as a user calls them."""

import json
import re


def test_a_contract_is_written_checked_and_never_written_over_when_edited(bakeoff, films_project):
    written = bakeoff("data", "contract", "-C", films_project)
    assert written.code == 0
    assert 'contract = "contract.toml"' in written.out
    file = films_project / "contract.toml"
    assert "# seen: 1950 to 2020" in file.read_text()
    assert bakeoff("data", "contract", "-C", films_project).code == 0  # nobody edited it
    kept = bakeoff("data", "contract", "--check", "-C", films_project)
    assert (kept.code, kept.out.splitlines()[-1].endswith("300 rows: all kept")) == (0, True)

    file.write_text(re.sub("max = 20[0-9]+", "max = 2000", file.read_text()))
    refused = bakeoff("data", "contract", "-C", films_project)
    assert refused.code == 2
    assert "--force" in refused.errors[0]
    violated = bakeoff("data", "contract", "--check", "--json", "-C", films_project)
    assert violated.code == 3
    assert violated.document["errors"] == 1
    assert violated.document["violations"][0]["rule"] == "range"
    assert violated.document["violations"][0]["rows"]
    assert bakeoff("data", "contract", "--force", "-C", films_project).code == 0
    assert "max = 2000" not in file.read_text()


def test_checking_needs_a_contract(bakeoff, films_project):
    ended = bakeoff("data", "contract", "--check", "-C", films_project)
    assert ended.code == 2
    assert "bakeoff data contract" in ended.errors[0]


def test_a_run_that_violates_the_contract_ends_with_3(bakeoff, films_project):
    assert bakeoff("data", "contract", "-C", films_project).code == 0
    file = films_project / "bakeoff.toml"
    file.write_text(file.read_text().replace('target = "liked"', 'target = "liked"\ncontract = "contract.toml"'))
    with (films_project / "films.csv").open("a") as data:
        data.write("good film,9999,yes\n")
    ended = bakeoff("run", "--json", "-C", films_project)
    assert ended.code == 3
    assert ended.document["error"]["type"] == "ContractError"
    assert "row 301: 9999" in ended.document["error"]["message"]


def test_the_card_in_every_form(bakeoff, ran, tmp_path):
    told = bakeoff("data", "card", "-C", ran)
    assert told.code == 0
    assert "300 rows, 3 columns" in told.out
    page = tmp_path / "data-card.html"
    written = bakeoff("data", "card", "--html", page, "--png", tmp_path / "png", "--json", "-C", ran)
    assert written.document["rows"] == 300
    assert str(page) in written.document["files"]
    assert page.read_text().startswith("<!doctype html>")
    assert (tmp_path / "png" / "column-1.png").exists()
    bakeoff("report", "--html", tmp_path / "report.html", "-C", ran)
    assert '<a href="data-card.html">' in (tmp_path / "report.html").read_text()


def test_show_tells_the_version(bakeoff, ran, films_project):
    shown = bakeoff("data", "show", "-C", ran)
    assert shown.out.startswith("dataset   films/1")
    assert "source    source: films.csv" in shown.out
    found = bakeoff("data", "show", "--json", "--version", "1", "-C", ran).document["versions"]
    assert [each["number"] for each in found] == [1]
    assert bakeoff("data", "show", "--version", "7", "-C", ran).code == 1
    assert "no dataset version yet" in bakeoff("data", "show", "-C", films_project).out
    assert json.loads(bakeoff("data", "show", "--json", "-C", films_project).out) == {"format": 1, "versions": []}
