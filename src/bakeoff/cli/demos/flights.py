"""The flights demo: a table over time. August to December are replayed as live traffic, month by month."""

import statistics
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from bakeoff.cli.demos.play import DemoEndpoint, Tell, send, served, where_next
from bakeoff.cli.render import signals_page
from bakeoff.cli.run_page import leaderboard
from bakeoff.cli.tables import table
from bakeoff.core.errors import DataError
from bakeoff.core.protocols import Model
from bakeoff.core.types import Json, Predictions, Signature
from bakeoff.data.reading import read
from bakeoff.data.schema import conform
from bakeoff.data.sources import resolve
from bakeoff.metrics.value import value
from bakeoff.project.project import Project

__all__ = ["play_flights"]

KNOWN = "departure < TIMESTAMP '2013-08-01'"
LATER = "departure >= TIMESTAMP '2013-08-01'"
MONTHS = {8: "August", 9: "September", 10: "October", 11: "November", 12: "December"}
TARGET = "late"


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A replayed month: rows, AUC of the frozen champion and of what the loop served, what the loop then did."""

    month: str
    rows: int
    frozen: float
    loop: float
    served_by: str
    then: str


def play_flights(project: Project, *, tell: Tell) -> dict[str, Json]:
    """Run the bake-off on January to July, then live through August to December with the loop."""
    outcome = project.run(allow_missing=True)
    tell(leaderboard(outcome.results, unchanged=outcome.unchanged))
    frozen_version = _frozen(outcome.document)
    frozen = project.model(frozen_version).model
    later = _later(project)
    tell(f"\nreplaying {len(later):,} flights from August to December; frozen champion: {frozen_version}")
    months: list[Month] = []
    with served(project) as endpoint:
        for number, name in MONTHS.items():
            rows = later.filter(pl.col("departure").dt.month() == number)
            months.append(_live_through(project, endpoint, rows=rows, name=name, frozen=frozen, tell=tell))
    frozen_mean = statistics.mean(month.frozen for month in months)
    loop_mean = statistics.mean(month.loop for month in months)
    tell("\n" + _table(months, frozen_mean, loop_mean))
    tell("\n" + where_next(project))
    replay: dict[str, Any] = {
        "frozen_champion": frozen_version,
        "months": [asdict(month) for month in months],
        "frozen_mean_auc": frozen_mean,
        "loop_mean_auc": loop_mean,
        "gain": loop_mean - frozen_mean,
    }
    return {**outcome.document, "unchanged": outcome.unchanged, "replay": replay}


def _frozen(document: Any) -> str:
    """The version that won on July: fitted on January to June, and never touched again."""
    winner = document["verdict"]["winner"]
    return next(c["model_version"] for c in document["candidates"] if c["name"] == winner)


def _later(project: Project) -> pl.DataFrame:
    """The flights after July, read as the project reads the others."""
    config = project.config.data
    if config.query is None or KNOWN not in config.query:
        raise DataError(f"expected {KNOWN!r} in the demo's [data] query, which the replay turns around; found another")
    later = config.model_copy(update={"query": config.query.replace(KNOWN, LATER)})
    places = {"folder": project.folder, "cache": project.folder / ".bakeoff" / "cache"}
    files = {
        name: [file for location in locations for file in resolve(location, **places, progress=lambda _: None)]
        for name, locations in config.sources.items()
    }
    return read(later, files).table


def _live_through(
    project: Project, endpoint: DemoEndpoint, *, rows: pl.DataFrame, name: str, frozen: Model, tell: Tell
) -> Month:
    truth = ["true" if late else "false" for late in rows[TARGET].to_list()]
    sent = rows.drop(TARGET).with_columns(pl.col("departure").dt.to_string("iso:strict")).to_dicts()
    answers = send(endpoint.client, sent, truth)
    then = _turn(project, name, tell) if name != "December" else _look(project, name, tell)
    endpoint.engine.refresh()  # it would notice by itself within half a second
    classes = frozen.signature.classes
    said = np.asarray([[answer["probabilities"][c] for c in classes] for answer in answers])
    return Month(
        month=name,
        rows=len(rows),
        frozen=_auc(truth, frozen.predict(conform(rows, frozen.signature.inputs)), frozen.signature),
        loop=_auc(truth, Predictions.of_probabilities(said, classes), frozen.signature),
        served_by=answers[-1]["model_version"],
        then=then,
    )


def _turn(project: Project, name: str, tell: Tell) -> str:
    """One turn of the loop, in a few words."""
    turn = project.loop_once()
    assert turn.report is not None
    tell(f"\n{name}: {signals_page(turn.report)}")
    if turn.outcome is None:
        return "kept on"
    promoted = turn.outcome.results.verdict.promoted
    return (
        "; ".join(trigger.kind for trigger in turn.triggers) + " → retrained" + ("" if promoted else ", not promoted")
    )


def _look(project: Project, name: str, tell: Tell) -> str:
    """Nothing follows the last month, so nothing is fitted for it."""
    tell(f"\n{name}: {signals_page(project.monitor())}")
    return "the year ends"


def _auc(truth: list[str], predictions: Predictions, signature: Signature) -> float:
    return value("roc_auc", truth, predictions, signature.task)


def _table(months: list[Month], frozen_mean: float, loop_mean: float) -> str:
    rows = [
        [m.month, f"{m.rows:,}", f"{m.frozen:.4f}", f"{m.loop:.4f}", f"{m.loop - m.frozen:+.4f}", m.served_by, m.then]
        for m in months
    ]
    rows.append(["mean", "", f"{frozen_mean:.4f}", f"{loop_mean:.4f}", f"{loop_mean - frozen_mean:+.4f}", "", ""])
    heads = ["month", "flights", "frozen AUC", "loop AUC", "gain", "served by", "then"]
    return table(heads, rows, right=["flights", "frozen AUC", "loop AUC", "gain"])
