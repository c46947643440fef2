"""One look: what every signal is made with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.types import Json, Predictions, Signature
from bakeoff.metrics.discoveries import look_level
from bakeoff.monitor.reference import MonitoringReference
from bakeoff.monitor.signals import Signal, SignalName

__all__ = ["LabelledRows", "MonitorLook", "top"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRows:
    """Rows whose truth is known: what it is, what was predicted, the rows, and what groups and days they are of.

    `predicted` is None when there are none.
    """

    truth: Sequence[str | float] = ()
    predicted: Predictions | None = None
    rows: Sequence[Mapping[str, Json]] = ()
    groups: Sequence[object] = ()
    days: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorLook:
    """What every signal is made with: `number` is the how-manieth look with news it is in its hour."""

    signature: Signature
    reference: MonitoringReference
    config: MonitorConfig
    since_ms: int
    until_ms: int
    seed: int
    number: int = 1
    labels: LabelledRows = field(default_factory=LabelledRows)

    @property
    def level(self) -> float:
        """How unlikely what raises an alert must be without a change."""
        return look_level(self.config.false_alarms, look=self.number)

    def signal(
        self,
        name: SignalName,
        value: float | None,
        *,
        limit: float | None = None,
        rows: int,
        detail: Mapping[str, Json],
        alert: bool = False,
    ) -> Signal:
        """One of this look's window."""
        return Signal(
            name=name,
            value=value,
            limit=limit,
            alert=alert,
            rows=rows,
            since_ms=self.since_ms,
            until_ms=self.until_ms,
            detail=detail,
        )


def top(counts: Mapping[str, int], most: int | None = None) -> dict[str, int]:
    """The most frequent first, equals by name."""
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:most])
