import errno
import json
import logging
import os
import shutil
import time
from pathlib import Path

import msgspec
import polars as pl
import pytest

from bakeoff.core.errors import CorruptError, StoreError, UsageError
from bakeoff.core.events import FailureEvent, FeedbackEvent, PredictionEvent
from bakeoff.stores import archive, ids, segments, writer
from bakeoff.stores.encryption import Keyring, new_key
from bakeoff.stores.events import open_events
from bakeoff.stores.marks import Mark
from bakeoff.testing.clock import FakeClock
from bakeoff.testing.events import EventLogConformance

OPEN = """
    import os, sys
    from pathlib import Path
    from bakeoff.stores.events import open_events
    from bakeoff.core.errors import StoreError
    from bakeoff.core.events import FeedbackEvent
    from bakeoff.stores.encryption import Keyring
    keyring = Keyring(lambda: KEYS) if (KEYS := os.environ.get("TEST_KEYS")) else None
    log = open_events("file://events", folder=Path("."), clock=lambda: 1, segment_bytes=SIZE, keyring=keyring)
"""


THREE_FRAMES = 330
"""Of one short event each, where they are not encrypted."""


@pytest.fixture(params=["plain", "encrypted"])
def keyring(request, monkeypatch):
    """Whether the log is encrypted, in children too."""
    if request.param == "plain":
        return Keyring()
    keys = new_key()
    monkeypatch.setenv("TEST_KEYS", keys)
    return Keyring(lambda: keys, required=True)


class TestFiles(EventLogConformance):
    @pytest.fixture
    def log(self, tmp_path, clock, keyring):
        log = open_events("file://.bakeoff/events", folder=tmp_path, clock=clock, keyring=keyring)
        yield log
        log.close()


class TestSmallSegments(EventLogConformance):
    @pytest.fixture
    def log(self, tmp_path, clock, keyring):
        log = open_events("file://events", folder=tmp_path, clock=clock, segment_bytes=2000, keyring=keyring)
        yield log
        log.close()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "events"


@pytest.fixture
def opened(tmp_path, keyring):
    """Opens the log again and again; all are closed at the end."""
    logs = []

    def opened(segment_bytes=64 << 20):
        clock = FakeClock()
        if keyring and segment_bytes == THREE_FRAMES:
            segment_bytes += 3 * (len(keyring.seal("", b"")) - 2)
        logs.append(
            open_events("file://events", folder=tmp_path, clock=clock, segment_bytes=segment_bytes, keyring=keyring)
        )
        return logs[-1]

    yield opened
    for log in logs:
        log.close()


def event(index: int, comment: str | None = None) -> FeedbackEvent:
    return FeedbackEvent(id=str(index), comment=comment)


def other() -> FailureEvent:
    return FailureEvent(endpoint="late", release_id="r1", model_version="m/1", error="DataError")


def indices(log) -> list[int]:
    return [int(each.id) for each in log.read(FeedbackEvent)]


def numbered(log) -> dict[int, FeedbackEvent]:
    """The events by their numbers."""
    table = log.scan(FeedbackEvent).select("seq", "id").sort("seq").collect()
    events = list(log.read(FeedbackEvent))
    assert table["id"].to_list() == [each.id for each in events]
    return dict(zip(table["seq"].to_list(), events, strict=True))


def numbers(log) -> list[int]:
    return list(numbered(log))


def fill(opened, count: int, segment_bytes: int = 64 << 20) -> None:
    log = opened(segment_bytes)
    for index in range(count):
        log.append([event(index, "ü" * 20)])
    log.close()


def suffixes(root: Path) -> list[str]:
    return sorted(path.suffix for path in root.iterdir() if path.suffix not in {"", ".mark", ".parity", ".ids"})


# --- recovery ---------------------------------------------------------------------------------------


def committed(path: Path, events: int, frame: int) -> None:
    """Set the mark as it is when this many events, of a frame each, were promised."""
    path.with_suffix(".mark").write_bytes(Mark(end=events * frame, last_seq=events).encode())


def test_a_tail_torn_at_every_byte_is_cut(opened, root, caplog):
    fill(opened, 2)
    (path,) = root.glob("*.open")
    whole = path.read_bytes()
    frame = len(whole) // 2
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        left = list(range(size // frame))
        committed(path, len(left), frame)
        assert indices(opened()) == left  # a reader changes nothing
        assert path.stat().st_size == size
        log = opened()
        log.append([event(99)])
        assert indices(log) == [*left, 99]
        assert numbers(log)[-1] > 2  # numbers that had been given are not given again
        log.close()
    assert any("cut a torn tail" in record.message for record in caplog.records)


@pytest.mark.parametrize("tail", [b"\x00" * 100, b"\x00bk1" + b"\xff" * 200, b"\x00bk1" * 50])
def test_a_tail_of_garbage_is_cut(opened, root, tail):
    fill(opened, 3)
    (path,) = root.glob("*.open")
    with path.open("ab") as file:
        file.write(tail)
    log = opened()
    assert indices(log) == [0, 1, 2]
    log.append([event(3)])
    assert indices(log) == [0, 1, 2, 3]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_flipped_bit_in_the_middle_is_seen(opened, root, sealed):
    fill(opened, 4 if sealed else 3, segment_bytes=THREE_FRAMES if sealed else 1000)
    (path,) = root.glob("*.log") if sealed else root.glob("*.open")
    whole = path.read_bytes()
    frame = len(whole) // 3
    for position in range(0, len(whole) if sealed else 2 * frame, 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        events = iter(opened().read(FeedbackEvent))
        good = [int(next(events).id) for _ in range(position // frame)]
        assert good == list(range(position // frame))
        with pytest.raises(CorruptError, match=f"{path.name} is damaged at byte {position // frame * frame}"):
            next(events)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_segment_cut_below_what_was_promised_is_named_and_kept_as_it_is(opened, root, sealed, caplog):
    fill(opened, 4 if sealed else 3, segment_bytes=THREE_FRAMES if sealed else 1000)
    (path,) = root.glob("*.log") if sealed else root.glob("*.open")
    whole = path.read_bytes()
    frame = len(whole) // 3
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        first_lost = size // frame + 1
        with pytest.raises(CorruptError, match=f"{path.name} is damaged .* events {first_lost} to 3 may be lost"):
            indices(opened())
    assert "torn" not in caplog.text
    opened().append([event(9)])  # goes on beside it
    assert path.read_bytes() == whole[:size]


def test_a_segment_that_is_gone_is_named(opened, root):
    fill(opened, 4, segment_bytes=THREE_FRAMES)
    (path,) = root.glob("*.log")
    path.unlink()
    with pytest.raises(CorruptError, match=r"0000000000000001\.\* are gone, up to number 3"):
        indices(opened())
    with pytest.raises(CorruptError, match="are gone"):
        opened().get(FeedbackEvent, ["nobody"])
    with pytest.raises(CorruptError, match="are gone"):
        opened().scan(FeedbackEvent)


# --- repair -----------------------------------------------------------------------------------------


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    middle = len(content) // 2
    match how:
        case "flip":
            path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        case "cut":
            path.write_bytes(content[:middle])
        case "zero":
            path.write_bytes(content[:middle] + bytes(len(content) - middle))
        case _:
            path.unlink()


@pytest.mark.parametrize("how", ["flip", "cut", "zero", "delete"])
@pytest.mark.parametrize(
    "name", ["*1.parquet", "*1.parity", "*1.ids", "*.log", "*.open", "*1.mark", "*[!1].mark", "sequence"]
)
def test_a_repair_keeps_what_is_good_and_says_what_is_lost(opened, root, name, how):
    for each in range(3):
        log = opened(segment_bytes=600)
        for index in range(6):
            log.append([event(each * 6 + index, "x" * 50)])
        if each == 0:
            log.compact()
        log.close()
    before = numbered(opened())
    (path, *_) = sorted(root.glob(name))
    damage(path, how)
    seen = list(opened().check())
    unmarked = path.suffix in {".mark", ".parity", ".ids"} and how == "delete"  # as it is with segments of before
    place = path.with_suffix(".log") if how == "delete" and path.suffix == ".open" else path
    assert [each.place for each in seen] == ([] if unmarked else [str(place)])
    repaired = list(opened().check(repair=True))
    assert [each.place for each in repaired] == [each.place for each in seen]
    assert all(each.repaired for each in repaired)
    assert list(opened().check()) == []
    after = numbered(opened())
    assert all(before[seq] == each for seq, each in after.items())
    assert opened().get(FeedbackEvent, [each.id for each in after.values()]) == list(after.values())
    lost = len(before) - len(after)
    assert lost == 0 or any(str(lost) in each.lost or how == "delete" for each in repaired)
    assert lost <= 6
    if path.suffix in {".mark", ".parquet", ".parity", ".ids"} or path.stem == "sequence":
        assert lost == 0
    log = opened()
    log.append([event(99)])
    assert indices(log) == [*(int(each.id) for each in after.values()), 99]
    assert max(numbers(log)) > max(before)


def test_numbers_go_on_when_the_counter_is_lost_and_all_is_archived(opened, root):
    fill(opened, 12, segment_bytes=THREE_FRAMES)
    for path in root.glob("*.open"):
        path.rename(path.with_suffix(".log"))
    opened().compact()
    (root / "sequence").unlink()
    log = opened()
    log.append([event(12)])
    assert numbers(log) == list(range(1, 14))


def test_a_repair_waits_for_the_writer(opened, root):
    log = opened()
    log.append([event(1)])
    log.append([event(2)])
    damage(next(root.glob("*.open")), "flip")
    (seen,) = opened().check(repair=True)
    assert not seen.repaired
    assert "serve" in seen.remedy


def archived_anew(root: Path) -> Path:
    """A copy whose archives and segments are all archives of today."""
    target = root.with_name("anew")
    target.mkdir()
    for path in root.iterdir():
        if path.suffix == ".parquet":
            rows = pl.read_parquet(path).iter_rows()
            items = [segments.StoredEvent(kind, time_ms, payload.encode()) for _, kind, time_ms, payload in rows]
            (target / path.name).with_suffix(".log").write_bytes(
                segments.encode(items, int(path.stem), path.stem, Keyring())
            )
        elif path.suffix in {".open", ".log"}:
            shutil.copy(path, (target / path.name).with_suffix(".log"))
    log = open_events(target.as_uri(), folder=root, clock=FakeClock())
    assert log.compact() == 20
    assert suffixes(target) == [".parquet"] * 4
    return target


def test_what_was_written_before_is_still_read(tmp_path, caplog):
    before = Path(__file__).parent / "before"
    shutil.copytree(before, tmp_path / "events")
    expected = json.loads((before / "events.json").read_text())
    log = open_events("file://events", folder=tmp_path, clock=FakeClock())
    predictions = [each for each in expected["prediction"] if "status" in each]  # and something that is no event
    before = {
        PredictionEvent: [each for each in predictions if each["status"] == "ok"],
        FailureEvent: [each for each in predictions if each["status"] == "error"],
        FeedbackEvent: expected["feedback"],
    }
    for root in (tmp_path / "events", archived_anew(tmp_path / "events")):
        log = open_events(root.as_uri(), folder=tmp_path, clock=FakeClock())
        for kind, events in before.items():
            assert list(log.read(kind)) == msgspec.convert(events, list[kind])
            table = log.scan(kind).sort("seq").collect()
            assert [table[name].to_list() for name in ("seq", "time_ms")] == [
                [each[name] for each in events] for name in ("seq", "time_ms")
            ]
        assert "no prediction at all" in caplog.text
        (odd,) = log.get(PredictionEvent, ["odd"])
        assert (odd.value, odd.violations, odd.absent, odd.row) == (
            3.5,
            (("x", "max"),),
            ("z",),
            {"x": [1, 2], "y": None},
        )
        log.close()
    log = open_events("file://events", folder=tmp_path, clock=FakeClock())
    assert list(log.check()) == []
    log.append([event(99)])
    log.compact()
    assert max(numbers(log)) == 1 + max(each["seq"] for events in expected.values() for each in events)
    assert [*log.check(repair=True), *log.check()] == []
    log.close()


def test_without_marks_the_last_number_given_tells_of_lost_events(tmp_path):
    shutil.copytree(Path(__file__).parent / "before", tmp_path / "events")
    path = max((tmp_path / "events").glob("*.open"))
    path.write_bytes(b"")
    log = open_events("file://events", folder=tmp_path, clock=FakeClock())
    (seen,) = log.check()
    assert "the last number given is" in seen.problem
    assert "up to" in seen.lost


def test_a_sealed_segment_may_not_end_early(opened, root):
    fill(opened, 4, segment_bytes=THREE_FRAMES)
    (path,) = root.glob("*.log")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptError, match=path.name):
        indices(opened())
    with pytest.raises(CorruptError, match=path.name):
        opened().compact()
    assert path.exists()


def test_appending_goes_on_beside_a_damaged_segment(opened, root, caplog):
    fill(opened, 3)
    (path,) = root.glob("*.open")
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"X" + content[41:])
    log = opened()
    log.append([other()])
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    assert path.read_bytes()[40:41] == b"X"
    with pytest.raises(CorruptError):
        indices(log)


def test_numbers_survive_a_lost_sequence(opened, root):
    fill(opened, 3)
    (root / "sequence").write_bytes(b"")
    log = opened()
    log.append([event(3)])
    assert numbers(log) == [1, 2, 3, 4]


# --- several processes ------------------------------------------------------------------------------


@pytest.mark.parametrize("segment_bytes", [500, 64 << 20])
def test_killed_while_appending(root, opened, start, segment_bytes):
    code = OPEN.replace("SIZE", str(segment_bytes)) + (
        "    for index in range(10**6):\n"
        "        log.append([FeedbackEvent(id=str(index), comment='x' * (index % 300))])\n"
        "        os.write(1, f'{index}\\n'.encode())\n"
    )
    for round_ in range(2):
        child = start(code)
        for line in child.stdout:
            if line == f"{40 + round_}\n":
                child.kill()
                break
        acknowledged = 41 + round_ + len(child.stdout.read().splitlines())
        log = opened(segment_bytes)
        log.append([other()])
        found = indices(log)
        log.close()
        assert found[:acknowledged] == list(range(acknowledged))
        assert len(found) <= acknowledged + 1  # one may be on disk that was not yet acknowledged
        shutil.rmtree(root)


def test_processes_append_at_once(root, opened, together):
    code = OPEN.replace("SIZE", "3000") + (
        "    # together\n"
        "    for index in range(60):\n"
        "        log.append([FeedbackEvent(id=str(index), source=sys.argv[1], comment='x' * 100)])\n"
        "        if index % 20 == 19: log.compact()\n"
        "    log.close()\n"
    )
    together(code, ["a", "b", "c"])
    events = list(opened().read(FeedbackEvent))
    assert len(events) == 180
    for who in "abc":
        assert [int(each.id) for each in events if each.source == who] == list(range(60))
    assert ".parquet" in suffixes(root)


def test_two_logs_in_turn_keep_one_order(opened, root):
    one, two = opened(), opened()
    for index in range(10):
        (one, two)[index % 2].append([event(index)])
    assert indices(opened()) == list(range(10))
    assert suffixes(root) == [".open", ".open"]


def test_a_cursor_holds_for_every_writer_and_after_a_restart(opened):
    logs = [opened(600), opened(600)]
    cursor = None
    for index in range(60):
        logs[index % 7 % 2].append([event(index, "x" * 50)])
        if index % 11 == 10:
            opened().compact()
        if index % 3 == 2:
            reading = opened().read(FeedbackEvent, after=cursor)
            assert [int(each.id) for each in reading] == [index - 2, index - 1, index]
            cursor = reading.cursor
    assert len(cursor) < 200  # a place for each writer and what stands between, not for each segment


def test_whoever_reads_on_does_not_read_again_what_stands_before(opened, root):
    fill(opened, 9)
    reading = opened().read(FeedbackEvent)
    assert [int(next(iter(reading)).id) for _ in range(7)] == list(range(7))
    (path,) = root.glob("*.open")
    data = bytearray(path.read_bytes())
    data[60] ^= 1  # in the first frame: who reads it sees that it is damaged, and `check` does
    path.write_bytes(data)
    assert [int(each.id) for each in opened().read(FeedbackEvent, after=reading.cursor)] == [7, 8]
    with pytest.raises(CorruptError):
        list(opened().read(FeedbackEvent))


@pytest.mark.parametrize("start", ["", "0:", "7:", "99999999:", "57:"])
def test_a_cursor_holds_where_its_frame_does_not_start_where_it_says(opened, start):
    fill(opened, 9)
    reading = opened().read(FeedbackEvent)
    assert [int(next(iter(reading)).id) for _ in range(4)] == list(range(4))
    stem, _, seq = reading.cursor.split(":")
    assert [int(each.id) for each in opened().read(FeedbackEvent, after=f"{stem}:{start}{seq}")] == [4, 5, 6, 7, 8]
    with pytest.raises(UsageError, match="cursor"):
        opened().read(FeedbackEvent, after=f"{stem}:1:2:{seq}")


def test_what_was_numbered_earlier_and_written_later_is_read_on(opened, root, keyring):
    one, two = opened(), opened()
    one.append([event(0)])
    two.append([event(1)])
    reading = opened().read(FeedbackEvent)
    assert [int(each.id) for each in reading] == [0, 1]
    (path,) = root.glob("*1.open")  # the next frame of the first writer gets a number below what was read
    low = segments.StoredEvent("feedback", 1, msgspec.json.encode({"id": "7", "time_ms": 1}))
    two.append([event(2)])
    on = opened().read(FeedbackEvent, after=reading.cursor)
    assert [int(each.id) for each in on] == [2]
    with path.open("ab") as file:
        file.write(segments.encode([low], 3 - 1, path.stem, keyring))
    assert [int(each.id) for each in opened().read(FeedbackEvent, after=on.cursor)] == [7]


def test_a_reader_beside_a_writer_that_seals_and_compacts(opened):
    log = opened(300)
    for index in range(20):
        log.append([event(index, "x" * 100)])
    events = iter(opened().read(FeedbackEvent))
    first = [int(next(events).id) for _ in range(3)]
    log.append([event(20, "x" * 300)])
    assert log.compact() > 0
    assert [*first, *(int(each.id) for each in events)][:20] == list(range(20))


# --- segments and Parquet ---------------------------------------------------------------------------


def test_a_new_log_goes_on_in_the_old_segment(opened, root):
    fill(opened, 3)
    fill(opened, 3)
    assert suffixes(root) == [".open"]
    assert numbers(opened()) == [1, 2, 3, 4, 5, 6]


def test_compaction_moves_sealed_segments(opened, root, keyring):
    fill(opened, 20, segment_bytes=1000)
    sealed = suffixes(root).count(".log")
    before = list(opened().read(FeedbackEvent))
    moved = opened().compact()
    assert 0 < moved < 20
    assert suffixes(root).count(".parquet") == sealed > 1
    assert ".log" not in suffixes(root)
    assert list(opened().read(FeedbackEvent)) == before
    table = pl.concat([archive.table(path, keyring) for path in root.glob("*.parquet")]).sort("seq")
    assert table.schema["time_ms"] == pl.Int64
    assert table.schema["latency_ms"] == pl.Float64
    assert table["id"].to_list() == [str(index) for index in range(moved)]
    assert table["rest"].null_count() == moved
    assert opened().compact() == 0


@pytest.mark.parametrize("how", ["flip", "cut", "zero", "delete"])
def test_ids_are_looked_up_whatever_became_of_their_index(opened, root, how):
    fill(opened, 20, segment_bytes=1000)
    opened().compact()
    for path in root.glob("*.ids"):
        damage(path, how)
    for index in range(20):
        assert [int(each.id) for each in opened().get(FeedbackEvent, [str(index)])] == [index]
    assert opened().get(FeedbackEvent, ["20"]) == []


def test_a_lookup_reads_the_archives_that_have_the_id_alone(opened, root, monkeypatch):
    fill(opened, 60, segment_bytes=1000)
    opened().compact()
    log, read = opened(), []
    events = archive.events

    def counted(path, wanted, keyring, **where):
        read.append(path.name)
        return events(path, wanted, keyring, **where)

    monkeypatch.setattr(archive, "events", counted)
    assert [int(each.id) for each in log.get(FeedbackEvent, ["3"])] == [3]
    assert read == [min(path.name for path in root.glob("*.parquet"))]


def test_an_id_is_found_by_the_first_questions_and_by_all_after_them(opened, monkeypatch):
    names = ["plain-1", "plain-10", 'quo"te', "ü", "tab\t", "back\\slash"]
    writer, log = opened(), opened()
    for name in names:
        writer.append([FeedbackEvent(id=name, comment="plain-100"), FeedbackEvent(id=f"other {name}"), other()])
    for count in range(ids._FEW + 3):
        assert [[each.id for each in log.get(FeedbackEvent, [name])] for name in names] == [[name] for name in names]
        assert log.get(FeedbackEvent, ["plain-100"]) == log.get(PredictionEvent, ["plain-1"]) == []
        assert [each.id for each in log.get(FeedbackEvent, names)] == names
        writer.append([FeedbackEvent(id=f"new-{count}")])
        assert len(log.get(FeedbackEvent, [f"new-{count}"])) == 1
    decoded, items = [], ids.items
    monkeypatch.setattr(ids, "items", lambda frame, keyring: decoded.append(frame.first_seq) or items(frame, keyring))
    assert len(opened().get(FeedbackEvent, ["new-2"])) == 1
    assert decoded == [len(names) * 3 + 3]


def test_of_a_frame_the_events_with_the_id_alone_are_decoded(opened, monkeypatch):
    opened().append([event(index) for index in range(50)])
    read, real = [], segments.EventQuery.read
    monkeypatch.setattr(segments.EventQuery, "read", lambda *given: read.append(given[1]) or real(*given))
    assert [each.id for each in opened().get(FeedbackEvent, ["7"])] == ["7"]
    assert read == [8]


def test_a_lookup_follows_a_segment_that_was_repaired(opened, root):
    fill(opened, 6)
    log = opened()
    assert len(log.get(FeedbackEvent, [str(index) for index in range(6)])) == 6
    (path,) = root.glob("*.open")
    damage(path, "flip")
    (repaired,) = opened().check(repair=True)
    assert repaired.repaired
    left = indices(opened())
    assert 0 < len(left) < 6
    assert [int(each.id) for each in log.get(FeedbackEvent, [str(index) for index in range(6)])] == left


def test_a_crash_between_parquet_and_deletion_doubles_nothing(opened, root, monkeypatch):
    fill(opened, 20, segment_bytes=1000)
    before = list(opened().read(FeedbackEvent))

    def crash(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            opened().compact()
    assert {".log", ".parquet"} <= set(suffixes(root))
    assert list(opened().read(FeedbackEvent)) == before
    opened().compact()
    assert ".log" not in suffixes(root)
    assert list(opened().read(FeedbackEvent)) == before


def test_a_crash_before_parquet_is_whole_leaves_the_segment(opened, root, monkeypatch):
    fill(opened, 20, segment_bytes=1000)
    before = list(opened().read(FeedbackEvent))

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="free space"):
            opened().compact()
    assert {path.suffix for path in root.iterdir() if path.stem.isdigit()} == {".log", ".mark", ".open"}
    assert not list(root.glob(".tmp-*"))
    assert list(opened().read(FeedbackEvent)) == before


def test_a_damaged_parquet_file_is_seen(opened, root):
    fill(opened, 20, segment_bytes=1000)
    opened().compact()
    next(root.glob("*.parquet")).write_bytes(b"PAR1 no more")
    with pytest.raises(CorruptError, match="parquet"):
        indices(opened())


# --- trouble ----------------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_loses_nothing(opened, start):
    code = OPEN.replace("SIZE", "64 << 20") + (
        "    import resource\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))\n"
        "    count = 0\n"
        "    try:\n"
        "        for index in range(100):\n"
        "            log.append([FeedbackEvent(id=str(index), comment='x' * 300)])\n"
        "            count += 1\n"
        "    except StoreError as error:\n"
        "        print(error)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (10**9, resource.RLIM_INFINITY))\n"
        "    log.append([FeedbackEvent(id=str(count))])\n"
        "    log.close()\n"
        "    print(count)\n"
    )
    stdout, stderr = start(code).communicate(timeout=30)
    assert stderr == ""
    message, count = stdout.splitlines()
    assert "raise the limit" in message
    assert indices(opened()) == list(range(int(count) + 1))


@pytest.mark.parametrize("events", [0, 1])
def test_a_full_disk_leaves_nothing_open_and_locked(opened, root, monkeypatch, events):
    """A server asks again and again: each refusal that held a file would bring it nearer to where it can open none."""
    fill(opened, events)
    log, before = opened(), len(list(Path("/dev/fd").iterdir()))

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(writer.os, "pwrite", full)
        for _ in range(3):
            with pytest.raises(StoreError, match="free space"):
                log.append([event(events)])
    assert len(list(Path("/dev/fd").iterdir())) == before
    log.append([event(events)])
    assert [path.name for path in root.glob("*.open")] == ["0000000000000001.open"]
    assert indices(log) == list(range(events + 1))


def test_after_a_failed_sync_nothing_more_is_promised(opened, monkeypatch):
    log = opened()
    log.append([event(0)])

    def fail(_descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(writer.os, "fdatasync", fail)
        with pytest.raises(StoreError, match="the disk failed"):
            log.append([event(1)])
    with pytest.raises(StoreError, match="start again"):
        log.append([event(2)])


def test_a_log_that_is_being_written_has_no_problem(opened, monkeypatch):
    log, seen, sync = opened(), [], os.fdatasync

    def looking(descriptor):
        seen.append(log.problem())  # as a server's health is asked for, from another thread
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", looking)
    log.append([event(0)])
    assert seen == [None]


def test_events_lost_without_durable_are_told_at_the_end(opened, root, caplog):
    root.write_text("a file where the folder should be")
    log = opened()
    log.append([event(0)], durable=False)
    with pytest.raises(StoreError):
        log.append([event(1)])
    with pytest.raises(StoreError):
        log.close()
    assert any("lost 1 events" in record.message for record in caplog.records)


def test_what_waits_is_written_when_closing(opened):
    log = opened()
    for index in range(500):
        log.append([event(index)], durable=False)
    log.close()
    log.close()
    assert indices(opened()) == list(range(500))
    with pytest.raises(UsageError, match="closed"):
        log.append([event(0)])


def test_one_append_commits_within_ten_milliseconds_of_the_disk(opened, monkeypatch):
    monkeypatch.setattr(writer.os, "fdatasync", lambda _descriptor: None)
    log = opened()
    log.append([event(0)])
    times = []
    for index in range(20):
        began = time.perf_counter()
        log.append([event(index)])
        times.append(time.perf_counter() - began)
    assert min(times) < 0.01  # nothing waits for a group to fill


@pytest.mark.parametrize("url", ["s3://bucket/x", "events"])
def test_other_urls_are_refused(url, tmp_path):
    with pytest.raises(UsageError):
        open_events(url, folder=tmp_path, clock=FakeClock())


def test_opening_and_reading_make_nothing(opened, tmp_path):
    assert list(opened().read(FeedbackEvent)) == []
    assert opened().compact() == 0
    assert list(tmp_path.iterdir()) == []


def test_events_that_nobody_waits_for_are_written_together_with_one_future(opened):
    log = opened()
    first, second = (log.submit([event(at)], urgent=False) for at in (1, 2))
    urgent = log.submit([event(3)])
    third = log.submit([event(4)], urgent=False)
    for each in (first, second, urgent, third):
        each.result(10)
    assert first is second
    assert len({first, urgent, third}) == 3
    assert indices(log) == [1, 2, 3, 4]
