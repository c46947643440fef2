"""What the handlers of the protocol work with: the records, the blobs, and where artifacts are."""

import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.protocols import BlobStore, Clock, RecordStore
from bakeoff.core.records import Experiment, Run
from bakeoff.web.tracking.prices import PriceTable

__all__ = ["DEFAULT", "PROXIED", "Tracking", "local_path"]

PROXIED = "mlflow-artifacts:"
DEFAULT = "0"
"""The experiment that clients use when they name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """The stores behind the protocol.

    `root` is where clients keep artifacts of new experiments, a URI: by default they send them here
    (`mlflow-artifacts:/`), and they become blobs; with a folder they write there themselves. `scratch` is for files
    that are on their way; `prices` are those of models that traces speak of. `foreign`: clients may be on other
    machines, and name no folder of this one but those below `root`.
    """

    records: RecordStore
    blobs: BlobStore
    clock: Clock
    scratch: Path
    root: str = f"{PROXIED}/"
    prices: PriceTable = field(default_factory=PriceTable.standard)
    foreign: bool = False

    def prepare(self) -> None:
        """See that there is the experiment that clients use when they name none."""
        try:
            self.records.experiments.get(DEFAULT)
        except NotFoundError:
            try:
                self.records.experiments.create("Default", experiment_id=DEFAULT)
            except ConflictError:  # another server was faster, or a project is called so
                return

    def location_of(self, experiment: Experiment) -> str:
        """Where artifacts of an experiment are."""
        return experiment.location or posixpath.join(self.root, experiment.experiment_id)

    def artifacts_of(self, run: Run) -> str:
        """Where artifacts of a run are: those of our own runs are served from here."""
        return run.location or f"{PROXIED}/{run.experiment_id}/{run.run_id}/artifacts"

    def offers(self, folder: Path) -> bool:
        """Whether clients may have files of a folder of this machine read and written."""
        root = local_path(self.root)
        return not self.foreign or (root is not None and folder.resolve().is_relative_to(root.resolve()))

    def absolute(self, location: str) -> str:
        """A location that is a relative path, from the working directory; others as they are."""
        if not location or urlsplit(location).scheme:
            return location
        return str(Path.cwd() / location)


def local_path(location: str) -> Path | None:
    """The folder that a location means on this machine; None for another kind."""
    parts = urlsplit(location)
    if "\0" in unquote(location):
        return None
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(location) if not parts.scheme and location.startswith("/") else None
