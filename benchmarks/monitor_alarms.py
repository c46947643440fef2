"""How often drift alarms where nothing drifts, and how soon it does where something does, looked at every hour.

`make bench-monitor-alarms`. Weeks are simulated hour by hour; each hour is a look at the last week and the last day, as
`bakeoff monitor` makes it (`bakeoff.monitor.shift`). Sums of windows are made here from counts, which gives the same as
reading a log does (tests/monitor/test_sums.py). Looks at which no column is over the limit cannot alarm, and are left
out.

Beside it, with `--evidently PYTHON` and `--nannyml PYTHON` (environments in which they are installed), what these say
of weeks of such rows with their defaults. Environments: `evidently==0.7.23 'pandas<3' pyarrow`, and `nannyml==0.13.1
statsmodels 'pandas<3' pyarrow` (it imports statsmodels without asking for it).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from bakeoff.config.sections import MonitorConfig
from bakeoff.core.types import Column, Predictions, Signature
from bakeoff.metrics.drift import LEAST_LEVEL, Tally
from bakeoff.monitor import shift
from bakeoff.monitor.hours import HOUR_MS
from bakeoff.monitor.look import MonitorLook
from bakeoff.monitor.reference import make
from bakeoff.monitor.sums import PredictionSums

HOURS = 168
START = 2_000_000 // HOURS * HOURS
"""The hour in which a stream begins."""
NUMBERS, LEVELS, ZIPF = "n", "l", "z"
CELLS = (  # columns, reference rows, rows a week, streams, weeks of each
    (5, 100, 50, 64, 4),
    (5, 1000, 1000, 64, 4),
    (5, 5000, 100_000, 20, 4),
    (20, 500, 200, 56, 4),
    (20, 2000, 10_000, 30, 4),
    (200, 200, 50, 6, 4),
    (200, 1000, 1000, 6, 4),
    (200, 5000, 100_000, 4, 4),
)
PEER_SHIFTS, PEER_ROWS = (2.0, 1.0, 0.5, 0.25), (1000, 10_000)
WEEKS_BEFORE, QUIET = 10, 4
"""Of a comparison with others: weeks of the reference (NannyML's limits need some), and those before the shift."""
LIMITS = {"drift_psi": MonitorConfig().drift_psi}
"""Of bakeoff's looks; `--psi` sets it."""
SHIFTS = ((0.25, 1000), (0.5, 1000), (1.0, 1000), (2.0, 1000), (0.5, 10_000), (1.0, 10_000), (2.0, 10_000))


def rows_of(rng: np.random.Generator, n: int, columns: int, *, moved: float = 0.0) -> dict[str, np.ndarray]:
    """Columns that depend on each other: half numbers (every second skewed), the others of five and of many levels."""
    common = rng.normal(size=n)
    table: dict[str, np.ndarray] = {}
    for at in range(columns):
        own = 0.7 * rng.normal(size=n) + 0.714 * common
        if at % 4 in (0, 2):
            number = own + (moved if at == 0 else 0.0)
            table[f"{NUMBERS}{at}"] = number if at % 4 == 0 else np.exp(number)
        elif at % 4 == 1:
            table[f"{LEVELS}{at}"] = np.clip(((own / 4 + 0.5) * 5), 0, 4).astype(np.int64)
        else:
            table[f"{ZIPF}{at}"] = np.minimum(rng.zipf(1.5, n), 199)
    return table


def frame(table: dict[str, np.ndarray]) -> pl.DataFrame:
    return pl.DataFrame({name: each if name[0] == NUMBERS else each.astype(str) for name, each in table.items()})


def look_of(table: dict[str, np.ndarray]) -> MonitorLook:
    kinds = {name: "numeric" if name[0] == NUMBERS else "categorical" for name in table}
    columns = tuple(Column(name=name, kind=kind, dtype="") for name, kind in kinds.items())
    n = len(next(iter(table.values())))
    said = Predictions(values_n=np.asarray(["a", "b"] * (n // 2 + 1))[:n], classes=("a", "b"))
    reference = make(frame(table), columns, said, task="classification", metric="accuracy", value=0.9)
    return MonitorLook(
        signature=Signature(task="classification", inputs=columns, classes=("a", "b")),
        reference=reference,
        config=MonitorConfig(false_alarms=0.01, **LIMITS),
        since_ms=0,
        until_ms=0,
        seed=0,
    )


class Stream:
    """Rows by the hour, as counts in the reference's bins, added up so that a window is a difference."""

    def __init__(self, look: MonitorLook, table: dict[str, np.ndarray], hour_n: np.ndarray, hours: int) -> None:
        self.look, self.hours = look, hours
        self.rows = np.concatenate([[0], np.cumsum(np.bincount(hour_n, minlength=hours))])
        self.counts: dict[str, np.ndarray] = {}
        for name, known in look.reference.inputs.items():
            if known["kind"] == "numeric":
                codes, size = np.searchsorted(known["grid"], table[name], side="left"), len(known["grid"]) + 1
            else:
                levels = np.asarray([int(level) for level in known["levels"]])
                order = np.argsort(levels)
                at = np.minimum(np.searchsorted(levels[order], table[name]), len(levels) - 1)
                codes = np.where(levels[order][at] == table[name], order[at], len(levels))
                size = len(levels) + 1
            counted = np.bincount(hour_n * size + codes, minlength=hours * size).reshape(hours, size)
            self.counts[name] = np.concatenate([np.zeros((1, size), dtype=np.int64), counted.cumsum(axis=0)])

    def span(self, first: int, last: int) -> PredictionSums:
        """The sums of hours of the stream."""
        a, b = (min(max(0, at - START), self.hours) for at in (first, last))
        rows = int(self.rows[b] - self.rows[a])
        inputs = {
            name: Tally(rows=rows, missing=0, bins=tuple((each[b] - each[a]).tolist()))
            for name, each in self.counts.items()
        }
        return PredictionSums(rows=rows, inputs=inputs)

    def may_alarm(self, hours: int) -> np.ndarray:
        """Whether any column's PSI is near the limit, by hour."""
        near = np.zeros(self.hours, dtype=bool)
        end = np.arange(1, self.hours + 1)
        start = np.maximum(0, end - hours)
        rows = self.rows[end] - self.rows[start]
        for name, known in self.look.reference.inputs.items():
            window = (self.counts[name][end] - self.counts[name][start]).astype(float)
            if known["kind"] == "numeric":
                before = np.asarray(known["counts"], dtype=float)
                edges = np.searchsorted(known["grid"], known["edges"])
                up_to = window.cumsum(axis=1)
                window = np.diff(np.column_stack([np.zeros(len(end)), up_to[:, edges], up_to[:, -1]]), axis=1)
            else:
                before = np.asarray([*known["levels"].values(), known["rare"]], dtype=float)
                rare = before < LEAST_LEVEL
                rare[-1] = True
                before = np.append(before[~rare], before[rare].sum())
                window = np.column_stack([window[:, ~rare], window[:, rare].sum(axis=1)])
            p, q = before + 0.5, window + 0.5
            p, q = p / p.sum(), q / q.sum(axis=1, keepdims=True)
            raw = ((q - p) * np.log(q / p)).sum(axis=1)
            expected = (len(before) - 1) * (1 / before.sum() + 1 / np.maximum(rows, 1))
            near |= raw - expected > 0.8 * self.look.config.drift_psi
        return near & (rows >= self.look.config.min_rows)

    def alarms(self, *, enough: int | None = None) -> list[int]:
        """The hours whose look alarms; up to the first of them from the hour `enough` on."""
        near = np.logical_or.reduce([self.may_alarm(hours) for hours in self.look.config.windows])
        found: list[int] = []
        for hour in np.flatnonzero(near).tolist():
            until_ms = (START + hour + 1) * HOUR_MS
            look = MonitorLook(
                signature=self.look.signature, reference=self.look.reference, config=self.look.config,
                since_ms=0, until_ms=until_ms, seed=0,
            )  # fmt: skip
            if shift.drift(shift.windows(self.span, look), look).alert:
                found.append(hour)
                if enough is not None and hour >= enough:
                    break
        return found


def stream(seed: int, columns: int, reference: int, rows: int, weeks: int, *, moved: float = 0.0) -> Stream:
    """A reference and a stream after it; with `moved`, column 0 has moved so many deviations after the first week."""
    rng = np.random.default_rng(seed)
    look = look_of(rows_of(rng, reference, columns))
    hours = weeks * HOURS
    hour_n = np.sort(rng.integers(0, hours, rows * weeks))
    before = int((hour_n < HOURS).sum()) if moved else len(hour_n)
    parts = [rows_of(rng, before, columns), rows_of(rng, len(hour_n) - before, columns, moved=moved)]
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Stream(look, table, hour_n, hours)


def false_alarms(columns: int, reference: int, rows: int, streams: int, weeks: int) -> tuple[int, int]:
    """Weeks with an alarm, and weeks."""
    hit = 0
    for seed in range(streams):
        hit += len({hour // HOURS for hour in stream(seed, columns, reference, rows, weeks).alarms()})
    return hit, streams * weeks


def delays(size: float, rows: int, streams: int = 20) -> list[float]:
    """Hours from the shift to the alarm."""
    taken: list[float] = []
    for seed in range(streams):
        made = stream(1000 + seed, 20, 2000, rows, 3, moved=size)
        after = [hour - HOURS for hour in made.alarms(enough=HOURS) if hour >= HOURS]
        taken.append(after[0] + 1 if after else np.inf)
    return taken


def peer(name: str, python: str, folder: Path) -> dict[str, list[list[bool]]]:
    """What another tool says of the weeks in a folder: by rule, trial and week."""
    script = Path(__file__).parent / "peers" / "monitor_peers.py"
    answer = subprocess.run(
        [python, str(script), name, "alarms", str(folder)], capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout.splitlines()[-1])


def beside(peers: dict[str, str], rows: int, trials: int) -> None:
    """Reports of the peers at the end of each week: how many alarm without a shift, and how soon one does with it."""
    moved_w = [0.0] * QUIET + [size for size in PEER_SHIFTS for _ in range(2)]
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(trials):
            rng = np.random.default_rng(seed)
            frame(rows_of(rng, WEEKS_BEFORE * rows, 20)).write_parquet(Path(scratch) / f"{seed}-reference.parquet")
            weeks = [
                frame(rows_of(rng, rows, 20, moved=moved)).with_columns(week=pl.lit(at))
                for at, moved in enumerate(moved_w)
            ]
            pl.concat(weeks).write_parquet(Path(scratch) / f"{seed}-weeks.parquet")
        for name, python in peers.items():
            for rule, alerts in peer(name, python, Path(scratch)).items():
                alert_tw = np.asarray(alerts)
                quiet = alert_tw[:, :QUIET]
                cells = [f"{quiet.sum()} of {quiet.size}"]
                for at, _ in enumerate(PEER_SHIFTS):
                    first, second = alert_tw[:, QUIET + 2 * at], alert_tw[:, QUIET + 2 * at + 1]
                    seen_t = np.where(first, HOURS, np.where(second, 2 * HOURS, np.inf))
                    cells.append(delay_cell(seen_t))
                print(f"| {rows:,} | {name}, {rule} | {' | '.join(cells)} |", flush=True)


def ours_beside(rows: int, trials: int) -> None:
    """The same of bakeoff, which looks at every hour."""
    cells: list[str] = []
    quiet, of = 0, 0
    for at, size in enumerate(PEER_SHIFTS):
        taken: list[float] = []
        for seed in range(trials):
            hours = stream(1000 * (at + 1) + seed, 20, WEEKS_BEFORE * rows, rows, 3, moved=size).alarms(enough=HOURS)
            quiet, of = quiet + any(hour < HOURS for hour in hours), of + 1
            after = [hour - HOURS + 1 for hour in hours if hour >= HOURS]
            taken.append(after[0] if after else np.inf)
        cells.append(delay_cell(np.asarray(taken)))
    print(f"| {rows:,} | bakeoff | {quiet} of {of} | {' | '.join(cells)} |", flush=True)


def delay_cell(hours_t: np.ndarray) -> str:
    """In how many trials a shift was seen within two weeks, and the median of the hours of all."""
    middle = np.median(hours_t)
    return f"{np.isfinite(hours_t).sum()} of {len(hours_t)}" + (f", {middle:.0f} h" if np.isfinite(middle) else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evidently")
    parser.add_argument("--nannyml")
    parser.add_argument("--share", type=float, default=1.0, help="of the streams of each cell")
    parser.add_argument("--only", choices=["alarms", "delays", "peers"])
    parser.add_argument("--rows", nargs="+", type=int, default=list(PEER_ROWS), help="a week, beside peers")
    parser.add_argument("--trials", type=int, default=10, help="beside peers")
    parser.add_argument("--psi", type=float, default=LIMITS["drift_psi"], help="bakeoff's limit, [monitor] drift_psi")
    options = parser.parse_args()
    LIMITS["drift_psi"] = options.psi
    total = [0, 0]
    if options.only in (None, "alarms"):
        print(
            "| columns | reference rows | rows a week | weeks | with a false alarm | seconds |",
            "|---|---|---|---|---|---|",
            sep="\n",
        )
        for columns, reference, rows, streams, weeks in CELLS:
            started = time.perf_counter()
            hit, of = false_alarms(columns, reference, rows, max(1, round(streams * options.share)), weeks)
            total = [total[0] + hit, total[1] + of]
            took = time.perf_counter() - started
            print(f"| {columns} | {reference:,} | {rows:,} | {of} | {hit} | {took:.0f} |", flush=True)
        print(f"in all {total[0]} of {total[1]} weeks; configured: 1%")
    if options.only in (None, "delays"):
        print("| shift | rows a week | hours to the alarm: median | 90% | never in two weeks |\n|---|---|---|---|---|")
        for size, rows in SHIFTS:
            taken = np.asarray(delays(size, rows, max(3, round(20 * options.share))))
            middle, late = np.quantile(np.where(np.isinf(taken), 9999, taken), [0.5, 0.9])
            print(
                f"| {size:g} sd | {rows:,} | {middle:.0f} | {late:.0f} | {np.isinf(taken).sum()} of {len(taken)} |",
                flush=True,
            )
    peers = {name: python for name, python in vars(options).items() if name in ("evidently", "nannyml") and python}
    if options.only == "peers" or (peers and options.only is None):
        shifts = " | ".join(f"{size:g} sd" for size in PEER_SHIFTS)
        print(f"| rows a week | | weeks without a shift, with an alert | {shifts} |\n|---|---|---|{'---|' * 4}")
        for rows in options.rows:
            ours_beside(rows, options.trials)
            beside(peers, rows, options.trials)
    return int(total[0] > 0.02 * max(total[1], 1))


if __name__ == "__main__":
    sys.exit(main())
