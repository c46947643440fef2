"""Evidently and NannyML in environments of their own: a drift report of two tables, and alarms with their defaults.

python monitor_peers.py evidently report FOLDER [METHOD]   (reference.parquet and current.parquet)
python monitor_peers.py evidently|nannyml alarms FOLDER   (SEED-reference.parquet and SEED-weeks.parquet)
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

NUMBERS = {"chisquare": "ks"}
"""Of methods that are for levels alone: that of numbers beside them."""


def evidently_report(before, now, method: str | None = None):
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [name for name in before.columns if before[name].dtype.kind in "fi"]
    levels = [name for name in before.columns if name not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=levels)
    sets = [Dataset.from_pandas(each, data_definition=definition) for each in (now, before)]
    preset = DataDriftPreset(
        **({} if method is None else {"num_method": NUMBERS.get(method, method), "cat_method": method})
    )
    snapshot = Report([preset]).run(*sets)
    return snapshot.dict()


def scores(report) -> dict[str, float]:
    found = {}
    for metric in report["metrics"]:
        config = metric.get("config", {})
        column = config.get("column")
        if column is not None and isinstance(metric["value"], (int, float)):
            found[column] = {"value": float(metric["value"]), "method": str(config.get("method"))}
    return found


def report(folder: Path, method: str | None) -> None:
    import evidently
    import pandas as pd

    tables = [pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "current")]
    started = time.process_time()
    made = evidently_report(*tables, method)
    took = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": took, "peak_bytes": peak, "scores": scores(made), "version": evidently.__version__}))


def trials(folder: Path):
    """Of each: a reference, and the weeks after it, with their number in `week`."""
    import pandas as pd

    for path in sorted(folder.glob("*-reference.parquet")):
        yield pd.read_parquet(path), pd.read_parquet(path.with_name(path.name.replace("reference", "weeks")))


def evidently_alarms(folder: Path) -> dict[str, list[list[bool]]]:
    """By rule, trial and week. That of `DataDriftPreset` is half of the columns; each column's own is told, too.

    Columns are tested by the functions that the preset calls, with its defaults: without the report's pictures, which
    take most of its time.
    """
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    rules: dict[str, list[list[bool]]] = {"any column": [], "half of the columns": [], "the moved column": []}
    for before, weeks in trials(folder):
        said: dict[str, list[bool]] = {rule: [] for rule in rules}
        for _, now in weeks.groupby("week"):
            drifted = []
            for name in before.columns:
                kind = ColumnType.Numerical if before[name].dtype.kind in "fi" else ColumnType.Categorical
                test = get_stattest(before[name], now[name], kind, None)
                drifted.append(bool(test(before[name], now[name], kind, None).drifted))
            said["any column"].append(any(drifted))
            said["half of the columns"].append(sum(drifted) >= 0.5 * len(drifted))
            said["the moved column"].append(drifted[0])
        for rule, each in said.items():
            rules[rule].append(each)
    return rules


def nannyml_alarms(folder: Path) -> dict[str, list[list[bool]]]:
    """By rule, trial and week; limits are three standard deviations of the reference's chunks, which are as long."""
    import nannyml

    rules: dict[str, list[list[bool]]] = {"any column": [], "the moved column": []}
    for before, weeks in trials(folder):
        numbers = [name for name in before.columns if before[name].dtype.kind in "fi"]
        levels = [name for name in before.columns if name not in numbers]
        calculator = nannyml.UnivariateDriftCalculator(
            column_names=[*numbers, *levels], treat_as_categorical=levels, chunk_size=int((weeks["week"] == 0).sum())
        )
        frame = calculator.fit(before).calculate(weeks).filter(period="analysis").to_df()
        flags = [name for name in frame.columns if name[-1] == "alert"]
        moved = [name for name in flags if name[0] == before.columns[0]]
        rules["any column"].append(frame[flags].to_numpy().astype(bool).any(axis=1).tolist())
        rules["the moved column"].append(frame[moved].to_numpy().astype(bool).any(axis=1).tolist())
    return rules


if __name__ == "__main__":
    name, what, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if what == "report":
        report(folder, sys.argv[4] if len(sys.argv) > 4 else None)
    else:
        print(json.dumps({"evidently": evidently_alarms, "nannyml": nannyml_alarms}[name](folder)))
