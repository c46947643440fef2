"""Drift: how far a window of rows has moved from a reference, column by column.

`profile` keeps what comparing needs as JSON (bins and counts, no rows), so that monitoring can do without
the training data; `tally` counts a window by the same bins, and the tallies of its parts add up. The population
stability index of small windows is biased upward; what chance alone would give is taken off, so no drift is near
zero whatever the window's size.
Source: Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk
Model Validation 14 (2020): without drift, PSI / (1/n + 1/m) is about chi-squared with bins − 1 degrees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core import narrow
from bakeoff.core.types import Column, Json

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Drift", "Tally", "compare", "drifts", "expected_psi", "profile", "psi", "tally"]

Floats = NDArray[np.float64]

QUANTILES = 100
"""Points at which the reference's distribution of a number is kept."""
BIN_STEP = 10
"""Every tenth of them bounds a bin of the PSI."""
MAX_LEVELS = 50
MIN_LEVEL_SHARE = 0.005
"""Rarer levels share one bin with levels never seen."""
VOCABULARY = 5000
MAX_TEXTS = 20_000
SMOOTHING = 0.5
"""Rows added to every bin of both sides (Jeffreys), so that an empty bin gives no infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far a column moved.

    `psi` ≥ 0 is bias-corrected (0.1 is customarily "some", 0.2 "much"). `measures` holds, as far as the
    column's kind has them: `psi_raw`, `missing_change` (share of rows, window minus reference), `ks` (0 to
    1; of numbers, or of the lengths of texts), `length_psi` and `oov_change` (share of words outside the
    reference's vocabulary; texts).
    """

    column: str
    psi: float
    measures: Mapping[str, float]


def expected_psi(bins: int, n: int, m: int) -> float:
    """What the PSI of a window of m rows against n reference rows is on average when nothing drifts.

    >>> round(expected_psi(10, 10_000, 300), 4)
    0.0309
    """
    return (bins - 1) * (1 / n + 1 / m)


def psi(reference_b: ArrayLike, window_b: ArrayLike) -> float:
    """Population stability index of two vectors of bin counts, smoothed, not yet corrected for bias.

    >>> round(psi([500, 500], [300, 700]), 2)
    0.17
    """
    reference, window = (np.asarray(counts, dtype=np.float64) + SMOOTHING for counts in (reference_b, window_b))
    p, q = reference / reference.sum(), window / window.sum()
    return float(((q - p) * np.log(q / p)).sum())


def _corrected(reference_b: ArrayLike, window_b: ArrayLike) -> tuple[float, float]:
    """PSI less what chance gives (at least 0), and the raw PSI. Bins empty on both sides do not count."""
    reference, window = np.asarray(reference_b), np.asarray(window_b)
    used = (reference + window) > 0
    n, m = int(reference.sum()), int(window.sum())
    if not n or not m:
        return 0.0, 0.0
    raw = psi(reference[used], window[used])
    return max(0.0, raw - expected_psi(int(used.sum()), n, m)), raw


def profile(table: "pl.DataFrame", columns: Sequence[Column]) -> dict[str, Json]:
    """What `compare` needs to know of the reference's columns. Times always move on and are left out."""
    kept: dict[str, Json] = {}
    for column in columns:
        match column.kind:
            case "numeric":
                kept[column.name] = {"kind": "numeric", **_numeric_profile(_numbers(table, column.name))}
            case "categorical" | "boolean":
                kept[column.name] = {"kind": "levels", **_level_profile(table, column.name)}
            case "text":
                kept[column.name] = {"kind": "text", **_text_profile(table, column.name)}
            case "datetime":
                pass
    return kept


def compare(reference: Mapping[str, Json], table: "pl.DataFrame") -> list[Drift]:
    """Drift of every profiled column, in the profile's order; a column that the window lacks is all missing."""
    return drifts(reference, tally(reference, table))


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What the rows of a window are in one column: `rows`, how many of them are `missing`, and rows per bin.

    Bins are those of the reference: of numbers (of a text its length) between the points of its distribution, of levels
    its frequent ones and the others. Of texts also the `words`, and those `outside` of its vocabulary. Tallies of parts
    of a window add up to the window's.
    """

    rows: int
    missing: int
    bins: tuple[int, ...]
    words: int = 0
    outside: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            rows=self.rows + other.rows,
            missing=self.missing + other.missing,
            bins=tuple(a + b for a, b in zip(self.bins, other.bins, strict=True)),
            words=self.words + other.words,
            outside=self.outside + other.outside,
        )


def tally(reference: Mapping[str, Json], table: "pl.DataFrame") -> dict[str, Tally]:
    """Counts the rows of a window, or of a part of one, by the bins of the reference; by column."""
    import polars as pl

    tallies: dict[str, Tally] = {}
    for name, profiled in reference.items():
        known = narrow.json_object(profiled)
        window = table if name in table.columns else table.with_columns(pl.lit(None, dtype=pl.String).alias(name))
        match known["kind"]:
            case "numeric":
                tallies[name] = _numeric_tally(known, _numbers(window, name))
            case "levels":
                tallies[name] = _level_tally(known, window, name)
            case _:
                tallies[name] = _text_tally(known, window, name)
    return tallies


def drifts(reference: Mapping[str, Json], tallies: Mapping[str, Tally]) -> list[Drift]:
    """Drift of every profiled column, in the profile's order, from what `tally` counted."""
    drift_of = {"numeric": _numeric_drift, "levels": _level_drift, "text": _text_drift}
    profiles = {name: narrow.json_object(profiled) for name, profiled in reference.items()}
    return [drift_of[known["kind"]](name, known, tallies[name]) for name, known in profiles.items()]


def _missing_change(known: Mapping[str, Any], seen: Tally) -> float:
    return seen.missing / seen.rows - known["missing"] / max(known["rows"], 1) if seen.rows else 0.0


def _numbers(table: "pl.DataFrame", name: str) -> Floats:
    import polars as pl

    return table[name].cast(pl.Float64, strict=False).to_numpy()  # nulls become NaN


def _numeric_profile(numbers_n: Floats) -> dict[str, Json]:
    given = numbers_n[~np.isnan(numbers_n)]
    if not len(given):
        return {"rows": len(numbers_n), "missing": len(numbers_n), "edges": [], "counts": [0], "grid": [], "cdf": []}
    quantiles = np.quantile(given, np.arange(1, QUANTILES) / QUANTILES, method="inverted_cdf")
    edges = np.unique(quantiles[BIN_STEP - 1 :: BIN_STEP])
    grid = np.unique(quantiles)
    cdf = np.searchsorted(np.sort(given), grid, side="right") / len(given)
    return {
        "rows": len(numbers_n),
        "missing": len(numbers_n) - len(given),
        "edges": edges.tolist(),
        "counts": _binned(edges, given),
        "grid": grid.tolist(),
        "cdf": cdf.tolist(),
    }


def _binned(edges: Floats, given_n: Floats) -> list[int]:
    """Rows per bin; an edge belongs to the bin below it."""
    return np.bincount(np.searchsorted(edges, given_n, side="left"), minlength=len(edges) + 1).tolist()


def _numeric_tally(known: Mapping[str, Any], numbers_n: Floats) -> Tally:
    given = numbers_n[~np.isnan(numbers_n)]
    bins = _binned(np.asarray(known["grid"], dtype=np.float64), given)
    return Tally(rows=len(numbers_n), missing=len(numbers_n) - len(given), bins=tuple(bins))


def _numeric_drift(name: str, known: Mapping[str, Any], seen: Tally) -> Drift:
    up_to, given = np.cumsum(seen.bins), seen.rows - seen.missing  # rows up to each point of the grid, and in all
    at_edges = up_to[np.searchsorted(known["grid"], known["edges"])] if known["edges"] else np.array([], dtype=np.int64)
    window: list[int] = np.diff([0, *at_edges, given]).tolist()
    corrected, raw = _corrected([*known["counts"], known["missing"]], [*window, seen.missing])
    measures = {"psi_raw": raw, "missing_change": _missing_change(known, seen)}
    if given and known["grid"]:
        measures["ks"] = float(np.abs(up_to[:-1] / given - np.asarray(known["cdf"])).max())
    return Drift(column=name, psi=corrected, measures=measures)


def _levels(table: "pl.DataFrame", name: str) -> tuple[dict[str, int], int]:
    """Rows by level, most frequent first (by name among equals), and missing rows."""
    import polars as pl

    values = table[name].cast(pl.String).drop_nulls()
    names, counts = np.unique(values.to_numpy().astype(np.str_), return_counts=True) if len(values) else ([], [])
    ordered = sorted(zip(map(str, names), map(int, counts), strict=True), key=lambda pair: (-pair[1], pair[0]))
    return dict(ordered), table.height - len(values)


def _level_profile(table: "pl.DataFrame", name: str) -> dict[str, Json]:
    counts, missing = _levels(table, name)
    frequent = {
        level: count for level, count in list(counts.items())[:MAX_LEVELS] if count >= MIN_LEVEL_SHARE * table.height
    }
    rare = sum(counts.values()) - sum(frequent.values())
    return {"rows": table.height, "missing": missing, "levels": frequent, "rare": rare}


def _level_tally(known: Mapping[str, Any], table: "pl.DataFrame", name: str) -> Tally:
    counts, missing = _levels(table, name)
    frequent = [counts.get(level, 0) for level in known["levels"]]
    return Tally(rows=table.height, missing=missing, bins=(*frequent, sum(counts.values()) - sum(frequent)))


def _level_drift(name: str, known: Mapping[str, Any], seen: Tally) -> Drift:
    corrected, raw = _corrected(
        [*known["levels"].values(), known["rare"], known["missing"]], [*seen.bins, seen.missing]
    )
    return Drift(column=name, psi=corrected, measures={"psi_raw": raw, "missing_change": _missing_change(known, seen)})


def _texts(table: "pl.DataFrame", name: str) -> "pl.Series":
    import polars as pl

    texts = table[name].cast(pl.String)
    step = -(-len(texts) // MAX_TEXTS) if len(texts) else 1
    return texts.gather_every(step)


def _lengths(texts: "pl.Series") -> Floats:
    import polars as pl

    return texts.str.len_chars().cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _words(texts: "pl.Series") -> "pl.Series":
    return texts.drop_nulls().str.to_lowercase().str.extract_all(r"\w+").explode().drop_nulls()


def _text_profile(table: "pl.DataFrame", name: str) -> dict[str, Json]:
    """Lengths, the vocabulary of every second text, and how often the other texts' words are outside it."""
    texts = _texts(table, name)
    counted = _words(texts.gather_every(2)).value_counts(sort=True, name="rows").head(4 * VOCABULARY)
    ordered = counted.sort(["rows", name], descending=[True, False]).head(VOCABULARY)
    vocabulary: list[str] = ordered[name].to_list()
    others = _words(texts.gather_every(2, 1))
    return {
        **_numeric_profile(_lengths(texts)),
        "vocabulary": vocabulary,
        "words": len(others),
        "outside": _outside(others, vocabulary),
    }


def _outside(words: "pl.Series", vocabulary: Sequence[str]) -> int:
    return len(words) - int(words.is_in(list(vocabulary)).sum())


def _text_tally(known: Mapping[str, Any], table: "pl.DataFrame", name: str) -> Tally:
    import polars as pl

    texts = table[name].cast(pl.String)
    words = _words(texts)
    lengths = _numeric_tally(known, _lengths(texts))
    return msgspec.structs.replace(lengths, words=len(words), outside=_outside(words, known["vocabulary"]))


def _text_drift(name: str, known: Mapping[str, Any], seen: Tally) -> Drift:
    lengths = _numeric_drift(name, known, seen)
    of_words, _ = _corrected(
        [known["words"] - known["outside"], known["outside"]], [seen.words - seen.outside, seen.outside]
    )
    measures = {**lengths.measures, "length_psi": lengths.psi}
    if seen.words:
        measures["oov_change"] = seen.outside / seen.words - known["outside"] / max(known["words"], 1)
    return Drift(column=name, psi=max(lengths.psi, of_words), measures=measures)
