"""Follow a version back to everything that made it."""

import re
from dataclasses import dataclass

from bakeoff.core.errors import NotFoundError
from bakeoff.core.lineage import ModelOrigin
from bakeoff.core.protocols import VersionRecords
from bakeoff.core.records import Version
from bakeoff.core.types import Column, Json, Signature
from bakeoff.registry.register import all_versions, newest_version

__all__ = ["Lineage", "columns_of", "find_version", "label", "learned_of", "lineage", "signature_of"]

NUMBER = re.compile(r"[0-9]{1,18}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A model version with the dataset and environment versions that made it."""

    model: Version
    dataset: Version | None
    environment: Version | None

    def to_json(self) -> dict[str, Json]:
        """Everything as one JSON document."""

        def told(version: Version | None) -> Json:
            if version is None:
                return None
            return {
                "name": version.name,
                "number": version.number,
                "content": version.content,
                "created_ms": version.created_ms,
                **dict(version.lineage),
            }

        return {
            "model_version": label(self.model),
            "aliases": list(self.model.aliases),
            "content": self.model.content,
            "run_id": self.model.run_id,
            "created_ms": self.model.created_ms,
            "made_from": dict(self.model.lineage),
            "dataset": told(self.dataset),
            "environment": told(self.environment),
        }


def label(version: Version) -> str:
    """A model version as people write it: `name/number`."""
    return f"{version.name}/{version.number}"


def signature_of(versions: VersionRecords, model_version: str) -> Signature:
    """What a model version (`name/number`) takes and gives.

    Raises:
        NotFoundError: there is no such version.
    """
    signature = _origin(versions, model_version).signature
    assert signature is not None, "a model is registered with its signature"
    return signature


def learned_of(versions: VersionRecords, model_version: str, target: str) -> tuple[Signature, Column | None]:
    """What a model version takes and gives, and the column `target` as it was when the model learned it.

    Raises:
        NotFoundError: there is no such version.
    """
    signature, columns = columns_of(versions, model_version)
    return signature, next((column for column in columns if column.name == target), None)


def columns_of(versions: VersionRecords, model_version: str) -> tuple[Signature, tuple[Column, ...]]:
    """What a model version takes and gives, and the columns of the data that it was made of.

    Raises:
        NotFoundError: there is no such version.
    """
    return signature_of(versions, model_version), _origin(versions, model_version).columns


def _origin(versions: VersionRecords, model_version: str) -> ModelOrigin:
    name, _, number = model_version.rpartition("/")
    if not NUMBER.match(number):
        raise NotFoundError(f"expected a model version as name/number, received {model_version!r}")
    return versions.get("model", name, int(number)).model_origin


def find_version(versions: VersionRecords, name: str, which: str | None = None) -> Version:
    """The model version that `which` names: `name/number`, a number, an alias; the champion when None.

    Raises:
        NotFoundError: there is no such version.
    """
    which = which or "champion"
    owner, _, tail = which.rpartition("/")
    name = owner or name
    version = _numbered(versions, name, int(tail)) if NUMBER.match(tail) else versions.by_alias(name, tail)
    if version is None:
        known = (
            ", ".join(label(v) for v in all_versions(versions, "model", name)[:5])
            or "none yet; 'bakeoff run' makes them"
        )
        raise NotFoundError(
            f"expected a model version, a number or an alias of {name!r}, received {which!r}; versions: {known}"
        )
    return version


def _numbered(versions: VersionRecords, name: str, number: int) -> Version | None:
    try:
        return versions.get("model", name, number)
    except NotFoundError:
        return None


def lineage(versions: VersionRecords, model: Version) -> Lineage:
    """What made a model version."""
    made = model.model_origin
    return Lineage(
        model=model,
        dataset=newest_version(versions, "dataset", model.name, content=made.dataset_version),
        environment=newest_version(versions, "environment", model.name, content=made.environment),
    )
