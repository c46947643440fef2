"""What runs inside a package: a project of one release, read from the package and opened over a folder of its own.

The package is only read. Records, the event log and the model's place in the cache are made in the state folder, so
that a package may lie where nothing can be written.
"""

import atexit
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import UsageError
from bakeoff.core.protocols import DocumentRecords
from bakeoff.core.records import DocumentChange
from bakeoff.core.types import Json
from bakeoff.project.project import STATE, Project
from bakeoff.serve.endpoints import Endpoints

if TYPE_CHECKING:
    from bakeoff.project.frames import DataFrame
    from bakeoff.serve.runtime import Answer

__all__ = ["BLOBS", "FORMAT", "MODELS", "RECORDS", "PackagedRelease"]

FORMAT = 1
RECORDS, MODELS, BLOBS = "records.json", "models", "blobs"


class PackagedRelease:
    """The release in a package.

    Args:
        folder: that of the package, with `bakeoff.toml`, `records.json`, `models` and `blobs`.
        state: where the event log and the records are; without one, in a folder that goes when the process ends.
    """

    def __init__(self, folder: Path, state: str | Path | None = None) -> None:
        self._folder, self._state = folder, Path(state) if state else None
        self._records: Mapping[str, Any] = json.loads((folder / RECORDS).read_text(encoding="utf-8"))
        if self._records["format"] > FORMAT:
            raise UsageError(
                f"expected a package of format {FORMAT} or older, received format {self._records['format']}; "
                "install the bakeoff that it names"
            )
        self._project: Project | None = None

    @property
    def model_version(self) -> str:
        """The model version as `name/number`."""
        release = self._records["release"]
        return f"{release['model']}/{release['number']}"

    @property
    def project(self) -> Project:
        """A project that has this release and nothing else; it is made when it is first wanted."""
        if self._project is None:
            state = self._state
            if state is None:
                state = Path(tempfile.mkdtemp(prefix="bakeoff-"))
                atexit.register(shutil.rmtree, state, ignore_errors=True)
            self._project = self._opened(state)
        return self._project

    def predict(self, rows: "Iterable[Mapping[str, object]] | DataFrame") -> "list[Answer] | Any":
        """Answer rows, as `Project.predict` does; predictions are logged in the state folder."""
        return self.project.predict(rows)

    def command(self, arguments: Sequence[str]) -> list[str]:
        """Arguments of `bakeoff` that do with this release what those of the package's own command ask for.

        Raises:
            UsageError: it is neither `serve` nor `predict`.
        """
        if not arguments or arguments[0] not in {"serve", "predict"}:
            raise UsageError(f"expected the command serve or predict, received {' '.join(arguments) or 'none'!r}")
        self.project.close()
        return [arguments[0], "-C", str(self.project.folder), *arguments[1:]]

    def _opened(self, state: Path) -> Project:
        state.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._folder / "bakeoff.toml", state / "bakeoff.toml")
        models = state / STATE / "cache" / "models"
        models.mkdir(parents=True, exist_ok=True)
        for model in (self._folder / MODELS).iterdir():  # where it may be written beside, it is read where it lies
            link = models / model.name
            if link.is_symlink():
                link.unlink()
            link.symlink_to(model.resolve(), target_is_directory=True)
        project = Project(state)
        for blob in (self._folder / BLOBS).iterdir():
            project.blobs.put(blob)
        self._write(project)
        return project

    def _write_tokens(self, documents: DocumentRecords) -> None:
        """Let those call that the package knows, and nobody else: what was revoked once stays so."""
        packaged: Mapping[str, Mapping[str, Json]] = self._records["tokens"]
        stored = {document.key: document.body for document in documents.find("tokens")}
        revoked_ms = int(self._records["time_ms"])
        bodies: dict[str, Mapping[str, Json]] = {
            key: body for key, body in packaged.items() if stored.get(key, {}).get("revoked_ms") is None
        }
        bodies |= {key: {**body, "revoked_ms": revoked_ms} for key, body in stored.items() if key not in packaged}
        changes = [
            DocumentChange(collection="tokens", key=key, body=body)
            for key, body in bodies.items()
            if body != stored.get(key)
        ]
        if changes:
            documents.apply(changes)

    def _write(self, project: Project) -> None:
        documents, release = project.records.documents, dict[str, Json](self._records["release"])
        release_id = str(release.pop("release_id"))
        if documents.get("releases", f"{project.endpoint}/{release_id}") is None:
            documents.put("releases", f"{project.endpoint}/{release_id}", release)
        self._write_tokens(documents)
        time_ms = int(self._records["time_ms"])
        Endpoints(documents, lambda: time_ms, who="package").release(
            project.endpoint, release_id, why="it is in the package"
        )
