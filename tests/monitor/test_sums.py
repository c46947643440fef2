"""What predictions add up to: each is read once, and it is the same as if all had been read at once."""

import msgspec
import numpy as np
import pytest

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.monitor import reference as references
from bakeoff.monitor.observe import observe
from bakeoff.monitor.sums import NAMES, OTHERS, SUMS, PredictionSums
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


def look(events, reference, documents=None, *, until_ms=5 * 3_600_000):
    return observe(
        events,
        "late",
        signature=SIGNATURE,
        reference=reference,
        config=MonitorConfig(min_rows=10),
        release_id="r1",
        since_ms=3_600_000,
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
        until_ms = int(rng.integers(1, 9)) * 3_600_000  # the clock goes forward and back
        on = look(log, reference, documents, until_ms=until_ms)
        whole = look(log, reference, MemoryRecords(FakeClock()).documents, until_ms=until_ms)
        assert on == whole
    assert whole.signal("volume").value > 200
    assert whole.signal("drift").value is not None
    assert whole.ledger.balanced
    log.close()


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
    (document,) = documents.find(SUMS, "late/")
    documents.put(SUMS, document.key, {**document.body, "format": 0})
    assert look(log, reference, documents) == before


def test_percentiles_are_those_of_the_latencies_to_three_digits():
    rng, sums = np.random.default_rng(3), PredictionSums()
    latencies = rng.lognormal(1, 2, 5000)
    for latency_ms in latencies:
        sums.add(prediction("a", latency_ms=float(latency_ms)))
    shares = [0.0, 0.3, 0.5, 0.95, 0.999, 1.0]
    assert sums.percentiles(*shares) == pytest.approx(np.quantile(latencies, shares).tolist(), rel=5e-3)
    rounded = [float(f"{value:.3g}") for value in latencies]
    assert sums.percentiles(*shares) == pytest.approx(np.quantile(rounded, shares).tolist(), rel=1e-12)


def test_calls_are_rows_by_the_size_of_their_calls():
    sums = PredictionSums()
    for size in (3, 3, 3, 1, 2, 2):
        sums.add(prediction("a", rows_in_call=size))
    assert sums.calls == pytest.approx(3)


def test_unknown_names_without_end_do_not_fill_the_memory():
    sums = PredictionSums()
    for index in range(NAMES + 50):
        sums.add(prediction("a", unknown=(f"key {index}",)))
    assert len(sums.lacked["unknown"]) == NAMES + 1
    assert sums.lacked["unknown"][OTHERS] == 50
    assert sums.lacking == NAMES + 50


def test_sums_survive_being_stored():
    sums = PredictionSums()
    for event in batch(np.random.default_rng(4), 50):
        sums.add_failure(event) if event.__class__.__name__ == "FailureEvent" else sums.add(event)
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
