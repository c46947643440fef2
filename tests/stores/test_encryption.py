"""Encryption at rest: nothing plain on the disk, nothing moved unseen, keys that change, keys that are lacking."""

import os
import pickle
import random
import shutil
from contextlib import suppress
from itertools import pairwise

import pytest

from bakeoff.core.errors import CorruptError, MissingKeyError, SecurityError, UsageError
from bakeoff.core.events import FeedbackEvent
from bakeoff.stores import segments
from bakeoff.stores.blobs import open_blobs
from bakeoff.stores.encryption import Keyring, key_id_of, new_key, parse_keys
from bakeoff.stores.events import open_events
from bakeoff.testing.clock import FakeClock

FIRST, SECOND = new_key(), new_key()
SECRET = b"what nobody reads"


def ring(*keys, required=False):
    return Keyring(lambda: "\n".join(keys), source="[store.encryption] key_file = k", required=required)


def blobs(tmp_path, keyring):
    return open_blobs("file://blobs", folder=tmp_path, clock=FakeClock(step_ms=0), keyring=keyring)


def events(tmp_path, keyring, segment_bytes=500):
    clock = FakeClock()
    return open_events("file://events", folder=tmp_path, clock=clock, segment_bytes=segment_bytes, keyring=keyring)


def content(folder):
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def filled(tmp_path, keyring, count=12):
    """A log with archives, a sealed segment and an open one."""
    log = events(tmp_path, keyring)
    for index in range(count):
        log.append([FeedbackEvent(id=f"p{index}", comment=SECRET.decode())])
        if index == count // 2:
            log.compact()
    log.close()


def read(tmp_path, keyring):
    return [event.id for event in events(tmp_path, keyring).read(FeedbackEvent)]


ALL = [f"p{index}" for index in range(12)]


# --- sealed bytes -----------------------------------------------------------------------------------


def test_every_flip_and_cut_and_another_place_are_seen():
    keyring = ring(FIRST)
    sealed = keyring.seal("here", SECRET)
    assert SECRET not in sealed
    assert sealed == keyring.seal("here", SECRET) != keyring.seal("there", SECRET)
    assert keyring.open("here", sealed) == SECRET
    with pytest.raises(CorruptError, match="there is not what was encrypted with key"):
        keyring.open("there", sealed)
    for position in range(12, len(sealed)):
        with pytest.raises(CorruptError):
            keyring.open("here", sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :])
    for size in range(52, len(sealed)):
        with pytest.raises(CorruptError):
            keyring.open("here", sealed[:size])


def test_two_contents_at_one_place_share_no_key_stream():
    one, two = (ring(FIRST).seal("here", bytes([each]) * 64)[36:100] for each in (0, 1))
    assert bytes(a ^ b for a, b in zip(one, two, strict=True)) != b"\x01" * 64


def test_keys_are_read_in_both_spellings_and_never_shown():
    plain = bytes(range(32))
    (key,) = parse_keys(f"# a comment\n\n{plain.hex()}\n", source="here")
    assert key.secret == plain
    assert "secret" not in repr(key)
    assert len(parse_keys(f"{FIRST} {SECOND},{FIRST}", source="here")) == 2
    with pytest.raises(UsageError, match=r"line 2 of here, received 7 characters") as refused:
        parse_keys(f"{FIRST}\nabcdefg", source="here")
    assert "abcdefg" not in str(refused.value)
    with pytest.raises(UsageError, match="received none"):
        parse_keys("\n# nothing\n", source="here")


def _keys():
    return FIRST


def test_a_pickled_keyring_holds_no_key():
    keyring = Keyring(_keys)
    sealed = keyring.seal("here", SECRET)
    pickled = pickle.dumps(keyring)
    (key,) = parse_keys(FIRST, source="")
    assert FIRST.encode() not in pickled
    assert key.secret not in pickled
    assert pickle.loads(pickled).open("here", sealed) == SECRET


def test_a_key_that_another_process_added_is_read():
    keys = [FIRST]
    keyring = Keyring(lambda: "\n".join(keys))
    assert len(keyring.ids()) == 1
    keys.insert(0, SECOND)
    assert keyring.open("here", ring(SECOND).seal("here", SECRET)) == SECRET


# --- blobs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100, 3 << 20])
def test_blobs_hold_nothing_plain_and_are_stored_once(tmp_path, size):
    data = (SECRET * (size // len(SECRET) + 1))[:size] + random.Random(0).randbytes(size)
    store = blobs(tmp_path, ring(FIRST))
    blob = store.put(data)
    before = content(tmp_path)
    assert SECRET not in before
    assert store.put(data) == blob
    assert len(content(tmp_path)) == len(before)
    assert blobs(tmp_path, ring(FIRST)).get(blob) == data
    assert list(store.check()) == []


def test_a_blob_in_the_place_of_another_is_seen(tmp_path):
    store = blobs(tmp_path, ring(FIRST))
    one, two = store.put(b"one"), store.put(b"two")
    (first,), (second,) = (list(tmp_path.rglob(name)) for name in (one, two))
    shutil.copy(first, second)
    with pytest.raises(CorruptError):
        store.get(two)
    assert [each.blob for each in store.check(repair=True)] == [two]
    assert store.get(one) == b"one"


def test_without_the_key_the_error_names_it_and_a_repair_touches_nothing(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / str(number)).write_bytes(SECRET * number)
    kept = blobs(tmp_path, ring(FIRST))
    names = [kept.put(b"small"), kept.put(random.Random(0).randbytes(3 << 20)), kept.put_tree(tree)]
    before = content(tmp_path / "blobs")
    (key_id,) = ring(FIRST).ids()
    for other in (Keyring(), ring(SECOND)):
        store = blobs(tmp_path, other)
        calls = [lambda name=name, store=store: store.get(name) for name in names]
        calls += [
            lambda store=store: store.collect(names, grace_s=0),
            lambda store=store: list(store.check(repair=True)),
        ]
        for call in calls:
            with pytest.raises(MissingKeyError, match=rf"key {key_id}, and \[store.encryption\]"):
                call()
    assert content(tmp_path / "blobs") == before
    assert kept.get(names[0]) == b"small"


def test_rotation_writes_nothing_again_until_that_is_wanted(tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / str(number)).write_bytes(SECRET * number)
    large = random.Random(0).randbytes(3 << 20)
    plain = blobs(tmp_path, Keyring())
    names = [plain.put(b"of before")]
    old = blobs(tmp_path, ring(FIRST))
    names += [old.put(b"small"), old.put(large), old.put_tree(tree)]
    before = content(tmp_path / "blobs")
    both = blobs(tmp_path, ring(SECOND, FIRST))
    assert [both.put(b"small"), both.put(large), both.put_tree(tree)] == names[1:]
    assert content(tmp_path / "blobs") == before
    count, damaged = both.encrypt(look=True)
    assert count > 43
    assert (damaged, content(tmp_path / "blobs")) == (0, before)
    assert both.encrypt() == (count, 0)
    assert both.encrypt() == (0, 0)
    new = blobs(tmp_path, ring(SECOND, required=True))
    assert (new.get(names[0]), new.get(names[1]), new.get(names[2])) == (b"of before", b"small", large)
    new.fetch(names[3], tmp_path / "again")
    assert content(tmp_path / "again") == content(tree)
    assert list(new.check()) == []
    assert new.collect(names, grace_s=-1) == 0


def test_a_plain_blob_that_begins_as_sealed_ones_do(tmp_path):
    data = ring(FIRST).seal("elsewhere", SECRET)
    blob = blobs(tmp_path, Keyring()).put(data)
    for keyring in (Keyring(), ring(FIRST), ring(SECOND)):
        assert blobs(tmp_path, keyring).get(blob) == data


def test_plain_blobs_are_refused_where_encryption_is_required(tmp_path):
    blob = blobs(tmp_path, Keyring()).put(b"plain")
    strict = blobs(tmp_path, ring(FIRST, required=True))
    with pytest.raises(SecurityError, match="to be encrypted"):
        strict.get(blob)
    assert strict.put(b"plain") == blob
    assert strict.get(blob) == b"plain"


# --- events -----------------------------------------------------------------------------------------


def test_logs_hold_nothing_plain(tmp_path):
    filled(tmp_path, ring(FIRST))
    files = list((tmp_path / "events").iterdir())
    assert {".open", ".log", ".parquet", ".ids"} <= {path.suffix for path in files}
    assert SECRET not in content(tmp_path / "events")
    assert all(key_id_of(path.read_bytes()) for path in files if path.suffix in {".parquet", ".ids"})
    log = events(tmp_path, ring(FIRST))
    assert read(tmp_path, ring(FIRST)) == ALL
    assert sorted(log.scan(FeedbackEvent).collect()["id"].to_list()) == sorted(ALL)
    assert log.scan(FeedbackEvent).filter(id="p1").select("comment").collect().rows() == [(SECRET.decode(),)]
    assert log.scan(FeedbackEvent).head(2).collect().height == 2
    assert [event.id for event in log.get(FeedbackEvent, ["p1", "p11"])] == ["p1", "p11"]
    assert list(log.check()) == []


@pytest.mark.parametrize("suffix", [".log", ".parquet"])
def test_a_segment_in_the_place_of_another_is_seen(tmp_path, suffix):
    filled(tmp_path, ring(FIRST), count=24)
    one, two, *_ = sorted((tmp_path / "events").glob(f"*{suffix}"))
    for each in (one, one.with_suffix(".mark")):
        shutil.copy(each, two.with_suffix(each.suffix))
    with pytest.raises(CorruptError, match=r"is not what was encrypted|is damaged"):
        read(tmp_path, ring(FIRST))
    assert len([each for each in events(tmp_path, ring(FIRST)).check() if each.place == str(two)]) == 1


@pytest.mark.parametrize("how", ["swap", "repeat", "other"])
def test_frames_in_another_order_or_of_another_segment_are_seen(tmp_path, how):
    log = events(tmp_path, ring(FIRST), segment_bytes=1 << 20)
    for index in range(4):
        log.append([FeedbackEvent(id=f"p{index}")])
    (path,) = (tmp_path / "events").glob("*.open")
    ends = [0, *(frame.end for frame in segments.frames(path))]
    whole = path.read_bytes()
    frames = [whole[start:end] for start, end in pairwise(ends)]
    if how == "swap":
        frames[1], frames[2] = frames[2], frames[1]
    elif how == "repeat":
        frames[2] = frames[1]
    else:
        item = segments.StoredEvent("feedback", 1, b'{"id":"px","time_ms":1}')
        frames[2] = segments.encode([item], 3, "0000000000000009", ring(FIRST))
    path.write_bytes(b"".join(frames))
    with pytest.raises(CorruptError):
        read(tmp_path, ring(FIRST))
    log.close()
    (damage,) = list(events(tmp_path, ring(FIRST)).check(repair=True))
    assert damage.repaired
    rest = ALL[:4] if how == "swap" else ["p0", "p1", "p3"]
    assert read(tmp_path, ring(FIRST)) == rest


def test_a_log_without_its_key_names_it_and_takes_and_loses_nothing(tmp_path):
    filled(tmp_path, ring(FIRST))
    before = content(tmp_path / "events")
    (key_id,) = ring(FIRST).ids()
    for other in (Keyring(), ring(SECOND)):
        log = events(tmp_path, other)
        for call in (
            lambda log=log: list(log.read(FeedbackEvent)),
            lambda log=log: log.get(FeedbackEvent, ["p1"]),
            lambda log=log: log.scan(FeedbackEvent).collect(),
            lambda log=log: list(log.check(repair=True)),
            lambda log=log: log.compact(),
        ):
            with pytest.raises(MissingKeyError, match=rf"key {key_id}, and \[store.encryption\]"):
                call()
    assert content(tmp_path / "events") == before
    assert read(tmp_path, ring(FIRST)) == ALL


def test_a_log_goes_on_under_a_new_key_and_is_written_again_when_wanted(tmp_path):
    filled(tmp_path, Keyring(), count=4)
    log = events(tmp_path, ring(FIRST))
    for index in range(4, 8):
        log.append([FeedbackEvent(id=f"p{index}")])
    log.close()
    log = events(tmp_path, ring(SECOND, FIRST))
    for index in range(8, 12):
        log.append([FeedbackEvent(id=f"p{index}")])
    reading = log.read(FeedbackEvent)
    assert [event.id for event in reading] == ALL
    files, left = log.encrypt(look=True)
    assert files >= 2
    writing = events(tmp_path, ring(SECOND, FIRST))
    done, left = writing.encrypt()
    log.close()
    assert (done + left, left) == (files, left)
    assert events(tmp_path, ring(SECOND, FIRST)).encrypt()[1] == 0
    assert read(tmp_path, ring(SECOND, required=True)) == ALL
    on = events(tmp_path, ring(SECOND)).read(FeedbackEvent, after=reading.cursor)
    assert list(on) == []
    assert list(events(tmp_path, ring(SECOND)).check()) == []
    assert SECRET not in content(tmp_path / "events")


def test_a_crash_while_an_archive_is_written_again_loses_nothing(tmp_path, monkeypatch):
    filled(tmp_path, ring(FIRST))
    real, stop = os.fsync, [0]

    def crash(descriptor):
        stop[0] -= 1
        if stop[0] == 0:
            raise KeyboardInterrupt
        real(descriptor)

    for at in range(1, 40):
        shutil.copytree(tmp_path / "events", tmp_path / f"{at}" / "events")
        stop[0] = at
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", crash)
            with suppress(KeyboardInterrupt):
                events(tmp_path / f"{at}", ring(SECOND, FIRST)).encrypt()
        assert read(tmp_path / f"{at}", ring(SECOND, FIRST)) == ALL
        events(tmp_path / f"{at}", ring(SECOND, FIRST)).encrypt()
        assert read(tmp_path / f"{at}", ring(SECOND)) == ALL
        assert list(events(tmp_path / f"{at}", ring(SECOND)).check()) == []


# --- what others do meanwhile -----------------------------------------------------------------------


def test_a_damaged_list_of_chunks_stays_as_it_is_and_is_counted(tmp_path):
    data = random.Random(1).randbytes(3_000_000)
    store = blobs(tmp_path, ring(FIRST))
    blob = store.put(data)
    (path,) = (tmp_path / "blobs" / "lists").glob("??/??/*")
    whole = path.read_bytes()
    for at in (len(whole) - 1, 0):  # sealed bytes, and what says that they are
        damaged = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        path.write_bytes(damaged)
        store = blobs(tmp_path, ring(SECOND, FIRST))
        assert store.encrypt()[1] == 1
        assert path.read_bytes() == damaged
    path.write_bytes(whole)
    assert blobs(tmp_path, ring(SECOND, FIRST)).get(blob) == data


def test_a_source_that_lacks_a_key_is_read_once_and_not_for_each_object(tmp_path):
    store = blobs(tmp_path, ring(FIRST))
    ids = [store.put(bytes([each]) * 2000) for each in range(20)]
    reads = []
    lacking = Keyring(lambda: reads.append(1) or SECOND, source="k")
    store = blobs(tmp_path, lacking)
    for each in ids:
        with pytest.raises(MissingKeyError):
            store.get(each)
    assert len(reads) == 2  # at first, and once more for the first that is not known


def test_a_table_of_events_is_read_though_they_are_written_again_before(tmp_path):
    plain = events(tmp_path, Keyring())
    for index in range(4):
        plain.append([FeedbackEvent(id=f"p{index}", comment="x")])
    plain.close()
    events(tmp_path, Keyring()).compact()
    log = events(tmp_path, ring(FIRST))
    table = log.scan(FeedbackEvent)
    assert log.encrypt()[0] > 0
    assert table.collect()["id"].to_list() == [f"p{index}" for index in range(4)]
