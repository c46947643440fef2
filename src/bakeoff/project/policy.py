"""The loop's policy as settings that can be changed one by one: what they are, what a change makes of the file."""

import difflib
import os
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel

from bakeoff.config.file import Loaded, load, loads
from bakeoff.config.sections import LoopConfig, MonitorConfig
from bakeoff.config.toml_edit import edited
from bakeoff.core import narrow
from bakeoff.core.disk import sync
from bakeoff.core.errors import ConflictError, StoreError, UsageError
from bakeoff.core.explain import file_advice
from bakeoff.core.types import Json
from bakeoff.security.audit import current_user

if TYPE_CHECKING:
    from bakeoff.project.project import Project

__all__ = ["PolicyChange", "PolicyField", "ProjectPolicy", "SettingKind"]

SettingKind: TypeAlias = Literal["flag", "number", "text", "choices", "lines"]
OF_MONITOR = ("quality_drop", "slice_drop", "drift_psi")
"""Limits of `[monitor]` by which a replay's triggers fire: they are part of the policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyField:
    """A setting of the policy: its dotted key, its value now, and where that comes from.

    `optional`: it may be left out. A `fixed` one is a variable's, which goes before what the file says. `choices` are
    what may stand in a list of the kind "choices"; "lines" is a list of any texts.
    """

    key: str
    kind: SettingKind
    value: Json
    origin: str
    optional: bool = False
    fixed: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """A project file as it is and as it would be, checked; `settings` are the keys that change, as (before, after).

    `digest` is of the file as it was read: who saves the change names it, so that nothing else is overwritten.
    """

    file: str
    before: str
    after: str
    digest: str
    settings: Mapping[str, tuple[Json, Json]]

    @property
    def difference(self) -> Sequence[str]:
        """The lines that change, as `diff -U0` shows them: what stands around them may be nobody's business."""
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), self.file, f"{self.file}, changed", lineterm="", n=0
        )
        return list(lines)


class ProjectPolicy:
    """What decides when the loop runs again: `[loop]`, and the limits of `[monitor]` that fire it."""

    def __init__(self, project: "Project") -> None:
        self._project = project

    @property
    def _file(self) -> Path:
        return (self._project.folder / self._project.loaded.file).resolve()

    def fields(self) -> list[PolicyField]:
        """Every setting, in the order of the file's classes.

        Example:
            >>> next(each for each in project.cycles.policy.fields() if each.key == "loop.cool_down").value
            '1h'
        """
        return list(_fields(load(self._file)))

    def change(self, values: Mapping[str, Json]) -> PolicyChange:
        """What other values make of the project file; nothing is written.

        Args:
            values: by dotted key, as `{"loop.cool_down": "2h"}`; None leaves a setting out. Others stay as they are.

        Raises:
            ConfigError: the file would be wrong; all problems at once. UsageError: there is no such setting, it is set
                by a variable, or the file is written in a way in which it cannot be changed alone.

        Example:
            >>> change = project.cycles.policy.change({"loop.cool_down": "2h"})
            >>> change.settings, change.difference[-1]
            ({'loop.cool_down': ('1h', '2h')}, '+cool_down = "2h"')
        """
        raw = self._file.read_bytes()
        before, loaded = raw.decode("utf-8-sig"), load(self._file)
        known = {each.key: each for each in _fields(loaded)}
        for key in values:
            if key not in known:
                raise UsageError(f"expected a setting of the policy ({', '.join(known)}), received {key[:80]!r}")
        differing = {key: value for key, value in values.items() if _plain(value) != _plain(known[key].value)}
        for key in differing:
            if known[key].fixed:
                raise UsageError(f"{key} is set by {known[key].origin}, which goes before the file: change it there")
        after = edited(before, differing)
        changed = {each.key: each for each in _fields(loads(after, folder=loaded.folder, file=loaded.file))}
        return PolicyChange(
            file=loaded.file,
            before=before,
            after=after,
            digest=_digest(raw),
            settings={key: (known[key].value, changed[key].value) for key in differing},
        )

    def save(self, change: PolicyChange, *, digest: str | None = None, why: str = "", who: str | None = None) -> None:
        """Write the file; the audit log names who, why, and each value before and after.

        Args:
            change: what `change` gave.
            digest: of the file that somebody looked at before they said yes; that of the change by default.
            why: for the audit log.
            who: whom it names; the current user by default.

        Raises:
            ConflictError: the file is no more what it was. StoreError: it cannot be written.
        """
        from bakeoff.stores.files import whole_write

        file = self._file
        raw = file.read_bytes()
        if not _digest(raw) == change.digest == (digest or change.digest):
            raise ConflictError(f"expected {change.file} as it was looked at, but it changed meanwhile: look again")
        if not change.settings:
            return
        mark = raw[: len(raw) - len(change.before.encode())]  # a byte order mark stays where it was
        before: dict[str, Json] = {key: each[0] for key, each in change.settings.items()}
        after: dict[str, Json] = {key: each[1] for key, each in change.settings.items()}
        noted: dict[str, Json] = {**after, "why": why} if why else after
        who, audit = who or current_user(), self._project.audit
        audit.add("policy changed", change.file, who=who, before=before, after=noted)
        try:
            mode = file.stat().st_mode
            whole_write(file, [mark + change.after.encode()], staging=file.parent, before=_with_mode(mode))
        except OSError as error:
            audit.add("policy not changed after all", change.file, who=who, before=noted, after=before)
            raise StoreError(f"cannot write {str(file)!r}: {error.strerror or error}; {file_advice(error)}") from error
        self._project.loaded = load(file)


def _with_mode(mode: int) -> Any:
    def before(unfinished: int) -> None:
        os.fchmod(unfinished, mode & 0o7777)
        sync(unfinished)

    return before


def _digest(raw: bytes) -> str:
    return blake2b(raw, digest_size=16).hexdigest()


def _plain(value: Json) -> Json:
    return list(value) if narrow.is_sequence(value) else value


def _fields(loaded: Loaded) -> Iterator[PolicyField]:
    origins = {each.key: each.origin for each in loaded.values()}
    sections = (("loop", LoopConfig, None), ("monitor", MonitorConfig, OF_MONITOR))
    for name, section, only in sections:
        values = loaded.config.model_dump(mode="json")[name]
        for key, annotation, value in _walk(section, name, values):
            if only is None or key.partition(".")[2] in only:
                kind, choices, optional = _kind(annotation)
                origin = origins.get(key, "default")
                yield PolicyField(
                    key=key,
                    kind=kind,
                    value=value,
                    origin=origin,
                    optional=optional,
                    fixed=origin.startswith("$"),
                    choices=choices,
                )


def _walk(section: type[BaseModel], name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any, Json]]:
    """Each setting of a section and of those in it: its key, its type and its value."""
    for field, about in section.model_fields.items():
        annotation = about.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _walk(annotation, f"{name}.{field}", values[field])
        else:
            yield f"{name}.{field}", annotation, values[field]


def _kind(annotation: Any) -> tuple[SettingKind, tuple[str, ...], bool]:
    """How a setting of a type is written, what may be chosen, and whether it may be left out."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        (known,) = (each for each in inner if each is not type(None))
        return *_kind(known)[:2], True
    if origin is tuple:
        choices = tuple(map(str, get_args(inner[0]))) if get_origin(inner[0]) is Literal else ()
        return "choices" if choices else "lines", choices, False
    if annotation is bool:
        return "flag", (), False
    return "number" if annotation in {int, float} else "text", (), False
