"""The ledger of losses: everything of the user's that does not reach a model, counted by reason.

Whoever sets something aside adds a `Loss`; the ledger adds them up and is shown wherever the user looks. To
report a new way of losing something, make a `Loss` of the fitting kind at the place where it is lost.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

__all__ = ["EXAMPLES", "EXAMPLE_CHARACTERS", "Ledger", "Loss", "LossKind", "example", "summed"]

LossKind: TypeAlias = Literal["row", "column", "class", "cell", "label", "feedback", "option", "text"]
"""What is lost: a row set aside, a column left out, a class dropped, a cell that became missing, a label merged
with another spelling, feedback that matched nothing, an option without effect, a text cut."""

EXAMPLES = 5
EXAMPLE_CHARACTERS = 80


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
    """

    kind: LossKind
    reason: str
    count: int
    subject: str | None = None
    of: int | None = None
    examples: tuple[str, ...] = ()
    classes: Mapping[str, int] = field(default_factory=dict[str, int])
    remedy: str | None = None

    @property
    def concentrated(self) -> str | None:
        """The class that all lost rows belong to, when at least ten rows of one class alone were lost."""
        known = [name for name, rows in self.classes.items() if rows]
        return known[0] if len(known) == 1 and self.classes[known[0]] == self.count >= 10 else None  # noqa: PLR2004


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All losses on the way from the sources to the models.

    `rows_in` are the rows that the sources and feedback brought, `rows_used` those that were split into train,
    validation and test; what is between them stands in the losses of kind "row", so that
    `rows_in == rows_used + rows_lost`.
    """

    rows_in: int
    rows_used: int
    losses: tuple[Loss, ...] = ()

    @property
    def rows_lost(self) -> int:
        """Rows set aside, all reasons together."""
        return self.count("row")

    @property
    def lost_share(self) -> float:
        """The share of rows that were set aside, between 0 and 1."""
        return self.rows_lost / self.rows_in if self.rows_in else 0.0

    @property
    def balanced(self) -> bool:
        """Whether every row is accounted for."""
        return self.rows_in == self.rows_used + self.rows_lost

    def count(self, kind: LossKind) -> int:
        """How many of a kind were lost."""
        return sum(loss.count for loss in self.losses if loss.kind == kind)

    def with_losses(self, losses: Iterable[Loss], *, rows_used: int | None = None) -> "Ledger":
        """The ledger with more losses (those of nothing are left out), sorted by kind."""
        order = get_args(LossKind)
        every = [*self.losses, *(loss for loss in losses if loss.count)]
        used = self.rows_used if rows_used is None else rows_used
        return Ledger(
            rows_in=self.rows_in, rows_used=used, losses=tuple(sorted(every, key=lambda loss: order.index(loss.kind)))
        )


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
