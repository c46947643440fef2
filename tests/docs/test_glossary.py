"""docs/glossary.md: each word is in the code, and each public class of the core has a line."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import typer

from bakeoff.cli.main import app
from bakeoff.config.sections import Config

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "bakeoff"
PAGE = (ROOT / "docs" / "glossary.md").read_text("utf-8")
ELSEWHERE = {"sections.py", "errors.py"}
"""Written from the code into docs/reference."""


def words():
    rows = PAGE.split("\n| word |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [(row.split(" | ")[0].strip("| "), re.findall(r"`([^`]+)`", row.split(" | ")[-1])) for row in rows]


def listed():
    """Classes with a line of their own, in the second half of the page."""
    return re.findall(r"^\| `(\w+)` \|", PAGE.split("## Public classes of the core")[1], re.MULTILINE)


@cache
def classes():
    text = "\n".join(path.read_text("utf-8") for path in SOURCE.rglob("*.py"))
    return set(re.findall(r"^class (\w+)", text, re.MULTILINE))


def public_of_core():
    found = set()
    for path in (*(SOURCE / "core").glob("*.py"), *(SOURCE / "config").glob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        names = {name.name for name in tree.body if isinstance(name, ast.ClassDef)}
        exported = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
        ]
        if path.name not in ELSEWHERE:
            found |= names & {name for each in exported for name in each}
    return found


@cache
def commands():
    command = typer.main.get_command(app)
    inner = {f"{name} {sub}" for name, each in command.commands.items() for sub in getattr(each, "commands", {})}
    return set(command.commands) | inner


@pytest.mark.parametrize(("word", "places"), words(), ids=[word for word, _ in words()])
def test_each_word_is_in_the_code(word, places):
    assert places, word
    for place in places:
        if place.startswith("["):
            assert place.strip("[]") in Config.model_fields, place
        elif place.startswith("bakeoff "):
            assert place.removeprefix("bakeoff ") in commands(), place
        else:
            assert place in classes(), place


def test_each_public_class_of_the_core_has_one_line():
    assert sorted(listed()) == sorted(public_of_core())


def test_words_have_one_line_each():
    names = [word for word, _ in words()]
    assert len(names) == len(set(names)) > 30
