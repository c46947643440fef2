"""The loop's policy as a form: what a change makes of the project file, a replay of it on the past, and saving it."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from inspect import cleandoc
from typing import Any

from bakeoff.actions.loop_replay import NAMES
from bakeoff.core.errors import BakeoffError, ConfigError, UsageError
from bakeoff.core.types import Json
from bakeoff.loop.replay import PolicyReplay, ReplayResult
from bakeoff.project.policy import PolicyChange, PolicyField
from bakeoff.web.pages.calls import PageCall, Redirect, Shown
from bakeoff.web.pages.drawing import DrawnLine, lines
from bakeoff.web.pages.previews import Preview, Previews

__all__ = ["cancel", "form", "look", "preview", "save", "shown_change"]

LONGEST = 400
WHOLE = re.compile(r"[+-]?[0-9]{1,15}")
SHOWN = ("loop", "beside", "never", "oracle")
"""The policies in the chart; "always" is in the table."""
LABELS = {**NAMES, "loop": "the policy now", "beside": "the changed policy"}
SECTIONS = {
    "loop": "What starts a run, and what holds it back",
    "loop.budget": "What it may spend",
    "monitor": "Limits",
}


def form(call: PageCall) -> Shown:
    """The form, with the values of the project file."""
    project = call.project("experiment")
    data, groups = project.config.data, dict[str, list[PolicyField]]()
    for each in project.cycles.policy.fields():
        groups.setdefault(each.key.rpartition(".")[0], []).append(each)
    return Shown(
        template="policy.html",
        values={
            "title": "Policy of the loop",
            "groups": [(SECTIONS.get(key, key), key, fields) for key, fields in groups.items()],
            "abouts": {"loop": cleandoc(type(project.config.loop).__doc__ or "")},
            "by": data.time or "",
            "file": project.loaded.file,
        },
    )


def shown_change(call: PageCall) -> Shown:
    """What the form makes of the project file, or what is wrong with it."""
    made, problems = _tried(call)
    return Shown(
        template="policy_change.html",
        values={"title": "What would change", "change": made, "problems": problems, "sent": _sent(call)},
    )


def save(call: PageCall) -> Redirect:
    """Write the change that somebody looked at and confirmed."""
    policy = call.project("experiment").cycles.policy
    made, problems = _tried(call)
    if made is None:
        raise UsageError("\n".join(problems))
    digest = call.form.get("digest", "")
    if not digest:
        raise UsageError("digest: expected that of the file that was looked at: ask for what would change first")
    policy.save(made, digest=digest, why=call.form.get("why", "")[:LONGEST], who=call.who)
    keys = ", ".join(made.settings)
    return Redirect(url="/loop", done=f"Saved in {made.file}: {keys}." if keys else "Nothing was changed.")


def preview(call: PageCall) -> Shown:
    """Begin a replay of the form's policy, beside the one that there is."""
    made, problems = _tried(call)
    if made is None:
        return Shown(
            template="policy_change.html",
            values={"title": "Preview", "change": None, "problems": problems, "sent": {}},
        )
    by = call.form.get("by", "").strip()
    if not by:
        raise UsageError("by: expected a column of times, or one whose values are the periods; received nothing")
    given = {"--by": by, "--every": call.form.get("every", "").strip(), "--start": call.form.get("start", "").strip()}
    arguments = [f"{option}={value[:LONGEST]}" for option, value in given.items() if value]
    changed = {key: after for key, (_, after) in made.settings.items()}
    begun = _previews(call).start(made.after, arguments, who=call.who, changed=changed)
    return _looked(begun, first=True)


def look(call: PageCall) -> Shown:
    """How a replay goes, or what came of it."""
    call.project("experiment")
    return _looked(_previews(call).get(call.path["id"], who=call.who))


def cancel(call: PageCall) -> Redirect:
    """End a replay."""
    call.project("experiment")
    _previews(call).cancel(call.path["id"], who=call.who)
    return Redirect(url="/loop/policy", done="The preview was ended.")


def _previews(call: PageCall) -> Previews:
    assert call.previews is not None, "a project has them"
    return call.previews


def _looked(known: Preview, *, first: bool = False) -> Shown:
    result = known.result
    return Shown(
        template="policy_preview.html",
        values={
            "title": "Preview of the policy",
            "preview": known,
            "first": first,
            "labels": LABELS,
            "result": result,
            "chart": None if result is None else _chart(result),
            "shown": [(each, LABELS[each]) for each in SHOWN],
            "differ": [] if result is None else _differing(result),
        },
    )


def _chart(result: ReplayResult) -> Any:
    """Quality over the periods, of each policy."""
    series = [
        DrawnLine(
            name=LABELS[name],
            colour=at,
            points=[(float(number), each.quality.value) for number, each in enumerate(result.policy(name).steps, 1)],
            baseline=name == "beside",
        )
        for at, name in enumerate(SHOWN)
    ]
    first, last = result.periods[0].name, result.periods[-1].name
    description = f"{result.metric} in each period from {first} to {last}: {', '.join(LABELS[each] for each in SHOWN)}"
    return lines(series, description=description, x=f"period, {first} to {last}", y=result.metric)


def _differing(result: ReplayResult) -> Sequence[tuple[str, str, str]]:
    """Periods at whose end the two policies do not do the same: the period, and what each does."""
    mine, other = result.policy("loop"), result.policy("beside")
    pairs = zip(result.periods, _doings(mine), _doings(other), strict=True)
    return [(period.name, now, then) for period, now, then in pairs if now != then]


def _doings(replay: PolicyReplay) -> Sequence[str]:
    doings: list[str] = []
    for each in replay.steps:
        did = "nothing"
        if each.retrained:
            did = f"retrains ({', '.join(each.triggers)}), {'promoted' if each.promoted else 'not promoted'}"
        elif each.hold:
            did = f"waits: {each.hold}"
        doings.append(did + (", a false alarm" if each.false_alarm else ""))
    return doings


# --- the form -----------------------------------------------------------------------------------


def _tried(call: PageCall) -> tuple[PolicyChange | None, Sequence[str]]:
    """The change that the form asks for, or all that is wrong with it."""
    policy = call.project("experiment").cycles.policy
    try:
        return policy.change(_values(call, policy.fields())), ()
    except ConfigError as error:
        return None, [str(each) for each in error.problems]
    except BakeoffError as error:
        return None, [str(error)]


def _sent(call: PageCall) -> Mapping[str, str]:
    """The form's settings, to be sent again by who confirms them."""
    return {key: value for key, value in call.form.items() if key == "fields" or key.partition(".")[1]}


def _values(call: PageCall, fields: Sequence[PolicyField]) -> dict[str, Json]:
    """The settings of a form; those that it does not name stay as they are.

    Text that is no number stays text: the project file's classes say what they expected.
    """
    named = set(call.form.get("fields", "").split())
    return {each.key: _value(call.form, each) for each in fields if each.key in named and not each.fixed}


def _value(given: Mapping[str, str], about: PolicyField) -> Json:
    text = given.get(about.key, "").strip()
    if about.optional and not text:
        return None
    match about.kind:
        case "flag":
            return bool(text)
        case "choices":
            return [each for each in about.choices if given.get(f"{about.key}.{each}")]
        case "lines":
            return [line.strip() for line in text.splitlines() if line.strip()]
        case "number":
            with suppress(ValueError):
                return int(text) if WHOLE.fullmatch(text) else float(text)
        case "text":
            pass
    return text
