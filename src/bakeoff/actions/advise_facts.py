"""What the training rows are like, as far as it bears on what to try. Test rows are not looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.core.errors import MissingExtraError
from bakeoff.core.types import Json, Schema, Task

if TYPE_CHECKING:
    import polars as pl

__all__ = ["DataFacts", "LabelCounts", "TextLengths", "ValueRange", "facts"]

MOST_CLASSES = 20
MOST_LANGUAGES = 5
LANGUAGE_ROWS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelCounts:
    """Of a classification: how many classes, the rows of the most frequent ones, and the share of the rarest."""

    classes: int
    rows: Mapping[str, int]
    rarest_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRange:
    """Of a regression: the ends of the target, and its middle."""

    min: float | None
    median: float | None
    max: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLengths:
    """How long texts are: characters of the middle one and of one in twenty, words of the middle one."""

    characters_p50: int = 0
    characters_p95: int = 0
    words_p50: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What the rows are like that a run would fit on: `rows` of them, `inputs` by kind, and the target (`label`).

    `languages` are the shares of the commonest ones, a text when the extra for it is missing, None without texts.
    `test` rows, which the `split` lays aside, were not looked at.
    """

    rows: int
    inputs: Mapping[str, tuple[str, ...]]
    missing_share: float
    label: LabelCounts | ValueRange | TextLengths
    texts: Mapping[str, TextLengths]
    languages: Mapping[str, float] | str | None
    split: str
    test: int

    def to_json(self) -> dict[str, Json]:
        """As `bakeoff advise --json` has them."""
        body = msgspec.to_builtins(self)
        if self.languages is None:
            del body["languages"]
        return body | {"inputs": {kind: list(columns) for kind, columns in self.inputs.items()}}


def facts(table: "pl.DataFrame", schema: Schema, task: Task, *, seed: int, split: str, test: int) -> DataFacts:
    """Rows, labels, the columns by kind, missing values, and for texts their lengths and languages."""
    columns = list(schema.input_columns)
    kinds: dict[str, tuple[str, ...]] = {}
    for kind in ("text", "categorical", "numeric", "datetime", "boolean"):
        if names := tuple(column.name for column in columns if column.kind == kind):
            kinds[kind] = names
    cells = len(table) * max(1, len(columns))
    missing = sum(table[column.name].null_count() for column in columns) / max(1, cells)
    return DataFacts(
        rows=len(table),
        inputs=kinds,
        missing_share=missing,
        label=_labels(table[schema.target]) if task == "classification" else _numbers(table[schema.target], task),
        texts={name: _lengths(table[name]) for name in schema.of_kind("text")},
        languages=_languages(table, schema, seed) if schema.of_kind("text") else None,
        split=split,
        test=test,
    )


def _labels(target: "pl.Series") -> LabelCounts:
    import polars as pl

    counts = target.cast(pl.String).value_counts(sort=True, name="rows")
    shares = {str(label): int(rows) for label, rows in counts.iter_rows()}
    rarest = min(shares.values(), default=0)
    shown = dict(list(shares.items())[:MOST_CLASSES])
    return LabelCounts(classes=len(shares), rows=shown, rarest_share=rarest / max(1, len(target)))


def _numbers(target: "pl.Series", task: Task) -> ValueRange | TextLengths:
    if task == "generation":
        return _lengths(target)
    values: list[Any] = [target.min(), target.median(), target.max()]
    least, middle, most = (None if each is None else float(each) for each in values)
    return ValueRange(min=least, median=middle, max=most)


def _lengths(texts: "pl.Series") -> TextLengths:
    import polars as pl

    known = texts.cast(pl.String).drop_nulls()
    if not len(known):
        return TextLengths()
    characters, words = known.str.len_chars(), known.str.split(" ").list.len()
    at: list[Any] = [characters.quantile(0.5), characters.quantile(0.95), words.quantile(0.5)]
    p50, p95, middle = (round(float(each)) for each in at)
    return TextLengths(characters_p50=p50, characters_p95=p95, words_p50=middle)


def _languages(table: "pl.DataFrame", schema: Schema, seed: int) -> Mapping[str, float] | str:
    """Shares of the commonest languages in a sample; a text when the extra for it is missing."""
    import polars as pl

    from bakeoff.prepare.text.language import languages

    sample = table.sample(min(LANGUAGE_ROWS, len(table)), seed=seed)
    texts = sample.select(
        pl.concat_str(
            [pl.col(name).cast(pl.String) for name in schema.of_kind("text")], separator=" ", ignore_nulls=True
        )
    ).to_series()
    try:
        found = languages(texts)["language"].drop_nulls()
    except MissingExtraError as error:
        return str(error)
    counts = found.value_counts(sort=True, name="rows")
    return {str(name): int(rows) / len(found) for name, rows in counts.head(MOST_LANGUAGES).iter_rows()}
