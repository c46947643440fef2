"""Signals for Prometheus and Grafana: the text of what there is, a dashboard, and rules of alerts, as files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bakeoff.monitor.signals import SIGNAL_NAMES, MonitorReport

__all__ = ["dashboard", "exposition", "rules", "write"]

_METRICS = (
    ("bakeoff_signal_value", "Value of a signal of monitoring."),
    ("bakeoff_signal_limit", "Limit over which the signal is an alert."),
    ("bakeoff_signal_alert", "Whether the signal is over its limit, surely."),
    ("bakeoff_signal_rows", "Rows that the signal rests on."),
    ("bakeoff_drift_psi", "PSI of the columns that moved most."),
    ("bakeoff_monitor_time_seconds", "End of the window that was looked at, since 1970."),
)
_UNITS = {"latency": "ms", "errors": "percentunit", "contract": "percentunit", "cost": "currencyUSD", "volume": "short"}
STALE_S = 2 * 3600


def exposition(reports: Sequence[MonitorReport]) -> str:
    """The newest report of each endpoint in Prometheus' text format (version 0.0.4)."""
    lines: list[str] = []
    for name, about in _METRICS:
        lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
        lines += [line for report in reports for line in _series(name, report)]
    return "\n".join(lines) + "\n"


def _series(metric: str, report: MonitorReport) -> Iterator[str]:
    endpoint = f'endpoint="{_escaped(report.endpoint)}"'
    if metric == "bakeoff_monitor_time_seconds":
        yield f"{metric}{{{endpoint}}} {report.until_ms / 1000:.3f}"
        return
    for signal in report.signals:
        labels = f'{endpoint},signal="{signal.name}"'
        numbers = {
            "bakeoff_signal_value": signal.value,
            "bakeoff_signal_limit": signal.limit,
            "bakeoff_signal_alert": float(signal.alert),
            "bakeoff_signal_rows": float(signal.rows),
        }
        if metric in numbers and (number := numbers[metric]) is not None:
            yield f"{metric}{{{labels}}} {number:.9g}"
        columns = signal.detail.get("columns")
        if metric == "bakeoff_drift_psi" and signal.name == "drift" and isinstance(columns, dict):
            for column, psi in columns.items():
                yield f'{metric}{{{endpoint},column="{_escaped(str(column))}"}} {float(str(psi)):.9g}'


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def dashboard() -> dict[str, Any]:
    """A dashboard for Grafana (schema 39) with a panel for each signal, for any endpoint, to be imported as it is."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels: list[dict[str, Any]] = []

    def panel(title: str, queries: dict[str, str], unit: str, *, kind: str = "timeseries") -> None:
        at = len(panels)
        panels.append(
            {
                "id": at + 1,
                "title": title,
                "type": kind,
                "datasource": source,
                "gridPos": {"h": 8, "w": 8, "x": 8 * (at % 3), "y": 8 * (at // 3)},
                "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
                "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if kind == "timeseries" else {},
                "targets": [
                    {"refId": chr(65 + at), "expr": query, "legendFormat": legend, "datasource": source}
                    for at, (legend, query) in enumerate(queries.items())
                ],
            }
        )

    chosen = 'endpoint=~"$endpoint"'
    panel(
        "signals over their limits",
        {"{{endpoint}} {{signal}}": f"bakeoff_signal_alert{{{chosen}}} > 0"},
        "short",
        kind="stat",
    )
    for name in SIGNAL_NAMES:
        of_signal = f'{{{chosen},signal="{name}"}}'
        queries = {"{{endpoint}}": f"bakeoff_signal_value{of_signal}", "limit": f"max(bakeoff_signal_limit{of_signal})"}
        panel(name, queries, _UNITS.get(name, "none"))
    panel("PSI by column", {"{{column}}": f"bakeoff_drift_psi{{{chosen}}}"}, "none")
    endpoints = "label_values(bakeoff_signal_value, endpoint)"
    return {
        "title": "bakeoff: signals",
        "uid": "bakeoff-signals",
        "schemaVersion": 39,
        "version": 1,
        "tags": ["bakeoff"],
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "5m",
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
                {
                    "name": "endpoint",
                    "type": "query",
                    "datasource": source,
                    "query": {"query": endpoints, "refId": "endpoints"},
                    "definition": endpoints,
                    "includeAll": True,
                    "multi": True,
                    "current": {"text": "All", "value": "$__all"},
                    "refresh": 2,
                },
            ]
        },
        "panels": panels,
    }


def rules() -> dict[str, Any]:
    """Prometheus' rules of alerts: one for each signal, and one for when nobody looks."""
    made: list[dict[str, Any]] = [
        {
            "alert": f"Bakeoff{name.capitalize()}",
            "expr": f'bakeoff_signal_alert{{signal="{name}"}} > 0',
            "for": "5m",
            "labels": {"severity": "critical" if name in {"errors", "quality"} else "warning"},
            "annotations": {
                "summary": f"{{{{ $labels.endpoint }}}}: {name} is over its limit",
                "description": "'bakeoff monitor' says what moved, and by how much.",
            },
        }
        for name in (
            "latency",
            "errors",
            "contract",
            "drift",
            "quality",
            "slices",
            "joint",
            "answers",
            "language",
            "meaning",
        )
    ]
    made.append(
        {
            "alert": "BakeoffNotMonitored",
            "expr": f"time() - bakeoff_monitor_time_seconds > {STALE_S}",
            "for": "15m",
            "labels": {"severity": "warning"},
            "annotations": {"summary": "{{ $labels.endpoint }}: nobody has looked for two hours"},
        }
    )
    return {"groups": [{"name": "bakeoff", "rules": made}]}


def write(folder: Path) -> tuple[Path, ...]:
    """Write the dashboard and the rules; rules are JSON, which is YAML, too."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"grafana-dashboard.json": dashboard(), "prometheus-rules.yml": rules()}
    for name, body in files.items():
        (folder / name).write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    return tuple(folder / name for name in files)
