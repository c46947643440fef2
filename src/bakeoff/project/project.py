"""The Python SDK: everything that the commands do, as methods of a `Project`."""

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from bakeoff.chat.privacy import remote_calls
from bakeoff.config.duration import budget_seconds
from bakeoff.config.file import Loaded, Value, load, load_store
from bakeoff.config.sections import Config, EncryptionConfig, ServedConfig
from bakeoff.core.errors import DataError, NotFoundError, StoreError, UsageError
from bakeoff.core.explain import file_advice
from bakeoff.core.families import load_family
from bakeoff.core.hashing import digest_tree
from bakeoff.core.jobs import Compute
from bakeoff.core.lineage import EnvironmentOrigin
from bakeoff.core.principals import SERVICE
from bakeoff.core.protocols import BlobStore, Clock, EventLog, Model, Progress, RecordStore
from bakeoff.core.queries import AllOf, Predicate, Query, QueryField, attribute
from bakeoff.core.records import Run, Version
from bakeoff.core.types import Column, Json
from bakeoff.project import wiring
from bakeoff.project.forks import require_threads
from bakeoff.project.lock import held
from bakeoff.project.progress import CountedJobs, ProgressBar, bar
from bakeoff.registry.register import all_versions
from bakeoff.security.model_files import require_safe

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from bakeoff.actions.advice import Advice
    from bakeoff.actions.compare import RunComparison
    from bakeoff.actions.contract import Held, WrittenContract
    from bakeoff.actions.doctor import Diagnosis
    from bakeoff.actions.export import Exported
    from bakeoff.actions.feedback import AnnotatorAgreement, FeedbackHistory
    from bakeoff.actions.forget import Forgotten
    from bakeoff.actions.gc import Collected
    from bakeoff.actions.git_changes import BranchChanges
    from bakeoff.actions.harness import HarnessReport
    from bakeoff.actions.lineage import Direction
    from bakeoff.actions.model_card import ModelDifference
    from bakeoff.actions.move import Move
    from bakeoff.actions.near_rows import TrainingRow
    from bakeoff.actions.packages.check import PackageCheck
    from bakeoff.actions.packages.package import Form, Package
    from bakeoff.actions.replay import Replay
    from bakeoff.actions.reproduce import EnvironmentChoice, Reproduction
    from bakeoff.actions.runs_table import SeedMeans
    from bakeoff.actions.status import Status
    from bakeoff.actions.what_if import WhatIf
    from bakeoff.core.damage import Damage
    from bakeoff.core.graph import LineageGraph
    from bakeoff.core.records import DocumentChange
    from bakeoff.core.releases import Release
    from bakeoff.core.retention import Expiry
    from bakeoff.data.batches import Batch
    from bakeoff.data.contract_rows import RowCheck
    from bakeoff.evaluate.logged_rows import Missing
    from bakeoff.feedback.record import Recorded
    from bakeoff.feedback.truth import TruthOf
    from bakeoff.loop.context import Stage
    from bakeoff.loop.retrain import LoopTurn
    from bakeoff.monitor.signals import MonitorReport
    from bakeoff.prepare.corpus.shards import CorpusCompute
    from bakeoff.project.cycles import ProjectCycles
    from bakeoff.project.encryption_keys import Encrypted
    from bakeoff.project.endpoints import ProjectEndpoints
    from bakeoff.project.estimator import Estimator
    from bakeoff.project.files import BatchResult
    from bakeoff.project.fine_tuning import ProjectFineTuning
    from bakeoff.project.frames import DataFrame, Library
    from bakeoff.project.outcome import ProjectOutcome
    from bakeoff.project.prompts import ProjectPrompts
    from bakeoff.project.review import ProjectReview
    from bakeoff.project.snapshots import ProjectSnapshots
    from bakeoff.registry.lineage import Lineage
    from bakeoff.report.card import DataCard
    from bakeoff.report.checks import ModelCheck
    from bakeoff.report.model import Report as RunReport
    from bakeoff.report.model_card import ModelCard
    from bakeoff.results.candidate import Candidate
    from bakeoff.results.capacity import CapacityPlan
    from bakeoff.results.explanation import RowExplanation
    from bakeoff.results.judged_runs import JudgedRuns
    from bakeoff.security.accounts import Account, Accounts
    from bakeoff.security.audit import AuditLog
    from bakeoff.security.certificates import Tls
    from bakeoff.security.tokens import AccessToken, AccessTokens
    from bakeoff.serve.engine import Engine
    from bakeoff.serve.gateway.gateway import Gateway
    from bakeoff.serve.plane import DataPlane
    from bakeoff.serve.runtime import Answer
    from bakeoff.stores.encryption import Keyring

__all__ = ["Project"]

STATE = ".bakeoff"
MANY_JOBS = 2**16
"""More than any cluster has cores."""
IGNORE = "# made by bakeoff: stores, caches and scratch\n*\n"
F = TypeVar("F", bound="DataFrame")
S = TypeVar("S")


class Project:
    r"""A folder with a `bakeoff.toml`, and all that bakeoff knows about it.

    Stores are opened when they are first needed; use it as a context manager, or call `close`.

    It may be used from several threads at once. It pickles by reference: another process opens the folder anew, as a
    forked one does by itself. In a program of coroutines, `await asyncio.to_thread(project.run)`.

    Args:
        folder: the project folder, or its project file.
        frames: the library of tables that come out where none came in: "polars", "pandas" or "arrow".
        progress: takes one line at a time about long work; without it a bar is shown in notebooks and terminals.
        clock: milliseconds since the epoch.
        environ: the environment to take settings from; the process's own by default.

    Raises:
        ConfigError: the project file is missing or wrong. UsageError: there is no such library.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> rows = "".join(f"{'good' if i % 2 else 'bad'} film {i},{'yes' if i % 2 else 'no'}\n" for i in range(80))
        >>> _ = (folder / "films.csv").write_text("review,liked\n" + rows)
        >>> with Project.init(folder, name="films", source="films.csv", target="liked") as project:
        ...     outcome = project.run()
        ...     answer = project.predict([{"review": "good film"}])[0]
        ...     _ = project.feedback([{"id": answer.id, "label": "yes"}])
        >>> outcome.verdict.winner, answer.label
        ('linear', 'yes')
    """

    def __init__(
        self,
        folder: str | Path = ".",
        *,
        frames: str = "polars",
        progress: Progress | None = None,
        clock: Clock = wiring.now_ms,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.loaded: Loaded = load(Path(folder), environ)
        self._frames: Library = self._library(frames)
        self._progress = progress
        self._clock = clock
        self._lock = threading.RLock()
        self._opened: dict[str, Any] = {}
        self._process = os.getpid()

    def _library(self, frames: str | None) -> "Library":
        """The library of tables that go out: that of the project, unless one is named."""
        if frames is None:
            return self._frames
        if frames == "polars":
            return "polars"
        from bakeoff.project.frames import library_named

        return library_named(frames, argument="frames")

    def __reduce__(self) -> "tuple[Callable[..., Project], tuple[Any, ...]]":
        return _opened, (self.folder, self._frames)

    def __repr__(self) -> str:
        return f"Project({self.config.project.name!r}, {self.config.project.task}, {str(self.folder)!r})"

    def _repr_html_(self) -> str:
        from bakeoff.project.page import project_html

        return project_html(self)

    @classmethod
    def init(
        cls,
        folder: str | Path,
        *,
        source: "str | Path | DataFrame | Iterable[Mapping[str, object]]",
        target: str | None = None,
        name: str | None = None,
        task: str | None = None,
        exist_ok: bool = False,
        progress: Progress | None = None,
    ) -> Self:
        """Make a project from a look at the data; its file is `bakeoff.toml` in the folder, for you to read and change.

        Args:
            folder: where it will be; made when missing.
            source: where rows come from, as in `[data] source`; or the rows: a table of pandas, polars, Arrow or numpy,
                or dicts. They are kept in the folder as `frame.parquet`, and read as any file. Columns of a type for
                categories are categories; the index of a pandas frame is an id if it has a name, else left out.
            target: the column to predict; conversations need none.
            name: the project's; the folder's by default.
            task: "classification", "regression" or "generation"; seen in the target by default.
            exist_ok: open a project that is there already; rows given here replace those of its frame, and what else is
                given must be what its file says.
            progress: as for `Project`.

        Raises:
            UsageError: there is one already, or one of another target, task, name or source. DataError: the data or
                its target cannot be used.

        Example:
            >>> import polars as pl
            >>> frame = pl.DataFrame({"size": [1, 2, 3, 4] * 20, "kind": ["a", "b", "b", "a"] * 20})
            >>> made = Project.init(other, source=frame, target="kind")
            >>> made
            Project('other', classification, ...)
            >>> made.config.data.source, made.config.data.numeric
            (('frame.parquet',), ('size',))
        """
        from bakeoff.project.making import make_project

        frames = make_project(Path(folder), source=source, target=target, name=name, task=task, exist_ok=exist_ok)
        return cls(folder, frames=frames, progress=progress)

    # --- settings and stores --------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The checked settings.

        Example:
            >>> project.config.project.task, project.config.data.target
            ('classification', 'liked')
        """
        return self.loaded.config

    @property
    def folder(self) -> Path:
        """The project folder.

        Example:
            >>> (project.folder / "bakeoff.toml").exists()
            True
        """
        return self.loaded.folder

    @property
    def endpoint(self) -> str:
        """The endpoint's name.

        Example:
            >>> project.endpoint
            'films'
        """
        return self.config.endpoint.name or self.config.project.name

    def settings(self) -> list[Value]:
        """Every setting with where it came from.

        Example:
            >>> next(value for value in project.settings() if value.key == "data.target")
            Value(key='data.target', value='liked', origin='bakeoff.toml')
        """
        return self.loaded.values()

    @property
    def records(self) -> RecordStore:
        """Runs, versions and documents.

        Example:
            >>> project.records.runs.get(project.last().run_id).status
            'FINISHED'
        """
        return self._store("records", lambda: wiring.open_audited(self.loaded, self._clock))

    @property
    def blobs(self) -> BlobStore:
        """Content-addressed bytes.

        Example:
            >>> project.blobs.contains(project.models()[0].content)
            True
        """
        return self._store("blobs", lambda: wiring.open_blobs(self.loaded, self._clock, self.keyring))

    @property
    def events(self) -> EventLog:
        """Predictions and feedback.

        Example:
            >>> from bakeoff.core.events import PredictionEvent
            >>> project.events.scan(PredictionEvent).collect().height
            0
        """
        return self._store("events", lambda: wiring.open_events(self.loaded, self._clock, self.keyring))

    @property
    def keyring(self) -> "Keyring":
        """The keys that blobs and events are encrypted with; false where they are not.

        Example:
            >>> bool(project.keyring)
            False
        """
        return self._store("keyring", lambda: wiring.open_keyring(self.config.store, self.folder))

    def _store(self, name: str, opened: "Callable[[], S]") -> "S":
        """What is opened once, by whichever thread needs it first; and anew in a forked process."""
        if self._process != os.getpid():  # connections, locks and threads do not come along
            self._lock, self._opened, self._process = threading.RLock(), {}, os.getpid()
        with self._lock:
            if name not in self._opened:
                self._state_folder()
                self._opened[name] = opened()
            return self._opened[name]

    def close(self) -> None:
        """Close the stores that were opened; they are opened again when they are needed.

        Example:
            >>> project.close()
        """
        if self._process != os.getpid():  # what is open belongs to the process that this one was forked from
            return
        with self._lock:
            stores, self._opened = self._opened, {}
        for name in ("events", "records"):
            if name in stores:
                stores[name].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _state_folder(self) -> Path:
        from bakeoff.stores.files import private_folder

        state = self.folder / STATE
        ignore = state / ".gitignore"
        try:
            private_folder(state)
            if not ignore.exists():
                ignore.write_text(IGNORE)
        except OSError as error:
            raise StoreError(
                f"cannot keep anything in {str(state)!r}: {error.strerror or error}; {file_advice(error)}"
            ) from error
        return state

    # --- the loop -------------------------------------------------------------------------------

    def run(
        self,
        rows: "DataFrame | Iterable[Mapping[str, object]] | None" = None,
        *,
        budget_s: float | None = None,
        allow_missing: bool = False,
    ) -> "ProjectOutcome":
        """Fit what changed, evaluate, decide, register and release; nothing when nothing changed.

        Args:
            rows: those to learn from now on, in a project that was made of a frame: they replace it.
            budget_s: the whole run ends within about so many seconds, and uses what its fits leave of them to try
                parameters on training rows. Without one, `[compute] budget` is the most
                that it takes; `math.inf` lifts that.
            allow_missing: go on where a candidate lacks a package, a device or its service; it is listed as failed.

        Raises:
            ConfigError, DataError: settings or data cannot be used. ConflictError: another run is on.
            MissingExtraError, CandidateError: something that a candidate needs is missing; nothing was fitted.
            UsageError: rows are given, and the project reads others.

        Example:
            >>> project.run().unchanged
            True
        """
        from bakeoff.loop.run import run_pass
        from bakeoff.project.requirements import require_all

        with self._stage(budget_s=budget_s, title="run") as stage:
            frames = self._frames
            if rows is not None:
                from bakeoff.project.making import keep_frame

                frames = keep_frame(self.loaded, rows, argument="rows")
            before = None if allow_missing else lambda: require_all(self.config, stage.contenders)
            finished = run_pass(stage, before=before)
        from bakeoff.project.outcome import outcome_of  # what it needs was imported while candidates were fitted

        if not finished.unchanged:
            self._back_up()
        return outcome_of(finished.results, self, frames=frames, unchanged=finished.unchanged)

    def check(
        self,
        *,
        candidate: str | None = None,
        model: str | None = None,
        strict: bool = False,
        allow_missing: bool = False,
    ) -> "ModelCheck":
        """Hold the would-be winner against all gates and the champion; nothing is registered or released.

        Args:
            candidate: check this one instead of the winner.
            model: check this registered version as it is, without fitting anything.
            strict: what cannot be compared fails.
            allow_missing: go on where a candidate lacks a package, a device or its service; it is listed as failed.

        Raises:
            UsageError, NotFoundError: the candidate or model named makes no sense.
            MissingExtraError, CandidateError: something that a candidate needs is missing; nothing was fitted.

        Example:
            >>> [(check.name, check.outcome) for check in project.check().checks]
            [('f1_macro ≥ 0.6', 'passed'), ('non-inferior to champion films/1 within 0.01', 'passed')]
        """
        from bakeoff.actions.check import check
        from bakeoff.project.requirements import require_all

        with self._stage(title="check") as stage:
            if model is None and not allow_missing:
                require_all(self.config, stage.contenders)
            return check(stage, candidate=candidate, model=model, strict=strict)

    def advise(self, *, seconds: float = 20.0, again: bool = False) -> "Advice":
        """What to try on this data and machine, and why, from a short probe; `compared` with the last run.

        Args:
            seconds: the time for probing candidates and installed families, in all.
            again: probe even if the same was probed before.

        Example:
            >>> [(option.name, option.call) for option in project.advise(seconds=20.0).options]  # doctest: +SKIP
            [('linear', 'try first'), ('boosting', 'try'), ('embedding', 'cannot say')]
        """
        from bakeoff.actions.advise import advise
        from bakeoff.loop.advice import compared
        from bakeoff.loop.stored_outcome import last_outcome

        families, lacking = wiring.others(self.loaded)
        with self._stage(title="advise") as stage:
            advice = advise(stage, families, lacking, seconds=seconds, again=again)
        last = last_outcome(self.records, self.blobs)
        measured = () if last is None or last.dataset.version != advice.dataset else last.advice
        if last is not None and not measured:  # it was not advised: what would have been said
            measured = compared(advice.to_json(), last.candidates, last.dataset, seconds=last.seconds)
        return replace(advice, compared=measured)

    def loop_once(self) -> "LoopTurn":
        """Look at what was served; when a trigger fires, take feedback into the data and run.

        Example:
            >>> turn = project.loop_once()
            >>> turn.triggers, turn.taken_in, turn.outcome
            ((), 0, None)
        """
        from bakeoff.loop.retrain import turn

        cycle = self.cycles.open()
        if cycle is not None and cycle.state == "rollout":
            self.endpoints.steer()  # where no server does so
        with self._stage(title="loop") as stage:
            looked = turn(stage)
        if looked.outcome is not None and not looked.outcome.unchanged:
            self._back_up()
        return looked

    @property
    def cycles(self) -> "ProjectCycles":
        """What the loop did and why, what waits for a person, and what is proposed for archiving.

        Example:
            >>> project.cycles.status().cycle is None
            True
        """
        from bakeoff.project.cycles import ProjectCycles

        return ProjectCycles(self, clock=self._clock, stage=self._stage)

    def _back_up(self) -> None:
        """Keep a copy of the records after a run, for repairs."""
        if (file := wiring.sqlite_file(self.loaded)) is not None:
            from bakeoff.stores.record_check import back_up

            back_up(file)

    def verify(self, *, repair: bool = False) -> "list[Damage]":
        """Hold records, blobs, events and caches against what was written, and against each other.

        Args:
            repair: make whole what can be; what cannot is put aside, and the next run makes it again where it can.

        Returns:
            All that is damaged, with what was or what should be done about it.

        Example:
            >>> project.verify()
            []
        """
        from bakeoff.actions.verify import verify

        self._state_folder()
        damage = verify(self, wiring.sqlite_file(self.loaded), repair=repair)
        if repair and damage:
            self._note("stores repaired", "stores", {"damaged": len(damage)})
        return damage

    def _note(self, action: str, subject: str, after: Json) -> None:
        """Write what this process's user did into the audit log."""
        from bakeoff.security.audit import current_user

        self.audit.add(action, subject, who=current_user(), after=after)

    def take_in(self) -> "pl.DataFrame":
        """Let all feedback join the data without a run: the next dataset's rows and the `part` that each is in.

        Raises:
            NotFoundError: nothing is released.

        Example:
            >>> project.take_in().columns
            ['review', 'year', 'liked', 'part']
        """
        from bakeoff.loop.retrain import take_in

        with self._stage() as stage:
            return take_in(stage)

    def monitor(self, *, since_ms: int | None = None, until_ms: int | None = None) -> "MonitorReport":
        """Signals of the live release: drift, quality, latency, errors, volume.

        Raises:
            NotFoundError: nothing is released.

        Example:
            >>> project.monitor()
            MonitorReport('films', 18 signals, alerts: none)
            >>> project.monitor().signal("volume").value
            0.0
        """
        from bakeoff.loop.retrain import observe

        with self._stage(lock=False) as stage:
            return observe(stage, since_ms=since_ms, until_ms=until_ms)

    def silence(self, rule: str, *, hours: float) -> int:
        """Tell nobody of alerts by a rule (or those like a pattern, "*") for so long; until when, in milliseconds.

        Raises:
            NotFoundError: there is no such rule.

        Example:
            >>> project.silence("drift", hours=8) > 0
            True
        """
        from bakeoff.loop.retrain import alerts_of

        with self._stage(lock=False) as stage:
            until_ms = stage.clock() + int(hours * 3_600_000)
            alerts_of(stage).silence(rule, until_ms)
            return until_ms

    def test_alerts(self) -> dict[str, str | None]:
        """Tell all of `[alerts.to]` of an alert that is none: what went wrong by target, None where nothing did.

        Example:
            >>> project.test_alerts()
            {}
        """
        from bakeoff.loop.retrain import alerts_of

        with self._stage(lock=False) as stage:
            return alerts_of(stage).test(stage.clock())

    def signal_metrics(self, endpoints: Sequence[str] | None = None) -> str:
        """The newest signals of these endpoints (of all by default), in Prometheus' text format; "" if they have none.

        Example:
            >>> print(project.signal_metrics())  # doctest: +SKIP
        """
        from bakeoff.monitor.dashboards import exposition
        from bakeoff.monitor.signals import latest, newest

        documents = self.records.documents
        if endpoints is None:
            return exposition(newest(documents))
        reports = [each for name in endpoints if (each := latest(documents, name)) is not None]
        return exposition(reports) if reports else ""

    def collect(self, *, grace_s: float = 86_400.0, delete: bool = False) -> "Collected":
        """What blobs no record needs any more, and with `delete`, their removal; events are archived then, too.

        Args:
            grace_s: what was stored so lately is left alone: its record may be about to be written.
            delete: remove it; else it is only counted.

        Raises:
            UsageError: no record needs any blob, which is more likely lost records than a wish to delete everything.
            NotFoundError: a blob that a record needs is not there; nothing is deleted. `verify` tells more.
            ConflictError: a run is on.

        Example:
            >>> project.collect().deleted
            0
        """
        from bakeoff.actions.gc import collected
        from bakeoff.loop.references import references

        with self._alone():
            if delete:
                self.events.compact()
            result = collected(self.blobs, references(self.records), grace_s=grace_s, delete=delete)
        if result.deleted:
            self._note("blobs collected", "blobs", {"bytes": result.deleted})
        return result

    def expire(self, *, look: bool = False) -> "Expiry":
        """Remove predictions that are older than `keep` of their endpoint, with what belongs to them.

        Those stay that people said something of, that an open batch of the review queue asks for, and all since a
        rollout began that still goes on. Others may use the project meanwhile; a server does so by itself.

        Args:
            look: remove nothing: what would go.

        Raises:
            UsageError: the log lets nothing go. CorruptError: it is damaged.

        Example:
            >>> project.expire(look=True).predictions
            0
        """
        from bakeoff.project.retention import expire

        result = expire(self, self._clock, look=look)
        if result.events and not look:
            counts: dict[str, Json] = {
                name: getattr(result, name)
                for name in ("predictions", "shadows", "failures", "feedback", "keys", "first_ms", "last_ms")
            }
            self._note("predictions expired", "the prediction log", counts)
        return result

    def expiring(self) -> "AbstractContextManager[None]":
        """Have a thread start `expire` in a process when that is due, for as long as a server runs.

        Example:
            >>> with project.expiring():
            ...     answer = project.predict([{"review": "great film", "year": 1999}])
        """
        from bakeoff.project.retention import expiring

        return expiring(self, self._clock)

    def forget(self, key: str, *, models: bool = False) -> "Forgotten":
        """Erase a person from logs, feedback, datasets, records and caches; say which models learned from them.

        Rows that hold the key as a whole word are erased: events and traces wholly, rows of datasets become null. The
        free space of the database is overwritten. Files that are yours (sources, reports) are only looked at: what
        holds the key still is `remaining`. Servers and loops of the project must not run meanwhile.

        Args:
            key: what tells the person's rows from others': an address, a customer's number, a name.
            models: remove model versions whose files hold the key itself, too, unless an endpoint serves them.

        Raises:
            UsageError: the key is too short. ConflictError: a run is on, or another process writes to the log.

        Example:
            >>> project.forget("nobody@example.org").events
            0
        """
        from bakeoff.actions.forget import forget
        from bakeoff.core.erasure import PersonKey
        from bakeoff.security.audited import plain

        person, state = PersonKey(key), self._state_folder()
        self.close()  # the log is written by nobody meanwhile
        with self._alone():
            result = forget(
                plain(self.records),
                self.blobs,
                self.events,
                person,
                folder=self.folder,
                state=state,
                clock=self._clock,
                models=models,
                encrypted=bool(self.keyring),
            )
            self._back_up()
            counts: dict[str, Json] = {"events": result.events, "blobs": result.blobs, "records": dict(result.records)}
            self._note("person forgotten", "a person", {**counts, "remaining": len(result.remaining)})
        return result

    def holding(self, key: str) -> list[str]:
        """What holds a person's key: files of the project, snapshots, other content of its stores, and events.

        Example:
            >>> project.holding("nobody@example.org")
            []
        """
        from bakeoff.actions.forget import holding
        from bakeoff.core.erasure import PersonKey

        return list(holding(self.records, self.blobs, self.events, PersonKey(key), self.folder))

    def create_key(self) -> str:
        """Write a first key into `key_file` of `[store.encryption]`; its id.

        Raises:
            UsageError: keys come from elsewhere, or there is one.

        Example:
            >>> project.create_key()
            Traceback (most recent call last):
            bakeoff.core.errors.UsageError: expected [store.encryption] with a key_file, found none
        """
        from bakeoff.project.encryption_keys import create_file

        create_file(self._encryption(), self.folder)
        return self._new_key("encryption key created")

    def rotate_key(self) -> str:
        """Put a new key before those of `key_file`: what is written from now on is encrypted with it; its id.

        A server takes it when it starts anew. The old ones read what they wrote, until `encrypt` wrote it again.

        Raises:
            UsageError: keys come from elsewhere, or cannot be read.

        Example:
            >>> project.rotate_key()
            Traceback (most recent call last):
            bakeoff.core.errors.UsageError: expected [store.encryption] with a key_file, found none
        """
        from bakeoff.project.encryption_keys import rotate_file

        rotate_file(self._encryption(), self.folder)
        return self._new_key("encryption key rotated")

    def _encryption(self) -> "EncryptionConfig":
        if self.config.store.encryption is None:
            raise UsageError("expected [store.encryption] with a key_file, found none")
        return self.config.store.encryption

    def _new_key(self, action: str) -> str:
        self.close()  # stores are opened anew, with the keys as they are now
        newest = self.keyring.ids()[0]
        self._note(action, "encryption keys", {"key": newest})
        return newest

    def encrypt(self, *, look: bool = False) -> "Encrypted":
        """Write again the blobs and events that are not under the newest key; others may use the project meanwhile.

        Args:
            look: only count them.

        Raises:
            UsageError: nothing is to be encrypted. MissingKeyError: a key is not here; nothing is lost.

        Example:
            >>> project.encrypt()
            Traceback (most recent call last):
            bakeoff.core.errors.UsageError: expected keys in [store.encryption], received none: name where they are, ...
        """
        from bakeoff.project.encryption_keys import encrypt

        result = encrypt(self, look=look)
        if not look:
            self._note("stores encrypted", "stores", {"objects": result.objects, "events": result.events})
        return result

    def move(self, config: str | Path, *, again: bool = False) -> "Move":
        r"""Copy records, blobs and events to the stores that another file names, and check them there.

        The project's own stores stay as they are, and it goes on using them until its `[store]` names the others. What
        an earlier move copied is compared, and not copied again.

        Args:
            config: a file in TOML with a `[store]`, or a folder with a project file.
            again: what the target's records hold is removed first.

        Raises:
            ConfigError: there is no such file, or it is wrong. UsageError: the target holds something else.
            ConflictError: a run is on. CorruptError: something did not come over as it was.

        Example:
            >>> places = {"records": "sqlite:///new/records.db", "blobs": "file://new/blobs", "events": "file://new/log"}
            >>> config = project.folder / "shared.toml"
            >>> _ = config.write_text("[store]\n" + "\n".join(f'{key} = "{url}"' for key, url in places.items()))
            >>> moved = project.move(config)
            >>> moved.rows > 0, moved.blobs > 0, project.move(config).blobs_already == moved.blobs
            (True, True, True)
        """
        from bakeoff.actions.move import move, same_places

        store = load_store(Path(config))
        if same := same_places(self.config.store, store, self.folder):
            raise UsageError(
                f"expected other stores than the project's own in {str(config)!r}, received the same {', '.join(same)}"
            )
        with self._alone(), wiring.opened_stores(self.folder, store, self._clock) as target:
            return move(self, target, again=again, progress=self._pass_on)

    # --- the data -------------------------------------------------------------------------------

    @cached_property
    def snapshots(self) -> "ProjectSnapshots":
        """Snapshots of files and folders: taken, listed, compared, checked out, sent to others.

        Example:
            >>> project.snapshots
            ProjectSnapshots(0)
        """
        from bakeoff.project.snapshots import ProjectSnapshots

        return ProjectSnapshots(self, self._clock)

    def write_contract(self, *, force: bool = False) -> "WrittenContract":
        """Write a commented `contract.toml` (or what `[data] contract` names), inferred from the present data.

        Raises:
            UsageError: there is one that somebody edited, and `force` is not set.

        Example:
            >>> project.write_contract().path.name
            'contract.toml'
        """
        from bakeoff.actions.contract import write_contract

        return write_contract(self.loaded, self._state_folder() / "cache", self._pass_on, force=force)

    def check_contract(self) -> "Held":
        """Hold the present data against the contract.

        Raises:
            ConfigError: there is no contract, or it is wrong.

        Example:
            >>> _ = project.write_contract()
            >>> project.check_contract().checked.violations
            ()
        """
        from bakeoff.actions.contract import check_contract

        return check_contract(self.loaded, self._state_folder() / "cache", self._pass_on)

    def datasets(self, which: str | None = None) -> list[Version]:
        """Registered dataset versions, newest first; or the one that `which` names (number, beginning of its hash).

        Raises:
            NotFoundError: there is no such version.

        Example:
            >>> project.datasets()
            [Version(dataset films/1, ...)]
        """
        from bakeoff.actions.card import find_dataset

        found = all_versions(self.records.versions, "dataset", self.config.project.name)
        return found if which is None else [find_dataset(found, self.config.project.name, which)]

    def environments(self) -> list[Version]:
        """The environments that runs were made in, newest first.

        Example:
            >>> project.environments()
            [Version(environment films/1, ...)]
        """
        return all_versions(self.records.versions, "environment", self.config.project.name)

    def environment(self, which: str | None = None) -> EnvironmentOrigin:
        """Python, platform and packages of an environment: of this process, or of what `which` names.

        Args:
            which: an environment by number or the beginning of its hash, or a model version ("films/2", an alias).

        Raises:
            NotFoundError: there is no such environment or model.

        Example:
            >>> project.environment("films/1") == project.environment("1")
            True
        """
        from bakeoff.actions.environments import environment_of

        return environment_of(self, which)

    def sbom(self, which: str | None = None) -> dict[str, Json]:
        """A bill of materials (CycloneDX 1.6): the packages of an environment, and the models and data made in it.

        Args:
            which: as for `environment`.

        Example:
            >>> bill = project.sbom("1")
            >>> bill["bomFormat"], "machine-learning-model" in {each["type"] for each in bill["components"]}
            ('CycloneDX', True)
        """
        from bakeoff.actions.environments import bill_of

        return bill_of(self, which, time_ms=self._clock())

    def data_card(
        self, *, version: str | None = None, show_personal: bool = False, tokenizer: Path | None = None
    ) -> "DataCard":
        """What the last run's dataset version holds (or `version`; or, before any run, the data as it is now).

        `bakeoff.report.card_html.html` renders it. Personal data in examples is marked unless `show_personal`;
        `tokenizer` (a `tokenizer.json`) tells lengths in tokens too.

        Raises:
            NotFoundError: there is no such version.

        Example:
            >>> card = project.data_card()
            >>> card.rows, [column.name for column in card.columns]
            (300, ['review', 'year', 'liked'])
        """
        from bakeoff.actions.card import describe

        with self._stage(lock=False) as stage:
            return describe(stage, version=version, show_personal=show_personal, tokenizer=tokenizer)

    @contextmanager
    def _stage(
        self, *, lock: bool = True, budget_s: float | None = None, title: str | None = None
    ) -> "Generator[Stage]":
        """What a step of the lifecycle works with; with a `title` a bar shows how it goes, unless lines are taken."""
        with self.own_metrics():
            if title is None or self._progress is not None:
                with self._staged(lock=lock, budget_s=budget_s) as stage:
                    yield stage
                return
            with self._bar(title) as shown, self._staged(lock=lock, budget_s=budget_s) as stage:
                yield replace(stage, progress=shown.line, compute=CountedJobs(stage.compute, shown))

    def _bar(self, title: str) -> "AbstractContextManager[ProgressBar]":
        """A bar about long work; none where lines are taken."""
        return bar(f"{self.config.project.name}: {title}", shown=self._progress is None)

    def _pass_on(self, line: str) -> None:
        """Pass on a line about long work, where somebody takes it."""
        if self._progress is not None:
            self._progress(line)

    def own_metrics(self) -> AbstractContextManager[None]:
        """Within it, the metrics of the project's own file are found by name.

        Example:
            >>> with project.own_metrics():
            ...     project.report().leader.name
            'linear'
        """
        from bakeoff.metrics.custom import using

        decide = self.config.decide
        return using(None if decide.metrics_file is None else self.folder / decide.metrics_file, decide.costs)

    def _compute(self, *, jobs: int, workers: int = 0) -> Compute:
        state = self._state_folder()
        config = self.config
        if workers:
            config = config.model_copy(update={"compute": config.compute.model_copy(update={"workers": workers})})
        return wiring.compute(config, self.blobs, work=state / "work", cache=state / "cache", jobs=jobs)

    def corpus_compute(self, *, workers: int = 0) -> "CorpusCompute | None":
        """Where `bakeoff.prepare_corpus` prepares a corpus if the project's jobs run elsewhere; None if they run here.

        Args:
            workers: jobs at once; 0: as `[compute]` says, or one for each core of the cluster.

        Example:
            >>> where = project.corpus_compute()
            >>> bakeoff.prepare_corpus(["pages/*.jsonl"], Path("clean"), compute=where)  # doctest: +SKIP
        """
        from bakeoff.prepare.corpus.shards import CorpusCompute

        if self.config.compute.backend == "local":
            return None
        return CorpusCompute(compute=self._compute(jobs=MANY_JOBS, workers=workers), blobs=self.blobs)

    @contextmanager
    def _staged(self, *, lock: bool, budget_s: float | None) -> "Generator[Stage]":
        from bakeoff.loop.context import Stage, TimeLimit
        from bakeoff.loop.expect import expect

        require_threads()
        contenders = wiring.contenders(self.loaded)
        state = self._state_folder()
        compute = self._compute(jobs=len(contenders))
        # In the first run every contender will be fitted; what another backend lacks for one, it says at once.
        if lock and (self.config.compute.backend != "local" or not (state / "run.lock").exists()):
            expect(compute, contenders)
        if lock and (file := wiring.sqlite_file(self.loaded)) is not None:
            from bakeoff.stores.record_check import require_whole

            require_whole(file)
        work = state / "work"
        stage = Stage(
            config=self.config,
            folder=self.folder,
            records=self.records,
            blobs=self.blobs,
            events=self.events,
            compute=compute,
            contenders=contenders,
            work=work,
            cache=state / "cache",
            clock=self._clock,
            progress=self._pass_on,
            new_id=wiring.new_id,
            with_params=lambda name, params: wiring.contender(self.loaded, name, params),
            combiner=wiring.combiner,
            time=TimeLimit.of(budget_s, budget_seconds(self.config.compute.budget)),
            contract=wiring.contract(self.loaded),
        )
        shared_steps = partial(wiring.shared_steps, self.loaded, self.blobs, self.keyring, self._clock, scratch=work)
        if not lock:
            work.mkdir(exist_ok=True)
            with shared_steps(progress=self._pass_on) as shared:
                yield replace(stage, shared_steps=shared)
            return
        with self._alone() as require:
            shutil.rmtree(work, ignore_errors=True)  # what a killed run left
            work.mkdir()

            def progress(line: str) -> None:
                require()
                self._pass_on(line)

            with shared_steps(progress=progress) as shared:
                yield replace(stage, progress=progress, shared_steps=shared)

    @contextmanager
    def _alone(self) -> "Generator[Callable[[], None]]":
        """Within it nobody else runs: here by a lock, and where hosts share the records, by a lease in them."""
        state = self._state_folder()
        with held(state / "run.lock"):
            if wiring.sqlite_file(self.loaded) is not None:
                yield lambda: None
                return
            from bakeoff.project.lease import leased

            with leased(self.records.documents, state, progress=self._pass_on) as lease:
                yield lease.require

    # --- who may ----------------------------------------------------------------------------------

    def create_token(
        self,
        name: str,
        *,
        roles: Sequence[str],
        scopes: Sequence[str] = (),
        expires: str | None = None,
        who: str | None = None,
    ) -> "tuple[AccessToken, str]":
        """A new token for callers of servers, and its text, which is shown this once; written into the audit log.

        Args:
            name: what it is for.
            roles: of `viewer`, `annotator`, `caller`, `contributor`, `operator`, `admin`, and the project's own.
            scopes: what it reaches, such as `endpoint:reviews` or `experiment:*`; without any, everything.
            expires: when it ends, such as "90d"; None for never.
            who: who makes it, by default the user of this process.

        Raises:
            UsageError: a role or scope that there is not.

        Example:
            >>> token, text = project.create_token("nightly", roles=["caller"], scopes=["endpoint:*"], expires="90d")
            >>> token.name, text.startswith("bkf_")
            ('nightly', True)
        """
        from bakeoff.config.duration import seconds
        from bakeoff.security.audit import current_user

        lifetime_ms = None if expires is None else int(seconds(expires) * 1000)

        def audit(token: "AccessToken") -> "tuple[DocumentChange, ...]":
            after: Json = {"name": name, "roles": [*roles], "scopes": [*scopes], "expires_ms": token.expires_ms}
            return self.audit.changes("token created", f"token {token.id}", who=who or current_user(), after=after)

        return self._tokens.create(name, roles=roles, scopes=scopes, lifetime_ms=lifetime_ms, audit=audit)

    def tokens(self) -> "list[AccessToken]":
        """All tokens without their secrets, newest first, also those that have ended.

        Example:
            >>> token, _ = project.create_token("weekly", roles=["viewer"])
            >>> token in project.tokens()
            True
        """
        return self._tokens.all()

    def revoke_token(self, token: str, *, who: str | None = None) -> "AccessToken":
        """End a token by its id or name, in every process within a second; written into the audit log.

        Whoever signed in to pages with it, or with another of its name, is signed out.

        Raises:
            NotFoundError: there is none. UsageError: several are called so.

        Example:
            >>> token, _ = project.create_token("hourly", roles=["viewer"])
            >>> project.revoke_token(token.id).revoked_ms is None
            False
        """
        from bakeoff.security.audit import current_user

        def audit(ended: "AccessToken") -> "tuple[DocumentChange, ...]":
            after: Json = {"name": ended.name, "revoked_ms": ended.revoked_ms}
            return self.audit.changes("token revoked", f"token {ended.id}", who=who or current_user(), after=after)

        ended = self._tokens.revoke(token, audit=audit)
        self._sessions.end_all(f"{SERVICE}{ended.name}")
        return ended

    def add_person(self, name: str, password: str, *, roles: Sequence[str], scopes: Sequence[str] = ()) -> "Account":
        """An account by which a person signs in to pages; written into the audit log.

        Args:
            name: as the person signs in.
            password: of 12 characters or more; its hash is stored (argon2id).
            roles: as those of tokens.
            scopes: as those of tokens.

        Raises:
            UsageError: the password is too short, or there is no such role or scope. ConflictError: the name is taken.
            MissingExtraError: the extra `people` is not installed.

        Example:
            >>> project.add_person("ada", "correct horse battery", roles=["viewer"]).roles  # doctest: +SKIP
            ('viewer',)
        """
        from bakeoff.security.audit import current_user

        def audit(account: "Account") -> "tuple[DocumentChange, ...]":
            after: Json = {"roles": [*account.roles], "scopes": [*account.scopes]}
            return self.audit.changes("person added", f"person {name}", who=current_user(), after=after)

        return self._accounts.add(name, password, roles=roles, scopes=scopes, audit=audit)

    def people(self) -> "list[Account]":
        """All accounts, by name, without passwords.

        Example:
            >>> project.people()  # doctest: +SKIP
            []
        """
        return self._accounts.all()

    def remove_person(self, name: str) -> "Account":
        """Take an account away and end its sessions, in every process within a second; written into the audit log.

        Of people who come from a provider, and have no account here, the sessions end: they may sign in again.

        Raises:
            NotFoundError: there is neither an account nor a session.

        Example:
            >>> project.remove_person("ada").name  # doctest: +SKIP
            'ada'
        """
        from bakeoff.security.accounts import ACCOUNTS, Account
        from bakeoff.security.audit import current_user

        documents = self.records.documents

        def audit(account: "Account") -> "tuple[DocumentChange, ...]":
            after: Json = {"roles": [*account.roles]}
            return self.audit.changes("person removed", f"person {name}", who=current_user(), after=after)

        ended = self._end_sessions(name)
        if documents.get(ACCOUNTS, name) is not None or not ended:
            account = self._accounts.remove(name, audit=audit)
            self._end_sessions(name)  # of a sign-in meanwhile
            return account
        last = ended[0]
        return Account(name=name, roles=last.roles, scopes=last.scopes, created_ms=last.created_ms)

    def _end_sessions(self, name: str) -> "list[AccessToken]":
        from bakeoff.security.audit import current_user

        def audit(session: "AccessToken") -> "tuple[DocumentChange, ...]":
            after: Json = {"session": session.id, "revoked_ms": session.revoked_ms}
            return self.audit.changes("session ended", f"person {name}", who=current_user(), after=after)

        return self._sessions.end_all(name, audit=audit)

    @property
    def _accounts(self) -> "Accounts":
        return self._store("accounts", lambda: wiring.people(self.config.auth, self.records.documents, self._clock))

    @property
    def audit(self) -> "AuditLog":
        """Who changed what, chained so that an edited or missing record shows.

        Example:
            >>> project.audit.verify()
            []
        """
        from bakeoff.security.audit import AuditLog

        return self._store("audit", lambda: AuditLog(self.records.documents, self._clock))

    @property
    def _sessions(self) -> "AccessTokens":
        return wiring.open_sessions(self.config.auth, self.records.documents, self._clock)

    @property
    def _tokens(self) -> "AccessTokens":
        return self._store("tokens", lambda: wiring.open_tokens(self.config.auth, self.records.documents, self._clock))

    def authenticator(self) -> "AccessTokens | None":
        """What says who calls a server of the project; None where nobody is asked (`[auth] required`).

        Example:
            >>> project.authenticator() is None
            True
        """
        return self._tokens if self.config.auth.required else None

    def certificate(self) -> "Tls | None":
        """The certificate of the project's servers (`[tls]`); None where connections are not encrypted.

        Raises:
            UsageError: one of certificate and key is lacking.

        Example:
            >>> project.certificate() is None
            True
        """
        return wiring.certificate(self.config.tls, self.folder)

    def sign_model(self, model: str = "champion", *, key: str | Path) -> str:
        """Sign a model version with a private key (ECDSA P-256 or Ed25519, in PEM); the version that was signed.

        The signature has the form of OpenSSF Model Signing. With `[security] require_signed`, a model is loaded to be
        served only when one of `public_keys` has signed it.

        Args:
            model: a version ("name/2", "2") or an alias.
            key: the file of the key; it is read and not stored.

        Raises:
            NotFoundError: there is no such model. UsageError: the key cannot be read.

        Example:
            >>> project.sign_model("films/1", key=key_file)  # doctest: +SKIP
            'films/1'
        """
        from bakeoff.actions.sign import sign

        return sign(self, model, Path(key))

    def verify_model(self, model: str = "champion", *, keys: Sequence[str | Path] = ()) -> str:
        """See that a model version is signed, and has exactly the files that were; the fingerprint of the key.

        Args:
            model: a version ("name/2", "2") or an alias.
            keys: files of public keys; those of `[security] public_keys` by default.

        Raises:
            SecurityError: it is not signed by one of the keys, or a file is another.
            NotFoundError: there is no such model. UsageError: there is no key, or one cannot be read.

        Example:
            >>> project.verify_model("films/1", keys=[public_key_file])  # doctest: +SKIP
            '3f0c…'
        """
        from bakeoff.actions.sign import verify_version

        return verify_version(self, model, [Path(each) for each in keys])

    # --- serving --------------------------------------------------------------------------------

    def plane(self) -> "DataPlane":
        """The project's endpoints: its own, those of `[endpoints.NAME]`, and those that something was released on.

        Example:
            >>> project.plane().names
            ('films',)
        """
        from bakeoff.serve.plane import DataPlane
        from bakeoff.serve.releases import endpoints

        def names() -> list[str]:
            return sorted({*self.config.endpoints, *endpoints(self.records.documents)})

        return DataPlane(self.endpoint, names, self.engine, self._gateways())

    def _gateways(self) -> "dict[str, Gateway]":
        """The endpoints that services answer ([endpoints.NAME] upstreams)."""
        if not any(served.upstreams for served in self.config.endpoints.values()):
            return {}
        from bakeoff.project.gateways import gateways

        return gateways(self.config, self.records.documents, self.events, self._clock)

    def engine(self, endpoint: str | None = None) -> "Engine":
        """An engine that answers for one of the project's endpoints, by default its own, and follows its releases.

        Example:
            >>> engine = project.engine()
            >>> engine.predict([{"review": "great film", "year": 1999}])[0].label, engine.health().ready
            ('yes', True)
        """
        from bakeoff.prepare.personal_data.pii import redactor
        from bakeoff.prepare.steps import preparation
        from bakeoff.serve.engine import Engine
        from bakeoff.serve.releases import routed

        require_threads()
        name = self.endpoint if endpoint is None else endpoint
        settings = self.served(name)
        return Engine(
            name,
            load=self._load_release,
            routes=lambda: routed(self.records.documents, name),
            prepare=lambda table, steps, columns: preparation(steps).apply_columns(table, columns),
            events=self.events,
            clock=self._clock,
            ids=wiring.new_id,
            log=settings.log,
            sample=settings.sample,
            cache=settings.cache,
            max_rows=settings.max_rows,
            check=self._row_check,
            on_violation=settings.contract,
            unknown=settings.unknown,
            redact=redactor,
        )

    def served(self, endpoint: str) -> ServedConfig:
        """How an endpoint serves: the settings of `[endpoint]`, or of `[endpoints.NAME]`.

        Example:
            >>> project.served("reviews").log
            'required'
        """
        if endpoint == self.endpoint:
            return self.config.endpoint
        return self.config.endpoints.get(endpoint, ServedConfig())

    @cached_property
    def endpoints(self) -> "ProjectEndpoints":
        """The project's endpoints: what is released on them, and how that is changed.

        Example:
            >>> project.endpoints.show()
            EndpointStatus('films', live films/1)
        """
        from bakeoff.project.endpoints import ProjectEndpoints

        return ProjectEndpoints(self, clock=self._clock, candidates=self._candidate_versions)

    @cached_property
    def review(self) -> "ProjectReview":
        """The review queue: which predictions people should label, who has which, and quality by their answers.

        Example:
            >>> project.review.next(who="anna") is None
            True
        """
        from bakeoff.project.review import ProjectReview

        return ProjectReview(self, clock=self._clock, new_id=wiring.new_id)

    def _candidate_versions(self) -> dict[str, str]:
        return {each.name: str(each.model_version) for each in self._candidates()}

    def replay(
        self,
        model: str,
        *,
        endpoint: str | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
        limit: int = 10_000,
    ) -> "Replay":
        """Answer logged calls again with another model, and compare answers, quality (where labels are) and latency.

        Args:
            model: a version ("name/2", "2"), an alias, a candidate of the last run, or the id of a release.
            endpoint: whose calls; the project's own by default.
            since_ms: calls from then on, in milliseconds since 1970.
            until_ms: calls before then.
            limit: the most rows; of more, the last ones.

        Raises:
            NotFoundError: there is no such model, or no logged call.

        Example:
            >>> _ = project.predict([{"review": "great film", "year": 1999}] * 3)
            >>> project.replay("champion")
            Replay(films/1 on 3 rows of 'films': 100.0% the same)
        """
        from bakeoff.actions.replay import replay

        return replay(
            self,
            self.endpoint if endpoint is None else endpoint,
            model,
            candidates=self._candidate_versions(),
            since_ms=since_ms,
            until_ms=until_ms,
            limit=limit,
        )

    @property
    def fine_tuning(self) -> "ProjectFineTuning":
        """Language models that are fine-tuned on files of callers: files, jobs, and what works at them.

        Example:
            >>> project.fine_tuning
            ProjectFineTuning(0 jobs, 0 files)
        """
        from bakeoff.project.fine_tuning import ProjectFineTuning

        return ProjectFineTuning(self, self._clock, self._stage)

    def _row_check(self, contract_id: str, columns: "Sequence[Column]") -> "RowCheck":
        from bakeoff.data.contract import from_bytes
        from bakeoff.data.contract_rows import compiled

        return compiled(from_bytes(self.blobs.get(contract_id)), columns)

    @overload
    def predict(self, rows: "pl.LazyFrame") -> "pl.DataFrame": ...
    @overload
    def predict(self, rows: F) -> F: ...
    @overload
    def predict(self, rows: "NDArray[Any]") -> "NDArray[Any]": ...
    @overload
    def predict(self, rows: Iterable[Mapping[str, object]]) -> "list[Answer]": ...
    def predict(self, rows: Any) -> Any:
        """Answer rows with the live release, in this process; logged like those of the endpoint.

        Of a table come a table of the same library, with the index of a pandas frame: `label` and `probability_CLASS`
        for each class, or `value`; and `id`, by which feedback is given. Of dicts come answers. Inputs that rows lack
        stand in an answer's `gaps`; for a table they are a warning.

        Args:
            rows: dicts (also from a generator), or a table of pandas, polars, Arrow or numpy. Values may be those of
                Python (times, decimals), of numpy, pandas and Arrow; each means what it meant in training. An array
                without names has the inputs in the order of `project.model().feature_names_in_`.

        Raises:
            NotFoundError: nothing is released. DataError: a row does not fit.

        Example:
            >>> project.predict([{"review": "great film", "year": 1999}])
            [Answer('yes' (0...), id='...')]
            >>> import polars as pl
            >>> frame = pl.DataFrame({"review": ["great film", "dull film"], "year": [1999, 2001]})
            >>> project.predict(frame).columns
            ['label', 'probability_no', 'probability_yes', 'id']
        """
        from bakeoff.project.answers import answer_table, class_values, warn_of_gaps
        from bakeoff.project.frames import given_back, library_of
        from bakeoff.project.rows import as_rows

        library, signature = library_of(rows), self._engine.signature
        answers = self._answers(as_rows(rows, names=signature.input_names))
        if library is None:
            return answers
        warn_of_gaps(answers, stacklevel=2)
        table = answer_table(answers, signature, class_values(signature.classes, self.config.data, self.folder))
        return given_back(table, library, index=rows.index if library == "pandas" else None)

    def _answers(self, rows: Sequence[Mapping[str, object]]) -> "list[Answer]":
        """Answers to rows, however many: as many in a call as the endpoint takes."""
        most = self.config.endpoint.max_rows
        if len(rows) <= most:
            return self._engine.predict(rows)
        answers: list[Answer] = []
        with self._bar("predict") as shown:
            shown.more(len(rows))
            for start in range(0, len(rows), most):
                part = rows[start : start + most]
                try:
                    answers += self._engine.predict(part, before=rows[:start] if self._engine.rows_before else ())
                except DataError as error:
                    error.add_note(f"Rows are counted from row {start + 1:,} on; the {start:,} before are answered.")
                    raise
                shown.step(len(part))
        return answers

    def predict_file(self, location: str, *, folder: Path | None = None) -> "Iterator[BatchResult[Answer]]":
        """Answer the rows of a file (or of all that match a pattern) part by part, in their order.

        Files are read as `[data]` reads them, whatever their size; rows that cannot be answered are set aside and
        counted in `losses`.

        Args:
            location: a path or pattern, https://… or pypi://…, as in `[data] source`.
            folder: where paths start; the present one by default.

        Raises:
            NotFoundError: nothing is released. DataError: the file cannot be read, or has other columns.

        Example:
            >>> for part in project.predict_file("films.csv", folder=project.folder):
            ...     print(part.rows, part.results[0].label in {"no", "yes"})
            300 True
        """
        from bakeoff.project.files import answered

        parts = self._batches(location, folder, self._engine.signature.input_names)
        return answered(self._engine, parts, query=self.config.data.query is not None)

    def predict_each(self, rows: object, *, name: str = "rows") -> "Iterator[BatchResult[Answer]]":
        """Answer rows like those of a file called `name`: those that cannot be answered are set aside and counted.

        Example:
            >>> parts = list(project.predict_each([{"review": "great film", "year": "long ago"}]))
            >>> parts[0].results, parts[0].losses[0].reason
            ([], 'does not fit')
        """
        from bakeoff.project.files import answered, listed
        from bakeoff.project.rows import as_rows

        return answered(self._engine, listed(as_rows(rows), name, self._batch_rows), query=False)

    def feedback_file(
        self, location: str, *, folder: Path | None = None
    ) -> "Iterator[BatchResult[Mapping[str, Json]]]":
        r"""Take in the feedback items of a file, as `predict_file` reads rows; items that make no sense are set aside.

        Raises:
            DataError: the file cannot be read.

        Example:
            >>> answer = project.predict([{"review": "great film", "year": 1999}])[0]
            >>> _ = (project.folder / "labels.csv").write_text(f"id,label\n{answer.id},yes\n")
            >>> [part.rows for part in project.feedback_file("labels.csv", folder=project.folder)]
            [1]
        """
        from bakeoff.project.files import recorded

        return self._noted(location, recorded(self._record, self._batches(location, folder, ())))

    def _noted(
        self, location: str, parts: "Iterator[BatchResult[Mapping[str, Json]]]"
    ) -> "Iterator[BatchResult[Mapping[str, Json]]]":
        """The parts of a file of feedback; the audit log has how many items there were."""
        items = 0
        try:
            for part in parts:
                items += part.rows
                yield part
        finally:  # also of a file that is damaged at its end, and where nobody reads on
            if items:
                self._note("feedback imported", f"feedback of {Path(location).name}", {"items": items})

    def import_feedback(
        self,
        location: str,
        *,
        label: str,
        key: str | None = None,
        id: str | None = None,  # noqa: A002 - what feedback calls it
        time: str | None = None,
        source: str | None = None,
        endpoint: str | None = None,
        folder: Path | None = None,
    ) -> "Iterator[BatchResult[Mapping[str, Json]]]":
        r"""Take in ground truth out of a file, by the names of its columns; what makes no sense is set aside.

        Args:
            location: the file, as for `feedback_file`.
            label: the column that says what was true.
            key: the column of the keys that callers gave their predictions; or
            id: the column of prediction ids.
            time: the column that says since when it is known: ISO 8601, or milliseconds since 1970.
            source: who says so.
            endpoint: whose predictions the keys are of; the project's own by default.
            folder: where relative paths start; the working directory by default.

        Raises:
            UsageError: neither or both of `key` and `id`. DataError: the file cannot be read, or lacks a column.
            NotFoundError: there is no such endpoint.

        Example:
            >>> answer = project.predict([{"review": "great film", "year": 1999}])[0]
            >>> _ = project.feedback([{"id": answer.id, "key": "order 17"}])
            >>> _ = (project.folder / "truth.csv").write_text("order,outcome\norder 17,yes\n")
            >>> parts = project.import_feedback("truth.csv", key="order", label="outcome", folder=project.folder)
            >>> [part.results[0]["accepted"] for part in parts]
            [1]
        """
        from bakeoff.actions.feedback import TruthColumns, truth_items
        from bakeoff.project.files import recorded

        columns = TruthColumns(label=label, key=key, id=id, time=time, source=source)
        columns.check()
        if endpoint is not None and endpoint != self.endpoint and endpoint not in self.config.endpoints:
            self.endpoints.show(endpoint)  # a misspelt name takes in nothing
        items = truth_items(self._batches(location, folder, ()), columns)
        return self._noted(location, recorded(lambda listed: self.feedback(listed, endpoint=endpoint).to_json(), items))

    def feedback_history(
        self, prediction: str, *, by_key: bool = False, endpoint: str | None = None
    ) -> "FeedbackHistory":
        """All that was said of a prediction, and what counts of it.

        Args:
            prediction: its id; or, with `by_key`, the key that its caller gave it.
            by_key: which of them it is.
            endpoint: whose predictions the keys are of; the project's own by default.

        Raises:
            NotFoundError: there is no such prediction, or nothing was said of it.

        Example:
            >>> answer = project.predict([{"review": "great film", "year": 1999}])[0]
            >>> _ = project.feedback([{"id": answer.id, "label": "no"}, {"id": answer.id, "label": "yes"}])
            >>> history = project.feedback_history(answer.id)
            >>> len(history.items), history.resolved.label, history.resolved.rule
            (2, 'yes', 'single')
        """
        from bakeoff.actions.feedback import history

        return history(self, prediction, endpoint=endpoint or self.endpoint, by_key=by_key)

    def agreement(self, endpoint: str | None = None) -> "AnnotatorAgreement":
        """How far those who label an endpoint's predictions agree: Krippendorff's alpha, Fleiss' and Cohen's kappa.

        Raises:
            NotFoundError: no prediction has labels of two annotators.

        Example:
            >>> answers = project.predict([{"review": "great film", "year": 1990 + n} for n in range(4)])
            >>> for who, labels in (("ann", ("yes", "no", "yes", "no")), ("bob", ("yes", "no", "no", "no"))):
            ...     items = [{"id": a.id, "label": label, "source": who} for a, label in zip(answers, labels)]
            ...     _ = project.feedback(items)
            >>> project.agreement().cohen
            {'ann / bob': (0.5, 4)}
        """
        from bakeoff.actions.feedback import agreement

        return agreement(self, endpoint or self.endpoint)

    def _record(self, items: Sequence[Mapping[str, Json]]) -> Mapping[str, Json]:
        return self.feedback(items).to_json()

    def record_each(
        self, items: Sequence[Mapping[str, Json]], *, name: str = "items"
    ) -> "Iterator[BatchResult[Mapping[str, Json]]]":
        """Take in feedback like that of a file called `name`: items that make no sense are set aside and counted.

        Example:
            >>> parts = project.record_each([{"id": "unknown", "label": "yes"}])
            >>> [part.results[0]["unmatched"] for part in parts]
            [1]
        """
        from bakeoff.project.files import listed, recorded

        return recorded(self._record, listed(items, name, self._batch_rows))

    @property
    def _batch_rows(self) -> int:
        from bakeoff.data.batches import ROWS

        return min(ROWS, self.config.endpoint.max_rows)

    def _batches(self, location: str, folder: Path | None, names: Sequence[str]) -> "Generator[Batch]":
        from bakeoff.data.batches import batches
        from bakeoff.data.sources import resolve

        cache = self._state_folder() / "cache"
        files = resolve(location, folder=folder or Path.cwd(), cache=cache, progress=self._pass_on)
        return batches(files, self.config.data, names=names, rows=self._batch_rows)

    @property
    def _engine(self) -> "Engine":
        return self._store("engine", self.engine)

    def feedback(
        self,
        items: "Sequence[Mapping[str, Json]] | DataFrame",
        *,
        endpoint: str | None = None,
        reaches: "Callable[[str], bool]" = lambda _: True,
    ) -> "Recorded":
        """Take in labels, ratings, corrections or comments for predictions, and say which of them count.

        An item names a prediction by its `id`, or by the `key` that its caller gave it; with both, it gives the
        prediction that key. What comes before its prediction counts once that is there.

        Args:
            items: dicts, or a table with the column `id` or `key`, and one or more of `label`, `rating`, `correction`,
                `comment` and `implicit`.
            endpoint: whose predictions the keys are of; the project's own by default.
            reaches: whether who says this may know of an endpoint; a prediction of another one is none.

        Raises:
            DataError: an item has the wrong shape; then none is taken in.

        Example:
            >>> answer = project.predict([{"review": "great film", "year": 1999}])[0]
            >>> project.feedback([{"id": answer.id, "label": "yes"}])
            Recorded(accepted=1, unmatched=0, unusable=0)
        """
        from bakeoff.feedback.record import record
        from bakeoff.prepare.personal_data.pii import redactor
        from bakeoff.project.rows import plain_items

        redact = redactor(self.config.prepare.specs)
        return record(
            self.events,
            plain_items(items),
            endpoint=endpoint or self.endpoint,
            truth_of=self.truth_of,
            redact=redact,
            reaches=reaches,
        )

    @property
    def truth_of(self) -> "TruthOf":
        """What reads labels of feedback as the models do, by the model version that they are on.

        Example:
            >>> project.truth_of("films/1").read(" yes ")
            'yes'
        """
        from bakeoff.feedback.truth import truth_reader
        from bakeoff.registry.lineage import learned_of

        versions, data = self.records.versions, self.config.data
        return self._store(
            "truth_of",
            lambda: truth_reader(
                lambda version: learned_of(versions, version, data.target),
                self.config.project.task,
                data.labels,
                self.config.feedback,
            ),
        )

    def _load_release(self, release: "Release") -> "Model":
        if release.derived:
            from bakeoff.engines.derived import FOLDER, expect

            expect(self._state_folder() / "cache" / FOLDER, release.derived)
        return self._load(release.family, release.blob_id, release.model_version)

    def _load(self, family: str, blob_id: str, version: str) -> "Model":
        require_threads()
        folder = self._state_folder() / "cache" / "models" / blob_id
        if folder.exists() and digest_tree(folder) != blob_id:
            # A damaged copy of what may be whole; in a package it is a link to what cannot be made whole here.
            folder.unlink() if folder.is_symlink() else shutil.rmtree(folder)
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as apart:
                self.blobs.fetch(blob_id, Path(apart) / "model")
                with suppress(OSError):  # another process was faster
                    (Path(apart) / "model").rename(folder)
        require_safe(folder)
        if self.config.security.require_signed:
            from bakeoff.actions.sign import verify

            verify(self, version, blob_id, folder)
        with remote_calls(allowed=self.config.privacy.remote):
            return load_family(family).load(folder, self._compute(jobs=1).threads)

    # --- looking --------------------------------------------------------------------------------

    def last(self) -> "ProjectOutcome":
        """The outcome of the last finished run; `outcome()` gives those of others, too.

        Raises:
            NotFoundError: there is none.

        Example:
            >>> project.last().verdict.winner
            'linear'
        """
        return self.outcome()

    def outcome(self, run_id: str | None = None) -> "ProjectOutcome":
        """Everything that a finished bake-off run found and did: the last one, unless another is named.

        Raises:
            NotFoundError: there is none; of the run that is named: it did not end, or an earlier bakeoff kept nothing.

        Example:
            >>> project.outcome(project.last().run_id[:8]) == project.last()
            True
        """
        from bakeoff.loop import stored_outcome
        from bakeoff.project.outcome import outcome_of

        if run_id is not None:
            results = stored_outcome.outcome_of(self.records, self.blobs, self._run_id(run_id))
        else:
            results = stored_outcome.last_outcome(self.records, self.blobs)
        if results is None:
            raise NotFoundError(f"expected a finished run in {self.folder}, found none; run 'bakeoff run' first")
        return outcome_of(results, self, frames=self._frames)

    def _run_id(self, start: str) -> str:
        """The whole id of the run of this project whose id starts so."""
        alike = attribute("run_id", "like", f"{start}%")
        matching = [run.run_id for run in self._runs(alike, limit=2) if run.run_id.startswith(start)] if start else []
        if len(matching) != 1:
            many = "several" if matching else "none"
            raise NotFoundError(f"expected the id of a run or how one starts, received {start!r}, found {many}")
        return matching[0]

    def report(self, run_id: str | None = None) -> "RunReport":
        """The report of a finished run, the last one unless another is named.

        `bakeoff.report.html`, `.markdown` and `.pictures` render it.

        Raises:
            NotFoundError: there is none.

        Example:
            >>> report = project.report()
            >>> report.leader.name, len(report.rows) > 0
            ('linear', True)
        """
        from bakeoff.actions.report import report

        with self.own_metrics():
            return report(self, run_id)

    def what_if(
        self,
        run_id: str | None = None,
        *,
        metric: str | None = None,
        margin: float | None = None,
        price_per_hour_usd: float | None = None,
        gates: Mapping[str, Mapping[str, float | None]] | None = None,
    ) -> "WhatIf":
        """The verdict of a finished run by other rules, worked out again from its stored rows; nothing is stored.

        Args:
            run_id: the last run by default.
            metric: another one that every candidate was scored by.
            margin: by how much worse still counts as good; of another metric its default.
            price_per_hour_usd: of the machine that serves.
            gates: all of them, by metric or measurement, instead of the run's: as under [decide.gates], such as
                {"latency_p95_ms": {"max": 20}}.

        Raises:
            NotFoundError: there is no such run. UsageError: no candidate has such a metric or measurement.

        Example:
            >>> project.what_if(metric="accuracy").verdict.metric
            'accuracy'
            >>> project.what_if().verdict.winner == project.last().verdict.winner
            True
        """
        from bakeoff.actions.what_if import what_if

        return what_if(self, run_id, metric=metric, margin=margin, price_per_hour_usd=price_per_hour_usd, gates=gates)

    def explain(
        self,
        row: Mapping[str, object] | None = None,
        *,
        prediction: str | None = None,
        model: str | None = None,
        paid: bool = False,
    ) -> "RowExplanation":
        """Why a row is answered as it is: by what each column, and each word of a text, adds to the answer.

        What a run explains of its candidates stands in its outcome: `project.outcome().explanations`.

        Args:
            row: the inputs, as for `predict`.
            prediction: or the id of a prediction that was made.
            model: a candidate of the last run, or a version ("name/2", an alias); the champion by default. A prediction
                is explained by the model that made it.
            paid: ask even a service that takes money for each answer, some hundred times.

        Raises:
            UsageError: not one of row and prediction is given, or a prediction with another model, or each answer is
                paid for and `paid` is not set.
            NotFoundError: there is no such prediction or model. DataError: the row does not fit.

        Example:
            >>> project.explain({"review": "great film", "year": 1999}).columns[0].column
            'review'
        """
        from bakeoff.actions.explain import explain_prediction, explain_row
        from bakeoff.project.rows import as_rows

        if prediction is not None and model is not None:
            raise UsageError(
                f"expected no model beside a prediction, which is explained by the model that made it; received model "
                f"{model!r}: leave it out, or explain the row"
            )
        if row is not None and prediction is None:
            return explain_row(self, as_rows([row])[0], model=model, paid=paid)
        if prediction is not None and row is None:
            return explain_prediction(self, prediction, paid=paid)
        received = "neither" if row is None else "both"
        raise UsageError(f"expected a row or the id of a prediction, received {received}: name one of them")

    def compare(
        self,
        *runs: str,
        metric: str | Sequence[str] = (),
        key: str | None = None,
        truth: str | None = None,
        prediction: str | None = None,
        lower: Sequence[str] = (),
        group: str | None = None,
        time: str | None = None,
        cost: str | None = None,
        artifact: str | None = None,
        missing: "Missing" = "refuse",
        baseline: str | None = None,
        margin: float | None = None,
        confidence: float | None = None,
        log: bool = True,
    ) -> "JudgedRuns":
        """Judge runs by the rows that they logged, whoever made them: by paired tests, for all pairs at once.

        A run may have outcomes of bakeoff (a candidate's run, or a bake-off for its winner's), a table among its
        artifacts (`mlflow.log_table`, or a CSV, JSON or Parquet file), or traces with feedback
        (`mlflow.genai.evaluate`).

        Args:
            runs: ids, how these begin, or names; two or more.
            metric: a column of scores (numbers, or yes and no), or a metric of truth and prediction; the first of
                several decides, the others are shown with intervals of their own. Of bakeoff's runs, that of the first.
            key: the column by which rows are paired. Without one they are paired by number or place, if the runs
                name the same dataset; traces are paired by what was asked.
            truth: the column of true values, where its name does not say so.
            prediction: the column of predictions, likewise.
            lower: columns of scores of which less is better.
            group: the column of what rows belong to: rows of a group go together.
            time: the column of when rows happened: rows that are close in time may go together.
            cost: a metric of the runs that is the price of 1,000 rows in US dollars; known of bakeoff's own.
            artifact: the path of the table among the artifacts of each run.
            missing: what to do where a run has no prediction or score of a row: "refuse", "drop" the row for all runs,
                or count it as "wrong".
            baseline: the run that the winner must be shown to be better than, to be `passed`.
            margin: how much worse counts as no worse; a default by the metric.
            confidence: nobody wins unless it is shown, with this confidence, that it is worse than none by more.
            log: keep the judgement with the runs, where MLflow has its `compare_evaluations`.

        Raises:
            NotFoundError: a run is not there, or logged no rows. UsageError: nothing says how rows are paired, or by
                what they are judged. DataError: rows that cannot be paired or judged.

        Example:
            >>> candidates = [run.run_id for run in project.runs() if run.name != "bake-off"]
            >>> judged = project.compare(*candidates, metric="accuracy")
            >>> judged.rows, judged.key
            (60, 'row')
        """
        from bakeoff.actions.judge_runs import judge_runs, keep

        with self.own_metrics():
            judged = judge_runs(
                self.records,
                self.blobs,
                runs,
                metric=metric,
                key=key,
                truth=truth,
                prediction=prediction,
                lower=tuple(lower),
                group=group,
                time=time,
                cost=cost,
                artifact=artifact,
                missing=missing,
                baseline=baseline,
                margin=margin,
                confidence=confidence,
                seed=self.config.project.seed,
                data=self.config.data,
            )
        if log:
            keep(self.records, self.blobs, judged, self._clock)
        return judged

    def compare_runs(self, first: str, second: str) -> "RunComparison":
        """What differs between two bake-offs: data, settings, candidates, scores and verdicts.

        `compare` judges runs by their rows.

        Raises:
            NotFoundError: one of them is not there, or it has no outcome.

        Example:
            >>> last = project.last().run_id
            >>> project.compare_runs(last, last).same_data
            True
        """
        from bakeoff.actions.compare import compare_runs

        return compare_runs(self, first, second)

    def rows(
        self, part: Literal["train", "validation", "test"], run_id: str | None = None, *, frames: str | None = None
    ) -> Any:
        """Rows of a part of a run's split, as they were read; of the last run, unless another is named.

        In a project that was made of a frame, classes have their type of there, and columns that are no inputs (the
        index, an id) come along.

        Args:
            part: "train", "validation" or "test".
            run_id: of a run, or how it starts.
            frames: the library of the table; that of the project by default.

        Raises:
            NotFoundError: there is no finished run. UsageError: there is no such library.

        Example:
            >>> project.rows("test").shape
            (60, 3)
        """
        from bakeoff.project.frames import given_back
        from bakeoff.project.kept_rows import rows_of_part

        require_threads()
        chosen = self.outcome() if run_id is None else self.outcome(run_id)
        library = self._library(frames)
        return given_back(rows_of_part(self, chosen, part), library)

    def model(self, which: str | None = None) -> "Estimator":
        """A registered model ("name/2", "2", an alias; the champion by default) as an estimator of scikit-learn.

        It takes raw rows and logs nothing. Its `model` is the model itself, which takes prepared rows.

        Raises:
            NotFoundError: there is no such version.

        Example:
            >>> project.model().predict([{"review": "great film", "year": 1999}]).tolist()
            ['yes']
        """
        from bakeoff.project.answers import class_values
        from bakeoff.project.estimator import Estimator
        from bakeoff.registry.lineage import find_version, label

        version = find_version(self.records.versions, self.config.project.name, which)
        model = self._load(version.model_origin.family, version.content, label(version))
        classes = class_values(model.signature.classes, self.config.data, self.folder)
        return Estimator(self, version, model, classes)

    def export(
        self,
        which: str | None,
        folder: Path,
        *,
        form: Literal["gguf", "safetensors"] = "gguf",
        merged: bool = False,
        quantisation: str | None = None,
    ) -> "Exported":
        """Write a model that generates for llama.cpp and Ollama (`gguf`), or vLLM and transformers (`safetensors`).

        Args:
            which: a candidate of the last run or a registered version ("name/2", "2", an alias; the champion).
            folder: a new or empty one.
            form: of the files.
            merged: put an adapter into the weights instead of beside them.
            quantisation: another one than that which was measured (`gguf`).

        Raises:
            NotFoundError: there is no such model. CandidateError: it has no weights of a language model.

        Example:
            >>> project.export("tuned", Path("out"), form="safetensors")  # doctest: +SKIP
        """
        from bakeoff.actions.export import Wish, export

        known = self._candidate_versions()
        model = self.model(known.get(which, which) if which else None)
        return export(
            model.model,
            folder,
            name=known.get(which, which) if which else "champion",
            wish=Wish(form=form, merged=merged, quantisation=quantisation),
            threads=self._compute(jobs=1).threads,
            cache=self._state_folder() / "cache",
            progress=self._pass_on,
        )

    def package(
        self,
        folder: Path,
        *,
        form: "Form" = "wheel",
        endpoint: str | None = None,
        base: Path | None = None,
        image: str | None = None,
        key: Path | None = None,
        name: str | None = None,
    ) -> "Package":
        """Write the live release of an endpoint as an image, manifests, a unit of systemd, or a wheel.

        Args:
            folder: a new or empty one.
            form: "oci", "docker", "k8s", "kserve", "systemd" or "wheel".
            endpoint: whose release; the project's own by default.
            base: the image that an image ("oci") is put upon: an OCI layout or a root filesystem.
            image: what the image is called.
            key: signs an image: a private key in PEM.
            name: the Python module's; the endpoint's by default.

        Raises:
            NotFoundError: nothing is released on the endpoint. UsageError: the form needs what is not given.

        Example:
            >>> made = project.package(Path(tempfile.mkdtemp()), form="wheel")
            >>> made.module, made.files
            ('films', ('films-1+...-py3-none-any.whl',))
        """
        from bakeoff.actions.packages.package import PackageOptions, package

        options = PackageOptions(form=form, base=base, image=image, key=key, name=name)
        of = self.endpoint if endpoint is None else endpoint
        return package(self, of, folder, options, progress=self._pass_on)

    def check_package(self, package: "Package", *, endpoint: str | None = None) -> "PackageCheck":
        """Start a package that was just made, and hold its predictions against the release's.

        Raises:
            CandidateError: it does not start, or answers otherwise. UsageError: it cannot be run on this machine.

        Example:
            >>> made = project.package(Path(tempfile.mkdtemp()), form="wheel")
            >>> project.check_package(made).greatest_difference  # doctest: +SKIP
            0.0
        """
        from bakeoff.actions.packages.check import check

        return check(self, package, self.endpoint if endpoint is None else endpoint)

    def plan(self, *, rps: float, p99_ms: float, endpoint: str | None = None, seconds: float = 4.0) -> "CapacityPlan":
        """Load the live release of an endpoint here, and say what it takes to bear a given load; about a minute.

        Args:
            rps: requests of one row a second.
            p99_ms: within how many milliseconds 99 of 100 are to be answered.
            endpoint: whose release; the project's own by default.
            seconds: how long each step of the load lasts; of longer ones, numbers are surer.

        Raises:
            NotFoundError: nothing is released on the endpoint. UsageError: no such load.

        Example:
            >>> project.plan(rps=500, p99_ms=50)  # doctest: +SKIP
            CapacityPlan('films', 500/s within 50 ms: 1 replicas)
        """
        from bakeoff.actions.plan import Goal, plan

        of = self.endpoint if endpoint is None else endpoint
        return plan(self, of, Goal(rps=rps, p99_ms=p99_ms), seconds=seconds, progress=self._pass_on)

    def _candidates(self) -> "Sequence[Candidate]":
        from bakeoff.loop.stored_outcome import last_outcome

        outcome = last_outcome(self.records, self.blobs)
        return outcome.fine if outcome else ()

    def harness(
        self,
        candidate: str,
        tasks: Sequence[str],
        *,
        include: Path | None = None,
        limit: int | None = None,
        shots: int | None = None,
        chat: bool = False,
        batch: int = 8,
    ) -> "HarnessReport":
        """Run tasks of the LM Evaluation Harness on a candidate of the last run; what is found is kept with its run.

        Args:
            candidate: one with the weights of a language model.
            tasks: names of tasks or groups.
            include: a folder with tasks of your own.
            limit: documents of each task.
            shots: examples before each document, instead of as many as the task says.
            chat: ask through the chat template.
            batch: what the model reads at once.

        Raises:
            NotFoundError: there is no such candidate or task. MissingExtraError: the extra `harness` is not installed.

        Example:
            >>> report = project.harness("tuned", ["hellaswag"], limit=100)  # doctest: +SKIP
            >>> report.tasks[0].metrics[0].value  # doctest: +SKIP
            0.31
        """
        from bakeoff.actions.harness import HarnessTasks, run_harness

        selection = HarnessTasks(
            tasks=tuple(tasks),
            include=include,
            limit=limit,
            shots=shots,
            chat=chat,
            batch=batch,
            seed=self.config.project.seed,
        )
        return run_harness(self, candidate, selection, progress=self._pass_on, now_ms=self._clock())

    def runs(self, *, limit: int = 100) -> list[Run]:
        """Tracked runs, newest first.

        Example:
            >>> sorted(run.name for run in project.runs())
            ['bake-off', 'boosting', 'linear']
        """
        return self._runs(limit=limit)

    def bake_offs(self, *, limit: int = 100, commit: str | None = None, finished: bool = False) -> list[Run]:
        """Tracked runs that judged candidates, newest first; without the candidates' own runs.

        Args:
            limit: the most of them.
            commit: only those of a commit of git.
            finished: only those that came to an end.

        Example:
            >>> [run.name for run in project.bake_offs()]
            ['bake-off']
        """
        from bakeoff.actions.lineage_nodes import COMMIT
        from bakeoff.actions.runs_table import BAKE_OFF, KIND

        tags = {KIND: BAKE_OFF} if commit is None else {KIND: BAKE_OFF, COMMIT: commit}
        conditions = [
            Predicate(field=QueryField(kind="tag", key=key), operator="=", value=value) for key, value in tags.items()
        ]
        if finished:
            conditions.append(attribute("status", "=", "FINISHED"))
        return self._runs(*conditions, limit=limit)

    def _runs(self, *conditions: Predicate, limit: int) -> list[Run]:
        """Runs of the project's experiment of which these conditions hold, newest first."""
        experiment = self.records.experiments.open(self.config.project.name)
        mine = attribute("experiment_id", "=", experiment.experiment_id)
        return list(self.records.runs.search(Query(where=AllOf(parts=(mine, *conditions)), limit=limit)).items)

    def runs_table(
        self,
        filter: str | None = None,  # noqa: A002 - what MLflow calls it
        *,
        experiment: str | None = None,
        limit: int | None = None,
        frames: str | None = None,
    ) -> Any:
        """Runs of all experiments (or of one) as a table, newest first, with `metrics.*`, `params.*` and `tags.*`.

        Args:
            filter: in MLflow's grammar, as "metrics.accuracy > 0.9 and params.depth = '3'"; or and parentheses too.
            experiment: the name of the only one that is looked at.
            limit: the most rows.
            frames: the library of the table; that of the project by default.

        Raises:
            UsageError: the filter cannot be read. NotFoundError: there is no such experiment.

        Example:
            >>> project.runs_table("metrics.accuracy > 0.5")["name"].sort().to_list()
            ['boosting', 'linear']
        """
        from bakeoff.actions.runs_table import runs_table
        from bakeoff.project.frames import given_back

        table = runs_table(self.records, where=filter, experiment=experiment, limit=limit)
        return given_back(table, self._library(frames))

    def metric_history(self, metric: str, *runs: str, frames: str | None = None) -> Any:
        """Every value that a metric of these runs ever had, as a table: `run_id`, `step`, `time`, `value`.

        Args:
            metric: its name.
            runs: ids, how these begin, or names; one or more.
            frames: the library of the table; that of the project by default.

        Raises:
            UsageError: no run is named. NotFoundError: there is no such run.

        Example:
            >>> run = next(run for run in project.runs() if run.name == "linear")
            >>> project.metric_history("accuracy", run.run_id).columns
            ['run_id', 'step', 'time', 'value']
        """
        from bakeoff.actions.row_results import run_named
        from bakeoff.actions.runs_table import history_table
        from bakeoff.project.frames import given_back

        if not runs:
            raise UsageError("expected one run or more whose history is wanted, received none")
        ids = [run_named(self.records, each).run_id for each in runs]
        return given_back(history_table(self.records, ids, metric), self._library(frames))

    def runs_over_seeds(
        self,
        *metrics: str,
        over: Sequence[str] = (),
        filter: str | None = None,  # noqa: A002 - what MLflow calls it
        experiment: str | None = None,
        frames: str | None = None,
    ) -> "SeedMeans":
        """Finished runs that differ in their seeds alone, together: a `table` with a row for each setting and metric.

        Its columns say which setting it is (`candidate`, `dataset`, `params.*`), on how many `runs` it rests, and
        `mean`, `sd`, and the ends `low` and `high` of Student's 95% interval of the mean over seeds. `over` are the
        params that count as seeds, `unfinished` is how many runs were left out because they did not finish.

        Args:
            metrics: those that are wanted; all by default.
            over: the params that are seeds; by default those called seed, random_state, random_seed or rng_seed.
            filter: in MLflow's grammar, as `runs_table` takes it.
            experiment: the name of the only one that is looked at.
            frames: the library of the table; that of the project by default.

        Raises:
            UsageError: the filter cannot be read, or no run has such a metric or param.

        Example:
            >>> means = project.runs_over_seeds("accuracy")
            >>> means
            SeedMeans(2 rows over seed, 0 unfinished runs left out)
            >>> means.table.select("candidate", "runs").rows()
            [('linear', 1), ('boosting', 1)]
        """
        from bakeoff.actions.runs_table import runs_over_seeds
        from bakeoff.project.frames import given_back

        means = runs_over_seeds(self.records, metrics=metrics, over=over, where=filter, experiment=experiment)
        return replace(means, table=given_back(means.table, self._library(frames)))

    def sql(self, query: str, *, frames: str | None = None, timeout_s: float = 300.0) -> Any:
        """The answer to one SELECT (of DuckDB) over runs, metrics, predictions, feedback, traces and more, as a table.

        The views and their columns: docs/sql.md, or `bakeoff sql` without a query. The query sees nothing else.

        Args:
            query: the SELECT.
            frames: the library of the table; that of the project by default.
            timeout_s: the most seconds that it may run.

        Raises:
            DataError: it cannot be run, or takes too long.

        Example:
            >>> project.sql("SELECT name, value FROM runs JOIN metrics USING (run_id) WHERE key = 'accuracy'").columns
            ['name', 'value']
        """
        from bakeoff.actions.sql import answered, read_answer
        from bakeoff.project.frames import given_back

        with answered(query, self.records, self.events, timeout_s=timeout_s) as path:
            table = read_answer(path).collect()
        return given_back(table, self._library(frames))

    def models(self) -> list[Version]:
        """Registered model versions, newest first.

        Example:
            >>> project.models()
            [Version(model films/2, ...), Version(model films/1, ..., champion)]
        """
        return all_versions(self.records.versions, "model", self.config.project.name)

    def lineage(self, which: str | None = None) -> "Lineage":
        """What made a model version ("name/2", "2", an alias); of the champion by default.

        Raises:
            NotFoundError: there is no such version.

        Example:
            >>> lineage = project.lineage()
            >>> lineage.model.model_origin.candidate, lineage.dataset == project.datasets()[0]
            ('linear', True)
        """
        from bakeoff.registry.lineage import find_version, lineage

        versions = self.records.versions
        return lineage(versions, find_version(versions, self.config.project.name, which))

    @cached_property
    def prompts(self) -> "ProjectPrompts":
        """Prompts as versions: listed, compared, tagged.

        Example:
            >>> project.prompts
            ProjectPrompts(0)
        """
        from bakeoff.project.prompts import ProjectPrompts

        return ProjectPrompts(self)

    def model_card(self, which: str | None = None) -> "ModelCard":
        """The card of a model version; `bakeoff.report.model_card` renders it. `[card]` says what no run can know.

        Raises:
            NotFoundError: there is no such version.

        Example:
            >>> card = project.model_card()
            >>> card.version, card.card.n_test
            ('films/1', 60)
        """
        from bakeoff.actions.model_card import model_card

        return model_card(self, which)

    def write_hugging_face(self, which: str | None, folder: Path) -> list[str]:
        """Write a model version as Hugging Face shows it: card with results, `.eval_results`, the model, checksums.

        Args:
            which: the version; the champion when None.
            folder: a new or empty one.

        Returns:
            The files.

        Example:
            >>> files = project.write_hugging_face("champion", Path(tempfile.mkdtemp()) / "films")
            >>> {"README.md", "results.yaml", "signature.json"} <= {Path(file).name for file in files}
            True
        """
        from bakeoff.actions.hugging_face import write_hugging_face

        return write_hugging_face(self, which, folder)

    def write_croissant(self, folder: Path, *, version: str | None = None) -> list[str]:
        """Write a dataset version (the newest by default) with its Croissant 1.1 metadata into a folder; the files.

        Raises:
            NotFoundError: there is no such version.

        Example:
            >>> [Path(file).name for file in project.write_croissant(Path(tempfile.mkdtemp()))]
            ['rows.parquet', 'croissant.json']
        """
        from bakeoff.actions.hugging_face import write_croissant

        return write_croissant(self, folder, version)

    def model_difference(self, first: str, second: str) -> "ModelDifference":
        """What differs of two model versions: data, code, parameters, environment, metrics.

        Raises:
            NotFoundError: one of them is nowhere.

        Example:
            >>> sorted(project.model_difference("films/1", "films/2").facts)[:2]
            ['candidate', 'family']
        """
        from bakeoff.actions.model_card import model_difference

        return model_difference(self, first, second)

    def branch_changes(self, refs: str) -> "BranchChanges":
        """What a branch changes (`main..branch`): settings, files, and by the runs of its commits, data and metrics.

        Raises:
            UsageError: it is no pair of refs. NotFoundError: git knows one of them not.

        Example:
            >>> project.branch_changes("main..HEAD").settings  # doctest: +SKIP
            {'candidates.linear.penalty': (None, 2.0)}
        """
        from bakeoff.actions.git_changes import branch_changes

        return branch_changes(self, refs)

    def lineage_of(self, thing: str | None = None, *, direction: "Direction" = "both") -> "LineageGraph":
        """The graph around a thing: what it was made from ("up"), what came of it ("down"), or both.

        Args:
            thing: a model version, the id of a prediction, release or run, the beginning of a dataset's hash, the file
                of a source or prompt, or KIND:NAME (`dataset:2`, `run:3f…`); the champion by default.
            direction: "up", "down" or "both".

        Raises:
            NotFoundError: there is no such thing.

        Example:
            >>> answer = project.predict([{"review": "great film", "year": 1999}])[0]
            >>> graph = project.lineage_of(answer.id, direction="up")
            >>> [node.label for node in graph.nodes if node.kind in {"model", "source"}]
            ['films/1', 'films.csv']
        """
        from bakeoff.actions.lineage import lineage_of

        return lineage_of(self, thing, direction)

    def reproduce(
        self, which: str | None = None, *, into: str | Path, environment: "EnvironmentChoice" = "auto"
    ) -> "Reproduction":
        """Make a model version again in a clean folder, from its recorded code, data and environment, and compare.

        Args:
            which: the version ("films/2", "2", an alias); the champion by default.
            into: a new or empty folder; it becomes a project of its own.
            environment: "new" makes the recorded environment by uv, "here" takes this one, "auto" makes it unless this
                one is the same.

        Raises:
            NotFoundError: there is no such version. UsageError: the folder has files.
            StoreError: the environment cannot be made here. CandidateError: the run failed.

        Example:
            >>> again = project.reproduce("champion", into="again")  # doctest: +SKIP
            >>> again.result, again.differences  # doctest: +SKIP
            ('bit-identical', ())
        """
        from bakeoff.actions.reproduce import reproduce

        return reproduce(
            self,
            which,
            Path(into).resolve(),
            environment=environment,
            opened=lambda folder: _opened(folder, self._frames),
            progress=self._pass_on,
        )

    def open_lineage(self, graph: "LineageGraph") -> list[dict[str, Json]]:
        """A graph of lineage as events of OpenLineage.

        Example:
            >>> events = project.open_lineage(project.lineage_of(direction="up"))
            >>> [event["job"]["name"] for event in events]
            ['bake-off', 'gather']
        """
        from bakeoff.actions.open_lineage import open_lineage

        return open_lineage(graph, namespace=self.config.project.name)

    def training_rows_near(self, prediction: str, *, most: int = 5) -> "list[TrainingRow]":
        """The rows that a prediction's model learned from which are nearest to it, by Gower's distance.

        Args:
            prediction: its id.
            most: how many.

        Raises:
            NotFoundError: there is no such prediction, or its model's rows are not there any more.

        Example:
            >>> answer = project.predict([{"review": "great film", "year": 1999}])[0]
            >>> rows = project.training_rows_near(answer.id, most=2)
            >>> [row.model_version for row in rows], rows[0].distance <= rows[1].distance
            (['films/1', 'films/1'], True)
        """
        from bakeoff.actions.near_rows import training_rows_near

        return training_rows_near(self, prediction, most=most)

    def release(self) -> "Release | None":
        """What is live on the endpoint.

        Example:
            >>> release = project.release()
            >>> release.model_version if release else None
            'films/1'
        """
        from bakeoff.serve.releases import current

        return current(self.records.documents, self.endpoint)

    def status(self, run_id: str | None = None) -> "Status":
        """The project at a glance: the last run (or another), the champion, the live release, the last signals.

        Example:
            >>> status = project.status()
            >>> status.champion, status.last_run.verdict.winner
            ('films/1', 'linear')
        """
        from bakeoff.actions.status import status

        return status(self, run_id)

    def doctor(self) -> "Diagnosis":
        """Checks of the installation and the project, and what each came to.

        Example:
            >>> project.doctor().problems
            ()
        """
        from bakeoff.actions.doctor import examine

        return examine(
            self,
            lambda: [each.name for each in wiring.contenders(self.loaded)],
            lambda: wiring.try_step_cache(self.loaded, self.keyring, self._clock),
        )


def _opened(folder: Path, frames: str) -> Project:
    """A project in another process."""
    return Project(folder, frames=frames)
