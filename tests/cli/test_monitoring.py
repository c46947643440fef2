"""Commands about signals and alerts."""

import json
from pathlib import Path

import jsonschema
import polars as pl

from bakeoff.cli.documents import schema_of


def document(ended, command, code=0):
    assert ended.code == code, ended.err
    jsonschema.validate(ended.document, schema_of(command))
    return ended.document


def test_looks_alerts_and_what_others_read(bakeoff, ran, tmp_path):
    with (ran / "bakeoff.toml").open("a") as file:
        file.write('\n[alerts.rules.calls]\nsignal = "volume"\nabove = 1\n')
        file.write('[alerts.to.log]\nkind = "log"\n[alerts.to.gone]\nkind = "webhook"\nurl = "http://127.0.0.1:1/"\n')
    look = document(bakeoff("monitor", "-C", ran, "--json"), "monitor")
    assert {each["name"] for each in look["signals"]} >= {"drift", "quality", "estimated", "slices", "joint", "answers"}
    fired = document(bakeoff("monitor", "--test-fire", "-C", ran, "--json"), "monitor", code=1)["targets"]
    assert (fired["log"], "refused" in fired["gone"]) == (None, True)
    silent = document(bakeoff("monitor", "silence", "calls", "--hours", "2", "-C", ran, "--json"), "monitor silence")
    assert silent["rule"] == "calls"
    assert "no more" in bakeoff("monitor", "silence", "calls", "--hours", "0", "-C", ran).out
    assert bakeoff("monitor", "silence", "calls", "--hours", "1e300", "-C", ran).code == 2
    (error,) = bakeoff("monitor", "silence", "cals", "-C", ran).errors
    assert "calls" in error
    assert 'signal="volume"} 0\n' in bakeoff("monitor", "metrics", "-C", ran).out
    files = document(bakeoff("monitor", "dashboards", tmp_path / "d", "--json"), "monitor dashboards")
    assert all(json.loads(Path(name).read_text()) for name in files["files"])


def test_two_tables_are_compared(bakeoff, tmp_path):
    for name, values in (("a", [1.0, 2.0, 3.0]), ("b", [2.0, 3.0, 4.0])):
        pl.DataFrame({"x": values}).write_parquet(tmp_path / f"{name}.parquet")
    tables = (tmp_path / "a.parquet", tmp_path / "b.parquet")
    compared = document(bakeoff("monitor", "compare", *tables, "--json"), "monitor compare")
    assert abs(compared["columns"]["x"]["ks"] - 1 / 3) < 1e-12
    assert "0.3333" in bakeoff("monitor", "compare", *tables).out


def test_a_target_that_cannot_be_reached_by_its_settings_is_refused(bakeoff, ran):
    with (ran / "bakeoff.toml").open("a") as file:
        file.write('\n[alerts.to.us]\nkind = "slack"\n[alerts.rules.a]\nsignal = "drfit"\n')
    ended = bakeoff("monitor", "-C", ran)
    assert ended.code == 2
    assert "alerts.rules.a.signal" in ended.err
