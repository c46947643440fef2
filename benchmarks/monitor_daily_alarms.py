"""How often the signals of the day (`joint`, `meaning`, `language`) alarm in weeks in which nothing has changed.

`make bench-monitor-daily-alarms`. Each day the last week is looked at, as `bakeoff monitor` does it. Rows are of three
worlds: independent of each other; sent again (each 1 to 9 times, as by who tries again); and of days, where a quarter
of what differs between rows is what differs between days (weather, or what people talk about that day). References are
of 90 days.
"""

import argparse
import sys
import time

import numpy as np
import polars as pl

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.metrics.discoveries import look_level
from bakeoff.metrics.intervals import wilson
from bakeoff.monitor import shift, texts
from bakeoff.monitor.hours import HOUR_MS
from bakeoff.monitor.look import MonitorLook
from bakeoff.monitor.reference import make
from bakeoff.monitor.sums import PredictionSums, Sampled
from bakeoff.monitor.texts import TextReaders

WORLDS = ("independent", "sent again", "days")
OF_DAY = 0.25
"""The share of variance that is of the day, in the world of days."""
WIDTH = 32
WEEKS = 10
"""Of a stream, which has one reference."""
RATES = (0.01, 0.2)
INPUTS = (
    *(Column(name=f"n{at}", kind="numeric", dtype="Float64") for at in range(4)),
    *(Column(name=f"l{at}", kind="categorical", dtype="String") for at in range(2)),
)
TEXTS = (Column(name="text", kind="text", dtype="String"),)


class World:
    """Rows by the day."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.rng, self.texts = name, np.random.default_rng(seed), 0
        self.vectors: dict[str, np.ndarray] = {}

    def rows(self, n: int, moved: float = 0.0) -> list[dict]:
        """Of one day, about n."""
        distinct = max(1, round(n / 5)) if self.name == "sent again" else n
        common = self.rng.normal(size=(1, WIDTH)) if self.name == "days" else np.zeros((1, WIDTH))
        own = self.rng.normal(size=(distinct, WIDTH))
        value_nd = OF_DAY**0.5 * common + (1 - OF_DAY) ** 0.5 * own if self.name == "days" else own
        value_nd = value_nd + moved
        made = []
        for each in value_nd:
            levels = np.clip(each[4:6] * 1.5 + 2.5, 0, 4).astype(int)
            row = {f"n{at}": float(each[at]) for at in range(4)}
            row["text"] = f"{'en' if each[6] < 0.8 else 'de'} {self.texts}"
            self.vectors[row["text"]] = each
            self.texts += 1
            made.append(row | {f"l{at}": f"level {level}" for at, level in enumerate(levels)})
        if self.name == "sent again":
            made = [row for row in made for _ in range(self.rng.integers(1, 10))]
        return made


def look_of(rows: list[dict], inputs: tuple[Column, ...]) -> MonitorLook:
    table = pl.DataFrame([{column.name: row[column.name] for column in inputs} for row in rows])
    said = Predictions(values_n=np.asarray(["a", "b"] * (len(rows) // 2 + 1))[: len(rows)], classes=("a", "b"))
    reference = make(table, inputs, said, task="classification", metric="accuracy", value=0.9)
    return MonitorLook(
        signature=Signature(task="classification", inputs=inputs, classes=("a", "b")),
        reference=reference,
        config=MonitorConfig(false_alarms=RATES[1]),
        since_ms=0,
        until_ms=24 * HOUR_MS,
        seed=0,
    )


def drawn(rng: np.random.Generator, rows: list[dict], number: int) -> PredictionSums:
    """Sums of a day, with what an hour's samples of 32 rows leave of it."""
    some = rng.permutation(len(rows))[: 24 * 32]
    sample = [Sampled(draw=int(at), row=rows[at], id=f"{number}/{at}") for at in some]
    return PredictionSums(rows=len(rows), sample=sample)


def alarms(world: str, a_week: int, seed: int, weeks: int, moved: float = 0.0) -> dict[str, np.ndarray]:
    """By signal: for each rate, in which weeks it alarmed (rates, weeks)."""
    made = World(world, seed)
    reference = [row for _ in range(90) for row in made.rows(12)]
    both = look_of(reference, INPUTS), look_of(reference, TEXTS)
    readers = TextReaders(
        vectors=lambda read: np.stack([made.vectors[text] for text in read]),
        languages=lambda read: [text.split()[0] for text in read],
    )
    days = [drawn(made.rng, made.rows(max(1, a_week // 7), moved), day) for day in range(7 * weeks + 6)]
    hit = {name: np.zeros((len(RATES), weeks), dtype=bool) for name in ("joint", "meaning", "language")}
    for at in range(7 * weeks):
        last = days[at : at + 7]
        for name, signal in signals_of(PredictionSums.total(last), last, both, readers).items():
            for which, rate in enumerate(RATES):  # both looks are at the larger rate
                level = look_level(rate) * shift.LOOKS_A_DAY
                hit[name][which, at // 7] |= signal.alert and float(signal.detail["p"]) <= level
    return hit


def signals_of(sums: PredictionSums, days: list[PredictionSums], looks: tuple[MonitorLook, ...], readers: TextReaders):
    """By name."""
    of_rows, of_texts = looks
    return {
        "joint": shift.joint(sums, of_rows, days),
        "meaning": texts.meaning(sums, of_texts, readers, days),
        "language": texts.language(sums, of_texts, readers, days),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=30, help="of ten weeks, for each line")
    parser.add_argument("--first", type=int, default=0, help="of the streams, so that several calls share a line")
    parser.add_argument("--worlds", nargs="+", default=list(WORLDS), choices=WORLDS)
    parser.add_argument("--rows", nargs="+", type=int, default=[200, 2000])
    options = parser.parse_args()
    print("| rows | a week | weeks | joint | meaning | language | in s |\n|---|---|---|---|---|---|---|")
    counts = np.zeros((3, len(RATES)), dtype=int)
    weeks = 0
    for world, rows in ((world, rows) for world in options.worlds for rows in options.rows):
        started = time.process_time()
        seeds = range(options.first, options.first + options.streams)
        hit = [[each.sum(axis=1) for each in alarms(world, rows, seed, WEEKS).values()] for seed in seeds]
        of_line = np.sum(hit, axis=0)
        cells = " | ".join(", ".join(map(str, of_signal)) for of_signal in of_line.tolist())
        took = time.process_time() - started
        print(f"| {world} | {rows:,} | {WEEKS * len(seeds)} | {cells} | {took:.0f} |", flush=True)
        counts, weeks = counts + of_line, weeks + WEEKS * len(seeds)
    shares = counts / weeks
    print(f"weeks with an alert at a configured rate of {RATES[0]:.0%}, and of {RATES[1]:.0%}")
    for name, (count, _) in zip(("joint", "meaning", "language"), counts.tolist(), strict=True):
        print(f"{name}: {count} of {weeks} weeks at {RATES[0]:.0%} (at most {wilson(count, weeks)[1]:.2%}, with 95%)")
    return int((shares[:, 1] > RATES[1] + 0.1).any())


if __name__ == "__main__":
    sys.exit(main())
