"""Prompts and examples that stand in files of the project, as parameters of the candidates that name them."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakeoff.chat.prompt_file import PromptFile, parsed
from bakeoff.config.file import Loaded
from bakeoff.core.errors import BakeoffError, ConfigError, Problem
from bakeoff.core.protocols import Family
from bakeoff.core.types import Json

__all__ = ["file_keys", "opened"]

PROMPT, SHOTS_FILE, DEMONSTRATIONS = "prompt", "shots_file", "demonstrations"
TAKEN_BY = {PROMPT: frozenset({"system", "template"}), SHOTS_FILE: frozenset({DEMONSTRATIONS})}
"""The parameters that a file stands for: families that have them take it."""
CACHE = Path(".bakeoff") / "cache"


def opened(
    loaded: Loaded, family: Family, given: Mapping[str, Json], *, key: str
) -> tuple[dict[str, Json], PromptFile | None]:
    """The parameters with what the files hold in place of their paths, and the prompt file.

    `prompt` gives `system` and `template`, `shots_file` gives `demonstrations`; so what is in a file is what decides
    about the key of a fit.

    Raises:
        ConfigError: a file cannot be used, or says what the project file says too.
    """
    params = dict(given)
    path, shots = params.pop(PROMPT, None), params.pop(SHOTS_FILE, None)
    takes = file_keys(family)
    prompt = None
    if path is not None:
        where = f"{key}.{PROMPT}"
        _check(loaded, where, path, PROMPT in takes, family.name)
        prompt = parsed(str(path), _text(loaded, str(path), where))
        params |= _beside(loaded, params, {"system": prompt.system, "template": prompt.template}, where)
    if shots is not None:
        where = f"{key}.{SHOTS_FILE}"
        _check(loaded, where, shots, SHOTS_FILE in takes, family.name)
        params |= _beside(loaded, params, {DEMONSTRATIONS: _rows(loaded, str(shots), where)}, where)
    return params, prompt


def file_keys(family: Family) -> tuple[str, ...]:
    """The keys of files that the family takes."""
    known = {field.name for field in dataclasses.fields(family.params)}
    return tuple(key for key, needed in TAKEN_BY.items() if needed <= known)


def _beside(loaded: Loaded, params: Mapping[str, Json], more: Mapping[str, Any], where: str) -> dict[str, Json]:
    """What a file adds to the parameters, if nothing of it is there."""
    added = {name: value for name, value in more.items() if value is not None}
    both = [name for name in added if name in params]
    if both:
        raise _wrong(loaded, where, f"no {' and no '.join(both)} beside the file that says it", "both")
    return added


def _check(loaded: Loaded, where: str, path: Json, takes: bool, family: str) -> None:  # noqa: FBT001
    """See that the family takes such a file, and that there is one."""
    if not takes:
        raise _wrong(loaded, where, "a family that asks a language model with it (prompted, remote)", repr(family))
    if not isinstance(path, str) or not (loaded.folder / path).is_file():
        raise _wrong(loaded, where, "the path of a file", f"nothing at {path!r}")


def _text(loaded: Loaded, path: str, where: str) -> str:
    try:
        return (loaded.folder / path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(loaded, where, "a text in UTF-8", f"{path}: {error}") from None


def _rows(loaded: Loaded, path: str, where: str) -> list[dict[str, Json]]:
    """The rows of a file of examples as texts, read as `[data]` reads its sources."""
    from bakeoff.data.reading import read
    from bakeoff.data.sources import resolve

    try:
        files = resolve(path, folder=loaded.folder, cache=loaded.folder / CACHE, progress=lambda _: None)
        found = read(loaded.config.data.model_copy(update={"query": None, "max_bad_share": 0.0}), {"source": files})
    except BakeoffError as error:
        raise _wrong(loaded, where, "a file of examples that can be read", f"{path}: {error}") from None
    columns = [name for name in found.table.columns if name not in loaded.config.data.ignore]
    rows = found.table.select(columns).iter_rows(named=True)
    return [{name: _shown(value) for name, value in row.items()} for row in rows]


def _shown(value: Any) -> Json:
    if value is None or isinstance(value, str):
        return value
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _wrong(loaded: Loaded, key: str, expected: str, found: str) -> ConfigError:
    return ConfigError((Problem(file=loaded.file, key=key, expected=expected, found=found),))
