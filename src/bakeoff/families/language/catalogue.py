"""The catalogue: language models by name, with their facts; extended by a user's file and by packages.

A package adds models by an entry point of the group `bakeoff.models` whose object is the path of a TOML file like
`catalogue.toml`; a user by `bakeoff-models.toml` beside the project file. The later one of a name counts.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bakeoff.core.errors import CandidateError, ConfigError, Problem
from bakeoff.core.protocols import Progress
from bakeoff.families.language.convert import Base, Kind, prepare
from bakeoff.families.language.sources import ModelSource, find

__all__ = ["USER_FILE", "Entry", "base_of", "catalogue"]

GROUP = "bakeoff.models"
USER_FILE = "bakeoff-models.toml"


class Entry(BaseModel):
    """Facts about one model; `source` is where it is fetched, `sources` are others, `card` is where the facts stand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    architecture: str
    parameters_m: Annotated[float, Field(gt=0)]
    layers: Annotated[int, Field(gt=0)]
    hidden: Annotated[int, Field(gt=0)]
    intermediate: Annotated[int, Field(gt=0)]
    heads: Annotated[int, Field(gt=0)]
    kv_heads: Annotated[int, Field(gt=0)]
    head_size: int | None = None
    vocabulary: Annotated[int, Field(gt=0)]
    context: Annotated[int, Field(gt=0)]
    licence: str
    languages: tuple[str, ...]
    use: tuple[str, ...]
    chat: bool
    source: str
    sources: tuple[str, ...] = ()
    card: str = ""


def catalogue(folder: Path | None = None) -> dict[str, Entry]:
    """All models by name; `folder` is where a user's file may stand.

    Raises:
        ConfigError: a file is no such catalogue; with every problem.
    """
    built_in = files("bakeoff.families.language").joinpath("catalogue.toml").read_text(encoding="utf-8")
    found = _read(built_in, "catalogue.toml")
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        path = Path(str(point.load()))
        found |= _read(path.read_text(encoding="utf-8"), path.name)
    user = (folder or Path()) / USER_FILE
    return found | (_read(user.read_text(encoding="utf-8"), user.name) if user.is_file() else {})


def base_of(name: str, *, kind: Kind | None = None, cache: Path, progress: Progress) -> Base:
    """The model called `name` (of the catalogue or by its location), ready to be loaded.

    Raises:
        NotFoundError: there is no such model.
        CandidateError: it is not of the `kind` that is asked for, or cannot be read.
    """
    folder = next((place for place in cache.absolute().parents if (place / USER_FILE).is_file()), None)
    known = {entry_name: entry.source for entry_name, entry in catalogue(folder).items()}
    source = find(name, known, cache=cache, progress=progress)
    found = _kind_of(source)
    if kind not in {None, found}:
        raise CandidateError(f"expected a model that is a {kind}, received {name!r}, which is a {found}")
    return prepare(source, found, cache=cache, progress=progress)


def _kind_of(source: ModelSource) -> Kind:
    """What the files are, by what their config names."""
    if source.path.is_file():
        return "decoder"
    try:
        config: Mapping[str, Any] = json.loads((source.path / "config.json").read_bytes())
    except ValueError as error:
        raise CandidateError(f"model {source.name!r}: expected JSON in config.json, found: {error}") from error
    named = [str(architecture) for architecture in config.get("architectures") or ()]
    return "decoder" if any(architecture.endswith("ForCausalLM") for architecture in named) else "encoder"


def _read(text: str, file: str) -> dict[str, Entry]:
    try:
        tree: Mapping[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((Problem(file=file, key="", expected="valid TOML", found=str(error)),)) from None
    found: dict[str, Entry] = {}
    problems: list[Problem] = []
    for name, facts in tree.items():
        try:
            found[name] = Entry.model_validate(facts)
        except ValidationError as error:
            problems += _problems(error, file, name)
    if problems:
        raise ConfigError(tuple(problems))
    return found


def _problems(error: ValidationError, file: str, name: str) -> Iterable[Problem]:
    for item in error.errors(include_url=False):
        key = ".".join([name, *(str(part) for part in item["loc"])])
        found = repr(item["input"])[:80]
        yield Problem(file=file, key=key, expected=item["msg"].removeprefix("Input should be "), found=found)
