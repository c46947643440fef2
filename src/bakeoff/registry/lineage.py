"""Follow a version back to everything that made it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import msgspec

from bakeoff.core.errors import NotFoundError
from bakeoff.core.protocols import VersionRecords
from bakeoff.core.records import Version
from bakeoff.core.refs import BlobRef, blobs_of, ref
from bakeoff.core.types import Column, Json, Signature

__all__ = ["Lineage", "columns_of", "find_version", "label", "learned_of", "lineage", "signature_of", "version_refs"]

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


def version_refs(version: Version) -> Iterator[BlobRef]:
    """The blobs that a version is, and those that it was made of and is compared by."""
    made = cast("Mapping[str, Any]", version.lineage)
    if version.kind == "model":
        yield from ref(version.content)
        for key in ("rows_blob", "hashes_blob", "evaluated_tree", "fold_outcomes_blob", "contract"):
            yield from ref(made.get(key))
        for tree in made.get("fold_trees") or ():
            yield from ref(tree)
    if version.kind == "dataset":
        yield from blobs_of(cast("Json", made.get("gathered")))
        contract = made.get("contract")
        yield from ref(contract["version"] if contract else None)


def label(version: Version) -> str:
    """A model version as people write it: `name/number`."""
    return f"{version.name}/{version.number}"


def signature_of(versions: VersionRecords, model_version: str) -> Signature:
    """What a model version (`name/number`) takes and gives.

    Raises:
        NotFoundError: there is no such version.
    """
    name, _, number = model_version.rpartition("/")
    if not NUMBER.match(number):
        raise NotFoundError(f"expected a model version as name/number, received {model_version!r}")
    return msgspec.convert(versions.get("model", name, int(number)).lineage["signature"], Signature)


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
    signature = signature_of(versions, model_version)
    name, _, number = model_version.rpartition("/")
    columns = versions.get("model", name, int(number)).lineage.get("columns") or []
    return signature, msgspec.convert(columns, tuple[Column, ...])


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
        known = ", ".join(label(v) for v in versions.find("model", name)[:5]) or "none yet; 'bakeoff run' makes them"
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
    made: Mapping[str, Json] = model.lineage
    dataset = versions.find("dataset", model.name, content=cast("str", made.get("dataset_version", "")))
    environment = versions.find("environment", model.name, content=cast("str", made.get("environment", "")))
    return Lineage(
        model=model,
        dataset=dataset[0] if dataset else None,
        environment=environment[0] if environment else None,
    )
