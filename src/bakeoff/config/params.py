"""Check parameters that a project file gives against the frozen dataclass that declares them."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bakeoff.core.errors import ConfigError, Problem
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Json, Task

__all__ = ["check", "only_for", "without_effect"]

TASKS = "tasks"


def only_for(*tasks: Task) -> dict[str, Any]:
    """The metadata of a field whose parameter has an effect for some tasks only.

    >>> only_for("generation")
    {'tasks': ('generation',)}
    """
    return {TASKS: tasks}


def without_effect(params: Any, task: Task) -> list[tuple[str, str]]:
    """Parameters that were given another value than their default though they do nothing for the task, and why."""
    if not dataclasses.is_dataclass(params):
        return []
    return [
        (field.name, f"it is for {' and '.join(field.metadata[TASKS])} only")
        for field in dataclasses.fields(params)
        if task not in field.metadata.get(TASKS, (task,)) and getattr(params, field.name) != field.default
    ]


def check(
    declared: type,
    given: Mapping[str, Json],
    *,
    owner: str,
    key: str,
    file: str = "bakeoff.toml",
    also: Sequence[str] = (),
) -> Any:
    """An instance of the dataclass `declared` made of what a project file gives `owner` under `key`.

    Types are strict: "1" is no number, though 1 is a float and an array is a tuple. `also` are keys that were read
    before, for hints.

    Raises:
        ConfigError: unknown keys (with a suggestion), wrong types or ranges; all together.
    """
    known = [field.name for field in dataclasses.fields(declared)]
    problems = [
        Problem(
            file=file,
            key=f"{key}.{name}",
            expected=f"a parameter of {owner!r}",
            found=repr(name),
            hint=suggestion(name, [*known, *also]) or f"Known here: {', '.join([*known, *also]) or 'none'}.",
        )
        for name in given
        if name not in known
    ]
    problems += [
        Problem(file=file, key=f"{key}.{name}", expected="a finite number", found=repr(value))
        for name, value in given.items()
        if name in known and isinstance(value, float) and not math.isfinite(value)
    ]
    wrong = {problem.key for problem in problems}
    values = {name: value for name, value in given.items() if f"{key}.{name}" not in wrong}
    checked = None
    try:
        checked = TypeAdapter(declared).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        problems += [_problem(item, file, key) for item in error.errors(include_url=False)]
    if problems:
        raise ConfigError(tuple(problems))
    return checked


def _problem(item: Any, file: str, key: str) -> Problem:
    place = ".".join([key, *(str(part) for part in item["loc"])])
    message: str = item["msg"].removeprefix("Input should be ").replace("valid tuple", "list in brackets")
    return Problem(file=file, key=place, expected=message[0].lower() + message[1:], found=repr(item["input"])[:80])
