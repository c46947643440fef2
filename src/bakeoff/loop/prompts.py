"""Prompts and examples of candidates, held against the data once its columns are known; prompts as versions."""

from collections.abc import Iterator, Mapping
from typing import Any

from bakeoff.config.file import FILE_NAME
from bakeoff.core.errors import ConfigError, Problem
from bakeoff.core.lineage import PromptOrigin, PromptUse
from bakeoff.core.records import Version
from bakeoff.loop.context import Contender, Stage
from bakeoff.loop.dataset import Gathered, load_arrays, load_table
from bakeoff.loop.safety import probes
from bakeoff.registry.lineage import label
from bakeoff.registry.register import register_once

__all__ = ["check_prompts", "prompt_origin", "prompt_version"]


def check_prompts(stage: Stage, gathered: Gathered) -> None:
    """See that prompts and `[decide] context` name columns, and that examples have them all and are no test rows.

    Raises:
        ConfigError: something else; all of it together.
    """
    named = {column.name for column in gathered.schema.columns}
    problems = [
        Problem(
            file=FILE_NAME, key="decide.context", expected=f"columns ({', '.join(sorted(named))})", found=repr(name)
        )
        for name in stage.config.decide.context
        if name not in named
    ]
    problems += [each for contender in stage.contenders for each in _problems(stage, gathered, contender.shown)]
    probes(stage, gathered)
    if problems:
        raise ConfigError(tuple(dict.fromkeys(problems)))  # candidates may share a file


def _problems(stage: Stage, gathered: Gathered, contender: Contender) -> Iterator[Problem]:
    if contender.prompt is not None:
        yield from contender.prompt.problems(gathered.schema.inputs)
    rows: tuple[Mapping[str, Any], ...] = getattr(contender.params, "demonstrations", ())
    if not rows:
        return
    key, schema = f"candidates.{contender.name}.demonstrations", gathered.schema

    def problem(expected: str, found: str) -> Problem:
        return Problem(file=FILE_NAME, key=key, expected=expected, found=found)

    needed = (*schema.inputs, schema.target)
    for at, row in enumerate(rows, start=1):
        missing = [name for name in needed if name not in row]
        if missing:
            yield problem(f"examples with the columns {', '.join(needed)}", f"no {', '.join(missing)} in example {at}")
            return
        if row[schema.target] in {None, ""}:
            yield problem(f"an answer ({schema.target}) in each example", f"none in example {at}")
    seen = _test_rows(stage, gathered)
    copied = [at for at, row in enumerate(rows, start=1) if _asked(row, schema.inputs) in seen]
    if copied:
        shown = ", ".join(map(str, copied[:5]))
        why = "examples that are no test rows: their answers would be shown to the model that is tested with them"
        yield problem(why, f"{len(copied)} of {len(rows)} that are (example {shown})")


def _test_rows(stage: Stage, gathered: Gathered) -> set[tuple[str | None, ...]]:
    names = gathered.schema.inputs
    table = load_table(stage.blobs, gathered.table_blob, list(names))
    test = table[load_arrays(stage.blobs, gathered.rows_blob)["test"]]
    return {_asked(row, names) for row in test.iter_rows(named=True)}


def _asked(row: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str | None, ...]:
    """The inputs of a row, whatever the type and the spaces around them."""
    return tuple(_text(row[name]) for name in names)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def prompt_version(stage: Stage, contender: Contender, run_id: str) -> Version | None:
    """The registered version of the contender's prompt file; None without one."""
    prompt = contender.shown.prompt
    if prompt is None:
        return None
    about = PromptOrigin(file=prompt.path, text=prompt.text)
    name = f"{stage.config.project.name}/{prompt.path}"
    return register_once(stage.records.versions, "prompt", name, prompt.digest, run_id=run_id, made_from=about)


def prompt_origin(version: Version | None) -> PromptUse | None:
    """What a model's lineage tells of its prompt."""
    if version is None:
        return None
    file = PromptOrigin.from_json(version.lineage).file
    return PromptUse(version=label(version), file=file, digest=version.content)
