"""What the steps of a chain do, shown on some rows: before and after, what goes and why, and orders that hurt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bakeoff.core import narrow
from bakeoff.core.types import Json, Schema
from bakeoff.prepare.rows.comparison import RowComparison
from bakeoff.prepare.rows.duplicates import texts_of
from bakeoff.prepare.steps import Preparation, cells_changed
from bakeoff.prepare.text.learned_quality import LearnedQuality

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Explained", "StepExample", "explain", "order_warnings"]

EXAMPLES = 3
SHOWN_CHARACTERS = 160
BEFORE_CHARACTERS = 30
WORDS_ONLY = ("drop_stop_words", "stem", "lemmatise")

# (earlier, later, why this order hurts).
ORDERS: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (WORDS_ONLY, ("c4_lines", "keep_quality"), "it leaves no sentences and lines, by which the later one judges"),
    (WORDS_ONLY, ("redact_pii", "mask"), "it takes away signs and capitals, by which the later one knows things"),
    (WORDS_ONLY, ("keep_languages",), "the words that it drops or cuts are those by which a language is known"),
    (WORDS_ONLY, ("strip_html", "repair_unicode"), "it takes away the signs that the later one looks for"),
    (("stem",), ("lemmatise", "drop_stop_words"), "stems are in no dictionary and on no list"),
    (("squeeze_whitespace",), ("c4_lines", "keep_quality"), "rules for lines need lines (keep_lines = true)"),
    (("mask",), ("redact_pii",), "what is masked is no longer known as personal, and its kind is lost"),
    (("mask", "redact_pii"), ("repair_unicode", "strip_html"), "what damage or markup hides is found only after it"),
    (("squeeze_whitespace",), ("strip_html",), "the lines of <pre> and of plain text are gone before markup is known"),
    (
        ("drop_duplicates", "drop_near_duplicates"),
        ("repair_unicode", "strip_html"),
        "texts that differ in damage or markup alone are compared before they are alike",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StepExample:
    """One text before a step, and after it; none after it where the row goes, for a reason."""

    row: int
    before: str
    after: str | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What one step did to the rows that it was shown."""

    step: str
    rows_in: int
    rows_out: int
    cells_changed: int
    examples: tuple[StepExample, ...]


def order_warnings(specs: Sequence[Json]) -> list[str]:
    """Pairs of steps whose order hurts, and why."""
    names = [_name(spec) for spec in specs]
    keeps_lines = {place for place, spec in enumerate(specs) if isinstance(spec, dict) and spec.get("keep_lines")}
    return [
        f"{names[first]!r} stands before {names[second]!r}: {why}"
        for first in range(len(names))
        for second in range(first + 1, len(names))
        for earlier, later, why in ORDERS
        if names[first] in earlier and names[second] in later and first not in keeps_lines
    ]


def _name(spec: Json) -> str:
    return str(spec.get("name") if isinstance(spec, dict) else spec)


def explain(table: "pl.DataFrame", schema: Schema, specs: Sequence[Json]) -> tuple[Explained, ...]:
    """Run steps on some rows, one after the other, and show what each does to a few of them."""
    row = "\0number"
    table = table.with_columns(_numbers(row, table.height))
    steps: list[Explained] = []
    for spec, (step, apply) in zip(specs, Preparation(list(specs), file="steps").bound, strict=False):
        after = apply(table, schema)
        if step.kind == "columns":
            changes = cells_changed(table, after, schema)
            examples = _changed(table, after, schema, row)
        else:
            changes, examples = 0, _dropped(table, after, schema, row, _reasons(spec, apply, table, schema))
        steps.append(
            Explained(
                step=step.name,
                rows_in=table.height,
                rows_out=after.height,
                cells_changed=changes,
                examples=tuple(examples),
            )
        )
        table = after
    return tuple(steps)


def _numbers(name: str, rows: int) -> "pl.Series":
    import polars as pl

    return pl.Series(name, np.arange(rows, dtype=np.int64))


def _changed(before: "pl.DataFrame", after: "pl.DataFrame", schema: Schema, row: str) -> list[StepExample]:
    name = next((name for name in schema.of_kind("text") if name in before.columns), None)
    if name is None:
        return []
    changed = before[name].ne_missing(after[name])
    # An empty text that becomes missing shows nothing.
    told = changed & (before[name].str.len_bytes() > 0).fill_null(value=False)
    places = (told if told.any() else changed).arg_true().to_numpy()
    examples: list[StepExample] = []
    for place in _spread(places):
        old, new = str(before[name][place] or ""), str(after[name][place] or "")
        start = max(0, _alike_until(old, new) - BEFORE_CHARACTERS)
        shown = slice(start, start + SHOWN_CHARACTERS)
        examples.append(StepExample(row=int(before[row][place]), before=old[shown], after=new[shown]))
    return examples


def _dropped(
    before: "pl.DataFrame", after: "pl.DataFrame", schema: Schema, row: str, why: Callable[[int], str]
) -> list[StepExample]:
    stay = set(after[row].to_list())
    places = np.flatnonzero([number not in stay for number in before[row].to_list()])
    texts = texts_of(before, schema)
    return [
        StepExample(
            row=int(before[row][place]),
            before=str((texts[place] if texts is not None else "") or "")[:SHOWN_CHARACTERS],
            after=None,
            why=why(place),
        )
        for place in _spread(places)
    ]


def _spread(places: "np.ndarray[Any, Any]") -> list[int]:
    if not len(places):
        return []
    return [int(place) for place in places[np.unique(np.linspace(0, len(places) - 1, EXAMPLES).astype(int))]]


def _reasons(spec: Json, apply: Any, table: "pl.DataFrame", schema: Schema) -> Callable[[int], str]:
    """Why the row at a place goes, where the step can say it."""
    texts = texts_of(table, schema)
    if isinstance(apply, RowComparison) and texts is not None:
        groups = apply.groups(apply.keys(table, schema))
        return lambda place: f"like row {int(groups[place]):,}: {str(texts[int(groups[place])])[:SHOWN_CHARACTERS]!r}"
    if _name(spec) == "keep_quality" and texts is not None:
        from bakeoff.prepare.text.quality import QualityParams, broken_rules

        given = spec if narrow.is_object(spec) else {}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if k != "name"}
        params = QualityParams(**values)
        return lambda place: "breaks " + ", ".join(broken_rules(texts[place : place + 1], params)[0])
    if isinstance(apply, LearnedQuality) and texts is not None:
        scores = apply.scores(texts)
        return lambda place: f"good with a chance of {scores[place]:.0%}"
    if _name(spec) == "keep_languages" and texts is not None:
        from bakeoff.prepare.text.language import languages

        return lambda place: "taken for " + "{} ({:.0%})".format(*languages(texts[place : place + 1]).row(0))
    return lambda _: ""


def _alike_until(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
