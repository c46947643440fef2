"""Retention: what goes and what stays, what readers see of it, and a kill at every instant of a pass."""

import os
import shutil
import signal
from pathlib import Path

import msgspec
import polars as pl
import pytest

from bakeoff.core.errors import CorruptError
from bakeoff.core.events import FeedbackEvent, KeyEvent, PredictionEvent, key_id
from bakeoff.core.retention import Expired, Expiry, Retention
from bakeoff.stores import archive, expiry, files
from bakeoff.stores.encryption import Keyring, new_key
from bakeoff.stores.events import FileEvents, open_events
from bakeoff.stores.expired import expired_log
from bakeoff.stores.writer import seal_idle
from bakeoff.testing.clock import FakeClock
from bakeoff.testing.events import failure, prediction

HOUR = 3_600_000
KEYS = new_key()


@pytest.fixture(params=["plain", "encrypted"])
def keyring(request):
    return Keyring() if request.param == "plain" else Keyring(lambda: KEYS, required=True)


@pytest.fixture
def opened(tmp_path, keyring):
    logs: list[FileEvents] = []

    def opened(segment_bytes: int = 1 << 20) -> FileEvents:
        at = {"folder": tmp_path, "clock": FakeClock(), "segment_bytes": segment_bytes, "keyring": keyring}
        logs.append(open_events("file://events", **at))
        return logs[-1]

    yield opened
    for log in logs:
        log.close()


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "events"


def ids(log, **how) -> list[str]:
    return [event.id for event in log.read(PredictionEvent, **how)]


def archived(log, *parts) -> None:
    """Each part as an archive of its own."""
    for part in parts:
        log.append(part)
        log.close()
        seal_idle(log._root)
        log = FileEvents(log._root, FakeClock(), 1 << 20, log._keyring)
        log.compact()


def hours(*numbers: int, endpoint: str = "late") -> list[PredictionEvent]:
    return [prediction(f"{endpoint}{n}", endpoint=endpoint, time_ms=n * HOUR) for n in numbers]


def before(hour: int, **more) -> Retention:
    return Retention(limits={"late": hour * HOUR}, **more)


def test_what_is_older_goes_and_the_rest_stays(opened, root):
    log = opened()
    archived(log, hours(0, 1), hours(2, 3), hours(4, 5))
    log = opened()
    look = log.expire(before(3), look=True)
    assert ids(log) == ["late0", "late1", "late2", "late3", "late4", "late5"]
    done = log.expire(before(3))
    assert (look.predictions, look.first_ms, look.last_ms) == (3, 0, 2 * HOUR)
    assert (done.predictions, done.first_ms, done.last_ms, done.waiting) == (3, 0, 2 * HOUR, 0)
    assert look.bytes > 0
    assert done.bytes > 0
    assert ids(log) == ids(opened()) == ["late3", "late4", "late5"]
    assert [path.stem for path in sorted(root.glob("*.parquet"))] == ["0000000000000003", "0000000000000005"]
    assert log.get(PredictionEvent, ["late0", "late2"]) == []
    assert [each.id for each in log.get(PredictionEvent, ["late3", "late5"])] == ["late3", "late5"]
    assert sorted(log.scan(PredictionEvent).collect()["id"]) == ["late3", "late4", "late5"]
    assert log.expired() == Expired(hours={"late": {0: 1, 1: 1, 2: 1}})
    assert log.expired().count("late", since_ms=HOUR, until_ms=2 * HOUR) == 1
    assert list(log.check()) == []
    again = log.expire(before(3))
    assert (again.events, again.bytes) == (0, 0)


def test_nothing_of_a_row_that_went_is_in_any_file(opened, root):
    log = opened()
    archived(log, [prediction("a", text="planted-secret", time_ms=0), prediction("b", text="stays", time_ms=9 * HOUR)])
    log = opened()
    assert log.expire(before(5)).predictions == 1
    for path in root.glob("*.parquet"):
        table = pl.read_parquet(path) if not log._keyring else archive.table(path, log._keyring)
        assert "planted-secret" not in str(table.to_dicts())
        assert "stays" in str(table.to_dicts())
    assert not any(b"planted-secret" in path.read_bytes() for path in root.iterdir() if path.is_file())


def test_endpoints_have_limits_of_their_own_and_others_keep_all(opened):
    log = opened()
    archived(log, [*hours(0, 2), *hours(0, 2, endpoint="early"), *hours(0, endpoint="more")])
    log = opened()
    done = log.expire(Retention(limits={"late": 1 * HOUR, "early": 3 * HOUR}))
    assert done.predictions == 3
    assert ids(log) == ["late2", "more0"]
    assert log.expired().count("early") == 2
    assert log.expired().count("more") == 0


def test_what_people_said_something_of_stays_with_what_they_said(opened):
    log, key = opened(), key_id("late", "order 7")
    feedback = [
        FeedbackEvent(id="late0", label="yes", time_ms=1),
        FeedbackEvent(id="late1", implicit={"copied": True}, time_ms=2),
        FeedbackEvent(id=key, rating=1.0, time_ms=3),
        FeedbackEvent(id="late3", comment="odd", time_ms=4),
        FeedbackEvent(id="never", label="no", time_ms=5),
    ]
    named = [
        KeyEvent(id=key, prediction_id="late2", time_ms=3),
        KeyEvent(id=key_id("late", "8"), prediction_id="late1", time_ms=3),
    ]
    archived(log, [*hours(0, 1, 2, 3, 4), failure(time_ms=5), *feedback, *named])
    log = opened()
    done = log.expire(before(9, spared=frozenset({"late4"})))
    assert (done.predictions, done.failures, done.feedback, done.keys, done.spared) == (1, 1, 2, 1, 4)
    assert ids(log) == ["late0", "late2", "late3", "late4"]
    assert [event.id for event in log.read(FeedbackEvent)] == ["late0", key, "late3"]
    assert [event.prediction_id for event in log.read(KeyEvent)] == ["late2"]
    assert log.expired().count() == 1


def test_copies_of_shadows_go_and_are_none_that_somebody_misses(opened):
    log = opened()
    archived(log, [*hours(0), prediction("s", role="shadow", shadow_of="late0", time_ms=0)])
    log = opened()
    done = log.expire(before(1))
    assert (done.predictions, done.shadows) == (1, 1)
    assert log.expired().count() == 1


def test_cursors_hold_whatever_goes(opened):
    log = opened()
    archived(log, hours(0, 1), hours(2, 9), hours(3, 4))
    log = opened()
    part, whole = log.read(PredictionEvent), log.read(PredictionEvent)
    assert [next(iter(part)).id, len(list(whole))] == ["late0", 6]
    at_first, at_end = part.cursor, whole.cursor
    log.expire(before(5))
    assert ids(log) == ["late9"]
    rest = log.read(PredictionEvent, after=at_first)
    assert [event.id for event in rest] == ["late9"]
    assert ids(log, after=rest.cursor) == ids(log, after=at_end) == []
    log.append(hours(10))
    assert ids(log, after=rest.cursor) == ids(log, after=at_end) == ["late10"]


def test_numbers_go_on_when_all_is_gone_and_the_counter_is_lost(opened, root):
    log = opened()
    archived(log, hours(0, 1, 2))
    opened().expire(before(9))
    assert list(root.glob("*.parquet")) == []
    (root / "sequence").unlink()
    log = opened()
    log.append(hours(10))
    assert log.scan(PredictionEvent).collect()["seq"].to_list() == [4]


def test_a_segment_that_is_written_to_is_closed_by_its_writer_and_loses_nothing_new(opened, root):
    log = opened()
    log.append(hours(0, 1, 9))
    assert log.expire(before(5), look=True) == Expiry(waiting=2)
    done = opened().expire(before(5))  # of another process, or this one
    assert (done.predictions, done.waiting) == (2, 0)
    log.append(hours(10))
    assert ids(log) == ["late9", "late10"]
    assert list(root.glob("*.seal")) == []


def test_a_segment_without_anything_that_goes_stays_as_it_is(opened, root):
    log = opened()
    log.append(hours(9))
    log.close()
    assert opened().expire(before(5)) == Expiry()
    assert [path.suffix for path in root.glob("0*") if path.suffix != ".mark"] == [".open"]


def test_what_its_writer_does_not_close_in_time_waits(opened, root, monkeypatch):
    monkeypatch.setattr(expiry, "SEAL_S", 0.0)
    log = opened()
    log.append(hours(0, 9))
    log._appender._rest = None  # it is stuck
    done = opened().expire(before(5))
    assert (done.predictions, done.waiting) == (0, 1)
    assert ids(log) == ["late0", "late9"]
    log.append(hours(10))  # which closes it
    assert opened().expire(before(5)).predictions == 1
    assert ids(log) == ["late9", "late10"]


def test_a_table_that_was_asked_for_before_outlasts_the_pass(opened):
    log = opened()
    archived(log, hours(0), hours(1, 9))
    log = opened()
    log.expire(before(0))
    log.expire(before(-5))
    archived(opened(), hours(2))
    opened().expire(before(1))  # from now on archives may be written again
    table = log.scan(PredictionEvent)
    opened().expire(before(5))
    assert table.collect()["id"].to_list() == ["late9"]


def test_an_archive_that_is_written_again_while_it_is_read_is_read_again(opened, monkeypatch):
    log, other = opened(), opened()
    archived(log, [*hours(*range(50)), prediction("new", time_ms=99 * HOUR, text="x" * 5000)])
    inner, done = archive._scanned_file, []

    def scanned(path, keyring):
        source = inner(path, keyring)
        source.collect_schema()  # what is known of the file as it was
        if not done:
            done.append("begun")
            done.append(other.expire(before(99)).predictions)
        return source

    monkeypatch.setattr(archive, "_scanned_file", scanned)
    assert ids(opened()) == ["new"]
    assert done == ["begun", 50]


def test_an_archive_of_before_loses_its_rows_too(root):
    payloads = [msgspec.json.encode(each).decode() for each in hours(0, 9)]
    root.mkdir()
    pl.DataFrame(
        {"seq": [1, 2], "kind": ["prediction"] * 2, "time_ms": [0, 9 * HOUR], "payload": payloads},
        schema_overrides={"seq": pl.UInt64},
    ).write_parquet(root / "0000000000000001.parquet")
    log = FileEvents(root, FakeClock(), 1 << 20, Keyring())
    assert ids(log) == ["late0", "late9"]
    assert log.expire(before(5)).predictions == 1
    assert ids(log) == ["late9"]
    assert "late0" not in str(pl.read_parquet(root / "0000000000000001.parquet").to_dicts())
    assert log.expired().count("late") == 1


def test_a_damaged_list_of_what_is_gone_is_named_and_put_aside(opened, root):
    log = opened()
    archived(log, hours(0), hours(9))
    log = opened()
    cursor = log.read(PredictionEvent)
    list(cursor)
    log.expire(before(5))
    (root / "expired").write_bytes(b"{")
    with pytest.raises(CorruptError, match="past its retention, cannot be read"):
        log.expired()
    assert [(Path(each.place).name, each.repaired) for each in log.check()] == [("expired", False)]
    assert [(Path(each.place).name, each.repaired) for each in log.check(repair=True)] == [("expired", True)]
    assert list(log.check()) == []
    assert ids(log) == ["late9"]


# --- a kill -----------------------------------------------------------------------------------------


class _Killed(BaseException):
    """Nothing catches it, as a kill."""


def steps(monkeypatch, at: int) -> list[str]:
    """Stop before the `at`-th change of a file."""
    done: list[str] = []

    def counted(module, name):
        inner = getattr(module, name)

        def change(*args, **how):
            if len(done) == at:
                raise _Killed
            done.append(f"{name} {args[0]}")
            return inner(*args, **how)

        monkeypatch.setattr(module, name, change)

    counted(Path, "unlink")
    counted(os, "replace")
    counted(Path, "replace")
    counted(Path, "rename")
    counted(files, "sync_folder")
    return done


def test_stopped_before_any_change_of_a_file_nothing_newer_is_lost_and_the_next_pass_ends_it(
    tmp_path, keyring, monkeypatch
):
    whole = tmp_path / "whole"
    archived(FileEvents(whole, FakeClock(), 1 << 20, keyring), hours(0, 1), hours(2, 9), hours(3), hours(10))
    reading = FileEvents(whole, FakeClock(), 1 << 20, keyring).read(PredictionEvent)
    assert len(list(reading)) == 6
    for at in range(0, 200, 3 if keyring else 1):
        root = shutil.copytree(whole, tmp_path / str(at))
        log, is_stopped = FileEvents(root, FakeClock(), 1 << 20, keyring), False
        with monkeypatch.context() as patch:
            done = steps(patch, at)
            try:
                log.expire(before(5))
            except _Killed:
                is_stopped = True
        assert {"late9", "late10"} <= {*ids(log)}
        assert ids(log, after=reading.cursor) == list(log.check()) == []
        log.expire(before(5))
        assert ids(log) == ["late9", "late10"], done
        assert log.expired() == Expired(hours={"late": dict.fromkeys(range(4), 1)}), done
        assert [each.id for each in log.get(PredictionEvent, ["late9", "late0"])] == ["late9"]
        assert (expired_log(root).going, list(log.check())) == (None, [])
        if not is_stopped:
            assert at > 15
            return
    pytest.fail("it never came to its end")


@pytest.mark.processes
def test_a_real_kill_while_a_server_writes(tmp_path, start):
    code = """
        import os, signal, sys
        from pathlib import Path
        from bakeoff.core.retention import Retention
        from bakeoff.stores import archive
        from bakeoff.stores.events import open_events
        log = open_events("file://events", folder=Path("."), clock=lambda: 1)
        inner = archive.durable_write
        def killed(target, *args, **how):
            inner(target, *args, **how)
            os.kill(os.getpid(), signal.SIGKILL)
        archive.durable_write = killed
        log.expire(Retention(limits={"late": 5 * 3_600_000}))
    """
    log = FileEvents(tmp_path / "events", FakeClock(), 1 << 20, Keyring())
    archived(log, hours(0), hours(2, 9))
    log = FileEvents(tmp_path / "events", FakeClock(), 1 << 20, Keyring())
    log.append(hours(10))
    child = start(code)
    child.wait(timeout=60)
    assert child.returncode == -signal.SIGKILL
    log.append(hours(11))
    assert ids(log) == ["late9", "late10", "late11"]
    log.expire(before(5))
    assert ids(log) == ["late9", "late10", "late11"]
    assert log.expired().count() == 2
    assert list(log.check()) == []
    log.close()
