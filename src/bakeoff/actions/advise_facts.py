"""What the training rows are like, as far as it bears on what to try. Test rows are not looked at."""

from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import MissingExtraError
from bakeoff.core.types import Json, Schema, Task

if TYPE_CHECKING:
    import polars as pl

__all__ = ["facts"]

MOST_CLASSES = 20
MOST_LANGUAGES = 5
LANGUAGE_ROWS = 300


def facts(table: "pl.DataFrame", schema: Schema, task: Task, *, seed: int) -> dict[str, Json]:
    """Rows, labels, the columns by kind, missing values, and for texts their lengths and languages."""
    columns = list(schema.input_columns)
    kinds: dict[str, Json] = {}
    for kind in ("text", "categorical", "numeric", "datetime", "boolean"):
        if names := [column.name for column in columns if column.kind == kind]:
            kinds[kind] = list[Json](names)
    cells = len(table) * max(1, len(columns))
    missing = sum(table[column.name].null_count() for column in columns) / max(1, cells)
    told: dict[str, Json] = {"rows": len(table), "inputs": kinds, "missing_share": missing}
    told["label"] = _labels(table[schema.target]) if task == "classification" else _numbers(table[schema.target], task)
    told["texts"] = {name: _lengths(table[name]) for name in schema.of_kind("text")}
    if schema.of_kind("text"):
        told["languages"] = _languages(table, schema, seed)
    return told


def _labels(target: "pl.Series") -> dict[str, Json]:
    import polars as pl

    counts = target.cast(pl.String).value_counts(sort=True, name="rows")
    shares = {str(label): int(rows) for label, rows in counts.iter_rows()}
    rarest = min(shares.values(), default=0)
    shown: dict[str, Json] = dict(list(shares.items())[:MOST_CLASSES])
    return {"classes": len(shares), "rows": shown, "rarest_share": rarest / max(1, len(target))}


def _numbers(target: "pl.Series", task: Task) -> dict[str, Json]:
    if task == "generation":
        return _lengths(target)
    found: list[Any] = [target.min(), target.median(), target.max()]
    return dict(zip(("min", "median", "max"), (None if each is None else float(each) for each in found), strict=True))


def _lengths(texts: "pl.Series") -> dict[str, Json]:
    import polars as pl

    known = texts.cast(pl.String).drop_nulls()
    if not len(known):
        return {"characters_p50": 0, "characters_p95": 0, "words_p50": 0}
    characters, words = known.str.len_chars(), known.str.split(" ").list.len()
    at: list[Any] = [characters.quantile(0.5), characters.quantile(0.95), words.quantile(0.5)]
    p50, p95, middle = (round(float(each)) for each in at)
    return {"characters_p50": p50, "characters_p95": p95, "words_p50": middle}


def _languages(table: "pl.DataFrame", schema: Schema, seed: int) -> Json:
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
