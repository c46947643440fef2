"""`bakeoff env …` on a project with a run."""

import json


def test_the_environment_of_a_model_is_this_one(bakeoff, ran):
    shown = bakeoff("env", "show", "champion", "-C", ran, "--json").document
    assert shown["packages"]["polars"]
    assert bakeoff("env", "show", "1", "-C", ran, "--json").document == shown
    assert bakeoff("env", "diff", "champion", "1", "-C", ran).out.strip() == "no difference"
    differs = bakeoff("env", "diff", "champion", "-C", ran, "--json").document
    assert set(differs["packages"]) <= {"firstword"}  # which the tests install for other folders than this
    assert "polars" in bakeoff("env", "show", "-C", ran).out
    ended = bakeoff("env", "show", "99", "-C", ran)
    assert ended.code == 1
    assert "expected an environment (1)" in ended.errors[0]


def test_pins_and_a_bill(bakeoff, ran, tmp_path):
    pins = bakeoff("env", "lock", "champion", "--no-hashes", "-C", ran)
    shown = bakeoff("env", "show", "champion", "-C", ran, "--json").document
    assert f"polars=={shown['packages']['polars']}" in pins.out.splitlines()
    left_out = [line.split()[2].strip(",") for line in pins.err.splitlines() if line.startswith("left out: ")]
    assert left_out == shown.get("local", [])
    bakeoff("env", "sbom", "champion", "--out", tmp_path / "bill.json", "-C", ran)
    bill = json.loads((tmp_path / "bill.json").read_text())
    kinds = {each["type"] for each in bill["components"]}
    assert kinds == {"library", "machine-learning-model", "data"}
    (data,) = [each for each in bill["components"] if each["type"] == "data"]
    assert len(data["hashes"][0]["content"]) == 64


def test_an_audit_ends_with_3_where_something_is_known(bakeoff, ran, tmp_path):
    events = [{"introduced": "0"}]
    affected = {"package": {"ecosystem": "PyPI", "name": "polars"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv" / "a.json").write_text(json.dumps({"id": "PYSEC-1", "affected": [affected]}))
    ended = bakeoff("env", "audit", "champion", "--database", tmp_path / "osv", "-C", ran)
    assert ended.code == 3
    assert "PYSEC-1" in ended.out
    affected["package"]["name"] = "nobody-has-this"
    (tmp_path / "osv" / "a.json").write_text(json.dumps({"id": "PYSEC-1", "affected": [affected]}))
    ended = bakeoff("env", "audit", "--database", tmp_path / "osv", "-C", ran, "--json")
    assert (ended.code, ended.document["vulnerabilities"]) == (0, [])


def test_the_run_says_what_it_was_computed_on(bakeoff, ran):
    runs = bakeoff("runs", "-C", ran, "--json").document["runs"]
    assert any("bakeoff.system.cpu" in run.get("tags", {}) for run in runs)
