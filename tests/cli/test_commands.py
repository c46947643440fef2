"""The commands on a small project: documents, pages and exit codes."""

import json
import platform
import sys
import time
from types import SimpleNamespace

import jsonschema
import polars as pl
import pytest

from bakeoff import Project
from bakeoff.actions import doctor, extras
from bakeoff.cli.documents import schema_of
from bakeoff.core.events import PredictionEvent

ROW = '{"review": "good film", "year": 2000}'


def test_a_run_ends_with_the_document_of_the_design(films_project, bakeoff):
    ended = bakeoff("run", "-C", films_project, "--json")
    assert ended.code == 0
    document = ended.document
    assert {"run_id", "dataset", "candidates", "verdict", "endpoint", "unchanged"} <= document.keys()
    assert document["verdict"]["winner"] in {"first", "second"}
    assert document["verdict"]["promoted"]
    assert document["endpoint"] == "films"
    for candidate in document["candidates"]:
        assert candidate["status"] == "ok"
        assert candidate["model_version"].startswith("films/")
        assert candidate["metrics"]["f1_macro"].keys() == {"value", "low", "high", "method", "reason"}
        assert {"p50", "p95"} <= candidate["latency_ms"].keys()
    again = bakeoff("run", "-C", films_project, "--json")
    assert again.document == {**document, "unchanged": True}


def test_all_that_can_be_looked_up_after_a_run(ran, bakeoff):
    answers = bakeoff("predict", ROW, "-C", ran, "--json").document["predictions"]
    assert answers[0]["label"] == "yes"
    told = bakeoff("feedback", answers[0]["id"], "yes", "-C", ran, "--json")
    assert told.document == {"accepted": 1, "unmatched": 0, "unusable": 0, "problems": [], "format": 1}
    for command in ("report", "status", "runs", "models", "lineage", "config", "doctor", "monitor"):
        as_json, as_text = bakeoff(command, "-C", ran, "--json"), bakeoff(command, "-C", ran)
        assert (as_json.code, as_text.code) == (0, 0), command
        assert as_json.document
        assert as_text.out.strip()
    turn = bakeoff("loop", "--once", "-C", ran, "--json")
    assert turn.code == 0
    assert turn.document["run"] is None


def test_the_loop_tells_where_it_stands_and_what_it_did(ran, bakeoff):
    assert bakeoff("loop", "explain", "-C", ran).code == 1  # no cycle yet
    with (ran / "bakeoff.toml").open("a") as file:
        file.write("[loop]\napproval = true\n")
    source = ran / "films.csv"
    source.write_text(source.read_text() + "good film for all,2001,yes\n" * 3)
    turn = bakeoff("loop", "--once", "-C", ran, "--json")
    cycle = turn.document["cycle"]
    assert (cycle["number"], cycle["state"], cycle["open"], turn.code) == (1, "approval", True, 3)
    status = bakeoff("loop", "status", "-C", ran, "--json").document
    assert ([each["number"] for each in status["recent"]], status["cycle"]["state"]) == ([1], "approval")
    assert bakeoff("loop", "explain", "1", "-C", ran).out.startswith("cycle 1 (data): approval")
    approved = bakeoff("loop", "approve", "--why", "looked at it", "-C", ran, "--json")
    decisions = approved.document["decisions"]
    assert [each["state"] for each in decisions[-2:]] == ["approved", "promoted"]
    assert decisions[-2]["why"] == "looked at it"
    assert bakeoff("loop", "status", "-C", ran).out.startswith("no cycle is open\na run would wait: cool_down = '1h'")
    assert bakeoff("loop", "reject", "-C", ran).code == 1  # nothing waits
    assert bakeoff("models", "retire", "-C", ran, "--json").document == {"models": [], "archived": False, "format": 1}
    assert bakeoff("models", "retire", "--propose", "--apply", "-C", ran).code == 2


def test_a_failed_gate_is_exit_code_3_and_says_so(films_project, bakeoff):
    with (films_project / "bakeoff.toml").open("a") as file:
        file.write("gates = { f1_macro = { min = 1.5 } }\n")
    ended = bakeoff("run", "-C", films_project, "--json")
    assert ended.code == 3
    assert ended.document["verdict"]["winner"] is None
    assert bakeoff("predict", ROW, "-C", films_project).code == 1


def test_when_every_candidate_fails_no_gate_is_blamed(films_project, bakeoff):
    toml = films_project / "bakeoff.toml"
    toml.write_text(toml.read_text().replace('family = "firstword"', 'family = "firstword"\ncrash = "error"'))
    ended = bakeoff("run", "-C", films_project, "--json")
    assert ended.code == 1
    assert [candidate["status"] for candidate in ended.document["candidates"]] == ["failed", "failed"]
    assert len(ended.errors) == 1
    assert "made to fail" in bakeoff("report", "-C", films_project).out


@pytest.mark.parametrize("command", ["report", "lineage", "monitor"])
def test_what_needs_a_run_says_so(films_project, bakeoff, command):
    ended = bakeoff(command, "-C", films_project, "--json")
    assert ended.code == 1
    assert ended.document["error"]["type"] == "NotFoundError"
    assert "bakeoff run" in ended.errors[0]


def test_sql_needs_its_extra_and_nothing_else_does(films_project, bakeoff, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    monkeypatch.setattr("bakeoff.core.families._installed", lambda name: name != "duckdb")
    (tmp_path / "shop.duckdb").write_bytes(b"12345678DUCK" + b"0" * 100)
    toml = films_project / "bakeoff.toml"
    whole = toml.read_text()
    of_database = whole.replace('"films.csv"', json.dumps(str(tmp_path / "shop.duckdb")))
    of_query = whole.replace("[data]", '[data]\nquery = "SELECT * FROM source"')
    for text, what in ((of_query, "[data] query"), (of_database, "shop.duckdb, a file of DuckDB,")):
        toml.write_text(text)
        error = bakeoff("run", "-C", films_project, "--json").document["error"]
        assert error["type"] == "MissingExtraError"
        assert f"{what} needs the module 'duckdb': pip install \"bakeoff[sql]\"" in error["message"]
    table = pl.read_csv(films_project / "films.csv")
    table.write_parquet(films_project / "films.parquet")
    toml.write_text(whole.replace('"films.csv"', '"films.parquet"'))
    for command in ("run", "report", "check", "status"):
        assert bakeoff(command, "-C", films_project).code == 0
    assert bakeoff("predict", "-f", films_project / "films.parquet", "-C", films_project).code == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (["--model", "linear"], "expected a row or the id of a prediction beside --model linear, received none"),
        (["--paid"], "expected a row or the id of a prediction beside --paid, received none"),
        (["someid", "--model", "2"], "explained by the model that made it; received model '2'"),
    ],
)
def test_what_an_explanation_cannot_heed_is_refused(ran, bakeoff, call, message):
    ended = bakeoff("explain", *call, "-C", ran)
    assert ended.code == 2
    assert message in ended.errors[0]


def test_rows_come_from_files_of_many_kinds(ran, bakeoff, tmp_path):
    (tmp_path / "rows.csv").write_text("review,year\ngood film,2000\nbad film,\n")
    (tmp_path / "rows.tsv").write_text("review\tyear\ngood film\t2000\nbad film\t\n")
    (tmp_path / "rows.jsonl").write_text('{"review": "good film"}\n\n{"review": "bad film"}\n')
    (tmp_path / "rows.json").write_bytes(b'\xef\xbb\xbf[{"review": "good film"}, {"review": "bad film"}]')
    for name in ("rows.csv", "rows.tsv", "rows.jsonl", "rows.json"):
        ended = bakeoff("predict", "-f", tmp_path / name, "-C", ran, "--json")
        assert [answer["label"] for answer in ended.document["predictions"]] == ["yes", "no"], name


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("", "nothing"),
        ("[1]", "received 1"),
        ('{"review": ', "truncated"),
        ('{"year": NaN}', "malformed"),
        ('{"review": "\\ud800"}', "JSON"),
        ("[" * 100_000, "depth"),
        ('{"year": "soon"}', "column 'year': expected a number"),
        ('{"review": ["a"]}', "column 'review': expected text"),
    ],
)
def test_rows_that_cannot_be_are_one_clear_error(ran, bakeoff, row, why):
    ended = bakeoff("predict", row, "-C", ran, "--json")
    assert ended.code == 1
    assert ended.document["error"]["type"] == "DataError"
    assert len(ended.errors) == 1
    assert why in ended.errors[0]


def test_items_of_feedback_files_that_make_no_sense_are_set_aside(ran, bakeoff, tmp_path):
    items = tmp_path / "items.jsonl"
    items.write_text('{"id": "a", "label": "yes"}\n{"id": "b"}\n{"id": "c", "rating": 1}\n')
    ended = bakeoff("feedback", "-f", items, "-C", ran, "--json")
    assert (ended.code, ended.document["accepted"], ended.document["unmatched"]) == (1, 0, 2)
    (loss,) = ended.document["ledger"]["losses"]
    assert (loss["kind"], loss["count"]) == ("row", 1)
    assert loss["examples"] == ["row 2: expected label, rating, correction, comment or implicit, received ['id']"]
    assert "3 rows read, 2 recorded, 1 lost" in ended.err
    items.write_text('{"id": "a", "label": "yes"}\n')
    ended = bakeoff("feedback", "-f", items, "-C", ran, "--json")
    assert (ended.code, ended.document["accepted"], ended.document["unmatched"]) == (1, 0, 1)


def test_a_project_is_made_and_run_from_another_folder(tmp_path, bakeoff, monkeypatch, films_project):
    source = films_project / "films.csv"
    monkeypatch.chdir(tmp_path.parent)
    made = bakeoff("init", source, "--target", "liked", "-C", tmp_path / "made", "--json")
    assert made.document["file"] == str(tmp_path / "made" / "bakeoff.toml")
    assert (made.document["ledger"]["rows_in"], made.document["ledger"]["rows_lost"]) == (300, 0)
    again = bakeoff("init", source, "--target", "liked", "-C", tmp_path / "made")
    assert again.code == 2
    assert "expected no project file yet" in again.errors[0]
    assert bakeoff("run", "-C", films_project, "--json").code == 0  # its source is relative to it


def test_settings_show_where_they_come_from(films_project, bakeoff, monkeypatch):
    monkeypatch.setenv("BAKEOFF_PROJECT__SEED", "7")
    settings = bakeoff("config", "-C", films_project, "--json").document
    assert settings["project.seed"] == {"value": 7, "origin": "$BAKEOFF_PROJECT__SEED"}
    assert settings["data.target"] == {"value": "liked", "origin": "bakeoff.toml"}
    assert settings["split.test"]["origin"] == "default"


def test_the_endpoints_own_words_come_back_through_a_url(ran, bakeoff):
    refused = bakeoff("predict", ROW, "--url", "http://127.0.0.1:1", "--json")
    assert refused.code == 1
    assert "bakeoff serve" in refused.errors[0]
    for url in ("junk", "http://host:port", "http://[::1"):
        wrong = bakeoff("predict", ROW, "--url", url, "--json")
        assert wrong.code == 2
        assert "http://host:port" in json.dumps(wrong.document)


@pytest.mark.parametrize("args", [["--port", "99999"], ["--host", "0.0.0.0"]])
def test_an_address_that_cannot_be_served_is_told_at_once(ran, bakeoff, args):
    ended = bakeoff("serve", *args, "-C", ran, "--json")
    assert ended.code in {1, 2}
    assert len(ended.errors) == 1


@pytest.mark.processes
def test_doctor_works_without_a_project_and_tries_what_it_approves(bakeoff, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        extras, "requires", lambda _: ["polars", 'psutil; extra == "some"', 'nosuchthing>2; extra == "none"']
    )
    monkeypatch.setattr(doctor, "metadata", lambda _: SimpleNamespace(get_all=lambda _: ["some", "none"]))
    ended = bakeoff("doctor", "--json")
    assert ended.code == 0
    found = {check["check"]: check["found"] for check in ended.document["checks"]}
    assert found["python"].startswith(platform.python_version())
    assert "SQLite" in found["sqlite"]
    assert found["base"] == "installed; polars can be imported"
    assert found["family linear"] == "loads; for classification, regression"
    assert found["extra some"] == "installed; psutil can be imported"
    assert found["extra none"] == 'not installed (nosuchthing): pip install "bakeoff[none]"'


@pytest.mark.processes
def test_doctor_tells_of_a_library_that_cannot_be_imported(bakeoff, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "psutil.py").write_text("raise OSError('liba.so.1: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(extras, "requires", lambda _: ['psutil; extra == "some"', "polars>99"])
    monkeypatch.setattr(doctor, "metadata", lambda _: SimpleNamespace(get_all=lambda _: ["some"]))
    ended = bakeoff("doctor", "--json")
    assert ended.code == 1
    bad = {check["check"]: check["found"] for check in ended.document["checks"] if not check["ok"]}
    assert bad["extra some"].startswith("installed, but cannot be imported: OSError: liba.so.1: cannot open shared")
    assert "; it needs liba.so.1 of the system: install the package of your system" in bad["extra some"]
    assert "which is not >99: pip install --upgrade bakeoff" in bad["base"]


def test_expire_says_what_would_go_and_what_went(ran, bakeoff):
    file, now_ms = ran / "bakeoff.toml", time.time_ns() // 1_000_000
    assert "all predictions stay" in bakeoff("expire", "-C", ran).out
    file.write_text(file.read_text() + '\n[endpoint]\nkeep = "90d"\n')
    with Project(ran) as project:
        about = {"endpoint": "films", "release_id": "r", "model_version": "films/1", "row": {}}
        times = {"old": now_ms - 100 * 86_400_000, "new": now_ms}
        project.events.append([PredictionEvent(id=name, **about, time_ms=at) for name, at in times.items()])
    plan = bakeoff("expire", "--dry-run", "-C", ran).out
    assert plan.startswith("1 predictions of 20")
    assert "would go" in plan
    document = bakeoff("expire", "--json", "-C", ran).document
    jsonschema.validate(document, schema_of("expire"))
    assert (document["predictions"], document["waiting"]) == (1, 0)
    assert "nothing is past its retention" in bakeoff("expire", "-C", ran).out
