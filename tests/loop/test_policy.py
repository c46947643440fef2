from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from bakeoff.config.schedule import FreezeWindow, Schedule
from bakeoff.config.sections import LoopBudget, LoopConfig
from bakeoff.core.errors import UsageError
from bakeoff.loop.cycle import Cycle, CycleDecision
from bakeoff.loop.policy import Hold, PastRun, holding, past_runs, spent
from bakeoff.monitor.triggers import due, schedule_due_ms

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def ms(text):
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


NOW = ms("2026-11-30T12:00")  # a Monday


def held(runs=(), *, now_ms=NOW, new_labels=10, data_changed=False, **settings):
    config = LoopConfig(**settings)
    return holding(config, list(runs), now_ms=now_ms, new_labels=new_labels, data_changed=data_changed)


def ago(hours, **facts):
    return PastRun(ended_ms=NOW - round(hours * HOUR_MS), **facts)


def test_nothing_holds_by_default_but_the_cool_down():
    assert held() is None
    assert held([ago(1)]) is None
    assert held([ago(0.9)]) == Hold(
        kind="cool_down", reason="cool_down = '1h': until 2026-11-30 12:06 UTC", until_ms=NOW + 360_000
    )
    assert held([ago(0.1)], cool_down="none") is None
    assert held([ago(-48)]) is None  # the clock was set back


def test_a_freeze_holds_and_says_until_when():
    hold = held(freeze=["2026-11-28/2026-11-30"])
    assert (hold.kind, hold.until_ms) == ("freeze", ms("2026-12-01T00:00"))
    assert held(freeze=["2026-11-28/2026-11-29", "fri 18:00/mon 12:00"]) is None
    assert held(freeze=["fri 18:00/mon 12:01"]).until_ms == ms("2026-11-30T12:01")


@pytest.mark.parametrize(
    ("moment", "until"),
    [
        ("2026-11-27T17:59", None),
        ("2026-11-27T18:00", "2026-11-30T06:00"),
        ("2026-11-30T05:59", "2026-11-30T06:00"),
        ("2026-11-30T06:00", None),
        ("1969-12-27T12:00", "1969-12-29T06:00"),
    ],
)
def test_weekly_windows_run_over_the_end_of_a_week(moment, until):
    window = FreezeWindow.parsed("fri 18:00/mon 06:00")
    assert window.until(ms(moment)) == (None if until is None else ms(until))


@pytest.mark.parametrize(
    ("text", "moment", "until"),
    [
        ("sat/sun", "2026-11-29T23:59", "2026-11-30T00:00"),
        ("sat/sun", "2026-11-30T00:00", None),
        ("sun/sun", "2026-11-29T12:00", "2026-11-30T00:00"),
        ("sun/sun", "2026-11-30T00:00", None),
        ("fri 18:00/mon", "2026-11-30T12:00", "2026-12-01T00:00"),
        ("mon/fri 12:00", "2026-11-27T12:00", None),
        ("mon/sun", "2026-11-30T12:00", "2026-12-07T00:00"),
    ],
)
def test_the_last_day_of_a_weekly_window_is_in_it_whole(text, moment, until):
    assert FreezeWindow.parsed(text).until(ms(moment)) == (None if until is None else ms(until))


@pytest.mark.parametrize(
    "text", ["2026-12-20", "2026-12-20/2026-12-01", "fri/xyz", "fri 25:00/mon", "soon", "2026-13-01/2026-13-02"]
)
def test_windows_that_are_none_are_refused(text):
    with pytest.raises(UsageError, match="expected a window such as"):
        FreezeWindow.parsed(text)
    with pytest.raises(ValidationError, match="expected a window such as"):
        LoopConfig(freeze=[text])


def test_schedules():
    assert Schedule.parsed("0 3 * * 1").due_ms(NOW) == ms("2026-12-07T03:00")
    assert Schedule.parsed("every 12h").due_ms(NOW) == NOW + 12 * HOUR_MS
    for text in ("0 3 * *", "every now and then", "61 * * * *", "0 0 30 2 *"):
        with pytest.raises(UsageError):
            Schedule.parsed(text)


def test_the_schedule_is_a_trigger_and_goes_before_the_hours():
    config = LoopConfig(triggers=["schedule"], schedule="0 3 * * 1")

    def fires(last):
        facts = {"new_feedback": 0, "data_changed": False, "now_ms": NOW}
        return [(t.kind, t.reason) for t in due(None, config, last_run_ms=ms(last), **facts)]

    assert fires("2026-11-30T02:59") == [("schedule", "'0 3 * * 1': due since 2026-11-30 03:00 UTC")]
    assert fires("2026-11-30T03:00") == []
    assert fires("2026-12-06T00:00") == []
    ((_, reason),) = fires("2026-12-08T12:00")  # after the next Monday at 3:00, on which nothing would run
    assert reason == "'0 3 * * 1': the last run ended 192.0 hours from now: the clock was set back"


def test_the_time_at_which_the_schedule_is_due():
    weekly = LoopConfig(triggers=["schedule"], schedule="0 3 * * 1")
    daily = LoopConfig(triggers=["schedule"], schedule_hours=24)
    due_at = [schedule_due_ms(each, last_run_ms=NOW - HOUR_MS, now_ms=NOW) for each in (weekly, daily, LoopConfig())]
    assert due_at == [ms("2026-12-07T03:00"), NOW + 23 * HOUR_MS, None]
    assert schedule_due_ms(daily, last_run_ms=NOW + 24 * HOUR_MS, now_ms=NOW) == NOW  # the clock was set back


def test_a_run_ended_when_it_ended_and_not_when_somebody_approved_it():
    def cycle(*steps, **evidence):
        decisions = [CycleDecision(time_ms=at, state=state, who="w", why="", evidence=evidence) for at, state in steps]
        return Cycle(number=1, triggers=(), decisions=tuple(decisions))

    begun = (1, "waiting"), (2, "collecting"), (3, "running")
    runs = past_runs(
        [
            cycle((1, "waiting"), (2, "withdrawn")),
            cycle(*begun, (10, "approval"), (900, "approved"), (901, "promoted"), seconds=7.0, usd=0.5),
            cycle(*begun, (20, "failed"), usd=0.25),
            cycle(*begun),
        ]
    )
    assert runs == [PastRun(ended_ms=10, seconds=7.0, usd=0.5), PastRun(ended_ms=20, failed=True, usd=0.25)]


def test_the_budget_counts_what_the_next_run_will_take():
    runs = [ago(24 * 9, seconds=60), ago(24 * 3, seconds=50, usd=0.4), ago(24, seconds=40, usd=0.3)]
    week = LoopBudget(per="7d", runs=3, seconds=131, usd=1.1)
    assert spent(week, runs, NOW).seconds == 90
    assert held(runs, budget=week) is None
    assert held(runs, budget=LoopBudget(per="7d", seconds=129)).reason == (
        "budget of 129 seconds within 7d: 90 are spent, a run takes 40"
    )
    assert held(runs, budget=LoopBudget(per="7d", runs=2)).kind == "budget"
    assert held(runs, budget=LoopBudget(per="7d", usd=0.9)).kind == "budget"
    assert held(runs, budget=LoopBudget(per="30d", runs=3)).kind == "budget"


def test_few_labels_hold_unless_the_source_changed():
    assert held(min_new_labels=11).reason == "10 new labels, at least 11 are needed"
    assert held(min_new_labels=11, data_changed=True) is None
    assert held(min_new_labels=10) is None


def test_failures_are_tried_again_later_each_time():
    settings = {"cool_down": "none"}
    assert held([ago(0.1, failed=True)], **settings).kind == "failures"
    assert held([ago(0.2, failed=True)], **settings) is None
    assert held([ago(1, failed=True), ago(0.2, failed=True)], **settings).reason.startswith(
        "the last run failed (2 in a row)"
    )
    assert held([ago(30, failed=True)] * 30, **settings) is None
    assert held([ago(20, failed=True)] * 30, **settings).kind == "failures"
    assert held([ago(0.1, failed=True), ago(0.1)], **settings) is None
