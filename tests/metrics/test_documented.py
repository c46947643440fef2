"""docs/metrics.md tells of every metric what the registry tells of it."""

import math
from pathlib import Path

import pytest

from bakeoff.metrics.catalogue import DEFINITIONS

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def end(value):
    return f"{value:.3g}" if math.isfinite(value) else "∞" if value > 0 else "−∞"


def row(definition):
    low, high = map(end, definition.bounds)
    better = "higher" if definition.higher_is_better else "lower"
    return f"| `{definition.form}` | {better} | {low} to {high} | {definition.about} | {definition.source} |"


@pytest.mark.parametrize(
    "definition", [each for known in DEFINITIONS.values() for each in known.values()], ids=lambda each: each.name
)
def test_every_metric_is_documented_as_it_is(definition):
    assert row(definition) in PAGE
