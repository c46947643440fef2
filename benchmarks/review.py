"""What labels from the review queue bring after a shift of domain, beside as many random ones.

    python benchmarks/review.py FOLDER
    python benchmarks/review.py FOLDER --seeds 5 --budget 200

A model is trained on the tweets of C. J. Hutto and E. Gilbert (ICWSM 2014; in the package vaderSentiment 0.5), rated by
ten people each: negative, neutral, positive. Then it serves snippets of reviews of products, of films, and of
editorials. Of 2,000 of each, `budget` are labelled: by `bakeoff review pick` as it is, with most of the budget for
drifted rows, or at random. The model is fitted again on tweets and labels, each row with the same weight, or the new
ones with four times the weight. F1 (macro) is on 1,200 other snippets of each domain. What was lost is what a model has
more that knows all 6,000 labels.
"""

import argparse
import io
import json
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import f1_score

from bakeoff.core.events import PredictionEvent
from bakeoff.core.families import load_family
from bakeoff.core.protocols import FitJob, Model
from bakeoff.core.types import Column, Schema
from bakeoff.data.packages import PackagePath, archive_of
from bakeoff.project.project import Project

LOCATION = "additional_resources/hutto_ICWSM_2014.tar.gz"
DOMAINS = ("amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets")
POOL, TEST = 2000, 1200
SHIFTED = {"drift": 0.8, "random": 0.2}
PROJECT = """[project]
name = "sentiment"
[data]
source = "tweets.csv"
target = "label"
text = ["text"]
[candidates.linear]
[combine]
blends = false
cascades = false
[decide]
metric = "f1_macro"
findings = false
explain = "none"
[review]
window_rows = 2000
"""
SCHEMA = Schema(
    columns=(
        Column(name="text", kind="text", dtype="String"),
        Column(name="label", kind="categorical", dtype="String"),
    ),
    inputs=("text",),
    target="label",
)


def rated(cache: Path) -> dict[str, pl.DataFrame]:
    """Texts and classes by domain, in an order that is drawn once; neutral is a mean rating under 0.5."""
    archive = archive_of(PackagePath.parse(f"pypi://vaderSentiment==0.5/{LOCATION}"), cache, print)
    with zipfile.ZipFile(archive) as source:
        inner = source.read(f"vaderSentiment-0.5/{LOCATION}")
    tables: dict[str, pl.DataFrame] = {}
    with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as resources:
        for name in ("tweets", *DOMAINS):
            content = resources.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
            assert content is not None
            lines = [line.split("\t", 2) for line in content.read().decode("utf-8", "replace").splitlines()]
            ratings = [float(line[1]) for line in lines]
            labels = ["neutral" if abs(each) < 0.5 else "positive" if each > 0 else "negative" for each in ratings]
            table = pl.DataFrame({"text": [line[2] for line in lines], "label": labels})
            tables[name] = table.unique("text", keep="first", maintain_order=True).sample(
                fraction=1, shuffle=True, seed=0
            )
    return tables


class Bench:
    """The data, the project that serves, and the rows that it was asked about."""

    def __init__(self, folder: Path, budget: int) -> None:
        self.budget, self.cache = budget, folder / "cache"
        tables = rated(self.cache)
        self.tweets = tables["tweets"]
        self.pools = {name: tables[name][:POOL] for name in DOMAINS}
        self.tests = {name: tables[name][POOL : POOL + TEST] for name in DOMAINS}
        home = folder / "project"
        home.mkdir(parents=True, exist_ok=True)
        self.tweets.write_csv(home / "tweets.csv")
        (home / "bakeoff.toml").write_text(PROJECT, encoding="utf-8")
        self.project = Project(home)
        self.project.run()
        self.family = load_family("linear")
        model = self.project.model()
        self.chosen = model.model.chosen
        self.served: dict[str, tuple[int, int, dict[str, str]]] = {}
        for name, pool in self.pools.items():
            answers = self.project.predict(pool.select("text").to_dicts())
            events = {event.id: event.time_ms for event in self.project.events.read(PredictionEvent)}
            times = [events[answer.id] for answer in answers]
            labels = dict(zip((answer.id for answer in answers), pool["label"].to_list(), strict=True))
            self.served[name] = (min(times), max(times) + 1, labels)

    def fitted(self, rows: Sequence[pl.DataFrame], weight: int = 1) -> Model:
        """A model of the tweets and these rows, with what the project chose for the tweets."""
        job = FitJob(
            task="classification",
            schema=SCHEMA,
            train=pl.concat([self.tweets, *(row for row in rows for _ in range(weight))]),
            validation=self.tweets[:0],
            params=self.family.params(),
            metric="f1_macro",
            seed=0,
            threads=1,
            cache=self.cache,
            progress=lambda _: None,
            chosen=self.chosen,
        )
        return self.family.fit(job)

    def scores(self, model: Model) -> list[float]:
        """F1 (macro) on each domain."""
        return [
            float(
                f1_score(test["label"].to_list(), model.predict(test.drop("label")).values_n.tolist(), average="macro")
            )
            for test in self.tests.values()
        ]

    def picked(self, name: str, shares: dict[str, float] | None, seed: int) -> pl.DataFrame:
        """The rows of a domain that the queue asks for, with their labels."""
        since_ms, until_ms, labels = self.served[name]
        review = self.project.review
        batch = review.pick(self.budget, shares=shares, since_ms=since_ms, until_ms=until_ms, seed=seed)
        rows = review.rows(batch.id)
        review.close(batch.id)
        return pl.DataFrame({"text": [row.row["text"] for row in rows], "label": [labels[row.id] for row in rows]})

    def drawn(self, name: str, seed: int) -> pl.DataFrame:
        """As many rows of a domain, drawn at random."""
        return self.pools[name].sample(self.budget, seed=seed + 1000)


def measured(bench: Bench, seeds: int) -> dict[str, list[list[float]]]:
    """Scores by arm, a list for each seed."""
    scores = {
        "before": [bench.scores(bench.fitted([]))],
        "all labels": [bench.scores(bench.fitted(list(bench.pools.values())))],
    }
    for seed in range(seeds):
        arms = {
            "random": [bench.drawn(name, seed) for name in DOMAINS],
            "queue": [bench.picked(name, None, seed) for name in DOMAINS],
            "queue, mostly drift": [bench.picked(name, SHIFTED, seed) for name in DOMAINS],
        }
        for arm, rows in arms.items():
            for weight in (1, 4):
                key = arm if weight == 1 else f"{arm}, weight {weight}"
                scores.setdefault(key, []).append(bench.scores(bench.fitted(rows, weight)))
        print(
            json.dumps({"seed": seed, **{key: np.round(each[-1], 4).tolist() for key, each in scores.items()}}),
            flush=True,
        )
    return scores


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=200)
    asked = parser.parse_args()
    scores = measured(Bench(asked.folder, asked.budget), asked.seeds)
    before, after = (np.mean(scores[name], axis=0) for name in ("before", "all labels"))
    print(f"| labels of {asked.budget} per domain | products | films | editorials | recovered |\n|---|---|---|---|---|")
    for arm, each in scores.items():
        mean, spread = np.mean(each, axis=0), np.std(each, axis=0)
        share = (mean.sum() - before.sum()) / (after.sum() - before.sum())
        cells = " | ".join(f"{value:.3f} ± {sd:.3f}" for value, sd in zip(mean, spread, strict=True))
        print(f"| {arm} | {cells} | {share:.0%} |")


if __name__ == "__main__":
    main()
