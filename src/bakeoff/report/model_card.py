"""The card of a model version: Markdown, HTML, and the folder that Hugging Face shows.

Source: Mitchell et al. (2019), "Model Cards for Model Reporting": intended use, data, metrics, limits.
"""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bakeoff.core.types import Json
from bakeoff.results.scorecard import Scorecard

__all__ = ["ModelCard", "evaluation_results", "front_matter", "to_html", "to_markdown"]

HF_TASKS = {
    "classification": "tabular-classification",
    "regression": "tabular-regression",
    "generation": "text-generation",
}
STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #dfe3e8;text-align:left}"
    "td.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.9em}"
    "@media(prefers-color-scheme:dark){body{color:#e6e9ee;background:#14171b}td,th{border-color:#333a44}}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """All that is told of a model version; `judged_by` says which model answered the test rows."""

    version: str
    project: str
    aliases: tuple[str, ...]
    task: str
    candidate: str
    family: str
    params: Mapping[str, Any]
    chosen: Mapping[str, Any]
    description: str
    intended_use: str
    limits: tuple[str, ...]
    licence: str
    inputs: Mapping[str, str]
    target: str
    classes: tuple[str, ...]
    card: Scorecard | None
    fitted_rows: int
    judged_by: str
    dataset: str
    dataset_version: str
    rows: Mapping[str, int]
    split: str
    sources: tuple[str, ...]
    code: str
    environment: str
    content: str
    run_id: str
    created_ms: int

    @property
    def day(self) -> str:
        """When it was registered."""
        return f"{datetime.fromtimestamp(self.created_ms / 1000, UTC):%Y-%m-%d}"


Rows = Sequence[Sequence[str]]


def _sections(card: ModelCard) -> Iterator[tuple[str, Sequence[str], Sequence[str], Rows]]:
    """Title, paragraphs, heads of a table and its rows."""
    unknown = "Not stated; `[card]` in bakeoff.toml has a place for it."
    yield "Intended use", [card.intended_use or unknown], (), ()
    takes = [["input", name, kind] for name, kind in card.inputs.items()]
    gives = ", ".join(card.classes) if card.classes else {"regression": "a number"}.get(card.task, "a text")
    yield "What it takes and gives", [], ("", "column", "kind"), [*takes, ["output", card.target, gives]]
    parts = ", ".join(f"{card.rows.get(part, 0):,} {part}" for part in ("train", "validation", "test"))
    read = f"{card.rows.get('rows', 0):,} rows, read from {', '.join(card.sources) or 'sources that are not recorded'}"
    data = [
        f"Dataset {card.dataset} (`{card.dataset_version[:12]}`): {read}.",
        f"Split by {card.split or 'what is not recorded'}: {parts}.",
        f"The model was fitted on {card.fitted_rows or 'the training'} rows.",
    ]
    yield "Data", data, (), ()
    yield "Metrics", *_metrics(card)
    yield "Limits", card.limits or [unknown], (), ()
    yield "Licence", [card.licence or unknown], (), ()
    origin = [
        ["run", card.run_id],
        ["candidate", f"{card.candidate} ({card.family})"],
        ["parameters", json.dumps(dict(card.params), ensure_ascii=False, default=str)],
        ["chosen by the fit", json.dumps(dict(card.chosen), ensure_ascii=False, default=str)],
        ["code", card.code],
        ["environment", card.environment],
        ["content (BLAKE3)", card.content],
    ]
    yield "Lineage", [], ("", ""), origin


def _metrics(card: ModelCard) -> tuple[Sequence[str], Sequence[str], Rows]:
    if card.card is None:
        return ["None are recorded."], (), ()
    rows = [
        [name, f"{each.value:.4f}", each.ends() if each.low is not None else "-"]
        for name, each in card.card.metrics.items()
    ]
    tested = f"On {card.card.n_test:,} test rows, answered by {card.judged_by}, with 95% intervals."
    latency = card.card.latency_ms.get("p95")
    more = f" One prediction takes {latency:.2g} ms (95th percentile)." if latency else ""
    return [f"{tested}{more}"], ("metric", "value", "95% interval"), rows


def to_markdown(card: ModelCard) -> str:
    """The card as Markdown."""
    aliases = f" ({', '.join(card.aliases)})" if card.aliases else ""
    lines = [f"# {card.version}{aliases}", "", card.description or f"A model for {card.task}.", ""]
    for title, paragraphs, heads, rows in _sections(card):
        lines += [f"## {title}", ""]
        listed = title == "Limits" and len(paragraphs) > 1
        lines += [f"- {_plain(each)}" if listed else f"{_plain(each)}" for each in paragraphs]
        if rows:
            lines += ["", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
            lines += [f"| {' | '.join(_cell(each) for each in row)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def to_html(card: ModelCard) -> str:
    """The card as one page, without scripts or a network."""
    parts = [
        f"<h1>{html.escape(card.version)}</h1><p>{html.escape(card.description or 'A model for ' + card.task)}</p>"
    ]
    for title, paragraphs, heads, rows in _sections(card):
        parts.append(f"<h2>{title}</h2>" + "".join(f"<p>{html.escape(each)}</p>" for each in paragraphs))
        if rows:
            head = "".join(f"<th>{html.escape(each)}</th>" for each in heads)
            body = "".join(f"<tr>{''.join(f'<td>{html.escape(each)}</td>' for each in row)}</tr>" for row in rows)
            parts.append(f"<table><tr>{head}</tr>{body}</table>")
    title = html.escape(f"Model card of {card.version}")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def front_matter(card: ModelCard) -> str:
    """What Hugging Face reads at the top of a README: licence, tags, results (`model-index`); JSON is YAML, too."""
    metrics: list[Json] = [
        {"type": name, "name": name, "value": each.value}
        for name, each in (card.card.metrics if card.card else {}).items()
    ]
    result: Json = {
        "task": {"type": HF_TASKS.get(card.task, card.task)},
        "dataset": {"name": card.dataset, "type": card.project, "revision": card.dataset_version, "split": "test"},
        "metrics": metrics,
    }
    keys: dict[str, Json] = {
        "license": card.licence or "unknown",
        "library_name": "bakeoff",
        "tags": ["bakeoff", card.task, card.family],
        "model-index": [{"name": card.version, "results": [result]}],
    }
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
    return "\n".join(["---", *lines, "---", ""])


def evaluation_results(card: ModelCard) -> str:
    """The file of `.eval_results`: one entry for each metric, as YAML."""
    entries = [
        {
            "dataset": {"id": card.project, "task_id": name, "revision": card.dataset_version},
            "value": each.value,
            "date": card.day,
            "notes": f"95% interval {each.ends()}; split by {card.split}",
        }
        for name, each in (card.card.metrics if card.card else {}).items()
    ]
    return "".join(f"- {json.dumps(entry, ensure_ascii=False)}\n" for entry in entries)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")
