"""What the columns of a table are: their kinds and the inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from bakeoff.config.sections import DataConfig
from bakeoff.core import narrow
from bakeoff.core.errors import DataError
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.plugins import suggestion
from bakeoff.core.types import CANONICAL, Column, ColumnFormat, ColumnKind, Schema, Task, TextForm
from bakeoff.data.attempts import FORM_NAMES, KIND_OF_FORM
from bakeoff.data.canonical import LONG
from bakeoff.data.cast import conform, stored_type
from bakeoff.data.forms import likely_form
from bakeoff.data.implausible import implausible
from bakeoff.data.trimming import trim, trimmed
from bakeoff.data.wording import ID_ROWS, ID_SHARE, wording_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["TARGET_KINDS", "Inferred", "Precedent", "conform", "infer"]

EXACT_WHOLE = 2**53
"""From here on a float no longer tells all whole numbers apart."""
KINDS: tuple[ColumnKind, ...] = ("text", "categorical", "numeric", "datetime", "boolean")
TARGET_KINDS: Mapping[Task, ColumnKind] = {
    "classification": "categorical",
    "regression": "numeric",
    "generation": "text",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inferred:
    """The schema, the columns that were left out, and what a person should know about how it came to be.

    `inherited` are the columns that a precedent decided against what their values show.
    """

    schema: Schema
    losses: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()
    inherited: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedent:
    """What columns were in the data of a model that goes on serving: its inputs with their kinds, and those left out.

    What a column is, is told from its values; with more rows, the evidence may tip. Whoever calls the model must not
    notice.
    """

    inputs: Mapping[str, ColumnKind]
    aside: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """What a column is: its kind, why it is no input (if so), and a note on how its kind came to be."""

    kind: ColumnKind
    useless: str | None = None
    remedy: str | None = None
    note: str | None = None


def infer(
    table: "pl.DataFrame",
    config: DataConfig,
    task: Task,
    formats: Mapping[str, ColumnFormat] = MappingProxyType({}),
    precedent: Precedent | None = None,
) -> Inferred:
    """Give every column a kind, from the project's lists or else from its type and values.

    Columns that are all missing, or that only number or name the rows (each value once), are not inputs;
    the losses say so. Listing such a column keeps it.

    Args:
        table: The rows as they were read.
        config: The `[data]` section.
        task: What is to be learned.
        formats: How the columns are written as text (`Reading.formats`).
        precedent: What the columns were before; they stay that where their values allow it.

    Raises:
        DataError: a column that the project names does not exist (all of them at once), or no input is left.
    """
    _check_named(table, config, formats)
    listed: dict[str, ColumnKind] = {name: kind for kind in KINDS for name in _listed(config, kind)}
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
    inherited: list[str] = []
    plain, losses = _storable(table, config)
    for series in plain:
        name = series.name
        style = formats.get(name, CANONICAL)
        ignored = name in config.ignore or style.vector in config.ignore
        if ignored and name not in special:
            continue
        set_kind = special.get(name) or listed.get(name) or listed.get(style.vector or name)
        before = precedent.inputs.get(name) if precedent and not set_kind else None
        if before and _can_be(series, before):
            set_kind = before
            own = _without_values(series, _judge(series, style, task))
            inherited += [name] if own.kind != before or own.useless else []
        judged = _Judged(kind=set_kind) if set_kind else _judge(series, style, task)
        columns.append(_column(series, judged.kind, style))
        if name == config.target or (name in special and name not in listed):
            losses += implausible(series, judged.kind, key="target_missing") if name == config.target else []
            continue
        judged = judged if before and judged.kind == before else _without_values(series, judged)
        if precedent and name in precedent.aside and not set_kind and not judged.useless:
            judged = replace(judged, useless="the live model does not take it", remedy="'bakeoff run' takes it in")
            inherited.append(name)
        if judged.useless:
            losses.append(_left_out(name, judged.useless, table.width, judged.remedy))
            continue
        inputs.append(name)
        losses += implausible(series, judged.kind)
        losses += _respelt(series) if judged.kind == "categorical" else []
        if judged.note:
            notes.append(judged.note)
    used = _with_time(inputs, columns, config, task, precedent)
    if not used:
        hint = "; to use one all the same, list it in [data] text, categorical or numeric" if losses else ""
        every = "; ".join(f"column {loss.subject!r} is not used: {loss.reason}" for loss in losses)
        raise DataError(
            f"expected at least one input column besides {config.target!r}, found none: "
            f"{every or 'the table has no other column'}{hint}."
        )
    schema = Schema(
        columns=tuple(columns),
        target=config.target,
        inputs=used,
        time=config.time,
        group=config.group,
        rejected=rejected,
        horizon=config.horizon,
        history=config.history,
        holidays=config.holidays,
    )
    return Inferred(schema=schema, losses=tuple(losses), notes=tuple(notes), inherited=tuple(inherited))


def _with_time(
    inputs: Sequence[str], columns: Sequence[Column], config: DataConfig, task: Task, precedent: Precedent | None
) -> tuple[str, ...]:
    """The inputs, with the time of the rows where it is one without being listed: in tables, as texts do not grow.

    A live model that does without it stays so; and so it is when the project ignores it.
    """
    kinds = {column.name: column.kind for column in columns}
    beside_texts = task == "generation" or any(kinds[name] == "text" for name in inputs)
    if config.time is None or beside_texts or config.time in config.ignore:
        return tuple(inputs)
    if precedent is not None and config.time not in precedent.inputs:
        return tuple(inputs)
    return tuple(column.name for column in columns if column.name in {*inputs, config.time})


def _rejected(table: "pl.DataFrame", config: DataConfig, task: Task) -> str | None:
    """The column of answers that were turned down: the one that is named, else the one that feedback fills."""
    name = config.rejected_column
    if name not in table.columns and config.rejected is None:
        name = "rejected"  # whatever the target is called, this is no question
    if task != "generation" or name not in table.columns or (config.rejected is None and name in config.ignore):
        return None
    return name


def _listed(config: DataConfig, kind: ColumnKind) -> tuple[str, ...]:
    return tuple(narrow.texts(getattr(config, kind)))


def _check_named(table: "pl.DataFrame", config: DataConfig, formats: Mapping[str, ColumnFormat]) -> None:
    vectors = {style.vector for style in formats.values()}
    named = {"target": (config.target,), "time": (config.time,), "group": (config.group,), "ignore": config.ignore}
    named["rejected"] = (config.rejected,)
    named |= {kind: _listed(config, kind) for kind in KINDS}
    problems = [
        f"[data] {key}: no column {name!r}. {suggestion(name, table.columns)}".rstrip()
        for key, names in named.items()
        for name in names
        if name is not None and name not in table.columns and name not in vectors
    ]
    if problems:
        known = ", ".join(table.columns[:30]) + (", …" if table.width > 30 else "")  # noqa: PLR2004
        raise DataError("\n".join([*problems, f"The table has: {known}."]))


def _column(series: "pl.Series", kind: ColumnKind, style: ColumnFormat) -> Column:
    if style.form == "plain" and kind in {"text", "categorical"}:
        style = replace(style, form=_form(series))  # so that the text "5.0" is the 5 of a column of numbers
    dtype = str(stored_type(kind).base_type())
    return Column(name=series.name, kind=kind, dtype=dtype, missing=series.null_count(), format=style)


def _form(series: "pl.Series") -> TextForm:
    import polars as pl

    if series.dtype.is_integer():
        return "whole"
    if series.dtype.is_numeric():
        return "number"
    if isinstance(series.dtype, (pl.Date, pl.Datetime)):
        return "time"
    return "boolean" if series.dtype == pl.Boolean else "plain"


def _storable(table: "pl.DataFrame", config: DataConfig) -> "tuple[list[pl.Series], list[Loss]]":
    """The columns whose values some kind stores, and those that are left out."""
    import polars as pl

    named = {config.target, *config.ignore}
    odd = [s for s in table if isinstance(s.dtype, (pl.Binary, pl.Object)) and s.name not in named]
    remedy = "turn it into plain values in [data] query"
    losses = [_left_out(series.name, f"it holds {series.dtype}", table.width, remedy) for series in odd]
    names = {series.name for series in odd}
    return [series for series in table if series.name not in names], losses


def _left_out(name: str, reason: str, columns: int, remedy: str | None) -> Loss:
    return Loss(kind="column", reason=reason, subject=name, count=1, of=columns, remedy=remedy)


def _can_be(series: "pl.Series", kind: ColumnKind) -> bool:
    """Whether the values can be of the kind that the column had before."""
    import polars as pl

    dtype = series.dtype
    if series.null_count() == len(series):
        return True
    if kind in {"text", "categorical"}:
        return dtype == pl.String or (kind == "categorical" and dtype.is_integer())
    if kind == "numeric":
        return dtype.is_numeric() or isinstance(dtype, (pl.Time, pl.Duration))
    return dtype == pl.Boolean if kind == "boolean" else isinstance(dtype, (pl.Date, pl.Datetime))


def _judge(series: "pl.Series", style: ColumnFormat, task: Task) -> _Judged:  # noqa: PLR0911 - a line a type
    """The kind of a column that no list names."""
    import polars as pl

    dtype = series.dtype
    if dtype == pl.Boolean:
        return _Judged(kind="boolean")
    if isinstance(dtype, (pl.Date, pl.Datetime)):
        return _Judged(kind="datetime")
    if dtype.is_integer():
        return _judge_whole(series)
    if dtype.is_numeric() or isinstance(dtype, (pl.Time, pl.Duration)):
        return _Judged(kind="numeric")
    if dtype == pl.String:
        return _judge_texts(series, style, task)
    if dtype == pl.Null:
        return _Judged(kind="categorical")
    return _Judged(kind="categorical", useless=f"it holds {dtype}", remedy="turn it into plain values in [data] query")


def _judge_whole(series: "pl.Series") -> _Judged:
    import polars as pl

    name = series.name
    ends = [abs(int(narrow.number(end))) for end in (series.min(), series.max()) if end is not None]
    if max(ends, default=0) > EXACT_WHOLE:
        note = (
            f"column {name!r} is taken as categories: whole numbers beyond 2^53 would be merged as floats; "
            f'numeric = ["{name}"] in [data] takes them as numbers'
        )
        judged = _Judged(kind="categorical", note=note)
        return _no_id(series, judged, series.n_unique())
    if len(series) >= ID_ROWS and not series.null_count() and series[1] - series[0] == 1:
        steps = series.cast(pl.Int64).diff().drop_nulls()
        if (steps == 1).all():
            return _Judged(kind="numeric", useless="it only numbers the rows", remedy=f'numeric = ["{name}"] in [data]')
    return _Judged(kind="numeric")


def _judge_texts(series: "pl.Series", style: ColumnFormat, task: Task) -> _Judged:
    name = series.name
    present = series.drop_nulls()
    if style.form == "conversation":
        return _Judged(kind="text")
    if style.form == "json":
        column = _quoted(name)
        part = f"{column} ->> '$.KEY' AS {_quoted(name + '_KEY')}"
        if str(present[0]).lstrip().startswith("["):  # lists of different lengths
            first, count = _quoted(f"{name}_first"), _quoted(f"{name}_count")
            part = f"{column} ->> '$[0]' AS {first}, json_array_length({column}) AS {count}"
        query = f"SELECT * EXCLUDE ({column}), {part} FROM source"  # noqa: S608
        remedy = f'unfold it: [data] query = """{query}""", or text = ["{name}"] to take it as a text'
        return _Judged(kind="text", useless="its values are nested", remedy=remedy)
    wording = wording_of(present)
    if wording.language or (task == "generation" and wording.varied):  # short questions, too
        return _Judged(kind="text")
    if wording.short_language:
        note = f'column {name!r} is taken as text: {wording}; categorical = ["{name}"] in [data] takes it as categories'
        return _Judged(kind="text", note=note)
    return _no_id(series, _Judged(kind="categorical"), wording.distinct)


def _no_id(series: "pl.Series", judged: _Judged, distinct: int) -> _Judged:
    """A column of categories, unless each names a row."""
    import polars as pl

    rows, name = len(series), series.name
    if rows < ID_ROWS or distinct <= ID_SHARE * rows:
        return judged
    form = "other"
    if series.dtype == pl.String and not judged.note and not series.str.contains(LONG).any():
        form = likely_form(series.drop_nulls(), None, target=False)
    if form in KIND_OF_FORM:
        reason = f"most of its values look like {FORM_NAMES[form]}, and not all can be read so"
        kind = KIND_OF_FORM[form]
        remedy = f'{kind} = ["{name}"] in [data] takes those, and the others as missing'
        return replace(judged, useless=reason, remedy=remedy)
    reason = f"nearly every value is another ({distinct:,} in {rows:,} rows), as in an id"
    remedy = f'text = ["{name}"] or categorical = ["{name}"] in [data]'
    return _Judged(kind="categorical", useless=reason, remedy=remedy)


def _without_values(series: "pl.Series", judged: _Judged) -> _Judged:
    if series.null_count() < len(series):
        return judged
    return replace(judged, useless="all its values are missing", remedy=None)


def _respelt(series: "pl.Series") -> list[Loss]:
    """Categories that are another one but for what is not seen around them, or for how they are composed."""
    import polars as pl

    if series.dtype != pl.String:
        return []
    names = trimmed(series)
    other_n = (names != series).fill_null(value=False)
    if not other_n.any():
        return []
    usual = set(series.filter(~other_n).unique())
    merged = [text for text in series.filter(other_n) if trim(text) in usual]
    shown = list(dict.fromkeys(merged))[:EXAMPLES]
    loss = Loss(
        kind="label",
        reason="another spelling of the same category (blanks around it, or composed otherwise)",
        subject=series.name,
        count=len(merged),
        of=len(series) - series.null_count(),
        examples=tuple(f"{example(text)} is {example(trim(text))}" for text in shown),
    )
    return [loss] if merged else []


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
