"""A finding about the data: what `bakeoff.prepare.checks.findings` and `bakeoff.prepare.checks.leakage` give."""

from dataclasses import dataclass

from bakeoff.core.types import Json

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to look at: its kind, the column, a sentence, and the number behind it if there is one."""

    kind: str
    column: str
    told: str
    value: float | None = None

    def to_json(self) -> dict[str, Json]:
        """As one of the dataset's warnings."""
        told: dict[str, Json] = {"kind": self.kind, "column": self.column, "told": self.told}
        return told if self.value is None else {**told, "value": self.value}
