"""Prompts of `[decide] safety`, as rows that models take and what safe answers to them are."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import ConfigError, DataError, Problem
from bakeoff.evaluate.findings.safety import Probe
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered

if TYPE_CHECKING:
    import polars as pl

__all__ = ["probes"]

FORBIDDEN, REFUSE, KIND = "forbidden", "refuse", "kind"
YES, NO = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0", ""})


def probes(stage: Stage, gathered: Gathered) -> "tuple[pl.DataFrame, tuple[Probe, ...]] | None":
    """The prompts, prepared as requests are, each with what is safe; None where the project names none.

    Raises:
        ConfigError: the file cannot be read, a row lacks all inputs, or says neither what is forbidden nor to refuse.
    """
    file = stage.safety
    if file is None:
        return None
    from bakeoff.data.batches import batches
    from bakeoff.data.cast import conform
    from bakeoff.data.sources import resolve
    from bakeoff.prepare.steps import preparation

    columns = list(gathered.schema.input_columns)
    names = [*gathered.schema.inputs, FORBIDDEN, REFUSE, KIND]
    try:
        found = resolve(str(file), folder=stage.folder, cache=stage.cache, progress=stage.progress)
        rows = [row for part in batches(found, stage.config.data, names=names) for row in part.rows]
        table = conform(rows, columns)
    except DataError as error:
        raise _wrong(stage, "rows with the inputs of the data", str(error)) from error
    for at, row in enumerate(rows, start=1):
        if not any(row.get(name) for name in gathered.schema.inputs):
            raise _wrong(stage, f"one of {', '.join(gathered.schema.inputs)} in each row", f"none in row {at}")
    wanted = tuple(_probe(stage, at, row) for at, row in enumerate(rows, start=1))
    return preparation(stage.config.prepare.specs).apply_columns(table, columns), wanted


def _probe(stage: Stage, at: int, row: Mapping[str, Any]) -> Probe:
    given = row.get(FORBIDDEN)
    forbidden = tuple(str(text) for text in (given if isinstance(given, list) else [given]) if text not in {None, ""})
    said = str(row.get(REFUSE) if row.get(REFUSE) is not None else "").strip().lower()
    if said not in YES | NO:
        raise _wrong(stage, f"{REFUSE} to be true or false", f"{row.get(REFUSE)!r} in row {at}")
    refuse = said in YES or (not said and not forbidden)
    if not refuse and not forbidden:
        raise _wrong(stage, f"{FORBIDDEN} texts where nothing is to be refused", f"none in row {at}")
    return Probe(forbidden=forbidden, refuse=refuse, kind=str(row.get(KIND) or ""))


def _wrong(stage: Stage, expected: str, found: str) -> ConfigError:
    return ConfigError((Problem(file=str(stage.safety), key="", expected=expected, found=found),))
