"""Feedback rows as rows of the dataset: what does not fit is set aside and counted, and stops nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bakeoff.config.sections import LabelRule
from bakeoff.core.conversation import conversation_columns, is_conversation
from bakeoff.core.errors import DataError
from bakeoff.core.ledger import EXAMPLES, Loss, example
from bakeoff.core.types import Column, Schema, Task

if TYPE_CHECKING:
    import polars as pl

__all__ = ["conformed", "fitting"]


def conformed(
    rows: "Sequence[Mapping[str, object]] | pl.DataFrame", columns: Sequence[Column]
) -> "tuple[pl.DataFrame, tuple[Loss, ...]]":
    """The rows in the stored types of these columns, without those that have a value which does not fit."""
    from bakeoff.data.cast import conform

    try:
        return conform(rows, columns), ()
    except DataError:
        pass  # found one by one
    listed = rows if isinstance(rows, Sequence) else rows.to_dicts()
    fine: list[Mapping[str, object]] = []
    problems: list[str] = []
    for row in listed:
        try:
            conform([row], columns)
        except DataError as error:
            problems.append(str(error).partition(", ")[2])
        else:
            fine.append(row)
    loss = Loss(
        kind="row",
        reason="feedback with a value that does not fit its column",
        count=len(problems),
        of=len(listed),
        examples=tuple(dict.fromkeys(problems))[:EXAMPLES],
    )
    return conform(fine, columns), (loss,)


def fitting(
    fed: "pl.DataFrame", schema: Schema, classes: "pl.Series", task: Task, rule: LabelRule
) -> "tuple[pl.DataFrame, tuple[Loss, ...]]":
    """Feedback rows that can join a dataset: with all of its inputs, values that fit, and a class that it knows."""
    import polars as pl

    vectors = {column.name: column.format.vector for column in schema.input_columns}
    absent = [name for name, vector in vectors.items() if not {name, vector} & set(fed.columns)]
    if absent and fed.height:
        reason = "feedback without an input"
        return fed.clear().pipe(lambda none: conformed(none, schema.columns)[0]), (
            Loss(kind="row", reason=reason, subject=absent[0], count=fed.height, of=fed.height),
        )
    losses: list[Loss] = []
    if task == "generation":
        fed, unlike = _single_texts(fed, schema)
        losses += unlike
    if task == "classification":
        named = _named(fed[schema.target], classes, rule)
        unknown = fed[schema.target].filter(named.is_null())
        losses.append(
            Loss(
                kind="row",
                reason="feedback with an unknown label",
                subject=schema.target,
                count=len(unknown),
                of=fed.height,
                examples=tuple(example(value) for value in unknown.drop_nulls().unique().sort().head(EXAMPLES)),
                remedy="add rows of the class to the source, if it is one",
            )
        )
        fed = fed.with_columns(named).filter(named.is_not_null())
    table, misfits = conformed(fed, schema.columns)
    lacking = table.height - table[schema.target].count()
    losses.append(Loss(kind="row", reason="feedback without a usable label", count=lacking, of=table.height))
    table = table.filter(pl.col(schema.target).is_not_null())
    return table, tuple(loss for loss in (*losses, *misfits) if loss.count)


def _single_texts(fed: "pl.DataFrame", schema: Schema) -> "tuple[pl.DataFrame, list[Loss]]":
    """Feedback without conversations of several turns, where the dataset has columns of single texts.

    They would be learned as one text of a user, which nobody is asked with.
    """
    import polars as pl

    conversations = conversation_columns(schema.columns)
    losses: list[Loss] = []
    for name in (each for each in schema.of_kind("text") if each not in conversations and each in fed.columns):
        several = pl.Series([isinstance(value, list) or is_conversation(str(value)) for value in fed[name].to_list()])
        losses.append(
            Loss(
                kind="row",
                reason="feedback on a conversation of several turns, while the dataset has single texts in",
                subject=name,
                count=int(several.sum() or 0),
                of=fed.height,
                remedy="give the dataset a column 'messages' of conversations",
            )
        )
        fed = fed.filter(~several) if fed.height else fed
    return fed, [loss for loss in losses if loss.count]


def _named(labels: "pl.Series", classes: "pl.Series", rule: LabelRule) -> "pl.Series":
    """The dataset's class for each label, or null."""
    import polars as pl

    from bakeoff.data.labels import Labels

    known = Labels(sorted(classes.unique().to_list()), rule)
    matches: dict[Any, str | None] = {value: known.match(value) for value in labels.unique().to_list()}
    return pl.Series(labels.name, [matches[value] for value in labels.to_list()], dtype=pl.String)
