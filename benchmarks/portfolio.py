"""Settings to begin with: those of `boosting` that together do best on public sets, for `config/portfolio.toml`.

    python benchmarks/portfolio.py --settings 32

Draws settings from the family's own search space, fits each on each set of `candidate_sets.TUNING` (sets that the
benchmark of candidates does not report on; at most 2,000 rows), and picks greedily: first the setting whose loss on
test rows is least on average, then those that lower the mean of the least losses most. A loss is log loss (of balanced
classes) or RMSE, in units of the best setting's on that set. Results are kept, so that a search can go on.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping
from typing import Any

import candidates
import numpy as np
import polars as pl

from bakeoff.config.search import Range, space
from bakeoff.config.sections import DataConfig
from bakeoff.core.families import load_family
from bakeoff.core.protocols import FitJob
from bakeoff.data.schema import infer
from bakeoff.families.features.heads import log_loss
from bakeoff.train.params import check_params

FAMILY = "boosting"
MOST_LOSS = 1.5
"""Of the best setting's: a worse one counts as this much."""
FIXED = {"balanced", "max_terms"}
"""Parameters that follow from the metric, or that these sets do not feel."""
SETS = [
    *("oj", "hpc", "cells", "wa_churn", "hmda", "chile", "flchain", "lending", "hawks"),
    *("sacramento", "saratoga", "stackoverflow", "txhousing", "storms", "gpa2", "biomass", "wage", "yrbss"),
]


def drawn(count: int) -> list[dict[str, Any]]:
    """Settings: the family's own defaults, then random ones of its space."""
    params, rng = load_family(FAMILY).params, np.random.default_rng(0)
    spread = {k: v for k, v in space(params, {}, {}, owner=FAMILY, key="").items() if k not in FIXED}
    settings: list[dict[str, Any]] = [{}]
    while len(settings) < count:
        settings.append({name: value_of(each, rng) for name, each in spread.items() if isinstance(each, Range)})
    return settings


def value_of(search: Range, rng: np.random.Generator) -> float | int:
    low, high = (np.log(search.low), np.log(search.high)) if search.log else (search.low, search.high)
    value = float(rng.uniform(low, high))
    value = float(np.exp(value)) if search.log else value
    return round(value) if isinstance(search.low, int) else float(f"{value:.2g}")


def loss(name: str, setting: Mapping[str, Any]) -> float:
    """Of test rows, of a model fitted on four fifths of the training rows and stopped by the rest."""
    about, folder = candidates.facts(name), candidates.ROOM / "sets" / name
    train, test = (pl.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    classification, target = about["task"] == "classification", about["target"]
    schema = infer(train, DataConfig(source=("x",), target=target), about["task"]).schema
    columns = *schema.inputs, pl.col(target).cast(pl.String if classification else pl.Float64)
    train, test = train.select(*columns), test.select(*columns)
    cut = int(0.8 * len(train))
    family = load_family(FAMILY)
    model = family.fit(
        FitJob(
            task=about["task"],
            schema=schema,
            train=train[:cut],
            validation=train[cut:],
            params=check_params(family, setting),
            metric=candidates.metric(name),
            seed=0,
            threads=1,
            cache=candidates.ROOM / "work",
            progress=lambda _: None,
        )
    )
    predictions = model.predict(test.drop(target))
    if not classification:
        return float(np.sqrt(np.mean((predictions.values_n.astype(float) - test[target].to_numpy()) ** 2)))
    place = {label: at for at, label in enumerate(predictions.classes)}
    known = test.with_row_index("at").filter(pl.col(target).is_in(list(place)))
    truth_n = np.array([place[label] for label in known[target]], dtype=float)
    return log_loss(predictions.probabilities_nk[known["at"].to_numpy()], truth_n, balanced=True)


def greedy(loss_sn: np.ndarray, most: int) -> list[int]:
    """Settings (rows of losses by set) that together have the least mean of the least losses, the best one first."""
    relative_sn = np.minimum(loss_sn / loss_sn.min(axis=0), MOST_LOSS)
    chosen: list[int] = []
    while len(chosen) < most:
        together = [relative_sn[[*chosen, at]].min(axis=0).mean() for at in range(len(relative_sn))]
        best = int(np.argmin(together))
        print(f"{len(chosen) + 1}: setting {best}, mean loss {together[best]:.4f} of the best", file=sys.stderr)
        chosen.append(best)
    return chosen


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--settings", type=int, default=32)
    asked.add_argument("--keep", type=int, default=6)
    given = asked.parse_args()
    candidates.prepare(SETS)
    file = candidates.ROOM / "portfolio.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    known = {(each["set"], json.dumps(each["setting"])): each["loss"] for each in lines}
    settings = drawn(given.settings)
    for setting in settings:
        for name in SETS:
            key = name, json.dumps(setting)
            if key not in known:
                started = time.perf_counter()
                known[key] = loss(name, setting)
                line = {"set": name, "setting": setting, "loss": known[key], "s": time.perf_counter() - started}
                with file.open("a") as out:
                    out.write(json.dumps(line) + "\n")
    loss_sn = np.array([[known[name, json.dumps(setting)] for name in SETS] for setting in settings])
    relative_sn = loss_sn / loss_sn.min(axis=0)
    print(f"defaults: mean loss {np.minimum(relative_sn[0], MOST_LOSS).mean():.4f} of the best", file=sys.stderr)
    for at in greedy(loss_sn, given.keep):
        print("[[boosting]]", *(f"{key} = {json.dumps(value)}" for key, value in settings[at].items()), sep="\n")


if __name__ == "__main__":
    main()
