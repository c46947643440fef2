import errno
import logging
import os
import resource
import shutil
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine, inspect, text

from bakeoff.core.errors import CorruptError, MissingExtraError, StoreError, UsageError
from bakeoff.core.queries import Query
from bakeoff.core.records import Metric, RunChange
from bakeoff.stores import database, migrate, record_check, schema, sqlite_driver, sums, write_ahead_log
from bakeoff.stores.records import open_records
from bakeoff.testing.clock import FakeClock
from bakeoff.testing.records import RecordStoreConformance

pytestmark = pytest.mark.slow

URL = "sqlite:///.bakeoff/records.db"

OPEN = """
    import sys
    from pathlib import Path
    from bakeoff.stores.records import open_records
    from bakeoff.core.errors import ConflictError
    from bakeoff.core.queries import Query
    def opened():
        return open_records(URL, folder=Path("."), clock=lambda: 1)
"""


def opened(folder: Path):
    return open_records(URL, folder=folder, clock=FakeClock())


def run_sql(url: str, *statements: str) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


class TestSqlite(RecordStoreConformance):
    @pytest.fixture
    def store(self, tmp_path, clock):
        store = open_records(URL, folder=tmp_path, clock=clock)
        yield store
        store.close()


def test_what_nobody_has_changed_is_not_read_again_and_what_another_changes_is_seen_at_once(tmp_path, monkeypatch):
    one, other = opened(tmp_path), opened(tmp_path)
    reads: list[int] = []
    read = database.Database.read
    monkeypatch.setattr(database.Database, "read", lambda of: reads.append(1) or read(of))

    def seen():
        return one.documents.get("kinds", "a/1"), [each.key for each in one.documents.find("kinds", "a/")]

    assert seen() == (None, [])
    for writer, number in ((other, 1), (one, 2), (other, 3)):
        writer.documents.put("kinds", "a/1", {"number": number})
        before = len(reads)
        for _ in range(3):
            document, keys = seen()
            assert (document.body, keys) == ({"number": number}, ["a/1"])
        assert len(reads) == before + 2
        document.body["number"] = 0  # who changes what was given changes nothing for others
    other.documents.delete("kinds", "a/1")
    assert seen() == (None, [])
    one.close()
    other.close()


def test_what_was_read_before_connections_were_closed_is_read_again_by_the_next(tmp_path):
    one, other = opened(tmp_path), opened(tmp_path)
    assert one.documents.get("kinds", "a") is None
    one.close()  # each connection counts changes from the same number on
    other.documents.put("kinds", "a", {})
    assert one.documents.get("kinds", "a") is not None
    one.close()
    other.close()


@pytest.fixture
def old_sqlite(monkeypatch):
    """Python's own SQLite, held to be too old for a write-ahead log."""
    monkeypatch.setitem(sys.modules, "pysqlite3", None)
    monkeypatch.setattr(sqlite_driver, "LOG_IS_SAFE", (99, 0, 0))
    sqlite_driver.sqlite.cache_clear()
    yield
    sqlite_driver.sqlite.cache_clear()


class TestSqliteThatIsOld(TestSqlite):
    @pytest.fixture
    def store(self, tmp_path, clock, old_sqlite):
        store = open_records(URL, folder=tmp_path, clock=clock)
        yield store
        store.close()
        assert not (tmp_path / ".bakeoff" / "records.db-wal").exists()


class TestPostgresql(RecordStoreConformance):
    @pytest.fixture
    def store(self, empty_postgresql, tmp_path, clock):
        store = open_records(empty_postgresql, folder=tmp_path, clock=clock)
        yield store
        store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request):
    """Where child processes open records: a fresh SQLite file, or a PostgreSQL database with leftovers."""
    return URL if request.param == "sqlite" else request.getfixturevalue("postgresql")


def test_records_survive_closing(tmp_path):
    first = opened(tmp_path)
    run = first.runs.start(first.experiments.open("x").experiment_id, "run")
    first.close()
    second = opened(tmp_path)
    assert second.runs.get(run.run_id) == run
    second.close()


def test_what_the_driver_refuses_is_told_in_our_words_and_leaves_the_next_write_alone(url, tmp_path):
    connected = database.connect(url, tmp_path)
    run_row = ["run_id", "experiment_id", "name", "status", "start_ms"]
    insert = connected.statement(schema.runs.insert().inline(), run_row)
    make = connected.statement(text("CREATE TABLE ones (a INTEGER PRIMARY KEY)"))
    add = connected.statement(text("INSERT INTO ones VALUES (1)"))
    open_records(url, folder=tmp_path, clock=lambda: 1).close()
    with connected.write() as connection:
        make.change(connection)

    def write() -> None:
        with connected.write() as connection:
            add.change(connection)
            insert.change_each(connection, [("a", 99, "n", "RUNNING", 1), ("a", 99, None, "RUNNING", 1)])

    with pytest.raises(UsageError, match="refused a value"):
        write()
    with connected.write() as connection:
        assert add.change(connection) == 1  # what came before the refused row was undone
    with connected.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM ones")) == 1
    connected.close()
    if url == URL:
        assert not (tmp_path / ".bakeoff" / "records.db-wal").exists()  # no connection is open any more


@pytest.mark.processes
def test_sqlite_is_set_to_survive_a_power_failure(tmp_path):
    connected = database.connect(URL, tmp_path)
    with connected.read() as connection:
        pragmas = {p: connection.scalar(text(f"PRAGMA {p}")) for p in ("journal_mode", "synchronous", "foreign_keys")}
    connected.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_opening_and_reading_is_quick(tmp_path, start):
    opened(tmp_path).close()
    code = OPEN.replace("URL", repr(URL)) + (
        "\n    store = opened(); store.runs.search(Query()); store.documents.find('x')"
        "\n    assert not any(name.split('.')[0] in ('alembic', 'polars', 'numpy') for name in sys.modules)"
    )
    times = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        child = start(code)
        assert child.communicate()[1] == ""
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 1.5  # of a processor; 0.35 s


# --- several processes ------------------------------------------------------------------------------


def test_first_opens_at_once_all_succeed(url, tmp_path, together):
    if url != URL:
        run_sql(url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    code = OPEN.replace("URL", repr(url)) + "    # together\n    opened().experiments.open('x')\n"
    together(code, [1, 2, 3])
    store = open_records(url, folder=tmp_path, clock=FakeClock())
    assert store.experiments.open("x").experiment_id == "1"
    store.close()


def test_processes_register_at_once(url, tmp_path, together):
    code = OPEN.replace("URL", repr(url)) + (
        "    store = opened()\n    # together\n"
        "    print([store.versions.register('model', 'processes', f'{sys.argv[1]}{i}').number for i in range(10)])\n"
    )
    numbers = [number for line in together(code, ["a", "b"]) for number in eval(line)]
    assert sorted(numbers) == list(range(1, 21))


def test_processes_swap_at_once(url, tmp_path, together):
    code = OPEN.replace("URL", repr(url)) + (
        "    store = opened()\n    # together\n"
        "    done = 0\n"
        "    while done < 20:\n"
        "        found = store.documents.get('counters', 'c')\n"
        "        count, revision = (found.body['count'], found.revision) if found else (0, 0)\n"
        "        try:\n"
        "            store.documents.put('counters', 'c', {'count': count + 1}, expected=revision)\n"
        "            done += 1\n"
        "        except ConflictError:\n"
        "            pass\n"
        "    print(done)\n"
    )
    together(code, ["a", "b"])
    store = open_records(url, folder=tmp_path, clock=FakeClock())
    found = store.documents.get("counters", "c")
    store.close()
    assert found is not None
    assert (found.body, found.revision) == ({"count": 40}, 40)


def test_killed_while_logging(tmp_path, start):
    code = OPEN.replace("URL", repr(URL)) + (
        "    from bakeoff.core.records import Metric, RunChange\n"
        "    store = opened()\n"
        "    run = store.runs.start(store.experiments.open('x').experiment_id, 'r', run_id='r')\n"
        "    for i in range(10**6):\n"
        "        change = RunChange(run_id='r', metrics=[Metric(key='m', value=i, step=i)], tags={'last': str(i)})\n"
        "        store.runs.apply([change])\n"
        "        print(i, flush=True)\n"
    )
    child = start(code)
    for line in child.stdout:
        if line == "30\n":
            child.kill()
            break
    acknowledged = 30 + len(child.stdout.read().splitlines())
    store = opened(tmp_path)
    run, history = store.runs.get("r"), store.runs.history("r", "m").items
    store.close()
    assert len(history) >= acknowledged + 1
    assert run.tags == {"last": str(len(history) - 1)}  # a transaction is whole


# --- the schema -------------------------------------------------------------------------------------


def test_migrations_make_the_schema(url, tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    assert scripts.get_current_head() == schema.HEAD
    connected = database.connect(url, tmp_path)
    migrate.migrate(connected)
    with connected.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
    connected.close()


def test_records_of_the_schema_before_are_read(url, tmp_path):
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    if url != URL:
        run_sql(url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    connected = database.connect(url, tmp_path)
    with connected.write() as connection:
        context = MigrationContext.configure(connection, opts={"transactional_ddl": True})
        with Operations.context(context):
            for step in ("0001", "0002"):
                scripts.get_revision(step).module.upgrade()
        context.stamp(scripts, "0002")
        if url.startswith("sqlite"):
            sums.install(connection.exec_driver_sql)
        rows = {
            "experiments (experiment_id, name, created_ms)": ["1, 'films', 5"],
            "runs (number, run_id, experiment_id, name, status, start_ms)": ["1, 'r', 1, 'x', 'FINISHED', 6"],
            "metrics (run_id, key, step, time_ms, value, is_nan)": ["'r', 'loss', 3, 7, 0.5, false"],
            "latest_metrics (run_id, key, step, time_ms, value, is_nan)": ["'r', 'loss', 3, 7, 0.5, false"],
            "names (kind, name, last_number)": ["'model', 'films', 2"],
            "versions (kind, name, number, content, created_ms, lineage)": [
                "'model', 'films', 1, 'a', 7, '{}'",
                "'model', 'films', 2, 'b', 9, '{}'",
            ],
            "aliases (kind, name, alias, number)": ["'model', 'films', 'champion', 2"],
        }
        for table, values in rows.items():
            for each in values:
                connection.execute(text(f"INSERT INTO {table} VALUES ({each})"))
    connected.close()
    store = open_records(url, folder=tmp_path, clock=FakeClock())
    (experiment,) = store.experiments.search(Query()).items
    (entry,) = store.versions.registered(Query()).items
    assert (experiment.name, experiment.updated_ms, experiment.lifecycle) == ("films", 5, "active")
    assert (entry.created_ms, entry.updated_ms, entry.last_number, entry.aliases) == (7, 9, 2, {"champion": 2})
    (run,) = store.runs.search(Query()).items
    assert (run.run_id, run.metrics) == ("r", {"loss": Metric(key="loss", value=0.5, step=3, time_ms=7)})
    assert [version.number for version in store.versions.search(Query()).items] == [2, 1]
    store.close()
    if url.startswith("sqlite"):
        record_check.require_whole(tmp_path / ".bakeoff" / "records.db")


def test_a_new_database_has_the_tables_that_the_migrations_make(url, tmp_path):
    def described(folder):
        connected = database.connect(url if url.startswith("postgresql") else f"sqlite:///{folder}.db", tmp_path)
        with connected.write() as connection:
            if connected.dialect == "postgresql":
                connection.execute(text(f"CREATE SCHEMA {folder}"))
                connection.execute(text(f"SET search_path TO {folder}"))
            made = migrate._create if folder == "created" else lambda connection: migrate._upgrade(connection, None)
            made(connection)
            look = inspect(connection)
            tables = {
                name: (
                    [{**column, "type": str(column["type"])} for column in look.get_columns(name)],
                    look.get_pk_constraint(name),
                    sorted(map(str, look.get_foreign_keys(name))),
                    sorted(map(str, look.get_unique_constraints(name))),
                    sorted(map(str, look.get_indexes(name))),
                )
                for name in look.get_table_names()
            }
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            if connection.dialect.name == "sqlite":
                made_by = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'latest_metrics'"
                assert connection.execute(text(made_by)).scalar_one().strip().endswith("WITHOUT ROWID")
            connection.rollback()
        connected.close()
        return tables, revision

    created, migrated = described("created"), described("migrated")
    assert created == migrated
    assert created[1] == schema.HEAD
    assert {"runs", "documents", "versions"} < created[0].keys()


def test_a_failed_migration_leaves_nothing(tmp_path, monkeypatch):
    from alembic.operations import Operations

    real = Operations.create_index

    def fail(self, name, table, *args, **kwargs):
        if table == "versions":
            raise KeyboardInterrupt
        return real(self, name, table, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Operations, "create_index", fail)
        patch.setattr(migrate, "_create", lambda connection: migrate._upgrade(connection, None))
        with pytest.raises(KeyboardInterrupt):
            opened(tmp_path)
    with sqlite3.connect(tmp_path / ".bakeoff" / "records.db") as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    connection.close()
    opened(tmp_path).close()


def test_a_newer_database_is_refused(tmp_path):
    opened(tmp_path).close()
    with sqlite3.connect(tmp_path / ".bakeoff" / "records.db") as connection:
        sums.register(connection)  # as a newer bakeoff does
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StoreError, match="newer bakeoff"):
        opened(tmp_path)


# --- trouble ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y", "no url"])
def test_other_urls_are_refused(url, tmp_path):
    with pytest.raises(UsageError):
        open_records(url, folder=tmp_path, clock=FakeClock())


def test_an_sqlite_that_is_too_old_is_refused(tmp_path, monkeypatch, old_sqlite):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    with pytest.raises(StoreError, match=r"found 3\.34\.1"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("own", "other", "chosen", "log"),
    [
        ((3, 51, 3), (3, 53, 4), "sqlite3", True),
        ((3, 51, 2), (3, 53, 4), "pysqlite3", True),
        ((3, 51, 2), (3, 50, 4), "sqlite3", False),
        ((3, 51, 2), None, "sqlite3", False),
    ],
)
def test_the_sqlite_that_is_taken(monkeypatch, own, other, chosen, log):
    package = None if other is None else SimpleNamespace(__name__="pysqlite3", sqlite_version_info=other)
    monkeypatch.setitem(sys.modules, "pysqlite3", package)
    monkeypatch.setattr(sqlite3, "sqlite_version_info", own)
    taken = sqlite_driver.sqlite.__wrapped__()
    assert (taken.module.__name__, taken.write_ahead) == (chosen, log)


def test_records_go_from_a_log_to_a_journal_and_back(tmp_path, request):
    opened(tmp_path).close()
    killed = left_by_a_killed_process(tmp_path, copied=False)  # its log is not empty
    request.getfixturevalue("old_sqlite")
    with closing(opened(tmp_path / "killed")) as store:
        assert len(store.documents.find("c")) == 20
        store.documents.put("c", "of the old one", {})
        assert not killed.with_name("records.db-wal").exists()
    record_check.back_up(killed)
    assert list(record_check.check(killed)) == []
    sqlite_driver.LOG_IS_SAFE = (0, 0, 0)  # restored by the fixture
    with closing(opened(tmp_path / "killed")) as store:
        assert len(store.documents.find("c")) == 21
        assert killed.with_name("records.db-wal").exists()


def test_a_reader_and_a_writer_of_an_old_sqlite_wait_for_each_other(tmp_path, old_sqlite):
    with closing(opened(tmp_path)) as store, ThreadPoolExecutor(8) as pool:
        puts = [pool.submit(store.documents.put, "c", str(n), {"n": n}) for n in range(100)]
        finds = [pool.submit(store.documents.find, "c") for _ in range(100)]
        assert len({put.result().key for put in puts}) == 100
        assert max(len(found.result()) for found in finds) <= 100
        assert len(store.documents.find("c")) == 100


def test_no_driver_of_postgresql(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match="bakeoff\\[postgres\\]"):
        open_records("postgresql://x@localhost/y", folder=tmp_path, clock=FakeClock())


def test_no_server_of_postgresql(postgresql, tmp_path):
    with pytest.raises(StoreError) as caught:
        open_records("postgresql://u:secret@127.0.0.1:1/y", folder=tmp_path, clock=FakeClock())
    assert "secret" not in str(caught.value)


def test_not_a_database(tmp_path):
    (tmp_path / ".bakeoff").mkdir()
    (tmp_path / ".bakeoff" / "records.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(CorruptError, match="not a database"):
        opened(tmp_path)


def test_a_damaged_latest_value_is_taken_from_the_copy(tmp_path):
    path = tmp_path / ".bakeoff" / "records.db"
    store = opened(tmp_path)
    store.runs.start(store.experiments.create("e").experiment_id, "x", run_id="r")
    store.runs.apply([RunChange(run_id="r", metrics=[Metric(key=key, value=1.5, step=2, time_ms=3) for key in "ab"])])
    store.close()
    record_check.back_up(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE latest_metrics SET value = 2.5 WHERE key = 'b'")
    (damage,) = record_check.check(path)
    assert damage.problem == "row r b of latest_metrics is not what was written"
    (repaired,) = record_check.check(path, repair=True)
    assert (repaired.repaired, repaired.remedy, repaired.lost) == (True, "taken from the copy", "")
    assert list(record_check.check(path)) == []
    store = opened(tmp_path)
    assert {key: each.value for key, each in store.runs.get("r").metrics.items()} == {"a": 1.5, "b": 1.5}
    store.close()


def test_a_damaged_database(tmp_path):
    store = opened(tmp_path)
    for index in range(200):
        store.documents.put("c", str(index), {"text": "x" * 500})
    store.close()
    path = tmp_path / ".bakeoff" / "records.db"
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with pytest.raises(CorruptError):
        opened(tmp_path).documents.find("c")


def left_by_a_killed_process(folder, copied):
    """Records whose last 20 writes are in SQLite's log alone; `copied` have a copy that a run left."""
    store = opened(folder / "first")
    if copied:
        store.documents.put("c", "of the copy", {})
    for index in range(20):
        store.documents.put("c", str(index), {"text": "x" * 500})
    path = folder / "first" / ".bakeoff" / "records.db"
    if copied:
        record_check.back_up(path)
    shutil.copytree(folder / "first", folder / "killed")
    store.close()
    return folder / "killed" / ".bakeoff" / "records.db"


@pytest.mark.parametrize("place", [0.0, 0.0001, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("copied", [False, True])
def test_a_damaged_log_is_named_before_what_it_held_is_lost(tmp_path, place, copied, monkeypatch):
    monkeypatch.setattr(write_ahead_log, "STILL_S", 0.2)  # nobody writes any more
    path = left_by_a_killed_process(tmp_path, copied)
    log = path.with_name("records.db-wal")
    content = log.read_bytes()
    at = int(place * len(content))
    log.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    for _ in range(2):
        with pytest.raises(CorruptError, match=r"records\.db are damaged: .*-wal.*bakeoff verify --repair"):
            opened(tmp_path / "killed")
    assert next(each.problem for each in record_check.check(path)) == record_check.LOG
    (repaired,) = record_check.check(path, repair=True)
    assert (repaired.repaired, bool(repaired.lost)) == (True, True)
    assert (path.parent / "damaged" / "records.db-wal").read_bytes()[at] == content[at] ^ 1
    assert list(record_check.check(path)) == []
    with closing(opened(tmp_path / "killed")) as store:
        left = len(store.documents.find("c"))
    assert left == 21 if copied else left < 20


def test_a_log_that_is_whole_is_read_to_its_end(tmp_path):
    path = left_by_a_killed_process(tmp_path, copied=False)
    assert list(record_check.check(path)) == []
    log = path.with_name("records.db-wal")
    log.write_bytes(log.read_bytes() + b"torn" * 500)  # of a write that a kill cut off
    with closing(opened(tmp_path / "killed")) as store:
        assert len(store.documents.find("c")) == 20


def test_a_locked_database(tmp_path, monkeypatch):
    store = opened(tmp_path)
    store.close()
    monkeypatch.setattr(database, "_BUSY_MS", 50)
    store = opened(tmp_path)
    other = sqlite_driver.sqlite().module.connect(tmp_path / ".bakeoff" / "records.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process holds it"):
        store.documents.put("c", "k", {})
    other.rollback()
    other.close()
    assert store.documents.put("c", "k", {}).revision == 1
    store.close()


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / ".bakeoff").write_text("")
    with pytest.raises(StoreError):
        opened(tmp_path)


@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_cannot_be_used_is_named_as_what_it_is(tmp_path, monkeypatch, there):
    """The error is of the file, not of its folder; of a file that is there nothing is asked but to be read."""
    folder = tmp_path / ".bakeoff"
    folder.mkdir()
    if there:
        opened(tmp_path).close()
    os_open = os.open

    def refused(path, flags, *mode):
        if str(path).endswith("records.db") and not (flags & os.O_EXCL and Path(path).exists()):
            raise PermissionError(errno.EACCES, "Permission denied")
        return os_open(path, flags, *mode)

    monkeypatch.setattr(database.os, "open", refused)
    if there:
        opened(tmp_path).close()
    else:
        with pytest.raises(StoreError, match=r"cannot make the file of the records, .*records\.db: Permission denied"):
            opened(tmp_path)


def test_a_full_disk_loses_nothing_that_was_written(tmp_path, start):
    code = OPEN.replace("URL", repr(URL)) + (
        "    import resource\n"
        "    from bakeoff.core.errors import StoreError\n"
        "    store = opened()\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "    try:\n"
        "        for i in range(1000):\n"
        "            store.documents.put('c', f'{i:04d}', {'text': 'x' * 20_000})\n"
        "            print(i, flush=True)\n"
        "    except StoreError as error:\n"
        "        print(error)\n"
        "    assert store.documents.get('c', '0000') is not None\n"
    )
    stdout, stderr = start(code).communicate(timeout=60)
    assert stderr == ""
    *written, message = stdout.splitlines()
    assert "free" in message
    store = opened(tmp_path)
    assert len(store.documents.find("c")) == len(written) > 0
    store.documents.put("c", "more", {})
    store.close()


def test_a_read_only_database(tmp_path):
    opened(tmp_path).close()
    store = opened(tmp_path)
    with store.database.read() as connection:
        connection.execute(text("PRAGMA query_only = ON"))
    with pytest.raises(StoreError, match="read-only"):
        store.documents.put("c", "k", {})
    store.close()


def test_records_on_a_medium_that_nobody_writes_are_read(tmp_path, monkeypatch):
    folder = tmp_path / "a#b%20c?d"
    folder.mkdir()
    records = opened(folder)
    experiment = records.experiments.create("films").experiment_id
    records.close()
    before = sorted(each.name for each in (folder / ".bakeoff").iterdir())
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    records = opened(folder)
    assert records.experiments.get(experiment).name == "films"
    with pytest.raises(StoreError, match="it is read-only"):
        records.experiments.create("more")
    assert list(record_check.check(folder / ".bakeoff" / "records.db")) == []
    records.close()
    assert sorted(each.name for each in (folder / ".bakeoff").iterdir()) == before


def test_a_commit_that_the_disk_does_not_have_yet_is_no_damage(tmp_path, monkeypatch):
    """It stands in the log before it can be read; one that stays so is damaged."""
    monkeypatch.setattr(write_ahead_log, "STILL_S", 0.2)
    store = open_records("sqlite:///records.db", folder=tmp_path, clock=lambda: 1)
    store.documents.put("a", "b", {"c": 1})
    path = tmp_path / "records.db"

    class Behind:
        """A connection that sees the last commit after so many looks."""

        def __init__(self, looks):
            self.looks, self.frames = looks, 1000

        def execute(self, _):
            self.looks -= 1
            return self

        def fetchone(self):
            return (0, 0 if self.looks >= 0 else self.frames, 0)

    assert write_ahead_log.log_of(path).stat().st_size > 0
    assert not write_ahead_log.unread(path, Behind(5))
    assert write_ahead_log.unread(path, Behind(10_000))
    store.close()


def test_a_log_that_others_write_to_all_the_time_is_believed_with_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(write_ahead_log, "STILL_S", 0.2)
    monkeypatch.setattr(write_ahead_log, "LONGEST_S", 0.5)
    store = open_records("sqlite:///records.db", folder=tmp_path, clock=lambda: 1)

    class Another:
        """A connection that never sees the last commit, while another process writes."""

        def execute(self, _):
            store.documents.put("a", "b", {})
            return self

        def fetchone(self):
            return 0, 0, 0

    with caplog.at_level(logging.WARNING, logger="bakeoff.stores.write_ahead_log"):
        assert not write_ahead_log.unread(tmp_path / "records.db", Another())
    assert "records.db-wal is written to all the time" in caplog.text
    store.close()
