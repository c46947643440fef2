"""Evidently and NannyML in environments of their own: a drift report of two tables, and alarms with their defaults.

python monitor_peers.py evidently report FOLDER COLUMNS   (reference.parquet and current.parquet)
python monitor_peers.py evidently|nannyml alarms FOLDER   (SEED-reference.parquet and SEED-week.parquet)
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")


def evidently_report(before, now):
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    numbers = [name for name in before.columns if before[name].dtype.kind in "fi"]
    levels = [name for name in before.columns if name not in numbers]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=levels)
    sets = [Dataset.from_pandas(each, data_definition=definition) for each in (now, before)]
    snapshot = Report([DataDriftPreset()]).run(*sets)
    return snapshot.dict()


def scores(report) -> dict[str, float]:
    found = {}
    for metric in report["metrics"]:
        config = metric.get("config", {})
        column = config.get("column")
        if column is not None and isinstance(metric["value"], (int, float)):
            found[column] = {"value": float(metric["value"]), "method": str(config.get("method"))}
    return found


def report(folder: Path) -> None:
    import evidently
    import pandas as pd

    tables = [pd.read_parquet(folder / f"{name}.parquet") for name in ("reference", "current")]
    started = time.perf_counter()
    made = evidently_report(*tables)
    took = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": took, "peak_bytes": peak, "scores": scores(made), "version": evidently.__version__}))


def evidently_alarms(folder: Path) -> dict[str, list[bool]]:
    import pandas as pd

    any_column, half = [], []
    for path in sorted(folder.glob("*-reference.parquet")):
        before = pd.read_parquet(path)
        now = pd.read_parquet(path.with_name(path.name.replace("reference", "week")))
        made = evidently_report(before, now)
        for metric in made["metrics"]:
            value = metric["value"]
            if isinstance(value, dict) and "share" in value and "count" in value:
                any_column.append(value["count"] > 0)
                half.append(value["share"] >= 0.5)
                break
    return {"any column": any_column, "half of the columns": half}


def nannyml_alarms(folder: Path) -> dict[str, list[bool]]:
    import nannyml
    import pandas as pd

    alarms = []
    for path in sorted(folder.glob("*-reference.parquet")):
        before = pd.read_parquet(path)
        now = pd.read_parquet(path.with_name(path.name.replace("reference", "week")))
        numbers = [name for name in before.columns if before[name].dtype.kind in "fi"]
        levels = [name for name in before.columns if name not in numbers]
        calculator = nannyml.UnivariateDriftCalculator(
            column_names=[*numbers, *levels], treat_as_categorical=levels, chunk_number=1
        )
        frame = calculator.fit(before).calculate(now).filter(period="analysis").to_df()
        flags = [name for name in frame.columns if name[-1] == "alert"]
        alarms.append(bool(frame[flags].to_numpy().any()))
    return {"any column": alarms}


if __name__ == "__main__":
    name, what, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if what == "report":
        report(folder)
    else:
        print(json.dumps({"evidently": evidently_alarms, "nannyml": nannyml_alarms}[name](folder)))
