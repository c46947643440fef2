"""What training takes, serving takes, and it means the same: generated tables go through a run and back again.

    python tests/project/roundtrip.py 500          # as many tables; --seed N starts with another

For each table the predictions that the run kept of its test rows are compared with those of every door for the same
rows: the file itself by `predict_file`, rows as texts and as JSON, a frame, and dicts of numpy scalars. They must
agree to the last bit.
"""

import argparse
import bz2
import datetime as dt
import gzip
import importlib.util
import io
import json
import random
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from bakeoff import Project
from bakeoff.data.zstd import zstd
from bakeoff.evaluate.score.worker import read_outcomes

_spec = importlib.util.spec_from_file_location("in_process", Path(__file__).parents[1] / "in_process.py")
assert _spec is not None
assert _spec.loader is not None
in_process = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(in_process)

TOML = """
[project]
name = "trip"
task = "{task}"
[data]
source = "{source}"
target = "target"
encoding = "{encoding}"
[decide]
findings = false
resamples = 100
memorisation = 0
[endpoint]
log = "best_effort"
[combine]
blends = false
cascades = false
[candidates.{family}]
{params}
"""
FAMILIES = {"linear": "penalty = 1.0", "boosting": "trees = 8\nmin_leaf_rows = 3"}


@dataclass(slots=True)
class Generated:
    """A column: its values as Python has them, as texts, and for which kind of column the values mean the same."""

    name: str
    values: list[Any]
    texts: list[str | None]
    kind: str


@dataclass(slots=True)
class Table:
    """A generated table, how it is written, and the columns that the target depends on."""

    task: str
    family: str
    columns: list[Generated]
    target: list[Any]
    format: str
    delimiter: str
    encoding: str
    packing: str
    notes: list[str] = field(default_factory=list)


# --- columns ------------------------------------------------------------------------------------

Maker = Callable[[random.Random, Sequence[float]], tuple[list[Any], list[str], str]]
"""From a hidden number of each row (0 to 1): values, texts, and the kind."""


def grouped(whole: int, mark: str) -> str:
    return f"{whole:,}".replace(",", mark)


def plain_numbers(draw, hidden):
    digits = draw.choice([1, 2, 3, 6])
    values = [round(h * draw.choice([1, 10, 250]) - 3 + draw.random(), digits) for h in hidden]
    return values, [repr(v) for v in values], "numeric"


def exponents(draw, hidden):
    values = [h * 1e-7 + draw.random() * 1e-9 for h in hidden]
    return values, [f"{v:.6e}" for v in values], "text form"


def whole_numbers(draw, hidden):
    values = [int(h * 500) + draw.randint(0, 40) for h in hidden]
    return values, [str(v) for v in values], "numeric"


def spaced_numbers(draw, hidden):
    values = [round(h * 9 + draw.random(), 2) for h in hidden]
    return values, [f" {v}" if draw.random() < 0.3 else str(v) for v in values], "numeric"


def decimal_commas(draw, hidden):
    values = [round(h * 80 + draw.random(), 2) for h in hidden]
    return values, [str(v).replace(".", ",") for v in values], "numeric"


def thousands(mark: str) -> Maker:
    def make(draw, hidden):
        values = [int(h * 9_000_000) + draw.randint(0, 9000) + 1000 for h in hidden]
        return values, [grouped(v, mark) for v in values], "numeric"

    return make


def commas_and_points(draw, hidden):
    values = [round(h * 90_000 + draw.random(), 2) for h in hidden]
    texts = [f"{v:,.2f}".translate(str.maketrans(",.", ".,")) for v in values]
    return values, texts, "numeric"


def euros_after(draw, hidden):
    values = [round(h * 900 + draw.random(), 2) for h in hidden]
    return values, [f"{v:.2f} €".replace(".", ",") for v in values], "text form"


def durations(draw, hidden):
    values = [dt.timedelta(minutes=int(h * 900) + draw.randint(0, 50)) for h in hidden]
    return values, [str(v) for v in values], "text form"


def percents(draw, hidden):
    values = [round(h * 90 + draw.random(), 1) for h in hidden]
    return values, [f"{v}%" for v in values], "text form"


def euros(draw, hidden):
    values = [round(h * 900 + draw.random(), 2) for h in hidden]
    return values, [f"€{v}" for v in values], "text form"


def booleans(yes: str, no: str) -> Maker:
    def make(draw, hidden):
        values = [h + draw.random() * 0.4 - 0.2 > 0.5 for h in hidden]
        return values, [yes if v else no for v in values], "boolean"

    return make


def dates(form: str) -> Maker:
    def make(draw, hidden):
        first = dt.datetime(2023, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)
        moments = [first + dt.timedelta(days=int(h * 300) + draw.randint(0, 25)) for h in hidden]
        return moments, [m.strftime(form) for m in moments], "datetime"

    return make


def moments(draw, hidden):
    first = dt.datetime(2023, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)
    values = [first + dt.timedelta(seconds=int(h * 2e7) + draw.randint(0, 90_000)) for h in hidden]
    form = draw.choice(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"])
    if form.endswith("%M"):
        values = [v.replace(second=0) for v in values]
    return values, [v.strftime(form) for v in values], "datetime"


def offsets(draw, hidden):
    values, _, kind = moments(draw, hidden)
    values = [v.replace(tzinfo=dt.timezone(dt.timedelta(hours=draw.choice([0, 2, -5])))) for v in values]
    return values, [v.isoformat() for v in values], kind


def times_of_day(draw, hidden):
    values = [dt.time(int(h * 23), draw.randint(0, 59)) for h in hidden]
    return values, [v.strftime("%H:%M") for v in values], "text form"


def words(draw, hidden):
    names = draw.choice([["red", "green", "blue", "x y"], ["Genève", "Köln", "Łódź", "Ωmega"], ["A", "B", "C"]])
    values = [names[min(int((h + draw.random() * 0.2) * len(names)), len(names) - 1)] for h in hidden]
    return values, list(values), "categorical"


def codes(draw, hidden):
    values = [f"{int(h * 6) + 1:05d}" for h in hidden]
    return values, list(values), "categorical"


def long_numbers(draw, hidden):
    values = [9_007_199_254_740_993 + 2 * int(h * 5) for h in hidden]
    return values, [str(v) for v in values], "text form"


def sentences(draw, hidden):
    low, high = ["cold", "slow", "grey day", 'the "worst"'], ["warm", "fast, very", "bright day", "line\nbreak"]
    values = []
    for h in hidden:
        parts = [draw.choice(high if draw.random() < h else low) for _ in range(draw.randint(3, 7))]
        values.append(" ".join(parts) + f" number {draw.randint(0, 400)}")
    return values, list(values), "text"


def unspaced(draw, hidden):
    values = [
        "".join(draw.choice("晴朗热天好" if draw.random() < h else "雨冷寒夜暗") for _ in range(9)) for h in hidden
    ]
    return values, list(values), "text"


MAKERS: dict[str, Maker] = {
    "numbers": plain_numbers,
    "whole": whole_numbers,
    "exponents": exponents,
    "spaced": spaced_numbers,
    "commas": decimal_commas,
    "points": commas_and_points,
    "after": euros_after,
    "thousands": thousands(","),
    "blanks": thousands(" "),
    "durations": durations,
    "percents": percents,
    "euros": euros,
    "true": booleans("true", "false"),
    "True": booleans("True", "False"),
    "yes": booleans("yes", "no"),
    "one": booleans("1", "0"),
    "ja": booleans("ja", "nein"),
    "iso": dates("%Y-%m-%d"),
    "dmy": dates("%d.%m.%Y"),
    "mdy": dates("%m/%d/%Y"),
    "moments": moments,
    "offsets": offsets,
    "clock": times_of_day,
    "words": words,
    "codes": codes,
    "long": long_numbers,
    "sentences": sentences,
    "unspaced": unspaced,
}
POINT = {"numbers", "exponents", "spaced", "percents", "euros", "thousands"}
"""Columns with a decimal point, or a comma between thousands; a file is written in one convention."""
COMMA = {"commas", "points", "after"}
NAMES = ["x", "size", "Größe", "is ok", "a.b", "UPPER", "q1", "city", "when", "n_2", "val%", "data", "名前", "k"]
GAPS = {
    "numeric": ["", "NA", "?", "null", "-", "n/a"],
    "text form": ["", "NA"],
    "datetime": ["", "NA", "null"],
    "boolean": ["", "NA"],
}


def generated(seed: int) -> Table:
    """The table of a seed."""
    draw = random.Random(seed)
    rows = draw.randint(70, 130)
    task = draw.choice(["classification", "classification", "regression"])
    format_ = draw.choice(["csv", "csv", "csv", "tsv", "jsonl", "parquet"])
    encoding = draw.choice(["utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig"]) if format_ != "parquet" else "utf-8"
    packing = draw.choice(["", "", ".gz", ".bz2", ".zst", ".zip"]) if format_ != "parquet" else ""
    delimiter = {"csv": draw.choice([",", ";", "|"]), "tsv": "\t"}.get(format_, "")
    hidden = [draw.random() for _ in range(rows)]
    columns = []
    other = draw.choice([POINT, COMMA])
    makers = [name for name in MAKERS if name not in other]
    names = draw.sample(NAMES, draw.randint(2, 7))
    for place, name in enumerate(names):
        what = draw.choice(makers)
        strong = hidden if place < 2 else [h if draw.random() < 0.3 else draw.random() for h in hidden]
        values, texts, kind = MAKERS[what](draw, strong)
        share = draw.choice([0, 0, 0, 0.03, 0.3])
        word = draw.choice(GAPS.get(kind, [""]))
        gap = [draw.random() < share for _ in range(rows)]
        columns.append(
            Generated(
                name=name,
                values=[None if g else v for g, v in zip(gap, values, strict=True)],
                texts=[word or None if g else t for g, t in zip(gap, texts, strict=True)],
                kind=kind,
            )
        )
    target: list[Any]
    if task == "regression":
        target = [round(h * 100 + draw.random() * 4, 3) for h in hidden]
    else:
        classes = draw.choice([["no", "yes"], ["a", "b", "c"], [0, 1], ["None", "some"], [True, False]])
        target = [classes[min(int((h + draw.random() * 0.05) * len(classes)), len(classes) - 1)] for h in hidden]
    family = draw.choice(["linear", "linear", "boosting"])
    return Table(task, family, columns, target, format_, delimiter, encoding, packing)


# --- writing ------------------------------------------------------------------------------------


def cell(text: str | None, delimiter: str) -> str:
    if text is None:
        return ""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in (delimiter, '"', "\n")) else text


def as_json(value: Any) -> Any:
    if isinstance(value, dt.timedelta):
        return str(value)
    return value.isoformat() if isinstance(value, (dt.datetime, dt.time)) else value


def content(table: Table) -> bytes:
    names = [column.name for column in table.columns]
    if table.format == "jsonl":
        lines = []
        for row, target in zip(zip(*(c.values for c in table.columns), strict=True), table.target, strict=True):
            values = {name: as_json(value) for name, value in zip(names, row, strict=True)}
            lines.append(json.dumps({**values, "target": target}, ensure_ascii=False))
        return ("\n".join(lines) + "\n").encode(table.encoding)
    if table.format == "parquet":
        out = io.BytesIO()
        frame(table).with_columns(pl.Series("target", table.target)).write_parquet(out)
        return out.getvalue()
    d = table.delimiter
    lines = [d.join([*(cell(name, d) for name in names), "target"])]
    for at, target in enumerate(table.target):
        said = str(target).lower() if isinstance(target, bool) else str(target)
        lines.append(d.join([*(cell(column.texts[at], d) for column in table.columns), said]))
    return ("\n".join(lines) + "\n").encode(table.encoding)


def frame(table: Table) -> pl.DataFrame:
    """The table as polars holds it (moments in UTC)."""

    def series(column: Generated) -> pl.Series:
        values = [v.astimezone(dt.UTC) if isinstance(v, dt.datetime) and v.tzinfo else v for v in column.values]
        return pl.Series(column.name, values)

    return pl.DataFrame([series(column) for column in table.columns])


def written(table: Table, folder: Path) -> Path:
    data = content(table)
    path = folder / f"rows.{table.format}{table.packing}"
    if table.packing == ".zip":
        path = folder / "rows.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"rows.{table.format}", data)
        return path
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".zst": zstd.compress}.get(table.packing)
    path.write_bytes(pack(data) if pack else data)
    return path


# --- the round ----------------------------------------------------------------------------------


def numpy_scalar(value: Any) -> Any:
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int64(value)
    if isinstance(value, float):
        return np.float64(value)
    if isinstance(value, str):
        return np.str_(value)
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return np.datetime64(value, "us")
    return value


def doors(table: Table, project: Project, path: Path) -> dict[str, Callable[[], list[Any]]]:
    """For each way in, a call that gives the answers to all rows."""
    kinds = {column.name: column.kind for column in project.engine().signature.inputs}
    texts = table.format in {"csv", "tsv"}

    def value(column: Generated, at: int) -> Any:
        # A value stands for its text where the column holds such values: 12.5 for "12.5", never for "12.5%" or "05".
        typed = not texts or column.kind == kinds.get(column.name)
        return column.values[at] if typed else column.texts[at]

    def rows(make: Callable[[Generated, int], Any]) -> list[dict[str, Any]]:
        return [{column.name: make(column, at) for column in table.columns} for at in range(len(table.target))]

    def by_file() -> list[Any]:
        return [answer for part in project.predict_file(str(path)) for answer in part.results]

    ways: dict[str, Callable[[], list[Any]]] = {
        "file": by_file,
        "json": lambda: project.predict(json.loads(json.dumps(rows(lambda c, at: as_json(value(c, at)))))),
        "numpy": lambda: project.predict(rows(lambda c, at: numpy_scalar(value(c, at)))),
        "python": lambda: project.predict(rows(value)),
        "alone": lambda: [project.predict([row])[0] for row in rows(value)[:3]],
    }
    if texts:
        ways["texts"] = lambda: project.predict(rows(lambda c, at: c.texts[at]))
        ways["blanks"] = lambda: project.predict(rows(lambda c, at: c.texts[at] or ""))
    else:
        ways["frame"] = lambda: project.predict(frame(table))
    return ways


def listed(answers: Any) -> list[Any]:
    """Answers of which a table was made, as those to rows: with probabilities, or with a value."""
    if not isinstance(answers, pl.DataFrame):
        return answers
    names = [name for name in answers.columns if name.startswith("probability_")]
    values = answers["value"].to_list() if "value" in answers.columns else [None] * len(answers)
    shares = answers.select(names).iter_rows(named=True) if names else [{}] * len(answers)
    return [SimpleNamespace(probabilities=dict(p), value=v) for p, v in zip(shares, values, strict=True)]


def kept(project: Project) -> tuple[np.ndarray, list[Any]]:
    """The rows of the file that the run tested, and what it kept of their predictions."""
    documents = project.records.documents
    (evaluated,) = documents.find("steps", "evaluate/")
    (split,) = documents.find("steps", "split/")
    outcomes = pl.read_parquet(io.BytesIO(project.blobs.get(str(evaluated.body["outcomes_blob"]))))
    arrays = np.load(io.BytesIO(project.blobs.get(str(split.body["rows_blob"]))))
    _, said = read_outcomes(outcomes)
    values = said.values_n if said.probabilities_nk is None else said.probabilities_nk
    return arrays["kept"][outcomes["row"].to_numpy()], values.tolist()


def differences(seed: int, folder: Path) -> tuple[Table, dict[str, str]]:
    """What differs for the table of a seed, by door; a project is made in the empty `folder`."""
    table = generated(seed)
    path = written(table, folder)
    toml = TOML.format(
        task=table.task,
        source=path.name,
        encoding="utf-8" if table.encoding == "utf-8-sig" else table.encoding,
        family=table.family,
        params=FAMILIES[table.family],
    )
    (folder / "bakeoff.toml").write_text(toml)
    with Project(folder) as project:
        project.run()
        rows_n, expected = kept(project)
        wrong: dict[str, str] = {}
        for name, ask in doors(table, project, path).items():
            try:
                answers = ask()
            except Exception as error:  # a table of many must not stop the others
                wrong[name] = f"{type(error).__name__}: {error}"
                continue
            said = [[*a.probabilities.values()] if a.probabilities else a.value for a in listed(answers)]
            pairs = [(int(row), said[row], e) for row, e in zip(rows_n, expected, strict=True) if row < len(said)]
            bad = [pair for pair in pairs if pair[1] != pair[2]]
            if bad:
                far = max(abs(a - b) for _, one, two in bad for a, b in zip(np.ravel(one), np.ravel(two), strict=True))
                wrong[name] = f"{len(bad)} of {len(pairs)} rows differ, by up to {far:.3g}; row {bad[0][0]} first"
            if len(said) != len(table.target) and name != "alone":
                wrong[name] = f"{len(said)} answers to {len(table.target)} rows"
        return table, wrong


def main() -> None:
    """Try as many tables as are asked for; exit 1 when something differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", type=int, nargs="?", default=12)
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    in_process.hurried(setattr)
    started, failed, errors = time.process_time(), 0, 0
    for seed in range(told.seed, told.seed + told.tables):
        with tempfile.TemporaryDirectory() as folder:
            try:
                table, wrong = differences(seed, Path(folder))
            except Exception as error:
                errors += 1
                print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
                continue
        if wrong:
            failed += 1
            kinds = ", ".join(f"{c.name}:{c.kind}" for c in table.columns)
            print(f"seed {seed} ({table.format}{table.packing} {table.encoding}; {table.family}; {kinds})")
            for door, what in wrong.items():
                print(f"    {door}: {what}", flush=True)
    spent = time.process_time() - started
    print(f"{told.tables} tables: {failed} with differences, {errors} without a run; {spent:.0f} s of processor time")
    raise SystemExit(bool(failed or errors))


if __name__ == "__main__":
    main()
