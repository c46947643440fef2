"""docs/architecture.md has the rooms of the import contract, in its order, and states that the code knows."""

import re
import tomllib
import typing
from pathlib import Path

from bakeoff.core.records import RunStatus

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")


def rows(heading):
    return PAGE.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]


def test_rooms_are_the_layers_of_the_import_contract():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    written = [re.findall(r"`(\w+)`", row.split(" | ")[0]) for row in rows("rooms")]
    assert [sorted(names) for names in written] == [sorted(layer.split(" | ")) for layer in contract["layers"]]


def test_every_room_is_a_package_with_a_row():
    written = {name for row in rows("rooms") for name in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    packages = {path.parent.name for path in (ROOT / "src" / "bakeoff").glob("*/__init__.py")}
    assert written == packages


def test_states_of_a_run_are_those_of_the_records():
    written = {re.findall(r"`(\w+)`", row)[0] for row in rows("state of a run")}
    assert written | {"SCHEDULED"} == set(typing.get_args(RunStatus))


def test_what_stands_in_code_exists():
    """Classes, commands and pages that the walks name."""
    import bakeoff
    from bakeoff.config import sections as config
    from bakeoff.core import errors, jobs, ledger, protocols, types

    places = (bakeoff, config, errors, jobs, ledger, protocols, types)
    classes = set(re.findall(r"`([A-Z][a-z]+[A-Za-z]*)(?:\.\w+)?`", PAGE))
    assert {"Project", "Family", "Ledger", "DataConfig", "BakeoffError"} <= classes
    assert [name for name in classes if not any(hasattr(place, name) for place in places)] == []


def test_commands_exist():
    import typer

    from bakeoff.cli.main import app

    known = set(typer.main.get_command(app).commands)
    assert set(re.findall(r"`bakeoff ([a-z]+)`", PAGE)) <= known
