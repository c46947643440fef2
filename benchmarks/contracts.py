"""Contracts that are inferred: how often an honest next batch is refused, and how many planted faults are caught.

Honest: 200 batches of a generated shop (ids, counters and times that grow, or are shuffled) held to the contract of the
batch before, 200 of readings (seasons, walks, days as text, rare values), and 60 random halves each of iris, wine,
breast cancer and diabetes held to that of the other half. Planted: 14 kinds of faults in 25 shops, and 14 in 25 tables
of readings. Tables and faults are those of the tests.
"""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from sklearn import datasets

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "data"))
from test_contract_batches import FAULTS, READING_FAULTS, contract_of, errors, readings, table

HALVES, SHOPS = 60, 25


def generated() -> tuple[int, int]:
    """False alarms, and batches."""
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(5000 + seed)
        rows, shuffled = int(rng.integers(150, 600)), bool(seed % 2)
        contract = contract_of(table(rng, rows, 0, shuffled=shuffled))
        alarms += bool(errors(table(rng, rows, rows, shuffled=shuffled), contract))
    return alarms, 200


def others() -> tuple[int, int]:
    """False alarms, and batches, of seasons, walks, rising prices, days as text, rare values and keys by chance."""
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(20_000 + seed)
        rows = int(rng.integers(150, 900))
        contract = contract_of(readings(rng, rows, 0), ())
        wrong = errors(readings(rng, rows, rows), contract)
        alarms += bool(wrong)
        if wrong:
            print(f"seed {20_000 + seed}: {', '.join(wrong)}", file=sys.stderr)
    return alarms, 200


def real(name: str) -> tuple[int, int]:
    """False alarms, and halves."""
    loaded = getattr(datasets, f"load_{name}")()
    labels = [f"c{value > 100 if name == 'diabetes' else int(value)}" for value in loaded.target]
    rows = pl.DataFrame(loaded.data, schema=list(loaded.feature_names)).with_columns(label=pl.Series(labels))
    alarms = 0
    for seed in range(HALVES):
        order = np.random.default_rng(900 + seed).permutation(rows.height)
        half = rows.height // 2
        alarms += bool(errors(rows[order[half:]], contract_of(rows[order[:half]], ())))
    return alarms, HALVES


def caught() -> dict[str, int]:
    """Of each kind of fault, in how many shops, or tables of readings, it is an error."""
    counts: dict[str, int] = {}
    for seed in range(SHOPS):
        rng = np.random.default_rng(7000 + seed)
        shop, other = contract_of(table(rng, 500, 0)), contract_of(readings(rng, 500, 0), ())
        for where, contract, following, faults in (
            ("shop", shop, table(rng, 500, 500), FAULTS),
            ("readings", other, readings(rng, 500, 500), READING_FAULTS),
        ):
            for name, plant in faults.items():
                kind = f"{where}: {name}"
                counts[kind] = counts.get(kind, 0) + bool(errors(plant(following), contract))
    return counts


def main() -> None:
    honest = {"a shop": generated(), "readings": others()} | {
        name: real(name) for name in ("iris", "wine", "breast_cancer", "diabetes")
    }
    print("| honest rows of | batches | refused |\n|---|---|---|")
    for name, (alarms, batches) in honest.items():
        print(f"| {name} | {batches} | {alarms} |")
    counts = caught()
    print(f"\n| fault | caught of {SHOPS} |\n|---|---|")
    for name, count in counts.items():
        print(f"| {name} | {count} |")
    print(f"\n{sum(counts.values()) / (SHOPS * len(counts)):.1%} of planted faults caught")


if __name__ == "__main__":
    main()
