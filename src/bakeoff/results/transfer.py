"""What an import or export moved, what was there already, and what was left out and why."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from bakeoff.core.types import Json

__all__ = ["KINDS", "LeftOut", "Moved", "MovedKind", "Transferred"]

MovedKind: TypeAlias = Literal[
    "experiments", "runs", "metric values", "artifacts", "logged models", "registered models", "versions", "traces"
]
KINDS: tuple[MovedKind, ...] = (
    "experiments", "runs", "metric values", "artifacts", "logged models", "registered models", "versions", "traces",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Of one kind: how many were moved, how many were there already, how many were left out."""

    kind: MovedKind
    moved: int
    already: int
    left_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """One thing that was left out, by what it is called there, and why."""

    kind: MovedKind
    name: str
    reason: str


@dataclass(slots=True)
class Transferred:
    """Counts of everything, as it is moved."""

    moved: Counter[MovedKind] = field(default_factory=Counter["MovedKind"])
    already: Counter[MovedKind] = field(default_factory=Counter["MovedKind"])
    left_out: list[LeftOut] = field(default_factory=list["LeftOut"])

    def leave_out(self, kind: MovedKind, name: str, reason: object) -> None:
        """Note that something was left out; of a long reason, the first line."""
        lines = str(reason).strip().splitlines() or [type(reason).__name__]
        self.left_out.append(LeftOut(kind=kind, name=name, reason=lines[0]))

    @property
    def counts(self) -> tuple[Moved, ...]:
        """By kind."""
        lost = Counter(each.kind for each in self.left_out)
        return tuple(
            Moved(kind=kind, moved=self.moved[kind], already=self.already[kind], left_out=lost[kind]) for kind in KINDS
        )

    def to_json(self) -> dict[str, Json]:
        """As a JSON document."""
        return {"counts": msgspec.to_builtins(self.counts), "left_out": msgspec.to_builtins(self.left_out)}
