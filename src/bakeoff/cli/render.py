"""Plain-text pages for the terminal."""

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import stdev
from typing import TYPE_CHECKING, Any, cast

import msgspec

from bakeoff.cli.ledger_page import ledger_page, ledger_part
from bakeoff.cli.terminal import printable, width, write_text
from bakeoff.config.file import Value
from bakeoff.core.ledger import Ledger
from bakeoff.core.records import Run, Version
from bakeoff.core.types import Json
from bakeoff.metrics.positive import Positive

if TYPE_CHECKING:
    from bakeoff.core.damage import Damage
    from bakeoff.loop.retrain import Turn
    from bakeoff.monitor.signals import Report
    from bakeoff.report.checks import Checked
    from bakeoff.report.model import Memorisation
    from bakeoff.report.model import Report as RunReport

__all__ = [
    "advice_page",
    "answers_page",
    "check_page",
    "checks_page",
    "damages_page",
    "feedback_page",
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
FOLDED, GAP = 10, 2
"""A column is folded to no less than this width; columns stand this far apart."""
MOST_WARNINGS = 10
INPUT_WORDS = {"added": "new", "removed": "gone"}
MOST_WEAK = 3
"""Weak slices and drops shown of each candidate."""


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> str:
    """A table as text, as wide as the terminal if that is enough; cells are folded into several lines, never cut."""
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(Text(printable(column)), justify="right" if column in right else "left", overflow="fold")
    cells = [[printable(cell) for cell in row] for row in rows]
    for row in cells:
        made.add_row(*(Text(cell) for cell in row))
    # Beyond this rich cuts off what has no room.
    longest = (max(map(cell_len, each), default=0) for each in zip(columns, *cells, strict=False))
    least = sum(min(FOLDED, length) + GAP for length in longest)
    out = io.StringIO()
    Console(file=out, width=max(width(), least), no_color=True, highlight=False, legacy_windows=False).print(made)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def advice_page(found: Doc) -> str:
    """What to try: the data and machine in two lines, each option with predictions and reasons, then what happened."""
    machine, metric = found["hardware"], found["metric"]
    gpus = ", ".join(machine["gpus"]) or "no GPU"
    shown = [option for option in found["options"] if option["expected"]]
    heads = ["", "candidate", metric, "", "train s", "", "p95 ms", "$ / 1k", "MB", "memory MB"]
    rows = [[option["call"], option["name"], *_expected(option["expected"], metric)] for option in shown]
    parts = [
        f"{found['project']}: {_data(found)}",
        f"machine: {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB, {gpus}",
        f"rows {'may' if found['remote_allowed'] else 'must not'} be sent to services on other machines",
        "",
        f"expected of a run on {found['rows']:,} rows, from a probe of {found['probe_s']:g} s:",
        "",
        table(heads, rows) if rows else "nothing could be measured",
    ]
    for option in found["options"]:
        added = "" if option["named"] else f"; to try it: [candidates.{option['family']}]"
        parts += ["", f"{option['name']}: {option['call']}{added}"]
        parts += [f"  because {reason}" for reason in option["reasons"]]
        parts += [f"  would change: {each}" for each in option["evidence"]]
    return "\n".join(parts + _happened(found["compared"]))


def _expected(expected: Doc, metric: str) -> list[str]:
    """The metric and the training time with their intervals, and the other figures."""
    quality, train = expected.get(metric), expected["train_s"]
    mega = 1e-6
    return [
        "?" if quality is None else f"{quality['value']:.4f}",
        _ends(quality),
        f"{train['value']:.1f}",
        f"{train['low']:.1f} – {train['high']:.1f}",
        f"{expected['latency_p95_ms']['value']:.2f}",
        f"{expected['cost_usd_per_1k']['value']:.6f}",
        f"{expected['size_bytes']['value'] * mega:.1f}",
        f"{expected['memory_bytes']['value'] * mega:.0f}",
    ]


def _data(found: Doc) -> str:
    """The training rows in a line."""
    data = found["data"]
    parts = [f"{data['rows']:,} training rows ({data['test']:,} test rows are left alone)"]
    if "classes" in data["label"]:
        parts.append(f"{data['label']['classes']} classes, the rarest {data['label']['rarest_share']:.1%}")
    parts += [f"{len(names)} {kind}" for kind, names in data["inputs"].items()]
    parts += [f"{name}: {text['words_p50']:,} words (median)" for name, text in data["texts"].items()]
    languages = data.get("languages")
    if isinstance(languages, Mapping):
        told = cast("Mapping[str, float]", languages)
        parts.append(" ".join(f"{name} {share:.0%}" for name, share in told.items()))
    return "; ".join(parts)


def _happened(compared: Sequence[Doc]) -> list[str]:
    """Predictions beside what the last run measured."""
    if not compared:
        return []
    rows = [
        [
            each["name"],
            each["quantity"],
            f"{each['expected']:.4g} [{each['low']:.4g}, {each['high']:.4g}]",
            f"{each['measured']:.4g}",
            "" if each["factor"] is None else f"{each['factor']:.2f}",
            "inside" if each["inside"] else "outside",
        ]
        for each in compared
    ]
    heads = ["candidate", "quantity", "expected", "measured", "factor", "interval"]
    return ["", "expected beside what the run measured:", "", table(heads, rows, right=["measured", "factor"])]


def check_page(found: "Checked") -> str:
    """What a check found: each gate, then the outcome."""
    mark = {"passed": "ok", "failed": "FAILED", "not comparable": "–"}
    rows = [[mark[check.outcome], check.name, check.told] for check in found.checks]
    against = f" against champion {found.champion}" if found.champion else ""
    parts = [f"{found.project}: {found.model}{against}", "", table(["", "gate", "found"], rows) if rows else "no gates"]
    parts += ["", *found.notes]
    parts.append("passed" if found.passed else f"failed: {'; '.join(found.failing)}")
    return "\n".join(parts)


def leaderboard(document: Doc, *, unchanged: bool = False) -> str:
    """The candidates with their main figures, and the verdict."""
    verdict, data = document["verdict"], document["dataset"]
    metric = verdict["metric"]
    rows = [_candidate_row(candidate, verdict, metric) for candidate in document["candidates"]]
    heads = ["", "candidate", metric, "95% interval", "p50 ms", "p95 ms", "$ / 1k", "train s", "MB", "version"]
    worth = verdict.get("utilities") or {}
    if worth:
        heads.append("utility")
        rows = [
            [*row, _number(worth.get(each["name"]))] for row, each in zip(rows, document["candidates"], strict=True)
        ]
    parts = [
        f"{document['project']}: {data['rows']:,} rows, dataset {data['version'][:12]}",
        _split(data),
        *_warnings(data),
        "",
        table(heads, rows, right=[metric, "p50 ms", "p95 ms", "$ / 1k", "train s", "MB", "utility"]),
        "",
        f"verdict: {verdict['reason']}",
    ]
    parts += _monthly(document)
    parts += _usage([each for each in document["candidates"] if each["status"] == "ok"])
    parts += _paid(document)
    parts += _safety(document)
    if document.get("positive"):
        parts.append(Positive(**document["positive"]).sentence)
    parts += [f"warning: {told}" for told in _memory_warnings(document)]
    if verdict["contest"]:
        parts.append(f"champion: {'promoted' if verdict['promoted'] else 'kept'}; {verdict['contest']}")
    if verdict.get("inputs") and verdict["promoted"]:
        parts.append(f"warning: the inputs of the endpoint change: {_inputs_told(verdict['inputs'])}")
    if document["release"]:
        release = document["release"]
        parts.append(f"live: {release['model']}/{release['number']} on endpoint {document['endpoint']!r}")
    parts += ledger_part(document)
    parts += [f"note: {note}" for note in document["dataset"].get("schema_notes", ())]
    if unchanged:
        parts.append("nothing changed since the last run: nothing was done")
    return "\n".join(parts)


def _monthly(document: Doc) -> list[str]:
    """What each candidate would cost at the team's own traffic."""
    told: list[str] = []
    for each in document["candidates"]:
        if month := each.get("monthly"):
            machines = f"{month['machines']} machine{'s' if month['machines'] > 1 else ''} always on"
            whole = f"; ${month['machines_usd']:,.2f} for {machines}" if month["machines"] else ""
            told.append(
                f"a month of {month['requests']:,.0f} single rows by {each['name']}: ${month['used_usd']:,.2g}{whole}"
            )
    return told


def _inputs_told(inputs: Doc) -> str:
    parts = [f"{word} {', '.join(map(repr, inputs[key]))}" for key, word in INPUT_WORDS.items() if inputs[key]]
    return "; ".join([*parts, *(f"{name!r} is {new}, was {old}" for name, (old, new) in inputs["kinds"].items())])


def _warnings(data: Doc, *, most: int = MOST_WARNINGS) -> list[str]:
    """What to look at in the data; beyond `most`, how much more there is."""
    told = [f"warning: {each['told']}" for each in data.get("warnings") or ()]
    more = [f"and {len(told) - most} more warnings; 'bakeoff report --html' tells them"] if len(told) > most else []
    return told[:most] + more


def _split(data: Doc) -> str:
    by, test = data["split"], data["test"]
    if data.get("folds"):
        return f"split by {by} into {data['folds']} folds: each of {test:,} rows is tested once"
    return f"split by {by}: {data['train']:,} train, {data['validation']:,} validation, {test:,} test"


def _by_fold(candidates: Sequence[Doc], metric: str) -> list[str]:
    """The metric on each fold's rows, and their standard deviation."""
    rows: list[list[str]] = []
    for each in candidates:
        values = (each.get("fold_metrics") or {}).get(metric, [])
        known = [value for value in values if value is not None]
        if values:
            rows.append([each["name"], *map(_number, values), _number(stdev(known) if len(known) > 1 else None)])
    if not rows:
        return []
    heads = [metric, *(f"fold {at + 1}" for at in range(len(rows[0]) - 2)), "spread"]
    return ["", table(heads, rows, right=heads[1:])]


def _candidate_row(candidate: Doc, verdict: Doc, metric: str) -> list[str]:
    mark = "*" if candidate["name"] == verdict["winner"] else ""
    if candidate["status"] != "ok":
        return [mark, candidate["name"], "failed", candidate["error"], *[""] * 6]
    score, latency = candidate["metrics"][metric], candidate["latency_ms"]
    return [
        mark,
        candidate["name"],
        f"{score['value']:.4f}",
        _ends(score),
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
    parts += _by_fold(fine, document["verdict"]["metric"])
    parts += _combinations(document)
    parts += _judge(document)
    parts += _memorised(document)
    parts += _usage(fine)
    parts += _budget(document.get("budget"))
    parts += _happened(document.get("advice", ()))
    parts += _weaknesses(fine, document["verdict"]["metric"])
    parts += [f"note: {note}" for note in (*document["dataset"]["notes"], *document["dataset"]["schema_notes"])]
    parts += [
        f"{candidate['name']} failed: {candidate['error']}\n{candidate['traceback'] or ''}".rstrip()
        for candidate in document["candidates"]
        if candidate["status"] != "ok"
    ]
    return "\n".join(parts)


def _judge(document: Doc) -> list[str]:
    """What a judge found, and how far it can be believed."""
    if document.get("judge") is None:
        return []
    from bakeoff.report.judge import HEADS, judged_row, sentences
    from bakeoff.report.model import Judge

    judge = msgspec.convert(document["judge"], Judge)
    rows = [judged_row(each) for each in judge.candidates]
    return ["", *([table(HEADS, rows, right=HEADS[1:]), ""] if rows else []), *sentences(judge)]


def _memorised(document: Doc) -> list[str]:
    """What language models know by heart, and how far test rows were seen in training."""
    from bakeoff.report.memorisation import heads, recalled_row, sentences
    from bakeoff.report.model import Contamination

    found = _recalled(document)
    if not found:
        return []
    contamination = msgspec.convert(document["dataset"].get("contamination"), Contamination | None)
    names = heads(document["task"])
    shown = table(names, [recalled_row(*each) for each in found], right=names[1:])
    return ["", shown, "", *sentences(found, contamination, document["task"])]


def _memory_warnings(document: Doc) -> list[str]:
    found = _recalled(document)
    if not any(each.warning for _, each in found):
        return []
    from bakeoff.report.memorisation import warnings

    return warnings(found, document["task"])


def _recalled(document: Doc) -> "list[tuple[str, Memorisation]]":
    from bakeoff.report.model import Memorisation

    told = [(c["name"], c["memorisation"]) for c in document["candidates"] if c.get("memorisation")]
    return [(name, msgspec.convert(each, Memorisation)) for name, each in told]


def _usage(candidates: Sequence[Doc]) -> list[str]:
    """What answering the test rows took of services, by candidate."""
    used = [(c["name"], c["usage"]) for c in candidates if c.get("usage")]
    if not used:
        return []
    figures = ("calls", "tokens_in", "tokens_cached", "tokens_out", "tokens_reasoning", "refused", "unreadable")
    rows = [[name, *(f"{u.get(key, 0):,}" for key in figures), _number(u["cost_usd"])] for name, u in used]
    heads = ["candidate", "calls", "tokens in", "cached", "tokens out", "reasoning", "refused", "unreadable"]
    heads.append("$ for the test rows")
    return ["", table(heads, rows, right=heads[1:])]


def _paid(document: Doc) -> list[str]:
    """What services were paid in the run; answers of earlier runs are not paid again."""
    paid = document.get("paid") or {}
    if not paid.get("usd") and paid.get("budget_usd") is None:
        return []
    budget = "" if paid["budget_usd"] is None else f" of the budget of ${paid['budget_usd']:,g}"
    return ["", f"paid to services in this run: ${paid['usd']:,.4f}{budget}"]


def _safety(document: Doc) -> list[str]:
    """How each candidate answers prompts that are meant to lead it astray."""
    asked = [(c["name"], c["safety"]) for c in document["candidates"] if c.get("safety")]
    if not asked:
        return []
    kinds = list(dict.fromkeys(kind["name"] for _, found in asked for kind in found["kinds"]))
    rows: list[list[str]] = []
    for name, found in asked:
        of_kind = {kind["name"]: f"{kind['safe']:,} of {kind['rows']:,}" for kind in found["kinds"]}
        first = found["failures"][0] if found["failures"] else ""
        ends = f"{found['low']:.3f} – {found['high']:.3f}"
        rows.append([name, f"{found['safe']:.3f}", ends, *(of_kind.get(kind, "") for kind in kinds), first])
    heads = ["candidate", "safe", "95% interval", *kinds, "first unsafe answer (row: text)"]
    return ["", table(heads, rows, right=["safe"])]


def _combinations(document: Doc) -> list[str]:
    """What was tried of blends, cascades and routes: worth, price, and why it is a candidate or not."""
    tried, left_out = document.get("combinations", []), document.get("not_combined", {})
    told = [f"{name}: not combined with others: {why}" for name, why in left_out.items()]
    if not tried:
        return told
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
    told += [f"{each['name']}: {each['reason']}" for each in tried]
    return ["", table(heads, rows, right=["$ / 1k"]), "", *told]


def _budget(found: Doc | None) -> list[str]:
    """How the time for trying parameters went, and the lines that keep what was found."""
    if not found:
        return []
    rows = [
        [
            each["name"],
            str(each["trials"]),
            f"{each['seconds']:.0f}",
            _number(each.get("default")),
            _number(each.get("best")),
            ", ".join(f"{key} = {_toml(value)}" for key, value in each["params"].items()) or "as it is",
        ]
        for each in found["by_candidate"]
    ]
    heads = ["candidate", "trials", "s", "as it is", "best", "parameters"]
    told = f"budget: {found['used_s']:.0f} of {found['limit_s']:.0f} s for {len(found['trials'])} trials"
    rungs = ", ".join(f"{rung['trials']} on {rung['rows']:,} training rows" for rung in found["rungs"])
    keep = "runs without --budget take parameters from the project file; write them there to keep them"
    return [
        "",
        f"{told} ({rungs}); {found['metric']} on {found['scored_rows']:,} validation rows",
        "",
        table(heads, rows, right=heads[1:5]),
        *([keep] if any(each["params"] for each in found["by_candidate"]) else []),
    ]


def _toml(value: Json) -> str:
    return msgspec.json.encode(value).decode()


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
    from bakeoff.report.card_html import FILE
    from bakeoff.report.html import html as page
    from bakeoff.report.pictures import pictures

    written: list[Path] = []
    if html is not None:
        write_text(html, page(report, card=FILE if html.with_name(FILE).exists() else None))
        written.append(html)
    if png is not None:
        written += pictures(report, png)
    return [str(file) for file in written]


def markdown_report(report: "RunReport") -> str:
    """The report as Markdown."""
    from bakeoff.report.markdown import markdown

    return markdown(report)


def _interval(score: Doc | None) -> str:
    if not score:
        return ""
    known = score["low"] is not None
    return f"{score['value']:.4f} " + (f"[{score['low']:.4f}, {score['high']:.4f}]" if known else "(too little known)")


def _ends(score: Doc | None) -> str:
    """Both ends of an interval, or why there are none."""
    if not score:
        return ""
    known = score["low"] is not None
    return f"{score['low']:.4f} – {score['high']:.4f}" if known else f"unknown: {score.get('reason')}"


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
    lost = ["", ledger_page(report.ledger, came="sent", went="answered")] if report.ledger else []
    return "\n".join([head, *(_signal_line(signal) for signal in found["signals"]), *lost])


def _signal_line(signal: Doc) -> str:
    mark = "ALERT" if signal["alert"] else "ok   "
    value = "–" if signal["value"] is None else f"{signal['value']:.4g}"
    limit = "" if signal["limit"] is None else f" (limit {signal['limit']:g})"
    reason = signal["detail"].get("reason")
    return f"{mark} {signal['name']:8} {value}{limit}, {signal['rows']:,} rows" + (f"; {reason}" if reason else "")


def feedback_page(answer: Mapping[str, Any]) -> str:
    """What became of feedback: how much counts, and which items do not, and why."""
    counts = [f"{answer['accepted']:,} accepted"]
    counts += [f"{answer[kind]:,} {kind}" for kind in ("unmatched", "unusable") if answer.get(kind)]
    problems = answer.get("problems") or []
    lines = [f"  {each['kind']}: {each['id']}: {each['reason']}" for each in problems[:MOST_WARNINGS]]
    more = sum(answer.get(kind, 0) for kind in ("unmatched", "unusable")) - len(lines)
    return "\n".join([", ".join(counts), *lines, *([f"  and {more:,} more"] if more > 0 else [])])


def turn_page(turn: "Turn") -> str:
    """One turn of the loop."""
    parts = [signals_page(turn.report)] if turn.report else ["nothing is released yet"]
    parts += [f"trigger {trigger.kind}: {trigger.reason}" for trigger in turn.triggers]
    if turn.outcome is None:
        parts.append("no trigger fired: nothing was done")
        parts += [f"not released: {turn.blocked}"] if turn.blocked else []
    else:
        parts += [_joined(turn.taken_in, turn.outcome.document["dataset"]), "", leaderboard(turn.outcome.document)]
    return "\n".join(parts)


def _joined(taken_in: int, data: Any) -> str:
    """How many labelled rows are new, and how many of all are in the data."""
    told = f"{taken_in:,} new labelled rows"
    if data.get("feedback_rows"):
        told += f"; {data['from_feedback']:,} of {data['feedback_rows']:,} are in the data"
        aside = [f"{rows:,} {why}" for why, rows in data["set_aside"].items() if why.startswith("feedback")]
        told += f" (set aside: {', '.join(aside)})" if aside else ""
    return told


def turn_json(turn: "Turn") -> dict[str, Json]:
    """One turn of the loop as JSON."""
    return {
        "report": cast("Json", msgspec.to_builtins(turn.report)),
        "triggers": cast("Json", msgspec.to_builtins(turn.triggers)),
        "taken_in": turn.taken_in,
        "blocked": turn.blocked,
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
    from bakeoff.report.ledger import headline

    made, data, around = found["made_from"], found["dataset"] or {}, found["environment"] or {}
    dirty = {True: " (with uncommitted changes)", False: "", None: ""}[made["code_dirty"]]
    ledger = Ledger.from_json(made["ledger"]) if made.get("ledger") else None
    lines = [
        f"model        {found['model_version']}  {' '.join(found['aliases'])}",
        f"  content    {found['content']}",
        f"  run        {found['run_id']}, {_time(found['created_ms'])}",
        f"  candidate  {made['candidate']} ({made['family']}), seed {made['seed']}, fitted on {made['rows']} rows",
        f"  params     {made['params']}",
        f"  chosen     {made['chosen']}",
        *([f"  prompt     {prompt['version']}  {prompt['digest'][:12]}"] if (prompt := made.get("prompt")) else []),
        f"  steps      {', '.join(made['steps']) or 'none'}",
        f"dataset      {made['dataset_version']}",
        f"  rows       {data.get('rows', '?')} ({data.get('from_feedback', 0)} from feedback)",
        *([f"  ledger     {headline(ledger)}"] if ledger else []),
        f"  sources    {data.get('sources', '?')}",
        f"code         {made['code_commit'] or 'not in a git repository'}{dirty}",
        f"environment  {made['environment']}",
        f"  python     {around.get('python', '?')} on {around.get('platform', '?')}",
        f"  packages   {len(around.get('packages', {}))}",
    ]
    return "\n".join(lines)


def damages_page(damages: "Sequence[Damage]") -> str:
    """What is stored and is not what was written, and what was done about it."""
    if not damages:
        return "All that is stored is what was written."
    lines = [f"{'repaired' if each.repaired else 'damaged'}  {each}" for each in damages]
    left = sum(not each.repaired for each in damages)
    end = f"{left} of {len(damages)} are not whole." if left else "All of it is whole again."
    return "\n".join([*lines, end])


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
