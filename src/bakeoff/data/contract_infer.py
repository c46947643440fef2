"""Write a first contract from a look at the data: bounds with slack, and above each the reason for it.

What cannot be meant is an error (a wrong type, a class that does not exist, a value where none was ever
missing, numbers far outside all that was seen); what is merely unusual is a warning.
"""

import calendar
import json
import math
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from bakeoff.core import narrow
from bakeoff.core.hashing import digest
from bakeoff.core.types import Column, Schema
from bakeoff.data.contract_check import typed_as
from bakeoff.data.contract_ranges import LARGEST_LOG, RATIO_SLACK, SLACK, outward, ranges

if TYPE_CHECKING:
    import polars as pl

__all__ = ["draft", "is_unedited"]

ENOUGH_ROWS = 100
"""From so many rows on, what never happened is taken for a rule."""
CLOSED_VALUES, CLOSED_SHARE = 20, 0.01
"""So few values, each with at least this share of the rows, are all that there are."""
NEW_SHARE = 0.02
"""Values are listed where no more of the rows have one that came only once."""
EVENLY, UNSEEN_SHARE = 0.4, 0.2
"""Of what each of several values would have if all came alike: where one has less, there may be rarer ones unseen, and
what share of the next rows they may have."""
LISTED_VALUES = 50
LENGTH_SLACK = 2
MOSTLY = 0.9
BY_CHANCE, NEVER = 10.0, 1e-6
"""Pairs that chance alone would make equal: from so many on, none is by design; below so few, one is a fault."""
CALENDAR = tuple(
    tuple(filter(None, names))
    for names in (calendar.month_name, calendar.month_abbr, calendar.day_name, calendar.day_abbr)
)
DAY = r"^\d{4}[-/.]\d\d?[-/.]\d\d?(?:[T ].*)?$|^\d\d?[-/.]\d\d?[-/.]\d{2,4}(?:[T ].*)?$|^\d{4}[-/]\d\d$"
IN_ORDER = 1e-4
"""So unlikely is a value's late first coming where rows are in no order."""
SEEN_OFTEN = 5
"""From so many rows of each value on, one that was never seen is surely rare."""
BARE = re.compile(r"[A-Za-z0-9_-]+")
MARK = "# unedited: "
HEADER = """\
# The data contract of {name}: what rows must keep to. Written by 'bakeoff data contract' from {rows:,} rows.
# It is held at every run before anything is fitted, when feedback joins the data, and for every served row.
# Edit it: a rule is an error (stops the run, refuses the request) unless it says severity = "warn".
# Rules: type, missing (share), range, allowed, unique, length (characters), and SQL (at the end of this file).
"""
FOOTER = """
# Rules in SQL (DuckDB): a query over the table 'data' that gives the rows that violate; _row is their number.
# Columns have the types above. It is held at runs, not for served rows.
# [[sql]]
# name = "a name to be told by"
# query = "SELECT * FROM data WHERE {example} IS NULL"
# severity = "warn"

# The next line lets 'bakeoff data contract' write this file anew as long as nobody changed it.
"""


def draft(table: "pl.DataFrame", schema: Schema, *, name: str) -> str:
    """A commented contract, as TOML, that the table keeps to.

    Args:
        table: the rows as they were read.
        schema: what the columns are.
        name: of the project.
    """
    parts = [HEADER.format(name=_text(name), rows=table.height)]
    for column in schema.columns:
        role = " (the target)" if column.name == schema.target else ""
        parts.append(f"\n[columns.{_key(column.name)}]{'  #' + role if role else ''}\n")
        parts += [f"{line}\n" for line in _rules(table[column.name], column, schema)]
    parts.append(FOOTER.format(example=_example(schema.columns[0].name)))
    body = "".join(parts)
    return f"{body}{MARK}{digest(body.encode())[:32]}\n"


def is_unedited(text: str) -> bool:
    """Whether a contract is as `draft` wrote it."""
    body, found, mark = text.replace("\r\n", "\n").rpartition(MARK)
    return bool(found) and mark.strip() == digest(body.encode())[:32]


def _text(text: str) -> str:
    """A TOML string on one line."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    return name if BARE.fullmatch(name) else _text(name)


def _example(name: str) -> str:
    """A column in SQL inside a TOML string inside a comment."""
    return _text('"' + name.replace('"', '""') + '"')[1:-1]


def _rules(series: "pl.Series", column: Column, schema: Schema) -> Iterator[str]:
    values, misfit = typed_as(series, column.kind)
    if misfit is None:
        yield f'type = "{column.kind}"'
    else:
        yield f"# {int(misfit.sum()):,} values cannot be read so"
        yield f'type = {{ kind = "{column.kind}", severity = "warn" }}'
    yield from _missing(values)
    present = values.drop_nulls()
    if present.is_empty():
        yield "# nothing to see: every value is missing"
        return
    if column.kind == "numeric":
        yield from ranges(present)
    elif column.kind == "datetime":
        yield from _since(present)
    elif column.kind in {"text", "categorical"}:
        yield from _words(present, column, target=column.name == schema.target)
    if _is_id(present, column, rows=len(series)):
        yield f"# each of the {len(present):,} rows has another one"
        yield "unique = true"


def _missing(values: "pl.Series") -> Iterator[str]:
    rows, absent = len(values), values.null_count()
    if absent == rows:
        return
    share = absent / rows
    if not absent and rows >= ENOUGH_ROWS:
        yield f"# no value was missing in {rows:,} rows"
        yield "missing = 0"
        return
    # Three standard errors or half as much again; where nothing was missing, 3 / n is the upper end of what may
    # have been missed. Source: the rule of three (Hanley, Lippman-Hand 1983, JAMA 249).
    limit = share + max(SLACK * share, 3 * math.sqrt(share * (1 - share) / rows)) if absent else 3 / rows
    told = "half as much again, or three standard errors" if absent else "in so few rows 3 / n may have been missed"
    yield f"# {absent:,} of {rows:,} were missing; {told}"
    yield f'missing = {{ max_share = {min(1.0, outward(limit, up=True)):g}, severity = "warn" }}'


def _since(present: "pl.Series") -> Iterator[str]:
    low, high = narrow.moment(present.min()), narrow.moment(present.max())
    try:
        least = (low - max(SLACK * (high - low), timedelta(days=1))).replace(hour=0, minute=0, second=0, microsecond=0)
    except OverflowError:
        return
    yield f"# seen: {low.isoformat()} to {high.isoformat()}; half of that span earlier; later ones are new data"
    yield f"range = {{ min = {least.isoformat()} }}"


def _words(present: "pl.Series", column: Column, *, target: bool) -> Iterator[str]:
    is_listed = column.kind == "categorical" and (target or not present.str.contains(DAY).all())
    counts = present.value_counts(sort=True, name="rows") if is_listed else None
    if counts is not None and (len(counts) <= LISTED_VALUES or target):
        listed: list[str] = sorted(counts[column.name].to_list())
        least, rows = narrow.whole(counts["rows"].min()), len(present)
        values = f"[{', '.join(_text(value) for value in listed)}]"
        if target:
            yield f"# the {len(listed)} classes"
            yield f"allowed = {values}"
            return
        if names := next((names for names in CALENDAR if set(listed) <= set(names)), None):
            yield "# names of the calendar, those that did not come too"
            yield f"allowed = [{', '.join(_text(name) for name in names)}]"
            return
        single = int((counts["rows"] == 1).sum())  # about as many of the next rows have a value that is new (Good 1953)
        if single <= NEW_SHARE * rows and rows >= ENOUGH_ROWS:
            yield from _listed(present, values, least, len(listed))
            return
    lengths = present.str.len_chars()
    longest = narrow.whole(lengths.max())
    middle = narrow.number(lengths.median())
    slack = max(LENGTH_SLACK, (longest / middle) ** RATIO_SLACK if middle else 0)
    yield f"# the longest has {longest:,} characters; {slack:.3g} times that"
    yield f"length = {{ max = {int(outward(slack * longest, up=True, whole=True))} }}"


def _listed(present: "pl.Series", values: str, least: int, count: int) -> Iterator[str]:
    """The rule for values of which few came only once; `least` is how often the rarest did."""
    rows = len(present)
    if count == 1 or _come_in_order(present):
        why = "one value alone" if count == 1 else "values came one after the other"
        yield f"# {why}: later rows may bring others, which are told"
        yield f'allowed = {{ values = {values}, severity = "warn" }}'
        return
    evenly = count == 2 or least * count >= EVENLY * rows  # noqa: PLR2004 - yes and no
    if count <= CLOSED_VALUES and least >= max(SEEN_OFTEN, CLOSED_SHARE * rows) and evenly:
        yield f"# all values that were seen, each in at least {least:,} rows"
        yield f"allowed = {values}"
        return
    yield f"# the values that were seen, in {least:,} rows and more; rarer ones may come"
    yield f"allowed = {{ values = {values}, max_share = {UNSEEN_SHARE} }}"


def _come_in_order(present: "pl.Series") -> bool:
    """Whether a value first comes so late that rows are in an order, and later ones may bring others."""
    import numpy as np
    import polars as pl

    first = (
        present.alias("value")
        .to_frame()
        .with_row_index("row")
        .group_by("value")
        .agg(pl.col("row").min(), rows=pl.len())
    )
    share = first["rows"].to_numpy() / len(present)
    unlikely = first["row"].to_numpy() * np.log1p(-np.minimum(share, 1 - 1e-9))
    return bool(unlikely.min() + math.log(len(first)) < math.log(IN_ORDER))


def _is_id(present: "pl.Series", column: Column, *, rows: int) -> bool:
    """Whether values differ by design: names of rows, or whole numbers that would have met by chance."""
    if len(present) < max(rows, ENOUGH_ROWS) or column.kind not in {"categorical", "numeric"}:
        return False
    if column.kind == "categorical" and int(present.str.contains(r"\d").sum()) < MOSTLY * len(present):
        return False  # names of people and places differ by chance, until two are the same
    if column.kind == "numeric":
        if not (present == present.floor()).all():
            return False
        possible = math.log(narrow.number(present.max()) - narrow.number(present.min()) + 1)
    else:
        possible = _log_possible(present)
    pairs = math.exp(min(2 * math.log(len(present)) - math.log(2) - possible, LARGEST_LOG))
    if not (pairs >= BY_CHANCE or (column.kind == "categorical" and pairs <= NEVER)):
        return False
    return present.n_unique() == len(present)


def _log_possible(present: "pl.Series") -> float:
    """The logarithm of how many texts could be made of the characters that come at each place."""
    import polars as pl

    characters = present.str.split("").alias("character").to_frame().with_row_index("row").explode("character")
    places = characters.with_columns(place=pl.int_range(pl.len()).over("row"))
    return float(places.group_by("place").agg(pl.col("character").n_unique())["character"].log().sum())
