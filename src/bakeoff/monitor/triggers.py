"""Triggers: which of the reasons that a project allows now call for the loop to run again."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from bakeoff.config.schedule import Schedule
from bakeoff.config.sections import LoopConfig
from bakeoff.core.moments import moment
from bakeoff.monitor.signals import MonitorReport, Signal, SignalName

__all__ = ["Trigger", "TriggerKind", "due", "schedule_due_ms"]

TriggerKind: TypeAlias = Literal["quality", "drift", "feedback", "data", "schedule"]

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """Why the loop should run again, in a word and in a sentence."""

    kind: TriggerKind
    reason: str


def due(
    report: MonitorReport | None,
    config: LoopConfig,
    *,
    last_run_ms: int | None,
    now_ms: int,
    new_feedback: int,
    data_changed: bool,
) -> list[Trigger]:
    """The allowed triggers that fire, in the order of the configuration, and then `[loop] schedule`.

    Quality is that of all rows, or of a part of them that became worse while all together hardly did. Drift is that of
    the signals that `[loop] drift_signals` names.

    Args:
        report: what monitoring saw, or None when it has not looked.
        config: `[loop]`.
        last_run_ms: when the last run ended, or None when there was none (then a schedule is due).
        now_ms: the present.
        new_feedback: labelled rows that no run has seen.
        data_changed: whether the data's source holds something new.
    """
    reasons: dict[TriggerKind, str | None] = {
        "quality": _of_signals(report, "quality", "slices"),
        "drift": _of_signals(report, *config.drift_signals),
        "feedback": _of_feedback(new_feedback, config.feedback_rows),
        "data": "the data source changed" if data_changed else None,
        "schedule": _of_schedule(config, last_run_ms, now_ms),
    }
    allowed = dict.fromkeys(config.triggers)
    if config.schedule is not None:  # it is one beside those listed, and takes the place of the hours
        allowed.pop("schedule", None)
        allowed["schedule"] = None
    return [Trigger(kind=kind, reason=reason) for kind in allowed if (reason := reasons[kind])]


def schedule_due_ms(config: LoopConfig, *, last_run_ms: int, now_ms: int) -> int | None:
    """When the loop runs next by its schedule (or was due to); None where it has none.

    A last run after the next time of the schedule is of a clock that was set back: it is due now, as it would not be
    again until the clock has caught up.
    """
    if config.schedule is not None:
        schedule = Schedule.parsed(config.schedule)
    elif "schedule" in config.triggers:
        hours = config.schedule_hours
        schedule = Schedule(text=f"every {hours:g}h", every_ms=round(hours * HOUR_MS))
    else:
        return None
    return now_ms if last_run_ms >= schedule.due_ms(now_ms) else schedule.due_ms(last_run_ms)


def _of_signals(report: MonitorReport | None, *names: SignalName) -> str | None:
    """What those of these that are alerts say."""
    alerts = report.alerts if report else ()
    return "; ".join(_sentence(each) for name in names for each in alerts if each.name == name) or None


def _sentence(signal: Signal) -> str:
    told = signal.detail.get("reason")
    return str(told) if told else f"{signal.name} is {signal.value} (limit {signal.limit})"


def _of_feedback(new: int, needed: int) -> str | None:
    return f"{new} new labelled rows (at least {needed} needed)" if new >= needed else None


def _of_schedule(config: LoopConfig, last_run_ms: int | None, now_ms: int) -> str | None:
    name = f"{config.schedule!r}: " if config.schedule else ""
    if last_run_ms is None:
        return f"{name}no run yet"
    due_ms = schedule_due_ms(config, last_run_ms=last_run_ms, now_ms=now_ms)
    if due_ms is None or due_ms > now_ms:
        return None
    passed = (now_ms - last_run_ms) / HOUR_MS
    if passed < 0:
        return f"{name}the last run ended {-passed:.1f} hours from now: the clock was set back"
    if name:
        return f"{name}due since {moment(due_ms)}"
    return f"{passed:.1f} hours since the last run (schedule: {config.schedule_hours:g})"
