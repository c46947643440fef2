"""Write a first contract from a look at the data: bounds with slack, and above each the reason for it.

What cannot be meant is an error (a wrong type, a class that does not exist, a value where none was ever
missing, numbers far outside all that was seen); what is merely unusual is a warning.
"""

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

if TYPE_CHECKING:
    import polars as pl

__all__ = ["draft", "is_unedited"]

ENOUGH_ROWS = 100
"""From so many rows on, what never happened is taken for a rule."""
CLOSED_VALUES, CLOSED_SHARE = 20, 0.01
"""So few values, each with at least this share of the rows, are all that there are."""
LISTED_VALUES = 50
SLACK = 0.5
"""Of the span that was seen, on either side of it; up to twice as much of few rows, which have not met the rare."""
FEW_ROWS, MANY_ROWS = 100, 1000
LENGTH_SLACK = 2
RATIO_SLACK = 1.5
"""Of the ratio of the largest to the middle value."""
LARGEST_LOG = 700.0
"""The logarithm of about the largest number that a range ends at."""
SKEWED = 1.5
"""How many times as far above the middle as below it the values of a skewed column reach."""
ENOUGH_TO_GROW = 20
NEARLY_ALL, ORDERED = 0.98, 0.95
MOSTLY = 0.9
DENSE = 20
"""Distinct whole numbers that fill at least one in so many places of their span are ids."""
SEEN_OFTEN = 5
"""From so many rows of each value on, one that was never seen is surely rare."""
DIGITS = 3
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
        yield from _range(present)
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
    yield f'missing = {{ max_share = {min(1.0, _outward(limit, up=True)):g}, severity = "warn" }}'


def _range(present: "pl.Series") -> Iterator[str]:
    low, high = narrow.number(present.min()), narrow.number(present.max())
    whole = bool((present == present.floor()).all())
    up = _slack(present, low, high)
    # Below zero it is the other way round: few values far below the middle.
    down = _slack(-present, -high, -low) if high <= 0 else _share(present) * (high - low) or abs(high) * SLACK or 1.0
    least, most = _outward(low - down, up=False, whole=whole), _outward(high + up, up=True, whole=whole)
    if not math.isfinite(most - least):
        return
    # Counts, and what begins at zero, stay on their side of it; a temperature may fall below.
    if low >= 0 and (whole or low <= CLOSED_SHARE * (high - low)):
        least = max(least, 0.0)
    if high <= 0:
        most = min(most, 0.0)
    growth = _growth(present)
    seen = f"# seen: {low:.6g} to {high:.6g}; "
    if not growth and whole and _numbers_rows(present, low, high):
        yield f"{seen}each row has another one: later ones may be any"
        if low >= 0:
            yield "range = { min = 0 }"
        return
    if growth:
        end = f"min = {_number(least)}" if growth > 0 else f"max = {_number(most)}"
        yield f"{seen}{'rising' if growth > 0 else 'falling'} from row to row: later rows go beyond"
        yield f"range = {{ {end} }}"
        return
    share = _share(present)
    far = "far more above, as there are few large ones" if up > share * (high - low) * 1.01 else "on either side"
    yield f"{seen}{share:.0%} of that span more, {far}{'' if least else ', from 0 on'}"
    yield f"range = {{ min = {_number(least)}, max = {_number(most)} }}"


def _share(present: "pl.Series") -> float:
    few = (MANY_ROWS - len(present)) / (MANY_ROWS - FEW_ROWS)
    return SLACK * (1 + min(1.0, max(0.0, few)))


def _slack(present: "pl.Series", low: float, high: float) -> float:
    """How far above all that was seen the next rows may come.

    Where few values are far above the middle (amounts, durations), the largest of the next rows may be several times
    the largest of these: then half as far again, on a scale of ratios, as the largest is above the middle.
    """
    span = _share(present) * (high - low) or abs(high) * SLACK or 1.0
    middle = narrow.number(present.median())
    if low < 0 or middle <= 0 or high - middle < SKEWED * (middle - low):
        return span
    further = math.log(high) + RATIO_SLACK * (math.log(high) - math.log(middle))
    return max(span, math.exp(min(further, LARGEST_LOG)) - high)


def _growth(present: "pl.Series") -> int:
    """1 when later rows hold larger values (ids, counters, seconds since 1970), -1 when smaller ones, else 0."""
    import numpy as np

    values = present.to_numpy().astype(np.float64)
    if len(values) < ENOUGH_TO_GROW:
        return 0
    steps = np.diff(values)
    moves = int((steps != 0).sum())
    if moves >= ENOUGH_TO_GROW // 2:
        rising, falling = int((steps > 0).sum()), int((steps < 0).sum())
        if rising >= NEARLY_ALL * moves or falling >= NEARLY_ALL * moves:
            return 1 if rising > falling else -1
        # Rows that are only nearly in order: their ranks go with their places.
        places = np.arange(len(values))
        ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
        if abs(correlation := float(np.corrcoef(places, ranks)[0, 1])) >= ORDERED:
            return 1 if correlation > 0 else -1
    return 0


def _numbers_rows(present: "pl.Series", low: float, high: float) -> bool:
    """Whether whole numbers are ids in any order: each once, and close together."""
    rows = len(present)
    return rows >= ENOUGH_TO_GROW and present.n_unique() == rows and high - low + 1 <= DENSE * rows


def _since(present: "pl.Series") -> Iterator[str]:
    low, high = narrow.moment(present.min()), narrow.moment(present.max())
    try:
        least = (low - max(SLACK * (high - low), timedelta(days=1))).replace(hour=0, minute=0, second=0, microsecond=0)
    except OverflowError:
        return
    yield f"# seen: {low.isoformat()} to {high.isoformat()}; half of that span earlier; later ones are new data"
    yield f"range = {{ min = {least.isoformat()} }}"


def _words(present: "pl.Series", column: Column, *, target: bool) -> Iterator[str]:
    counts = present.value_counts(sort=True, name="rows") if column.kind == "categorical" else None
    if counts is not None and (len(counts) <= LISTED_VALUES or target):
        listed: list[str] = sorted(counts[column.name].to_list())
        least, rows = narrow.whole(counts["rows"].min()), len(present)
        values = f"[{', '.join(_text(value) for value in listed)}]"
        if target:
            yield f"# the {len(listed)} classes"
            yield f"allowed = {values}"
            return
        closed = len(listed) <= CLOSED_VALUES and least >= max(SEEN_OFTEN, CLOSED_SHARE * rows)
        if closed and rows >= ENOUGH_ROWS:
            yield f"# all values that were seen, each in at least {least:,} rows"
            yield f"allowed = {values}"
            return
        if least > 1 and rows >= ENOUGH_ROWS:
            yield f"# all values that were seen, some of them seldom ({least:,} rows): new ones are told, not refused"
            yield f'allowed = {{ values = {values}, severity = "warn" }}'
            return
    lengths = present.str.len_chars()
    longest = narrow.whole(lengths.max())
    middle = narrow.number(lengths.median())
    slack = max(LENGTH_SLACK, (longest / middle) ** RATIO_SLACK if middle else 0)
    yield f"# the longest has {longest:,} characters; {slack:.3g} times that"
    yield f"length = {{ max = {int(_outward(slack * longest, up=True, whole=True))} }}"


def _is_id(present: "pl.Series", column: Column, *, rows: int) -> bool:
    """Whether values differ by design: names of rows, or whole numbers that would have met by chance."""
    if len(present) < max(rows, ENOUGH_ROWS) or column.kind not in {"categorical", "numeric"}:
        return False
    if column.kind == "categorical" and int(present.str.contains(r"\d").sum()) < MOSTLY * len(present):
        return False  # names of people and places differ by chance, until two are the same
    if column.kind == "numeric":
        if not (present == present.floor()).all():
            return False
        span = narrow.number(present.max()) - narrow.number(present.min()) + 1
        if len(present) ** 2 / (2 * span) < 10:  # noqa: PLR2004 - pairs that chance alone would make equal
            return False
    return present.n_unique() == len(present)


def _outward(value: float, *, up: bool, whole: bool = False) -> float:
    """Rounded to three digits, away from what was seen."""
    if value == 0 or not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(abs(value))) - DIGITS + 1)
    if whole:
        step = max(step, 1.0)
    rounded = (math.ceil if up else math.floor)(round(value / step, 9)) * step
    return float(f"{rounded:.12g}")


def _number(value: float) -> str:
    """A TOML number."""
    if value == int(value) and abs(value) < 1e15:  # noqa: PLR2004 - beyond it a float is not exact
        return str(int(value))
    told = repr(value)
    return told if "." in told or "e" in told else f"{told}.0"
