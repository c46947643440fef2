"""`check` and `advise` on the command line."""

import re
import sys
from xml.etree import ElementTree as ET

from bakeoff.core import libraries
from bakeoff.core.errors import CandidateError


def test_a_check_that_passes(ran, bakeoff, tmp_path):
    files = "--junit", tmp_path / "check.xml", "--markdown", tmp_path / "check.md"
    ended = bakeoff("check", "-C", ran, *files, "--json")
    assert ended.code == 0
    assert ended.document["passed"] is True
    assert ended.document["champion"] == bakeoff("status", "-C", ran, "--json").document["champion"]
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


def test_a_check_without_gate_and_champion_fails_and_says_how_to_make_one(films_project, bakeoff, tmp_path):
    ended = bakeoff("check", "-C", films_project, "--junit", tmp_path / "check.xml")
    assert ended.code == 3
    assert ended.errors == ["error: GateError: failed: something to check"]
    (value,) = re.findall(r'gates = { "f1_macro" = { min = ([0-9.]+) } }', " ".join(ended.out.split()))
    assert "bakeoff run" in ended.out
    assert ET.parse(tmp_path / "check.xml").getroot().attrib["failures"] == "1"
    toml = films_project / "bakeoff.toml"
    gate = f'resamples = 200\ngates = {{ "f1_macro" = {{ min = {value} }} }}'
    toml.write_text(toml.read_text().replace("resamples = 200", gate))
    assert bakeoff("check", "-C", films_project).code == 0


def test_the_files_of_a_check_are_written_whatever_happens(films_project, bakeoff, tmp_path):
    files = "--junit", tmp_path / "check.xml", "--markdown", tmp_path / "check.md"
    for spoilt, kind in (("[candidates", "[kandidates"), "ConfigError"), (('"films.csv"', '"gone.csv"'), "DataError"):
        toml = films_project / "bakeoff.toml"
        whole = toml.read_text()
        toml.write_text(whole.replace(*spoilt))
        ended = bakeoff("check", "-C", films_project, *files, "--json")
        assert ended.document["error"]["type"] == kind
        toml.write_text(whole)
        root = ET.parse(tmp_path / "check.xml").getroot()
        assert (root.attrib["tests"], root.attrib["errors"]) == ("1", "1")
        assert root.find("testsuite/testcase/error").attrib["type"] == kind
        assert kind in (tmp_path / "check.md").read_text()


def test_an_interrupted_check_says_that_it_was(films_project, bakeoff, tmp_path, monkeypatch):
    def interrupted(self, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr("bakeoff.project.project.Project.check", interrupted)
    files = "--junit", tmp_path / "check.xml", "--markdown", tmp_path / "check.md"
    ended = bakeoff("check", "-C", films_project, *files, "--json")
    assert (ended.code, ended.document["error"]["type"]) == (130, "Interrupted")
    text = (tmp_path / "check.md").read_text()
    assert "**Interrupted**: interrupted; what was finished is kept: run again to go on" in text
    assert "defect" not in text + (tmp_path / "check.xml").read_text()


def test_a_candidate_that_fails_fails_the_run_unless_it_may(ran, bakeoff):
    toml = ran / "bakeoff.toml"
    toml.write_text(
        toml.read_text().replace('family = "firstword"\nsmooth', 'family = "firstword"\ncrash = "error"\nsmooth')
    )
    for command in ("run", "check"):
        ended = bakeoff(command, "-C", ran)
        assert ended.code == 1
        assert "CandidateError: failed: second" in ended.errors[0]
        assert "--allow-missing" in ended.errors[0]
        assert bakeoff(command, "-C", ran, "--allow-missing").code == 0


TOO_MUCH = """
[candidates.far]
family = "remote"
url = "http://127.0.0.1:9/v1"
model = "m"
[candidates.lacking]
family = "lacking"
[candidates.slim]
family = "slim"
[candidates.picky]
family = "picky"
"""


def test_what_a_candidate_lacks_is_told_before_anything_is_fitted(films_project, bakeoff, register_family, monkeypatch):
    import firstword

    class Lacking(firstword.FirstWordFamily):
        name, requires, extra = "lacking", ("numpy", "no-such-thing"), "embedding"

    class Picky(firstword.FirstWordFamily):
        name = "picky"

        def require(self, params):
            raise CandidateError(f"expected a CUDA device for smooth = {params.smooth:g}, found none")

    class Slim(firstword.FirstWordFamily):
        name, requires = "slim", ("packaging",)

    monkeypatch.setitem(libraries.NEEDED, "packaging", "libno-such-thing.so.7")
    for name in (Lacking, Picky, Slim):
        monkeypatch.setattr(firstword, name.__name__, name, raising=False)
        register_family(name.name, f"firstword:{name.__name__}")
    with (films_project / "bakeoff.toml").open("a") as file:
        file.write(TOO_MUCH)
    for command in ("run", "check"):
        ended = bakeoff(command, "-C", films_project, "--json")
        assert ended.code == 1
        message = ended.document["error"]["message"]
        assert ended.document["error"]["type"] == "MissingExtraError"
        assert "candidate 'lacking' needs no-such-thing: pip install \"bakeoff[embedding]\"" in message
        if sys.platform == "linux":
            assert "candidate 'slim' needs libno-such-thing.so.7 of the system: install" in message
        assert "candidate 'picky': expected a CUDA device for smooth = 1, found none" in message
        assert "candidate 'far' asks http://127.0.0.1:9/v1, where nothing answers (Connection refused)" in message
        assert "--allow-missing" in message
        assert "fitted" not in ended.err.replace("nothing was fitted", "")
