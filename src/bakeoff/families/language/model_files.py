"""How a language model lies on disk: what was fitted (`saved`), the base's folder, and an adapter's folder.

The base is copied whole, so that a model folder needs nothing else to serve, offline and on another machine. Its
bytes are the same in every candidate that starts from it, and the blob store keeps them once.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec
import numpy as np

from bakeoff.core.errors import CorruptError
from bakeoff.core.hashing import digest_file
from bakeoff.core.types import Signature
from bakeoff.families import saved
from bakeoff.families.features.vectors_cache import VectorCache

__all__ = ["ADAPTER", "BASE", "cache_of", "read", "score_cache", "write"]

BASE, ADAPTER = "base", "adapter"
MODELS = "models"
"""The folder of the cache in which models stand that are served."""
_State = TypeVar("_State")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """The saved document: the family's own state, and the digest of every file below the folder."""

    signature: Signature
    state: object
    files: Mapping[str, str]


def write(folder: Path, family: str, state: object, signature: Signature, parts: Mapping[str, Path]) -> None:
    """Write a model into an existing folder; `parts` are folders that are copied below it by name."""
    for name, part in parts.items():
        shutil.copytree(part, folder / name)
    files = {
        path.relative_to(folder).as_posix(): digest_file(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
    saved.write(folder, family, _Stored(signature=signature, state=state, files=files))


def read(folder: Path, family: str, kind: type[_State]) -> _State:
    """The state that `write` saved, after every file was checked.

    Raises:
        CorruptError: the folder holds no model of this family, or a file is missing or changed.
    """
    fields = [("signature", Signature), ("state", kind), ("files", dict[str, str])]
    document: Any = saved.read(folder, family, msgspec.defstruct("Document", fields))[0]
    for name, expected in document.files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise CorruptError(f"{folder}: expected a path inside the model, found {name!r}")
        file = folder / path
        found = digest_file(file) if file.is_file() else "no file"
        if found != expected:
            raise CorruptError(
                f"{file}: expected content with digest {expected}, found {found}; restore the folder or fit again"
            )
    return document.state


def cache_of(folder: Path) -> Path:
    """Where what engines make of a saved model is kept: in the cache that its folder stands in, else beside it."""
    return folder.parent.parent if folder.parent.name == MODELS else folder.parent


def score_cache(folder: Path, cache: Path, *, width: int) -> VectorCache:
    """Where scores of a saved model are kept by text, for callers that predict the same rows more than once."""
    return VectorCache(cache, digest_file(folder / saved.MANIFEST), width, dtype=np.float64)
