"""The data card as one HTML file, of the same make as the report: no network, light and dark, also on a phone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bakeoff.data.facts import NumberFacts
from bakeoff.report import numbers
from bakeoff.report.card import DataCard
from bakeoff.report.card_charts import MOST_DRAWN, charts
from bakeoff.report.drawing import svg
from bakeoff.report.ledger import losses_of
from bakeoff.report.templates import inline, templates

__all__ = ["FILE", "html"]

FILE = "data-card.html"
"""The name under which the run report looks for it."""
FILTERS = ("count", "cut", "moment", "part", "plain")
UNITS = ("characters", "words", "tokens")
NOTES = 20
WIDTH = 270


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A chart as the page shows it."""

    title: str
    told: str
    svg: Any


def html(card: DataCard) -> str:
    """The whole card as one page.

    Raises:
        MissingExtraError: jinja2 or vl-convert is not installed.
    """
    environment, markup = templates("a data card as HTML", {name: getattr(numbers, name) for name in FILTERS})
    drawn = {
        name: Drawn(title=chart.title, told=chart.told, svg=markup(svg(chart, WIDTH)))
        for name, chart in charts(card).items()
    }
    return environment.get_template("card.html").render(
        card=card,
        losses=losses_of(card.ledger) if card.ledger else None,
        drawn=drawn,
        worded=[each for each in _lengths(card) if each[2] != "characters" and f"{each[0]}-{each[2]}" in drawn],
        shown=card.columns[:MOST_DRAWN],
        most_drawn=MOST_DRAWN,
        in_a_line=numbers.in_a_line,
        lengths=_lengths(card),
        personal=sum(sum(each.counts.values()) for each in card.personal),
        kinds=_kinds(card),
        trouble=bool(card.warnings),
        notes=card.notes[:NOTES],
        more_notes=max(0, len(card.notes) - NOTES),
        contents=_contents(card),
        **inline(markup, "page.css", "card.css"),
    )


def _lengths(card: DataCard) -> list[tuple[int, str, str, NumberFacts]]:
    """Lengths of texts: the column's place and name, the unit, the distribution."""
    found = [(at, column.name, unit, getattr(column, unit)) for at, column in enumerate(card.columns) for unit in UNITS]
    return [(at, name, unit, lengths) for at, name, unit, lengths in found if lengths is not None]


def _kinds(card: DataCard) -> Mapping[str, int]:
    """Kinds of personal data that were found, with how many."""
    found: dict[str, int] = {}
    for each in card.personal:
        for kind, times in each.counts.items():
            found[kind] = found.get(kind, 0) + times
    return {kind: times for kind, times in found.items() if times}


def _contents(card: DataCard) -> list[tuple[str, str]]:
    parts = [
        ("warnings", "What to know", bool(card.warnings or card.contract or card.notes)),
        ("ledger", "What was lost", card.ledger is not None),
        ("columns", "Columns", True),
        ("texts", "Texts", any(column.kind == "text" for column in card.columns)),
        ("duplicates", "Duplicates", True),
        ("personal", "Personal data", bool(card.personal)),
        ("split", "Split", True),
        ("steps", "Preparation", bool(card.steps)),
        ("sources", "Sources", True),
    ]
    return [(anchor, title) for anchor, title, there in parts if there]
