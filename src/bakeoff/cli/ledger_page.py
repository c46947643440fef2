"""The ledger of losses in the terminal."""

from collections.abc import Mapping
from typing import Any

from bakeoff.cli.terminal import loud
from bakeoff.core.ledger import Ledger

__all__ = ["ledger_page", "ledger_part"]


def ledger_page(ledger: Ledger, *, came: str = "read", went: str = "used") -> str:
    """The headline, what matters in bold and red, and the table; a single line when nothing was lost."""
    from bakeoff.cli.render import table
    from bakeoff.report.ledger import losses_of

    losses = losses_of(ledger, came=came, went=went)
    parts = [loud(f"ledger: {losses.headline}") if losses.alarms or losses.doubts else f"ledger: {losses.headline}"]
    parts += [loud(f"LOST: {alarm}") for alarm in losses.alarms]
    parts += [loud(f"IN DOUBT: {doubt}") for doubt in losses.doubts]
    if losses.lines:
        parts += ["", table(losses.heads, [line.cells for line in losses.lines], right=losses.numbers)]
    return "\n".join(parts + ([losses.chosen] if losses.chosen else []))


def ledger_part(document: Mapping[str, Any]) -> list[str]:
    """The ledger of a run's document, as a part of a page; nothing for runs of versions that kept none."""
    body = document.get("ledger")
    return ["", ledger_page(Ledger.from_json(body))] if body else []
