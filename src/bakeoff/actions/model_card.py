"""The facts of a model version for its card, and two versions side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.actions.environments import environment_of
from bakeoff.actions.lineage_nodes import files_of
from bakeoff.core import narrow
from bakeoff.core.errors import NotFoundError
from bakeoff.core.records import Version
from bakeoff.core.types import Json
from bakeoff.environment.rebuild import EnvironmentDifference, difference
from bakeoff.metrics.intervals import Interval
from bakeoff.registry.lineage import find_version, label, lineage
from bakeoff.report.model_card import ModelCard
from bakeoff.results.scorecard import Scorecard

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["ModelDifference", "model_card", "model_difference"]


def model_card(project: "Project", which: str | None) -> ModelCard:
    """The card of a model version.

    Raises:
        NotFoundError: there is no such version.
    """
    version = find_version(project.records.versions, project.config.project.name, which)
    made, about = version.model_origin, project.config.card
    dataset = lineage(project.records.versions, version).dataset
    summary = dataset.dataset_origin.summary if dataset else {}
    return ModelCard(
        version=label(version),
        project=version.name,
        aliases=version.aliases,
        task=made.task,
        candidate=made.candidate,
        family=made.family,
        params=dict(made.params),
        chosen=dict(made.chosen),
        description=version.description or about.description,
        intended_use=about.intended_use,
        limits=(*about.limits, *_limits(version, summary)),
        licence=about.licence,
        inputs={each.name: each.kind for each in made.signature.inputs} if made.signature else {},
        target=project.config.data.target,
        classes=tuple(made.signature.classes) if made.signature else (),
        card=Scorecard.from_json(made.scorecard) if made.scorecard else None,
        fitted_rows=made.fitted_rows,
        judged_by=made.judged_by,
        dataset=label(dataset) if dataset else "",
        dataset_version=made.dataset_version,
        rows={part: narrow.whole(summary.get(part) or 0) for part in ("rows", "train", "validation", "test")},
        split=str(summary.get("split") or ""),
        sources=tuple(file["location"] for file in files_of(dataset)) if dataset else (),
        code=_code(version),
        environment=_environment(project, version),
        content=version.content,
        run_id=version.run_id or "",
        created_ms=version.created_ms,
    )


def _limits(version: Version, summary: Mapping[str, Json]) -> list[str]:
    """What the run itself warned of."""
    warned = [str(narrow.json_object(each).get("told")) for each in narrow.json_array(summary.get("warnings") or [])]
    card = version.model_origin.scorecard
    wide = [
        f"{name} is known from {narrow.number(each['low']):.3g} to {narrow.number(each['high']):.3g} only"
        for name, each in narrow.json_object(card.get("metrics") or {}).items()
        if each.get("low") is not None and each.get("high") is not None and each["high"] - each["low"] > WIDE
    ]
    return [*warned, *wide[:3]]


WIDE = 0.2


def _code(version: Version) -> str:
    made = version.model_origin
    code = made.code
    where = f" of {code.remote} ({code.branch})" if code and code.remote else ""
    if made.code_commit:
        return f"commit {made.code_commit}{where}{', with uncommitted changes' if made.code_dirty else ''}"
    return f"files {code.tree_blob[:12]}" if code and code.tree_blob else "not recorded"


def _environment(project: "Project", version: Version) -> str:
    try:
        around = environment_of(project, label(version))
    except NotFoundError:
        return "not recorded"
    return f"Python {around.python}, {around.platform}, {len(around.packages)} packages"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDifference:
    """Two model versions: (first, second) of what differs, and of every metric."""

    first: str
    second: str
    facts: Mapping[str, tuple[Any, Any]] = field(default_factory=dict[str, tuple[Any, Any]])
    params: Mapping[str, tuple[Any, Any]] = field(default_factory=dict[str, tuple[Any, Any]])
    metrics: Mapping[str, tuple[Interval | None, Interval | None]] = field(
        default_factory=dict[str, tuple[Interval | None, Interval | None]]
    )
    environment: EnvironmentDifference | None = None
    same_rows: bool = False

    def to_json(self) -> dict[str, Json]:
        """As one JSON document."""
        return msgspec.to_builtins(self)


def model_difference(project: "Project", first: str, second: str) -> ModelDifference:
    """What differs of two model versions.

    Raises:
        NotFoundError: one of them is nowhere.
    """
    versions, name = project.records.versions, project.config.project.name
    sides = [find_version(versions, name, each) for each in (first, second)]
    made = [each.model_origin for each in sides]
    cards = [Scorecard.from_json(each.scorecard) if each.scorecard else None for each in made]
    facts: dict[str, tuple[Json, Json]] = {
        key: (getattr(made[0], key), getattr(made[1], key))
        for key in ("candidate", "family", "dataset_version", "seed", "fitted_rows", "code_commit", "family_code")
        if getattr(made[0], key) != getattr(made[1], key)
    }
    params = [{**dict(each.params), **{f"chosen.{key}": value for key, value in each.chosen.items()}} for each in made]
    measured = [dict(each.metrics) if each else {} for each in cards]
    try:
        around = difference(*(environment_of(project, label(each)) for each in sides))
    except NotFoundError:
        around = None
    return ModelDifference(
        first=label(sides[0]),
        second=label(sides[1]),
        facts=facts,
        params={
            key: (params[0].get(key), params[1].get(key))
            for key in sorted({*params[0], *params[1]})
            if params[0].get(key) != params[1].get(key)
        },
        metrics={key: (measured[0].get(key), measured[1].get(key)) for key in sorted({*measured[0], *measured[1]})},
        environment=around,
        same_rows=made[0].rows_blob is not None and made[0].rows_blob == made[1].rows_blob,
    )
