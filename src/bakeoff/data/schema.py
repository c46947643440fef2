"""What the columns of a table are: their kinds and the inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from bakeoff.core.config import DataConfig
from bakeoff.core.errors import DataError
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import Column, ColumnKind, Schema, Task
from bakeoff.data.cast import conform, stored_type

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TARGET_KINDS", "Inferred", "conform", "infer"]

TEXT_WORDS = 3.0
TEXT_CHARACTERS = 100.0
TEXT_DISTINCT_SHARE = 0.3
TEXT_DISTINCT = 50
ID_SHARE = 0.95
ID_ROWS = 50
KINDS: tuple[ColumnKind, ...] = ("text", "categorical", "numeric", "datetime", "boolean")
TARGET_KINDS: Mapping[Task, ColumnKind] = {
    "classification": "categorical",
    "regression": "numeric",
    "generation": "text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """The schema, and what a person should know about how it came to be, one line each."""

    schema: Schema
    notes: tuple[str, ...]


def infer(table: "pl.DataFrame", config: DataConfig, task: Task) -> Inferred:
    """Give every column a kind, from the project's lists or else from its type and values.

    Columns that are all missing, or that only number or name the rows (each value once), are not inputs;
    the notes say so. Listing such a column keeps it.

    Raises:
        DataError: a column that the project names does not exist (all of them at once), or no input is left.
    """
    _check_named(table, config)
    listed: dict[str, ColumnKind] = {
        name: kind for kind in KINDS for name in cast("tuple[str, ...]", getattr(config, kind))
    }
    special: dict[str, ColumnKind] = {config.target: TARGET_KINDS[task]}
    if config.time:
        special[config.time] = "datetime"
    rejected = _rejected(table, config, task)
    if rejected:
        special[rejected] = "text"
    if config.group:
        special.setdefault(config.group, listed.get(config.group, "categorical"))
    columns: list[Column] = []
    inputs: list[str] = []
    notes: list[str] = []
    for series in table:
        name = series.name
        if name in config.ignore and name not in special:
            continue
        kind = special.get(name) or listed.get(name) or _kind(series, task)
        columns.append(_column(series, kind))
        if name == config.target or (name in special and name not in listed):
            continue
        reason = _useless(series, kind, listed=name in listed)
        if reason:
            notes.append(f"column {name!r} is not used: {reason}")
        else:
            inputs.append(name)
    if not inputs:
        hint = "; to use one all the same, list it in [data] text, categorical or numeric" if notes else ""
        found = "; ".join(notes) or "the table has no other column"
        raise DataError(f"expected at least one input column besides {config.target!r}, found none: {found}{hint}.")
    schema = Schema(
        columns=tuple(columns),
        target=config.target,
        inputs=tuple(inputs),
        time=config.time,
        group=config.group,
        rejected=rejected,
    )
    return Inferred(schema=schema, notes=tuple(notes))


def _rejected(table: "pl.DataFrame", config: DataConfig, task: Task) -> str | None:
    """The column of answers that were turned down: the one that is named, else the one that feedback fills."""
    name = config.rejected_column
    if task != "generation" or name not in table.columns or (config.rejected is None and name in config.ignore):
        return None
    return name


def _listed(config: DataConfig, kind: ColumnKind) -> tuple[str, ...]:
    return cast("tuple[str, ...]", getattr(config, kind))


def _check_named(table: "pl.DataFrame", config: DataConfig) -> None:
    named = {"target": (config.target,), "time": (config.time,), "group": (config.group,), "ignore": config.ignore}
    named["rejected"] = (config.rejected,)
    named |= {kind: _listed(config, kind) for kind in KINDS}
    problems = [
        f"[data] {key}: no column {name!r}. {suggestion(name, table.columns)}".rstrip()
        for key, names in named.items()
        for name in names
        if name is not None and name not in table.columns
    ]
    if problems:
        known = ", ".join(table.columns[:30]) + (", …" if table.width > 30 else "")  # noqa: PLR2004
        raise DataError("\n".join([*problems, f"The table has: {known}."]))


def _column(series: "pl.Series", kind: ColumnKind) -> Column:
    return Column(name=series.name, kind=kind, dtype=str(stored_type(kind).base_type()), missing=series.null_count())


def _kind(series: "pl.Series", task: Task) -> ColumnKind:
    import polars as pl

    dtype = series.dtype
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_numeric():
        return "numeric"
    if isinstance(dtype, (pl.Date, pl.Datetime)):
        return "datetime"
    present = series.drop_nulls()
    language = _is_language(present) or (task == "generation" and _is_varied(present))  # short questions, too
    return "text" if dtype == pl.String and language else "categorical"


def _is_language(present: "pl.Series") -> bool:
    """Many distinct values of several words each, or long ones (scripts without spaces)."""
    if not _is_varied(present):
        return False
    words = cast("float", (present.str.count_matches(r"\s+") + 1).mean())
    characters = cast("float", present.str.len_chars().mean())
    return words >= TEXT_WORDS or characters >= TEXT_CHARACTERS


def _is_varied(present: "pl.Series") -> bool:
    if present.is_empty():
        return False
    distinct = present.n_unique()
    return distinct / len(present) >= TEXT_DISTINCT_SHARE or distinct >= TEXT_DISTINCT


def _useless(series: "pl.Series", kind: ColumnKind, *, listed: bool) -> str | None:
    import polars as pl

    rows = len(series)
    present = rows - series.null_count()
    if present == 0:
        return "all its values are missing"
    if listed or rows < ID_ROWS:
        return None
    if kind == "categorical" and series.n_unique() > ID_SHARE * rows:
        return f"nearly every value is another ({series.n_unique():,} in {rows:,} rows), as in an id"
    if series.dtype.is_integer() and present == rows:
        steps = series.cast(pl.Int64).diff().drop_nulls()
        if (steps == 1).all():
            return "it only numbers the rows"
    return None
