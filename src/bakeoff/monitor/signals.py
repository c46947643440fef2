"""Signals and reports: what monitoring saw in a window of time, kept as documents."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from bakeoff.config.sections import SIGNAL_NAMES, SignalName
from bakeoff.core.ledger import Ledger
from bakeoff.core.markup import Html, notebook, paragraph, table
from bakeoff.core.protocols import DocumentRecords
from bakeoff.core.queries import Order, Query, QueryField, attribute
from bakeoff.core.types import Json

__all__ = [
    "SIGNAL_NAMES",
    "MonitorReport",
    "Signal",
    "SignalName",
    "from_json",
    "latest",
    "newest",
    "reports",
    "signal_of",
    "store",
    "to_json",
]

SIGNALS = "signals"
KEPT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One measure over a window.

    `value` is None when there was too little to say; `limit` is what makes it an alert (None: nothing does);
    `rows` is how many rows it rests on; `detail` holds what a reader wants next.
    """

    name: SignalName
    value: float | None
    limit: float | None
    alert: bool
    rows: int
    since_ms: int
    until_ms: int
    detail: Mapping[str, Json]

    def to_json(self) -> dict[str, Json]:
        """The signal as JSON."""
        return msgspec.to_builtins(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorReport:
    """All signals of an endpoint in since_ms ≤ time < until_ms; `release_id` when only one release was looked at.

    `ledger` is what signals could not be made of: rows that got no answer, and feedback that does not count.
    """

    endpoint: str
    release_id: str | None
    since_ms: int
    until_ms: int
    signals: tuple[Signal, ...]
    ledger: Ledger | None = None

    @property
    def alerts(self) -> tuple[Signal, ...]:
        """The signals over their limits."""
        return tuple(signal for signal in self.signals if signal.alert)

    def __repr__(self) -> str:
        alerts = ", ".join(each.name for each in self.alerts) or "none"
        return f"MonitorReport({self.endpoint!r}, {len(self.signals)} signals, alerts: {alerts})"

    def _repr_html_(self) -> str:
        rows = [
            (each.name, each.value, each.limit, Html('<span class="bad">alert</span>') if each.alert else "", each.rows)
            for each in self.signals
        ]
        alerts = ", ".join(each.name for each in self.alerts)
        return notebook(
            f"Signals of {self.endpoint}",
            paragraph(f"over its limit: {alerts}" if alerts else "no alert", "bad" if alerts else "good"),
            table(("signal", "value", "limit", "", "rows"), rows),
        )

    def signal(self, name: SignalName) -> Signal:
        """The signal called so."""
        return next(signal for signal in self.signals if signal.name == name)


def signal_of(body: Any, *, since_ms: int, until_ms: int) -> Signal:
    """The signal that `Signal.to_json` gave, of another window."""
    return replace(Signal(**body), since_ms=since_ms, until_ms=until_ms)


def to_json(report: MonitorReport) -> dict[str, Json]:
    """The report as JSON."""
    ledger = report.ledger.to_json() if report.ledger else None
    return {**msgspec.to_builtins(report), "ledger": ledger}


def from_json(body: Mapping[str, Json]) -> MonitorReport:
    """The report that `to_json` gave."""
    fields: dict[str, Any] = {**body}
    fields["signals"] = tuple(Signal(**signal) for signal in fields["signals"])
    fields["ledger"] = Ledger.from_json(fields["ledger"]) if fields.get("ledger") else None
    return MonitorReport(**fields)


def store(documents: DocumentRecords, report: MonitorReport) -> None:
    """Keep a report (the last few hundred of an endpoint stay); the same window again replaces it."""
    prefix = f"{report.endpoint}/"
    documents.put(SIGNALS, f"{prefix}{report.until_ms:015d}-{report.since_ms:015d}", to_json(report))
    for old in documents.find(SIGNALS, prefix)[:-KEPT]:
        documents.delete(SIGNALS, old.key)


def reports(documents: DocumentRecords, endpoint: str) -> list[MonitorReport]:
    """The reports kept, newest window first."""
    return [from_json(document.body) for document in reversed(documents.find(SIGNALS, f"{endpoint}/"))]


def newest(documents: DocumentRecords) -> list[MonitorReport]:
    """The report of the newest window of each endpoint."""
    last = {document.key.rpartition("/")[0]: document.body for document in documents.find(SIGNALS)}
    return [from_json(body) for body in last.values()]


def latest(documents: DocumentRecords, endpoint: str) -> MonitorReport | None:
    """The report of the newest window, or None; the others are not read."""
    prefix = f"{endpoint}/"
    newest_first = (Order(field=QueryField(kind="attribute", key="id"), descending=True),)
    query = Query(where=attribute("id", "like", f"{prefix}%"), order=newest_first, limit=1)
    last = documents.search(SIGNALS, query).items
    if last and not last[0].key.startswith(prefix):  # "_" in a name stands for any character
        last = documents.find(SIGNALS, prefix)[-1:]
    return from_json(last[0].body) if last else None
