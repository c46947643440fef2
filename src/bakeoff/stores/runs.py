"""Tracked runs with MLflow's semantics."""

import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, select, tuple_, update

from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.protocols import Clock
from bakeoff.core.records import Experiment, Metric, Run, RunInput, RunStatus
from bakeoff.stores.database import Database
from bakeoff.stores.schema import artifacts, experiments, inputs, latest_metrics, metrics, params, runs, tags

__all__ = ["Runs"]

_BATCH = 500  # ids in one select, below every database's limit of bound values


class Runs:
    """`RunRecords` on a database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def experiment(self, name: str) -> Experiment:
        """The experiment called `name`, created when there is none."""
        statement = select(experiments).where(experiments.c.name == name)
        with self._database.read() as connection:
            row = connection.execute(statement).one_or_none()
        if row is None:
            with self._database.write() as connection:
                insert = self._database.insert(experiments).values(name=name, created_ms=self._clock())
                connection.execute(insert.on_conflict_do_nothing())
                row = connection.execute(statement).one()
        return Experiment(experiment_id=str(row.experiment_id), name=row.name, created_ms=row.created_ms)

    def start(
        self,
        experiment_id: str,
        name: str,
        *,
        run_id: str | None = None,
        parent_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run:
        """Create a RUNNING run, or set an existing one RUNNING again."""
        run_id = run_id or uuid.uuid4().hex
        number = _number(experiment_id)
        with self._database.write() as connection:
            if connection.scalar(select(experiments.c.name).where(experiments.c.experiment_id == number)) is None:
                raise NotFoundError(f"expected the id of an experiment, received {experiment_id!r}")
            if parent_id is not None:
                _require(connection, parent_id)
            insert = self._database.insert(runs).values(
                run_id=run_id,
                experiment_id=number,
                name=name,
                status="RUNNING",
                start_ms=self._clock(),
                parent_id=parent_id,
            )
            connection.execute(insert.on_conflict_do_nothing(index_elements=["run_id"]))
            owner = connection.scalar(select(runs.c.experiment_id).where(runs.c.run_id == run_id))
            if owner != number:
                raise ConflictError(f"expected experiment {str(owner)!r} of run {run_id!r}, received {experiment_id!r}")
            again = {"status": "RUNNING", "end_ms": None}
            connection.execute(update(runs).where(runs.c.run_id == run_id).values(**again))
            self._set_tags(connection, run_id, tags or {})
            return next(_load(connection, [run_id]))

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        inputs: Sequence[RunInput] = (),
        artifacts: Mapping[str, str] | None = None,
    ) -> None:
        """Add to a run, in one transaction."""
        with self._database.write() as connection:
            _require(connection, run_id)
            self._add_metrics(connection, run_id, metrics)
            self._add_params(connection, run_id, params or {})
            self._set_tags(connection, run_id, tags or {})
            self._add_inputs(connection, run_id, inputs)
            self._set_artifacts(connection, run_id, artifacts or {})

    def finish(self, run_id: str, status: RunStatus) -> None:
        """End a run."""
        with self._database.write() as connection:
            _require(connection, run_id)
            ended = {"status": status, "end_ms": self._clock()}
            connection.execute(update(runs).where(runs.c.run_id == run_id).values(**ended))

    def get(self, run_id: str) -> Run:
        """The run; `NotFoundError` when there is none."""
        with self._database.read() as connection:
            _require(connection, run_id)
            return next(_load(connection, [run_id]))

    def search(
        self,
        experiment_id: str | None = None,
        *,
        parent_id: str | None = None,
        status: RunStatus | None = None,
        limit: int = 1000,
    ) -> list[Run]:
        """Runs, newest first."""
        statement = select(runs.c.run_id).where(runs.c.lifecycle == "active")
        if experiment_id is not None:
            statement = statement.where(runs.c.experiment_id == _number(experiment_id))
        if parent_id is not None:
            statement = statement.where(runs.c.parent_id == parent_id)
        if status is not None:
            statement = statement.where(runs.c.status == status)
        newest = statement.order_by(runs.c.start_ms.desc(), runs.c.number.desc()).limit(limit)
        with self._database.read() as connection:
            return list(_load(connection, connection.execute(newest).scalars().all()))

    def history(self, run_id: str, key: str) -> list[Metric]:
        """All values of one metric in the order of (step, time_ms)."""
        where = (metrics.c.run_id == run_id, metrics.c.key == key)
        order = (metrics.c.step, metrics.c.time_ms, metrics.c.value)
        with self._database.read() as connection:
            _require(connection, run_id)
            return [_metric(row) for row in connection.execute(select(metrics).where(*where).order_by(*order))]

    def _add_metrics(self, connection: Connection, run_id: str, values: Sequence[Metric]) -> None:
        if not values:
            return
        rows = [_row(run_id, metric) for metric in values]
        connection.execute(self._database.insert(metrics).on_conflict_do_nothing(), rows)
        best: dict[str, dict[str, Any]] = {}
        for row in rows:
            best[row["key"]] = max(best.get(row["key"], row), row, key=_rank)
        insert = self._database.insert(latest_metrics)
        new = insert.excluded
        columns = ("step", "time_ms", "value")
        upsert = insert.on_conflict_do_update(
            index_elements=["run_id", "key"],
            set_={name: new[name] for name in (*columns, "is_nan")},
            where=tuple_(*(new[name] for name in columns)) > tuple_(*(latest_metrics.c[name] for name in columns)),
        )
        # In one order of keys: two writers that touched the same rows crosswise would deadlock.
        connection.execute(upsert, [best[key] for key in sorted(best)])

    def _add_params(self, connection: Connection, run_id: str, values: Mapping[str, str]) -> None:
        for key, value in sorted(values.items()):
            insert = self._database.insert(params).values(run_id=run_id, key=key, value=value)
            connection.execute(insert.on_conflict_do_nothing())
            found = connection.scalar(select(params.c.value).where(params.c.run_id == run_id, params.c.key == key))
            if found != value:
                raise ConflictError(f"param {key!r} of run {run_id!r} is {found!r} and cannot become {value!r}")

    def _set_tags(self, connection: Connection, run_id: str, values: Mapping[str, str]) -> None:
        for key, value in sorted(values.items()):
            insert = self._database.insert(tags).values(run_id=run_id, key=key, value=value)
            keys = ["run_id", "key"]
            connection.execute(insert.on_conflict_do_update(index_elements=keys, set_={"value": value}))

    def _add_inputs(self, connection: Connection, run_id: str, values: Sequence[RunInput]) -> None:
        for one in values:
            row = {"run_id": run_id, "name": one.name, "version": one.version, "context": one.context}
            connection.execute(self._database.insert(inputs).values(**row).on_conflict_do_nothing())

    def _set_artifacts(self, connection: Connection, run_id: str, values: Mapping[str, str]) -> None:
        for path, blob_id in sorted(values.items()):
            insert = self._database.insert(artifacts).values(run_id=run_id, path=path, blob_id=blob_id)
            keys = ["run_id", "path"]
            connection.execute(insert.on_conflict_do_update(index_elements=keys, set_={"blob_id": blob_id}))


def _number(experiment_id: str) -> int:
    if not (experiment_id.isascii() and experiment_id.isdigit() and len(experiment_id) < 10):  # noqa: PLR2004
        raise NotFoundError(f"expected the id of an experiment (a number), received {experiment_id!r}")
    return int(experiment_id)


def _require(connection: Connection, run_id: str) -> None:
    if connection.scalar(select(runs.c.number).where(runs.c.run_id == run_id)) is None:
        raise NotFoundError(f"expected the id of a run, received {run_id!r}: `bakeoff runs` lists them")


def _row(run_id: str, metric: Metric) -> dict[str, Any]:
    is_nan = math.isnan(metric.value)
    return {
        "run_id": run_id,
        "key": metric.key,
        "step": metric.step,
        "time_ms": metric.time_ms,
        "value": 0.0 if is_nan else float(metric.value),
        "is_nan": is_nan,
    }


def _rank(row: Mapping[str, Any]) -> tuple[int, int, float]:
    """MLflow's order of a key's values; NaN counts as zero."""
    return row["step"], row["time_ms"], row["value"]


def _metric(row: Any) -> Metric:
    value = math.nan if row.is_nan else row.value
    return Metric(key=row.key, value=value, step=row.step, time_ms=row.time_ms)


def _load(connection: Connection, run_ids: Sequence[str]) -> Iterator[Run]:
    """The runs of these ids, in their order."""
    for start in range(0, len(run_ids), _BATCH):
        yield from _load_batch(connection, run_ids[start : start + _BATCH])


def _load_batch(connection: Connection, run_ids: Sequence[str]) -> Iterator[Run]:
    def grouped(table: Table, *order: Any) -> dict[str, list[Any]]:
        groups: dict[str, list[Any]] = {run_id: [] for run_id in run_ids}
        for row in connection.execute(select(table).where(table.c.run_id.in_(run_ids)).order_by(*order)):
            groups[row.run_id].append(row)
        return groups

    found = grouped(runs)
    params_of = grouped(params, params.c.key)
    tags_of = grouped(tags, tags.c.key)
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
            params={param.key: param.value for param in params_of[run_id]},
            tags={tag.key: tag.value for tag in tags_of[run_id]},
            metrics={metric.key: _metric(metric) for metric in metrics_of[run_id]},
            inputs=tuple(RunInput(name=i.name, version=i.version, context=i.context) for i in inputs_of[run_id]),
            artifacts={artifact.path: artifact.blob_id for artifact in artifacts_of[run_id]},
        )
