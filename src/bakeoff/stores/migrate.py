"""Bring a database's schema up to date; cheap when it is."""

from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, text

from bakeoff.core.errors import StoreError
from bakeoff.stores import sums
from bakeoff.stores.database import Database
from bakeoff.stores.schema import HEAD, metadata

__all__ = ["migrate"]

_LOCK = 0x62616B65  # any number that only we use: PostgreSQL's advisory lock


def migrate(database: Database) -> None:
    """Run the missing steps in one transaction; several processes may do so at once.

    Raises:
        StoreError: a newer bakeoff has made the schema.
    """
    with database.read() as connection:
        if _revision(connection) == HEAD:
            return
    database.back_up()  # what was there before, should a step go wrong
    with database.write() as connection:
        if database.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        current = _revision(connection)  # again: another process may have done it while we waited
        if current is None:
            _create(connection)
        elif current != HEAD:
            _upgrade(connection, current)
        if current != HEAD and database.dialect == "sqlite":
            sums.install(connection.exec_driver_sql)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _create(connection: Connection) -> None:
    """All tables of a new database as they are now: what the steps come to, without alembic (a test compares both)."""
    metadata.create_all(connection, checkfirst=False)  # what has a table of ours, but no revision, is not ours
    stamp = Table("alembic_version", MetaData(), Column("version_num", String(32), nullable=False))
    stamp.append_constraint(PrimaryKeyConstraint("version_num", name="alembic_version_pkc"))
    stamp.create(connection)
    connection.execute(stamp.insert().values(version_num=HEAD))


def _upgrade(connection: Connection, current: str | None) -> None:
    # Alembic takes most of a second to import, and an up-to-date database does not need it.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(__file__).parent / "migrations"))
    steps = {step.revision: step for step in script.walk_revisions()}
    if current is not None and current not in steps:
        raise StoreError(
            f"expected records of schema {HEAD!r} or older, found {current!r}: "
            "a newer bakeoff has written them; upgrade this one, or name another database in [store]"
        )
    context = MigrationContext.configure(connection, opts={"transactional_ddl": True})
    missing = list(script.iterate_revisions("head", current or "base"))
    with Operations.context(context):
        for step in reversed(missing):
            step.module.upgrade()
    context.stamp(script, "head")
