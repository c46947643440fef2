"""The ledger of losses in the terminal."""

from bakeoff.cli.terminal import loud
from bakeoff.core.ledger import Ledger

__all__ = ["ledger_page", "ledger_part"]


def ledger_page(ledger: Ledger, *, came: str = "read", went: str = "used") -> str:
    """The headline, what matters in bold and red, and the table; a single line when nothing was lost."""
    from bakeoff.cli.tables import table
    from bakeoff.report.ledger import losses_of

    losses = losses_of(ledger, came=came, went=went)
    parts = [loud(f"ledger: {losses.headline}") if losses.alarms or losses.doubts else f"ledger: {losses.headline}"]
    parts += [loud(f"LOST: {alarm}") for alarm in losses.alarms]
    parts += [loud(f"IN DOUBT: {doubt}") for doubt in losses.doubts]
    if losses.lines:
        parts += ["", table(losses.heads, [line.cells for line in losses.lines], right=losses.numbers)]
    return "\n".join(parts + ([losses.chosen] if losses.chosen else []))


def ledger_part(ledger: Ledger | None) -> list[str]:
    """A run's ledger, as a part of a page; nothing for runs of versions that kept none."""
    return ["", ledger_page(ledger)] if ledger else []
