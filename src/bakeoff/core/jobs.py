"""Jobs: pieces of work that run in another process or on another machine, and the door of what runs them.

A job's argument is one struct. The function is called with it, and the cache key of the job's result is made of it, so
that a setting is added in one place: as a field. A field that the result does not depend on is marked `OUTSIDE_KEY`.
What a job reads and makes are blobs by name; it gets paths of its own for both, so no path is ever sent.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from bakeoff.core.closure import code_of
from bakeoff.core.errors import OutOfBudget, UsageError
from bakeoff.core.hashing import digest_json
from bakeoff.core.refs import BlobRef
from bakeoff.core.types import Json

__all__ = [
    "METRICS",
    "MODEL",
    "OUTSIDE_KEY",
    "ROWS",
    "TABLE",
    "Argument",
    "Compute",
    "Job",
    "JobContext",
    "JobResult",
    "Peer",
    "Progress",
    "Resources",
    "SpreadCall",
    "argument_of",
    "call",
    "ignore_checkpoint",
    "job_key",
    "key_fields",
    "module_of",
]

Progress: TypeAlias = Callable[[str], None]
"""Takes one short line about what is going on; must be cheap."""

OUTSIDE_KEY = msgspec.Meta(extra={"key": False})
"""Marks a field of an `Argument` on which the result does not depend: `remote: Annotated[bool, OUTSIDE_KEY]`."""

TABLE, ROWS, METRICS, MODEL = "table.parquet", "rows.npz", "metrics.py", "model"
"""Inputs and outputs that several jobs have: the prepared table, the arrays of `bakeoff.data.row_numbers`, the
project's own metrics, and a saved model."""

_Value = TypeVar("_Value", bound=msgspec.Struct)


class Argument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a job takes beside its inputs. All fields but those marked `OUTSIDE_KEY` are in the key of its result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a job needs of a machine; 0 threads: its share, as the backend sees it; 0 bytes: not known.

    With more than one of `processes` it is work for so many at once, each of which has these threads: a backend of
    several machines may give the job a `SpreadCall`, and else the job starts them itself.
    """

    threads: int = 0
    memory_bytes: int = 0
    gpus: int = 0
    processes: int = 1


def ignore_checkpoint(path: Path) -> None:
    """What becomes of a checkpoint where the cache is all that is needed to go on."""
    del path


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One of the `size` processes that call a function together, the `rank`-th; `device` is the number of its GPU.

    `cache`, `progress` and `keep` are those of `JobContext`, on its machine.
    """

    rank: int
    size: int
    device: int
    cache: Path
    progress: Progress
    keep: Callable[[Path], None]


class SpreadCall(Protocol):
    """Calls a function in several processes at once, on whatever machines, connected by `torch.distributed`."""

    def __call__(
        self, function: Callable[[Any, Peer], tuple[Path, Any]], argument: Any, *, size: int, needs: Sequence[Path]
    ) -> tuple[Path, Any]:
        """What the first process gives: a folder below its cache, which is then below this machine's, and a value.

        All of them are called again when one is lost, as many as there is room for, with what was kept in their caches.

        Args:
            function: of a module; it and its argument are pickled.
            argument: what it takes beside the `Peer`.
            size: how many processes, at most.
            needs: folders below this machine's cache that are then below each one's.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What a job's function is given beside its argument.

    `inputs` are the job's inputs as files or folders, to be read only. Under the paths of `outputs`, which do not
    exist yet, it leaves a file or a folder each. `scratch` is an empty folder for what nobody wants afterwards, `cache`
    one that jobs of a project share on a machine, for things keyed by content. `threads` may be used. `keep` takes a
    file of the cache from which the job could go on: where it is begun again on another machine, it has the last one.
    `spread` is there if the backend has processes of other machines for it.
    """

    inputs: Mapping[str, Path]
    outputs: Mapping[str, Path]
    scratch: Path
    cache: Path
    threads: int
    progress: Progress
    keep: Callable[[Path], None] = ignore_checkpoint
    spread: SpreadCall | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A call that can run in another process or on another machine.

    `function` is "module:name" of a function (argument: an `Argument`, context: `JobContext`) → a struct or JSON.
    `inputs` are blobs or trees by the names that the function knows them by, `outputs` the names of what it makes.
    Jobs that require the same distributions may share what has been imported of them. One that is `short` may run in a
    process that has done others like it, so that what its module keeps between calls is made once for many, and folders
    that it leaves are stored without cuts. `modules`
    are those that it imports; None: not known, so that what it requires may be imported whole before it begins.
    """

    name: str
    function: str
    argument: Argument
    inputs: Mapping[str, BlobRef] = field(default_factory=dict[str, BlobRef])
    outputs: tuple[str, ...] = ()
    resources: Resources = Resources()
    requires: tuple[str, ...] = ()
    modules: tuple[str, ...] | None = None
    short: bool = False

    @property
    def module(self) -> str:
        """The module of the function."""
        return module_of(self.function)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What became of a job: its `value` and `outputs`, or an `error` in one line with the `traceback`, if any.

    `out_of_budget`: the error is that a budget of money was used up.
    """

    name: str
    value: Mapping[str, Json] | None = None
    outputs: Mapping[str, BlobRef] = field(default_factory=dict[str, BlobRef])
    error: str | None = None
    traceback: str | None = None
    out_of_budget: OutOfBudget | None = None
    seconds: float = 0.0
    peak_memory_bytes: int = 0


class Compute(Protocol):
    """Runs jobs.

    What is registered under `bakeoff.compute` makes one: `make(blobs=…, work=…, cache=…, workers=…, threads=…,
    jobs=…)`. Inputs come from the `blobs`, and outputs go there; `work` is a folder for scratch, `cache` one that
    lasts. 0 workers or threads mean "choose yourself", `jobs` is how many are to be expected. Its name is what stands
    before the colon in `[compute] backend`; where something stands after it, the whole comes as `address`, too.
    """

    @property
    def threads(self) -> int:
        """Threads that one job may use when `workers` run at once."""
        ...

    @property
    def cores(self) -> int:
        """Threads that all jobs together may use: what a job that runs alone may ask for."""
        ...

    def expect(self, function: str, requires: Sequence[str], resources: Resources, modules: Sequence[str] = ()) -> None:
        """Such a job will come, and import these modules: they may be made ready meanwhile; nothing has to be."""
        ...

    def run(
        self, jobs: Iterable[Job], *, progress: Callable[[str, str], None], exclusive: bool = False
    ) -> Iterator[JobResult]:
        """Run jobs and yield each result as it comes; a crash of one does not touch the others.

        A job is taken when there is room for it, so that an iterator can make the next one of what came before.
        `progress(job_name, line)`; `exclusive` runs them one at a time (for timings).
        """
        ...


def module_of(function: str) -> str:
    """The module of a job's function.

    >>> module_of("bakeoff.train.worker:fit")
    'bakeoff.train.worker'
    """
    return function.partition(":")[0]


def job_key(job: Job, *code: str, environment: Mapping[str, Json]) -> str:
    """The hash of all that a job's result depends on.

    Args:
        job: its function, argument (but for what is marked), inputs and outputs count; its name and resources do not.
        code: hashes of the code that the function loads by name, such as the family's; its own imports count anyway.
        environment: versions of the distributions that it stands on.
    """
    return digest_json(
        {
            "function": job.function,
            "argument": key_fields(job.argument),
            "inputs": dict[str, Json](job.inputs),
            "outputs": list[Json](job.outputs),
            "code": [code_of(job.module), *code],
            "environment": dict(environment),
        }
    )


def key_fields(argument: Argument) -> dict[str, Json]:
    """The fields of an argument that a result depends on, as JSON."""
    hints = get_type_hints(type(argument), include_extras=True)
    every: dict[str, Json] = msgspec.to_builtins(argument)
    return {name: value for name, value in every.items() if not _outside(hints[name])}


def call(function: str, argument: Json, context: JobContext) -> dict[str, Json]:
    """Call the function of a job, as a worker does: its argument and value are JSON here and structs there."""
    module, _, name = function.partition(":")
    work = getattr(import_module(module), name)
    return msgspec.to_builtins(work(argument_of(work.__annotations__["argument"], argument), context))


def _outside(hint: Any) -> bool:
    return get_origin(hint) is Annotated and OUTSIDE_KEY in get_args(hint)[1:]


def argument_of(kind: type[_Value], value: Any) -> _Value:
    """The argument of a job from its JSON.

    Raises:
        UsageError: it is another's.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"expected the JSON of a {kind.__name__}, received one with a problem: {error}") from error
