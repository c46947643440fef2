"""How far columns moved from one version of a table to the next, as a chart."""

from collections.abc import Sequence

from bakeoff.metrics.drift import Drift
from bakeoff.report.drawing import Chart, Palette, Spec, clean, names, said

__all__ = ["shift_chart"]

SOME, MUCH = 0.1, 0.2
"""What the population stability index customarily calls some and much."""
MOST = 25


def shift_chart(shifts: Sequence[Drift], first: str, second: str) -> Chart:
    """The population stability index of each column that moved most, with the customary limits."""
    shown = sorted(shifts, key=lambda each: -each.psi)[:MOST]
    moved = [each.column for each in shown if each.psi >= SOME]
    sentence = f"{len(moved)} of {len(shifts)} columns moved: {', '.join(moved)}" if moved else "no column moved"

    def draw(palette: Palette, width: int) -> Spec:
        del width
        rows = [
            {
                "name": clean(each.column),
                "psi": each.psi,
                "size": "much" if each.psi >= MUCH else "some" if each.psi >= SOME else "little",
                "told": f"{each.column}: PSI {each.psi:.3f}",
            }
            for each in shown
        ]
        hue = {"domain": ["much", "some", "little"], "range": [palette.series[1], palette.series[6], palette.series[0]]}
        colour = {"field": "size", "type": "nominal", "legend": None, "scale": hue}
        axis = {"field": "psi", "type": "quantitative", "title": "population stability index (0.1 some, 0.2 much)"}
        limit = {"type": "rule", "strokeDash": [4, 3], "color": palette.muted, "aria": False}
        return {
            "height": {"step": 26},
            "data": {"values": rows},
            "layer": [
                {
                    "mark": {"type": "bar", "cornerRadius": 2, "height": 14},
                    "encoding": said(y=names([str(row["name"]) for row in rows]), x=axis, color=colour),
                },
                {
                    "data": {"values": [{"at": SOME}, {"at": MUCH}]},
                    "mark": limit,
                    "encoding": {"x": {"field": "at", "type": "quantitative"}},
                },
            ],
        }

    return Chart(title=f"How far columns moved from {first} to {second}", told=sentence, draw=draw)
