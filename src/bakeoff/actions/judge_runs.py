"""Judge runs by the rows that they logged, whoever made them, and keep the judgement with them."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict, Unpack

from bakeoff.actions.row_results import GROUP, REQUEST, REQUEST_INPUTS, TIME, RowResults, logged_rows, run_named
from bakeoff.config.sections import DataConfig
from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.ledger import Loss
from bakeoff.core.protocols import BlobStore, Clock, RecordStore
from bakeoff.core.records import Metric, Run, RunChange
from bakeoff.evaluate.logged_rows import Judgement, LoggedRows, Missing, RowQuestion, judge_rows
from bakeoff.evaluate.pairing import Paired, alike, by_key, by_position, common_columns, keys_of
from bakeoff.results.judged_runs import JudgedRun, JudgedRuns
from bakeoff.results.verdict import Comparison

if TYPE_CHECKING:
    import polars as pl

__all__ = ["How", "judge_runs", "keep"]


class How(TypedDict, total=False):
    """Fields of `RowQuestion` that callers may set."""

    truth: str | None
    prediction: str | None
    lower: tuple[str, ...]
    group: str | None
    time: str | None
    missing: Missing
    margin: float | None
    confidence: float | None
    seed: int


FEWEST = 2
SHORT = 8
"""So many characters of the id of what a run is compared with stand in the names of the judgement."""
FORMAT = 1
POSITION, ROW = "position", "row"


def judge_runs(
    records: RecordStore,
    blobs: BlobStore,
    runs: Sequence[str],
    *,
    metric: str | Sequence[str] = (),
    key: str | None = None,
    cost: str | None = None,
    artifact: str | None = None,
    baseline: str | None = None,
    data: DataConfig | None = None,
    **how: Unpack[How],
) -> JudgedRuns:
    """Judge runs by the rows that all of them logged.

    Args:
        records: where the runs are.
        blobs: where their artifacts are.
        runs: their ids, how these begin, or their names; two or more.
        metric: by what they are judged: a column of scores or a metric; the first of several decides.
        key: the column by which rows are paired. Without one, rows of the same dataset are paired by their number or
            place, and traces by what was asked.
        cost: a metric of the runs that is the price of 1,000 rows, in US dollars.
        artifact: the path of the table among the artifacts of each run.
        baseline: the run that the winner should be better than.
        data: columns of groups and times that are known without being named.
        how: further fields of `RowQuestion`.

    Raises:
        NotFoundError: a run is not there, or logged no rows. UsageError: nothing says how rows are paired or judged.
        DataError: rows that cannot be paired or judged.
    """
    chosen = [run_named(records, each) for each in runs]
    if len({run.run_id for run in chosen}) < max(FEWEST, len(chosen)):
        raise UsageError(f"expected two or more different runs, received {', '.join(runs) or 'none'}")
    names = _names(chosen)
    known = {
        name: logged_rows(records, blobs, run, artifact=artifact, data=data)
        for name, run in zip(names, chosen, strict=True)
    }
    key, pairs = _paired(known, key)
    prices, notes = _prices(known, cost)
    question = RowQuestion(
        metrics=(metric,) if isinstance(metric, str) else tuple(metric),
        baseline=_baseline(records, known, baseline),
        priced=bool(prices),
        key=key,
        **how,
    )
    pairs, question = _completed(known, pairs, question)
    judged = judge_rows(
        {
            name: LoggedRows(table=pairs.tables[name], task=each.task, cost_usd_per_1k=prices.get(name))
            for name, each in known.items()
        },
        question,
    )
    lost = (*pairs.left_out, *judged.left_out)
    return _with_runs(judged, known, prices, key=key, baseline=question.baseline, left_out=lost, notes=notes)


def _with_runs(
    judged: Judgement,
    known: Mapping[str, RowResults],
    prices: Mapping[str, float],
    *,
    key: str,
    baseline: str | None,
    left_out: tuple[Loss, ...],
    notes: tuple[str, ...],
) -> JudgedRuns:
    """The judgement with the runs that it is of."""
    runs = [
        JudgedRun(
            name=name,
            run_id=each.run.run_id,
            source=each.source,
            rows=each.table.height,
            values={metric: judged.values[metric][name] for metric in judged.metrics},
            cost_usd_per_1k=prices.get(name),
        )
        for name, each in known.items()
    ]
    return JudgedRuns(
        runs=tuple(runs),
        rows=judged.rows,
        key=key,
        metrics=judged.metrics,
        verdict=judged.verdict,
        lower=judged.lower,
        baseline=baseline,
        beside_baseline=judged.beside_baseline,
        further=judged.further,
        groups=judged.groups,
        left_out=left_out,
        notes=(*notes, *judged.notes),
    )


def _names(runs: Sequence[Run]) -> list[str]:
    """What runs are called here: by their names, where these are different, with their ids where not."""
    counts = Counter(run.name for run in runs)
    return [run.name if counts[run.name] == 1 else f"{run.name} {run.run_id[:SHORT]}" for run in runs]


def _baseline(records: RecordStore, known: Mapping[str, RowResults], which: str | None) -> str | None:
    """What the run is called here that the winner should be better than."""
    if which is None:
        return None
    run_id = run_named(records, which).run_id
    for name, each in known.items():
        if each.run.run_id == run_id:
            return name
    raise UsageError(f"baseline: expected one of the runs that are compared, received {which!r}")


# --- how rows are paired ------------------------------------------------------------------------


def _paired(known: Mapping[str, RowResults], key: str | None) -> tuple[str, Paired]:
    """By what the rows are paired, and the pairs."""
    tables = {name: each.table for name, each in known.items()}
    if key is not None:
        return key, by_key(tables, key)
    sources = {each.source for each in known.values()}
    if sources == {"traces"}:
        return _most_pairs(tables)
    datasets = {each.dataset for each in known.values()}
    if len(datasets) > 1 or None in datasets:
        raise UsageError(_why_no_key(known))
    if all(ROW in table.columns and keys_of(table[ROW]).is_unique().all() for table in tables.values()):
        return ROW, by_key(tables, ROW)
    return POSITION, by_position(tables)


def _most_pairs(tables: "Mapping[str, pl.DataFrame]") -> tuple[str, Paired]:
    """Traces by the id of the row that was asked, or by what was asked: by whichever pairs more."""

    def rows(key: str) -> int:
        keys = [set(table[key].drop_nulls().to_list()) for table in tables.values()]
        return len(set.intersection(*keys))

    key = max((REQUEST, REQUEST_INPUTS), key=rows)
    return key, by_key(tables, key)


def _why_no_key(known: Mapping[str, RowResults]) -> str:
    """That a key must be named, and which columns would do."""
    tables = {name: each.table for name, each in known.items()}
    first = next(iter(tables.values()))
    fitting = [
        name
        for name in common_columns(tables)
        if not first[name].dtype.is_float() and all(_tells_apart(table[name]) for table in tables.values())
    ]
    hint = f"such as {', '.join(fitting)}" if fitting else f"one that all have: {', '.join(common_columns(tables))}"
    datasets = ", ".join(f"{name}: {each.dataset or 'unknown'}" for name, each in known.items())
    return (
        f"expected runs on the same dataset, or a column by which their rows are paired (datasets: {datasets}): "
        f"name it by --key, {hint}"
    )


def _tells_apart(values: "pl.Series") -> bool:
    keys = keys_of(values)
    return not keys.null_count() and bool(keys.is_unique().all())


# --- what is known beside -----------------------------------------------------------------------


def _prices(known: Mapping[str, RowResults], cost: str | None) -> tuple[dict[str, float], tuple[str, ...]]:
    """What 1,000 rows of each run cost; none where it is not known of all, with a note where it is of some."""
    if cost is None:
        prices = {name: each.cost_usd_per_1k for name, each in known.items() if each.cost_usd_per_1k is not None}
        if prices and len(prices) < len(known):
            lacking = ", ".join(name for name in known if name not in prices)
            return {}, (f"prices do not count: that of {lacking} is not known; name a metric that is it by --cost",)
        return prices, ()
    prices = dict[str, float]()
    for name, each in known.items():
        metric = each.run.metrics.get(cost)
        if metric is None or not 0 <= metric.value < math.inf:
            received = "none" if metric is None else repr(metric.value)
            raise UsageError(f"cost: expected a metric {cost!r} of 0 or more of every run, {name} has {received}")
        prices[name] = metric.value
    return prices, ()


def _completed(known: Mapping[str, RowResults], pairs: Paired, question: RowQuestion) -> tuple[Paired, RowQuestion]:
    """The question with what bakeoff knows of its own runs: the metric, folds, and how test rows go together."""
    first = next(iter(known.values()))
    bare = replace(pairs, tables={name: each.drop(GROUP, TIME, strict=False) for name, each in pairs.tables.items()})
    question = replace(question, folds=max(each.folds for each in known.values()))
    if all(each.task is not None for each in known.values()) and first.metric:
        question = replace(question, metrics=question.metrics or (first.metric,))
    if question.group or question.time:
        return bare, question
    together = (alike(pairs.tables, name, what, "the rows") for name, what in ((GROUP, "groups"), (TIME, "times")))
    groups_n, time_n = (None if values is None else values.to_numpy() for values in together)
    return bare, replace(question, groups_n=groups_n, time_n=time_n)


# --- keeping it ---------------------------------------------------------------------------------


def keep(records: RecordStore, blobs: BlobStore, judged: JudgedRuns, clock: Clock) -> None:
    """Keep the judgement with the runs, where MLflow 3.18 has those of its `compare_evaluations`.

    A run that was compared with another gets metrics `compare/ID/METRIC/diff` (and `ci_low`, `ci_high`, `p_value`,
    `n_paired`), ID being the first eight characters of the other's, and the artifact `compare/ID.json`, which has all
    of it. As there, `diff` is the run's value less the other's.
    """
    document = judged.to_json()
    changes: dict[str, RunChange] = {}
    now = clock()
    for each in judged.differences():
        run, other = judged.run(each.candidate), judged.run(each.versus)
        base = f"compare/{other.run_id[:SHORT]}"
        body = {"baseline_run_id": other.run_id, "candidate_run_id": run.run_id, "format": FORMAT, "judged": document}
        before = changes.get(run.run_id, RunChange(run_id=run.run_id))
        statistics = _statistics(each, rows=judged.rows, lower=each.metric in judged.lower)
        metrics = [
            Metric(key=f"{base}/{_key(each.metric)}/{name}", value=value, time_ms=now) for name, value in statistics
        ]
        artifacts = {**before.artifacts, f"{base}.json": blobs.put(json.dumps(body, default=str).encode())}
        changes[run.run_id] = replace(before, metrics=[*before.metrics, *metrics], artifacts=artifacts)
    try:
        records.runs.apply(list(changes.values()))
    except NotFoundError as error:
        raise NotFoundError(f"a run is gone that was compared: {error}") from error


def _statistics(each: Comparison, *, rows: int, lower: bool) -> Iterator[tuple[str, float]]:
    """The numbers of a comparison, as MLflow names them: the value of the one less that of the other."""
    sign = -1.0 if lower else 1.0
    low, high = sorted((sign * each.low, sign * each.high))
    yield from (("diff", sign * each.difference), ("ci_low", low), ("ci_high", high))
    yield from (("p_value", each.p_holm), ("n_paired", float(rows)))


def _key(metric: str) -> str:
    """A metric's name with the characters that MLflow allows in one."""
    return re.sub(r"[^\w.\- /]", "_", metric)
