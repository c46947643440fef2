"""`check` and `advise` on the command line."""

from xml.etree import ElementTree as ET


def test_a_check_that_passes(ran, bakeoff, tmp_path):
    files = "--junit", tmp_path / "check.xml", "--markdown", tmp_path / "check.md"
    ended = bakeoff("check", "-C", ran, *files, "--json")
    assert ended.code == 0
    assert ended.document["passed"] is True
    assert ended.document["champion"] == "films/1"
    assert ended.document["files"] == [str(tmp_path / "check.xml"), str(tmp_path / "check.md")]
    assert ET.parse(tmp_path / "check.xml").getroot().attrib["failures"] == "0"
    assert (tmp_path / "check.md").read_text().startswith("## films: check passed")


def test_a_check_that_fails_names_the_gates_and_ends_with_3(ran, bakeoff, tmp_path):
    toml = ran / "bakeoff.toml"
    toml.write_text(
        toml.read_text().replace("resamples = 200", "resamples = 200\ngates = { f1_macro = { min = 0.99 } }")
    )
    ended = bakeoff("check", "-C", ran)
    assert ended.code == 3
    assert ended.errors == ["error: GateError: failed: f1_macro ≥ 0.99"]
    assert "FAILED" in ended.out
    written = bakeoff("check", "-C", ran, "--junit", tmp_path / "no" / "such.xml", "--json")
    assert written.code == 1
    assert "cannot write" in written.errors[0]
    wrong = bakeoff("check", "-C", ran, "--model", "9", "--json")
    assert wrong.code == 1
    assert "expected a model version" in wrong.errors[0]


def test_advice_is_printed(films_project, bakeoff, monkeypatch):
    from bakeoff.core import plugins

    monkeypatch.setattr(plugins, "names", lambda group: ("firstword",) if group.endswith("families") else ())
    ended = bakeoff("advise", "-C", films_project, "--seconds", "2")
    assert ended.code == 0
    assert "films: 240 training rows (60 test rows are left alone); 2 classes" in ended.out
    assert "try first" in ended.out
    assert "  because " in ended.out
    assert "  would change: " in ended.out
    assert bakeoff("advise", "-C", films_project, "--seconds", "2", "--json").document["options"]
    assert bakeoff("advise", "-C", films_project, "--seconds", "0").code == 2
