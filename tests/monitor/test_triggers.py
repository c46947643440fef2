"""Triggers: pure functions of what is known."""

import pytest

from bakeoff.config.sections import LoopConfig
from bakeoff.monitor.signals import MonitorReport, Signal
from bakeoff.monitor.triggers import due

HOUR_MS = 3_600_000
ALL = LoopConfig(triggers=("quality", "drift", "feedback", "data", "schedule"), feedback_rows=10, schedule_hours=24)
CALM = {"last_run_ms": 0, "now_ms": HOUR_MS, "new_feedback": 0, "data_changed": False}


def report(*alerts: str) -> MonitorReport:
    made = tuple(
        Signal(
            name=name,
            value=0.5,
            limit=0.2,
            alert=name in alerts,
            rows=1,
            since_ms=0,
            until_ms=1,
            detail={"reason": f"{name} says so"},
        )
        for name in ("volume", "latency", "errors", "drift", "joint", "language", "meaning", "quality", "slices")
    )
    return MonitorReport(endpoint="e", release_id=None, since_ms=0, until_ms=1, signals=made)


def test_calm_starts_nothing():
    assert due(report(), ALL, **CALM) == []
    assert due(None, ALL, **CALM) == []


@pytest.mark.parametrize("name", ["quality", "drift"])
def test_an_alert_starts_the_loop_and_says_why(name):
    (trigger,) = due(report(name), ALL, **CALM)
    assert (trigger.kind, trigger.reason) == (name, f"{name} says so")


@pytest.mark.parametrize("name", ["joint", "meaning", "language"])
def test_drift_that_no_single_column_shows_starts_the_loop_unless_others_are_named(name):
    (trigger,) = due(report(name), ALL, **CALM)
    assert (trigger.kind, trigger.reason) == ("drift", f"{name} says so")
    assert due(report(name), ALL.model_copy(update={"drift_signals": ("drift",)}), **CALM) == []


def test_drift_needs_a_signal():
    with pytest.raises(ValueError, match="drift_signals"):
        LoopConfig(drift_signals=())


def test_a_part_of_the_data_that_became_worse_is_a_loss_of_quality():
    (trigger,) = due(report("slices"), ALL, **CALM)
    assert (trigger.kind, trigger.reason) == ("quality", "slices says so")
    (trigger,) = due(report("quality", "slices"), ALL, **CALM)
    assert trigger.reason == "quality says so; slices says so"


def test_latency_and_errors_are_no_reason_to_train_again():
    assert due(report("latency", "errors", "volume"), ALL, **CALM) == []


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"new_feedback": 10}, "feedback"),
        ({"data_changed": True}, "data"),
        ({"now_ms": 24 * HOUR_MS}, "schedule"),
        ({"last_run_ms": None}, "schedule"),
    ],
)
def test_the_other_triggers(change, kind):
    assert [trigger.kind for trigger in due(report(), ALL, **(CALM | change))] == [kind]


def test_one_below_the_limit_is_not_enough():
    assert due(report(), ALL, **(CALM | {"new_feedback": 9, "now_ms": 24 * HOUR_MS - 1})) == []


def test_a_clock_that_was_far_ahead_does_not_stop_the_schedule():
    (trigger,) = due(report(), ALL, **(CALM | {"last_run_ms": CALM["now_ms"] + 400 * 24 * HOUR_MS}))
    assert trigger.kind == "schedule"
    assert "the clock was set back" in trigger.reason
    assert due(report(), ALL, **(CALM | {"last_run_ms": CALM["now_ms"] + HOUR_MS})) == []


def test_only_what_the_project_allows():
    everything = CALM | {"new_feedback": 99, "data_changed": True, "last_run_ms": None}
    config = LoopConfig(triggers=("data", "drift"))
    assert [t.kind for t in due(report("drift", "quality"), config, **everything)] == ["data", "drift"]
