"""Drift: how far a window of rows has moved from a reference, column by column.

`profile` keeps what comparing needs as JSON (bins and counts, no rows), so that monitoring can do without
the training data; `tally` counts a window by the same bins, and the tallies of its parts add up. The population
stability index of small windows is biased upward; what chance alone would give is taken off, so no drift is near
zero whatever the window's size.
Source: Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk
Model Validation 14 (2020): without drift, PSI / (1/n + 1/m) is about chi-squared with bins − 1 degrees.

Whether a column moved at all, a p-value says that is sound where it is very small and rows are few, as monitoring asks
it a thousand times a week: distributions of numbers by the two-sample Kolmogorov-Smirnov distance and its bound; shares
by the hypergeometric distribution, the least of them times how many there are.
Source: Massart, Annals of Probability 18 (1990), for two samples Wei and Dudley, Statistics and Probability Letters 82
(2012); rows that go together, Rao and Scott, "The Analysis of Categorical Data from Complex Sample Surveys", JASA 76
(1981).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from bakeoff.core import narrow
from bakeoff.core.types import Column, Json

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "Drift",
    "Tally",
    "bin_distances",
    "calendar",
    "compare",
    "dispersion",
    "drifts",
    "expected_psi",
    "frequent_levels",
    "profile",
    "psi",
    "rebased",
    "tally",
]

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
OUTSIDE_STEPS = 20
"""Bins of the share of a text's words that are outside of the vocabulary."""
TWO_SAMPLES = 2.16863
"""The bound's factor for two samples of any sizes (2 where they are large)."""
EVEN_ROWS = 20.0
"""How many degrees of freedom the belief is worth that rows are independent."""
LEAST_EXPECTED = 5.0
LEAST_LEVEL = 10
"""Rows of the reference that a level of its own has."""
SMOOTHING = 0.5
"""Rows added to every bin of both sides (Jeffreys), so that an empty bin gives no infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far a column moved.

    `psi` ≥ 0 is bias-corrected (0.1 is customarily "some", 0.2 "much"). `measures` holds, as far as the
    column's kind has them: `psi_raw`, `missing_change` (share of rows, window minus reference), `ks` (0 to
    1; of numbers, or of the lengths of texts), `js` (Jensen-Shannon distance of the bins, natural logarithm), `chi2`
    (Pearson's statistic of the two samples' bins), `wasserstein` (of numbers, in standard deviations of the reference,
    from the points of its distribution), `length_psi` and `oov_change` (share of words outside the reference's
    vocabulary; texts). `p`: how likely so much is without drift, at most.
    """

    column: str
    psi: float
    measures: Mapping[str, float]
    p: float = 1.0


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


class Tally(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the rows of a window are in one column: `rows`, how many of them are `missing`, and rows per bin.

    Bins are those of the reference: of numbers (of a text its length) between the points of its distribution, of levels
    its frequent ones and the others. Of texts also the `words`, and those `outside` of its vocabulary, and texts by
    their share of these. Tallies of parts of a window add up to the window's.
    """

    rows: int
    missing: int
    bins: tuple[int, ...]
    words: int = 0
    outside: int = 0
    by_outside: tuple[int, ...] = ()

    @classmethod
    def total(cls, parts: "Sequence[Tally]") -> "Tally":
        """What tallies of parts add up to, of one part at least."""
        return cls(
            rows=sum(part.rows for part in parts),
            missing=sum(part.missing for part in parts),
            bins=tuple(map(sum, zip(*(part.bins for part in parts), strict=True))),
            words=sum(part.words for part in parts),
            outside=sum(part.outside for part in parts),
            by_outside=tuple(map(sum, zip(*(part.by_outside for part in parts), strict=True))),
        )

    def __add__(self, other: "Tally") -> "Tally":
        return Tally.total((self, other))


def tally(
    reference: Mapping[str, Json], table: "pl.DataFrame", levels: Mapping[str, Mapping[str | None, int]] | None = None
) -> dict[str, Tally]:
    """Counts the rows of a window, or of a part of one, by the bins of the reference; by column.

    `levels`: of columns that the table lacks, as their values were counted already (None: missing).
    """
    import polars as pl

    tallies: dict[str, Tally] = {}
    for name, profiled in reference.items():
        known = narrow.json_object(profiled)
        if levels is not None and name in levels:
            tallies[name] = _level_tally(known, levels[name])
            continue
        window = table if name in table.columns else table.with_columns(pl.lit(None, dtype=pl.String).alias(name))
        match known["kind"]:
            case "numeric":
                tallies[name] = _numeric_tally(known, _numbers(window, name))
            case "levels":
                counts, missing = _levels(window, name)
                tallies[name] = _level_tally(known, {**counts, None: missing})
            case _:
                tallies[name] = _text_tally(known, window, name)
    return tallies


def frequent_levels(reference: Mapping[str, Json]) -> dict[str, tuple[str, ...]]:
    """The levels of columns that have few of them, and no others beside."""
    profiles = {name: narrow.json_object(profiled) for name, profiled in reference.items()}
    return {name: tuple(each["levels"]) for name, each in profiles.items() if each.get("levels") and not each["rare"]}


def drifts(
    reference: Mapping[str, Json], tallies: Mapping[str, Tally], dispersions: Mapping[str, float] | None = None
) -> list[Drift]:
    """Drift of every profiled column, in the profile's order, from what `tally` counted.

    `dispersions` (1 where a column has none) say by how much more than chance a column varies between windows.
    """
    drift_of = {"numeric": _numeric_drift, "levels": _level_drift, "text": _text_drift}
    profiles = {name: narrow.json_object(profiled) for name, profiled in reference.items()}
    known = dispersions or {}
    return [
        drift_of[each["kind"]](name, each, tallies[name], max(1.0, known.get(name, 1.0)))
        for name, each in profiles.items()
    ]


def rebased(reference: Mapping[str, Json], tallies: Mapping[str, Tally]) -> dict[str, Json]:
    """The reference's bins with what another window has in them: it is then what is compared with."""
    made: dict[str, Json] = {}
    for name, profiled in reference.items():
        known, seen = dict(narrow.json_object(profiled)), tallies[name]
        known |= {"rows": seen.rows, "missing": seen.missing}
        if known["kind"] == "levels":
            known |= {"levels": dict(zip(known["levels"], seen.bins, strict=False)), "rare": seen.bins[-1]}
        else:
            given = max(seen.rows - seen.missing, 1)
            known |= {"counts": _coarse(known, seen), "cdf": (np.cumsum(seen.bins)[:-1] / given).tolist()}
            known |= {"words": seen.words, "outside": seen.outside, "by_outside": list(seen.by_outside)}
        made[name] = known
    return made


def dispersion(reference: Mapping[str, Json], parts: Sequence[Mapping[str, Tally]]) -> dict[str, float]:
    """By how much more than independent rows each column varies between parts of a time, as days: 1 if it does not.

    It is what a chi-squared statistic of a window is too large by, where rows go together or there are seasons.
    """
    factors: dict[str, float] = {}
    for name, profiled in reference.items():
        known = narrow.json_object(profiled)
        there = [part[name] for part in parts if name in part and part[name].rows]
        if len(there) < 2:  # noqa: PLR2004
            continue
        counts_db = np.asarray([[*_coarse(known, each), each.missing] for each in there], dtype=np.float64)
        counts_db = counts_db[:, counts_db.sum(axis=0) >= LEAST_EXPECTED * len(there)]
        if counts_db.shape[1] < 2:  # noqa: PLR2004
            continue
        rows_d, bins_b = counts_db.sum(axis=1, keepdims=True), counts_db.sum(axis=0, keepdims=True)
        expected_db = np.maximum(rows_d * bins_b / counts_db.sum(), 1e-9)
        chi2 = float(((counts_db - expected_db) ** 2 / expected_db).sum())
        freedom = (counts_db.shape[0] - 1) * (counts_db.shape[1] - 1)
        factors[name] = max(1.0, (chi2 + EVEN_ROWS) / (freedom + EVEN_ROWS))
    return factors


_CALENDAR = {
    "month": (1, 12),
    "quarter": (1, 4),
    "hour": (0, 24),
    "minute": (0, 60),
    "weekday": (0, 7),
    "dayofweek": (0, 7),
    "day": (0, 31),
    "dayofmonth": (1, 31),
    "dayofyear": (1, 366),
    "week": (0, 53),
    "weekofyear": (0, 53),
    "year": (1900, 2200),
}
"""Names of columns that move on with time, and what they then hold (their letters alone, in lower case)."""


def calendar(reference: Mapping[str, Json]) -> set[str]:
    """Columns that are parts of a date, by their name and their values: in a new month they have moved, and must."""
    names: set[str] = set()
    for name, profiled in reference.items():
        known = narrow.json_object(profiled)
        span = _CALENDAR.get("".join(letter for letter in name.casefold() if letter.isalpha()))
        if span is None:
            continue
        if known["kind"] == "levels":
            names.add(name)
        elif known["kind"] == "numeric":
            values = known["grid"]
            if all(value % 1 == 0 and span[0] <= value <= span[1] for value in values):
                names.add(name)
    return names


def _coarse(known: Mapping[str, Any], seen: Tally) -> list[int]:
    """Rows by the bins of the PSI, without the missing ones."""
    if known["kind"] == "levels":
        return list(seen.bins)
    up_to, given = np.cumsum(seen.bins), seen.rows - seen.missing  # rows up to each point of the grid, and in all
    at_edges = up_to[np.searchsorted(known["grid"], known["edges"])] if known["edges"] else np.array([], dtype=np.int64)
    return np.diff([0, *at_edges, given]).tolist()


def _distance_p(distance: float, n: int, m: float) -> float:
    """How likely a Kolmogorov-Smirnov distance is at most that large between samples of one distribution."""
    return min(1.0, TWO_SAMPLES * float(np.exp(-2 * n * m / (n + m) * distance**2))) if n and m else 1.0


def _shares_p(reference_b: Sequence[int], window_b: Sequence[int], factor: float) -> float:
    """The least two-sided p of any bin's share, times the number of bins; exact for independent rows (`factor` = 1)."""
    from scipy.stats import hypergeom

    a = np.asarray(reference_b)
    b = np.floor(np.asarray(window_b) / factor).astype(np.int64)
    n, m, used = int(a.sum()), int(b.sum()), (a + np.asarray(window_b)) > 0
    if not n or not m or int(used.sum()) < 2:  # noqa: PLR2004
        return 1.0
    where = (n + m, a[used] + b[used], m)
    least = np.minimum(hypergeom.cdf(b[used], *where), hypergeom.sf(b[used] - 1, *where)).min()
    return min(1.0, 2 * float(least) * int(used.sum()))


def bin_distances(reference_b: ArrayLike, window_b: ArrayLike) -> dict[str, float]:
    """The Jensen-Shannon distance (`js`) and Pearson's statistic (`chi2`) of two vectors of counts; none of no rows.

    >>> {name: round(value, 3) for name, value in bin_distances([50, 50], [30, 70]).items()}
    {'js': 0.145, 'chi2': 8.333}
    """
    a, b = np.asarray(reference_b, dtype=np.float64), np.asarray(window_b, dtype=np.float64)
    if not a.sum() or not b.sum():
        return {}
    p, q = a / a.sum(), b / b.sum()
    middle = (p + q) / 2
    parts = [(x * np.log(np.divide(x, middle, out=np.ones_like(x), where=x > 0))).sum() / 2 for x in (p, q)]
    both = (a + b) / (a.sum() + b.sum())
    used = both > 0
    chi2 = sum(float(((x - x.sum() * both)[used] ** 2 / (x.sum() * both)[used]).sum()) for x in (a, b))
    return {"js": float(np.sqrt(max(0.0, float(sum(parts))))), "chi2": chi2}


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
        "sd": float(given.std()),
    }


def _binned(edges: Floats, given_n: Floats) -> list[int]:
    """Rows per bin; an edge belongs to the bin below it."""
    up_to = np.sort(given_n).searchsorted(edges, side="right").tolist()  # sorted once, the few edges are looked up
    return [rows - before for before, rows in pairwise([0, *up_to, len(given_n)])]


def _numeric_tally(known: Mapping[str, Any], numbers_n: Floats) -> Tally:
    given = numbers_n[~np.isnan(numbers_n)]
    bins = _binned(np.asarray(known["grid"], dtype=np.float64), given)
    return Tally(rows=len(numbers_n), missing=len(numbers_n) - len(given), bins=tuple(bins))


def _numeric_drift(name: str, known: Mapping[str, Any], seen: Tally, factor: float) -> Drift:
    up_to, given = np.cumsum(seen.bins), seen.rows - seen.missing
    before, window = [*known["counts"], known["missing"]], [*_coarse(known, seen), seen.missing]
    corrected, raw = _corrected(before, window)
    measures = {"psi_raw": raw, "missing_change": _missing_change(known, seen), **bin_distances(before, window)}
    at_hand = known["rows"] - known["missing"]
    p = _shares_p((at_hand, known["missing"]), (given, seen.missing), factor)
    if given and known["grid"]:
        grid, apart = np.asarray(known["grid"]), np.abs(up_to[:-1] / given - np.asarray(known["cdf"]))
        measures["ks"] = float(apart.max())
        if known.get("sd"):
            measures["wasserstein"] = float((apart[:-1] * np.diff(grid)).sum()) / known["sd"]
        p = min(1.0, 2 * min(p, _distance_p(measures["ks"], at_hand, given / factor)))
    return Drift(column=name, psi=corrected, measures=measures, p=p)


def _levels(table: "pl.DataFrame", name: str) -> tuple[dict[str, int], int]:
    """Rows by level, most frequent first (by name among equals), and missing rows."""
    import polars as pl

    values = table[name].cast(pl.String).drop_nulls()
    counted: dict[str, int] = dict(values.value_counts(name="rows").iter_rows())
    return dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))), table.height - len(values)


def _level_profile(table: "pl.DataFrame", name: str) -> dict[str, Json]:
    counts, missing = _levels(table, name)
    frequent = {
        level: count for level, count in list(counts.items())[:MAX_LEVELS] if count >= MIN_LEVEL_SHARE * table.height
    }
    rare = sum(counts.values()) - sum(frequent.values())
    return {"rows": table.height, "missing": missing, "levels": frequent, "rare": rare}


def _level_tally(known: Mapping[str, Any], counts: Mapping[str | None, int]) -> Tally:
    rows, missing = sum(counts.values()), counts.get(None, 0)
    frequent = [counts.get(level, 0) for level in known["levels"]]
    return Tally(rows=rows, missing=missing, bins=(*frequent, rows - missing - sum(frequent)))


def _level_bins(known: Mapping[str, Any], seen: Tally) -> tuple[list[int], list[int]]:
    """Rows of both sides by levels, others, missing. A level of few reference rows is one of the others.

    Which of the rare ones the reference happens to have is chance: alone, they would look lost, and what it lacks new.
    """
    pairs = list(zip(known["levels"].values(), seen.bins, strict=False))
    frequent = [pair for pair in pairs if pair[0] >= LEAST_LEVEL]
    others = [pair for pair in pairs if pair[0] < LEAST_LEVEL]
    rare = (known["rare"] + sum(a for a, _ in others), seen.bins[-1] + sum(b for _, b in others))
    both = [*frequent, rare, (known["missing"], seen.missing)]
    return [a for a, _ in both], [b for _, b in both]


def _level_drift(name: str, known: Mapping[str, Any], seen: Tally, factor: float) -> Drift:
    before, window = _level_bins(known, seen)
    corrected, raw = _corrected(before, window)
    measures = {"psi_raw": raw, "missing_change": _missing_change(known, seen), **bin_distances(before, window)}
    return Drift(column=name, psi=corrected, measures=measures, p=_shares_p(before, window, factor))


def _texts(table: "pl.DataFrame", name: str) -> "pl.Series":
    import polars as pl

    texts = table[name].cast(pl.String)
    step = -(-len(texts) // MAX_TEXTS) if len(texts) else 1
    return texts.gather_every(step)


def _lengths(texts: "pl.Series") -> Floats:
    import polars as pl

    return texts.str.len_chars().cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _words(texts: "pl.Series") -> "pl.Series":
    return texts.str.to_lowercase().str.extract_all(r"\w+")


def _text_profile(table: "pl.DataFrame", name: str) -> dict[str, Json]:
    """Lengths, the vocabulary of every second text, and how often the other texts' words are outside it."""
    texts = _texts(table, name)
    counted = _words(texts.gather_every(2)).explode().drop_nulls().value_counts(sort=True, name="rows")
    ordered = counted.head(4 * VOCABULARY).sort(["rows", name], descending=[True, False]).head(VOCABULARY)
    vocabulary: list[str] = ordered[name].to_list()
    words, outside, by_outside = _outside(texts.gather_every(2, 1), vocabulary)
    return {
        **_numeric_profile(_lengths(texts)),
        "vocabulary": vocabulary,
        "words": words,
        "outside": outside,
        "by_outside": by_outside,
    }


def _outside(texts: "pl.Series", vocabulary: Sequence[str]) -> tuple[int, int, list[int]]:
    """Words in all, those outside of the vocabulary, and texts by their share of these."""
    import polars as pl

    words = pl.DataFrame({"text": range(len(texts)), "word": _words(texts)}).explode("word").drop_nulls()
    known = words["word"].is_in(list(vocabulary))
    shares = words.with_columns(outside=~known).group_by("text").agg(pl.col("outside").mean())["outside"].to_numpy()
    by_share = np.bincount((shares * (OUTSIDE_STEPS - 1e-9)).astype(np.int64), minlength=OUTSIDE_STEPS)
    return len(known), len(known) - int(known.sum()), by_share.tolist()


def _text_tally(known: Mapping[str, Any], table: "pl.DataFrame", name: str) -> Tally:
    import polars as pl

    texts = table[name].cast(pl.String)
    words, outside, by_outside = _outside(texts, known["vocabulary"])
    lengths = _numeric_tally(known, _lengths(texts))
    return msgspec.structs.replace(lengths, words=words, outside=outside, by_outside=tuple(by_outside))


def _text_drift(name: str, known: Mapping[str, Any], seen: Tally, factor: float) -> Drift:
    lengths = _numeric_drift(name, known, seen, factor)
    measures, of_words, p = {**lengths.measures, "length_psi": lengths.psi}, 0.0, lengths.p
    if seen.words:
        measures["oov_change"] = seen.outside / seen.words - known["outside"] / max(known["words"], 1)
    before = known.get("by_outside")
    if before and sum(before) and sum(seen.by_outside):  # texts, as the words of one go together
        of_words, _ = _corrected(*(_fifths(each) for each in (before, seen.by_outside)))
        n, m = sum(before), sum(seen.by_outside)
        measures["oov_ks"] = float(np.abs(np.cumsum(before) / n - np.cumsum(seen.by_outside) / m).max())
        p = min(1.0, 2 * min(p, _distance_p(measures["oov_ks"], n, m / factor)))
    elif not before:  # the reference of an earlier version
        of_words, _ = _corrected(
            [known["words"] - known["outside"], known["outside"]], [seen.words - seen.outside, seen.outside]
        )
    return Drift(column=name, psi=max(lengths.psi, of_words), measures=measures, p=p)


def _fifths(counts_s: Sequence[int]) -> list[int]:
    """Texts by fifths of their share of words outside of the vocabulary: the PSI of many thin bins is noise."""
    return np.asarray(counts_s).reshape(5, -1).sum(axis=1).tolist()
