"""AutoGluon or FLAML on one set: a job on stdin, answers of the test rows as `answers.parquet` in the job's folder.

A job is `{"system": …, "set": folder, "facts": …, "metric": …, "budget_s": …, "cores": …, "folder": …}`.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import pandas as pd

PRESETS = {"autogluon-medium": "medium_quality", "autogluon-good": "good_quality"}
METRICS = {
    "autogluon": {"f1_macro": "f1_macro", "rmse": "root_mean_squared_error"},
    "flaml": {"f1_macro": "macro_f1", "rmse": "rmse"},
}


def autogluon(job: dict, train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.Series, float, str]:
    from autogluon.tabular import TabularPredictor

    target = job["facts"]["target"]
    predictor = TabularPredictor(
        label=target, eval_metric=METRICS["autogluon"][job["metric"]], path=job["folder"] + "/model", verbosity=1
    )
    started = time.perf_counter()
    predictor.fit(train, presets=PRESETS[job["system"]], time_limit=job["budget_s"], num_cpus=job["cores"], num_gpus=0)
    seconds = time.perf_counter() - started
    return predictor.predict(test.drop(columns=target)), seconds, predictor.model_best


def flaml(job: dict, train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.Series, float, str]:
    from flaml import AutoML

    target, automl = job["facts"]["target"], AutoML()
    started = time.perf_counter()
    automl.fit(
        dataframe=train,
        label=target,
        task=job["facts"]["task"],
        metric=METRICS["flaml"][job["metric"]],
        time_budget=job["budget_s"],
        n_jobs=job["cores"],
        seed=0,
        verbose=0,
    )
    seconds = time.perf_counter() - started
    return pd.Series(automl.predict(test.drop(columns=target))), seconds, str(automl.best_estimator)


def main() -> None:
    warnings.simplefilter("ignore")
    job = json.load(sys.stdin)
    train, test = (pd.read_parquet(f"{job['set']}/{part}.parquet") for part in ("train", "test"))
    system = flaml if job["system"] == "flaml" else autogluon
    answers, seconds, chosen = system(job, train, test)
    pd.DataFrame({"answer": list(answers)}).to_parquet(f"{job['folder']}/answers.parquet", index=False)
    (Path(job["folder"]) / "result.json").write_text(json.dumps({"seconds": seconds, "chosen": chosen}))


if __name__ == "__main__":
    main()
