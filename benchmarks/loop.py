"""The loop over the flights of 2013: as they were, with flipped labels, and with a relation that turns around.

    python benchmarks/loop.py                  # a quarter of the flights, boosting alone: some 20 minutes on two cores
    python benchmarks/loop.py --every 1        # all of them; --worlds carrier: only that one

Three pasts, each replayed by `project.cycles.replay`, which trains nothing again that it has trained. The policy: an
alert of quality, for what breaks, and every 60 days, for what decays too slowly for an alert to be sure of it.

- flights: August to December as they were, by the month.
- flipped: 5% of the labels from August on are flipped; answers are scored by the true ones.
- carrier: labels of one carrier (UA, a sixth of the flights) are the other ones from October on; by the week.
"""

import argparse
import json
import tempfile
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bakeoff import Project
from bakeoff.actions.loop_replay import chart
from bakeoff.cli.demos.flights import KNOWN
from bakeoff.cli.loop_replay_page import replay_page
from bakeoff.data.reading import read
from bakeoff.data.sources import resolve

DEMO = files("bakeoff.cli.demos").joinpath("flights.toml")
SETTINGS = """[project]
name = "flights"
task = "classification"
[data]
source = "{source}"
target = "late"
categorical = ["carrier", "origin", "dest"]
time = "departure"
ignore = ["departure", "{truth}"]
[split]
by = "time"
test = "{part}"
validation = "{part}"
[prepare]
steps = [{{ name = "clip_outliers", columns = ["wind_speed", "wind_max"] }}]
[candidates.boosting]
features = false
[combine]
blends = false
cascades = false
[decide]
metric = "roc_auc"
findings = false
[monitor]
quality_drop = 0.01
[loop]
triggers = ["quality"]
schedule = "every 60d"
cool_down = "none"
"""
TRUTH = "true_late"
SHARE = 0.05


def flights(folder: Path) -> pl.DataFrame:
    """All flights of the demo, the later ones too."""
    folder.mkdir(parents=True)
    (folder / "bakeoff.toml").write_bytes(DEMO.read_bytes())
    with Project(folder) as project:
        data, places = project.config.data, {"folder": folder, "cache": folder / ".bakeoff" / "cache"}
    assert data.query is not None
    assert KNOWN in data.query
    sources = {
        name: [file for each in locations for file in resolve(each, **places, progress=lambda _: None)]
        for name, locations in data.sources.items()
    }
    return read(data.model_copy(update={"query": data.query.replace(KNOWN, "true")}), sources).table


def world(name: str, table: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The past of that name, and how it is replayed."""
    late, when = table["late"].to_numpy(), table["departure"]
    if name == "flipped":
        flips = np.random.default_rng(7).random(len(table)) < SHARE
        labels = np.where((when >= datetime(2013, 8, 1)).to_numpy() & flips, ~late, late)  # noqa: DTZ001
        truth = late
    elif name == "carrier":
        turned = (when >= datetime(2013, 10, 1)).to_numpy() & (table["carrier"] == "UA").to_numpy()  # noqa: DTZ001
        labels = truth = np.where(turned, ~late, late)
    else:
        labels = truth = late
    past = table.with_columns(pl.Series("late", labels), pl.Series(TRUTH, truth))
    if name == "carrier":
        past = past.filter(pl.col("departure") < pl.datetime(2013, 11, 11))
        return past, {"every": "1w", "start": "2013-09-23"}
    return past, {"every": "1mo", "start": "2013-08"}


def main() -> None:
    """Replay what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=4, help="every so manieth flight")
    parser.add_argument("--worlds", nargs="+", default=["flights", "flipped", "carrier"])
    parser.add_argument("--out", type=Path, help="a folder for JSON and charts")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        table = flights(Path(scratch) / "flights").gather_every(given.every)
        for name in given.worlds:
            past, settings = world(name, table)
            folder = Path(scratch) / settings["every"]
            folder.mkdir(exist_ok=True)
            source = folder / "flights.parquet"
            past.write_parquet(source)
            part = "7d" if settings["every"] == "1w" else "1mo"
            text = SETTINGS.format(source=source, truth=TRUTH, part=part)
            (folder / "bakeoff.toml").write_text(text, encoding="utf-8")
            with Project(folder, progress=lambda _: None) as project:
                result = project.cycles.replay(by="departure", truth=TRUTH, tune=True, **settings)
            print(f"\n# {name}\n\n{replay_page(result)}", flush=True)
            if given.out:
                given.out.mkdir(exist_ok=True)
                (given.out / f"{name}.json").write_text(json.dumps(result.to_json()), encoding="utf-8")
                chart(result).save(given.out / f"{name}.png")


if __name__ == "__main__":
    main()
