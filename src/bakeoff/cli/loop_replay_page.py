"""A replay of the loop as people read it."""

from typing import TYPE_CHECKING

from bakeoff.actions.loop_replay import NAMES
from bakeoff.cli.tables import table

if TYPE_CHECKING:
    from bakeoff.loop.replay import PolicyReplay, ReplayResult, ReplayValue

__all__ = ["replay_page"]


def replay_page(result: "ReplayResult") -> str:
    """The policies beside each other, then period by period, and the proposal, if one was asked for."""
    first, last = result.periods[0].name, result.periods[-1].name
    rows = sum(period.rows for period in result.periods)
    shown = [NAMES[each.policy] for each in result.policies]
    heads = ["", f"mean {result.metric}", "", "beside never", "", "runs", "promoted", "alarms", "false", "fits s", "$"]
    lines = [
        f"{result.project}: {rows:,} rows by {result.by}, {first} to {last} ({len(result.periods)} periods)",
        "",
        table(heads, [_row(each) for each in result.policies], right=[heads[1], heads[3], *heads[5:]]),
        "",
        table(
            ["period", "rows", *shown, "at its end, the policy"],
            [_period(result, at) for at in range(len(result.periods))],
            right=["rows", *shown],
        ),
        "",
        "A false alarm is one after which a model made then is not distinguishably better in the next period.",
        "Best in hindsight: in each period the best of the models that there were; no policy can know it.",
    ]
    return "\n".join(lines + _proposal(result))


def _row(each: "PolicyReplay") -> list[str]:
    alarms = [str(each.alarms), str(each.false_alarms)] if each.policy in {"loop", "beside"} else ["", ""]
    counts = [str(each.runs), str(each.promotions), *alarms, f"{each.seconds:.1f}", f"{each.usd:.4f}"]
    gain = ["", ""] if each.policy == "never" else [f"{each.gain.value:+.4f}", _ends(each.gain, "+.4f")]
    return [NAMES[each.policy], f"{each.quality.value:.4f}", _ends(each.quality, ".4f"), *gain, *counts]


def _ends(value: "ReplayValue", form: str) -> str:
    return f"[{value.low:{form}}, {value.high:{form}}]"


def _period(result: "ReplayResult", at: int) -> list[str]:
    period, step = result.periods[at], result.policy("loop").steps[at]
    values = [f"{each.steps[at].quality.value:.4f}" for each in result.policies]
    if step.retrained:
        did = f"{', '.join(step.triggers)} → retrained, {'promoted' if step.promoted else 'not promoted'}"
    elif step.hold:
        did = f"{', '.join(step.triggers)}, but {step.hold}"
    else:
        did = "nothing" if at + 1 < len(result.periods) else "the past ends"
    return [period.name, f"{period.rows:,}", *values, did + (" (false alarm)" if step.false_alarm else "")]


def _proposal(result: "ReplayResult") -> list[str]:
    if result.tuned is None:
        return []
    tuned = result.tuned
    lines = [
        "",
        f"proposed, of {tuned.tried} policies (the cheapest with nine tenths of what the best one gains here):",
    ]
    for section, settings in (("loop", tuned.loop), ("monitor", tuned.monitor)):
        given = {name: value for name, value in settings.items() if value is not None}
        lines += [f"[{section}]", *(f"{name} = {_toml(value)}" for name, value in given.items())] if given else []
    replay = tuned.replay
    gain = f"{replay.gain.value:+.4f} {_ends(replay.gain, '+.4f')} {result.metric} beside never"
    lines.append(f"here: {gain}, {replay.runs} runs, {replay.seconds:.1f} s of fits")
    return [*lines, "It was chosen by this past, and looks better here than it will be."]


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else f"{value}"
