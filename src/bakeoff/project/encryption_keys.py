"""The keys of `[store.encryption]`: read from where they stand, made, and followed by newer ones."""

import fcntl
import os
import stat
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from bakeoff.config.file import secret
from bakeoff.config.sections import EncryptionConfig
from bakeoff.core.disk import sync
from bakeoff.core.errors import UsageError
from bakeoff.stores.encryption import Keyring, new_key, parse_keys
from bakeoff.stores.files import durable_write, storage, sync_folder, whole_write

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["Encrypted", "create_file", "encrypt", "keyring", "rotate_file"]

_COMMAND_S = 60.0
STATE = ".bakeoff"


@runtime_checkable
class _Encryptable(Protocol):
    def encrypt(self, *, look: bool = False) -> tuple[int, int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Encrypted:
    """What was not under the newest key, and was written again (or would be).

    Attributes:
        objects: of the blobs.
        damaged: objects that were left as they are, since they are damaged: `bakeoff verify` names them.
        events: files of the event log, or rows of its table.
        open: of these, files that were left, as a process writes to them.
    """

    objects: int
    damaged: int
    events: int
    open: int


def encrypt(project: "Project", *, look: bool) -> Encrypted:
    """Write again what is not under the newest key; with `look`, only count it.

    Raises:
        UsageError: nothing is to be encrypted, or a store cannot do it. MissingKeyError: a key is lacking.
    """
    if not project.keyring:
        raise UsageError("expected keys in [store.encryption], received none: name where they are, then try again")
    blobs, events = project.blobs, project.events
    if not isinstance(blobs, _Encryptable) or not isinstance(events, _Encryptable):
        raise UsageError("expected stores that can be encrypted, received others: leave encryption to them")
    files, left = events.encrypt(look=look)
    objects, damaged = blobs.encrypt(look=look)
    return Encrypted(objects=objects, damaged=damaged, events=files, open=left)


def keyring(config: EncryptionConfig | None, folder: Path) -> Keyring:
    """The keys that are set, read once to see that they are there; an empty keyring where none are.

    Raises:
        UsageError: not one source is named, it cannot be read, or it holds no key.
    """
    if config is None:
        return Keyring()
    read = Keyring(partial(_text, config, folder), source=_source(config), required=config.required)
    read.ids()
    return read


def create_file(config: EncryptionConfig, folder: Path) -> Path:
    """Write a first key into `key_file`.

    Raises:
        UsageError: keys come from elsewhere, or there is such a file.
    """
    path = _file(config, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        if path.exists():
            raise UsageError(
                f"expected no file at {str(path)!r} yet, found one: 'bakeoff keys rotate' adds a key to it"
            )
        durable_write(path, [f"{new_key()}\n".encode()], staging=path.parent)
    return path


def rotate_file(config: EncryptionConfig, folder: Path) -> Path:
    """Put a new key before those of `key_file`.

    Raises:
        UsageError: keys come from elsewhere, or the file cannot be read.
    """
    path = _file(config, folder)
    parse_keys(_text(config, folder), source=_source(config))
    with _alone(path):
        before, state = _text(config, folder), path.stat()

        def as_it_was(unfinished: int) -> None:
            with suppress(PermissionError):  # then it is ours alone
                os.fchown(unfinished, state.st_uid, state.st_gid)
                os.fchmod(unfinished, stat.S_IMODE(state.st_mode))
            sync(unfinished)

        # Servers read it, too, as other users, perhaps: who rotates must not lock them out.
        content = f"{new_key()}\n{before.rstrip()}\n".encode()
        with storage(f"write {path}"):
            whole_write(path, [content], staging=path.parent, before=as_it_was)
            sync_folder(path.parent)
    return path


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """Within it others who write keys there wait: a key that another overwrites is lost with all it has sealed."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _source(config: EncryptionConfig) -> str:
    named = [name for name in ("key_file", "key_env", "key_command") if getattr(config, name)]
    if len(named) != 1:
        raise UsageError(
            f"expected one of key_file, key_env and key_command in [store.encryption], received {named or 'none'}"
        )
    value = getattr(config, named[0])
    return f"[store.encryption] {named[0]} = {value if isinstance(value, str) else ' '.join(value)!r}"


def _file(config: EncryptionConfig, folder: Path) -> Path:
    if config.key_file is None:
        raise UsageError(
            f"expected key_file in [store.encryption], received {_source(config)}: put a new key (bakeoff keys create "
            "--show) before the others there, as the first line"
        )
    path = (folder / Path(config.key_file).expanduser()).resolve()
    if path.is_relative_to((folder / STATE).resolve()):
        raise UsageError(
            f"expected a key_file outside of {STATE}, received {config.key_file!r}: who copies the state folder would "
            "have the key"
        )
    return path


def _text(config: EncryptionConfig, folder: Path) -> str:
    """What the source holds; it is never part of a message."""
    if config.key_env is not None:
        return secret(config.key_env)
    if config.key_file is not None:
        path = _file(config, folder)
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise UsageError(
                f"expected keys in {str(path)!r} ({_source(config)}), found none to read: {reason}; put the file back, "
                "or make a first key with 'bakeoff keys create'"
            ) from None
    try:
        done = subprocess.run(config.key_command, capture_output=True, timeout=_COMMAND_S, check=False, cwd=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(
            f"expected a key from {_source(config)}, it could not be run: {type(error).__name__}"
        ) from None
    if done.returncode != 0:
        errors = done.stderr.decode(errors="replace").strip().splitlines()
        raise UsageError(
            f"expected a key from {_source(config)}, it ended with {done.returncode}: {errors[-1] if errors else ''}"
        )
    return done.stdout.decode(errors="replace")
