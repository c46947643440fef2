"""The ledger of losses: everything of the user's that does not reach a model, counted by reason.

Whoever sets something aside adds a `Loss`; the ledger adds them up and is shown wherever the user looks. To
report a new way of losing something, make a `Loss` of the fitting kind at the place where it is lost.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, TypeAlias, get_args

import msgspec

from bakeoff.core.types import Json

__all__ = ["EXAMPLES", "EXAMPLE_CHARACTERS", "LOUD_SHARE", "Ledger", "Loss", "LossKind", "example", "summed"]

LossKind: TypeAlias = Literal["row", "column", "class", "cell", "label", "feedback", "option", "text"]
"""What is lost: a row set aside, a column left out, a class dropped, a cell that became missing or
whose meaning is open, a label merged with another spelling, feedback that matched nothing, an option without effect, a
text cut."""

EXAMPLES = 5
EXAMPLE_CHARACTERS = 80
FEWEST_OF_A_CLASS = 10
CONCENTRATED_SHARE = 0.9
KNOWN_SHARE = 0.5
"""Of the rows lost, those whose class is known."""
BY_CHANCE = 0.01
LOUD_SHARE, LOUD_SHARE_CHOSEN = 0.01, 0.5
"""Of the rows: what is lost beyond it everyone should see; the second, when the project asked for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One reason for which things of one kind were lost.

    Attributes:
        kind: What is lost.
        reason: Why, in plain words, without counts ("no target", "not a number").
        subject: The column, class, option or file that it concerns, if one.
        count: How many.
        of: Out of how many of the kind, when that is known.
        examples: A few of them as text, at most `EXAMPLES`.
        classes: For rows whose target is known, how many of each class were lost.
        remedy: What to change to keep them, when something can be changed.
        candidate: The only candidate that goes without them; the others have them. None: no model has them.
        chosen: Whether the project asked for it.
        grave: Whether it matters however few they are (a column left out that looks informative).
        doubtful: Whether nothing is lost yet: the values are taken for what they say, and may mean something else.
    """

    kind: LossKind
    reason: str
    count: int
    subject: str | None = None
    of: int | None = None
    examples: tuple[str, ...] = ()
    classes: Mapping[str, int] = field(default_factory=dict[str, int])
    remedy: str | None = None
    candidate: str | None = None
    chosen: bool = False
    grave: bool = False
    doubtful: bool = False

    def __str__(self) -> str:
        of = f" of {self.of:,}" if self.of else ""
        where = f" {self.subject!r}" if self.subject else ""
        shown = f" ({', '.join(self.examples)})" if self.examples else ""
        return f"{self.kind}: {self.count:,}{of}: {self.reason}{where}{shown}"

    @property
    def share(self) -> float | None:
        """Which part of all of the kind it is, when that is known."""
        return self.count / self.of if self.of else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All losses on the way from the sources to the models.

    `rows_in` are the rows that the sources and usable feedback brought, `rows_used` those that were split into train,
    validation and test; what is between them stands in the losses of kind "row" that no model has, so that
    `rows_in == rows_used + rows_lost`. `classes` counts the rows used of each class.
    """

    rows_in: int
    rows_used: int
    losses: tuple[Loss, ...] = ()
    classes: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def rows_lost(self) -> int:
        """Rows that no model has, all reasons together."""
        return self.count("row")

    @property
    def lost_share(self) -> float:
        """The share of rows that were set aside, between 0 and 1."""
        return self.rows_lost / self.rows_in if self.rows_in else 0.0

    @property
    def loud_share(self) -> float | None:
        """The share of rows lost that everyone should see: those that nobody asked to lose, or most of all rows."""
        unasked = sum(loss.count for loss in self.losses if loss.kind == "row" and not (loss.chosen or loss.candidate))
        if self.lost_share > LOUD_SHARE_CHOSEN:
            return self.lost_share
        return unasked / self.rows_in if unasked > LOUD_SHARE * self.rows_in else None

    @property
    def balanced(self) -> bool:
        """Whether every row is accounted for."""
        return self.rows_in == self.rows_used + self.rows_lost

    def count(self, kind: LossKind) -> int:
        """How many of a kind no model has."""
        return sum(
            loss.count for loss in self.losses if loss.kind == kind and loss.candidate is None and not loss.doubtful
        )

    def concentration(self, loss: Loss) -> str | None:
        """The class that a loss hits, when ten rows and more of it are nearly all that is known, and not by chance.

        The chance that so many of the rows lost are of a class, were they drawn from all rows, is at most
        exp(-n · KL(share lost ‖ share of all)). Source: Chernoff (1952), "A Measure of Asymptotic Efficiency".
        """
        if loss.kind != "row" or not loss.classes:
            return None
        known = sum(loss.classes.values())
        name, rows = max(loss.classes.items(), key=lambda item: item[1])
        if rows < FEWEST_OF_A_CLASS or rows < CONCENTRATED_SHARE * known or known < KNOWN_SHARE * loss.count:
            return None
        total = sum(self.classes.values()) + known
        among_all, among_lost = (self.classes.get(name, 0) + rows) / total, rows / known
        if among_lost <= among_all:
            return None
        return name if math.exp(-known * _divergence(among_lost, among_all)) < BY_CHANCE else None

    def matters(self, loss: Loss) -> bool:
        """Whether everyone should see a loss: it is grave, a class, of one class, or over 1% of the rows unasked."""
        if loss.grave or (loss.kind == "class" and not loss.chosen) or self.concentration(loss) is not None:
            return True
        limit = LOUD_SHARE_CHOSEN if loss.chosen else LOUD_SHARE
        return loss.kind == "row" and loss.candidate is None and loss.count > limit * self.rows_in

    def with_losses(self, losses: Iterable[Loss], *, rows_used: int | None = None) -> "Ledger":
        """The ledger with more losses (those of nothing are left out), sorted by kind."""
        order = get_args(LossKind)
        every = [*self.losses, *(loss for loss in losses if loss.count)]
        used = self.rows_used if rows_used is None else rows_used
        return replace(self, rows_used=used, losses=tuple(sorted(every, key=lambda loss: order.index(loss.kind))))

    def to_json(self) -> dict[str, Json]:
        """As `--json` has it; fields of a loss that say nothing are left out."""
        losses = [{name: value for name, value in asdict(loss).items() if _says(value)} for loss in self.losses]
        body = {"rows_in": self.rows_in, "rows_used": self.rows_used, "rows_lost": self.rows_lost, "losses": losses}
        return msgspec.to_builtins({**body, "classes": dict(self.classes)})

    @classmethod
    def from_json(cls, body: Mapping[str, Json]) -> "Ledger":
        """The ledger that `to_json` gave."""
        return msgspec.convert(body, cls)


def _says(value: object) -> bool:
    return value is not None and value is not False and value not in ((), {})


def _divergence(p: float, q: float) -> float:
    """The Kullback–Leibler divergence of two shares, in nats."""
    rest = 0.0 if p == 1 else (1 - p) * math.log((1 - p) / (1 - q))
    return p * math.log(p / q) + rest


def summed(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Losses of the same kind, reason and subject as one each, with the first examples.

    >>> [loss.count for loss in summed([Loss(kind="row", reason="bad", count=n) for n in (1, 2)])]
    [3]
    """
    totals: dict[tuple[LossKind, str, str | None], Loss] = {}
    for loss in losses:
        key = loss.kind, loss.reason, loss.subject
        before = totals.get(key)
        if before is None:
            totals[key] = loss
            continue
        totals[key] = replace(
            before,
            count=before.count + loss.count,
            of=None if before.of is None or loss.of is None else before.of + loss.of,
            examples=(before.examples + loss.examples)[:EXAMPLES],
            classes=Counter(before.classes) + Counter(loss.classes),
        )
    return tuple(totals.values())


def example(value: object) -> str:
    """A lost value as a short text of one line.

    >>> example("12,5 %")
    "'12,5 %'"
    """
    text = repr(value) if isinstance(value, str) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= EXAMPLE_CHARACTERS else text[: EXAMPLE_CHARACTERS - 1] + "…"
