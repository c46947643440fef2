"""What `blend`, `cascade` and `calibrated` share: their members, fitted one by one, in folders below the model's.

A member is named by its family's entry point, so that a saved model can name nothing else to be run.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import msgspec

from bakeoff.chat.meter import together
from bakeoff.config.params import check
from bakeoff.core import narrow, plugins
from bakeoff.core.abilities import Abilities, abilities_of
from bakeoff.core.addresses import is_local_url
from bakeoff.core.deadline import Deadline
from bakeoff.core.errors import CandidateError, CorruptError
from bakeoff.core.families import load_family, service_of
from bakeoff.core.hashing import digest_file
from bakeoff.core.jobs import MODEL, Argument, JobContext
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import FitJob, Model, ignore_held
from bakeoff.core.types import Column, Signature
from bakeoff.families import saved

__all__ = [
    "ASSEMBLE",
    "AssembleArgument",
    "AssembleValue",
    "JointFamily",
    "JointModel",
    "JointState",
    "Member",
    "SavedMember",
    "assemble",
    "chosen_of",
    "fit_members",
    "joint_abilities",
    "joint_signature",
    "load_members",
    "member_input",
    "once_each",
    "save_members",
    "service_of_members",
]

ASSEMBLE = "bakeoff.families.wrappers.members:assemble"
FOLDER = "members"
FEWEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member: a name of its own, its family by entry point, and the family's parameters."""

    name: str
    family: str
    params: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedMember:
    """A member on disk: its family, and the digest of each of its files."""

    name: str
    family: str
    files: dict[str, str]


class _Combining(Protocol):
    """A family whose models are made of others."""

    params: type[Any]

    def combined(self, params: Any, models: Sequence[Model]) -> Model: ...


class AssembleArgument(Argument, frozen=True, kw_only=True):
    """What `assemble` takes: the combining family (entry point), and its parameters, which name the members."""

    family: str
    params: dict[str, Any]


class AssembleValue(msgspec.Struct, frozen=True, kw_only=True):
    """What `assemble` gives."""

    size_bytes: int
    signature: dict[str, Any]


def member_input(at: int) -> str:
    """The input that is the model of a member, by its place in `params["members"]`."""
    return f"member-{at}"


def assemble(argument: AssembleArgument, context: JobContext) -> AssembleValue:
    """A job: make a combined model of fitted members without fitting anything, and save it."""
    family: _Combining = plugins.load("bakeoff.families", argument.family)()
    params = check(family.params, argument.params, owner=argument.family, key="members", file="the combination")
    context.progress(f"putting {len(params.members)} models together")
    models = [
        load_family(member.family).load(context.inputs[member_input(at)], context.threads)
        for at, member in enumerate(params.members)
    ]
    model = family.combined(params, models)
    out = context.outputs[MODEL]
    out.mkdir(parents=True)
    model.save(out)
    return AssembleValue(
        size_bytes=sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        signature=msgspec.to_builtins(model.signature),
    )


def fit_members(job: FitJob, members: Sequence[Member], *, fewest: int = FEWEST) -> list[Model]:
    """Fit each member on the job's rows, with what was chosen for it if that is given.

    Members that are still to be fitted share what is left of the limit. What several of them lose of the same rows is
    lost once.

    Raises:
        CandidateError: too few members, two of one name, or a member that cannot be fitted.
    """
    names = [member.name for member in members]
    if len(members) < fewest or len(set(names)) < len(names):
        raise CandidateError(f"expected at least {fewest} members with names of their own, received {names!r}")
    chosen = narrow.json_object((job.chosen or {}).get("members", {}))
    deadline, losses = Deadline(job), list[Loss]()
    models: list[Model] = []
    for at, member in enumerate(members):
        family = load_family(member.family)
        if job.task not in family.tasks:
            tasks = ", ".join(sorted(family.tasks))
            raise CandidateError(f"expected members for {job.task}, received {member.family!r}, which is for {tasks}")
        params = check(family.params, member.params, owner=member.family, key=f"members.{member.name}", file="members")

        def progress(line: str, name: str = member.name) -> None:
            job.progress(f"{name}: {line}")

        own = replace(
            job,
            params=params,
            chosen=chosen.get(member.name),
            progress=progress,
            on_held=ignore_held,
            on_loss=losses.append,
            limit_s=None if (left_s := deadline.left_s) is None else left_s / (len(members) - at),
        )
        models.append(family.fit(own))
    for loss in once_each(losses):
        job.on_loss(loss)
    return models


def once_each(losses: Iterable[Loss]) -> tuple[Loss, ...]:
    """Losses of one kind, reason and subject as the largest of them: members read the same rows."""
    largest: dict[tuple[str, str, str | None], Loss] = {}
    for loss in losses:
        key = loss.kind, loss.reason, loss.subject
        if key not in largest or loss.count > largest[key].count:
            largest[key] = loss
    return tuple(largest.values())


def service_of_members(members: Sequence[Member]) -> str | None:
    """The service that the first member asks that asks one on another machine, else the first that asks any.

    Raises:
        ConfigError: a member's parameters are none of its family's.
    """
    services: list[str] = []
    for member in members:
        family = load_family(member.family)
        params = check(family.params, member.params, owner=member.family, key=f"members.{member.name}", file="members")
        services += [url] if (url := service_of(family, params)) is not None else []
    return next((url for url in services if not is_local_url(url)), services[0] if services else None)


def chosen_of(members: Sequence[Member], models: Sequence[Model]) -> dict[str, Any]:
    """What the members chose, by name, as it reads back from JSON."""
    chosen = {member.name: dict(model.chosen) for member, model in zip(members, models, strict=True)}
    return msgspec.json.decode(msgspec.json.encode({"members": chosen}))


def joint_abilities(models: Sequence[Model]) -> Abilities:
    """What models can do together: usage is added up, losses count once; of the rest, the first that can do it does.

    The rows before a row that one of them needs, all get.

    A model of one member can do all that the member can, but for answering a row: what the member says of it is not yet
    what the whole says. How likely a text is as the answer of several, none can tell.
    """
    parts = [abilities_of(model) for model in models]
    if len(parts) == 1:
        return replace(parts[0], predict_rows=None, predict_numbers=None)

    def first(name: str) -> Any:
        return next((ability for part in parts if (ability := getattr(part, name)) is not None), None)

    def warm_all() -> None:
        for warm in warms:
            warm()

    usages = [part.usage for part in parts if part.usage]
    losses = [part.losses for part in parts if part.losses]
    warms = [part.warm for part in parts if part.warm]
    before = [part.rows_before for part in parts if part.rows_before]
    embedders = [part.embedder for part in parts if part.embedder]
    return Abilities(
        usage=(lambda: together([usage() for usage in usages])) if usages else None,
        losses=(lambda: once_each(loss for lost in losses for loss in lost())) if losses else None,
        warm=warm_all if warms else None,
        embedder=(lambda: next(filter(None, (embedder() for embedder in embedders)), None)) if embedders else None,
        recall=first("recall"),
        chat=first("chat"),
        speech=first("speech"),
        concurrency=first("concurrency"),
        rows_before=(lambda: max(rows() for rows in before)) if before else None,
    )


def joint_signature(models: Sequence[Model]) -> Signature:
    """What models take and give together: every input of any, every class of any."""
    inputs: dict[str, Column] = {column.name: column for model in models for column in model.signature.inputs}
    classes = {name for model in models for name in model.signature.classes}
    return Signature(task=models[0].signature.task, inputs=tuple(inputs.values()), classes=tuple(sorted(classes)))


@dataclass(frozen=True, slots=True, kw_only=True)
class JointState:
    """All of a model that is made of others, but their files; each kind adds how they are put together."""

    signature: Signature
    chosen: Mapping[str, Any]
    members: tuple[SavedMember, ...]

    @staticmethod
    def fields(members: Sequence[Member], models: Sequence[Model]) -> dict[str, Any]:
        """The fields above, of models that are not saved yet."""
        unsaved = tuple(SavedMember(name=each.name, family=each.family, files={}) for each in members)
        return {"signature": joint_signature(models), "chosen": chosen_of(members, models), "members": unsaved}


@dataclass(frozen=True, slots=True, kw_only=True)
class JointModel(saved.StatedModel):
    """What all models that are made of others share; each kind adds `predict`."""

    family: ClassVar[str]
    state: JointState
    models: tuple[Model, ...]

    @property
    def abilities(self) -> Abilities:
        """Those of the members."""
        return joint_abilities(self.models)

    def save(self, folder: Path) -> None:
        """See `bakeoff.core.protocols.Model`."""
        members = save_members(folder, self.state.members, self.models)
        saved.write(folder, self.family, replace(self.state, members=tuple(members)))


_Model = TypeVar("_Model", bound=JointModel)


class JointFamily(Generic[_Model]):
    """What families of such models share; each adds `fit`, and `combined`, which is given fitted members."""

    name: str
    model: type[_Model]
    state: type[JointState]
    requires = ("numpy", "polars")
    extra: str | None = None

    def service(self, params: Any) -> str | None:
        """See `bakeoff.core.families.service_of`; that of a member."""
        return service_of_members(params.members)

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> _Model:
        """See `bakeoff.core.protocols.Family`."""
        state, _ = saved.read(folder, self.name, self.state)
        return self.model(state=state, models=tuple(load_members(folder, state.members, threads, cache)))


def save_members(folder: Path, members: Sequence[SavedMember | Member], models: Sequence[Model]) -> list[SavedMember]:
    """Save each model into a folder of its own below `folder`; what was written."""
    written: list[SavedMember] = []
    for at, (member, model) in enumerate(zip(members, models, strict=True)):
        own = folder / FOLDER / str(at)
        own.mkdir(parents=True)
        model.save(own)
        files = {p.relative_to(own).as_posix(): digest_file(p) for p in sorted(own.rglob("*")) if p.is_file()}
        written.append(SavedMember(name=member.name, family=member.family, files=files))
    return written


def load_members(folder: Path, members: Sequence[SavedMember], threads: int, cache: Path | None) -> list[Model]:
    """Read the models that `save_members` wrote, every file checked first.

    Raises:
        CorruptError: a file is missing or changed. NotFoundError: a member's family is not installed.
    """
    for at, member in enumerate(members):
        for name, expected in member.files.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:
                raise CorruptError(f"{folder}: expected a path inside member {member.name!r}, found {name!r}")
            file = folder / FOLDER / str(at) / path
            found = digest_file(file) if file.is_file() else "no file"
            if found != expected:
                raise CorruptError(
                    f"{file}: expected content with digest {expected}, found {found}; "
                    "restore the folder or fit the candidate again"
                )
    return [
        load_family(member.family).load(folder / FOLDER / str(at), threads, cache) for at, member in enumerate(members)
    ]
