"""The doors between the parts: what a family, a store and a compute backend must offer.

Each has a conformance suite in `bakeoff.testing` that built-ins, fakes and third parties all run.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

from bakeoff.core.deadline import ignore_cut
from bakeoff.core.events import Cursor, E, Event, Named, Reading
from bakeoff.core.jobs import Progress, SpreadCall, ignore_checkpoint
from bakeoff.core.ledger import Loss
from bakeoff.core.queries import Expr, Page, Query, QueryField
from bakeoff.core.records import (
    Document,
    DocumentChange,
    Experiment,
    ExperimentChange,
    Metric,
    MetricCurve,
    Registered,
    RegisteredChange,
    Run,
    RunChange,
    RunGroup,
    Version,
    VersionChange,
    VersionKind,
)
from bakeoff.core.types import Column, Json, Predictions, Schema, Signature, Task

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

__all__ = [
    "CLASS_BALANCE",
    "FEEDBACK_WEIGHT",
    "HALF_LIFE",
    "BlobStore",
    "Clock",
    "DocumentRecords",
    "EventLog",
    "ExperimentRecords",
    "Family",
    "FileTree",
    "FileTrees",
    "Filling",
    "FitJob",
    "FittedStep",
    "Likely",
    "LookingBack",
    "Losing",
    "Metered",
    "Model",
    "NumberWise",
    "Progress",
    "Recalling",
    "RecordStore",
    "Reporting",
    "RowWise",
    "RunRecords",
    "Tabular",
    "TrainingRows",
    "Transform",
    "Usage",
    "VersionRecords",
    "ignore_held",
    "ignore_loss",
    "ignore_resumed",
]

Clock: TypeAlias = Callable[[], int]
"""Milliseconds since the epoch."""


def ignore_loss(loss: Loss) -> None:
    """What a fit does with losses when nobody wants to know of them."""
    del loss


def ignore_resumed(where: str) -> None:
    """What a fit does with where it went on after a loss, when nobody wants to know of it."""
    del where


def ignore_held(predictions: "Predictions") -> None:
    """What a fit does with predictions of validation rows when nobody wants to know of them."""
    del predictions


# --- families -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FitJob:
    """All that a family may look at when it fits.

    `train` and `validation` hold the input columns and the target; the target is text for classification
    (class names) and float64 for regression, never missing. For generation they may hold `schema.rejected`,
    too. `params` is an instance of the family's `params` class. `metric` is the project's: what is chosen on
    validation rows should serve it. When `chosen` is given (what an earlier fit of the same candidate chose),
    the family must use it instead of choosing again, and `validation` may be empty. `on_loss` takes what does not reach
    the model: rows that are not used, texts that are cut, parameters that have no effect.
    A fit that chooses should end within `limit_s`, with the best so far, and tell `on_cut` what it left out for that
    (`bakeoff.core.deadline`); one that is far over it is killed. Without need the limit changes nothing. `on_held`
    takes what a model of all training rows, and of no others, says of the validation rows, in their order, where a fit
    that chooses has such a model anyway: what is combined or calibrated on these rows then needs no further fit.
    `balance`, where there is one, takes the same first, and gives the power of `CLASS_BALANCE` that serves the metric
    (None: as it is). A fit that asks uses it for all that follows, and for what it tells `on_held`; one that does not
    ask is made once more with it.
    `age_days_n` is how long before the last of them rows happened, training rows first, where they stand in the order
    of time: a family that `weighs` halves a row's weight with every `chosen[HALF_LIFE]` days of it. `is_feedback_n`
    says which rows came as feedback, training rows first: they weigh `chosen[FEEDBACK_WEIGHT]` times as much as others.
    `cache` is a folder shared by all fits of a project, for things keyed by content. A fit that left a checkpoint there
    tells `keep`, and one that goes on from such a file `on_resumed`, in words. `spread` runs a part of it in processes
    of other machines, if there are some (`bakeoff.core.jobs`).
    """

    task: Task
    schema: Schema
    train: "pl.DataFrame"
    validation: "pl.DataFrame"
    params: Any
    metric: str
    seed: int
    threads: int
    cache: Path
    progress: Progress
    chosen: Mapping[str, Json] | None = None
    on_loss: Callable[[Loss], None] = ignore_loss
    limit_s: float | None = None
    on_cut: Callable[[str], None] = ignore_cut
    on_held: Callable[[Predictions], None] = ignore_held
    balance: Callable[[Predictions], float | None] | None = None
    on_resumed: Callable[[str], None] = ignore_resumed
    keep: Callable[[Path], None] = ignore_checkpoint
    spread: SpreadCall | None = None
    age_days_n: "NDArray[Any] | None" = None
    is_feedback_n: "NDArray[Any] | None" = None


HALF_LIFE = "half_life_days"
"""What is chosen for rows in the order of time: in so many days a row's weight is halved."""
FEEDBACK_WEIGHT = "feedback_weight"
"""What is chosen where some rows came as feedback: how many times as much as another row one of them weighs."""


CLASS_BALANCE = "class_balance"
"""What is chosen where classes are of unequal size: rows weigh the inverse of their class's share to this power,
or a family that moves its answers instead moves them by it."""


@runtime_checkable
class Model(Protocol):
    """A fitted candidate. Safe to call from several threads at once."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        ...

    @property
    def chosen(self) -> Mapping[str, Json]:
        """What fitting chose on validation rows (for instance a penalty, a number of trees)."""
        ...

    def predict(self, table: "pl.DataFrame") -> Predictions:
        """Predict rows that have the signature's input columns (others are ignored); missing values allowed."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model into the existing empty `folder`, self-contained, without pickle."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a model had of a service since it was loaded.

    `rows` were asked about in `calls`, of which `cached` were answered from the disk; tokens and `cost_usd` count
    those as if they had been paid again, since serving will pay for them. `cost_usd` is None without prices.
    Of `tokens_in`, `tokens_cached` were known to the service from an earlier call; of `tokens_out`, `tokens_reasoning`
    were reasoning that nobody sees.
    `refused` rows (by the service) and `unreadable` answers got the family's fallback. `seconds` has the duration of
    each call as it was first made; up to `concurrency` of them run at once.
    """

    rows: int = 0
    calls: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    cost_usd: float | None = None
    refused: int = 0
    unreadable: int = 0
    seconds: tuple[float, ...] = ()
    concurrency: int = 1


@runtime_checkable
class RowWise(Protocol):
    """A model with a short way for few rows, for which no table is made."""

    def predict_rows(self, rows: Sequence[Mapping[str, Any]]) -> Predictions | None:
        """What `predict` says of a table of these rows, to the last bit; the values are those that the inputs store.

        The keys of a row are in the order of the inputs. None where a value is of another type, an input is absent, or
        the rows are too many for the short way: `predict` then tells what is wrong, or answers.
        """
        ...


@runtime_checkable
class NumberWise(Protocol):
    """A model with a short way for few rows of numbers."""

    def predict_numbers(self, x_nd: "NDArray[np.float64]") -> Predictions | None:
        """What `predict` says of rows whose inputs, in their order, store these numbers (NaN: none), to the last bit.

        None where an input is no number, or the rows are too many for the short way.
        """
        ...


@runtime_checkable
class Metered(Protocol):
    """A model that pays for its answers (some of them, if it is made of several models)."""

    @property
    def usage(self) -> Usage:
        """All that it has used since it was loaded."""
        ...


@runtime_checkable
class LookingBack(Protocol):
    """A model whose answer to a row depends on earlier rows of the same call: calls are not joined then."""

    @property
    def rows_before(self) -> int:
        """How many rows before a row it looks at; 0: each row stands for itself."""
        ...


@runtime_checkable
class Losing(Protocol):
    """A model that tells what of the rows it did not read, or of its answers did not come to an end."""

    def losses(self) -> tuple[Loss, ...]:
        """All that was lost since it was loaded."""
        ...


@runtime_checkable
class Likely(Protocol):
    """A model that can tell how likely a given text is as its answer: what perplexity is made of."""

    def log_likelihood(self, table: "pl.DataFrame", texts: Sequence[str]) -> "tuple[NDArray[Any], NDArray[Any]]":
        """The natural log-probability of each text as the answer to its row (n,), and its number of tokens (n,)."""
        ...


@runtime_checkable
class Recalling(Protocol):
    """A language model of which can be asked what it knows by heart; for regression it is not asked."""

    def recall(
        self, table: "pl.DataFrame", texts: Sequence[str], most: int
    ) -> "tuple[NDArray[Any], NDArray[Any], NDArray[Any]]":
        """As `Likely.log_likelihood`, and whether the model would say each text by itself (n,).

        It would, when the text (or its first `most` tokens) is what it finds likeliest after the row, token by token.
        """
        ...


@runtime_checkable
class Family(Protocol):
    """A way to build models; registered under the entry point group `bakeoff.families`.

    One whose fits use as many threads as they get, and come to the same with any number of them, may say so by a
    further attribute, `scales = True`: its fits then get all cores. One that only asks what others have trained may say
    `learns = False`: it is not fitted again on all rows. One whose fits heed `FitJob.age_days_n` says `weighs = True`
    (or has a method `weighs(params)`). One that asks a service about rows has a method
    `service(params)`, which gives its URL (see `bakeoff.core.families.service_of`): rows go to another machine only
    where the project allows it, and this is how it is known. One with parameters that need more than `requires` (a
    device, a further package) has a method `require(params)`, which raises what a fit would, before any fit begins.
    `imports` names modules that fits and predictions import where they use them: workers then begin with these (see
    `bakeoff.core.jobs.Compute.expect`); a method `imports_for(schema, classes)` names more, where the rows that were
    read need them. One that is of no use where no input is a text may say so by
    `reads_texts = True`: advice does not try it on tables of numbers.
    """

    name: str
    tasks: frozenset[Task]
    params: type[Any]
    """A frozen dataclass whose fields all have defaults: the keys of `[candidates.NAME]`."""
    requires: tuple[str, ...]
    """Distributions whose versions can change the result; they enter the key of a fit."""
    extra: str | None
    """The extra of bakeoff (or None) that installs them."""

    def fit(self, job: FitJob) -> Model:
        """Fit a model; same job → same model. `CandidateError` when it cannot be done."""
        ...

    def load(self, folder: Path, threads: int, cache: Path | None = None) -> Model:
        """Read what `Model.save` wrote; `CorruptError` when it is damaged.

        `cache` is the folder that fits shared, for a caller that predicts rows which fits may have seen.
        """
        ...


# --- preparation that is fitted -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """All that a fitted step may look at: the input columns of the training rows, and their target."""

    table: "pl.DataFrame"
    columns: tuple[Column, ...]
    target: "pl.Series"
    task: Task
    seed: int


class Transform(Protocol):
    """What a fitted step learned: a frozen dataclass of JSON values, saved with the model.

    Rows and their order stay, and so do columns that it does not know; so no row's result depends on another row.
    Values that training rows did not have (missing, unseen) never fail.
    """

    def __call__(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """The table with input columns rewritten, added or dropped."""
        ...

    def columns(self, columns: tuple[Column, ...]) -> tuple[Column, ...]:
        """The input columns that come out when these go in."""
        ...


@runtime_checkable
class RowTransform(Protocol):
    """A transform that knows a short way for single rows: one as a table takes longer than all else."""

    def in_row(self, row: dict[str, Any]) -> None:
        """Rewrite the stored values of one row, in place, to what the table of that row would hold."""
        ...


@runtime_checkable
class Filling(Protocol):
    """A transform that fills gaps: what the user chose for them goes before what a model does with them."""

    @property
    def fills(self) -> Collection[str]:
        """The input columns whose gaps it fills."""
        ...


class FittedStep(Protocol):
    """A preparation step that learns from training rows; registered under `bakeoff.prepare`.

    It belongs to the model: it is fitted with every candidate and saved beside it.
    """

    @property
    def name(self) -> str:
        """The name in `[prepare] steps`."""
        ...

    @property
    def version(self) -> int:
        """Counts up when results change."""
        ...

    @property
    def kind(self) -> Literal["fitted"]:
        """What tells it from the steps that learn nothing."""
        ...

    @property
    def params(self) -> type[Any]:
        """A frozen dataclass whose fields all have defaults: the keys beside `name` in the project file."""
        ...

    @property
    def transform(self) -> type[Any]:
        """The class of what `fit` learns."""
        ...

    @property
    def requires(self) -> tuple[str, ...]:
        """Distributions whose versions can change results."""
        ...

    def fit(self, rows: TrainingRows, params: Any) -> "tuple[Transform, pl.DataFrame]":
        """What was learned, and the training rows as a model should see them.

        Those differ from what the transform makes of them when it holds their own targets (target encoding).
        `CandidateError` when the columns that the parameters name are not there or not of a kind that fits.
        """
        ...


# --- stores -------------------------------------------------------------------------------------


class ExperimentRecords(Protocol):
    """Groups of runs."""

    def open(self, name: str) -> Experiment:
        """The experiment called `name`, made when there is none, deleted or not."""
        ...

    def create(
        self, name: str, *, tags: Mapping[str, str] | None = None, location: str = "", experiment_id: str | None = None
    ) -> Experiment:
        """A new one; `ConflictError` when there is one of this name, deleted or not.

        `experiment_id` is for one whose id clients know beforehand ("0", MLflow's default).
        """
        ...

    def get(self, experiment_id: str) -> Experiment:
        """The experiment; `NotFoundError` when there is none."""
        ...

    def search(self, query: Query) -> Page[Experiment]:
        """By the attributes `experiment_id`, `name`, `created_ms` and `updated_ms`, and by tags."""
        ...

    def apply(self, changes: Sequence[ExperimentChange]) -> None:
        """All of them or none; `NotFoundError`, or `ConflictError` when a name is taken."""
        ...


class RunRecords(Protocol):
    """Tracked runs, with MLflow's semantics."""

    def start(
        self,
        experiment_id: str,
        name: str,
        *,
        run_id: str | None = None,
        parent_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        start_ms: int | None = None,
        location: str = "",
    ) -> Run:
        """Create a RUNNING run; with a `run_id` that exists, set that run RUNNING again and return it."""
        ...

    def apply(self, changes: Sequence[RunChange]) -> None:
        """All of them or none, durable when it returns; calls that come at once share one commit.

        A change with `new` creates its run as `start` does. `ConflictError` when a param would change its value, or
        something but its restoration befalls a deleted run.
        """
        ...

    def get(self, run_id: str) -> Run:
        """The run, deleted or not; `NotFoundError` when there is none."""
        ...

    def search(self, query: Query) -> Page[Run]:
        """By metrics (their latest value), params and tags, and the attributes that are fields of `Run`."""
        ...

    def groups(self, query: Query, by: QueryField | None = None, *, metrics: Sequence[str] = ()) -> Sequence[RunGroup]:
        """The runs that a query finds, whatever its order and page, by their value of an attribute, param or tag.

        The largest groups come first, at most `query.limit`; without a field, all runs are one group. `metrics` are
        those whose ranges are wanted. A group without runs is none.
        """
        ...

    def history(self, run_id: str, key: str, *, limit: int | None = None, page: str | None = None) -> Page[Metric]:
        """The values of one metric in the order of (step, time_ms), all of them without a limit."""
        ...

    def curves(self, run_ids: Sequence[str], key: str) -> Mapping[str, MetricCurve]:
        """The histories of one metric of several runs as arrays; a run that never had it is left out.

        `NotFoundError` when there is no such run.
        """
        ...


class VersionRecords(Protocol):
    """Immutable registered things, the names that they are versions of, and movable aliases."""

    def register(
        self,
        kind: VersionKind,
        name: str,
        content: str,
        *,
        run_id: str | None = None,
        lineage: Mapping[str, Json] | None = None,
        tags: Mapping[str, str] | None = None,
        description: str = "",
        always: bool = False,
    ) -> Version:
        """Add the next number.

        The same (kind, name, content, run_id) again returns the version that exists, unless `always`.
        """
        ...

    def get(self, kind: VersionKind, name: str, number: int) -> Version:
        """One version; `NotFoundError` when there is none."""
        ...

    def by_alias(self, name: str, alias: str) -> Version | None:
        """The model version that the alias names, or None."""
        ...

    def search(self, query: Query) -> Page[Version]:
        """Versions by tags and the attributes that are fields of `Version`."""
        ...

    def registered(self, query: Query) -> Page[Registered]:
        """Names of versions by tags and the attributes `kind`, `name`, `created_ms` and `updated_ms`."""
        ...

    def apply(self, changes: Sequence[RegisteredChange | VersionChange]) -> None:
        """All of them or none; `NotFoundError` when there is no such version, `ConflictError` when a name is taken."""
        ...


class DocumentRecords(Protocol):
    """Small JSON documents with compare-and-swap: step results, endpoint pointers, releases, signals."""

    def get(self, collection: str, key: str) -> Document | None:
        """The document, or None."""
        ...

    def put(self, collection: str, key: str, body: Mapping[str, Json], *, expected: int | None = None) -> Document:
        """Write; without `expected` the last write wins.

        With it (a revision; 0 = must not exist) the write is a compare-and-swap: `ConflictError` when the
        revision is another.
        """
        ...

    def find(self, collection: str, prefix: str = "") -> list[Document]:
        """Documents whose key starts with `prefix`, ordered by key."""
        ...

    def delete(self, collection: str, key: str) -> None:
        """Remove it if it exists."""
        ...

    def apply(self, changes: Sequence[DocumentChange]) -> None:
        """All of them or none, durable when it returns; calls that come at once share one commit.

        `ConflictError` when the revision is not the expected one.
        """
        ...

    def search(self, collection: str, query: Query) -> Page[Document]:
        """By the fields that documents were written with, and `id` (their key), `created_ms` and `updated_ms`."""
        ...

    def count(self, collection: str, where: Expr | None = None) -> int:
        """Of how many documents a condition holds, without reading them."""
        ...


class RecordStore(Protocol):
    """All records behind one URL.

    What is registered under `bakeoff.stores` opens a store. Its name says what it opens and for which scheme of URLs:
    `records+SCHEME`, `blobs+SCHEME`, `events+SCHEME`. It is called as `opener(url, folder=…, clock=…)`; relative paths
    in the URL start at the project's `folder`.
    """

    @property
    def experiments(self) -> ExperimentRecords:
        """Groups of runs."""
        ...

    @property
    def runs(self) -> RunRecords:
        """Tracked runs."""
        ...

    @property
    def versions(self) -> VersionRecords:
        """Registered versions."""
        ...

    @property
    def documents(self) -> DocumentRecords:
        """JSON documents."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


@runtime_checkable
class Tabular(Protocol):
    """Records that give what they hold as tables, for questions in SQL; a `RecordStore` need not."""

    def tables(self) -> "AbstractContextManager[Callable[[str], Iterator[pl.DataFrame]]]":
        """Within it, a table by its name, in batches of rows, all tables of one state; see `bakeoff.stores.tables`."""
        ...


@runtime_checkable
class Reporting(Protocol):
    """A store that knows whether its server answers; others are taken to be there until a call fails."""

    def problem(self) -> str | None:
        """Why it cannot be used at the moment; None when it can, as far as is known."""
        ...


class BlobStore(Protocol):
    """Content-addressed bytes and folders. An id is a BLAKE3 hex digest of the content (or of a tree's manifest)."""

    def put(self, data: bytes | Path) -> str:
        """Store bytes, or a file's content; durable when it returns. `StoreError` when there is no room.

        Content that is stored already is compared with what is there: storing it again heals what is damaged.
        """
        ...

    def get(self, blob_id: str) -> bytes:
        """Read and verify; `NotFoundError`, `CorruptError`."""
        ...

    def put_tree(self, folder: Path, *, cut: bool = True) -> str:
        """Store a folder (relative POSIX paths, regular files only).

        Large files are `cut`, so that others almost like them share their bytes. Else each is one object, which a store
        gets by one call: for what only goes from one job to the next. It is read whole into memory.
        """
        ...

    def fetch(self, blob_id: str, target: Path) -> Path:
        """Write a blob to the file, or a tree into the folder, `target`, verified, all or nothing.

        The copy is for use now: it need not survive a loss of power.
        """
        ...

    def contains(self, blob_id: str) -> bool:
        """Whether it is there (not verified)."""
        ...

    def intact(self, blob_id: str) -> bool:
        """Whether it is there with all its parts, every byte as it was stored; reads all of it."""
        ...

    def size_bytes(self, blob_id: str) -> int:
        """Logical size of a blob or of a tree's files."""
        ...

    def collect(self, roots: Sequence[str], *, grace_s: float = 86_400.0, delete: bool = True) -> int:
        """Delete what no root reaches and is older than the grace period; bytes freed. Refuses empty roots.

        Without `delete` nothing is deleted: the bytes that would be freed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTree:
    """A tree of blobs: its id, and the id and size of each file."""

    id: str
    files: Mapping[str, tuple[str, int]]


@runtime_checkable
class FileTrees(Protocol):
    """A store of blobs that takes the files of a tree one by one, and keeps links and what is executable.

    A `BlobStore` need not be one.
    """

    def put_files(
        self,
        files: Mapping[str, str | tuple[str, int]],
        links: Mapping[str, str] | None = None,
        executable: frozenset[str] = frozenset(),
    ) -> FileTree:
        """Store a tree: name → path of the file, or id and size of one that is stored already; links with targets.

        `executable` names files that come back as such. `DataError` when a file changes while it is read.
        """
        ...

    def links(self, tree_id: str) -> Mapping[str, str]:
        """Links in a tree: name → target."""
        ...

    def executable(self, tree_id: str) -> frozenset[str]:
        """Names of the files in a tree that are executable."""
        ...


class EventLog(Protocol):
    """Append-only log of events: the classes of `bakeoff.core.events`."""

    def append(self, events: Sequence[Event], *, durable: bool = True) -> None:
        """Add events; thread-safe. Each gets its `time_ms` from the clock unless it has one.

        With `durable` it returns only after they are on disk (group commit ≤ 10 ms).
        """
        ...

    def submit(self, events: Sequence[Event], *, urgent: bool = True) -> Future[None]:
        """Add events as `append` does, but do not wait: the future ends when they are on disk, or says why not.

        Those that are not urgent are gathered for a moment, which costs less.

        Raises:
            StoreError: too much is waiting to be written.
        """
        ...

    def read(
        self,
        *kinds: type[E],
        after: Cursor | None = None,
        since_ms: int | None = None,
        until_ms: int | None = None,
    ) -> Reading[E]:
        """Events of these classes with since_ms ≤ time_ms < until_ms in the order of appending, and how far they go.

        With `after`, only those that a reading up to that cursor had not given: by their place in the log, not by time,
        so that a clock that is set back hides nothing. A cursor survives compaction and a restart. `RawPrediction` in
        the place of `PredictionEvent` leaves rows and probabilities JSON.

        Raises:
            NotFoundError: while reading; the log has no such place (it was lost, or an older one was restored).
        """
        ...

    def get(self, kind: type[Named], ids: Collection[str]) -> Sequence[Named]:
        """The events of this class with one of these ids, in the order of appending, without reading the log."""
        ...

    def scan(self, kind: type[Event]) -> "pl.LazyFrame":
        """All events of this class as a table in no order, a column for each field and `seq`, the event's number.

        Mappings, and values of any type, are JSON text. A value that may be a number or a text has two columns: the
        number, and `NAME_text`.
        """
        ...

    def problem(self) -> str | None:
        """Why events cannot be written at the moment; None when they can, as far as is known."""
        ...

    def compact(self) -> int:
        """Move what is not written any more to where it is small, and fast to find; the number of events moved."""
        ...

    def close(self) -> None:
        """Flush and close."""
        ...
