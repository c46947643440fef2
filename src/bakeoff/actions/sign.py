"""Sign model versions, and see that they are what was signed."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bakeoff.core.errors import UsageError
from bakeoff.registry.lineage import find_version, label
from bakeoff.security.signatures import sign_folder, verify_folder

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["sign", "verify", "verify_version"]

SIGNATURES = "model_signatures"
"""Documents of signatures, by version; those of before by the tree of files that they are of."""


def sign(project: "Project", which: str, key: Path) -> str:
    """Sign a version; its name and number."""
    version = find_version(project.records.versions, project.config.project.name, which)
    with tempfile.TemporaryDirectory() as scratch:
        folder = project.blobs.fetch(version.content, Path(scratch) / "model")
        bundle = sign_folder(folder, label(version), key)
    project.records.documents.put(SIGNATURES, label(version), bundle)
    return label(version)


def verify_version(project: "Project", which: str, keys: Sequence[Path]) -> str:
    """See that a version is signed by one of the keys; the fingerprint of that key."""
    version = find_version(project.records.versions, project.config.project.name, which)
    with tempfile.TemporaryDirectory() as scratch:
        folder = project.blobs.fetch(version.content, Path(scratch) / "model")
        return verify(project, label(version), version.content, folder, keys)


def verify(project: "Project", version: str, tree: str, folder: Path, keys: Sequence[Path] = ()) -> str:
    """See that a folder has the files that one of the keys (by default the project's) has signed as this version.

    Args:
        project: whose records have the signature.
        version: name/number.
        tree: of its files.
        folder: where these are.
        keys: files of public keys.

    Raises:
        SecurityError: it has not. UsageError: there is no key, or one cannot be read.
    """
    trusted = keys or [project.folder / each for each in project.config.security.public_keys]
    if not trusted:
        raise UsageError("expected a public key to verify with: --key, or public_keys in [security]; received none")
    documents = project.records.documents
    stored = documents.get(SIGNATURES, version) or documents.get(SIGNATURES, tree)
    return verify_folder(folder, stored.body if stored else None, trusted, version)
