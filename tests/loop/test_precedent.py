"""The loop goes on when more rows would tip what a column is taken for; only other inputs stop it."""

import random
from pathlib import Path

from bakeoff import Project

TOML = """
[project]
name = "growing"
task = "classification"
[data]
source = "month-*.csv"
target = "late"
time = "day"
[split]
test = 0.3
[decide]
champion = "unless_worse"
findings = false
resamples = 100
[combine]
blends = false
cascades = false
[candidates.linear]
penalty = 1.0
[loop]
triggers = ["data"]
"""
NAMES = ("day", "delay", "town", "tail", "row", "note", "clear", "empty", "late")


def month(number: int, rows: int, *, gaps: bool) -> str:
    """Rows of a month; with gaps, every column has some, and those that were no inputs look like ones."""
    draw = random.Random(number)
    lines = [",".join(NAMES)]
    for at in range(rows):
        late = draw.random() < 0.5
        cells = [
            f"2024-{number:02d}-{at % 28 + 1:02d}",
            f"{draw.gauss(2 if late else 0, 1):.2f}",
            draw.choice(["Bonn", "Rome"]),
            f"N{draw.randrange(40)}" if gaps else f"N{number}{at:04d}",
            str(at + 1),
            draw.choice(["fine", "rain"]) if not gaps else f"heavy rain over runway {at} and fog",
            draw.choice(["true", "false"]),
            str(at) if gaps else "",
        ]
        if gaps:
            cells[1:] = [cell if draw.random() < 0.8 else draw.choice(["", "NA"]) for cell in cells[1:]]
        lines.append(",".join([*cells, "yes" if late else "no"]))
    return "\n".join(lines) + "\n"


def test_gaps_in_a_later_month_do_not_stop_the_loop(tmp_path: Path) -> None:
    (tmp_path / "bakeoff.toml").write_text(TOML)
    (tmp_path / "month-1.csv").write_text(month(1, 120, gaps=False))
    with Project(tmp_path) as project:
        project.run()
        first = project.release()
    (tmp_path / "month-2.csv").write_text(month(2, 400, gaps=True))
    with Project(tmp_path) as project:
        turn = project.loop_once()
        assert turn.outcome is not None
        assert turn.blocked is None
        assert turn.outcome.document["verdict"]["inputs"] is None
        assert turn.outcome.document["verdict"]["promoted"], turn.outcome.document["verdict"]["contest"]
        losses = turn.outcome.document["ledger"]["losses"]
        reasons = {loss["subject"]: loss["reason"] for loss in losses if loss["kind"] == "column"}
        assert reasons["tail"] == reasons["empty"] == "the live model does not take it"
        assert project.release() != first
        asked = project.run()  # whoever asks gets what the rows show now
        assert not asked.unchanged
        assert set(asked.document["verdict"]["inputs"]["added"]) >= {"tail", "empty"}
