"""Reports as JSON and as documents."""

from bakeoff.core.ledger import Ledger, Loss
from bakeoff.monitor import signals
from bakeoff.monitor.signals import MonitorReport, Signal
from bakeoff.testing.memory import MemoryRecords


def report(until_ms: int, *, endpoint: str = "late") -> MonitorReport:
    made = Signal(
        name="drift", value=0.3, limit=0.2, alert=True, rows=500, since_ms=0, until_ms=until_ms, detail={"over": ["x"]}
    )
    calm = Signal(name="latency", value=None, limit=None, alert=False, rows=0, since_ms=0, until_ms=until_ms, detail={})
    ledger = Ledger(rows_in=600, rows_used=500).with_losses([Loss(kind="row", reason="not answered", count=100)])
    return MonitorReport(
        endpoint=endpoint, release_id="r1", since_ms=0, until_ms=until_ms, signals=(made, calm), ledger=ledger
    )


def test_json_and_back():
    body = signals.to_json(report(9))
    assert signals.from_json(body) == report(9)
    assert body["ledger"]["rows_lost"] == 100
    before = {key: value for key, value in body.items() if key != "ledger"}  # as versions wrote it that kept none
    assert signals.from_json(before).ledger is None


def test_alerts_are_the_signals_over_their_limits():
    assert [signal.name for signal in report(9).alerts] == ["drift"]
    assert report(9).signal("latency").value is None


def test_reports_are_kept_newest_first_by_endpoint():
    documents = MemoryRecords(lambda: 0).documents
    assert signals.latest(documents, "late") is None
    for until_ms in (900, 1_000, 99):
        signals.store(documents, report(until_ms))
    signals.store(documents, report(5_000, endpoint="late-2"))
    assert signals.latest(documents, "late") == report(1_000)
    assert signals.latest(documents, "late-2") == report(5_000, endpoint="late-2")
    signals.store(documents, report(9_000, endpoint="late_2"))  # whose name is like that of late-2
    signals.store(documents, report(99_000, endpoint="lateA2"))
    assert signals.latest(documents, "late_2") == report(9_000, endpoint="late_2")
    assert [item.until_ms for item in signals.reports(documents, "late")] == [1_000, 900, 99]


def test_only_the_newest_few_hundred_stay(monkeypatch):
    monkeypatch.setattr(signals, "KEPT", 3)
    documents = MemoryRecords(lambda: 0).documents
    for until_ms in range(1, 8):
        signals.store(documents, report(until_ms))
    assert [item.until_ms for item in signals.reports(documents, "late")] == [7, 6, 5]
