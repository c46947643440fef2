"""JUnit XML as the readers of CI servers take it.

What may stand where follows the schema of Jenkins' xUnit plugin (junit-10.xsd), the strictest that is published;
GitLab reads of each case its `classname`, `name` and `time`, and its `failure`, `error` or `skipped`.
"""

import re
from xml.etree import ElementTree as ET

import pytest

from bakeoff.report.checks import Check, ModelCheck, junit

# Of each element: attributes that it must have, others that it may have, and its children.
ALLOWED = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": ({"name"}, {"time", "classname", "group"}, {"skipped", "error", "failure", "system-out", "system-err"}),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "failure": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
    "system-out": (set(), set(), set()),
}
SECONDS = re.compile(r"\d+(\.\d+)?")
HOSTILE = "<&\"'>]]>\x00\x1b[31m\ud800 Ünïcode 漢字"


def checked(*outcomes, notes=(), **more):
    told = {"project": "films", "model": "linear", "champion": None, "metric": "f1_macro", "rule": "superior"}
    checks = tuple(
        Check(name=f"{HOSTILE} {at}", outcome=outcome, told=f"{HOSTILE} told") for at, outcome in enumerate(outcomes)
    )
    return ModelCheck(**{**told, "margin": 0.0, "strict": False, "checks": checks, "notes": notes, **more})


@pytest.mark.parametrize(
    "found",
    [
        checked("passed", "failed", "not comparable", notes=(HOSTILE, "another")),
        checked("failed", project=HOSTILE, model=HOSTILE, champion="films/1", seconds=4321.5),
        checked(),
    ],
    ids=["every outcome", "hostile names", "nothing to check"],
)
def test_elements_and_attributes_are_those_that_ci_servers_read(found):
    root = ET.fromstring(junit(found).encode())
    assert root.tag == "testsuites"
    for element in root.iter():
        must, may, children = ALLOWED[element.tag]
        assert must <= element.attrib.keys() <= must | may, element.tag
        assert {child.tag for child in element} <= children, element.tag
        assert SECONDS.fullmatch(element.get("time", "0"))


def test_counts_are_those_of_the_cases():
    found = checked("passed", "failed", "failed", "not comparable", "passed")
    root = ET.fromstring(junit(found).encode())
    (suite,) = root
    cases = suite.findall("testcase")
    for element in (root, suite):
        assert int(element.attrib["tests"]) == len(cases) == 5
        assert int(element.attrib["failures"]) == len(suite.findall("testcase/failure")) == 2
        assert int(element.attrib["errors"]) == len(suite.findall("testcase/error")) == 0
    assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped")) == 1


def test_cases_are_told_apart_and_failures_say_why():
    """GitLab joins a case of one pipeline to that of the next by its class name and its name."""
    root = ET.fromstring(junit(checked("failed", "failed", "passed")).encode())
    names = [(case.attrib["classname"], case.attrib["name"]) for case in root.iter("testcase")]
    assert len(set(names)) == len(names)
    for failure in root.iter("failure"):
        assert failure.attrib["message"] == failure.text
        assert "Ünïcode 漢字 told" in failure.text
