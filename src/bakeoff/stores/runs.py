"""Tracked runs with MLflow's semantics."""

import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, func, select, tuple_, update

from bakeoff.core.errors import ConflictError
from bakeoff.core.protocols import Clock
from bakeoff.core.queries import Page, Query, QueryField
from bakeoff.core.records import (
    Metric,
    MetricCurve,
    MetricRange,
    NewRun,
    Run,
    RunChange,
    RunGroup,
    RunInput,
    unknown_experiment,
    unknown_run,
)
from bakeoff.stores.database import Database
from bakeoff.stores.documents import as_json
from bakeoff.stores.experiments import ENTITY as EXPERIMENTS
from bakeoff.stores.experiments import number_of
from bakeoff.stores.grouping import Grouping
from bakeoff.stores.history import Block, curve_of, pack, rank, values_of
from bakeoff.stores.schema import artifacts, experiments, inputs, latest_metrics, metric_blocks, params, runs
from bakeoff.stores.schema import tags as run_tags
from bakeoff.stores.search import Beside, Entity, batches, columns, find_keys, grouped, offset_of
from bakeoff.stores.statements import Statement
from bakeoff.stores.tags import Tags

__all__ = ["Runs"]


ENTITY = Entity(
    table=runs,
    attributes=columns("run_id", "experiment_id", "name", "status", "lifecycle", "start_ms", "end_ms", "parent_id"),
    stamp="number",
    key="run_id",
    newest=(runs.c.start_ms.desc(), runs.c.number.desc()),
    beside={
        "metric": Beside(table=latest_metrics, same=columns("run_id")),
        "param": Beside(table=params, same=columns("run_id")),
        "input": Beside(table=inputs, same=columns("run_id"), value=("name", "version", "context"), keyed=False),
        "tag": Beside(table=run_tags, same=columns("run_id")),
    },
    values=EXPERIMENTS.values,
)
MANY = 16
"""Runs whose lives are looked up together."""
_BESIDE_METRICS = attrgetter(*(each.name for each in fields(RunChange) if each.name not in {"run_id", "metrics"}))
_NOTHING = _BESIDE_METRICS(RunChange(run_id=""))
ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})


class Runs:
    """`RunRecords` on a database."""

    def __init__(self, database: Database, grouped: Grouping, clock: Clock) -> None:
        self._database, self._grouped, self._clock = database, grouped, clock
        self._tags = Tags(database, run_tags)
        life = select(experiments.c.lifecycle).where(experiments.c.experiment_id == bindparam("experiment_id"))
        self._life_of_experiment = database.statement(life, ["experiment_id"])
        self._lives = {count: _lives(database, count) for count in (1, MANY)}
        run_row = ["run_id", "experiment_id", "name", "status", "start_ms", "parent_id", "location"]
        self._insert_run = database.statement(_insert(database, runs, run_row).on_conflict_do_nothing(), run_row)
        block = ["run_id", "series", "points"]
        self._insert_block = database.statement(_insert(database, metric_blocks, block), block)
        param = ["run_id", "key", "value"]
        self._insert_param = database.statement(_insert(database, params, param).on_conflict_do_nothing(), param)
        run, key = (params.c[name] == bindparam(name) for name in ("run_id", "key"))
        self._param = database.statement(select(params.c.value).where(run, key), ["run_id", "key"])
        latest = database.insert(latest_metrics)
        new = latest.excluded
        rank, columns = ("step", "time_ms", "value"), [column.name for column in latest_metrics.c]
        newer = tuple_(*(new[name] for name in rank)) > tuple_(*(latest_metrics.c[name] for name in rank))
        upsert = latest.on_conflict_do_update(
            index_elements=["run_id", "key"], set_={name: new[name] for name in (*rank, "is_nan")}, where=newer
        )
        self._upsert_latest = database.statement(upsert, columns)

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
        """Create a RUNNING run, or set an existing one RUNNING again."""
        run_id = run_id or uuid.uuid4().hex
        number = number_of(experiment_id)
        new = NewRun(
            experiment_id=experiment_id if number < 0 else str(number),
            name=name,
            start_ms=self._clock() if start_ms is None else start_ms,
            parent_id=parent_id,
            location=location,
        )

        def started(connection: Connection) -> Run:
            created = self._begin(connection, run_id, new)
            self._tags.change(connection, (run_id,), tags or {})
            return new.begun(run_id, tags or {}) if created else next(_load(connection, [run_id]))

        return self._grouped(started)

    def _begin(self, connection: Connection, run_id: str, new: NewRun) -> bool:
        """Create a run, or set one that is there RUNNING again; whether it was created."""
        number = number_of(new.experiment_id)
        lives = self._life_of_experiment.rows(connection, number)
        if not lives:
            raise unknown_experiment(new.experiment_id)
        if lives[0][0] == "deleted":
            raise ConflictError(f"expected an active experiment, {new.experiment_id!r} is deleted: restore it first")
        if new.parent_id is not None:
            self._require(connection, new.parent_id)
        row = (run_id, number, new.name, "RUNNING", new.start_ms, new.parent_id, new.location)
        if self._insert_run.change(connection, *row):
            return True
        known = connection.execute(select(runs).where(runs.c.run_id == run_id)).one()
        if known.experiment_id != number:
            owner = str(known.experiment_id)
            raise ConflictError(f"expected experiment {owner!r} of run {run_id!r}, received {new.experiment_id!r}")
        if known.lifecycle == "deleted":
            raise ConflictError(f"expected an active run, {run_id!r} is deleted: restore it first")
        connection.execute(update(runs).where(runs.c.run_id == run_id).values(status="RUNNING", end_ms=None))
        return False

    def apply(self, changes: Sequence[RunChange]) -> None:
        """All of them or none, with one commit for all calls that come at once."""

        def applied(connection: Connection) -> None:
            for only_metrics, some in groupby(changes, key=_only_metrics):
                if only_metrics:
                    self._log(connection, some)
                    continue
                for change in some:
                    self._change(connection, change)

        self._grouped(applied)

    def get(self, run_id: str) -> Run:
        """The run, deleted or not; `NotFoundError` when there is none."""
        with self._database.read() as connection:
            self._require(connection, run_id)
            return next(_load(connection, [run_id]))

    def search(self, query: Query) -> Page[Run]:
        """By attributes, metrics, params and tags."""
        with self._database.search() as connection:
            run_ids, following = find_keys(connection, ENTITY, query)
            return Page(items=tuple(_load(connection, run_ids)), following=following)

    def groups(self, query: Query, by: QueryField | None = None, *, metrics: Sequence[str] = ()) -> Sequence[RunGroup]:
        """The runs that a query finds, by their value of an attribute, param or tag; the largest groups first."""
        number, latest = func.count(), [latest_metrics.alias() for _ in metrics]
        with self._database.search() as connection:
            value, chosen = grouped(connection, ENTITY, query, by)
            for key, of in zip(metrics, latest, strict=True):
                mine = and_(of.c.run_id == runs.c.run_id, of.c.key == key, of.c.is_nan.is_(False))
                chosen = chosen.outerjoin(of, mine)
            columns = [value, number, func.max(runs.c.start_ms)]
            columns += [use(of.c.value) for of in latest for use in (func.count, func.min, func.avg, func.max)]
            largest = chosen.add_columns(*columns)
            if by is not None:
                largest = largest.group_by(value).order_by(number.desc(), value.is_not(None), value)
            rows = [row for row in connection.execute(largest.limit(query.limit)).all() if row[1]]
        return [_group(row, metrics) for row in rows]

    def history(self, run_id: str, key: str, *, limit: int | None = None, page: str | None = None) -> Page[Metric]:
        """The values of one metric in the order of (step, time_ms)."""
        offset = offset_of(page)
        blocks = select(metric_blocks.c.series, metric_blocks.c.points).where(metric_blocks.c.run_id == run_id)
        with self._database.read() as connection:
            self._require(connection, run_id)
            known = connection.execute(blocks.order_by(metric_blocks.c.number))
            last = None if limit is None else offset + limit
            items, count = values_of(((row.series, row.points) for row in known), key, offset, last)
        end = offset + len(items)
        return Page(items=tuple(items), following=f"0.{end}" if end < count else None)

    def curves(self, run_ids: Sequence[str], key: str) -> Mapping[str, MetricCurve]:
        """The histories of one metric of several runs as arrays; a run that never had it is left out."""
        run, blocks = metric_blocks.c.run_id, dict[str, list[Block]]()
        with self._database.read() as connection:
            for some in batches(run_ids):
                self._require(connection, *some)
                chosen = select(run, metric_blocks.c.series, metric_blocks.c.points).where(run.in_(some))
                for run_id, series, points in connection.execute(chosen.order_by(metric_blocks.c.number)):
                    blocks.setdefault(run_id, []).append((series, points))
        curves = {run_id: curve_of(blocks[run_id], key) for run_id in run_ids if run_id in blocks}
        return {run_id: curve for run_id, curve in curves.items() if len(curve.step_n)}

    def _require(self, connection: Connection, *run_ids: str, active: bool = False) -> None:
        """See that there are these runs, and if `active`, that none is deleted."""
        known: dict[str, str] = {}
        for start in range(0, len(run_ids), MANY):
            some = run_ids[start : start + MANY]
            count = 1 if len(some) == 1 else MANY
            known |= dict(self._lives[count].rows(connection, *some, *some[:1] * (count - len(some))))
        for run_id in run_ids:
            if run_id not in known:
                raise unknown_run(run_id)
            if active and known[run_id] == "deleted":
                raise ConflictError(f"expected an active run, {run_id!r} is deleted: restore it first")

    def _change(self, connection: Connection, change: RunChange) -> None:
        if change.new is not None:
            self._begin(connection, change.run_id, change.new)
        else:
            self._require(connection, change.run_id, active=change.lifecycle is None)
        wanted = {"name": change.name, "status": change.status, "end_ms": change.end_ms, "lifecycle": change.lifecycle}
        values = {key: value for key, value in wanted.items() if value is not None}
        if change.status in ENDED and change.end_ms is None:
            values["end_ms"] = self._clock()
        if values:
            connection.execute(update(runs).where(runs.c.run_id == change.run_id).values(**values))
        self._add_metrics(connection, {change.run_id: change.metrics})
        self._add_params(connection, change.run_id, change.params)
        self._tags.change(connection, (change.run_id,), change.tags, remove=change.remove_tags)
        self._add_inputs(connection, change.run_id, change.inputs)
        self._set_artifacts(connection, change.run_id, change.artifacts)

    def _log(self, connection: Connection, changes: Iterable[RunChange]) -> None:
        """Changes that bring metrics alone: what is there of each run is looked up and written at once."""
        values: dict[str, list[Metric]] = {}
        for change in changes:
            values.setdefault(change.run_id, []).extend(change.metrics)
        self._require(connection, *values, active=True)
        self._add_metrics(connection, values)

    def _add_metrics(self, connection: Connection, values: Mapping[str, Sequence[Metric]]) -> None:
        """By run."""
        blocks: list[tuple[str, str, bytes]] = []
        latest: list[tuple[Any, ...]] = []
        # In one order of runs and keys: two writers that touched the same rows crosswise would deadlock.
        for run_id in sorted(values):
            if not values[run_id]:
                continue
            blocks.append((run_id, *pack(values[run_id])))
            best: dict[str, Metric] = {}
            for value in values[run_id]:
                key = value.key
                known = best.get(key)
                if known is None or value.step > known.step or (value.step == known.step and rank(value) > rank(known)):
                    best[key] = value
            latest += [_row(run_id, best[key]) for key in sorted(best)]
        self._insert_block.change_each(connection, blocks)
        self._upsert_latest.change_each(connection, latest)

    def _add_params(self, connection: Connection, run_id: str, values: Mapping[str, str]) -> None:
        for key, value in sorted(values.items()):
            if self._insert_param.change(connection, run_id, key, value):
                continue
            ((known,),) = self._param.rows(connection, run_id, key)
            if known != value:
                raise ConflictError(f"param {key!r} of run {run_id!r} is {known!r} and cannot become {value!r}")

    def _add_inputs(self, connection: Connection, run_id: str, values: Sequence[RunInput]) -> None:
        for one in values:
            row = {"run_id": run_id, "name": one.name, "version": one.version, "context": one.context}
            row["about"] = as_json(one.about)
            connection.execute(self._database.insert(inputs).values(**row).on_conflict_do_nothing())

    def _set_artifacts(self, connection: Connection, run_id: str, values: Mapping[str, str | None]) -> None:
        for path, blob_id in sorted(values.items()):
            if blob_id is None:
                at = (artifacts.c.run_id == run_id, artifacts.c.path == path)
                connection.execute(delete(artifacts).where(*at))
                continue
            insert = self._database.insert(artifacts).values(run_id=run_id, path=path, blob_id=blob_id)
            keys = ["run_id", "path"]
            connection.execute(insert.on_conflict_do_update(index_elements=keys, set_={"blob_id": blob_id}))


def _group(row: Any, metrics: Sequence[str]) -> RunGroup:
    """A row of groups: the value, how many runs, when the newest began, and four numbers of each metric."""
    of, count, newest_ms, *numbers = row
    ranges: dict[str, MetricRange] = {}
    for at, key in enumerate(metrics):
        known, least, mean, most = numbers[4 * at : 4 * at + 4]
        if known:
            ranges[key] = MetricRange(runs=known, least=least, mean=float(mean), most=most)
    return RunGroup(value=None if of is None else str(of), runs=count, newest_ms=newest_ms, metrics=ranges)


def _insert(database: Database, table: Table, names: Sequence[str]) -> Any:
    """An insertion of these columns, which gives nothing back."""
    return database.insert(table).values({name: bindparam(name) for name in names}).inline()


def _lives(database: Database, count: int) -> Statement:
    """The lives of so many runs."""
    names = [f"run_{at}" for at in range(count)]
    where = runs.c.run_id.in_([bindparam(name) for name in names])
    return database.statement(select(runs.c.run_id, runs.c.lifecycle).where(where), names)


def _only_metrics(change: RunChange) -> bool:
    return _BESIDE_METRICS(change) == _NOTHING


def _row(run_id: str, metric: Metric) -> tuple[Any, ...]:
    """A row of `latest_metrics`."""
    is_nan = math.isnan(metric.value)
    return run_id, metric.key, metric.step, metric.time_ms, 0.0 if is_nan else float(metric.value), is_nan


def _metric(row: Any) -> Metric:
    value = math.nan if row.is_nan else row.value
    return Metric(key=row.key, value=value, step=row.step, time_ms=row.time_ms)


def _load(connection: Connection, run_ids: Sequence[str]) -> Iterator[Run]:
    """The runs of these ids, in their order."""
    for some in batches(run_ids):
        yield from _load_batch(connection, some)


def _load_batch(connection: Connection, run_ids: Sequence[str]) -> Iterator[Run]:
    def grouped(table: Table, *order: Any) -> dict[str, list[Any]]:
        groups: dict[str, list[Any]] = {run_id: [] for run_id in run_ids}
        for row in connection.execute(select(table).where(table.c.run_id.in_(run_ids)).order_by(*order)).all():
            groups[row.run_id].append(row)
        return groups

    found = grouped(runs)
    params_of = grouped(params, params.c.key)
    tags_of = grouped(run_tags, run_tags.c.key)
    metrics_of = grouped(latest_metrics, latest_metrics.c.key)
    inputs_of = grouped(inputs, inputs.c.number)
    artifacts_of = grouped(artifacts, artifacts.c.path)
    for run_id in run_ids:
        row = found[run_id][0]
        yield Run(
            run_id=run_id,
            experiment_id=str(row.experiment_id),
            name=row.name,
            status=row.status,
            start_ms=row.start_ms,
            end_ms=row.end_ms,
            parent_id=row.parent_id,
            lifecycle=row.lifecycle,
            params={param.key: param.value for param in params_of[run_id]},
            tags={tag.key: tag.value for tag in tags_of[run_id]},
            metrics={metric.key: _metric(metric) for metric in metrics_of[run_id]},
            inputs=tuple(map(_input, inputs_of[run_id])),
            artifacts={artifact.path: artifact.blob_id for artifact in artifacts_of[run_id]},
            location=row.location,
        )


def _input(row: Any) -> RunInput:
    return RunInput(name=row.name, version=row.version, context=row.context, about=json.loads(row.about))
