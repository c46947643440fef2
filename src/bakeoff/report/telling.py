"""What the page and the Markdown say alike."""

from bakeoff.report.model import Gate, Report
from bakeoff.report.numbers import limits, number

__all__ = ["gates", "headline"]


def headline(report: Report) -> str:
    """The verdict in a few words."""
    verdict = report.verdict
    if verdict.winner is None:
        return "Nobody wins" + (f"; {verdict.best} leads" if verdict.best else "")
    found = report.leader.metrics.get(verdict.metric) if report.leader else None
    return f"{verdict.winner} wins" + (f" with {verdict.metric} {number(found.value)}" if found else "")


def gates(report: Report) -> list[tuple[str, dict[str, Gate]]]:
    """The gates as a table: each limit with its outcome by candidate."""
    found: dict[str, dict[str, Gate]] = {}
    for gate in report.verdict.gates:
        found.setdefault(f"{gate.metric} {limits(gate.min, gate.max)}", {})[gate.candidate] = gate
    return list(found.items())
