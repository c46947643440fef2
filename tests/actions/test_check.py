import re
from xml.etree import ElementTree as ET

import pytest

from bakeoff import Project
from bakeoff.actions.check import NEEDED
from bakeoff.core.errors import ConfigError, NotFoundError, UsageError
from bakeoff.report.checks import checks_markdown, junit

NOISE = "query = \"SELECT 'x' AS noise, * FROM source\"\n"


def edit(folder, old, new):
    text = (folder / "bakeoff.toml").read_text()
    assert old in text
    (folder / "bakeoff.toml").write_text(text.replace(old, new))


def spoil(folder):
    """Let the candidates look at a column that says nothing; the champion still looks at the other."""
    edit(folder, 'target = "liked"\n', 'target = "liked"\n' + NOISE)
    edit(folder, 'text = ["review"]', 'text = ["noise", "review"]')


def run(folder):
    with Project(folder) as project:
        return project.run()


def check(folder, **how):
    with Project(folder) as project:
        return project.check(**how)


def state(folder):
    """What a check must leave alone."""
    with Project(folder) as project:
        versions = [(v.number, v.aliases) for v in project.models()]
        last = project.records.documents.get("passes", "last")
        return versions, project.release(), [r.run_id for r in project.runs()], last


def outcomes(found):
    return [(each.name, each.outcome) for each in found.checks]


def test_without_a_champion_only_gates_are_checked_and_nothing_is_kept(films_project):
    edit(
        films_project,
        "resamples = 200",
        "resamples = 200\ngates = { f1_macro = { min = 0.7 }, size_bytes = { max = 1 } }",
    )
    found = check(films_project)
    assert outcomes(found) == [("f1_macro ≥ 0.7", "passed"), ("size_bytes ≤ 1", "failed")]
    assert found.failing == ("size_bytes ≤ 1",)
    assert "no champion" in found.notes[-1]
    assert state(films_project) == ([], None, [], None)
    assert check(films_project, strict=True).failing == ("size_bytes ≤ 1", "champion")


def test_what_is_unchanged_passes_by_every_rule(ran):
    before = state(ran)
    found = check(ran, strict=True)
    assert outcomes(found) == [("non-inferior to champion films/1 within 0.01", "passed")]
    assert "this very model" in found.checks[0].told
    edit(ran, "resamples = 200", 'resamples = 200\nchampion = "superior"')
    assert check(ran).passed
    assert state(ran) == before


def test_a_worse_model_fails_and_the_run_after_the_check_has_nothing_left_to_fit(ran):
    before = state(ran)
    spoil(ran)
    found = check(ran)
    assert found.failing == ("non-inferior to champion films/1 within 0.01", NEEDED)
    assert found.high < 0
    assert found.rows == 60
    assert "the lower bound must be over -0.0100" in found.checks[0].told
    assert found.look["number"] == 1
    assert state(ran) == before

    edit(ran, "resamples = 200", "resamples = 200\nmargin = 0.05")
    found = check(ran)
    assert found.rule == "non_inferior"
    assert found.look["number"] == 1  # the same models on the same rows: nothing new is seen
    assert found.failing == ("non-inferior to champion films/1 within 0.05", NEEDED)
    edit(ran, "margin = 0.05", "margin = 0.95")
    found = check(ran)
    assert found.low > -0.95
    assert found.failing == (NEEDED,)  # as good as the champion will do, but always saying "yes" is better
    assert "'majority class', which needs no model, has" in found.checks[-1].told

    edit(ran, "margin = 0.95", "margin = 0.0")
    lines = []
    with Project(ran, progress=lines.append) as project:
        document = project.run().document
    assert not any("fitted in" in line for line in lines)
    assert document["verdict"]["promoted"] is False
    assert document["verdict"]["reason"].startswith("Nobody wins: ")
    with Project(ran) as project:
        assert project.release().model_version == "films/1"


def test_looks_that_did_not_pass_make_the_next_one_dearer(ran):
    edit(ran, "resamples = 200", 'resamples = 200\nchampion = "superior"')
    edit(ran, '[candidates.first]\nfamily = "firstword"\n', "")
    spoil(ran)
    first = check(ran)
    edit(ran, "smooth = 5.0", "smooth = 50.0")
    second = check(ran)
    assert [each.look["number"] for each in (first, second, check(ran))] == [1, 2, 2]
    assert second.look["level"] > first.look["level"] == 0.95
    assert second.low < first.low  # the same answers to every row, less surely
    assert "1 earlier look at these test rows did not pass" in second.checks[0].told
    assert second.look["fresh_rows"] == 22
    edit(ran, 'champion = "superior"', 'champion = "unless_worse"')
    assert check(ran).look is None  # a wide interval must not help


def test_gates_with_a_confidence_are_paid_for_by_every_look_that_failed(ran):
    edit(ran, '[candidates.first]\nfamily = "firstword"\n', "")
    edit(ran, "resamples = 200", "resamples = 200\ngates = { accuracy = { min = 0.97, confidence = 0.9 } }")
    spoil(ran)
    bounds = []
    for smooth in (5.0, 50.0, 51.0):
        edit(ran, "smooth = 5.0", f"smooth = {smooth}")
        found = check(ran)
        assert "accuracy ≥ 0.97" in found.failing
        bounds += [gate["bound"] for gate in (run(ran).document["verdict"]["gates"])]
        edit(ran, f"smooth = {smooth}", "smooth = 5.0")
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > bounds[-1]


def test_superiority_must_be_shown(ran):
    edit(ran, "smooth = 5.0", "smooth = 7.0")
    edit(ran, '[candidates.first]\nfamily = "firstword"\n', "")
    assert check(ran).passed  # the same answers to every row
    assert check(ran, strict=True).passed
    edit(ran, "resamples = 200", 'resamples = 200\nchampion = "superior"')
    found = check(ran)
    assert found.failing == ("superior to champion films/1",)
    document = run(ran).document
    assert document["verdict"]["promoted"] is False
    assert "not distinguishably better than films/1" in document["verdict"]["contest"]


def test_a_champion_that_cannot_be_evaluated_is_told_and_fails_only_a_strict_check(ran):
    edit(ran, 'text = ["review"]', 'ignore = ["review"]')
    found = check(ran)
    assert found.passed
    assert found.checks[0].outcome == "not comparable"
    assert "cannot be evaluated any more" in found.checks[0].told
    assert not check(ran, strict=True).passed


def test_a_named_candidate_or_version_is_checked(ran):
    assert check(ran, candidate="second").model == "second"
    edit(ran, "resamples = 200", "resamples = 200\ngates = { accuracy = { min = 0.5 } }")
    edit(ran, 'name = "films"', 'name = "films"\nseed = 5')  # another split
    found = check(ran, model="1")
    assert found.model == "films/1"
    assert found.bake_off is None
    assert "was fitted on" in found.notes[0]
    assert outcomes(found)[0] == ("accuracy ≥ 0.5", "passed")
    with pytest.raises(NotFoundError, match="expected a candidate"):
        check(ran, candidate="frist")
    with pytest.raises(UsageError, match="received both"):
        check(ran, candidate="first", model="1")


def test_when_every_candidate_fails_so_does_the_check(ran):
    edit(ran, "smooth = 5.0", 'crash = "error"')
    edit(ran, '[candidates.first]\nfamily = "firstword"', '[candidates.first]\nfamily = "firstword"\ncrash = "error"')
    found = check(ran)
    assert found.failing == ("evaluated",)
    assert "made to fail" in found.checks[0].told


def test_junit_and_markdown_hold_every_gate(ran):
    with Project(ran) as project:
        champion = project.release().model_version  # which of two alike won hangs on how fast each answered
    spoil(ran)
    edit(
        ran,
        "resamples = 200",
        "resamples = 200\ngates = { accuracy = { min = 0.1, max = 1 }, f1_macro = { min = 0.9 } }",
    )
    found = check(ran)
    root = ET.fromstring(junit(found))
    (suite,) = root
    assert root.tag == "testsuites"
    assert suite.attrib["tests"] == "4"
    assert suite.attrib["failures"] == root.attrib["failures"] == "3"
    cases = suite.findall("testcase")
    assert [case.attrib["name"] for case in cases] == [name for name, _ in outcomes(found)]
    failures = [case.find("failure") for case in cases]
    assert [each is not None for each in failures] == [False, True, True, True]
    assert re.match(r"f1_macro of (first|second) is 0\.3", failures[1].attrib["message"])  # as above
    assert {each.attrib["name"]: each.attrib["value"] for each in suite.find("properties")}["champion"] == champion
    page = checks_markdown(found)
    assert page.startswith("## films: check failed (f1\\_macro ≥ 0.9; ") or "check failed (f1\\_macro ≥ 0.9" in page
    assert "| ✗ | non-inferior to champion films/1 within 0.01 |" in page
    assert "### films: Nobody wins" in page


def test_utility_decides_and_is_shown(films_project, tmp_path):
    edit(
        films_project,
        "resamples = 200",
        'resamples = 200\nmargin = 0.5\nutility = "f1_macro - 1e9 * (size_bytes < 0) + 0 * latency_p95_ms"',
    )
    document = run(films_project).document
    verdict = document["verdict"]
    assert set(verdict["utilities"]) == {"first", "second"}
    assert verdict["winner"] == "first"
    assert "the highest of the best set" in verdict["reason"]
    edit(films_project, "f1_macro - 1e9", "f1_makro - 1e9")
    with pytest.raises(ConfigError, match="Did you mean 'f1_macro'"):
        run(films_project)


def test_non_inferiority_needs_a_margin(films_project):
    edit(films_project, "resamples = 200", 'resamples = 200\nchampion = "non_inferior"\nmargin = 0.0')
    with pytest.raises(ConfigError, match=r"decide\.margin"):
        run(films_project)
