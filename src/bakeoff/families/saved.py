"""How a fitted model lies on disk: JSON, plain arrays and digests; nothing in it can run code.

A model is a tree of dataclasses. `write` puts its arrays into `arrays.npz` and everything else into
`model.json`; `manifest.json` holds the digest of every file, which `read` checks before it trusts one.
`signature.json` repeats the signature, for readers that need no more.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec
import numpy as np

from bakeoff.core.errors import CorruptError
from bakeoff.core.hashing import digest
from bakeoff.core.types import Signature

__all__ = ["Array", "StatedModel", "read", "read_files", "write"]

Array: TypeAlias = np.ndarray[Any, Any]
FORMAT = 1
MANIFEST, DOCUMENT, ARRAYS, SIGNATURE = "manifest.json", "model.json", "arrays.npz", "signature.json"


class _Signed(Protocol):
    @property
    def signature(self) -> Signature: ...


class _State(_Signed, Protocol):
    @property
    def chosen(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class StatedModel:
    """A model beside its state, which is saved as JSON: what the model takes and gives, and what was chosen."""

    state: _State

    @property
    def signature(self) -> Signature:
        """See `bakeoff.core.protocols.Model`."""
        return self.state.signature

    @property
    def chosen(self) -> Mapping[str, Any]:
        """See `bakeoff.core.protocols.Model`."""
        return self.state.chosen


_Model = TypeVar("_Model")


class _Manifest(msgspec.Struct, frozen=True):
    format: int
    family: str
    files: dict[str, str]


def write(folder: Path, family: str, model: _Signed, files: Mapping[str, bytes] | None = None) -> None:
    """Write a model (a dataclass tree of JSON values and arrays) and further files into an existing folder."""
    arrays: dict[str, Array] = {}

    def take_array(value: object) -> object:
        if isinstance(value, np.generic):  # a number of numpy's is one of Python's in JSON
            return value.item()
        assert isinstance(value, np.ndarray), f"a model holds JSON values and arrays, not {type(value)}"
        name = f"a{len(arrays)}"
        arrays[name] = value
        return {"array": name}

    document = msgspec.json.encode(msgspec.to_builtins(model, enc_hook=take_array))
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    contents = {
        DOCUMENT: document,
        ARRAYS: buffer.getvalue(),
        SIGNATURE: msgspec.json.format(msgspec.json.encode(model.signature)),
        **(files or {}),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    digests = {name: digest(content) for name, content in sorted(contents.items())}
    manifest = _Manifest(format=FORMAT, family=family, files=digests)
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))


def read_files(folder: Path, family: str) -> dict[str, bytes]:
    """The files of a saved model, each checked against its digest.

    Raises:
        CorruptError: the folder holds no model of this family, or a file is missing or changed.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=_Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise _corrupt(folder, f"a saved model with a readable {MANIFEST}", repr(error)) from error
    if (manifest.family, manifest.format) != (family, FORMAT):
        found = f"one of family {manifest.family!r} in format {manifest.format}"
        raise _corrupt(folder, f"a model of family {family!r} in format {FORMAT}", found)
    files: dict[str, bytes] = {}
    for name, expected in manifest.files.items():
        if Path(name).name != name:
            raise _corrupt(folder / MANIFEST, "a plain file name", repr(name))
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise _corrupt(folder / name, "a readable file", repr(error)) from error
        if digest(content) != expected:
            raise _corrupt(folder / name, f"content with digest {expected}", digest(content))
        files[name] = content
    return files


def read(folder: Path, family: str, kind: type[_Model]) -> tuple[_Model, dict[str, bytes]]:
    """The model that `write` saved, and all files of it; the same errors as `read_files`."""
    files = read_files(folder, family)
    try:
        with np.load(io.BytesIO(files[ARRAYS]), allow_pickle=False) as stored:
            arrays: dict[str, Array] = {name: stored[name] for name in stored.files}

        def give_array(_: type, value: Any) -> Array:
            return arrays[value["array"]]

        return msgspec.convert(msgspec.json.decode(files[DOCUMENT]), kind, dec_hook=give_array), files
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:  # msgspec's errors are ValueErrors
        raise _corrupt(folder, f"a model of family {family!r}", repr(error)) from error


def _corrupt(path: Path, expected: str, found: str) -> CorruptError:
    return CorruptError(f"{path}: expected {expected}, found {found}; restore the folder or fit the candidate again")
