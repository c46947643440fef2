"""Look into a dataset for its card: duplicates, personal data, languages, and what preparation steps changed.

What is slow is done on a sample, drawn the same each time; the card tells how large it was.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from bakeoff.core.errors import BakeoffError
from bakeoff.core.types import Json, Schema
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered, load_arrays, load_table
from bakeoff.report.card import CardExample, CardNearDuplicates, Duplicates, Languages, Personal, StepFacts

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["duplicates", "examples", "languages", "personal", "shower"]

SHOWN_CHARACTERS = 240
READ_CHARACTERS = 20_000
"""Of each text, for near-duplicates and personal data."""
NEAR_ROWS, PERSONAL_VALUES, LANGUAGE_ROWS = 30_000, 30_000, 3_000
SURE = 0.5
MOST_LANGUAGES = 12
CLUSTERS, PER_CLUSTER = 3, 3
EXAMPLES = 3
TRIED_ROWS, TRIED_CHANGED = 300, 1000
"""Rows that steps are run on again for examples: the first, and some of those that came out changed or not at all."""
SEED = 0
LINES = re.compile(r"[\r\n]+")
SPACES = re.compile(r"^ +| +$|  +")
SIGNS = {"\t": "⇥", "\u00a0": "⍽"}


def shower(*, show_personal: bool) -> Callable[[str], str]:
    """A function that makes any value fit to be shown: cut, on one line, personal data and secrets marked."""
    from bakeoff.prepare.text.marks import marked

    def shown(text: str) -> str:
        # A finding that the cut goes through would not be found, so more is read than is shown.
        read = text[:READ_CHARACTERS]
        line = LINES.sub(" ↵ ", read if show_personal else marked(read))
        return line if len(line) <= SHOWN_CHARACTERS else line[: SHOWN_CHARACTERS - 1] + "…"

    return shown


def duplicates(table: "pl.DataFrame", schema: Schema, shown: Callable[[str], str]) -> Duplicates:
    """Rows that repeat others, exactly and (texts) nearly."""
    inputs = table.select(schema.inputs)
    distinct = inputs.unique().height
    with_target = table.select(*schema.inputs, schema.target).unique().height
    return Duplicates(
        exact=table.height - with_target, conflicting=with_target - distinct, near=_near(table, schema, shown)
    )


def _near(table: "pl.DataFrame", schema: Schema, shown: Callable[[str], str]) -> CardNearDuplicates | None:
    from bakeoff.prepare.rows.duplicates import texts_of
    from bakeoff.prepare.rows.near_duplicates import clusters, near_duplicate_groups

    texts = texts_of(table, schema)
    if texts is None:
        return None
    looked = _sample(texts, NEAR_ROWS).str.slice(0, READ_CHARACTERS)
    groups = clusters(near_duplicate_groups(looked))
    return CardNearDuplicates(
        looked_at=len(looked),
        clusters=len(groups),
        rows=sum(len(each.rows) - 1 for each in groups),
        largest=tuple(tuple(shown(looked[row]) for row in each.rows[:PER_CLUSTER]) for each in groups[:CLUSTERS]),
    )


def personal(table: "pl.DataFrame", schema: Schema) -> tuple[Personal, ...]:
    """Personal data and secrets in columns of words, by patterns and checksums."""
    from bakeoff.prepare.personal_data.pii import count_pii

    facts: list[Personal] = []
    for column in schema.columns:
        if column.kind not in {"text", "categorical"}:
            continue
        values = table[column.name].drop_nulls().unique(maintain_order=True)
        looked = _sample(values, PERSONAL_VALUES).str.slice(0, READ_CHARACTERS)
        counts = {str(kind): rows for kind, rows in count_pii(looked).items()}
        facts.append(Personal(column=column.name, looked_at=len(looked), values=len(values), counts=counts))
    return tuple(facts)


def languages(table: "pl.DataFrame", schema: Schema) -> tuple[Languages, ...]:
    """Which languages the texts are in.

    Raises:
        MissingExtraError: the extra `text` is not installed.
    """
    from bakeoff.prepare.text.language import languages as identify

    return tuple(_languages(table[name].drop_nulls(), name, identify) for name in _texts(schema))


def _texts(schema: Schema) -> list[str]:
    return [column.name for column in schema.columns if column.kind == "text"]


def _languages(texts: "pl.Series", name: str, identify: "Callable[[pl.Series], pl.DataFrame]") -> Languages:
    import polars as pl

    looked = _sample(texts, LANGUAGE_ROWS)
    sure = identify(looked).filter(pl.col("confidence") >= SURE)["language"].drop_nulls()
    counted = sure.value_counts(name="rows").sort(["rows", "language"], descending=[True, False])
    rows = {str(language): int(count) for language, count in counted.head(MOST_LANGUAGES).iter_rows()}
    return Languages(column=name, looked_at=len(looked), texts=len(texts), rows=rows, unsure=len(looked) - len(sure))


def _sample(values: "pl.Series", most: int) -> "pl.Series":
    """All values, or so many of them, in order."""
    if len(values) <= most:
        return values
    chosen = np.random.default_rng(SEED).choice(len(values), most, replace=False)
    return values.gather(np.sort(chosen))


def examples(
    stage: Stage, gathered: Gathered, table: "pl.DataFrame", shown: Callable[[str], str]
) -> tuple[StepFacts, ...]:
    """What each preparation step did, with values before and after where the project still has these steps."""
    from bakeoff.prepare.steps import Preparation

    facts = msgspec.convert(msgspec.to_builtins(gathered.summary.changes), tuple[StepFacts, ...])
    specs = stage.config.prepare.specs
    each = [Preparation([spec]) for spec in specs]
    learning = tuple(StepFacts(step=str(step["name"]), fitted=True) for one in each for step in one.fitted)
    running = [one for one in each if not one.fitted]
    if not facts or [_name(spec) for spec, one in zip(specs, each, strict=True) if not one.fitted] != [
        fact.step for fact in facts
    ]:
        return (*facts, *learning)
    dropped_n, tried_n = _chosen(stage, gathered, table)
    # Rows that one step alone can have set aside are its doing, even if it does not do so among few.
    alone = sum(fact.rows_out != fact.rows_in for fact in facts) == 1
    part = table[tried_n]
    shown_steps: list[StepFacts] = []
    try:
        for one, fact in zip(running, facts, strict=True):
            prepared = one.apply_rows_and_columns(part, gathered.schema)
            if fact.rows_out != fact.rows_in:
                gone_n = np.setdiff1d(np.arange(part.height), prepared.kept)
                lost = part[gone_n[:EXAMPLES]] if len(gone_n) or not alone else table[dropped_n[:EXAMPLES]]
                seen = [CardExample(before=shown(row), after=None) for row in _lines(lost, gathered.schema)]
            else:
                seen = list(_rewritten(part, prepared.table, gathered.schema, shown))
            shown_steps.append(replace(fact, examples=tuple(seen)))
            part = prepared.table
    except BakeoffError as error:  # what made the version may not be here any more: the counts stay
        stage.progress(f"no examples of preparation steps: {error}")
        return (*facts, *learning)
    return (*shown_steps, *learning)


def _name(spec: Json) -> str:
    return str(spec["name"]) if isinstance(spec, dict) else str(spec)


def _chosen(stage: Stage, gathered: Gathered, table: "pl.DataFrame") -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """The rows that were set aside, and those on which steps are tried again."""
    kept_n = load_arrays(stage.blobs, gathered.rows_blob)["kept"]
    dropped_n = np.setdiff1d(np.arange(table.height), kept_n)
    first_n = np.arange(min(TRIED_ROWS, table.height))
    changed_n = _changed(stage, gathered, table, kept_n)
    return dropped_n, np.unique(np.concatenate([first_n, dropped_n[:TRIED_CHANGED], changed_n]))


def _changed(
    stage: Stage, gathered: Gathered, table: "pl.DataFrame", kept_n: "NDArray[np.int64]"
) -> "NDArray[np.int64]":
    """Some rows whose texts came out of the preparation changed."""
    names = [name for name in gathered.schema.of_kind("text") if name in table.columns]
    prepared = load_table(stage.blobs, gathered.table_blob, names)
    mask_n = np.zeros(len(kept_n), dtype=np.bool_)
    for name in names:
        mask_n |= table[name].gather(kept_n).ne_missing(prepared[name]).to_numpy()
    return kept_n[mask_n][:TRIED_CHANGED]


def _lines(rows: "pl.DataFrame", schema: Schema) -> list[str]:
    """Rows as one line each: the text, or names and values."""
    from bakeoff.prepare.rows.duplicates import texts_of

    texts = texts_of(rows, schema)
    if texts is not None and rows.height and texts.null_count() == 0:
        return texts.to_list()
    return [", ".join(f"{name}: {value}" for name, value in row.items()) for row in rows.iter_rows(named=True)]


def _rewritten(
    before: "pl.DataFrame", after: "pl.DataFrame", schema: Schema, shown: Callable[[str], str]
) -> Iterator[CardExample]:
    left = EXAMPLES
    for name in _texts(schema):
        if name not in before.columns or name not in after.columns:
            continue
        places = before[name].ne_missing(after[name]).arg_true().head(left).to_list()
        left -= len(places)
        for place in places:
            old, new = around(str(before[name][place] or ""), str(after[name][place] or ""))
            yield CardExample(before=visible(shown(old)), after=visible(shown(new)))


def visible(text: str) -> str:
    """A text in which white space that would not be seen, and what has no shape, is seen."""
    spaced = SPACES.sub(lambda found: "␣" * len(found[0]), text)
    return "".join(SIGNS.get(sign, sign if sign.isprintable() else f"<U+{ord(sign):04X}>") for sign in spaced)


def around(old: str, new: str) -> tuple[str, str]:
    """Two texts from a little before the first place where they differ."""
    same = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, same - SHOWN_CHARACTERS // 4)
    return (old, new) if not start else ("…" + old[start:], "…" + new[start:])
