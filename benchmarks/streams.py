"""Generated streams through the whole of `bakeoff data prepare`: nothing is lost that is not told.

Types that change late, nested keys, blanks, damaged lines, days, decimals, NaN, byte order marks; JSON lines, csv, tsv
and Parquet, packed and mixed; written as Parquet, a folder, JSON lines and packed JSON lines. Of each stream: the sum of
every numeric column, the set of keys, and the number of rows are the same in and out, but for what the report counts; a
stream whose values no type holds is one error that names a file and a row. Blocks are worked on in this process; all
else is the real thing.
"""

# ruff: noqa: E501 - tables of cases
import csv
import gzip
import io
import json
import math
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Self
from unittest.mock import patch

import polars as pl

from bakeoff.core.errors import DataError
from bakeoff.data.zstd import zstd
from bakeoff.prepare.corpus import run as running
from bakeoff.prepare.corpus.work import Done, Plan, Task
from bakeoff.prepare.corpus.worker import Worker

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
Row = dict[str, object]
TEXTS = [
    "one two three",
    "vier fünf",
    "日本語です",
    " blank  ends ",
    'a "quoted", text',
    "tab\there",
    "<b>x</b>",
    "0042",
    "line\nbreak",
    "é" * 40,
]


class Inline:
    """The pool of workers, in this process."""

    def __init__(self, plan: Plan, _: int) -> None:
        self._worker = Worker(plan)
        self.peak_memory_bytes: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def run(self, tasks: Sequence[Task]) -> Iterator[Done]:
        return (self._worker.do(task) for task in tasks)


def value(r: random.Random, kind: str) -> object:
    if kind == "mixed":
        kind = r.choice(["whole", "fraction", "text", "boolean"])
    if kind == "late":
        kind = r.choice(["whole", "whole", "fraction"])
    if kind == "nested":
        return {
            r.choice("abc"): value(r, r.choice(["whole", "fraction"])),
            "deep": {"x" + r.choice("12"): value(r, "late")},
        }
    if kind == "list":
        return [value(r, "late") for _ in range(r.randrange(4))]
    if kind == "records":
        return [{r.choice(["role", "id"]): value(r, "mixed")} for _ in range(r.randrange(3))]
    return {
        "whole": lambda: r.choice([0, 1, -7, 42, 2**31, 2**53 + 1, -(2**62), 2**64, r.randrange(10**6)]),
        "fraction": lambda: r.choice([0.5, -2.25, 4.75, 1e-7, 1e300, r.random()]),
        "small": lambda: r.choice([r.randrange(100), r.randrange(400) / 4]),
        "text": lambda: r.choice([*TEXTS, "", "n/a", "3", "-1.5"]),
        "boolean": lambda: r.random() < 0.5,
    }[kind]()


# Columns that Parquet alone has.
EXTRA: dict[str, list[object]] = {
    "day": [date(2024, 2, 29), date(1969, 12, 31)],
    "moment": [datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=None)],  # noqa: DTZ001 - as files have them
    "exact": [Decimal("1.10"), Decimal("12345678901234567890.25")],
    "infinite": [math.nan, math.inf, -math.inf, 0.5],
}
KINDS = ["whole", "fraction", "small", "late", "text", "boolean", "nested", "list", "records", "mixed"]


def rows(r: random.Random, *, flat: bool, names: list[str], kinds: dict[str, str]) -> list[Row]:
    made: list[Row] = []
    count = r.choice([1, 3, 20, 60])
    for number in range(count):
        row: Row = {"text": r.choice(TEXTS) if r.random() < 0.95 else None}
        for name in names:
            kind = kinds[name]
            if flat and kind in {"nested", "list", "records", "mixed"}:
                kind = "small"
            # What comes late: fractions, or the column itself.
            if kind == "late":
                kind = "fraction" if number > 0.9 * count else "whole"
            if r.random() < (0.8 if number > count // 2 or name != names[-1] else 0.05):
                row[name] = value(r, kind) if r.random() < 0.9 else None
        made.append(row)
    return made


def write(path: Path, some: list[Row], r: random.Random) -> tuple[list[Row], int]:
    """Write rows; gives them as the file holds them, and how many lines are no records."""
    suffixes = "".join(path.suffixes)
    bad = 0
    if suffixes.startswith(".jsonl"):
        lines = [json.dumps(row, ensure_ascii=r.random() < 0.5) for row in some]
        for _ in range(r.choice([0, 0, 0, 2])):
            lines.insert(
                r.randrange(len(lines) + 1), r.choice(['{"text": ', "[1, 2]", "nothing", '{"text": "x"} {"text": "y"}'])
            )
            bad += 1
        for _ in range(r.choice([0, 1])):
            lines.insert(r.randrange(len(lines) + 1), r.choice(["", "  "]))
        mark = r.choice(["", "", "\ufeff"])
        data = (mark + "\n".join(lines) + r.choice(["", "\n"])).encode()
        path.write_bytes(gzip.compress(data) if suffixes.endswith(".gz") else data)
        return some, bad
    names = list(dict.fromkeys(name for row in some for name in row))
    if suffixes in {".csv", ".tsv"}:
        out = io.StringIO()
        writer = csv.writer(out, delimiter="\t" if suffixes == ".tsv" else ",")
        writer.writerow(names)
        cells = [["" if row.get(name) is None else str(row.get(name)) for name in names] for row in some]
        writer.writerows(cells)
        path.write_text(r.choice(["", "\ufeff"]) + out.getvalue(), newline="")
        return [dict(zip(names, [cell or None for cell in row], strict=True)) for row in cells], 0
    table = pl.DataFrame(
        {name: pl.Series([row.get(name) for row in some], strict=True) for name in names if _of_one_type(some, name)}
    )
    if (extra := r.choice([None, *EXTRA])) is not None:
        values = [r.choice([None, *EXTRA[extra]]) for _ in some]
        table = table.with_columns(pl.Series(extra, values, dtype=pl.Float64 if extra == "infinite" else None))
    table.write_parquet(path)
    return table.to_dicts(), 0


def _of_one_type(some: list[Row], name: str) -> bool:
    values = [row.get(name) for row in some if row.get(name) is not None]
    if not values or name == "text":
        return name == "text"
    if any(isinstance(each, int) and not -(2**63) <= each < 2**63 for each in values):
        return False
    return len({type(each) for each in values}) == 1 and not isinstance(values[0], dict | list)


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{path}[]")
    elif value is not None and value != "" and not (isinstance(value, float) and not math.isfinite(value)):
        yield path, value


def sums(some: list[Row]) -> tuple[dict[str, Fraction], set[str], Counter[str]]:
    """The sum of what is a number at each place (also as text), the places, and how many values each has."""
    total: dict[str, Fraction] = {}
    count: Counter[str] = Counter()
    for row in some:
        for path, leaf in leaves(row):
            count[path] += 1
            if isinstance(leaf, bool):
                continue
            if isinstance(leaf, int | float | Decimal) or (isinstance(leaf, str) and NUMBER.fullmatch(leaf)):
                total[path] = total.get(path, Fraction(0)) + Fraction(
                    leaf if not isinstance(leaf, float) else repr(leaf)
                )
    return total, set(count), count


def read(out: Path) -> list[Row]:
    if out.is_dir() or out.suffix == ".parquet":
        return pl.read_parquet(out / "*.parquet" if out.is_dir() else out).to_dicts()
    data = out.read_bytes()
    if out.suffix == ".gz":
        data = gzip.decompress(data)
    if out.suffix == ".zst":
        data = zstd.decompress(data)
    return [json.loads(line) for line in data.decode().splitlines() if line.strip()]


def check(seed: int, folder: Path) -> str:
    """Run one stream; "kept" or "refused", or AssertionError."""
    r = random.Random(seed)
    names = r.sample(["n", "m", "who", "meta", "Ünï", "a b"], r.randrange(1, 5))
    kinds = {name: r.choice(KINDS) for name in names}
    given: list[Row] = []
    bad = 0
    files: list[str] = []
    formats = r.choices(["jsonl", "jsonl", "csv", "tsv", "parquet", "jsonl.gz"], k=r.choice([1, 1, 2, 3]))
    for number, suffix in enumerate(formats):
        file = folder / f"in-{number}.{suffix}"
        made, broken = write(file, rows(r, flat=not suffix.startswith("jsonl"), names=names, kinds=kinds), r)
        given, bad = given + made, bad + broken
        files.append(str(file))
    out = folder / r.choice(["out.parquet", "out.jsonl", "out", "out.jsonl.gz", "out.jsonl.zst"])
    steps = r.choice(
        [[], ["squeeze_whitespace"], ["repair_unicode", "drop_empty"], ["drop_duplicates"], ["drop_near_duplicates"]]
    )
    drops = bool(steps) and str(steps[-1]).startswith("drop")
    try:
        with patch.object(running, "Pool", Inline):
            report = running.prepare_corpus(
                files, out, steps=steps, workers=1, max_bad_share=1.0, block_bytes=r.choice([50, 400, 4 << 20])
            )
    except DataError as error:
        text = str(error)
        assert "in-" in text, text
        assert "row " in text or "expected values of one type in all files" in text, text
        return "refused"
    ledger = report.ledger
    written = read(out)
    told = {str(loss.reason) for loss in report.losses}
    infinite = sum(not math.isfinite(leaf) for row in given if isinstance(leaf := row.get("infinite"), float))
    emptied = infinite if out.name.partition(".")[2].startswith("jsonl") and not drops else 0
    assert emptied == 0 or any("NaN" in reason for reason in told), told
    assert report.bad_lines == bad, (report.bad_lines, bad, report.bad)
    assert report.rows_in == len(given), (report.rows_in, len(given))
    assert report.rows_out == len(written)
    dropped = sum(step.rows_in - step.rows_out for step in report.steps)
    assert len(given) == len(written) + dropped
    lost = sum(loss.count for loss in ledger.losses if loss.kind == "row")
    assert ledger.rows_in == ledger.rows_used + lost, ledger
    if not drops:
        (sum_in, keys_in, count_in), (sum_out, keys_out, count_out) = sums(given), sums(written)
        text_only = lambda keys: {key for key in keys if key != ".text"}  # noqa: E731 - steps rewrite it
        assert text_only(keys_in) == text_only(keys_out), (keys_in ^ keys_out, told)
        for key in text_only(keys_in):
            assert count_in[key] == count_out[key], (key, count_in[key], count_out[key])
            assert sum_in.get(key) == sum_out.get(key), (key, sum_in.get(key), sum_out.get(key))
    return "kept"


def main(count: int = 500, seed: int = 0) -> None:
    found: Counter[str] = Counter()
    for number in range(seed, seed + count):
        with tempfile.TemporaryDirectory() as folder:
            try:
                found[check(number, Path(folder))] += 1
            except AssertionError as error:
                found["lost"] += 1
                print(f"stream {number}: {error}", flush=True)
    print(f"{count} streams: {dict(found)}")
    if found["lost"]:
        sys.exit(1)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
