"""Look for what may stand in the way, before it does."""

import platform
import shutil
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from bakeoff.core.errors import BakeoffError
from bakeoff.core.events import PredictionEvent
from bakeoff.core.plugins import names

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["examine", "examine_installation"]

Check = tuple[str, bool, str]

LEAST_FREE_BYTES = 2 * 10**9
EXTRAS = {
    "embedding": ("onnxruntime", "tokenizers"),
    "llm": ("torch", "transformers", "peft"),
    "postgres": ("psycopg",),
    "s3": ("obstore",),
    "ray": ("ray",),
}


def examine_installation() -> list[Check]:
    """What can be said without a project: Python, families, extras."""
    checks: list[Check] = [("python", True, platform.python_version())]
    checks.append(("families", bool(names("bakeoff.families")), ", ".join(names("bakeoff.families"))))
    for extra, needed in EXTRAS.items():
        missing = [name for name in needed if not _installed(name)]
        found = f'not installed: pip install "bakeoff[{extra}]"' if missing else "installed"
        checks.append((f"extra {extra}", True, found))
    return checks


def examine(project: "Project", candidates: Callable[[], Iterable[str]]) -> list[Check]:
    """Installation, disk, stores, candidates and the live release; `candidates` gives their names, or raises."""
    free = shutil.disk_usage(project.folder).free
    checks = [*examine_installation(), ("free disk", free > LEAST_FREE_BYTES, f"{free / 1e9:.1f} GB")]
    checks.append(_tried("candidates", lambda: ", ".join(candidates())))
    checks.append(_tried("records", lambda: f"{len(project.runs())} runs in {project.config.store.records}"))
    checks.append(_tried("blobs", lambda: _blobs(project)))
    checks.append(_tried("events", lambda: _events(project)))
    return checks


def _tried(what: str, work: Callable[[], str]) -> Check:
    try:
        return (what, True, work())
    except BakeoffError as error:
        return (what, False, str(error))


def _blobs(project: "Project") -> str:
    live = project.release()
    if live is None:
        return f"{project.config.store.blobs}; nothing released yet"
    size = project.blobs.size_bytes(live.blob_id)
    return f"{project.config.store.blobs}; release {live.release_id} is {size / 1e6:.1f} MB"


def _events(project: "Project") -> str:
    import polars as pl

    count = project.events.scan(PredictionEvent).select(pl.len()).collect().item()
    return f"{count} predictions in {project.config.store.events}"


def _installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
