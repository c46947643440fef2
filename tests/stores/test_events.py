import errno
import json
import logging
import os
import shutil
import time
from pathlib import Path

import polars as pl
import pytest

from bakeoff.core.errors import CorruptError, StoreError, UsageError
from bakeoff.stores import archive, writer
from bakeoff.stores.events import open_events
from bakeoff.stores.marks import Mark
from bakeoff.testing.clock import FakeClock
from bakeoff.testing.events import EventLogConformance

OPEN = """
    import os, sys
    from pathlib import Path
    from bakeoff.stores.events import open_events
    from bakeoff.core.errors import StoreError
    log = open_events("file://events", folder=Path("."), clock=lambda: 1, segment_bytes=SIZE)
"""


class TestFiles(EventLogConformance):
    @pytest.fixture
    def log(self, tmp_path, clock):
        log = open_events("file://.bakeoff/events", folder=tmp_path, clock=clock)
        yield log
        log.close()


class TestSmallSegments(EventLogConformance):
    @pytest.fixture
    def log(self, tmp_path, clock):
        log = open_events("file://events", folder=tmp_path, clock=clock, segment_bytes=2000)
        yield log
        log.close()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "events"


@pytest.fixture
def opened(tmp_path):
    """Opens the log again and again; all are closed at the end."""
    logs = []

    def opened(segment_bytes=64 << 20):
        logs.append(open_events("file://events", folder=tmp_path, clock=FakeClock(), segment_bytes=segment_bytes))
        return logs[-1]

    yield opened
    for log in logs:
        log.close()


def indices(log) -> list[object]:
    return [event["index"] for event in log.read("prediction")]


def numbers(log) -> list[object]:
    return [event["seq"] for event in log.read("prediction")]


def fill(opened, count: int, segment_bytes: int = 64 << 20) -> None:
    log = opened(segment_bytes)
    for index in range(count):
        log.append("prediction", [{"index": index, "text": "ü" * 20}])
    log.close()


def suffixes(root: Path) -> list[str]:
    return sorted(path.suffix for path in root.iterdir() if path.suffix not in {"", ".mark", ".parity"})


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
        log.append("prediction", [{"index": 99}])
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
    log.append("prediction", [{"index": 3}])
    assert indices(log) == [0, 1, 2, 3]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_flipped_bit_in_the_middle_is_seen(opened, root, sealed):
    fill(opened, 4 if sealed else 3, segment_bytes=330 if sealed else 1000)
    (path,) = root.glob("*.log") if sealed else root.glob("*.open")
    whole = path.read_bytes()
    frame = len(whole) // 3
    for position in range(0, len(whole) if sealed else 2 * frame, 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        events = opened().read("prediction")
        good = [next(events)["index"] for _ in range(position // frame)]
        assert good == list(range(position // frame))
        with pytest.raises(CorruptError, match=f"{path.name} is damaged at byte {position // frame * frame}"):
            next(events)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_segment_cut_below_what_was_promised_is_named_and_kept_as_it_is(opened, root, sealed, caplog):
    fill(opened, 4 if sealed else 3, segment_bytes=330 if sealed else 1000)
    (path,) = root.glob("*.log") if sealed else root.glob("*.open")
    whole = path.read_bytes()
    frame = len(whole) // 3
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        first_lost = size // frame + 1
        with pytest.raises(CorruptError, match=f"{path.name} is damaged .* events {first_lost} to 3 may be lost"):
            indices(opened())
    assert "torn" not in caplog.text
    opened().append("prediction", [{"index": 9}])  # goes on beside it
    assert path.read_bytes() == whole[:size]


def test_a_segment_that_is_gone_is_named(opened, root):
    fill(opened, 4, segment_bytes=330)
    (path,) = root.glob("*.log")
    path.unlink()
    with pytest.raises(CorruptError, match=r"0000000000000001\.\* are gone, up to number 3"):
        indices(opened())
    with pytest.raises(CorruptError, match="are gone"):
        list(opened().follow("prediction")())


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
@pytest.mark.parametrize("name", ["*1.parquet", "*1.parity", "*.log", "*.open", "*1.mark", "*[!1].mark", "sequence"])
def test_a_repair_keeps_what_is_good_and_says_what_is_lost(opened, root, name, how):
    for each in range(3):
        log = opened(segment_bytes=600)
        for index in range(6):
            log.append("prediction", [{"index": each * 6 + index, "text": "x" * 50}])
        if each == 0:
            log.compact()
        log.close()
    before = {event["seq"]: event for event in opened().read("prediction")}
    (path, *_) = sorted(root.glob(name))
    damage(path, how)
    seen = list(opened().check())
    unmarked = path.suffix in {".mark", ".parity"} and how == "delete"  # as it is with segments of before
    place = path.with_suffix(".log") if how == "delete" and path.suffix == ".open" else path
    assert [each.place for each in seen] == ([] if unmarked else [str(place)])
    repaired = list(opened().check(repair=True))
    assert [each.place for each in repaired] == [each.place for each in seen]
    assert all(each.repaired for each in repaired)
    assert list(opened().check()) == []
    after = list(opened().read("prediction"))
    assert all(before[event["seq"]] == event for event in after)
    lost = len(before) - len(after)
    assert lost == 0 or any(str(lost) in each.lost or how == "delete" for each in repaired)
    assert lost <= 6
    if path.suffix in {".mark", ".parquet", ".parity"} or path.stem == "sequence":
        assert lost == 0
    log = opened()
    log.append("prediction", [{"index": 99}])
    assert [event["index"] for event in log.read("prediction")] == [*(event["index"] for event in after), 99]
    assert list(log.read("prediction"))[-1]["seq"] > max(before)


def test_numbers_go_on_when_the_counter_is_lost_and_all_is_archived(opened, root):
    fill(opened, 12, segment_bytes=330)
    for path in root.glob("*.open"):
        path.rename(path.with_suffix(".log"))
    opened().compact()
    (root / "sequence").unlink()
    log = opened()
    log.append("prediction", [{"index": 12}])
    assert numbers(log) == list(range(1, 14))


def test_a_repair_waits_for_the_writer(opened, root):
    log = opened()
    log.append("prediction", [{"index": 1}])
    log.append("prediction", [{"index": 2}])
    damage(next(root.glob("*.open")), "flip")
    (seen,) = opened().check(repair=True)
    assert not seen.repaired
    assert "serve" in seen.remedy


def test_what_was_written_before_is_still_read(tmp_path):
    before = Path(__file__).parent / "before"
    shutil.copytree(before, tmp_path / "events")
    expected = json.loads((before / "events.json").read_text())
    log = open_events("file://events", folder=tmp_path, clock=FakeClock())
    for kind, events in expected.items():
        assert list(log.read(kind, since_ms=-(2**62))) == events
        assert list(log.follow(kind)()) == events
    assert list(log.check()) == []
    log.append("prediction", [{"id": "new"}])
    log.compact()
    assert list(log.read("prediction"))[-1]["seq"] == 1 + max(
        event["seq"] for each in expected.values() for event in each
    )
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
    fill(opened, 4, segment_bytes=330)
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
    log.append("feedback", [{"index": 1}])
    assert any(record.levelno == logging.ERROR for record in caplog.records)
    assert path.read_bytes()[40:41] == b"X"
    with pytest.raises(CorruptError):
        indices(log)


def test_numbers_survive_a_lost_sequence(opened, root):
    fill(opened, 3)
    (root / "sequence").write_bytes(b"")
    log = opened()
    log.append("prediction", [{"index": 3}])
    assert numbers(log) == [1, 2, 3, 4]


# --- several processes ------------------------------------------------------------------------------


@pytest.mark.parametrize("segment_bytes", [500, 64 << 20])
def test_killed_while_appending(root, opened, start, segment_bytes):
    code = OPEN.replace("SIZE", str(segment_bytes)) + (
        "    for index in range(10**6):\n"
        "        log.append('prediction', [{'index': index, 'text': 'x' * (index % 300)}])\n"
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
        log.append("feedback", [{}])
        found = indices(log)
        log.close()
        assert found[:acknowledged] == list(range(acknowledged))
        assert len(found) <= acknowledged + 1  # one may be on disk that was not yet acknowledged
        shutil.rmtree(root)


def test_processes_append_at_once(root, opened, together):
    code = OPEN.replace("SIZE", "3000") + (
        "    # together\n"
        "    for index in range(60):\n"
        "        log.append('prediction', [{'who': sys.argv[1], 'index': index, 'text': 'x' * 100}])\n"
        "        if index % 20 == 19: log.compact()\n"
        "    log.close()\n"
    )
    together(code, ["a", "b", "c"])
    events = list(opened().read("prediction"))
    assert [event["seq"] for event in events] == list(range(1, 181))
    for who in "abc":
        assert [event["index"] for event in events if event["who"] == who] == list(range(60))
    assert ".parquet" in suffixes(root)


def test_two_logs_in_turn_keep_one_order(opened, root):
    one, two = opened(), opened()
    for index in range(10):
        (one, two)[index % 2].append("prediction", [{"index": index}])
    assert indices(opened()) == list(range(10))
    assert suffixes(root) == [".open", ".open"]


def test_a_reader_beside_a_writer_that_seals_and_compacts(opened):
    log = opened(300)
    for index in range(20):
        log.append("prediction", [{"index": index, "text": "x" * 100}])
    events = opened().read("prediction")
    first = [next(events)["index"] for _ in range(3)]
    log.append("prediction", [{"index": 20, "text": "x" * 300}])
    assert log.compact() > 0
    assert [*first, *(event["index"] for event in events)][:20] == list(range(20))


# --- segments and Parquet ---------------------------------------------------------------------------


def test_a_new_log_goes_on_in_the_old_segment(opened, root):
    fill(opened, 3)
    fill(opened, 3)
    assert suffixes(root) == [".open"]
    assert numbers(opened()) == [1, 2, 3, 4, 5, 6]


def test_compaction_moves_sealed_segments(opened, root):
    fill(opened, 20, segment_bytes=1000)
    sealed = suffixes(root).count(".log")
    before = list(opened().read("prediction"))
    moved = opened().compact()
    assert 0 < moved < 20
    assert suffixes(root).count(".parquet") == sealed > 1
    assert ".log" not in suffixes(root)
    assert list(opened().read("prediction")) == before
    table = pl.read_parquet(root / "*.parquet").sort("seq")
    assert table.columns == ["seq", "kind", "time_ms", "payload"]
    assert [json.loads(payload)["index"] for payload in table["payload"]] == list(range(moved))
    assert opened().compact() == 0


def test_a_crash_between_parquet_and_deletion_doubles_nothing(opened, root, monkeypatch):
    fill(opened, 20, segment_bytes=1000)
    before = list(opened().read("prediction"))

    def crash(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            opened().compact()
    assert {".log", ".parquet"} <= set(suffixes(root))
    assert list(opened().read("prediction")) == before
    opened().compact()
    assert ".log" not in suffixes(root)
    assert list(opened().read("prediction")) == before


def test_a_crash_before_parquet_is_whole_leaves_the_segment(opened, root, monkeypatch):
    fill(opened, 20, segment_bytes=1000)
    before = list(opened().read("prediction"))

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(archive.os, "fsync", full)
        with pytest.raises(StoreError, match="free space"):
            opened().compact()
    assert {path.suffix for path in root.iterdir() if path.stem.isdigit()} == {".log", ".mark", ".open"}
    assert not list(root.glob(".tmp-*"))
    assert list(opened().read("prediction")) == before


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
        "            log.append('prediction', [{'index': index, 'text': 'x' * 300}])\n"
        "            count += 1\n"
        "    except StoreError as error:\n"
        "        print(error)\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (10**9, resource.RLIM_INFINITY))\n"
        "    log.append('prediction', [{'index': count}])\n"
        "    log.close()\n"
        "    print(count)\n"
    )
    stdout, stderr = start(code).communicate(timeout=30)
    assert stderr == ""
    message, count = stdout.splitlines()
    assert "raise the limit" in message
    assert indices(opened()) == list(range(int(count) + 1))


def test_after_a_failed_sync_nothing_more_is_promised(opened, monkeypatch):
    log = opened()
    log.append("prediction", [{"index": 0}])

    def fail(_descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(writer.os, "fdatasync", fail)
        with pytest.raises(StoreError, match="the disk failed"):
            log.append("prediction", [{"index": 1}])
    with pytest.raises(StoreError, match="start again"):
        log.append("prediction", [{"index": 2}])


def test_events_lost_without_durable_are_told_at_the_end(opened, root, caplog):
    root.write_text("a file where the folder should be")
    log = opened()
    log.append("prediction", [{"index": 0}], durable=False)
    with pytest.raises(StoreError):
        log.append("prediction", [{"index": 1}])
    with pytest.raises(StoreError):
        log.close()
    assert any("lost 1 events" in record.message for record in caplog.records)


def test_what_waits_is_written_when_closing(opened):
    log = opened()
    for index in range(500):
        log.append("prediction", [{"index": index}], durable=False)
    log.close()
    log.close()
    assert indices(opened()) == list(range(500))
    with pytest.raises(UsageError, match="closed"):
        log.append("prediction", [{"index": 0}])


def test_one_append_commits_within_ten_milliseconds_of_the_disk(opened, monkeypatch):
    monkeypatch.setattr(writer.os, "fdatasync", lambda _descriptor: None)
    log = opened()
    log.append("prediction", [{"index": 0}])
    times = []
    for index in range(20):
        began = time.perf_counter()
        log.append("prediction", [{"index": index}])
        times.append(time.perf_counter() - began)
    assert min(times) < 0.01  # nothing waits for a group to fill


@pytest.mark.parametrize("url", ["s3://bucket/x", "events"])
def test_other_urls_are_refused(url, tmp_path):
    with pytest.raises(UsageError):
        open_events(url, folder=tmp_path, clock=FakeClock())


def test_opening_and_reading_make_nothing(opened, tmp_path):
    assert list(opened().read("prediction")) == []
    assert opened().compact() == 0
    assert list(tmp_path.iterdir()) == []
