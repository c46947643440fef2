"""Environments of a project: which one a name means, and the bill of what was made in it."""

from typing import TYPE_CHECKING

import bakeoff
from bakeoff.core.errors import NotFoundError
from bakeoff.core.lineage import EnvironmentOrigin
from bakeoff.core.records import Version
from bakeoff.core.types import Json
from bakeoff.environment.capture import capture
from bakeoff.environment.sbom import Material, sbom
from bakeoff.registry.lineage import find_version

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["bill_of", "environment_of"]


def environment_of(project: "Project", which: str | None) -> EnvironmentOrigin:
    """The environment of this process, or the one that `which` names, also by a model.

    Raises:
        NotFoundError: there is none.
    """
    if which is None:
        here = capture()
        return EnvironmentOrigin(
            python=here.python, platform=here.platform, packages=dict(here.packages), local=here.local
        )
    return EnvironmentOrigin.from_json(_version(project, which).lineage)


def bill_of(project: "Project", which: str | None, *, time_ms: int) -> dict[str, Json]:
    """The bill of materials of an environment; of this process, with all that the project has."""
    content = None if which is None else _version(project, which).content
    models = [each for each in project.models() if content in (None, each.model_origin.environment)]
    data = {each.model_origin.dataset_version for each in models}
    materials = [_material(each) for each in (*models, *project.datasets()) if each in models or each.content in data]
    environment = environment_of(project, which)
    return sbom(project.config.project.name, environment, materials, tool=bakeoff.__version__, time_ms=time_ms)


def _material(version: Version) -> Material:
    return Material(
        name=version.name,
        version=str(version.number),
        content=version.content,
        is_model=version.kind == "model",
        description=version.description,
    )


def _version(project: "Project", which: str) -> Version:
    """By number or the beginning of its hash; else the environment of a model."""
    known = project.environments()
    named = [each for each in known if str(each.number) == which]
    named = named or [each for each in known if each.content.startswith(which) and len(which) >= LEAST]
    if len(named) == 1:
        return named[0]
    try:
        model = find_version(project.records.versions, project.config.project.name, which)
    except NotFoundError as error:
        numbers = ", ".join(str(each.number) for each in known) or "(none yet)"
        raise NotFoundError(
            f"expected an environment ({numbers}), the beginning of its hash, or a model version; received {which!r}"
        ) from error
    made_in = next((each for each in known if each.content == model.model_origin.environment), None)
    if made_in is None:
        raise NotFoundError(f"expected the environment of {model.name}/{model.number}, found that none was recorded")
    return made_in


LEAST = 4
