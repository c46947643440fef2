"""The stores that commands work on: those of the project, or where there is none, those that stand in its place."""

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.cli.options import open_project, project_folder

if TYPE_CHECKING:
    from bakeoff.config.sections import AuthConfig, Config, TlsConfig
    from bakeoff.core.protocols import BlobStore, Clock, RecordStore
    from bakeoff.project.project import Project

__all__ = ["Stores", "stores"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Records and blobs, the project that they are of, if they are of one, and who may use servers of them."""

    records: "RecordStore"
    blobs: "BlobStore"
    folder: Path
    auth: "AuthConfig"
    tls: "TlsConfig"
    config: "Config | None" = None
    project: "Project | None" = None


@contextlib.contextmanager
def stores(
    folder: Path, given: Mapping[str, str] | None = None, *, clock: "Clock | None" = None
) -> "Generator[Stores]":
    """Open the stores of a folder; `given` are URLs of others of them (`records`, `blobs`), `clock` another clock."""
    from bakeoff.config.file import FILE_NAME, load
    from bakeoff.config.sections import AuthConfig, StoreConfig, TlsConfig
    from bakeoff.project import wiring

    folder = project_folder(folder)
    is_project = (folder / FILE_NAME).exists()
    if is_project and not given and clock is None:
        with open_project(folder) as project:
            yield Stores(
                records=project.records,
                blobs=project.blobs,
                folder=project.folder,
                auth=project.config.auth,
                tls=project.config.tls,
                config=project.config,
                project=project,
            )
        return
    config = load(folder).config if is_project else None
    stated = (config.store if config else StoreConfig()).model_copy(update=dict(given or {}))
    auth, tls = (config.auth, config.tls) if config else (AuthConfig(), TlsConfig())
    records, blobs = wiring.open_stores(folder.resolve(), stated, clock or wiring.now_ms)
    try:
        yield Stores(records=records, blobs=blobs, folder=folder.resolve(), auth=auth, tls=tls, config=config)
    finally:
        records.close()
