"""What `bakeoff check` found, as JUnit XML for a CI server and as Markdown for a pull request."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from xml.etree import ElementTree as ET

import msgspec

from bakeoff.core.types import Json
from bakeoff.report.markdown import markdown, safe
from bakeoff.report.model import Report

__all__ = ["Check", "ModelCheck", "Outcome", "checks_markdown", "error_junit", "error_markdown", "junit"]

Outcome: TypeAlias = Literal["passed", "failed", "not comparable"]

MARKS = {"passed": "✓", "failed": "✗", "not comparable": "–"}
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One gate: its name, what became of it, and the numbers in a sentence."""

    name: str
    outcome: Outcome
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCheck:
    """A model held against all gates and the champion.

    `difference` (with `low` and `high`, on `rows` test rows) is its advantage over the champion by `metric`, if
    the two could be compared. `look`: which look at these rows it is, with how much confidence the model is held,
    whether the rows are worn out and how many fresh ones would mend it. `bake_off` is the report of the candidates,
    when they competed for the check.
    """

    project: str
    model: str
    champion: str | None
    metric: str
    rule: str
    margin: float
    strict: bool
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    look: Mapping[str, Json] | None = None
    seconds: float = 0.0
    bake_off: Report | None = None

    @property
    def passed(self) -> bool:
        """Whether no gate failed."""
        return not self.failing

    @property
    def failing(self) -> tuple[str, ...]:
        """Names of the gates that failed."""
        return tuple(check.name for check in self.checks if check.outcome == "failed")

    def to_json(self) -> dict[str, Any]:
        """As a JSON document, without the bake-off."""
        told = {name: getattr(self, name) for name in self.__slots__ if name != "bake_off"}
        return {"passed": self.passed, "failing": list(self.failing), **msgspec.to_builtins(told)}


def junit(found: ModelCheck) -> str:
    """JUnit XML: one test case for each gate; what could not be compared is skipped."""
    counts = {outcome: sum(check.outcome == outcome for check in found.checks) for outcome in MARKS}
    about = {"name": f"bakeoff.{found.project}", "tests": len(found.checks), "failures": counts["failed"], "errors": 0}
    told = {name: _text(str(value)) for name, value in about.items()} | {"time": f"{found.seconds:.3f}"}
    root = ET.Element("testsuites", told)
    suite = ET.SubElement(root, "testsuite", told | {"skipped": str(counts["not comparable"])})
    properties = ET.SubElement(suite, "properties")
    for name in ("model", "champion", "metric", "rule", "margin"):
        ET.SubElement(properties, "property", {"name": name, "value": _text(str(getattr(found, name)))})
    for check in found.checks:
        names = {"classname": _text(f"bakeoff.{found.project}.{found.model}"), "name": _text(check.name), "time": "0"}
        case = ET.SubElement(suite, "testcase", names)
        if check.outcome == "failed":
            ET.SubElement(case, "failure", {"type": "gate", "message": _text(check.told)}).text = _text(check.told)
        elif check.outcome == "not comparable":
            ET.SubElement(case, "skipped", {"message": _text(check.told)})
        else:
            ET.SubElement(case, "system-out").text = _text(check.told)
    if found.notes:
        ET.SubElement(suite, "system-out").text = _text("\n".join(found.notes))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def error_junit(kind: str, message: str) -> str:
    """JUnit XML of a check that could not be made: one test case with the error."""
    counts = {"name": "bakeoff", "tests": "1", "failures": "0", "errors": "1"}
    root = ET.Element("testsuites", counts)
    case = ET.SubElement(
        ET.SubElement(root, "testsuite", counts), "testcase", {"classname": "bakeoff", "name": "check", "time": "0"}
    )
    ET.SubElement(case, "error", {"type": kind, "message": _text(message)}).text = _text(message)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def error_markdown(kind: str, message: str) -> str:
    """What stood in the way of a check, for a pull request."""
    return f"## bakeoff: check not made\n\n**{safe(kind)}**: {safe(message, longest=2000)}\n"


def _text(text: str) -> str:
    return NOT_XML.sub("�", text)


def checks_markdown(found: ModelCheck) -> str:
    """The gates first, then the bake-off, if there was one."""
    verdict = "passed" if found.passed else f"failed ({', '.join(found.failing)})"
    rows = [
        f"| {MARKS[check.outcome]} | {safe(check.name)} | {safe(check.told, longest=500)} |" for check in found.checks
    ]
    parts = [f"## {safe(found.project)}: check {safe(verdict, longest=500)}", f"Checked: **{safe(found.model)}**"]
    parts[-1] += f" against the champion {safe(found.champion)}." if found.champion else "; there is no champion."
    parts.append("\n".join(["|  | Gate | Found |", "| --- | --- | --- |", *rows]))
    parts += [safe(note, longest=1000) for note in found.notes]
    bake_off = "" if found.bake_off is None else "\n#" + markdown(found.bake_off)
    return "\n\n".join(parts) + "\n" + bake_off
