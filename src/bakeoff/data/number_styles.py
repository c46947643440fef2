"""How the numbers of a column are written: told from the marks in all its texts."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from bakeoff.core.types import ColumnFormat
from bakeoff.data.numerals import GROUP_MARKS, SHARES, UNITS, bare, plain_signs, unscaled

__all__ = ["Decimal", "NumberStyle", "is_number_like", "learn_numbers"]

Decimal: TypeAlias = Literal[".", ","]

MARKS = re.escape(GROUP_MARKS)
LIKE = re.compile(
    rf"(?:[0-9]+[.,]?[0-9]*|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]{{1,3}}([{MARKS}])(?:[0-9]{{2,3}}\1)*[0-9]{{3}}(?:[.,][0-9]*)?"
)
ONE_UNIT = 0.95


@cache
def _every_unit() -> tuple[str, ...]:
    return tuple(spelling for spellings in UNITS.values() for spelling in spellings)


@cache
def _unit_names() -> dict[str, str]:
    return {spelling: name for name, spellings in UNITS.items() for spelling in spellings}


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberStyle:
    """How a column's numbers are written.

    Attributes:
        style: As a format.
        proven: Whether the texts themselves show the decimal mark.
        open: Whether a mark could be either ("1,234" in all cells).
        units: Different units, the most frequent first.
        without_unit: Texts that have no unit where others have one.
        both_marks: Whether some texts have a decimal comma and others a decimal point.
    """

    style: ColumnFormat
    proven: bool
    open: bool
    units: tuple[str, ...] = ()
    without_unit: tuple[str, ...] = ()
    both_marks: bool = False

    @property
    def several_units(self) -> bool:
        """Whether no unit is that of nearly all texts with one."""
        return len(self.units) > 1 and not self.style.units

    @property
    def share(self) -> str | None:
        """The sign of shares ("%"), when that is the unit."""
        return self.units[0] if self.style.units and self.units[0] in SHARES else None


def is_number_like(text: str) -> bool:
    """Whether a text could be a number in some way of writing.

    >>> is_number_like("-1.234,50 €"), is_number_like("31.12.2024"), is_number_like("A5")
    (True, False, False)
    """
    try:
        body, *_ = bare(plain_signs(text), _every_unit())
    except ValueError:
        return False
    body, _ = unscaled(body)
    match = LIKE.fullmatch(body)
    return match is not None and not (match[1] is not None and match[1] in ".," and _same_mark(body, match[1]))


def _same_mark(body: str, mark: str) -> bool:
    """Whether the mark between groups would be the decimal mark as well ("1,234,5")."""
    groups = body.split("." if mark == "," else ",", maxsplit=1)[0].split(mark)
    return len(groups) > 2 and len(groups[-1]) != 3  # noqa: PLR2004


def learn_numbers(
    texts: Iterable[str], *, decimal: Decimal | None = None, hint: Decimal | None = None, usual_unit: bool = False
) -> NumberStyle:
    """The way in which these texts write numbers.

    Args:
        texts: Different texts of the column.
        decimal: The decimal mark, when it is set.
        hint: The decimal mark of other columns, for a column that leaves it open.
        usual_unit: Whether of several units the most frequent is taken; else none is.
    """
    votes: Counter[str] = Counter()
    marks: set[str] = set()
    units: Counter[str] = Counter()
    without: list[str] = []
    scaled = False
    for text in texts:
        try:
            body, _, unit = bare(plain_signs(text), _every_unit())
        except ValueError:
            continue
        body, power = unscaled(body)
        if not LIKE.fullmatch(body):
            continue
        scaled = scaled or power > 0
        if unit:
            units[_unit_names()[unit]] += 1
        else:
            without.append(text)
        _vote(body, votes, marks)
    ranked = tuple(name for name, _ in units.most_common())
    one_unit = bool(ranked) and (usual_unit or units[ranked[0]] >= ONE_UNIT * units.total())
    chosen, proven = _decimal(votes, decimal, hint)
    other = "," if chosen == "." else "."
    if votes[f"group {other}"] or votes[f"either {other}"]:
        marks.add(other)
    marks -= {chosen}
    style = ColumnFormat(
        form="number",
        decimal=chosen,
        thousands="".join(sorted(marks)),
        units=UNITS[ranked[0]] if one_unit else (),
        scales=scaled,
    )
    is_open = not proven and bool(votes["either ,"] or votes["either ."])
    return NumberStyle(
        style=style,
        proven=proven,
        open=is_open,
        units=ranked,
        without_unit=tuple(without) if ranked else (),
        both_marks=bool(votes["decimal ,"] and votes["decimal ."]),
    )


def _vote(body: str, votes: Counter[str], marks: set[str]) -> None:
    """Count what the marks of one number show: "decimal ,", "group .", "either ,"."""
    present = [mark for mark in ".," if mark in body]
    marks.update(character for character in body if character in GROUP_MARKS and character not in ".,")
    if len(present) == 2:  # noqa: PLR2004
        last = max(present, key=body.rindex)
        votes[f"decimal {last}"] += 1
        votes[f"group {'.' if last == ',' else ','}"] += 1
    elif present:
        (mark,) = present
        before, _, after = body.partition(mark)
        if mark in after:
            votes[f"group {mark}"] += 1
        elif len(after) == 3 and after.isdigit() and 0 < len(before) <= 3 and before[0] in "123456789":  # noqa: PLR2004
            votes[f"either {mark}"] += 1
        else:
            votes[f"decimal {mark}"] += 1


def _decimal(votes: Counter[str], decimal: Decimal | None, hint: Decimal | None) -> tuple[Decimal, bool]:
    """The decimal mark, and whether the texts prove it."""
    if decimal is not None:
        return decimal, True
    comma, point = votes["decimal ,"] + votes["group ."], votes["decimal ."] + votes["group ,"]
    if comma or point:
        return ("," if comma > point else "."), True
    return hint or ".", False
