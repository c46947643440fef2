"""The Python module that every package has inside: the release, what reads it, and a command that serves it."""

import json
import keyword
import re
import sys
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.records import Version
from bakeoff.core.releases import Release
from bakeoff.core.types import Json
from bakeoff.serve.releases import RELEASES, current

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["PackagedModule", "module_of", "write_module"]

RELEASE_FOLDER = "release"
NAMES = re.compile(r"[a-z_][a-z0-9_]*")

# `{of}` is empty: an import that begins a line of a text would read as one of this module.
_INIT = '''"""{title}: a model with its release; `predict(rows)` answers, `python -m {name} serve` serves it."""

import os
from pathlib import Path

{of}from bakeoff.project.packaged import PackagedRelease

__all__ = ["__version__", "model_version", "predict", "release"]

__version__ = {version!r}
release = PackagedRelease(Path(__file__).parent / "release", os.environ.get("BAKEOFF_STATE"))
model_version = release.model_version
predict = release.predict
'''
_MAIN = '''"""python -m {name} serve [--host ADDRESS] [--port PORT] [--workers N]; python -m {name} predict ROW."""

import sys

{of}from bakeoff.cli.failures import described
{of}from bakeoff.cli.main import main
{of}from bakeoff.core.errors import BakeoffError
from {name} import release

if __name__ == "__main__":
    try:
        sys.argv = ["bakeoff", *release.command(sys.argv[1:])]
    except BakeoffError as error:
        sys.exit(f"error: {{described(error)[1]}}")
    main()
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedModule:
    """What is packaged: the module's name and version, the release, and the model version that it is of."""

    name: str
    version: str
    endpoint: str
    release: Release
    model: Version | None

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.release.model_version} of endpoint {self.endpoint}"


def module_of(project: "Project", endpoint: str, name: str | None) -> PackagedModule:
    """The live release of an endpoint as a module that is to be written.

    Raises:
        NotFoundError: nothing is released on the endpoint. UsageError: a module cannot be called so.
    """
    release = current(project.records.documents, endpoint)
    if release is None:
        known = ", ".join(status.name for status in project.endpoints.all() if status.live) or "there is none yet"
        raise NotFoundError(
            f"expected an endpoint with a release ({known}), received {endpoint!r}; 'bakeoff run' makes one"
        )
    module = re.sub(r"[^a-z0-9]+", "_", endpoint.lower()) if name is None else name
    module = f"_{module}" if name is None and module[0].isdigit() else module
    if name is None and _is_taken(module):
        module = f"{module}_model"
    if NAMES.fullmatch(module) is None or _is_taken(module):
        raise UsageError(
            f"expected a module's name of small letters, digits and '_' that no other module here has, received "
            f"{module!r}; --name gives it another"
        )
    try:
        model = project.records.versions.get("model", release.model, release.number)
    except NotFoundError:
        model = None
    version = f"{release.number}+{release.release_id[:12]}"
    return PackagedModule(name=module, version=version, endpoint=endpoint, release=release, model=model)


def _is_taken(module: str) -> bool:
    """Whether Python has this name for something else, which the module would hide."""
    return keyword.iskeyword(module) or module in sys.stdlib_module_names or module in packages_distributions()


def write_module(project: "Project", module: PackagedModule, folder: Path) -> Path:
    """Write the module into a folder, as `NAME/`; the same release gives the same bytes."""
    place = folder / module.name
    inside = place / RELEASE_FOLDER
    for part in ("models", "blobs"):
        (inside / part).mkdir(parents=True, exist_ok=True)
    words = {"name": module.name, "title": module.title, "version": module.version, "of": ""}
    (place / "__init__.py").write_text(_INIT.format(**words), encoding="utf-8")
    (place / "__main__.py").write_text(_MAIN.format(**words), encoding="utf-8")
    release = module.release
    project.blobs.fetch(release.blob_id, inside / "models" / release.blob_id)
    for blob in (release.reference_id, release.contract_id):
        if blob is not None:
            (inside / "blobs" / blob).write_bytes(project.blobs.get(blob))
    (inside / "records.json").write_text(json.dumps(_records(project, module), indent=1, sort_keys=True))
    (inside / "bakeoff.toml").write_text(_settings(project, module.endpoint), encoding="utf-8")
    return place


def _records(project: "Project", module: PackagedModule) -> dict[str, Json]:
    documents, release = project.records.documents, module.release
    document = documents.get(RELEASES, f"{module.endpoint}/{release.release_id}")
    assert document is not None, "a live release has its document"
    tokens = documents.find("tokens") if project.config.auth.required else []
    return {
        "format": 1,
        "release": {**document.body, "previous": None, "release_id": release.release_id},
        "tokens": {each.key: dict(each.body) for each in tokens},
        "time_ms": release.created_ms,
    }


def _settings(project: "Project", endpoint: str) -> str:
    """The project file of the package: what serving reads, and nothing of where data and stores are."""
    config = project.config
    served = project.served(endpoint).model_dump(mode="json", exclude_unset=True)
    shown = {
        "project": config.project.model_dump(mode="json", exclude_unset=True),
        "data": {"source": "not-packaged", "target": config.data.target, "labels": config.data.labels},
        "prepare": {"steps": list(config.prepare.specs)},
        "privacy": config.privacy.model_dump(mode="json", exclude_unset=True),
        "endpoint": {key: value for key, value in served.items() if key not in {"host", "port"}} | {"name": endpoint},
        "auth": config.auth.model_dump(mode="json", exclude_unset=True),
    }
    lines = [f"# {endpoint}: made by 'bakeoff package'"]
    for section, values in shown.items():
        lines += [
            f"[{section}]",
            *(f"{_toml(key)} = {_toml(value)}" for key, value in values.items() if value is not None),
        ]
    return "\n".join([*lines, ""])


def _toml(value: Any) -> str:
    """A value of JSON as TOML writes it."""
    if isinstance(value, dict):
        pairs = (f"{_toml(str(key))} = {_toml(each)}" for key, each in value.items() if each is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    # A string of JSON is one of TOML, but for DEL, which JSON does not escape.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
