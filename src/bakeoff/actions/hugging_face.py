"""Models and datasets as folders that others read: Hugging Face's layout, Croissant's metadata."""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bakeoff.actions.card import find_dataset
from bakeoff.actions.lineage_nodes import files_of
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.hashing import digest_file
from bakeoff.core.types import Schema
from bakeoff.registry.lineage import find_version
from bakeoff.report.croissant import croissant
from bakeoff.report.model_card import evaluation_results, front_matter, to_markdown

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["write_croissant", "write_hugging_face"]

ROWS, METADATA = "rows.parquet", "croissant.json"


def write_hugging_face(project: "Project", which: str | None, folder: Path) -> list[str]:
    """Card, results, the model's files and their checksums.

    Raises:
        UsageError: the folder has files. NotFoundError: there is no such version.
    """
    version = find_version(project.records.versions, project.config.project.name, which)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"expected a new or empty folder, received {folder}, which has files")
    card = project.model_card(which)
    project.blobs.fetch(version.content, folder / "model")
    files = {path.relative_to(folder).as_posix(): digest_file(path) for path in sorted(_files(folder / "model"))}
    texts = {
        "README.md": front_matter(card) + to_markdown(card),
        ".eval_results/results.yaml": evaluation_results(card),
        "manifest.json": json.dumps({"content": version.content, "algorithm": "BLAKE3", "files": files}, indent=1),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return [str(folder / name) for name in (*texts, *files)]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def write_croissant(project: "Project", folder: Path, which: str | None) -> list[str]:
    """The rows as they were read, and their metadata.

    Raises:
        NotFoundError: there is no such version, or its rows are gone.
    """
    datasets = project.datasets()
    if not datasets:
        raise NotFoundError("expected a dataset version, found none: run 'bakeoff run' first")
    version = datasets[0] if which is None else find_dataset(datasets, project.config.project.name, which)
    origin = version.dataset_origin
    if origin.gathered is None:
        raise NotFoundError(f"expected the rows of dataset version {version.number}, found that none were kept")
    folder.mkdir(parents=True, exist_ok=True)
    rows = project.blobs.fetch(str(origin.gathered["snapshot_blob"]), folder / ROWS)
    about = project.config.card
    schema = msgspec.convert(origin.gathered["schema"], Schema)
    body = croissant(
        name=version.name,
        version=f"{version.number}.0.0+{version.content[:12]}",
        description=about.description or f"The rows that the project {version.name} learns from.",
        licence=about.licence,
        columns=schema.columns,
        file=ROWS,
        sha256=_sha256(rows),
        size_bytes=rows.stat().st_size,
        created_ms=version.created_ms,
        sources=[file["location"] for file in files_of(version)],
    )
    (folder / METADATA).write_text(json.dumps(body, indent=1, ensure_ascii=False), encoding="utf-8")
    return [str(rows), str(folder / METADATA)]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
