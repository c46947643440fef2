"""Files that are made of a model for an engine: one copy in the cache, verified at each load, made again if damaged.

A file's name is the digest of all that it is made of; beside it stands the digest of its content. A release records the
content that was checked (`expect`): what is made again must be that very content.
"""

import json
import logging
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bakeoff.core.errors import CandidateError
from bakeoff.core.hashing import digest_file

__all__ = ["FOLDER", "derived", "digests_of", "expect"]

FOLDER = "gguf"
"""Where they stand in a cache."""
RECORD = ".digest.json"

logger = logging.getLogger(__name__)


def derived(file: Path, make: Callable[[Path], None]) -> Path:
    """The file, made if there is none, or none with the content that is recorded.

    Args:
        file: Where it is; its name tells what it is made of.
        make: Writes it to the path given.

    Raises:
        CandidateError: a release was checked with another content than can be made now.
    """
    record = _record(file)
    known = _read(record)
    if known and file.is_file():
        if digest_file(file) == known["digest"]:
            return file
        logger.warning("%s is damaged or was changed: it is made again", file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:  # a killed conversion leaves no half file behind
        made = Path(scratch) / file.name
        make(made)
        digest = digest_file(made)
        if known.get("checked") and known["digest"] != digest:
            raise CandidateError(
                f"expected {file.name} with the content {known['digest'][:16]} that was checked before the release, "
                f"received {digest[:16]} when it was made again: run bakeoff run, so that it is checked anew"
            )
        made.replace(file)
    _write(record, {**known, "digest": digest})
    return file


def expect(folder: Path, digests: Mapping[str, str]) -> None:
    """Record what the files of a release must hold, by name."""
    for name, digest in digests.items():
        record = _record(folder / name)
        wanted = {"digest": digest, "checked": "yes"}
        if _read(record) != wanted:
            folder.mkdir(parents=True, exist_ok=True)
            _write(record, wanted)


def digests_of(*files: Path | None) -> dict[str, str]:
    """The recorded content of derived files, by name."""
    return {file.name: _read(_record(file))["digest"] for file in files if file is not None and _record(file).is_file()}


def _record(file: Path) -> Path:
    return file.with_name(file.name + RECORD)


def _read(record: Path) -> dict[str, str]:
    try:
        body = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return {}
    fine = isinstance(body, dict) and isinstance(body.get("digest"), str)
    return {str(key): str(value) for key, value in body.items()} if fine else {}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]


def _write(record: Path, body: Mapping[str, str]) -> None:
    with tempfile.NamedTemporaryFile("w", dir=record.parent, delete=False, encoding="utf-8") as made:
        made.write(json.dumps(dict(body)))
    Path(made.name).replace(record)
