"""What single candidates go without, and settings without effect: losses that no other candidate shares."""

import dataclasses
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.config.params import without_effect
from bakeoff.config.sections import Config
from bakeoff.core import narrow
from bakeoff.core.ledger import LOUD_SHARE, Loss
from bakeoff.core.types import Schema, Task

if TYPE_CHECKING:
    from bakeoff.loop.evaluate import Judged

__all__ = ["of_candidate", "unused_settings"]


def of_candidate(entry: "Judged", schema: Schema, task: Task) -> list[Loss]:
    """What one candidate alone goes without: what its fit told, parameters without effect, rows without an answer."""
    shown = entry.fitted.contender.shown
    idle = [*without_effect(shown.params, task), *_without_columns(shown.params, schema)]
    options = [
        Loss(kind="option", reason=why, subject=name, count=1, candidate=shown.name) for name, why in dict(idle).items()
    ]
    judged = msgspec.convert(entry.findings.get("losses") or [], list[Loss])
    cut = [dataclasses.replace(loss, candidate=shown.name) for loss in judged]
    return [*entry.fitted.losses, *cut, *options, *_unanswered(shown.name, entry)]


def _unanswered(name: str, entry: "Judged") -> list[Loss]:
    """Test rows that got the family's fallback, since a service refused them or its answer could not be read."""
    usage = narrow.json_object(entry.findings.get("usage") or {})
    reasons = {"refused": "refused by the service", "unreadable": "an answer that could not be read"}
    return [
        Loss(
            kind="row",
            reason=f"{why}: the fallback answers instead",
            count=usage[key],
            of=usage.get("rows"),
            candidate=name,
            grave=usage[key] > LOUD_SHARE * (usage.get("rows") or 0),
            remedy="look at the answers; a gate on unreadable keeps such a candidate from winning",
        )
        for key, why in reasons.items()
        if usage.get(key)
    ]


def _without_columns(params: Any, schema: Schema) -> list[tuple[str, str]]:
    """Parameters that were given another value than their default, but are for columns that are not there."""
    if not dataclasses.is_dataclass(params):
        return []
    searches = ((field, field.metadata.get("search")) for field in dataclasses.fields(params))
    return [
        (field.name, f"there is no {' or '.join(search.kinds)} column")
        for field, search in searches
        if search and search.kinds and getattr(params, field.name) != field.default
        if not schema.of_kind(*search.kinds)
    ]


def unused_settings(config: Config, schema: Schema) -> list[Loss]:
    """Settings of the project file that have no effect on these columns and this task."""
    split, texts = config.split, schema.of_kind("text")
    by_time = split.by == "time" or (split.by == "auto" and schema.time is not None)
    by_group = split.by == "group" or (split.by == "auto" and schema.time is None and schema.group is not None)
    idle: list[tuple[str, str]] = []
    if schema.group is not None and not by_group:
        idle.append(("data.group", f"the split is by {'time' if by_time else split.by}: rows of a group may be parted"))
    if not texts and split.near_duplicates and "near_duplicates" in split.model_fields_set:
        idle.append(("split.near_duplicates", "there is no column of texts"))
    if not texts:
        idle += [(f"prepare.steps.{name}", "there is no column of texts") for name in _text_steps(config)]
    return [Loss(kind="option", reason=reason, subject=key, count=1) for key, reason in idle]


def _text_steps(config: Config) -> list[str]:
    from bakeoff.prepare.steps import preparation

    return [step.name for step, _ in preparation(config.prepare.specs).bound if step.kind == "columns"]
