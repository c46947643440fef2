"""What a data contract finds wrong with rows."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from bakeoff.core.types import Json

__all__ = ["RuleName", "Severity", "Violation"]

Severity: TypeAlias = Literal["error", "warn"]
RuleName: TypeAlias = Literal["present", "type", "missing", "range", "allowed", "unique", "length", "sql"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule that is not kept: by how many rows, the numbers (from 1) of the first and what they hold.

    `column` is None for SQL rules, whose name is `expected`. `count` is 0 when no row is to blame.
    """

    column: str | None
    rule: RuleName
    severity: Severity
    expected: str
    count: int
    rows: tuple[int, ...] = ()
    values: tuple[str, ...] = ()

    def told(self) -> str:
        """In one line, for people."""
        where = f"column {self.column!r}, rule {self.rule}" if self.column is not None else "sql rule"
        rows = f": {self.count:,} row{'s' if self.count != 1 else ''}" if self.count else ""
        numbers = self.rows or ("?",) * len(self.values)
        first = ", ".join(f"row {row}: {value}" for row, value in zip(numbers, self.values, strict=False))
        return f"{where}: expected {self.expected}{rows}{f' ({first})' if first else ''}"

    def to_json(self) -> dict[str, Json]:
        """As JSON."""
        return {
            "column": self.column,
            "rule": self.rule,
            "severity": self.severity,
            "expected": self.expected,
            "count": self.count,
            "rows": list(self.rows),
            "values": list(self.values),
        }
