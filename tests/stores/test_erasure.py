"""Erasing from logs, blobs and records, each alone."""

from contextlib import closing
from pathlib import Path

import pytest

from bakeoff.core.erasure import PersonKey
from bakeoff.core.errors import ConflictError
from bakeoff.core.events import FeedbackEvent, KeyEvent, PredictionEvent, key_id
from bakeoff.core.records import RunChange
from bakeoff.stores.blobs import open_blobs
from bakeoff.stores.encryption import Keyring, new_key
from bakeoff.stores.events import open_events
from bakeoff.stores.records import open_records
from bakeoff.stores.sql_events import open_events as open_sql_events
from bakeoff.testing.clock import FakeClock

KEY = PersonKey("ada@planted.example")


def prediction(number, text="others"):
    return PredictionEvent(
        id=f"p{number}", endpoint="e", release_id="r", model_version="m/1", row={"text": text}, label="yes"
    )


@pytest.fixture(params=["plain", "encrypted"])
def keyring(request):
    keys = new_key()
    return Keyring() if request.param == "plain" else Keyring(lambda: keys, required=True)


@pytest.fixture
def log(tmp_path, keyring):
    """A log of two archives, a sealed segment and an open one; each has an event of the person."""

    def opened():
        clock = FakeClock()
        return open_events("file://events", folder=tmp_path, clock=clock, segment_bytes=400, keyring=keyring)

    log = opened()
    for number in range(12):
        log.append([prediction(number, KEY.text if number % 4 == 1 else "others")])
        log.append([FeedbackEvent(id=f"p{number}", label="no")])
        if number == 7:
            log.compact()
    log.close()
    return opened


def test_events_of_a_person_lose_all_but_their_number(log, tmp_path):
    first = log()
    reading = first.read(PredictionEvent, FeedbackEvent)
    for _ in range(9):
        last = next(iter(reading))
    place = reading.cursor
    assert last.id == "p4"
    suffixes = {path.suffix for path in (tmp_path / "events").iterdir()}
    assert {".parquet", ".log", ".open"} <= suffixes
    assert first.erase(KEY) == 6
    assert first.erase(KEY) == 0
    rest = [f"p{number}" for number in range(12) if number % 4 != 1]
    assert [event.id for event in first.read(PredictionEvent)] == rest
    assert [event.id for event in first.read(FeedbackEvent)] == rest
    assert sorted(first.scan(PredictionEvent).collect()["id"].to_list()) == sorted(rest)
    assert first.get(PredictionEvent, ["p1", "p9"]) == []
    assert [event.id for event in first.get(PredictionEvent, ["p0", "p11"])] == ["p0", "p11"]
    after = [event.id for event in first.read(PredictionEvent, after=place)]
    assert after == ["p6", "p7", "p8", "p10", "p11"]
    assert list(first.check()) == []
    assert not any(KEY.in_bytes(path.read_bytes()) for path in (tmp_path / "events").iterdir())
    first.append([prediction(12)])
    first.compact()
    assert [event.id for event in first.read(PredictionEvent)] == [*rest, "p12"]
    assert list(first.check()) == []
    first.close()


def test_a_log_that_somebody_writes_is_left_alone(log, tmp_path):
    writing = log()
    writing.append([prediction(99)])
    before = {path.name: path.read_bytes() for path in (tmp_path / "events").iterdir()}
    with pytest.raises(ConflictError, match="stop servers"):
        log().erase(KEY)
    writing.close()
    assert {path.name: path.read_bytes() for path in (tmp_path / "events").iterdir()} | {} == before | {
        name: (tmp_path / "events" / name).read_bytes() for name in {"compacting"} - before.keys()
    }


def test_blobs_are_written_again_and_those_of_models_are_looked_at_alone(tmp_path):
    blobs = open_blobs("file://blobs", folder=tmp_path, clock=FakeClock())
    large = b"".join(b"line %d of many\n" % number for number in range(200_000))
    theirs = large + KEY.text.encode()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "words.txt").write_text(KEY.text)
    tree, plain, big = blobs.put_tree(tmp_path / "model"), blobs.put(b"plain"), blobs.put(large)
    small, long = blobs.put(f"by {KEY.text}".encode()), blobs.put(theirs)

    def change(data):
        return data.replace(KEY.text.encode(), b"nobody") if KEY.in_bytes(data) else None

    rewritten = blobs.rewrite(change)
    assert set(rewritten.renamed) == {small, long}
    assert rewritten.trees == {tree}
    blobs.discard([small, long])
    assert blobs.get(rewritten.renamed[small]) == b"by nobody"
    assert blobs.get(rewritten.renamed[long]) == large + b"nobody"
    assert (blobs.get(plain), blobs.get(big), blobs.intact(tree)) == (b"plain", large, True)
    assert not blobs.contains(small)
    assert not blobs.contains(long)
    blobs.discard([tree])
    assert not any(KEY.in_bytes(path.read_bytes()) for path in (tmp_path / "blobs").rglob("*") if path.is_file())
    assert list(blobs.check()) == []


def test_what_is_said_of_a_callers_own_key_goes_with_its_last_prediction(log):
    first = log()
    named = {"order 1": ["p1"], "order 2": ["p5", "p0"], "order 3": ["p2"], "order 4": []}
    for name, ids in named.items():
        first.append([KeyEvent(id=key_id("e", name), prediction_id=each) for each in ids])
        first.append([FeedbackEvent(id=key_id("e", name), comment=f"of {name}")])
    first.close()
    first = log()
    assert first.erase(KEY) == 6 + 2 + 1
    left = [event.comment for event in first.read(FeedbackEvent) if event.comment]
    assert left == ["of order 2", "of order 3", "of order 4"]
    assert [event.prediction_id for event in first.read(KeyEvent)] == ["p0", "p2"]
    first.close()


def in_database(url):
    """Files of a server that hold the key, but its write-ahead log; and tables of whose values it has noted it."""
    psycopg = pytest.importorskip("psycopg")
    data = Path(url.partition("host=")[2]) / "data"
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("CHECKPOINT")
        rows = connection.execute("SELECT tablename, concat(histogram_bounds, most_common_vals) FROM pg_stats")
        spelled = KEY.text, KEY.text.encode().hex()
        noted = {table for table, values in rows if any(each in str(values) for each in spelled)}
    files = (path for path in data.rglob("*") if path.is_file() and "pg_wal" not in path.parts)
    return sum(KEY.in_bytes(path.read_bytes()) for path in files), noted


def analyzed(url, *tables):
    """Have a server note the values of tables, as it does by itself after a while."""
    psycopg = pytest.importorskip("psycopg")
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        for table in tables:
            connection.execute(f"ANALYZE {table}")


@pytest.mark.slow
def test_events_of_a_person_on_a_server(empty_postgresql, tmp_path, keyring):
    """Nothing of them is left in any file of the database, nor in what it has noted of values."""
    opened = open_sql_events(empty_postgresql, folder=tmp_path, clock=FakeClock(), keyring=keyring)
    with closing(opened) as log:
        for number in range(12):
            log.append([prediction(number, KEY.text if number % 4 == 1 else "others")])
            log.append([FeedbackEvent(id=f"p{number}", label="no")])
        log.append([prediction(12, KEY.text)])  # the last one, whose number stays
        reading = log.read(PredictionEvent)
        for _ in range(5):
            next(iter(reading))
        analyzed(empty_postgresql, "bakeoff_events")
        if not keyring:
            assert in_database(empty_postgresql) == (1, {"bakeoff_events"})
        end = log.read(PredictionEvent)
        assert len(list(end)) == 13
        assert log.erase(KEY) == 7
        assert log.erase(KEY) == 0
        assert in_database(empty_postgresql) == (0, set())
        rest = [f"p{number}" for number in range(12) if number % 4 != 1]
        assert [event.id for event in log.read(PredictionEvent)] == rest
        assert [event.id for event in log.read(FeedbackEvent)] == rest
        assert log.get(PredictionEvent, ["p1", "p9", "p12"]) == []
        assert [event.id for event in log.get(PredictionEvent, ["p0", "p11"])] == ["p0", "p11"]
        assert [event.id for event in log.read(PredictionEvent, after=reading.cursor)] == rest[4:]
        log.append([prediction(13)])
        assert [event.id for event in log.read(PredictionEvent, after=end.cursor)] == ["p13"]


def test_records_on_a_server(empty_postgresql, tmp_path):
    records = open_records(empty_postgresql, folder=tmp_path, clock=FakeClock())
    experiment = records.experiments.create("e", tags={"owner": KEY.text}).experiment_id
    old, new = "a" * 64, "b" * 64
    records.documents.put("traces", "t", {"said": KEY.text})
    records.documents.put("steps", "s", {"rows_blob": old, "note": f"of {KEY.text}"})
    records.documents.put("audit", "1", {"subject": KEY.text})
    run = records.runs.start(experiment, "r").run_id
    for number in range(3):
        records.runs.apply([RunChange(run_id=run, params={f"{KEY.text} {number}": "x"})])
    analyzed(empty_postgresql, "params")
    assert in_database(empty_postgresql)[1] == {"params"}
    counts = records.erase(KEY, {old: new})
    assert counts == {"documents": 2, "experiment_tags": 1, "params": 3}
    assert in_database(empty_postgresql)[1] == {"documents"}  # by the audit log; of `params` no row is left to note
    assert records.experiments.get(experiment).tags == {"owner": "[erased]"}
    assert records.documents.get("traces", "t") is None
    assert records.documents.get("steps", "s").body == {"rows_blob": new, "note": "of [erased]"}
    assert records.documents.get("audit", "1").body == {"subject": KEY.text}
    records.close()
