"""A bill of materials in CycloneDX 1.6 (ECMA-424): packages, and with them models and data as components."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from bakeoff.core.hashing import digest_json
from bakeoff.core.lineage import EnvironmentOrigin
from bakeoff.core.types import Json

__all__ = ["Material", "sbom"]

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:bakeoff:sbom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """A model or a dataset: its name, version, and the BLAKE3 hash of its content."""

    name: str
    version: str
    content: str
    is_model: bool
    description: str = ""


def sbom(
    project: str, environment: EnvironmentOrigin, materials: Iterable[Material], *, tool: str, time_ms: int
) -> dict[str, Json]:
    """The bill of an environment and of what was made in it; the same things give the same serial number.

    `tool` is the version of bakeoff that writes it, `time_ms` the time that stands in it.
    """
    components: list[Json] = [_package(name, version) for name, version in sorted(environment.packages.items())]
    components += [_material(each) for each in materials]
    references: list[Json] = [each["bom-ref"] for each in components if isinstance(each, dict)]
    root = f"project:{project}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, digest_json(components))}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {"components": [{"type": "application", "name": "bakeoff", "version": tool}]},
            "component": {"type": "application", "name": project, "bom-ref": root},
            "properties": [
                {"name": "bakeoff:python", "value": environment.python},
                {"name": "bakeoff:platform", "value": environment.platform},
            ],
        },
        "components": components,
        "dependencies": [{"ref": root, "dependsOn": references}],
    }


def _package(name: str, version: str) -> dict[str, Json]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _material(material: Material) -> dict[str, Json]:
    kind = "machine-learning-model" if material.is_model else "data"
    component: dict[str, Json] = {
        "type": kind,
        "bom-ref": f"{kind}:{material.name}@{material.version}",
        "name": material.name,
        "version": material.version,
        "hashes": [{"alg": "BLAKE3", "content": material.content}],
    }
    if material.description:
        component["description"] = material.description
    return component
