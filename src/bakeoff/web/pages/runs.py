"""Runs: a page of many (filtered, sorted, grouped), one with its curves, and what changes of those that are running."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from bakeoff.core.errors import NotFoundError, UsageError
from bakeoff.core.filters import RUNS, filter_of, order_of, within
from bakeoff.core.queries import Expr, Query, QueryField, attribute
from bakeoff.core.records import Run, RunChange, RunGroup
from bakeoff.metrics.registry import default
from bakeoff.web.pages.calls import PageCall, Redirect, Shown, address
from bakeoff.web.pages.drawing import DrawnLine, lines
from bakeoff.web.pages.views import saved
from bakeoff.web.tracking.runs import NOTE

__all__ = ["RunView", "cell", "count", "curve", "groups", "listing", "live", "note", "one", "rows"]

PAGE, MOST_PAGE, MOST_GROUPS = 50, 500, 200
AT_ONCE = 20_000
"""Of more runs than this, the ranges of metrics of groups come after the page."""
MOST_COLUMNS, FIRST_METRICS, FIRST_PARAMS = 40, 4, 3
MOST_CURVES, MOST_LIVE, MOST_CHILDREN, MOST_EXPERIMENTS = 12, 100, 100, 500
LONGEST_NOTE = 8000
NEWEST = "start_time DESC"
PLAIN = {"started": "start_time", "status": "status", "name": "run_name", "duration": None, "experiment": None}
"""Columns that every run has, and how they are sorted by."""
KINDS = {"metrics": "metric", "params": "param", "tags": "tag"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """What of the runs is shown, and how: the query of the address."""

    filter: str = ""
    experiment: str = ""
    order: str = NEWEST
    columns: str = ""
    group: str = ""
    page: str = ""
    limit: int = PAGE

    @classmethod
    def of(cls, call: PageCall) -> "RunView":
        """The one that a request asks for."""
        texts = {each.name: call.query.get(each.name, "").strip() for each in fields(cls) if each.name != "limit"}
        texts["order"] = texts["order"] or NEWEST
        return cls(**texts, limit=call.whole("limit", PAGE, most=MOST_PAGE))

    def url(self, path: str = "/runs", **changes: Any) -> str:
        """The address of this view, changed so."""
        other = replace(self, **{"page": "", **changes})
        usual = RunView()
        named = {each.name: getattr(other, each.name) for each in fields(self)}
        query = {key: str(value) for key, value in named.items() if value != getattr(usual, key)}
        return address(path, **query)

    def sorted_by(self, column: str) -> "str | None":
        """The address of this view sorted by a column, or turned round; None where nothing sorts by it."""
        field = PLAIN.get(column, column if "." in column else None)
        if field is None:
            return None
        quoted = _quoted(field)
        first = "DESC" if column.startswith("metrics.") or column == "started" else "ASC"
        other = "ASC" if first == "DESC" else "DESC"
        return self.url(order=f"{quoted} {other if self.order == f'{quoted} {first}' else first}")

    def direction(self, column: str) -> str:
        """How the page is sorted by a column, as ARIA calls it."""
        field, _, way = self.order.rpartition(" ")
        wanted = PLAIN.get(column, column)
        if wanted is None or field != _quoted(wanted):
            return "none"
        return "descending" if way == "DESC" else "ascending"

    @property
    def where(self) -> Expr:
        """The condition on runs."""
        inside = attribute("experiment_id", "=", self.experiment) if self.experiment else None
        return within(inside, filter_of(self.filter, RUNS))

    @property
    def query(self) -> Query:
        """The question to the records."""
        return Query(where=self.where, order=order_of([self.order], RUNS), limit=self.limit, page=self.page or None)


def _quoted(name: str) -> str:
    """A field as the grammar reads it, whatever its key is."""
    kind, dot, key = name.partition(".")
    return f"{kind}.`{key}`" if dot and not key.replace("_", "").isalnum() else name


def field_of(name: str) -> QueryField:
    """The field that a column or a group means.

    Raises:
        UsageError: there is no such field.
    """
    kind, dot, key = name.partition(".")
    if dot and kind in KINDS and key:
        return QueryField(kind=KINDS[kind], key=key)  # pyright: ignore[reportArgumentType]
    if name in {"status", "experiment_id", "name"}:
        return QueryField(kind="attribute", key=name)
    raise UsageError(f"expected params.NAME, tags.NAME, status, name or experiment_id, received {name[:80]!r}")


def listing(call: PageCall) -> Shown:
    """A page of runs, or their groups."""
    view = RunView.of(call)
    experiments = _experiments(call)
    everything = call.principal.everything("experiment")
    values: dict[str, Any] = {
        "title": "Runs",
        "view": view,
        "experiments": experiments,
        "saved": saved(call.records.documents) if everything else (),
        "query": str(call.query),
        "problem": None,
        "runs": (),
        "groups": (),
        "ranges_url": None,
        "columns": (),
        "total": None,
        "following": None,
        "keys": (),
    }
    try:
        values |= _grouped(call, view) if view.group else _paged(call, view)
    except UsageError as error:  # of what somebody typed: the page stays, and says it beside the field
        values["problem"] = str(error)
    return Shown(template="runs.html", values=values)


def _paged(call: PageCall, view: RunView) -> dict[str, Any]:
    page = call.records.runs.search(view.query)
    columns = _columns(view, page.items, of=call)
    return {
        "runs": page.items,
        "columns": columns,
        "total": None if view.filter else total_of(call, view),
        "following": page.following,
        "first": int(view.page.partition(".")[2] or 0) + 1 if view.page else 1,
        "keys": _keys(page.items),
    }


def total_of(call: PageCall, view: RunView) -> int:
    """How many runs a view has."""
    groups = call.records.runs.groups(Query(where=view.where))
    return groups[0].runs if groups else 0


def count(call: PageCall) -> Shown:
    """How many runs a view has: it comes after the page where a filter makes counting as long as finding."""
    return Shown(template="runs_count.html", values={"total": total_of(call, RunView.of(call))})


def groups(call: PageCall) -> Shown:
    """The groups with the ranges of their metrics, as a part of the page."""
    view = RunView.of(call)
    return Shown(
        template="runs_groups.html",
        values={"title": "Groups of runs", "view": view, **_grouped(call, view, whole=True)},
    )


def _grouped(call: PageCall, view: RunView, *, whole: bool = False) -> dict[str, Any]:
    """The groups; of many runs without the ranges of metrics, for which each metric of each run is looked up."""
    by, named = field_of(view.group), call.query.getlist("metric")[:MOST_COLUMNS] if whole else []
    first = () if named else call.records.runs.search(Query(where=view.where, limit=PAGE)).items
    columns = [each for each in _columns(view, first, of=call) if each.startswith("metrics.")]
    metrics = named or [each.removeprefix("metrics.") for each in columns]
    query, wanted = Query(where=view.where, limit=MOST_GROUPS), urlencode([("metric", each) for each in metrics])
    groups = () if whole else call.records.runs.groups(query, by)
    if whole or (metrics and sum(each.runs for each in groups) <= AT_ONCE):
        groups, whole = call.records.runs.groups(query, by, metrics=metrics), True
    return {
        "groups": [(each, _group_url(view, each)) for each in groups],
        "columns": [f"metrics.{each}" for each in metrics],
        "total": sum(each.runs for each in groups),
        "most_groups": MOST_GROUPS,
        "keys": _keys(first),
        "ranges_url": None if whole or not metrics else f"{view.url('/runs/groups')}&{wanted}",
    }


def _group_url(view: RunView, group: RunGroup) -> str:
    """The runs of a group, as a view without groups."""
    name = {"name": "run_name"}.get(view.group, _quoted(view.group))
    one = f"{name} IS NULL" if group.value is None else f"{name} {_stated(group.value)}"
    return view.url(group="", filter=f"({view.filter}) AND {one}" if view.filter else one)


def _stated(value: str) -> str:
    r"""A condition on a text as the grammar reads it: there a backslash stands for itself, except before a quote.

    >>> _stated("it's"), _stated("C:\\data"), _stated("C:\\")
    ('= "it\'s"', "= 'C:\\data'", "LIKE 'C:_'")
    """
    quote = "'" if "'" not in value or '"' in value else '"'
    text = re.sub(rf"\\(?={quote}|$)", "_", value)
    return f"{'=' if text == value else 'LIKE'} {quote}{text.replace(quote, quote * 2)}{quote}"


def _columns(view: RunView, runs: Sequence[Run], *, of: PageCall | None = None) -> list[str]:
    """The columns that are chosen; else what most of these runs have, after the metric by which the project decides."""
    if view.columns:
        chosen = [each.strip() for each in view.columns.split(",") if each.strip()][:MOST_COLUMNS]
        known = [each for each in chosen if each in PLAIN or (each.partition(".")[0] in KINDS and "." in each)]
        if len(known) < len(chosen):
            wrong = next(each for each in chosen if each not in known)
            raise UsageError(
                f"columns: expected metrics.NAME, params.NAME, tags.NAME, {', '.join(PLAIN)}; received {wrong[:60]!r}"
            )
        return known
    metrics = Counter(key for run in runs for key in run.metrics)
    if of is not None and of.of_project is not None:
        config = of.of_project.config
        decides = config.decide.metric or default(config.project.task)
        metrics += Counter({decides: len(runs)} if decides in metrics else {})  # it comes first
    params = Counter(key for run in runs for key in run.params if not key.startswith("chosen."))
    return [
        "started",
        "duration",
        *(f"metrics.{key}" for key, _ in metrics.most_common(FIRST_METRICS)),
        *(f"params.{key}" for key, _ in params.most_common(FIRST_PARAMS)),
    ]


def _keys(runs: Sequence[Run]) -> list[str]:
    """What a filter may name, for completion."""
    known = {f"metrics.{key}" for run in runs for key in run.metrics}
    known |= {f"params.{key}" for run in runs for key in run.params}
    known |= {f"tags.{key}" for run in runs for key in run.tags}
    return ["run_name", "status", "start_time", *sorted(map(_quoted, known))]


def cell(run: Run, column: str) -> tuple[str, Any]:
    """What a run has in a column: its kind ("metrics", "params", "tags", or the column itself) and its value."""
    kind, dot, key = column.partition(".")
    if dot and kind == "metrics":
        return kind, run.metrics[key].value if key in run.metrics else None
    if dot:
        return kind, (run.params if kind == "params" else run.tags).get(key)
    known = {
        "started": run.start_ms,
        "status": run.status,
        "name": run.name,
        "experiment": run.experiment_id,
        "duration": None if run.end_ms is None else (run.end_ms - run.start_ms) / 1000,
    }
    return column, known[column]


def rows(call: PageCall) -> Shown:
    """Of runs that a page shows, those rows that may have changed; and how many runs began since."""
    view, ids = RunView.of(call), call.query.getlist("id")[:MOST_LIVE]
    wanted = Query(where=attribute("run_id", "in", tuple(ids)), lifecycle=None, limit=MOST_LIVE)
    since = call.number("since") or 0
    newer = call.records.runs.groups(Query(where=within(view.where, attribute("start_ms", ">", int(since)))))
    return Shown(
        template="runs_rows.html",
        values={
            "view": view,
            "runs": call.records.runs.search(wanted).items if ids else (),
            "columns": _columns(view, ()) if view.columns else [],
            "newer": newer[0].runs if newer else 0,
        },
    )


def run_of(call: PageCall, run_id: str) -> Run:
    """The run of an id or how it begins; "latest" is the one that began last.

    Raises:
        NotFoundError: there is none.
    """
    if run_id == "latest":
        newest = call.records.runs.search(Query(limit=1)).items
        if not newest:
            raise NotFoundError(
                "expected a run, found none yet: 'bakeoff run' makes one, and so does any MLflow client"
            )
        return newest[0]
    return call.records.runs.get(run_id)


def one(call: PageCall) -> Shown:
    """One run: what it is, its curves, metrics, parameters, tags, inputs, artifacts and children."""
    run = run_of(call, call.path["run_id"])
    children = Query(where=attribute("parent_id", "=", run.run_id), limit=MOST_CHILDREN)
    listed = call.records.runs.search(children).items
    return Shown(
        template="run.html",
        values={
            "title": run.name,
            "run": run,
            "experiment": call.records.experiments.get(run.experiment_id),
            "children": listed,
            "child_columns": _columns(RunView(), listed, of=call),
            "note": run.tags.get(NOTE, ""),
            **_curves(call, run),
        },
    )


def live(call: PageCall) -> Shown | Response:
    """The part of a run's page that changes; nothing is read when nothing changed."""
    run = run_of(call, call.path["run_id"])
    if call.query.get("seen") == _stamp(run):
        return Response(status_code=304)
    return Shown(template="run_live.html", values={"run": run, **_curves(call, run)})


def _stamp(run: Run) -> str:
    """What a run's latest values are told by."""
    newest = max((each.time_ms for each in run.metrics.values()), default=0)
    return f"{run.status}.{newest}.{sum(each.step for each in run.metrics.values())}.{len(run.metrics)}"


def _curves(call: PageCall, run: Run) -> dict[str, Any]:
    moving = [key for key, metric in run.metrics.items() if metric.step > 0]
    curves = [(key, curve(call, [(run.run_id, run.name)], key)) for key in moving[:MOST_CURVES]]
    return {"curves": curves, "more_curves": len(moving) - len(curves), "stamp": _stamp(run)}


def curve(call: PageCall, runs: Sequence[tuple[str, str]], key: str, *, baseline: str | None = None) -> Any:
    """A metric over steps, of runs by id and name."""
    import numpy as np

    curves = call.records.runs.curves([run_id for run_id, _ in runs], key)
    points = {run_id: np.column_stack((of.step_n.astype(np.float64), of.value_n)) for run_id, of in curves.items()}
    series = [
        DrawnLine(name=name, colour=at, points=points.get(run_id, ()), baseline=run_id == baseline)
        for at, (run_id, name) in enumerate(runs)
    ]
    return lines(series, description=f"{key} by step: {', '.join(each.name for each in series)}", y=key)


def note(call: PageCall) -> Redirect:
    """Write the note of a run."""
    run, text = run_of(call, call.path["run_id"]), call.form.get("note", "")
    if len(text) > LONGEST_NOTE:
        raise UsageError(f"note: expected at most {LONGEST_NOTE} characters, received {len(text)}")
    call.records.runs.apply([RunChange(run_id=run.run_id, tags={NOTE: text})])
    return Redirect(url=call.form.get("back", f"/runs/{run.run_id}"), done="The note is saved.")


def _experiments(call: PageCall) -> list[tuple[str, str]]:
    listed = call.records.experiments.search(Query(limit=MOST_EXPERIMENTS)).items
    return [(each.experiment_id, each.name) for each in listed]
