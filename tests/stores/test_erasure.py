"""Erasing from logs, blobs and records, each alone."""

import pytest

from bakeoff.core.erasure import PersonKey
from bakeoff.core.errors import ConflictError
from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.stores.blobs import open_blobs
from bakeoff.stores.encryption import Keyring, new_key
from bakeoff.stores.events import open_events
from bakeoff.stores.records import open_records
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


def test_records_on_a_server(empty_postgresql, tmp_path):
    records = open_records(empty_postgresql, folder=tmp_path, clock=FakeClock())
    experiment = records.experiments.create("e", tags={"owner": KEY.text}).experiment_id
    old, new = "a" * 64, "b" * 64
    records.documents.put("traces", "t", {"said": KEY.text})
    records.documents.put("steps", "s", {"rows_blob": old, "note": f"of {KEY.text}"})
    records.documents.put("audit", "1", {"subject": KEY.text})
    counts = records.erase(KEY, {old: new})
    assert counts == {"documents": 2, "experiment_tags": 1}
    assert records.experiments.get(experiment).tags == {"owner": "[erased]"}
    assert records.documents.get("traces", "t") is None
    assert records.documents.get("steps", "s").body == {"rows_blob": new, "note": "of [erased]"}
    assert records.documents.get("audit", "1").body == {"subject": KEY.text}
    records.close()
