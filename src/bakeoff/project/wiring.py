"""Resolve a project's settings to things that work: contenders, stores, compute, scratch folders."""

import dataclasses
import secrets
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from bakeoff.compute.fork_server import modules_of
from bakeoff.config.duration import seconds
from bakeoff.config.file import Loaded
from bakeoff.config.search import Choices, Range, Search, space
from bakeoff.config.sections import (
    AuthConfig,
    Config,
    OpenIdConfig,
    SearchConfig,
    StepCacheConfig,
    StoreConfig,
    TlsConfig,
)
from bakeoff.core import plugins
from bakeoff.core.addresses import is_local_url
from bakeoff.core.errors import BakeoffError, ConfigError, Problem, UsageError
from bakeoff.core.families import (
    families_code,
    install_command,
    load_family,
    missing_distributions,
    service_of,
)
from bakeoff.core.jobs import Compute, Progress
from bakeoff.core.protocols import BlobStore, Clock, DocumentRecords, EventLog, Family, RecordStore
from bakeoff.core.types import Json
from bakeoff.loop.context import COMBINERS, Contender
from bakeoff.project.prompt_files import file_keys, opened
from bakeoff.train.params import check_params

if TYPE_CHECKING:
    from bakeoff.actions.move import Opened
    from bakeoff.data.contract import Contract
    from bakeoff.loop.shared_steps import SharedSteps
    from bakeoff.security.accounts import Accounts
    from bakeoff.security.certificates import Tls
    from bakeoff.security.openid import OpenId
    from bakeoff.security.tokens import AccessTokens
    from bakeoff.stores.encryption import Keyring
    from bakeoff.stores.remotes import Remote

__all__ = ["combiner", "compute", "contender", "contenders", "new_id", "open_blobs", "open_events"]
__all__ += ["authenticator", "certificate", "open_audited", "open_sessions", "open_tokens", "people", "provider"]
__all__ += ["now_ms", "open_keyring", "open_records", "open_stores", "opened_stores", "others"]
__all__ += ["shared_steps", "sqlite_file", "try_step_cache"]

PREPARED = "prepared"


class _Opener(Protocol):
    def __call__(self, url: str, *, folder: Path, clock: Clock, **keyring: "Keyring") -> Any: ...


def new_id() -> str:
    """A random id in the form of MLflow's run ids: 32 hex digits."""
    return secrets.token_hex(16)


def open_records(loaded: Loaded, clock: Clock) -> RecordStore:
    """The project's records."""
    return _open("records", loaded.config.store.records, loaded.folder, clock)


def open_audited(loaded: Loaded, clock: Clock) -> RecordStore:
    """The project's records, whose changes are audited as those of this process's user."""
    from bakeoff.security.audit import current_user
    from bakeoff.security.audited import audited

    return audited(open_records(loaded, clock), clock, who=current_user())


def open_blobs(loaded: Loaded, clock: Clock, keyring: "Keyring") -> BlobStore:
    """The project's blobs."""
    return _open("blobs", loaded.config.store.blobs, loaded.folder, clock, keyring)


def open_events(loaded: Loaded, clock: Clock, keyring: "Keyring") -> EventLog:
    """The project's event log."""
    return _open("events", loaded.config.store.events, loaded.folder, clock, keyring)


def open_keyring(store: StoreConfig, folder: Path) -> "Keyring":
    """The keys of blobs and events; without any, they are not encrypted.

    Raises:
        UsageError: their source cannot be read, or holds none.
    """
    from bakeoff.project.encryption_keys import keyring

    return keyring(store.encryption, folder)


@contextmanager
def shared_steps(
    loaded: Loaded, blobs: BlobStore, keyring: "Keyring", clock: Clock, *, scratch: Path, progress: Progress
) -> "Generator[SharedSteps | None]":
    """The step cache of the team, for one run; None where the project names none."""
    wanted = loaded.config.store.step_cache
    if wanted is None:
        yield None
        return
    from bakeoff.loop.shared_steps import SharedSteps

    shared = SharedSteps(
        _step_cache(wanted, loaded, keyring, clock),
        blobs,
        keyring=keyring,
        scratch=scratch,
        wait_s=seconds(wanted.wait),
        writes=wanted.write,
        progress=progress,
    )
    try:
        yield shared
    except BaseException as error:
        shared.close(wait=isinstance(error, Exception))
        raise
    shared.close()


def try_step_cache(loaded: Loaded, keyring: "Keyring", clock: Clock) -> str | None:
    """Use the step cache of the team as a run does, and say what can be done there; None where there is none.

    Raises:
        BakeoffError: it cannot be used.
    """
    wanted = loaded.config.store.step_cache
    if wanted is None:
        return None
    from bakeoff.loop.shared_steps import try_out

    remote = _step_cache(wanted, loaded, keyring, clock)
    try_out(remote, writes=wanted.write, wait_s=seconds(wanted.wait))
    return f"{remote.where()} can be read{' and written' if wanted.write else '; write = false'}"


def _step_cache(wanted: StepCacheConfig, loaded: Loaded, keyring: "Keyring", clock: Clock) -> "Remote":
    from bakeoff.stores.remotes import open_remote

    return open_remote(wanted.url, below="steps", folder=loaded.folder, clock=clock, keyring=keyring)


def now_ms() -> int:
    """The clock of stores."""
    return time.time_ns() // 1_000_000


def open_tokens(
    config: AuthConfig, documents: DocumentRecords, clock: Clock, *, kind: Literal["token", "session"] = "token"
) -> "AccessTokens":
    """The tokens that callers of servers have; or the sessions of people, which their browsers have."""
    from bakeoff.security.roles import Roles
    from bakeoff.security.tokens import AccessTokens

    return AccessTokens(documents, Roles(config.roles), clock, kind=kind)


def authenticator(config: AuthConfig, documents: DocumentRecords, clock: Clock) -> "AccessTokens | None":
    """What says who calls a server; None where nobody is asked."""
    return open_tokens(config, documents, clock) if config.required else None


def people(config: AuthConfig, documents: DocumentRecords, clock: Clock) -> "Accounts":
    """The accounts of people.

    Raises:
        MissingExtraError: what accounts need is not installed.
    """
    from bakeoff.security.accounts import Accounts
    from bakeoff.security.roles import Roles

    return Accounts(documents, Roles(config.roles), clock)


def open_sessions(config: AuthConfig, documents: DocumentRecords, clock: Clock) -> "AccessTokens":
    """What browsers have of people who signed in."""
    return open_tokens(config, documents, clock, kind="session")


def provider(config: OpenIdConfig, environ: Mapping[str, str], clock: Clock) -> "OpenId":
    """The provider that people sign in with.

    Raises:
        UsageError: the variable of its secret is not set, or its address is none.
    """
    from bakeoff.security.openid import OpenId

    if config.secret_env is not None and config.secret_env not in environ:
        raise UsageError(f"auth.openid.secret_env: expected the variable {config.secret_env!r} to be set, it is not")
    secret = None if config.secret_env is None else environ[config.secret_env]
    return OpenId(config.issuer, config.client_id, secret=secret, scopes=config.scopes, claim=config.claim, clock=clock)


def certificate(config: TlsConfig, folder: Path) -> "Tls | None":
    """The certificate of servers; None where connections are not encrypted.

    Raises:
        UsageError: one of certificate and key is lacking.
    """
    from bakeoff.security.certificates import Tls

    if config.certificate is None and config.key is None:
        return None
    if config.certificate is None or config.key is None:
        raise UsageError("tls: expected certificate and key, found one of them")
    authority = config.client_authority and folder / config.client_authority
    return Tls(certificate=folder / config.certificate, key=folder / config.key, client_authority=authority or None)


def open_stores(folder: Path, store: StoreConfig, clock: Clock) -> tuple[RecordStore, BlobStore]:
    """Records and blobs that a `[store]` names, of no project."""
    blobs = _open("blobs", store.blobs, folder, clock, open_keyring(store, folder))
    return _open("records", store.records, folder, clock), blobs


@contextmanager
def opened_stores(folder: Path, store: StoreConfig, clock: Clock) -> "Generator[Opened]":
    """All stores that a `[store]` names, of no project yet."""
    from bakeoff.actions.move import Opened

    keyring = open_keyring(store, folder)
    records = _open("records", store.records, folder, clock)
    with closing(records):
        events = _open("events", store.events, folder, clock, keyring)
        with closing(events):
            yield Opened(records=records, blobs=_open("blobs", store.blobs, folder, clock, keyring), events=events)


def sqlite_file(loaded: Loaded) -> Path | None:
    """The file of the project's records, when they are SQLite's."""
    from bakeoff.stores.database import sqlite_path

    return sqlite_path(loaded.config.store.records, loaded.folder)


def _open(what: str, url: str, folder: Path, clock: Clock, keyring: "Keyring | None" = None) -> Any:
    scheme = url.partition(":")[0].partition("+")[0]
    opener: _Opener = plugins.load("bakeoff.stores", f"{what}+{scheme}")
    if not keyring:
        return opener(url, folder=folder, clock=clock)
    if "keyring" not in signature(opener).parameters:
        raise UsageError(
            f"expected {what} that can be encrypted ([store.encryption]), received those at {scheme!r}, which cannot: "
            "name others, or leave encryption to them"
        )
    return opener(url, folder=folder, clock=clock, keyring=keyring)


def compute(config: Config, blobs: BlobStore, *, work: Path, cache: Path, jobs: int) -> Compute:
    """The project's compute backend; by default as many workers as there are jobs and cores."""
    wanted = config.compute
    name, _, place = wanted.backend.partition(":")
    backend: Callable[..., Compute] = plugins.load("bakeoff.compute", name)
    where = {"address": wanted.backend} if place else {}
    return backend(
        blobs=blobs, work=work, cache=cache, workers=wanted.workers, threads=wanted.threads, jobs=jobs, **where
    )


def contenders(loaded: Loaded) -> tuple[Contender, ...]:
    """The project's candidates, checked; all that is wrong with them, gates and steps is reported together.

    Raises:
        ConfigError: unknown families, parameters, gates, metrics or preparation steps.
    """
    from bakeoff.evaluate.decide.settings import check_gates  # metrics need numpy, which most commands do not

    problems = [
        *_caught(lambda: _check_steps(loaded)),
        *_caught(lambda: check_gates(loaded.config.decide, loaded.config.project.task)),
        *_caught(lambda: contract(loaded)),
    ]
    found: list[Contender] = []
    for name in loaded.config.candidates:
        try:
            found.append(contender(loaded, name))
        except ConfigError as error:
            problems += error.problems
    problems += _sent_away(loaded, found)
    if problems:
        raise ConfigError(tuple(dict.fromkeys(problems)))  # those of steps are told by every candidate
    return tuple(found)


def _sent_away(loaded: Loaded, candidates: Sequence[Contender]) -> list[Problem]:
    """Services on other machines that candidates or the judge ask, and that the project does not allow to get rows."""
    config = loaded.config
    named = {_place_of_service(candidate): candidate.service for candidate in candidates}
    if config.judge is not None:
        named["judge.url"] = config.judge.url
    return [
        Problem(
            file=loaded.file,
            key=key,
            expected="a service on this machine, as rows of your data would be sent to it",
            found=repr(url),
            hint="To allow it, set remote = true in [privacy].",
        )
        for key, url in named.items()
        if url is not None and not config.privacy.remote and not is_local_url(url)
    ]


def _place_of_service(candidate: Contender) -> str:
    """The key that names a candidate's service; that of the candidate, where it stands deeper."""
    own = getattr(candidate.shown.params, "url", None) is not None
    return f"candidates.{candidate.name}.url" if own else f"candidates.{candidate.name}"


def contender(loaded: Loaded, name: str, tuned: Mapping[str, Json] | None = None) -> Contender:
    """One of the project's candidates, checked; `tuned` are parameters beside those that the project gives.

    Raises:
        ConfigError: an unknown family, or parameters or searches that it does not take.
    """
    candidate, task = loaded.config.candidates[name], loaded.config.project.task
    family_name, key = candidate.family or name, f"candidates.{name}"
    known = plugins.names("bakeoff.families")
    if family_name not in known:
        hint = plugins.suggestion(family_name, known) or "Name a family with the key 'family'."
        expected = f"one of the families {', '.join(known)}"
        raise ConfigError((Problem(file=loaded.file, key=key, expected=expected, found=repr(family_name), hint=hint),))
    family = load_family(family_name)
    if task not in family.tasks:
        found = f"{family_name!r}, which is for {', '.join(sorted(family.tasks))}"
        raise ConfigError((Problem(file=loaded.file, key=key, expected=f"a family for {task}", found=found),))
    given, prompt = opened(loaded, family, {**candidate.params, **(tuned or {})}, key=key)
    params = check_params(family, given, file=loaded.file, key=key, also=file_keys(family))
    wanted = {each: _search(search) for each, search in candidate.search.items()}
    fixed = {each: value for each, value in given.items() if each in candidate.params or each not in (tuned or {})}
    search = space(family.params, fixed, wanted, owner=family.name, key=key, file=loaded.file)
    ready = _ready(name, family_name, family, params)
    return _prepared(loaded, replace(ready, search=search, prompt=prompt, service=service_of(family, params)))


def _prepared(loaded: Loaded, ready: Contender) -> Contender:
    """The candidate behind the project's fitted steps, which then are fitted, saved and served with it."""
    from bakeoff.prepare.steps import preparation

    steps = preparation(loaded.config.prepare.specs, file=loaded.file)
    fitted = steps.fitted_for(ready.name)
    if not fitted:
        return ready
    family = load_family(PREPARED)
    if loaded.config.project.task not in family.tasks:
        found = f"{', '.join(str(step['name']) for step in fitted)} for {loaded.config.project.task}"
        expected = f"steps that learn from training rows for {' or '.join(sorted(family.tasks))} only"
        raise ConfigError((Problem(file=loaded.file, key="prepare.steps", expected=expected, found=found),))
    given: dict[str, Json] = {
        "family": ready.family_name,
        "params": msgspec.to_builtins(ready.params),
        "steps": list[Json](fitted),
    }
    outer = _ready(ready.name, PREPARED, family, check_params(family, given, file=loaded.file))
    return replace(
        outer,
        requires=tuple(sorted({*outer.requires, *ready.requires, *steps.fitted_requires})),
        code=families_code(PREPARED, ready.family_name, *_families_within(ready.params)),
        search=ready.search,
        wraps=ready,
        scales=ready.scales,
        learns=ready.learns,
        service=ready.service,
        modules=(*outer.modules, *ready.modules),
        imports_for=ready.imports_for,
    )


def others(loaded: Loaded) -> tuple[list[Contender], dict[str, str]]:
    """Families for the task that no candidate is of, with their defaults; and those that lack something, with what."""
    used = {candidate.family or name for name, candidate in loaded.config.candidates.items()}
    ready: list[Contender] = []
    lacking: dict[str, str] = {}
    for name in plugins.names("bakeoff.families"):
        if name in {*used, *COMBINERS, PREPARED} or name in loaded.config.candidates:
            continue
        try:
            family = load_family(name)
            if loaded.config.project.task not in family.tasks:
                continue
            missing = missing_distributions(family.requires)
            if missing:
                lacking[name] = f"{', '.join(missing)} is not installed: {install_command(family, missing)}"
                continue
            params = check_params(family, {}, file=loaded.file, key=f"candidates.{name}")
            if service_of(family, params) is not None:
                lacking[name] = f"nobody is asked unasked: name a service by url and model in [candidates.{name}]"
                continue
            ready.append(_prepared(loaded, _ready(name, name, family, params)))
        except BakeoffError as error:
            lacking[name] = str(error).partition("\n")[0]
    return ready, lacking


def _search(search: SearchConfig) -> Search:
    if search.choices:
        return Choices(values=search.choices)
    assert search.low is not None
    assert search.high is not None
    return Range(low=search.low, high=search.high, log=search.log)


def _ready(name: str, family_name: str, family: Family, params: Any) -> Contender:
    within = _families_within(params)
    needed = {each for member in within for each in load_family(member).requires}
    return Contender(
        name=name,
        family_name=family_name,
        requires=tuple(sorted({*family.requires, *needed})) if needed else family.requires,
        params=params,
        code=families_code(family_name, *within),
        scales=getattr(family, "scales", False),
        modules=tuple(dict.fromkeys(each for one in (family, *map(load_family, within)) for each in _modules(one))),
        learns=getattr(family, "learns", True),
        imports_for=getattr(family, "imports_for", None),
    )


def _modules(family: Family) -> tuple[str, ...]:
    """What jobs of a family import: what it names, else all that it requires."""
    imports: Sequence[str] | None = getattr(family, "imports", None)
    return (type(family).__module__, *(modules_of(family.requires) if imports is None else imports))


def _families_within(params: Any) -> list[str]:
    """The families of members that parameters name: a fit depends on their code and packages, too."""
    named = (
        [getattr(params, each.name) for each in dataclasses.fields(params)] if dataclasses.is_dataclass(params) else []
    )
    flat = [part for each in named for part in (each if isinstance(each, tuple) else (each,))]
    return sorted({part.family for part in flat if hasattr(part, "family") and hasattr(part, "params")})


def combiner(name: str) -> Contender:
    """One of `COMBINERS` as a contender whose parameters are not known yet."""
    return _ready(name, name, load_family(name), {})


def _check_steps(loaded: Loaded) -> None:
    from bakeoff.prepare.steps import Preparation

    known = loaded.config.candidates
    expected = f"candidates among {', '.join(known)}"
    unknown = [
        Problem(
            file=loaded.file,
            key=f"prepare.steps.{step.place}.only",
            expected=expected,
            found=repr(name),
            hint=plugins.suggestion(name, known),
        )
        for step in Preparation(loaded.config.prepare.specs, file=loaded.file).learning
        for name in step.only or ()
        if name not in known
    ]
    if unknown:
        raise ConfigError(tuple(unknown))


def contract(loaded: Loaded) -> "Contract | None":
    """The data contract that the project names, checked; None when it names none.

    Raises:
        ConfigError: it is missing or wrong; all that is wrong with it together.
    """
    file = loaded.config.data.contract
    if file is None:
        return None
    from bakeoff.data.contract import load

    return load(loaded.folder / file)


def _caught(check: Callable[[], object]) -> tuple[Problem, ...]:
    try:
        check()
    except ConfigError as error:
        return error.problems
    return ()
