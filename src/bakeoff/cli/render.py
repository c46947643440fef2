"""Plain-text pages for the terminal."""

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.core.config import Value
from bakeoff.core.records import Run, Version
from bakeoff.core.types import Json

if TYPE_CHECKING:
    from bakeoff.loop.watching import Turn
    from bakeoff.monitor.signals import Report
    from bakeoff.report.model import Report as RunReport

__all__ = [
    "answers_page",
    "checks_page",
    "full_report",
    "leaderboard",
    "lineage_page",
    "markdown_report",
    "models_page",
    "runs_page",
    "settings_page",
    "signals_page",
    "status_page",
    "table",
    "turn_json",
    "turn_page",
    "write_report",
]

Doc = Mapping[str, Any]
WIDTH = 120
MOST_WEAK = 3
"""Weak slices and drops shown of each candidate."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> str:
    """A table as text, as wide as it needs to be."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    out = io.StringIO()
    Console(file=out, width=WIDTH, no_color=True, highlight=False).print(made)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def leaderboard(document: Doc, *, unchanged: bool = False) -> str:
    """The candidates with their main figures, and the verdict."""
    verdict, data = document["verdict"], document["dataset"]
    metric = verdict["metric"]
    rows = [_candidate_row(candidate, verdict, metric) for candidate in document["candidates"]]
    heads = ["", "candidate", metric, "95% interval", "p50 ms", "p95 ms", "$ / 1k", "train s", "MB", "version"]
    parts = [
        f"{document['project']}: {data['rows']:,} rows, dataset {data['version'][:12]}",
        f"split by {data['split']}: {data['train']:,} train, {data['validation']:,} validation, {data['test']:,} test",
        "",
        table(heads, rows, right=[metric, "p50 ms", "p95 ms", "$ / 1k", "train s", "MB"]),
        "",
        f"verdict: {verdict['reason']}",
    ]
    if verdict["contest"]:
        parts.append(f"champion: {'promoted' if verdict['promoted'] else 'kept'}; {verdict['contest']}")
    if document["release"]:
        release = document["release"]
        parts.append(f"live: {release['model']}/{release['number']} on endpoint {document['endpoint']!r}")
    if unchanged:
        parts.append("nothing changed since the last run: nothing was done")
    return "\n".join(parts)


def _candidate_row(candidate: Doc, verdict: Doc, metric: str) -> list[str]:
    mark = "*" if candidate["name"] == verdict["winner"] else ""
    if candidate["status"] != "ok":
        return [mark, candidate["name"], "failed", candidate["error"], *[""] * 6]
    score, latency = candidate["metrics"][metric], candidate["latency_ms"]
    return [
        mark,
        candidate["name"],
        f"{score['value']:.4f}",
        f"{score['low']:.4f} – {score['high']:.4f}",
        f"{latency['p50']:.2f}",
        f"{latency['p95']:.2f}",
        f"{candidate['cost_usd_per_1k']:.6f}",
        f"{candidate['train_s']:.1f}",
        f"{candidate['size_bytes'] / 1e6:.1f}",
        candidate["model_version"] or "",
    ]


def full_report(document: Doc) -> str:
    """The leaderboard, then every metric of every candidate, gates, and what data reading found."""
    fine = [candidate for candidate in document["candidates"] if candidate["status"] == "ok"]
    names = list(dict.fromkeys(name for candidate in fine for name in candidate["metrics"]))
    rows = [[name, *(_interval(candidate["metrics"].get(name)) for candidate in fine)] for name in names]
    parts = [leaderboard(document), "", table(["metric", *(candidate["name"] for candidate in fine)], rows)]
    gates = document["verdict"]["gates"]
    if gates:
        told = [
            [g["candidate"], g["metric"], _limits(g), _number(g["value"]), "passed" if g["passed"] else "FAILED"]
            for g in gates
        ]
        parts += ["", table(["candidate", "gate", "limit", "value", "outcome"], told)]
    parts += _combinations(document)
    parts += _weaknesses(fine, document["verdict"]["metric"])
    parts += [f"note: {note}" for note in (*document["dataset"]["notes"], *document["dataset"]["schema_notes"])]
    parts += [
        f"{candidate['name']} failed: {candidate['error']}\n{candidate['traceback'] or ''}".rstrip()
        for candidate in document["candidates"]
        if candidate["status"] != "ok"
    ]
    return "\n".join(parts)


def _combinations(document: Doc) -> list[str]:
    """What was tried of blends, cascades and routes: worth, price, and why it is a candidate or not."""
    tried = document.get("combinations", [])
    if not tried:
        return []
    metric = document["verdict"]["metric"]
    rows = [
        [
            "+" if each["entered"] else "",
            each["name"],
            _interval(each["quality"]),
            _number(each["cost_usd_per_1k"]),
            " ".join(f"{share:.0%}" for share in each["shares"]),
        ]
        for each in tried
    ]
    heads = ["", "combination", metric, "$ / 1k", "rows that reach each"]
    return ["", table(heads, rows, right=["$ / 1k"]), "", *(f"{each['name']}: {each['reason']}" for each in tried)]


def _weaknesses(candidates: Sequence[Doc], metric: str) -> list[str]:
    """The weakest slices and the largest drops under changed inputs, a few of each candidate."""
    weak = [
        [c["name"], s["slice"], f"{s['rows']:,}", _interval(s), f"{s['rest']:.4f}", f"{s['p_value']:.3f}"]
        for c in candidates
        for s in c.get("weak_slices", ())[:MOST_WEAK]
    ]
    drops = [
        [c["name"], d["told"], f"{d['drop']:+.4f} [{d['low']:+.4f}, {d['high']:+.4f}]", f"{d['rows']:,}"]
        for c in candidates
        for d in sorted(c.get("robustness", ()), key=lambda d: -d.get("drop", 0.0))[:MOST_WEAK]
        if d.get("drop", 0.0) > 0
    ]
    parts: list[str] = []
    if weak:
        heads = ["candidate", "weak slice", "rows", f"{metric} there", "elsewhere", "p"]
        parts += ["", table(heads, weak, right=["rows", "elsewhere", "p"])]
    if drops:
        parts += ["", table(["candidate", "changed input", f"{metric} lost", "rows"], drops, right=["rows"])]
    return parts


def write_report(report: "RunReport", *, html: Path | None, png: Path | None) -> list[str]:
    """Write the page and the pictures that are asked for; the files."""
    from bakeoff.core.errors import StoreError
    from bakeoff.report.html import html as page
    from bakeoff.report.pictures import pictures

    written: list[Path] = []
    if html is not None:
        text = page(report)
        try:
            html.write_text(text, encoding="utf-8")
        except OSError as error:
            raise StoreError(f"expected a file for the report, could not write {str(html)!r}: {error}") from error
        written.append(html)
    if png is not None:
        written += pictures(report, png)
    return [str(file) for file in written]


def markdown_report(report: "RunReport") -> str:
    """The report as Markdown."""
    from bakeoff.report.markdown import markdown

    return markdown(report)


def _interval(score: Doc | None) -> str:
    return f"{score['value']:.4f} [{score['low']:.4f}, {score['high']:.4f}]" if score else ""


def _limits(gate: Doc) -> str:
    low, high = gate.get("min"), gate.get("max")
    return " and ".join([*([f"≥ {low:g}"] if low is not None else []), *([f"≤ {high:g}"] if high is not None else [])])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def status_page(found: Doc) -> str:
    """The project at a glance."""
    live, last = found["release"], found["last_run"]
    lines = [
        f"project   {found['project']} ({found['task']}) in {found['folder']}",
        f"champion  {found['champion'] or 'none yet'}",
        f"endpoint  {found['endpoint']}: " + (f"{live['model']}/{live['number']}" if live else "nothing released"),
    ]
    if found["newest_run"]:
        lines.append(f"newest    run {found['newest_run']['run_id']} {found['newest_run']['status']}")
    if last:
        lines += ["", leaderboard(last)]
    for signal in found["signals"] or ():
        lines.append(_signal_line(signal))
    return "\n".join(lines)


def signals_page(report: "Report") -> str:
    """A monitoring report."""
    found = cast("Doc", msgspec.to_builtins(report))
    head = f"endpoint {report.endpoint!r}, {_time(report.since_ms)} to {_time(report.until_ms)}"
    return "\n".join([head, *(_signal_line(signal) for signal in found["signals"])])


def _signal_line(signal: Doc) -> str:
    mark = "ALERT" if signal["alert"] else "ok   "
    value = "–" if signal["value"] is None else f"{signal['value']:.4g}"
    limit = "" if signal["limit"] is None else f" (limit {signal['limit']:g})"
    reason = signal["detail"].get("reason")
    return f"{mark} {signal['name']:8} {value}{limit}, {signal['rows']:,} rows" + (f"; {reason}" if reason else "")


def turn_page(turn: "Turn") -> str:
    """One turn of the loop."""
    parts = [signals_page(turn.report)] if turn.report else ["nothing is released yet"]
    parts += [f"trigger {trigger.kind}: {trigger.reason}" for trigger in turn.triggers]
    if turn.outcome is None:
        parts.append("no trigger fired: nothing was done")
    else:
        parts += [f"{turn.taken_in} labelled rows joined the data", "", leaderboard(turn.outcome.document)]
    return "\n".join(parts)


def turn_json(turn: "Turn") -> dict[str, Json]:
    """One turn of the loop as JSON."""
    return {
        "report": cast("Json", msgspec.to_builtins(turn.report)),
        "triggers": cast("Json", msgspec.to_builtins(turn.triggers)),
        "taken_in": turn.taken_in,
        "run": cast("Json", dict(turn.outcome.document)) if turn.outcome else None,
    }


def answers_page(answers: Sequence[Doc]) -> str:
    """Predictions, one a line."""
    rows: list[list[str]] = []
    for answer in answers:
        shares = answer.get("probabilities") or {}
        said = answer.get("label") if answer.get("label") is not None else answer.get("value")
        best = sorted(shares.items(), key=lambda item: -item[1])[:3]
        rows.append([str(said), "  ".join(f"{name} {share:.3f}" for name, share in best), answer["id"]])
    return table(["answer", "probabilities", "prediction id"], rows)


def runs_page(runs: Sequence[Run]) -> str:
    """Runs, one a line."""
    rows = [
        [run.run_id, run.name, run.status, _time(run.start_ms), _span(run), run.tags.get("bakeoff.winner", "")]
        for run in runs
    ]
    return table(["run", "name", "status", "started", "took", "winner"], rows)


def models_page(versions: Sequence[Version]) -> str:
    """Model versions, one a line."""
    rows = [
        [
            f"{v.name}/{v.number}",
            v.tags.get("candidate", ""),
            v.tags.get("family", ""),
            ", ".join(v.aliases),
            _time(v.created_ms),
            v.run_id or "",
        ]
        for v in versions
    ]
    return table(["version", "candidate", "family", "aliases", "registered", "run"], rows)


def lineage_page(found: Doc) -> str:
    """A version and what made it."""
    made, data, around = found["made_from"], found["dataset"] or {}, found["environment"] or {}
    dirty = {True: " (with uncommitted changes)", False: "", None: ""}[made["code_dirty"]]
    lines = [
        f"model        {found['model_version']}  {' '.join(found['aliases'])}",
        f"  content    {found['content']}",
        f"  run        {found['run_id']}, {_time(found['created_ms'])}",
        f"  candidate  {made['candidate']} ({made['family']}), seed {made['seed']}, fitted on {made['rows']} rows",
        f"  params     {made['params']}",
        f"  chosen     {made['chosen']}",
        f"  steps      {', '.join(made['steps']) or 'none'}",
        f"dataset      {made['dataset_version']}",
        f"  rows       {data.get('rows', '?')} ({data.get('from_feedback', 0)} from feedback)",
        f"  sources    {data.get('sources', '?')}",
        f"code         {made['code_commit'] or 'not in a git repository'}{dirty}",
        f"environment  {made['environment']}",
        f"  python     {around.get('python', '?')} on {around.get('platform', '?')}",
        f"  packages   {len(around.get('packages', {}))}",
    ]
    return "\n".join(lines)


def settings_page(settings: Sequence[Value]) -> str:
    """Settings, one a line."""
    rows = [[item.key, msgspec.json.encode(item.value).decode(), item.origin] for item in settings]
    return table(["setting", "value", "from"], rows)


def checks_page(checks: Sequence[tuple[str, bool, str]]) -> str:
    """Checks, one a line."""
    return table(["", "check", "found"], [["ok" if fine else "PROBLEM", what, told] for what, fine, told in checks])


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _span(run: Run) -> str:
    return "" if run.end_ms is None else f"{(run.end_ms - run.start_ms) / 1000:.1f} s"
