"""Fit one candidate in a process of its own: from a table and row numbers on disk to a model folder."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from bakeoff.chat.privacy import remote_calls
from bakeoff.core.errors import CandidateError, UsageError
from bakeoff.core.families import load_family
from bakeoff.core.ledger import Loss
from bakeoff.core.memory import peak_memory_bytes
from bakeoff.core.protocols import Family, FitJob, Progress
from bakeoff.core.types import Json, Schema, Task
from bakeoff.train.params import check_params

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FIT", "HELD", "HOLD_OUT", "FitArgument", "FitValue", "fit", "hold_out", "job_of"]
__all__ += ["table_of"]

FIT = "bakeoff.train.worker:fit"
HOLD_OUT = "bakeoff.train.worker:hold_out"
"""What `core.protocols.Job.function` names."""
HELD = "held.npz"


class FitArgument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `fit` takes; `msgspec.to_builtins(argument)` makes the JSON of a job.

    `family` is the name of its entry point. `rows_path` is an .npz with int64 arrays `train` and `validation` of row
    numbers of the Parquet table. `rows` = "all" fits every row of the table and needs `chosen`.
    `out_dir` is the model folder to make; it appears when it is complete, and one that exists is replaced.
    `remote` says whether rows may be sent to services on other machines.
    """

    family: str
    params: dict[str, Any]
    task: Task
    schema: Schema
    metric: str
    table_path: str
    rows_path: str
    seed: int
    threads: int
    cache_dir: str
    out_dir: str
    chosen: dict[str, Any] | None = None
    rows: Literal["train", "all"] = "train"
    remote: bool = False


class FitValue(msgspec.Struct, frozen=True, kw_only=True):
    """What `fit` gives; the model's signature stands in the folder's `signature.json`, too."""

    train_s: float
    peak_memory_bytes: int
    size_bytes: int
    chosen: dict[str, Any]
    signature: dict[str, Any]
    classes: list[str]
    losses: list[Loss] = msgspec.field(default_factory=list[Loss])


def fit(argument: Mapping[str, Json], progress: Progress) -> dict[str, Json]:
    """Fit and save a candidate; argument and value are the JSON of `FitArgument` and `FitValue`.

    Raises:
        UsageError: the argument is not a `FitArgument`.
        ConfigError: the family does not take the parameters.
        CandidateError: the candidate cannot be fitted.
    """
    from threadpoolctl import threadpool_limits

    asked = _asked(argument)
    family = load_family(asked.family)
    if asked.task not in family.tasks:
        raise CandidateError(
            f"expected a task of family {family.name!r} ({', '.join(sorted(family.tasks))}), received {asked.task!r}"
        )
    losses: list[Loss] = []
    job = replace(job_of(asked, family, progress), on_loss=losses.append)
    started = time.perf_counter()
    with threadpool_limits(asked.threads), remote_calls(allowed=asked.remote):
        model = family.fit(job)
    train_s = time.perf_counter() - started
    out = Path(asked.out_dir)
    _publish(model.save, out)
    value = FitValue(
        train_s=train_s,
        peak_memory_bytes=peak_memory_bytes(),
        size_bytes=sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        chosen=dict(model.chosen),
        signature=msgspec.to_builtins(model.signature),
        classes=list(model.signature.classes),
        losses=losses,
    )
    return msgspec.to_builtins(value)


def hold_out(argument: Mapping[str, Json], progress: Progress) -> dict[str, Json]:
    """Fit on training rows alone, with what an earlier fit chose, and keep what that says of validation rows.

    What `fit` makes has seen the validation rows and says of them what it says of no others. The argument is
    the JSON of a `FitArgument` with `chosen`; `out_dir` gets the file `held.npz`: `truth_n`, `values_n`,
    and for classification `probabilities_nk` and `classes`.

    Raises:
        UsageError, ConfigError, CandidateError: as for `fit`.
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    asked = _asked(argument)
    if asked.chosen is None:
        raise UsageError("expected 'chosen' of an earlier fit, received None")
    family = load_family(asked.family)
    job = job_of(asked, family, progress)
    with threadpool_limits(asked.threads), remote_calls(allowed=asked.remote):
        model = family.fit(replace(job, validation=job.validation[:0]))
    said = model.predict(job.validation.drop(asked.schema.target))
    kept: dict[str, Any] = {"truth_n": job.validation[asked.schema.target].to_numpy(), "values_n": said.values_n}
    if asked.task != "regression":
        kept = {name: values_n.astype(np.str_) for name, values_n in kept.items()}
    if said.probabilities_nk is not None:
        kept |= {"probabilities_nk": said.probabilities_nk, "classes": np.asarray(said.classes, dtype=np.str_)}
    out = Path(asked.out_dir)
    out.mkdir(parents=True, exist_ok=True)
    np.savez(out / HELD, allow_pickle=False, **kept)
    return {"rows": len(said)}


def _asked(argument: Mapping[str, Json]) -> FitArgument:
    try:
        return msgspec.convert(argument, FitArgument)
    except msgspec.ValidationError as error:
        raise UsageError(f"expected the JSON of a FitArgument, received one with a problem: {error}") from error


def job_of(asked: FitArgument, family: Family, progress: Progress) -> FitJob:
    """What the argument asks a family to fit, with its tables read."""
    train, validation = _tables(asked)
    cache = Path(asked.cache_dir)
    cache.mkdir(parents=True, exist_ok=True)
    return FitJob(
        task=asked.task,
        schema=asked.schema,
        train=train,
        validation=validation,
        params=check_params(family, asked.params),
        metric=asked.metric,
        seed=asked.seed,
        threads=asked.threads,
        cache=cache,
        progress=progress,
        chosen=asked.chosen,
    )


def table_of(asked: FitArgument) -> "pl.DataFrame":
    """All rows: inputs and target alone, the target in its stored type; rejected answers where there are any."""
    import polars as pl

    target = pl.col(asked.schema.target).cast(pl.String if asked.task == "classification" else pl.Float64)
    if asked.task == "generation":
        target = pl.col(asked.schema.target)
    rejected = [asked.schema.rejected] if asked.schema.rejected else []
    return pl.read_parquet(asked.table_path).select(*asked.schema.inputs, target, *rejected)


def _tables(asked: FitArgument) -> tuple["pl.DataFrame", "pl.DataFrame"]:
    """The rows to fit on and those to choose on."""
    import numpy as np

    table = table_of(asked)
    if asked.rows == "all":
        if asked.chosen is None:
            raise UsageError("expected 'chosen' of an earlier fit with rows = 'all', received None")
        return table, table[:0]
    with np.load(asked.rows_path, allow_pickle=False) as rows:
        return table[rows["train"]], table[rows["validation"]]


def _publish(save: Any, out: Path) -> None:
    """Save into a folder beside `out`, then rename it: `out` is never half a model."""
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)  # of a killed fit
    draft.mkdir()
    save(draft)
    if out.exists():
        shutil.rmtree(out)
    draft.rename(out)
