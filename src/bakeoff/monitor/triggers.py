"""Triggers: which of the reasons that a project allows now call for the loop to run again."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from bakeoff.config.sections import LoopConfig
from bakeoff.monitor.signals import MonitorReport, Signal

__all__ = ["Trigger", "TriggerKind", "due"]

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
    """The allowed triggers that fire, in the order of the configuration.

    Args:
        report: what monitoring saw, or None when it has not looked.
        config: `[loop]`.
        last_run_ms: when the last run ended, or None when there was none (then a schedule is due).
        now_ms: the present.
        new_feedback: labelled rows that no run has seen.
        data_changed: whether the data's source holds something new.
    """
    reasons: dict[TriggerKind, str | None] = {
        "quality": _of_signal(report, "quality"),
        "drift": _of_signal(report, "drift"),
        "feedback": _of_feedback(new_feedback, config.feedback_rows),
        "data": "the data source changed" if data_changed else None,
        "schedule": _of_schedule(last_run_ms, now_ms, config.schedule_hours),
    }
    allowed = dict.fromkeys(config.triggers)
    return [Trigger(kind=kind, reason=reason) for kind in allowed if (reason := reasons[kind])]


def _of_signal(report: MonitorReport | None, name: Literal["quality", "drift"]) -> str | None:
    for signal in report.alerts if report else ():
        if signal.name == name:
            return _sentence(signal)
    return None


def _sentence(signal: Signal) -> str:
    told = signal.detail.get("reason")
    return str(told) if told else f"{signal.name} is {signal.value} (limit {signal.limit})"


def _of_feedback(new: int, needed: int) -> str | None:
    return f"{new} new labelled rows (at least {needed} needed)" if new >= needed else None


def _of_schedule(last_run_ms: int | None, now_ms: int, hours: float) -> str | None:
    if last_run_ms is None:
        return "no run yet"
    passed = (now_ms - last_run_ms) / HOUR_MS
    if -passed >= hours:  # it would not run again until the clock has caught up
        return f"the last run ended {-passed:.1f} hours from now: the clock was set back"
    return f"{passed:.1f} hours since the last run (schedule: {hours:g})" if passed >= hours else None
