"""Plain-text pages for the terminal."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bakeoff.cli.ledger_page import ledger_page
from bakeoff.cli.run_page import expectations, leaderboard
from bakeoff.cli.tables import table
from bakeoff.cli.terminal import write_text
from bakeoff.config.file import Value
from bakeoff.core.records import Run, Version
from bakeoff.core.types import Json
from bakeoff.results.data import Dataset
from bakeoff.results.outcome import RunOutcome

if TYPE_CHECKING:
    from bakeoff.actions.advice import Advice
    from bakeoff.actions.advise_facts import DataFacts
    from bakeoff.actions.doctor import Diagnosis
    from bakeoff.core.damage import Damage
    from bakeoff.loop.retrain import LoopTurn
    from bakeoff.metrics.intervals import Interval
    from bakeoff.monitor.signals import MonitorReport
    from bakeoff.report.checks import ModelCheck
    from bakeoff.report.model import Report as RunReport
    from bakeoff.results.search import PastAdvice

__all__ = [
    "advice_page",
    "answers_page",
    "check_page",
    "checks_page",
    "damages_page",
    "feedback_page",
    "markdown_report",
    "models_page",
    "runs_page",
    "settings_page",
    "signals_page",
    "status_page",
    "turn_json",
    "turn_page",
    "write_report",
]

Doc = Mapping[str, Any]
MOST_WARNINGS = 10


def advice_page(advice: "Advice") -> str:
    """What to try: the data and machine in two lines, each option with predictions and reasons, then what happened."""
    machine, metric = advice.hardware, advice.metric
    gpus = ", ".join(machine.gpus) or "no GPU"
    shown = [(option, expected) for option in advice.options if (expected := option.expected(metric))]
    heads = ["", "candidate", metric, "", "train s", "", "p95 ms", "$ / 1k", "MB", "memory MB"]
    rows = [[option.call, option.name, *_expected(expected, metric)] for option, expected in shown]
    parts = [
        f"{advice.project}: {_data(advice.data)}",
        f"machine: {machine.cores} cores, {machine.memory_bytes / 2**30:.0f} GiB, {gpus}",
        f"rows {'may' if advice.remote_allowed else 'must not'} be sent to services on other machines",
        "",
        f"expected of a run on {advice.rows:,} rows, from a probe of {advice.probe_s:g} s:",
        "",
        table(heads, rows) if rows else "nothing could be measured",
    ]
    if advice.run:
        seconds, memory = advice.run.seconds, advice.run.memory_bytes.value / 1e6
        parts += ["", f"the whole run: about {seconds.value:.0f} s {seconds.ends('.0f')}, {memory:,.0f} MB"]
    parts += _past(advice.past)
    for option in advice.options:
        added = "" if option.named else f"; to try it: [candidates.{option.family}]"
        parts += ["", f"{option.name}: {option.call}{added}"]
        parts += [f"  because {reason}" for reason in option.reasons]
        parts += [f"  would change: {each}" for each in option.evidence]
    return "\n".join(parts + expectations(advice.compared))


def _past(past: "Sequence[PastAdvice]") -> list[str]:
    """How good earlier advice was."""
    if not past:
        return []
    shares = ", ".join(
        f"{each.quantity} {each.inside} of {each.pairs}" + (f" (off by {each.factor:.2f} times)" if each.factor else "")
        for each in past
    )
    return ["", f"earlier advice held (measured inside the interval): {shares}; predictions are corrected by it"]


def _expected(expected: "Mapping[str, Interval]", metric: str) -> list[str]:
    """The metric and the training time with their intervals, and the other figures."""
    quality, train = expected.get(metric), expected["train_s"]
    mega = 1e-6
    return [
        "?" if quality is None else f"{quality.value:.4f}",
        "" if quality is None else f"{quality.least:.4f} – {quality.most:.4f}",
        f"{train.value:.1f}",
        f"{train.least:.1f} – {train.most:.1f}",
        f"{expected['latency_p95_ms'].value:.2f}",
        f"{expected['cost_usd_per_1k'].value:.6f}",
        f"{expected['size_bytes'].value * mega:.1f}",
        f"{expected['memory_bytes'].value * mega:.0f}",
    ]


def _data(data: "DataFacts") -> str:
    """The training rows in a line."""
    from bakeoff.actions.advise_facts import LabelCounts

    parts = [f"{data.rows:,} training rows ({data.test:,} test rows are left alone)"]
    if isinstance(data.label, LabelCounts):
        parts.append(f"{data.label.classes} classes, the rarest {data.label.rarest_share:.1%}")
    parts += [f"{len(names)} {kind}" for kind, names in data.inputs.items()]
    parts += [f"{name}: {text.words_p50:,} words (median)" for name, text in data.texts.items()]
    if data.languages is not None and not isinstance(data.languages, str):
        parts.append(" ".join(f"{name} {share:.0%}" for name, share in data.languages.items()))
    return "; ".join(parts)


def check_page(found: "ModelCheck") -> str:
    """What a check found: each gate, then the outcome."""
    mark = {"passed": "ok", "failed": "FAILED", "not comparable": "–"}
    rows = [[mark[check.outcome], check.name, check.told] for check in found.checks]
    against = f" against champion {found.champion}" if found.champion else ""
    parts = [f"{found.project}: {found.model}{against}", "", table(["", "gate", "found"], rows) if rows else "no gates"]
    parts += ["", *found.notes]
    parts.append("passed" if found.passed else f"failed: {'; '.join(found.failing)}")
    return "\n".join(parts)


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
        lines += ["", leaderboard(RunOutcome.from_json(last))]
    for signal in found["signals"] or ():
        lines.append(_signal_line(signal))
    return "\n".join(lines)


def signals_page(report: "MonitorReport") -> str:
    """A monitoring report."""
    found: Doc = msgspec.to_builtins(report)
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


def turn_page(turn: "LoopTurn") -> str:
    """One turn of the loop."""
    parts = [signals_page(turn.report)] if turn.report else [f"not monitored: {turn.unwatched}"]
    parts += [f"trigger {trigger.kind}: {trigger.reason}" for trigger in turn.triggers]
    parts += [] if turn.cycle is None else [turn.cycle.headline, f"  {turn.cycle.last.sentence}"]
    if turn.outcome is None:
        parts += [] if turn.cycle else ["no trigger fired: nothing was done"]
        parts += [f"not released: {turn.blocked}"] if turn.blocked else []
    else:
        parts += [_joined(turn.taken_in, turn.outcome.results.dataset), "", leaderboard(turn.outcome.results)]
    return "\n".join(parts)


def _joined(taken_in: int, data: Dataset) -> str:
    """How many labelled rows are new, and how many of all are in the data."""
    aside = [f"{rows:,} {why}" for why, rows in data.set_aside.items() if why.startswith("feedback")]
    in_data = f"{taken_in:,} new labelled rows; {data.from_feedback:,} of all are in the data"
    return in_data + (f" (set aside: {', '.join(aside)})" if aside else "")


def turn_json(turn: "LoopTurn") -> dict[str, Json]:
    """One turn of the loop as JSON."""
    return {
        "report": msgspec.to_builtins(turn.report),
        "triggers": msgspec.to_builtins(turn.triggers),
        "taken_in": turn.taken_in,
        "blocked": turn.blocked,
        "unwatched": turn.unwatched,
        "run": turn.outcome.results.to_json() if turn.outcome else None,
        "cycle": turn.cycle.to_json() if turn.cycle else None,
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
    """Model versions, one a line; beside its aliases the stage of one that has any, such as "Archived"."""
    rows = [
        [
            f"{v.name}/{v.number}",
            v.tags.get("candidate", ""),
            v.tags.get("family", ""),
            ", ".join([*v.aliases, *([] if v.stage == "None" else [v.stage.lower()])]),
            _time(v.created_ms),
            v.run_id or "",
        ]
        for v in versions
    ]
    return table(["version", "candidate", "family", "aliases", "registered", "run"], rows)


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


def checks_page(diagnosis: "Diagnosis") -> str:
    """Checks, one a line."""
    rows = [["ok" if each.ok else "PROBLEM", each.name, each.message] for each in diagnosis.checks]
    return table(["", "check", "found"], rows)


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _span(run: Run) -> str:
    return "" if run.end_ms is None else f"{(run.end_ms - run.start_ms) / 1000:.1f} s"
