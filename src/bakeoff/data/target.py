"""The target column of a table: its classes named by one rule, rows without a target set aside, all of it counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bakeoff.config.sections import DataConfig, LabelRule
from bakeoff.core.errors import DataError
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.types import ColumnFormat, Schema, Task
from bakeoff.data.cast import to_kind
from bakeoff.data.formats import ColumnSettings, typed
from bakeoff.data.labels import NUMBER, alike, class_names, fold, is_list, joined_by, label_text, trim
from bakeoff.data.values import MISSING_WORDS

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NamedTarget", "TargetTable", "name_classes", "prepare_target"]

FEWEST = 2
"""Rows of a class, so that there can be one to learn from and one to test with."""
RARE_SHARE = 0.1
"""The share of rows in classes of fewer rows, over which the target is no class at all."""
MANY_CLASSES = 50
GRAVE_SHARE = 0.05
"""Of the rows; when more of them lack a target, something is wrong with it."""
NO_NUMBER = frozenset({"nan", "-nan", "nat", "<na>"})
"""Words (in lower case) that programs write for a number, truth or time that is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTarget:
    """A table whose target has class names; what was lost on the way, and what a person should know.

    `formats` are those of the other columns: names are not written in a format.
    """

    table: "pl.DataFrame"
    formats: Mapping[str, ColumnFormat] = field(default_factory=dict[str, ColumnFormat])
    losses: tuple[Loss, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTable:
    """The table to learn from, the rows and classes that are not in it, and what a person should know."""

    table: "pl.DataFrame"
    losses: tuple[Loss, ...] = ()
    warnings: tuple[str, ...] = ()


def name_classes(
    table: "pl.DataFrame", config: DataConfig, task: Task, formats: Mapping[str, ColumnFormat] = MappingProxyType({})
) -> NamedTarget:
    """Give every value of the target the name of its class (`[data] labels`); a quantity becomes numbers.

    Args:
        table: The rows as they were read.
        config: The `[data]` section.
        task: What is to be learned.
        formats: How the columns are written as text (`Reading.formats`).

    Raises:
        DataError: the target holds lists.
    """
    import polars as pl

    if task == "classification" and any(style.vector == config.target for style in formats.values()):
        raise _of_lists(config.target, "of numbers")
    if config.target not in table.columns or task == "generation":
        return NamedTarget(table=table, formats=formats)
    target = table[config.target]
    if task == "regression":
        return _quantity(table, target, config, formats)
    if isinstance(target.dtype, (pl.Categorical, pl.Enum)):
        target = target.cast(pl.String)
    if target.dtype.is_nested():
        raise _of_lists(config.target, str(target.dtype))
    words = frozenset(config.target_missing)
    if target.dtype == pl.String:
        named, losses, notes = _of_texts(target, config, words)
    else:
        named, losses = _of_values(target, words), ()
        notes = _typed_note(target)
    return NamedTarget(
        table=table.with_columns(named),
        formats={name: style for name, style in formats.items() if name != config.target},
        losses=losses,
        warnings=tuple(_warnings(named, target, config)),
        notes=notes,
    )


def _quantity(
    table: "pl.DataFrame", target: "pl.Series", config: DataConfig, formats: Mapping[str, ColumnFormat]
) -> NamedTarget:
    """A quantity may have been left as text, since its few values could have been classes."""
    import polars as pl

    if target.dtype != pl.String:
        return NamedTarget(table=table, formats=formats)
    result = typed(
        target, ColumnSettings(kind="numeric", target=True, decimal=config.decimal, missing=config.target_missing)
    )
    return NamedTarget(
        table=table.with_columns(result.series),
        formats={**formats, config.target: result.style},
        losses=result.losses,
        notes=result.notes,
    )


def _of_lists(target: str, shown: str) -> DataError:
    return DataError(
        f"target {target!r}: expected one class for each row, found lists ({shown}). Several labels for one row are "
        f"not supported. Take one of them in [data] query (DuckDB SQL), as with * REPLACE ({target}[1] AS {target}), "
        f"or make a project for each label, with a target such as list_contains({target}, 'NAME')."
    )


def _of_texts(
    target: "pl.Series", config: DataConfig, words: frozenset[str]
) -> "tuple[pl.Series, tuple[Loss, ...], tuple[str, ...]]":
    counts = dict(_counts(target))
    lists = [text for text in counts if is_list(text)]
    if lists:
        raise _of_lists(target.name, ", ".join(example(text) for text in lists[:EXAMPLES]))
    nothing = _not_numbers(counts)
    names = class_names({spelling: rows for spelling, rows in counts.items() if spelling not in nothing}, config.labels)
    names = {spelling: None if name in words else name for spelling, name in names.items()} | dict.fromkeys(nothing)
    return _replaced(target, names), _merged(target.name, counts, names), _not_numbers_told(target.name, nothing)


def _not_numbers(counts: Mapping[str, int]) -> dict[str, int]:
    """Spellings of "not a number" and their rows, where all other classes are numbers or booleans.

    A program wrote them where it had no value; other words, and these beside words, are classes.
    """
    nothing = {spelling: rows for spelling, rows in counts.items() if trim(spelling).lower() in NO_NUMBER}
    others = {trim(spelling) for spelling in counts if spelling not in nothing}
    typed = all(NUMBER.fullmatch(name) or name.lower() in {"true", "false", ""} for name in others)
    return nothing if nothing and others and typed else {}


def _not_numbers_told(target: str, nothing: Mapping[str, int]) -> tuple[str, ...]:
    if not nothing:
        return ()
    shown = ", ".join(map(example, nothing))
    note = (
        f"target {target!r}: {sum(nothing.values()):,} rows with {shown} among numbers lack a target; to make it a "
        "class, rename it in [data] query"
    )
    return (note,)


def _of_values(target: "pl.Series", words: frozenset[str]) -> "pl.Series":
    names = {value: label_text(value) for value in target.unique().drop_nulls().to_list()}
    return _replaced(target, {value: None if name in words else name for value, name in names.items()})


def _replaced(target: "pl.Series", names: "Mapping[Any, str | None]") -> "pl.Series":
    import polars as pl

    if all(value == name for value, name in names.items()):
        return target
    old = pl.Series("old", list(names), dtype=target.dtype)
    lookup = pl.DataFrame({"old": old, "new": pl.Series(list(names.values()), dtype=pl.String)})
    joined = pl.DataFrame({"old": target}).join(lookup, on="old", how="left", maintain_order="left")
    return joined["new"].alias(target.name)


def _merged(target: str, counts: Mapping[str, int], names: Mapping[str, str | None]) -> tuple[Loss, ...]:
    """Rows whose class has another spelling that is more usual."""
    usual: dict[str, str] = {}
    for spelling, name in sorted(names.items(), key=lambda item: (-counts[item[0]], item[0])):
        if name is not None:
            usual.setdefault(name, spelling)
    others = {spelling: name for spelling, name in names.items() if name is not None and usual[name] != spelling}
    rows = sum(counts[spelling] for spelling in others)
    if not rows:
        return ()
    shown = sorted(others, key=lambda spelling: (-counts[spelling], spelling))[:EXAMPLES]
    classes: dict[str, int] = {}
    for spelling, name in others.items():
        classes[str(name)] = classes.get(str(name), 0) + counts[spelling]
    return (
        Loss(
            kind="label",
            reason="another spelling of the same class",
            subject=target,
            count=rows,
            of=sum(counts.values()),
            examples=tuple(f"{example(spelling)} is {example(others[spelling])}" for spelling in shown),
            classes=classes,
            remedy='[data] labels = "exact" keeps them apart',
        ),
    )


def _typed_note(target: "pl.Series") -> tuple[str, ...]:
    kind = "booleans" if str(target.dtype) == "Boolean" else "numbers" if target.dtype.is_numeric() else "times"
    names = (label_text(value) for value in target.drop_nulls().unique().sort().to_list())
    shown = list(islice((name for name in names if name is not None), 3))
    return (f"the classes of {target.name!r} are {kind}; they are named {', '.join(map(repr, shown))}…",)


def _warnings(named: "pl.Series", target: "pl.Series", config: DataConfig) -> "list[str]":
    counts = dict(_counts(named))
    warnings = [_alike_told(named.name, group, counts, config.labels) for group in alike(counts)]
    odd = [name for name in counts if name in MISSING_WORDS]
    if odd:
        listed = ", ".join(f"{name!r} ({counts[name]:,} rows)" for name in odd)
        shown = ", ".join(f'"{name}"' for name in odd)
        warnings.append(
            f"target {named.name!r}: words that programs write for a missing value are classes: {listed}. If they are "
            f"none, set [data] target_missing = [{shown}]"
        )
    sign = joined_by(counts)
    if sign is not None:
        shown = ", ".join(repr(name) for name in counts if sign in name)[:120]
        warnings.append(
            f"target {named.name!r}: several labels seem to be joined by {sign!r} ({shown}); each combination is a "
            "class of its own, as several labels for one row are not supported. Take one of them in [data] query"
        )
    rows = sum(counts.values())
    if target.dtype.is_numeric() and len(counts) > MANY_CLASSES and len(counts) > rows / 20:
        warnings.append(
            f"target {named.name!r}: {len(counts):,} different numbers in {rows:,} rows are taken for classes; "
            'if it is a quantity, set task = "regression"'
        )
    return warnings


def _alike_told(target: str, group: Sequence[str], counts: Mapping[str, int], rule: LabelRule) -> str:
    shown = ", ".join(f"{name!r} ({counts[name]:,} rows)" for name in group)
    if len(set(map(fold, group))) > 1:
        return (
            f"target {target!r}: classes that may mean the same: {shown}. If they do, make one class of them in "
            f"[data] query, as with * REPLACE (CASE {target} WHEN {_sql(group[0])} THEN {_sql(group[-1])} "
            f"ELSE {target} END AS {target})"
        )
    wider = "trim" if rule == "exact" and len(set(map(trim, group))) == 1 else "fold"
    return (
        f"target {target!r}: classes that differ only by case, spacing or form: {shown}. To make one class of them, "
        f"set [data] labels = {wider!r}, or rename them in [data] query"
    )


def _sql(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def prepare_target(table: "pl.DataFrame", schema: Schema, task: Task) -> TargetTable:
    """The table to learn from: all columns of the schema in their stored types, rows without a target gone.

    A regression target becomes a finite Float64. Classes of a single row, which cannot be learned and tested, are
    left out when they are few.

    Raises:
        DataError: no rows or no targets are left, or the classes cannot be learned.
    """
    import polars as pl

    if table.height == 0:
        raise DataError("expected rows, found none.")
    target = table[schema.target]
    missing = target.null_count()
    if target.dtype == pl.String:
        missing += int((target == "").sum())
    # Classes have their names already: `[data] labels = "exact"` keeps blanks around them.
    columns = [
        replace(column, kind="text") if column.name == schema.target and column.kind == "categorical" else column
        for column in schema.columns
    ]
    ready = pl.DataFrame([to_kind(table[column.name], column) for column in columns])
    labelled = ready.filter(pl.col(schema.target).is_not_null())
    losses = [
        Loss(
            kind="row",
            reason="target missing",
            subject=schema.target,
            count=missing,
            of=table.height,
            grave=missing > GRAVE_SHARE * table.height,
        ),
        Loss(
            kind="row",
            reason="target not a finite number",
            subject=schema.target,
            count=table.height - labelled.height - missing,
            of=table.height,
        ),
    ]
    losses = [loss for loss in losses if loss.count]
    if labelled.height == 0:
        raise DataError(f"target {schema.target!r}: expected values, but all {table.height:,} rows lack one.")
    if task != "classification":
        return TargetTable(table=labelled, losses=tuple(losses))
    learnable, rare = _without_rare(labelled, schema.target)
    return TargetTable(table=learnable, losses=(*losses, *rare), warnings=tuple(_rare_told(schema.target, rare)))


def _without_rare(table: "pl.DataFrame", target: str) -> "tuple[pl.DataFrame, tuple[Loss, ...]]":
    """The table without classes of too few rows, and these."""
    import polars as pl

    counts = dict(_counts(table[target]))
    if len(counts) < 2:  # noqa: PLR2004
        raise DataError(
            f"target {target!r}: expected at least two classes, found only {next(iter(counts))!r} "
            f"in {table.height:,} rows."
        )
    rare = {name: rows for name, rows in counts.items() if rows < FEWEST}
    if not rare:
        return table, ()
    lost = sum(rare.values())
    if len(counts) - len(rare) < 2 or lost > RARE_SHARE * table.height:  # noqa: PLR2004
        shown = ", ".join(repr(name) for name in list(rare)[:EXAMPLES]) + (", …" if len(rare) > EXAMPLES else "")
        hint = ' If it is a quantity, set task = "regression".' if all(map(NUMBER.fullmatch, rare)) else ""
        raise DataError(
            f"target {target!r}: expected at least two rows of each class, found one of {shown} "
            f"({len(rare)} of {len(counts)} classes). Drop or join them in [data] query.{hint}"
        )
    reason = "a class of one row"
    remedy = "add rows of these classes, or join them with others in [data] query"
    examples = tuple(example(name) for name in list(rare)[:EXAMPLES])
    return table.filter(~pl.col(target).is_in(list(rare))), (
        Loss(
            kind="row",
            reason=reason,
            subject=target,
            count=lost,
            of=table.height,
            examples=examples,
            classes=rare,
            remedy=remedy,
        ),
        Loss(
            kind="class",
            reason=reason,
            subject=target,
            count=len(rare),
            of=len(counts),
            examples=examples,
            remedy=remedy,
        ),
    )


def _rare_told(target: str, losses: Sequence[Loss]) -> "list[str]":
    return [
        f"target {target!r}: {loss.count} of {loss.of} classes have a single row and are left out: "
        f"{', '.join(loss.examples)}{', …' if loss.count > len(loss.examples) else ''}"
        for loss in losses
        if loss.kind == "class"
    ]


def _counts(target: "pl.Series") -> "list[tuple[str, int]]":
    """How often each value comes, in order; values that are missing are left out."""
    counted = target.drop_nulls().alias("value").value_counts(name="rows").sort("value")
    return [(str(value), int(rows)) for value, rows in counted.iter_rows()]
