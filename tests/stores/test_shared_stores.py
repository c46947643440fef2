"""Stores that several hosts share, and what they do when a server says nothing: S3 and PostgreSQL, stopped and lost."""

import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from bakeoff.core.errors import CorruptError, NotFoundError, StoreError, UsageError
from bakeoff.core.events import Cursor, FeedbackEvent, PredictionEvent
from bakeoff.core.retention import Expired, Retention
from bakeoff.stores.encryption import Keyring, new_key
from bakeoff.stores.patience import LostError, Patience
from bakeoff.stores.records import open_records
from bakeoff.stores.s3_blobs import S3Objects, open_blobs
from bakeoff.stores.sql_events import open_events
from bakeoff.testing.blobs import BlobStoreConformance
from bakeoff.testing.clock import FakeClock
from bakeoff.testing.events import EventLogConformance, prediction

pytestmark = pytest.mark.slow


@pytest.fixture(params=["plain", "encrypted"])
def keyring(request):
    keys = new_key()
    return Keyring() if request.param == "plain" else Keyring(lambda: keys, required=True)


class TestS3(BlobStoreConformance):
    @pytest.fixture
    def store(self, bucket, keyring):
        return open_blobs(f"{bucket}/some/where", folder=Path("/nowhere"), clock=FakeClock(), keyring=keyring)


class TestPostgresqlEvents(EventLogConformance):
    @pytest.fixture
    def log(self, empty_postgresql, clock, tmp_path, keyring):
        with closing(open_events(empty_postgresql, folder=tmp_path, clock=clock, keyring=keyring)) as log:
            yield log


def test_events_past_their_retention_go_and_numbers_go_on(empty_postgresql, tmp_path, keyring):
    hour, label = 3_600_000, FeedbackEvent(id="1", label="yes", time_ms=3)
    with closing(open_events(empty_postgresql, folder=tmp_path, clock=FakeClock(), keyring=keyring)) as log:
        log.append([prediction(str(n), time_ms=n * hour) for n in range(4)])
        reading = log.read(PredictionEvent)
        assert len(list(reading)) == 4
        log.append([label, FeedbackEvent(id="0", implicit={"copied": True}, time_ms=4)])
        limits = Retention(limits={"late": 3 * hour})
        look, done = log.expire(limits, look=True), log.expire(limits)
        assert look == done
        assert (done.predictions, done.feedback, done.spared, done.first_ms, done.last_ms) == (2, 1, 1, 0, 2 * hour)
        assert [event.id for event in log.read(PredictionEvent)] == ["1", "3"]
        assert [event.id for event in log.read(FeedbackEvent)] == ["1"]
        assert [event.id for event in log.get(PredictionEvent, ["0", "1", "2"])] == ["1"]
        assert log.expired() == Expired(hours={"late": {0: 1, 2: 1}})
        assert list(log.read(PredictionEvent, after=reading.cursor)) == []
        assert log.expire(Retention(limits={"late": 9 * hour})).predictions == 1
        at_end = log.read(PredictionEvent)
        assert [event.id for event in at_end] == ["1"]
        log.append([prediction("new")])  # its number is none that was given before
        for cursor in (reading.cursor, at_end.cursor):
            assert [event.id for event in log.read(PredictionEvent, after=cursor)] == ["new"]
        assert log.expired().count("late") == 3
        assert log.expire(limits).events == 0


def test_a_damaged_object_is_seen_and_healed_by_the_same_content(bucket):
    import obstore

    store, objects = open_blobs(bucket, folder=Path(), clock=FakeClock()), S3Objects(bucket)
    blob = store.put(b"whole")
    obstore.put(objects._store, objects._key("whole", blob), b"wrong")
    with pytest.raises(CorruptError, match="does not match its hash"):
        store.get(blob)
    assert [damage.blob for damage in store.check()] == [blob]
    assert store.put(b"whole") == blob
    assert store.get(blob) == b"whole"
    assert list(store.check()) == []


def test_urls_of_buckets_are_checked(s3_server):
    with pytest.raises(UsageError, match="expected a URL such as s3://bucket/prefix"):
        S3Objects("s3://bucket/x?secret=1")
    with pytest.raises(StoreError, match="check that the bucket is there"):
        open_blobs("s3://no-such-bucket-here", folder=Path(), clock=FakeClock()).put(b"x")


def test_numbers_ascend_over_writers_whatever_their_clocks_say(empty_postgresql, tmp_path):
    """Four logs on "hosts" whose clocks are an hour apart: a reader who goes on from its cursor misses nothing."""
    logs = [
        open_events(empty_postgresql, folder=tmp_path, clock=FakeClock(now_ms=10**12 + host * 3_600_000))
        for host in range(4)
    ]
    seen, cursor, done = [], None, threading.Event()

    def write(host):
        for number in range(50):
            logs[host].append([prediction(f"{host}/{number}")])

    threads = [threading.Thread(target=write, args=(host,)) for host in range(4)]
    for thread in threads:
        thread.start()
    while not done.is_set():
        if not any(thread.is_alive() for thread in threads):
            done.set()
        reading = logs[0].read(PredictionEvent, after=cursor)
        seen += [event.id for event in reading]
        cursor = reading.cursor
    for log in logs:
        log.close()
    assert len(seen) == len(set(seen)) == 200
    for host in range(4):
        assert [each for each in seen if each.startswith(f"{host}/")] == [f"{host}/{n}" for n in range(50)]


def test_a_cursor_of_a_folder_is_none_here(empty_postgresql, tmp_path):
    opened = closing(open_events(empty_postgresql, folder=tmp_path, clock=FakeClock()))
    with opened as log, pytest.raises(NotFoundError, match="read it from the start"):
        log.read(PredictionEvent, after=Cursor("1:5"))


# --- servers that say nothing -----------------------------------------------------------------------


def seconds(call, error):
    began = time.monotonic()
    with pytest.raises(error):
        call()
    return time.monotonic() - began


@pytest.fixture
def impatient(monkeypatch):
    """A server of PostgreSQL that says nothing is asked sooner than outside of tests whether it is there."""
    monkeypatch.setattr("bakeoff.stores.postgresql.SILENCE_S", 0.5)


def test_a_stopped_database_is_told_and_comes_back(empty_postgresql, postmaster, tmp_path, stopped, impatient):
    with (
        closing(open_records(empty_postgresql, folder=tmp_path, clock=FakeClock())) as records,
        closing(open_events(empty_postgresql, folder=tmp_path, clock=FakeClock())) as events,
    ):
        records.documents.put("notes", "a", {"x": 1})
        events.append([prediction("before")])
        with stopped(postmaster):
            first = threading.Thread(target=lambda: seconds(lambda: events.append([prediction("lost")]), StoreError))
            first.start()
            assert seconds(lambda: records.documents.get("notes", "a"), LostError) < 9
            assert seconds(lambda: records.documents.put("notes", "a", {"x": 2}), LostError) < 0.5  # it is left alone
            first.join()
            assert "does not answer" in (events.problem() or "")
        began = time.monotonic()
        while events.problem() is not None:
            time.sleep(0.05)
        assert time.monotonic() - began < 5
        events.append([prediction("after")])
        while True:
            try:
                assert records.documents.get("notes", "a").body == {"x": 1}
                break
            except LostError:
                assert time.monotonic() - began < 5
                time.sleep(0.05)
        ids = [event.id for event in events.read(PredictionEvent)]
        assert ids[0] == "before"
        assert ids[-1] == "after"


def test_a_slow_statement_is_no_lost_database(empty_postgresql, tmp_path, impatient):
    from bakeoff.stores.database import connect

    with closing(connect(empty_postgresql, tmp_path)) as database, database.read() as connection:
        assert connection.exec_driver_sql("SELECT 1 FROM pg_sleep(1)").scalar() == 1


def test_a_stopped_bucket_is_told_and_comes_back(bucket, s3_server, stopped):
    store = open_blobs(bucket, folder=Path(), clock=FakeClock())
    blob = store.put(b"x")
    with stopped(s3_server[0].pid):
        assert seconds(lambda: store.get(blob), LostError) < 9
        assert seconds(lambda: store.put(b"y"), LostError) < 0.5
    began = time.monotonic()
    while True:
        try:
            assert store.get(blob) == b"x"
            break
        except LostError:
            assert time.monotonic() - began < 5
            time.sleep(0.05)


def test_one_caller_at_a_time_tries_again(monkeypatch):
    monkeypatch.setattr("bakeoff.stores.patience.REST_S", 0.05)
    patience = Patience("the server")

    def lost():
        with patience.asking():
            raise LostError("no answer")

    with pytest.raises(LostError, match=r"^no answer"):
        lost()
    with pytest.raises(LostError, match=r"no answer; that was a moment ago"):
        lost()
    time.sleep(0.06)
    other = []

    def meanwhile():
        try:
            with patience.asking():
                other.append("through")
        except LostError:
            other.append("refused")

    with patience.asking():
        thread = threading.Thread(target=meanwhile)
        thread.start()
        thread.join()
        with patience.asking():  # what the one that tries does within its call is of that call
            pass
    meanwhile()
    assert other == ["refused", "through"]
