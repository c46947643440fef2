"""docs/formats.md names what a real project folder holds."""

import json
import re
import shutil
import sqlite3
from fnmatch import fnmatch
from pathlib import Path

import msgspec
import pytest

from bakeoff.core.events import KINDS
from bakeoff.stores import schema, segments
from bakeoff.stores.chunking import LARGEST, SMALLEST

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")


def table(heading):
    """Rows of the table whose head begins so: the texts in backticks of each first cell, and of the whole row."""
    rows = PAGE.split(f"\n| {heading}", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [(re.findall(r"`([^`]+)`", row.split(" | ")[0]), re.findall(r"`([^`]+)`", row)) for row in rows]


def firsts(heading):
    return {name for names, _ in table(heading) for name in names}


@pytest.fixture(scope="module")
def served(tickets, tmp_path_factory):
    """A project that ran, answered, got feedback, and was looked at."""
    from bakeoff import Project

    folder = shutil.copytree(tickets[0], tmp_path_factory.mktemp("formats") / "tickets")
    row = {"plan": "pro", "minutes_open": 7}
    with Project(folder) as project:
        answers = project.predict([row | {"text": "a refund, please"}, row | {"text": "the parcel is late"}])
        project.feedback([{"id": answers[0].id, "label": "billing"}])
        project.monitor()
    return folder


def records(folder):
    return sqlite3.connect(folder / ".bakeoff" / "records.db")


def test_tables_and_columns_are_those_of_the_schema():
    written = {names[0]: cells[1:] for names, cells in table("table | a row is")}
    assert {name: [each for each in columns if each != "champion"] for name, columns in written.items()} == {
        name: [column.name for column in each.columns] for name, each in schema.metadata.tables.items()
    }
    assert f"| schema of the records | table `alembic_version` | `{schema.HEAD}` |" in PAGE


def test_format_numbers_are_those_of_the_code():
    from bakeoff.engines.llamacpp import EXPORT_VERSION
    from bakeoff.families.saved import FORMAT

    numbers = {cells[0]: cells[-1] for _, cells in table("what | where the number stands") if cells}
    assert numbers["format"] == str(FORMAT)
    assert numbers["\\0bk1"] == "\\0bk1"
    assert segments._MAGIC == b"\0bk1"
    assert segments._HEADER.size == 4 + 4 + 4 + 8 + 4
    assert f"| model as GGUF | in the key of the converted file | `{EXPORT_VERSION}` |" in PAGE
    assert (SMALLEST, LARGEST) == (16 * 1024, 512 * 1024)


def test_every_file_of_a_project_is_named(served):
    state = served / ".bakeoff"
    found = {path.relative_to(state).as_posix() for path in state.rglob("*") if path.is_file()}
    top = firsts("path in `.bakeoff/`")
    parts = {folder: firsts(f"path in `{folder}/`") for folder in ("blobs", "events", "cache")}
    names = {"NUMBER": "[0-9]" * 16}
    unnamed = []
    for path in sorted(found):
        folder, _, inside = path.partition("/")
        listed = parts.get(folder, {f"{folder}/" if inside else path} & top)
        patterns = [re.sub("NUMBER", names["NUMBER"], name) + ("*" if name.endswith("/") else "") for name in listed]
        if not any(fnmatch(inside if folder in parts else path, pattern) for pattern in patterns) and path not in top:
            unnamed.append(path)
    assert unnamed == []
    for name in ("records.db", "blobs", "events", "cache", ".gitignore", "run.lock"):
        assert (state / name).exists()
        assert {name, f"{name}/"} & top


def test_collections_and_steps_are_named(served):
    with records(served) as database:
        documents = database.execute("SELECT collection, key FROM documents").fetchall()
    assert {name for name, _ in documents} <= firsts("collection | key")
    assert {"steps", "passes", "releases", "endpoints", "anchors", "signals"} <= {name for name, _ in documents}
    assert {key.partition("/")[0] for name, key in documents if name == "steps"} <= firsts("step | what its result")


def test_every_step_of_the_code_is_named():
    source = Path(__file__).parents[2] / "src" / "bakeoff"
    made = {
        name
        for path in source.rglob("*.py")
        for name in re.findall(r'(?:steps\.key|step_key|FitRequest\.of)\(\s*f?"(\w+)"', path.read_text("utf-8"))
    }
    assert {"fit", "evaluate", "verify"} <= made
    assert made <= firsts("step | what its result")


def test_the_outcome_of_a_run_and_lineage_are_named(served):
    with records(served) as database:
        (lineage,) = database.execute("SELECT lineage FROM versions WHERE kind = 'model'").fetchone()
    from bakeoff import Project

    with Project(served) as project:
        assert set(project.outcome().to_json()) == firsts("key | what it says")
    named = set(re.findall(r"`(\w+)`", PAGE.split("### Lineage")[1].split("## Blobs")[0]))
    assert set(json.loads(lineage)) == named - {"lineage"}


def test_events_have_the_keys_that_are_named(served):
    from bakeoff.project.project import Project

    named = {key for _, cells in table("event | keys") for key in cells}
    with Project(served) as project:
        events = list(project.events.read(*KINDS))
    assert len(events) >= 3
    assert {key for event in events for key in msgspec.to_builtins(event)} <= named
    assert {field for kind in KINDS for field in kind.__struct_fields__} == named - {"status", "ok"}
