"""Words that give a class away: one that nearly all of its texts have and no others, or the names of the classes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bakeoff.core.types import Schema
from bakeoff.prepare.checks.finding import Finding

if TYPE_CHECKING:
    import polars as pl

__all__ = ["word_leaks"]

ROWS = 4000
CHARACTERS = 2000
FEWEST = 20
GIVEN_AWAY = 0.95
NAMED_SHARE = 0.5


def word_leaks(sample: "pl.DataFrame", schema: Schema) -> Iterator[Finding]:
    """Look at the first so many texts of a sample."""
    import polars as pl

    for name in schema.of_kind("text"):
        rows = sample.head(ROWS).select(text=name, label=pl.col(schema.target).cast(pl.String))
        words = _words(rows)
        totals = {str(label): count for label, count in rows["label"].value_counts().iter_rows()}
        told = _telling_word(words, totals) or _named_classes(words, totals)
        if told:
            ask = "is that so when a prediction is asked for? If not, mask it, or put the column in [data] ignore"
            yield Finding(kind="words", column=name, told=f"in column {name!r}, {told}: {ask}")


def _words(rows: "pl.DataFrame") -> "pl.DataFrame":
    """In how many rows of each label each word stands: word, label, rows."""
    import polars as pl

    found = pl.col("text").str.slice(0, CHARACTERS).str.to_lowercase().str.extract_all(r"\w+").list.unique()
    each = rows.select("label", word=found).explode("word").drop_nulls()
    return each.group_by("word", "label").agg(pl.len().cast(pl.Int64).alias("rows"))


def _telling_word(words: "pl.DataFrame", totals: dict[str, int]) -> str | None:
    """A word whose share among a class's texts is larger by nearly 1 than among all others."""
    import polars as pl

    size = sum(totals.values())
    labels = pl.DataFrame({"label": list(totals), "total": list(totals.values())})
    large = labels.filter((pl.col("total") >= FEWEST) & (size - pl.col("total") >= FEWEST))
    everywhere = pl.col("rows").sum().over("word")
    gaps = words.with_columns(everywhere=everywhere).join(large, on="label")
    gap = pl.col("rows") / pl.col("total") - (pl.col("everywhere") - pl.col("rows")) / (size - pl.col("total"))
    best = gaps.with_columns(gap=gap).filter(pl.col("gap") >= GIVEN_AWAY).sort("gap", "word", descending=[True, False])
    if best.is_empty():
        return None
    word, label = best["word"][0], best["label"][0]
    return f"the word {word!r} alone tells the class {label!r}"


def _named_classes(words: "pl.DataFrame", totals: dict[str, int]) -> str | None:
    """Texts that name a class, mostly their own."""
    import polars as pl

    named = words.join(pl.DataFrame({"word": [t.lower() for t in totals], "named": list(totals)}), on="word")
    own = named.filter(pl.col("named") == pl.col("label"))
    right, wrong = int(own["rows"].sum()), int(named["rows"].sum()) - int(own["rows"].sum())
    there = sum(totals[label] for label in own["label"].to_list())
    if right < FEWEST or right < NAMED_SHARE * there or right < GIVEN_AWAY * (right + wrong):
        return None
    return f"{right / there:.0%} of the texts say the name of their class, and hardly any say another"
