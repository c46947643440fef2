"""Runs beside each other: what differs, their curves, the paired difference, and the rows on which they disagree."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from bakeoff.actions.disagreement import Side, disagreement
from bakeoff.core.errors import BakeoffError, UsageError
from bakeoff.core.queries import Query, attribute
from bakeoff.core.records import Run
from bakeoff.metrics.registry import is_higher_better
from bakeoff.web.pages.calls import PageCall, Shown, address
from bakeoff.web.pages.runs import curve
from bakeoff.web.tracking.runs import NOTE

__all__ = ["compare", "curves", "paired", "rows"]

FEWEST, MOST, MOST_PAIRED = 1, 50, 12
MOST_ROWS = 50


def _chosen(call: PageCall, *, most: int = MOST) -> list[Run]:
    """The runs of the address, the baseline first.

    Raises:
        UsageError: none, too many, or one that there is not.
    """
    ids = list(dict.fromkeys(call.query.getlist("run")))
    if not FEWEST <= len(ids) <= most:
        raise UsageError(
            f"run: expected {FEWEST} to {most} runs to compare, received {len(ids)}: choose them on the page of runs"
        )
    known = call.records.runs.search(
        Query(where=attribute("run_id", "in", tuple(ids)), lifecycle=None, limit=most)
    ).items
    by_id = {run.run_id: run for run in known}
    if lacking := [each for each in ids if each not in by_id]:
        raise UsageError(f"run: expected ids of runs, found none of {lacking[0][:80]!r}")
    baseline = call.query.get("baseline", ids[0])
    ids.sort(key=lambda each: each != baseline)
    return [by_id[each] for each in ids]


def compare(call: PageCall) -> Shown:
    """The runs of the address beside each other; parameters and metrics that are all alike only when asked for."""
    runs, everything = _chosen(call), bool(call.query.get("all"))
    ids = [run.run_id for run in runs]
    params = _table(runs, [run.params for run in runs], everything=everything)
    values = [{key: each.value for key, each in run.metrics.items()} for run in runs]
    metrics = {
        key: row
        for key, row in _table(runs, values, everything=True).items()
        if not key.startswith(("compare/", "fold_"))
    }
    moving = sorted({key for run in runs for key, each in run.metrics.items() if each.step > 0})
    chosen = call.query.get("metric") or (moving[0] if moving else "")
    candidates = [run for run in runs if "outcomes.parquet" in run.artifacts]
    return Shown(
        template="compare.html",
        values={
            "title": f"{len(runs)} runs",
            "runs": runs,
            "names": _names(runs),
            "params": params,
            "metrics": metrics,
            "better": {key: is_better(key) for key in metrics},
            "moving": moving,
            "metric": chosen,
            "chart": _chart(call, runs, chosen),
            "everything": everything,
            "rebased": {each: address("/compare", run=ids, baseline=each) for each in ids},
            "toggled": address("/compare", run=ids, baseline=ids[0], all="" if everything else "1"),
            "paired_url": address("/compare/paired", run=ids[:MOST_PAIRED]) if len(candidates) > 1 else None,
            "rows_url": address("/compare/rows", run=[each.run_id for each in candidates[:2]]),
            "note_key": NOTE,
            "back": str(address("/compare", run=ids, baseline=ids[0])),
        },
    )


def is_better(metric: str) -> bool | None:
    """Whether higher values of a metric are better; None where bakeoff does not know it."""
    for task in ("classification", "regression", "generation"):
        known = is_higher_better(metric, task)
        if known is not None:
            return known
    return None


def curves(call: PageCall) -> Shown:
    """The curves of one metric, as a part of the page."""
    runs, metric = _chosen(call), call.query.get("metric", "")
    return Shown(
        template="compare_curves.html",
        values={"chart": _chart(call, runs, metric), "names": _names(runs), "runs": runs},
    )


def _chart(call: PageCall, runs: Sequence[Run], metric: str) -> Any:
    with_it = [run for run in runs if metric in run.metrics]
    if not with_it:
        return None
    names = _names(runs)
    return curve(call, [(run.run_id, names[run.run_id]) for run in runs], metric, baseline=runs[0].run_id)


def _names(runs: Sequence[Run]) -> dict[str, str]:
    """A name for each run, that no other here has."""
    twice = {run.name for run in runs if sum(run.name == other.name for other in runs) > 1}
    return {run.run_id: f"{run.name} {run.run_id[:6]}" if run.name in twice else run.name for run in runs}


def _table(runs: Sequence[Run], values: Sequence[Mapping[str, Any]], *, everything: bool) -> dict[str, list[Any]]:
    """What each run has of each key; only keys of which they differ, unless all are wanted."""
    keys = sorted({key for each in values for key in each})
    table = {key: [each.get(key) for each in values] for key in keys}
    return {key: row for key, row in table.items() if everything or len(runs) == 1 or len(set(row)) > 1}


def paired(call: PageCall) -> Shown:
    """The paired differences of candidates on the same test rows, with intervals that hold all at once."""
    from bakeoff.actions.judge_runs import judge_runs

    runs, project = _chosen(call, most=MOST_PAIRED), call.of_project
    data = None if project is None else project.config.data
    values: dict[str, Any] = {"judged": None, "problem": None}
    try:
        with nullcontext() if project is None else project.own_metrics():
            values["judged"] = judge_runs(
                call.records,
                call.tracking.blobs,
                [run.run_id for run in runs],
                metric=call.query.get("by") or (),
                baseline=runs[0].run_id,
                data=data,
            )
    except BakeoffError as error:  # rows that cannot be paired: the page says why
        values["problem"] = str(error)
    return Shown(template="compare_paired.html", values={**values, "title": "Are the differences real?"})


def rows(call: PageCall) -> Shown:
    """Test rows on which the first two runs answer differently."""
    runs = _chosen(call)[:2]
    side: Side = call.query.get("side", "first")  # pyright: ignore[reportAssignmentType] - it is checked there
    values: dict[str, Any] = {"disagreement": None, "problem": None, "names": _names(runs), "runs": runs}
    try:
        values["disagreement"] = disagreement(
            call.records,
            call.tracking.blobs,
            *(run.run_id for run in runs),
            side=side,
            limit=MOST_ROWS,
            data=None if call.of_project is None else call.of_project.config.data,
        )
    except BakeoffError as error:
        values["problem"] = str(error)
    links = {
        each: address("/compare/rows", run=[run.run_id for run in runs], side=each)
        for each in ("first", "second", "neither")
    }
    return Shown(
        template="compare_rows.html", values={**values, "links": links, "title": "Rows on which two runs disagree"}
    )
