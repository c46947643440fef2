"""Experiments: groups of runs, with tags and a life."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from bakeoff.core.errors import ConflictError
from bakeoff.core.protocols import Clock
from bakeoff.core.queries import Page, Query, Value
from bakeoff.core.records import Experiment, ExperimentChange, unknown_experiment
from bakeoff.stores.database import Database
from bakeoff.stores.grouping import Grouping
from bakeoff.stores.schema import experiment_tags, experiments, runs
from bakeoff.stores.search import Beside, Entity, columns, find
from bakeoff.stores.tags import Tags

__all__ = ["Experiments", "number_of"]

MOST_DIGITS = 9


def number_of(experiment_id: Value) -> int:
    """The number that an experiment's id is; -1 for what is none."""
    text = str(experiment_id)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else -1


ENTITY = Entity(
    table=experiments,
    attributes=columns("experiment_id", "name", "created_ms", "updated_ms"),
    stamp="experiment_id",
    newest=(experiments.c.created_ms.desc(), experiments.c.experiment_id.desc()),
    beside={"tag": Beside(table=experiment_tags, same=columns("experiment_id"))},
    values={
        "experiment_id": lambda value: tuple(map(number_of, value)) if isinstance(value, tuple) else number_of(value)
    },
)


class Experiments:
    """`ExperimentRecords` on a database."""

    def __init__(self, database: Database, grouped: Grouping, clock: Clock) -> None:
        self._database, self._grouped, self._clock = database, grouped, clock
        self._tags = Tags(database, experiment_tags)
        one = select(experiments).where(experiments.c.experiment_id == bindparam("experiment_id"))
        self._one = database.statement(one, ["experiment_id"])

    def open(self, name: str) -> Experiment:
        """The experiment called `name`, made when there is none."""
        with self._database.read() as connection:
            known = _load(connection, connection.execute(select(experiments).where(experiments.c.name == name)).all())
        return known[0] if known else self._grouped(lambda connection: self._made(connection, name))

    def create(
        self, name: str, *, tags: Mapping[str, str] | None = None, location: str = "", experiment_id: str | None = None
    ) -> Experiment:
        """A new one."""

        def made(connection: Connection) -> Experiment:
            if connection.scalar(select(experiments.c.name).where(experiments.c.name == name)) is not None:
                raise ConflictError(f"expected the name of a new experiment; there is one called {name!r}")
            experiment = self._made(connection, name, location, experiment_id)
            self._tags.change(connection, (int(experiment.experiment_id),), tags or {})
            return self._get(connection, experiment.experiment_id)

        return self._grouped(made)

    def get(self, experiment_id: str) -> Experiment:
        """The experiment, deleted or not."""
        with self._database.read() as connection:
            return self._get(connection, experiment_id)

    def search(self, query: Query) -> Page[Experiment]:
        """By attributes and tags."""
        with self._database.search() as connection:
            rows, following = find(connection, ENTITY, query)
            return Page(items=tuple(_load(connection, rows)), following=following)

    def apply(self, changes: Sequence[ExperimentChange]) -> None:
        """All of them or none."""
        self._grouped(lambda connection: [self._change(connection, change) for change in changes])

    def _made(
        self, connection: Connection, name: str, location: str = "", experiment_id: str | None = None
    ) -> Experiment:
        now = self._clock()
        values: dict[str, Any] = {"name": name, "created_ms": now, "updated_ms": now, "location": location}
        if experiment_id is not None:
            values["experiment_id"] = number_of(experiment_id)
        insert = self._database.insert(experiments).values(**values)
        connection.execute(insert.on_conflict_do_nothing())
        return _load(connection, connection.execute(select(experiments).where(experiments.c.name == name)).all())[0]

    def _get(self, connection: Connection, experiment_id: str) -> Experiment:
        number = number_of(experiment_id)
        rows = self._one.rows(connection, number)
        if not rows:
            raise unknown_experiment(experiment_id)
        return _experiment(rows[0], self._tags.of(connection, (number,)))

    def _change(self, connection: Connection, change: ExperimentChange) -> None:
        number = number_of(change.experiment_id)
        self._get(connection, change.experiment_id)
        wanted = {"name": change.name, "lifecycle": change.lifecycle}
        values = {key: value for key, value in wanted.items() if value is not None}
        if change.name is not None:
            taken = select(experiments.c.experiment_id).where(experiments.c.name == change.name)
            if connection.scalar(taken) not in {None, number}:
                raise ConflictError(f"expected a name that no experiment has; {change.name!r} is taken")
        at = experiments.c.experiment_id == number
        connection.execute(update(experiments).where(at).values(**values, updated_ms=self._clock()))
        if change.lifecycle is not None:
            connection.execute(update(runs).where(runs.c.experiment_id == number).values(lifecycle=change.lifecycle))
        self._tags.change(connection, (number,), change.tags, remove=change.remove_tags)


def _experiment(row: Sequence[Any], tags: Mapping[str, str]) -> Experiment:
    number, name, lifecycle, created_ms, updated_ms, location = row
    return Experiment(
        experiment_id=str(number),
        name=name,
        created_ms=created_ms,
        location=location,
        updated_ms=updated_ms,
        lifecycle=lifecycle,
        tags=tags,
    )


def _load(connection: Connection, rows: Sequence[Any]) -> list[Experiment]:
    tags_of: dict[int, dict[str, str]] = {row.experiment_id: {} for row in rows}
    tagged = select(experiment_tags).where(experiment_tags.c.experiment_id.in_(list(tags_of)))
    for tag in connection.execute(tagged.order_by(experiment_tags.c.key)) if rows else ():
        tags_of[tag.experiment_id][tag.key] = tag.value
    return [_experiment(row, tags_of[row.experiment_id]) for row in rows]
