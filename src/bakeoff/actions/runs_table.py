"""Tracked runs as tables: a row for each run, a row for each value of a metric, and means over seeds with intervals."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.filters import RUNS, filter_of, within
from bakeoff.core.protocols import RecordStore
from bakeoff.core.queries import Query, attribute, every
from bakeoff.core.records import Run
from bakeoff.metrics.intervals import LEVEL
from bakeoff.metrics.significance import t_interval

if TYPE_CHECKING:
    import polars as pl

__all__ = ["SeedMeans", "history_table", "runs_over_seeds", "runs_table"]

SEEDS = frozenset({"seed", "random_state", "random_seed", "rng_seed"})
"""Params that are seeds, by the last part of their names."""
CHOSEN = "chosen."
"""Before params that a fit found by itself: they are no settings."""
JUDGED = "compare/"
"""Before metrics that a comparison left with a run: they are of two runs."""
CANDIDATE, KIND, BAKE_OFF = "bakeoff.candidate", "bakeoff.kind", "pass"
FEWEST = 2


def _matching(records: RecordStore, text: str | None, experiment: str | None) -> Iterator[Run]:
    """Active runs that a filter lets through, newest first.

    Raises:
        UsageError: the filter cannot be read. NotFoundError: there is no such experiment.
    """
    inside = None
    if experiment is not None:
        known = records.experiments.search(Query(where=attribute("name", "=", experiment), limit=1)).items
        if not known:
            raise NotFoundError(f"expected the name of an experiment, received {experiment!r}, found none")
        inside = attribute("experiment_id", "=", known[0].experiment_id)
    return every(records.runs.search, Query(where=within(inside, filter_of(text, RUNS))))


def _experiments(records: RecordStore) -> Mapping[str, str]:
    return {each.experiment_id: each.name for each in every(records.experiments.search, Query(lifecycle=None))}


def runs_table(
    records: RecordStore, *, where: str | None = None, experiment: str | None = None, limit: int | None = None
) -> "pl.DataFrame":
    """A row for each run, newest first: what it is, and `metrics.NAME`, `params.NAME` and `tags.NAME`.

    Args:
        records: where the runs are.
        where: a filter in MLflow's grammar.
        experiment: the name of the only one that is looked at.
        limit: the most rows.

    Raises:
        UsageError: the filter cannot be read. NotFoundError: there is no such experiment.
    """
    import polars as pl

    names, rows = _experiments(records), list[dict[str, Any]]()
    metrics, params, tags = (dict[str, None]() for _ in range(3))
    for run in _matching(records, where, experiment):
        if limit is not None and len(rows) >= limit:
            break
        rows.append(
            {
                **_about(run, names),
                **{f"metrics.{key}": each.value for key, each in run.metrics.items()},
                **{f"params.{key}": value for key, value in run.params.items()},
                **{f"tags.{key}": value for key, value in run.tags.items()},
            }
        )
        for known, more in ((metrics, run.metrics), (params, run.params), (tags, run.tags)):
            known.update(dict.fromkeys(more))
    moment = pl.Datetime("ms", "UTC")
    schema: dict[str, Any] = dict.fromkeys(("run_id", "experiment", "name", "status"), pl.String)
    schema |= {"started": moment, "ended": moment, "seconds": pl.Float64, "parent_id": pl.String}
    schema |= {f"metrics.{key}": pl.Float64 for key in sorted(metrics)}
    schema |= {f"params.{key}": pl.String for key in sorted(params)}
    schema |= {f"tags.{key}": pl.String for key in sorted(tags)}
    return pl.DataFrame({key: pl.Series([row.get(key) for row in rows], dtype=kind) for key, kind in schema.items()})


def _about(run: Run, experiments: Mapping[str, str]) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "experiment": experiments.get(run.experiment_id),
        "name": run.name,
        "status": run.status,
        "started": run.start_ms,
        "ended": run.end_ms,
        "seconds": None if run.end_ms is None else (run.end_ms - run.start_ms) / 1000,
        "parent_id": run.parent_id,
    }


def history_table(records: RecordStore, runs: Sequence[str], metric: str) -> "pl.DataFrame":
    """A row for each value that a metric of some runs ever had, in the order of (step, time).

    Raises:
        NotFoundError: there is no such run.
    """
    import polars as pl

    parts = [
        pl.DataFrame(
            {
                "run_id": pl.Series([run_id] * len(values), dtype=pl.String),
                "step": pl.Series([each.step for each in values], dtype=pl.Int64),
                "time": pl.Series([each.time_ms for each in values], dtype=pl.Datetime("ms", "UTC")),
                "value": pl.Series([each.value for each in values], dtype=pl.Float64),
            }
        )
        for run_id in runs
        for values in [records.runs.history(run_id, metric).items]
    ]
    return pl.concat(parts)


# --- over seeds ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedMeans:
    """Means over runs that differ in their seeds alone.

    `table` has a row for each setting and metric: `experiment`, `candidate`, `dataset`, `params.NAME` (those that are
    no seeds), `metric`, how many `runs` have a value, how many are `without` one, `mean`, `sd`, and the ends `low` and
    `high` of Student's interval of the mean, none of a single run. `over` are the params that are seeds, `unfinished`
    is how many runs were left out because they did not finish.
    """

    table: Any
    over: tuple[str, ...]
    unfinished: int

    def __repr__(self) -> str:
        over = ", ".join(self.over) or "no param"
        return f"SeedMeans({len(self.table)} rows over {over}, {self.unfinished} unfinished runs left out)"


def runs_over_seeds(
    records: RecordStore,
    *,
    metrics: Sequence[str] = (),
    over: Sequence[str] = (),
    where: str | None = None,
    experiment: str | None = None,
) -> SeedMeans:
    """Finished runs of the same setting and data together: the mean of each metric, with a 95% interval.

    The interval is of the mean over seeds, on these data: other test rows are another question.

    Args:
        records: where the runs are.
        metrics: those that are wanted; all by default.
        over: the params that are seeds; by default those called seed, random_state, random_seed or rng_seed.
        where: a filter in MLflow's grammar.
        experiment: the name of the only one that is looked at.

    Raises:
        UsageError: the filter cannot be read, or no run has such a metric or param. NotFoundError: no such experiment.
    """
    chosen = [run for run in _matching(records, where, experiment) if run.tags.get(KIND) != BAKE_OFF]
    finished = [run for run in chosen if run.status == "FINISHED"]
    params = {key for run in finished for key in run.params}
    for what, wanted, known in (
        ("over", over, params),
        ("metrics", metrics, {key for run in finished for key in run.metrics}),
    ):
        if lacking := sorted(set(wanted) - known):
            raise UsageError(f"{what}: no finished run has {', '.join(lacking)}; they have {', '.join(sorted(known))}")
    seeds = tuple(sorted(set(over) or {key for key in params if _last(key) in SEEDS}))
    settings = sorted(key for key in params - set(seeds) if not key.startswith(CHOSEN))
    groups: dict[tuple[str | None, ...], list[Run]] = {}
    names, datasets = _experiments(records), _datasets(records, finished)
    for run in reversed(finished):  # in the order in which they were made
        about = (names.get(run.experiment_id), run.tags.get(CANDIDATE), datasets[run.run_id])
        groups.setdefault((*about, *(run.params.get(key) for key in settings)), []).append(run)
    columns = ("experiment", "candidate", "dataset", *(f"params.{key}" for key in settings))
    rows = [
        {**dict(zip(columns, group, strict=True)), **_mean(metric, runs)}
        for group, runs in groups.items()
        for metric in (metrics or sorted({key for run in runs for key in run.metrics if not key.startswith(JUDGED)}))
    ]
    return SeedMeans(table=_table(columns, rows), over=seeds, unfinished=len(chosen) - len(finished))


def _last(name: str) -> str:
    """The last part of a param's name: of `model__seed`, `model.seed` and `model/seed`, `seed`."""
    return name.replace("__", ".").replace("/", ".").rpartition(".")[2].lower()


def _datasets(records: RecordStore, runs: Sequence[Run]) -> Mapping[str, str | None]:
    """The versions of the datasets that each run used, or the run that it is a part of."""
    wanted = {run.parent_id for run in runs if not run.inputs and run.parent_id is not None}
    where = attribute("run_id", "in", tuple(sorted(wanted)))
    parents = {each.run_id: each for each in every(records.runs.search, Query(where=where, lifecycle=None))}

    def used(run: Run) -> str | None:
        of = run if run.inputs else parents.get(run.parent_id or "", run)  # a client may name one that is not here
        versions = sorted({each.version for each in of.inputs})
        return ", ".join(each[:12] for each in versions) or None

    return {run.run_id: used(run) for run in runs}


def _mean(metric: str, runs: Sequence[Run]) -> dict[str, Any]:
    values = [run.metrics[metric].value for run in runs if metric in run.metrics]
    values = [each for each in values if math.isfinite(each)]
    n = len(values)
    row: dict[str, Any] = {"metric": metric, "runs": n, "without": len(runs) - n}
    if not n:
        return row
    row["mean"] = mean = math.fsum(values) / n
    if n >= FEWEST:
        row["sd"] = sd = math.sqrt(math.fsum((each - mean) ** 2 for each in values) / (n - 1))
        row["low"], row["high"] = t_interval(mean, sd / math.sqrt(n), n - 1, LEVEL)
    return row


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> "pl.DataFrame":
    import polars as pl

    schema: dict[str, Any] = dict.fromkeys((*columns, "metric"), pl.String)
    schema |= dict.fromkeys(("runs", "without"), pl.Int64) | dict.fromkeys(("mean", "sd", "low", "high"), pl.Float64)
    return pl.DataFrame({key: pl.Series([row.get(key) for row in rows], dtype=kind) for key, kind in schema.items()})
