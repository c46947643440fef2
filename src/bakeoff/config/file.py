"""The project file: read and checked, with all its errors together, and where each value came from.

The only module that reads `bakeoff.toml` and the environment. A value is taken from the environment
(`BAKEOFF_STORE__RECORDS` for `[store] records`), else from the file, else it is the default.
"""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from bakeoff.config.consistency import problems, shown
from bakeoff.config.sections import Config, Gate, StoreConfig
from bakeoff.core import narrow
from bakeoff.core.addresses import without_password
from bakeoff.core.errors import ConfigError, Problem
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Json

__all__ = ["FILE_NAME", "Loaded", "Value", "load", "load_store", "loads", "secret"]

FILE_NAME = "bakeoff.toml"
ENVIRONMENT_PREFIX = "BAKEOFF_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One setting: its dotted key, its value and its origin ("default", a file's name, or a variable)."""

    key: str
    value: Json
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A checked project file and where it stands."""

    config: Config
    folder: Path
    file: str
    overrides: Mapping[str, str]
    given: frozenset[str]

    def values(self) -> list[Value]:
        """Every setting with its origin, in the order of the schema; passwords in URLs are hidden."""

        def origin(key: str) -> str:
            for overridden, variable in self.overrides.items():
                if key == overridden or key.startswith(overridden + "."):
                    return variable
            inside = any(key == g or key.startswith(g + ".") for g in self.given)
            return self.file if inside else "default"

        return [
            Value(key=key, value=_shown(value), origin=origin(key))
            for key, value in _flatten(self.config.model_dump(mode="json"), "")
        ]


def _shown(value: Json) -> Json:
    """A setting as people may see it: without the passwords of URLs, wherever in it they stand."""
    if isinstance(value, str):
        return without_password(value) if "://" in value else value
    if narrow.is_mapping(value):
        return {name: _shown(each) for name, each in value.items()}
    return [_shown(each) for each in value] if narrow.is_sequence(value) else value


def load(path: Path, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a project file (or the one in a folder).

    Raises:
        ConfigError: it is missing, is not TOML, or anything in it is wrong; all problems at once.
    """
    file = path / FILE_NAME if path.is_dir() else path
    return loads(_text(file), folder=file.parent.resolve(), file=file.name, environ=environ)


class _StoreFile(BaseModel):
    store: StoreConfig


def load_store(path: Path) -> StoreConfig:
    """The `[store]` of a file, which need hold nothing else; the environment does not change it.

    Raises:
        ConfigError: it is missing, is not TOML, or wrong.
    """
    file = path / FILE_NAME if path.is_dir() else path
    if not file.exists():
        wanted = "a file in TOML with a [store]"
        raise ConfigError((Problem(file=str(file), key="", expected=wanted, found="nothing"),))
    tree = _tree(_text(file), file.name)
    if "store" not in tree:
        wanted = "a [store] with the URLs of records, blobs and events"
        raise ConfigError((Problem(file=file.name, key="store", expected=wanted, found="nothing"),))
    try:
        return _StoreFile.model_validate(tree).store
    except ValidationError as error:
        raise ConfigError(tuple(_problems(error, file.name, {}))) from None


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")  # some editors put a byte order mark first
    except FileNotFoundError:
        raise ConfigError(
            (
                Problem(
                    file=str(file),
                    key="",
                    expected="a project file",
                    found="nothing",
                    hint="Run 'bakeoff init' to make one, or name a project folder with --project.",
                ),
            )
        ) from None
    except (UnicodeDecodeError, OSError) as error:
        raise ConfigError(
            (Problem(file=str(file), key="", expected="a readable UTF-8 file", found=str(error)),)
        ) from None


def _tree(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also of numbers and nesting that Python cannot take
        raise ConfigError((Problem(file=file, key="", expected="valid TOML", found=str(error)),)) from None


def loads(text: str, *, folder: Path, file: str = FILE_NAME, environ: Mapping[str, str] | None = None) -> Loaded:
    """Check a project file given as text; the same errors as `load`."""
    tree = _tree(text, file)
    given = frozenset(key for key, _ in _flatten(tree, ""))
    overrides = _override(tree, os.environ if environ is None else environ)
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(tuple(_problems(error, file, overrides))) from None
    found = tuple(problems(config, file))
    if found:
        raise ConfigError(found)
    return Loaded(config=config, folder=folder, file=file, overrides=overrides, given=given)


def secret(variable: str, environ: Mapping[str, str] | None = None) -> str:
    """The secret in an environment variable that a project file names; never in a file, a record or a log.

    Raises:
        ConfigError: the variable is not set.
    """
    found = (os.environ if environ is None else environ).get(variable, "").strip()
    if not found:
        problem = Problem(
            file="environment",
            key=variable,
            expected="a key",
            found="nothing",
            hint=f"Set it where bakeoff runs: export {variable}=…",
        )
        raise ConfigError((problem,))
    return found


def _flatten(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Json]]:
    for key, value in tree.items():
        if narrow.is_mapping(value) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _override(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """Put `BAKEOFF_SECTION__KEY` values into the tree; gives dotted key → variable."""
    overrides: dict[str, str] = {}
    for variable, text in sorted(environ.items()):
        section, _, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if not variable.startswith(ENVIRONMENT_PREFIX) or not key:
            continue
        given = tree.setdefault(section, {})
        if isinstance(given, dict):  # else the file is wrong there, and is told so
            given[key] = _environment_value(text)
            overrides[f"{section}.{key}"] = f"${variable}"
    return overrides


def _environment_value(text: str) -> Json:
    """Lists and tables are written as JSON; all else is text, of which the schema makes what it wants."""
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            pass  # the schema says what it expected
    return text


def _known_keys(location: tuple[str, ...]) -> list[str]:
    """Keys that the schema knows beside the last part of a location."""
    if location[:2] == ("decide", "gates"):
        return list(Gate.model_fields)
    section = Config.model_fields.get(location[0]) if len(location) > 1 else None
    model = section.annotation if section else Config
    model = next(iter(get_args(model)), model)  # of a section that may be left out
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _problems(error: ValidationError, file: str, overrides: Mapping[str, str]) -> Iterator[Problem]:
    variables = {key.partition(".")[0]: variable for key, variable in overrides.items()} | dict(overrides)
    for item in error.errors(include_url=False):
        location = tuple(str(part) for part in item["loc"])
        key = ".".join(location)
        where = variables.get(".".join(location[:2]), file)
        if item["type"] == "extra_forbidden":
            known = _known_keys(location)
            hint = suggestion(location[-1], known) or f"Known here: {', '.join(known)}."
            yield Problem(file=where, key=key, expected="a known key", found=repr(location[-1]), hint=hint)
        elif item["type"] == "missing":
            yield Problem(file=file, key=key, expected="a value", found="nothing")
        else:
            message = item["msg"].removeprefix("Input should be ").replace("valid tuple", "list in brackets")
            expected = message[0].lower() + message[1:]
            yield Problem(file=where, key=key, expected=expected, found=shown(item["input"]))
