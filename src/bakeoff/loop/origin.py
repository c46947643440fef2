"""What surrounds the models of a run: its data, its environment and its code, registered before anything is fitted."""

from dataclasses import dataclass

import msgspec

from bakeoff.core.addresses import without_password
from bakeoff.core.lineage import CodeOrigin, DatasetOrigin, EnvironmentOrigin
from bakeoff.environment.capture import Environment
from bakeoff.loop.context import Stage
from bakeoff.loop.dataset import Gathered
from bakeoff.registry.register import register_once

__all__ = ["RunOrigin", "register_dataset"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrigin:
    """What surrounds the models of a run."""

    run_id: str
    gathered: Gathered
    environment: Environment
    code: CodeOrigin


def register_dataset(stage: Stage, origin: RunOrigin) -> None:
    """Register the dataset version and the environment of a run."""
    name = stage.config.project.name
    data = stage.config.data
    named = data.sources or {"source": data.source}
    sources = {name: [without_password(each) for each in several] for name, several in named.items()}
    gathered, around = origin.gathered, origin.environment
    about = DatasetOrigin(
        sources=sources,
        query=data.query,
        summary=msgspec.to_builtins(gathered.summary),
        gathered={**msgspec.to_builtins(gathered), "summary": {}},
    )
    versions = stage.records.versions
    register_once(versions, "dataset", name, gathered.version, run_id=origin.run_id, made_from=about)
    environment = EnvironmentOrigin(
        python=around.python, platform=around.platform, packages=dict(around.packages), local=around.local
    )
    register_once(versions, "environment", name, around.digest, run_id=origin.run_id, made_from=environment)
