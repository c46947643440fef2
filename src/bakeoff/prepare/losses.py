"""What preparation steps take away: rows that a step sets aside, and cells of which it leaves nothing."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.types import Schema

if TYPE_CHECKING:
    import polars as pl

__all__ = ["class_counts", "emptied", "row_examples", "set_aside"]

READ_CHARACTERS = 2000  # more than an example shows, so that nothing is cut in two
REMEDY = "change the step in [prepare] steps, or leave it out"


def set_aside(step: str, lost: "pl.DataFrame", schema: Schema, *, of: int) -> Loss:
    """The rows that a step set aside, out of so many that it was given."""
    return Loss(
        kind="row",
        reason=f"step {step}",
        count=lost.height,
        of=of,
        examples=row_examples(lost, schema),
        classes=class_counts(lost, schema),
        remedy=REMEDY,
        chosen=True,
    )


def class_counts(table: "pl.DataFrame", schema: Schema) -> dict[str, int]:
    """Rows of each class; nothing when the target is no class."""
    kinds = {column.name: column.kind for column in schema.columns}
    if kinds.get(schema.target) != "categorical" or schema.target not in table.columns:
        return {}
    counted = table[schema.target].drop_nulls().alias("value").value_counts(name="rows").sort("value")
    return {str(value): int(rows) for value, rows in counted.iter_rows()}


def row_examples(table: "pl.DataFrame", schema: Schema) -> tuple[str, ...]:
    """The first rows by their first text, or else their first inputs."""
    texts = schema.of_kind("text")[:1]
    names = texts or schema.inputs[:3]
    shown = table.select(name for name in names if name in table.columns).head(EXAMPLES)
    if texts:
        return tuple(example(shown_text(row[0])) for row in shown.iter_rows() if row)
    return tuple(
        shown_text(", ".join(f"{name} = {value}" for name, value in row.items())) for row in shown.to_dicts() if row
    )


def shown_text(text: str | None) -> str:
    """The beginning of a text as a report may show it: what is personal or secret is marked."""
    from bakeoff.prepare.text.marks import marked  # its patterns take a while to compile

    return marked((text or "")[:READ_CHARACTERS])


def emptied(step: str, before: "pl.DataFrame", after: "pl.DataFrame", schema: Schema) -> Iterator[Loss]:
    """Texts of which a step left nothing, column by column."""
    import polars as pl

    for column in schema.columns:
        name = column.name
        if name not in after.columns or name not in before.columns or before.schema[name] != pl.String:
            continue
        old, new = before[name], after[name].cast(pl.String)
        changed = old.ne_missing(new)
        old, new = old.filter(changed), new.filter(changed)
        nothing = old.str.contains(r"\S").fill_null(value=False) & ~new.str.contains(r"\S").fill_null(value=False)
        gone = old.filter(nothing)
        if len(gone):
            yield Loss(
                kind="cell",
                reason=f"step {step} leaves nothing of the text",
                subject=name,
                count=len(gone),
                of=before.height,
                examples=tuple(example(shown_text(text)) for text in gone.head(EXAMPLES).to_list()),
                remedy=REMEDY,
            )
