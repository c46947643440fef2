"""The ledger of losses as people read it: a headline, what matters, and one table; all pages show these."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from bakeoff.core.ledger import EXAMPLES, Ledger, Loss, LossKind
from bakeoff.report.numbers import count, cut, part

__all__ = [
    "HEADS",
    "NUMBERS",
    "Line",
    "Losses",
    "alarms",
    "chosen",
    "doubts",
    "headline",
    "lines",
    "losses_of",
    "plain",
]

HEADS = ("lost", "why", "which", "count", "of", "for example")
NUMBERS = ("count", "of")
"""The heads of columns that stand to the right."""
MOST_ALIKE = 3
MOST_LINES = 30
NAMED = 5
LONGEST_EXAMPLES = 72
PLURALS: Mapping[LossKind, str] = {
    "row": "rows",
    "column": "columns",
    "class": "classes",
    "cell": "cells",
    "label": "labels",
    "feedback": "feedback",
    "option": "options",
    "text": "texts",
}
VERBS: Mapping[LossKind, str] = {"column": "left out", "class": "dropped", "label": "merged", "text": "cut"}
DIGITS = re.compile(r"\s*\([^)]*\)|[0-9][0-9,.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the table: its cells in the order of `HEADS`, what to do about it, and whether it matters."""

    cells: tuple[str, ...]
    remedy: str | None = None
    matters: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """A ledger as a page shows it."""

    headline: str
    alarms: tuple[str, ...]
    doubts: tuple[str, ...]
    lines: tuple[Line, ...]
    chosen: str | None
    heads: tuple[str, ...] = HEADS
    numbers: tuple[str, ...] = NUMBERS


def losses_of(ledger: Ledger, *, came: str = "read", went: str = "used") -> Losses:
    """All that a page shows of a ledger; `came` and `went` say what was done with its rows."""
    return Losses(
        headline=headline(ledger, came=came, went=went),
        alarms=tuple(alarms(ledger)),
        doubts=tuple(doubts(ledger)),
        lines=tuple(lines(ledger)),
        chosen=chosen(ledger),
    )


def headline(ledger: Ledger, *, came: str = "read", went: str = "used") -> str:
    """What became of the rows, and how much else was lost.

    >>> headline(Ledger(rows_in=12808, rows_used=12808))
    'nothing was lost: 12,808 rows read, all used'
    """
    others = [
        f"{count(total)} {PLURALS[kind] if total != 1 else kind}"
        for kind in get_args(LossKind)
        if kind != "row" and (total := sum(loss.count for loss in ledger.losses if loss.kind == kind and _counts(loss)))
    ]
    doubtful = sum(loss.count for loss in ledger.losses if loss.doubtful)
    if not ledger.rows_lost:
        if not others and not doubtful and not any(loss.candidate for loss in ledger.losses):
            return f"nothing was lost: {count(ledger.rows_in)} rows {came}, all {went}"
        told = f"{count(ledger.rows_in)} rows {came}, all {went}"
    else:
        told = (
            f"{count(ledger.rows_in)} rows {came}, {count(ledger.rows_used)} {went}, {count(ledger.rows_lost)} lost "
            f"({part(ledger.lost_share)})"
        )
    told += f"; also lost: {', '.join(others)}" if others else ""
    return told + (f"; in doubt: {count(doubtful)} {PLURALS['cell'] if doubtful != 1 else 'cell'}" if doubtful else "")


def _counts(loss: Loss) -> bool:
    return loss.candidate is None and not loss.chosen and not loss.doubtful


def alarms(ledger: Ledger) -> list[str]:
    """What everybody should see, one sentence each."""
    losses = [loss for loss in _joined(ledger) if not loss.doubtful]
    told = [_alarm(loss) for loss in losses if loss.grave or (loss.kind != "row" and ledger.matters(loss))]
    concentrated = [(loss, ledger.concentration(loss)) for loss in ledger.losses]
    told += [_of_one_class(ledger, loss, name) for loss, name in concentrated if name is not None]
    share = ledger.loud_share
    if share is not None:
        beside = "" if share == ledger.lost_share else ", beside what steps leave out"
        told.insert(0, f"{part(share)} of the rows are lost{beside}: no model has seen them")
    return told


def doubts(ledger: Ledger) -> list[str]:
    """What may not mean what it says, one sentence each."""
    return [
        f"{count(loss.count)} {PLURALS[loss.kind] if loss.count != 1 else loss.kind} of {loss.subject or 'the rows'}: "
        f"{_with_remedy(loss)}"
        for loss in ledger.losses
        if loss.doubtful
    ]


def _alarm(loss: Loss) -> str:
    which = loss.subject or ""
    if loss.kind == "column":
        several = loss.count > 1
        told = f"columns {which} are left out" if several else f"column {which!r} is left out"
        return f"{told} though {'they look' if several else 'it looks'} informative: {_with_remedy(loss)}"
    if loss.kind == "class":
        named = ", ".join(loss.examples) or repr(which)
        rows = sum(loss.classes.values())
        many = f" ({count(rows)} rows)" if rows else ""
        if loss.count == 1:
            return f"class {named} is dropped{many}: {_with_remedy(loss)}"
        more = ", …" if loss.count > len(loss.examples) > 0 else ""
        return f"{count(loss.count)} classes are dropped ({named}{more}): {_with_remedy(loss)}"
    where = f" of {which}" if which else ""
    return f"{count(loss.count)} {PLURALS[loss.kind]}{where} {VERBS.get(loss.kind, 'lost')}: {_with_remedy(loss)}"


def _of_one_class(ledger: Ledger, loss: Loss, name: str) -> str:
    rows, all_rows = loss.classes[name], sum(ledger.classes.values()) + sum(loss.classes.values())
    share = (ledger.classes.get(name, 0) + rows) / all_rows
    which = "all" if rows == loss.count else f"{count(rows)} of"
    told = f"{which} {count(loss.count)} rows lost to {loss.reason!r} are of class {name!r}"
    return f"{told}, to which {part(share)} of all rows belong"


def _with_remedy(loss: Loss) -> str:
    return loss.reason + (f"; {loss.remedy}" if loss.remedy else "")


def _ignored(loss: Loss) -> bool:
    return loss.kind == "column" and loss.chosen and loss.candidate is None


def chosen(ledger: Ledger) -> str | None:
    """The columns that the project leaves out, in a sentence; None when there are none."""
    names = [loss.subject or "" for loss in ledger.losses if _ignored(loss)]
    if not names:
        return None
    more = f" and {count(len(names) - NAMED)} more" if len(names) > NAMED else ""
    return f"left out by [data] ignore: {', '.join(names[:NAMED])}{more}"


def lines(ledger: Ledger) -> list[Line]:
    """The table: what was lost, by reason; many of one reason share a line."""
    losses = [loss for loss in _joined(ledger) if not _ignored(loss)]
    return [_line(ledger, loss) for loss in losses]


def _line(ledger: Ledger, loss: Loss) -> Line:
    name = ledger.concentration(loss)
    examples = loss.examples[:2] if name is None else (f"{count(loss.classes[name])} of {name!r}", *loss.examples[:1])
    return Line(
        cells=(
            loss.kind,
            loss.reason,
            ": ".join(each for each in (loss.candidate, loss.subject) if each),
            count(loss.count),
            "" if loss.of is None else f"{count(loss.of)} ({part(loss.count / loss.of)})" if loss.of else "0",
            cut("; ".join(examples), LONGEST_EXAMPLES),
        ),
        remedy=loss.remedy,
        matters=ledger.matters(loss),
    )


def _joined(ledger: Ledger) -> list[Loss]:
    """The losses, those of one reason joined when there are many; what matters is not joined with what does not."""
    groups: dict[tuple[object, ...], list[Loss]] = {}
    for loss in ledger.losses:
        key = (loss.kind, loss.candidate, loss.chosen, ledger.matters(loss), DIGITS.sub("", loss.reason))
        groups.setdefault(key, []).append(loss)
    joined: list[Loss] = []
    for group in groups.values():
        joined += [_one_of(group)] if len(group) > MOST_ALIKE else group
    return joined


def _one_of(group: Sequence[Loss]) -> Loss:
    names = [loss.subject for loss in group if loss.subject]
    more = f" and {count(len(names) - MOST_ALIKE)} more" if len(names) > MOST_ALIKE else ""
    classes: dict[str, int] = {}
    for loss in group:
        for name, rows in loss.classes.items():
            classes[name] = classes.get(name, 0) + rows
    first = group[0]
    same = all(loss.reason == first.reason for loss in group)
    remedies = {loss.remedy for loss in group}
    return replace(
        first,
        reason=first.reason if same else re.sub(r"\s*\([^)]*\)", "", first.reason),
        subject=", ".join(names[:MOST_ALIKE]) + more if names else None,
        count=sum(loss.count for loss in group),
        of=first.of if len({loss.of for loss in group}) == 1 and first.kind != "cell" else None,
        examples=tuple(text for loss in group for text in loss.examples)[:EXAMPLES],
        classes=classes,
        remedy=first.remedy if len(remedies) == 1 else None,
    )


def plain(losses: Sequence[Loss], ledger: Ledger) -> str:
    """Some of a ledger's losses as lines of text, for messages."""
    told: list[str] = []
    for loss in losses[:MOST_LINES]:
        name = ledger.concentration(loss)
        shown = f", all of class {name!r}" if name and loss.classes[name] == loss.count else ""
        for_example = f": {'; '.join(loss.examples[:2])}" if loss.examples else ""
        told.append(f"  {count(loss.count)} {PLURALS[loss.kind]}, {loss.reason}{shown}{for_example}")
    if len(losses) > MOST_LINES:
        told.append(f"  and {count(len(losses) - MOST_LINES)} more reasons")
    return "\n".join(told)
