"""What predictions add up to: each is read once, and it is the same as if all had been read at once."""

import msgspec
import numpy as np
import pytest

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.monitor import hours
from bakeoff.monitor import reference as references
from bakeoff.monitor.hours import HOUR_MS, HOURS, RELEASES, STATES, Hours, Watched
from bakeoff.monitor.observe import observe
from bakeoff.monitor.sums import NAMES, OTHERS, PredictionSums
from bakeoff.stores.events import open_events
from bakeoff.testing.clock import FakeClock
from bakeoff.testing.events import failure, prediction
from bakeoff.testing.memory import MemoryEvents, MemoryRecords

INPUTS = (
    Column(name="x", kind="numeric", dtype="Float64"),
    Column(name="city", kind="categorical", dtype="String"),
    Column(name="note", kind="text", dtype="String"),
)
SIGNATURE = Signature(task="classification", inputs=INPUTS, classes=("no", "yes"))
WORDS = np.array(["late", "parcel", "refund", "café", "two", "three"])


def row(rng) -> dict:
    words = " ".join(rng.choice(WORDS, rng.integers(1, 9)))
    return {"x": rng.normal(), "city": rng.choice(["ulm", "bonn", None]), "note": words}


@pytest.fixture(scope="module")
def reference():
    import polars as pl

    rng = np.random.default_rng(0)
    rows = pl.DataFrame([row(rng) for _ in range(500)])
    said = Predictions(values_n=rng.choice(["no", "yes"], 500), classes=("no", "yes"))
    return references.make(rows, INPUTS, said, task="classification", metric="f1_macro", value=0.8)


def batch(rng, size: int) -> list:
    return [
        failure(error=str(rng.choice(["DataError", "CandidateError"])), rows_in_call=3, violating_rows=1)
        if rng.random() < 0.1
        else prediction(
            f"{rng.integers(2**60):x}",
            row=row(rng),
            release_id="r1" if rng.random() < 0.9 else "r2",
            label=str(rng.choice(["no", "yes"])),
            latency_ms=float(rng.lognormal()),
            rows_in_call=int(rng.integers(1, 5)),
            violations=(("x", "range"),) if rng.random() < 0.1 else (),
            absent=("city",) if rng.random() < 0.2 else (),
            unknown=(f"key {rng.integers(9)}",) if rng.random() < 0.2 else (),
            time_ms=int(rng.integers(0, 9) * 3_600_000),
        )
        for _ in range(size)
    ]


def watched(reference, *, release_id="r1", since_ms=HOUR_MS, until_ms=12 * HOUR_MS) -> Watched:
    return Watched(
        endpoint="late",
        release_id=release_id,
        signature=SIGNATURE,
        reference=reference,
        since_ms=since_ms,
        until_ms=until_ms,
    )


def look(events, reference, documents=None, *, until_ms=12 * HOUR_MS, release_id="r1", config=None, since_ms=HOUR_MS):
    return observe(
        events,
        "late",
        signature=SIGNATURE,
        reference=reference,
        config=config or MonitorConfig(min_rows=10),
        release_id=release_id,
        since_ms=since_ms,
        until_ms=until_ms,
        documents=documents,
    )


@pytest.mark.parametrize("seed", range(3))
def test_looks_that_read_on_see_what_one_look_at_everything_sees(tmp_path, reference, seed):
    rng = np.random.default_rng(seed)
    log = open_events("file://events", folder=tmp_path, clock=FakeClock(), segment_bytes=20_000)
    documents = MemoryRecords(FakeClock()).documents
    for turn in range(8):
        log.append(batch(rng, int(rng.integers(0, 120))))
        if turn % 3 == 0:
            log.compact()
        on = look(log, reference, documents, until_ms=12 * HOUR_MS)
        whole = look(log, reference, MemoryRecords(FakeClock()).documents, until_ms=12 * HOUR_MS)
        for one, other in zip(on.signals, whole.signals, strict=True):
            assert one == other or one.name == "joint"  # that is of the day's first look
        assert on.ledger == whole.ledger
    assert whole.signal("volume").value > 200
    assert whole.signal("volume").detail["out_of_time"] > 0  # before the release was made: counted, and told
    assert whole.signal("drift").value is not None
    assert whole.ledger.balanced
    log.close()


def test_sums_of_parts_add_up_to_those_of_the_whole(reference):
    events = batch(np.random.default_rng(7), 200)
    whole = PredictionSums.of(events, SIGNATURE, reference)
    parts = PredictionSums()
    for start in range(0, 200, 37):
        parts = parts + PredictionSums.of(events[start : start + 37], SIGNATURE, reference)
    shortened = msgspec.structs.replace(parts.shortened(), sample=[], beliefs={}, drawn_below=0)
    assert shortened == msgspec.structs.replace(whole, sample=[], beliefs={}, drawn_below=0)
    assert {each.draw for each in parts.shortened().sample} <= {each.draw for each in parts.sample}
    assert len(whole.sample) == len(parts.shortened().sample) == 32
    assert sorted(each.draw for each in whole.sample) == sorted(each.draw for each in parts.shortened().sample)


def test_a_window_that_rolls_leaves_the_old_behind(reference):
    log, documents = MemoryEvents(FakeClock()), MemoryRecords(FakeClock()).documents
    for hour in (2, 30, 60):
        log.append(
            [prediction(f"{hour}-{at}", row={"x": 0.0}, label="no", time_ms=hour * HOUR_MS) for at in range(hour)]
        )
    config = MonitorConfig(windows=(48, 24))
    seen = {}
    for until in (3, 49, 50, 51, 61, 200):
        report = look(log, reference, documents, until_ms=until * HOUR_MS, release_id=None, config=config, since_ms=0)
        seen[until] = (report.signal("volume").value, report.since_ms // HOUR_MS)
    # the first look reads all: what is yet to come counts in its hour, the second
    assert seen == {3: (92, 0), 49: (92, 1), 50: (92, 2), 51: (0, 3), 61: (0, 13), 200: (0, 152)}


def test_a_look_without_news_writes_nothing_and_looks_in_an_hour_are_numbered(reference):
    log, documents = MemoryEvents(FakeClock()), MemoryRecords(FakeClock()).documents
    numbers, revisions = [], []
    for size in (5, 0, 3, 0, 2):
        log.append(batch(np.random.default_rng(size), size))
        numbers.append(Hours(watched(reference), log, documents).look)
        revisions.append(documents.get(STATES, "late/r1").revision)
    assert numbers == [1, 1, 2, 2, 3]
    assert revisions == [1, 1, 2, 2, 3]
    assert Hours(watched(reference, until_ms=14 * HOUR_MS), log, documents, labelled=9).look == 1  # another hour


class Broken:
    """Documents of which the nth batch fails, before or after it was written."""

    def __init__(self, documents, fails_at: int, *, after: bool) -> None:
        self._documents, self._left, self._after = documents, fails_at, after

    def __getattr__(self, name):
        return getattr(self._documents, name)

    def apply(self, changes):
        self._left -= 1
        if self._left == 0 and not self._after:
            raise OSError("killed")
        self._documents.apply(changes)
        if self._left == 0:
            raise OSError("killed")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_look_that_is_killed_loses_nothing_and_counts_nothing_twice(reference, fails_at, after, monkeypatch):
    monkeypatch.setattr(hours, "BATCH", 40)
    monkeypatch.setattr(hours, "ROWS", 20)
    events = batch(np.random.default_rng(5), 100)
    log, documents = MemoryEvents(FakeClock()), MemoryRecords(FakeClock()).documents
    log.append(events)
    with pytest.raises(OSError, match="killed"):
        Hours(watched(reference), log, Broken(documents, fails_at, after=after))
    ours = [event for event in events if event.release_id == "r1"]
    whole = PredictionSums.of(ours, SIGNATURE, reference)
    seen = Hours(watched(reference), log, documents).between(0, 99)
    assert (seen.rows, seen.failed, seen.latency_ms) == (whole.rows, whole.failed, whole.latency_ms)


def test_two_that_look_at_once_count_each_record_once(reference):
    log, documents = MemoryEvents(FakeClock()), MemoryRecords(FakeClock()).documents
    log.append(batch(np.random.default_rng(5), 60))

    class Beaten(Broken):
        def apply(self, changes):
            self._left -= 1
            if self._left == 0:
                Hours(watched(reference), log, self._documents)
            self._documents.apply(changes)

    seen = Hours(watched(reference), log, Beaten(documents, 1, after=False)).between(0, 99)
    assert seen.rows == Hours(watched(reference), log, MemoryRecords(FakeClock()).documents).between(0, 99).rows


def test_hours_of_releases_long_gone_make_room(reference):
    log, documents = MemoryEvents(FakeClock()), MemoryRecords(FakeClock()).documents
    for name in ("a", "b", "c", "d"):
        log.append([prediction(name, row={"x": 0.0}, release_id=name, label="no", time_ms=5 * HOUR_MS)])
        Hours(watched(reference, release_id=name), log, documents)
    assert len(documents.find(STATES, "late/")) == len(documents.find(HOURS, "late/")) == RELEASES


def test_what_was_counted_is_not_read_again(tmp_path, reference):
    log, documents = MemoryEvents(FakeClock()), MemoryRecords(FakeClock()).documents
    log.append(batch(np.random.default_rng(1), 100))
    look(log, reference, documents)
    given = []
    read = log.read

    def counted(*kinds, **where):
        reading = read(*kinds, **where)
        given.append(len(list(read(*kinds, **where))))
        return reading

    log.read = counted
    log.append(batch(np.random.default_rng(2), 7))
    look(log, reference, documents)
    assert given == [7]


def test_a_log_that_lost_events_is_counted_anew(tmp_path, reference):
    documents = MemoryRecords(FakeClock()).documents
    for seed, size in ((1, 100), (2, 40)):  # another log, as after a backup was restored
        log = MemoryEvents(FakeClock())
        log.append(batch(np.random.default_rng(seed), size))
        on = look(log, reference, documents)
        assert on == look(log, reference, MemoryRecords(FakeClock()).documents)


def test_sums_of_another_format_are_counted_anew(reference):
    log, documents = MemoryEvents(FakeClock()), MemoryRecords(FakeClock()).documents
    log.append(batch(np.random.default_rng(1), 100))
    before = look(log, reference, documents)
    (document,) = documents.find(STATES, "late/")
    documents.put(STATES, document.key, {**document.body, "format": 0})
    assert look(log, reference, documents) == before


def sums_of(*events, reference) -> PredictionSums:
    return PredictionSums.of(events, SIGNATURE, reference)


def test_percentiles_are_those_of_the_latencies_to_three_digits(reference):
    rng = np.random.default_rng(3)
    latencies = rng.lognormal(1, 2, 5000)
    sums = sums_of(*(prediction("a", latency_ms=float(each)) for each in latencies), reference=reference)
    shares = [0.0, 0.3, 0.5, 0.95, 0.999, 1.0]
    assert sums.percentiles(*shares) == pytest.approx(np.quantile(latencies, shares).tolist(), rel=5e-3)
    rounded = [float(f"{value:.3g}") for value in latencies]
    assert sums.percentiles(*shares) == pytest.approx(np.quantile(rounded, shares).tolist(), rel=1e-12)
    assert sums.slower_than(10.0) == sum(value > 10.0 for value in rounded)


def test_calls_are_rows_by_the_size_of_their_calls(reference):
    events = [prediction("a", rows_in_call=size) for size in (3, 3, 3, 1, 2, 2)]
    assert sums_of(*events, reference=reference).calls == pytest.approx(3)


def test_unknown_names_without_end_do_not_fill_the_memory(reference):
    events = [prediction("a", unknown=(f"key {index}",)) for index in range(NAMES + 50)]
    sums = sums_of(*events, reference=reference)
    assert len(sums.lacked["unknown"]) == NAMES + 1
    assert sums.lacked["unknown"][OTHERS] == 50
    assert sums.lacking == NAMES + 50


def test_rows_that_fit_no_column_are_counted_and_stop_nothing(reference):
    rows = [{"x": 1.5, "city": "ulm"}, {"x": {"no": "number"}}, {"x": "2.5", "note": "late"}]
    sums = sums_of(*(prediction("a", row=row, label="no") for row in rows), reference=reference)
    assert (sums.rows, sums.misfits, sums.inputs["x"].missing, sums.inputs["x"].rows) == (3, 1, 1, 3)


def test_sums_survive_being_stored(reference):
    sums = sums_of(*batch(np.random.default_rng(4), 50), reference=reference)
    body = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(sums, str_keys=True)))
    assert msgspec.convert(body, PredictionSums, strict=False, str_keys=True) == sums


@pytest.mark.parametrize("with_documents", [False, True])
def test_what_a_shadow_answered_or_failed_counts_for_nothing(reference, with_documents):
    rng, alone, beside = np.random.default_rng(1), MemoryEvents(FakeClock()), MemoryEvents(FakeClock())
    served = batch(rng, 60)
    alone.append(served)
    shadows = [
        prediction("s1", row=row(rng), release_id="r1", label="yes", role="shadow", shadow_of="a"),
        failure(release_id="r1", role="shadow"),
    ]
    beside.append([*served[:30], *shadows, *served[30:]])
    reports = [
        look(log, reference, MemoryRecords(FakeClock()).documents if with_documents else None)
        for log in (alone, beside)
    ]
    assert reports[0] == reports[1]


def test_what_a_canary_answered_was_served(reference):
    events = MemoryEvents(FakeClock())
    canary = prediction("c", release_id="r1", label="yes", role="canary", time_ms=3_600_000)
    events.append([canary, failure(release_id="r1", role="canary", time_ms=3_600_000)])
    volume, errors = (
        next(each for each in look(events, reference).signals if each.name == name) for name in ("volume", "errors")
    )
    assert (volume.rows, errors.value) == (1, 0.5)
