"""Distances of two tables are those of scipy; what signs, beliefs and domains say is right where it is known."""

import numpy as np
import polars as pl
import pytest
from scipy import stats
from scipy.spatial import distance

from bakeoff.core.errors import DataError, UsageError
from bakeoff.metrics import distances
from bakeoff.metrics.answers import signs
from bakeoff.metrics.discoveries import discovered
from bakeoff.metrics.distances import compare_columns, compare_files
from bakeoff.metrics.domain import separation, vector_separation


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_as_far_apart_as_scipy_says(seed):
    rng = np.random.default_rng(seed)
    before, now = rng.normal(0, 2, 3000).round(1), rng.normal(0.3, 2, 1700).round(1)  # ties
    found = compare_columns(pl.Series("x", before), pl.Series("x", now))
    assert found.ks == pytest.approx(stats.ks_2samp(before, now).statistic, abs=1e-12)
    assert found.wasserstein == pytest.approx(stats.wasserstein_distance(before, now) / before.std(), abs=1e-9)
    assert found.p == pytest.approx(stats.ks_2samp(before, now, method="asymp").pvalue, rel=0.2)


@pytest.mark.parametrize("block", [1, 2, 7, 64])
def test_numbers_that_are_merged_by_blocks_are_as_far_apart(monkeypatch, block):
    monkeypatch.setattr(distances, "BLOCK", block)
    rng = np.random.default_rng(block)
    for before, now in (
        (rng.normal(0, 2, 300).round(1), rng.normal(0.3, 2, 170).round(1)),
        (rng.normal(0, 1, 50), rng.normal(9, 1, 90)),  # one after the other
        (np.full(40, 2.0), np.full(30, 2.0)),
        (np.array([1.0]), np.array([3.0])),
    ):
        found = compare_columns(pl.Series("x", before), pl.Series("x", now))
        assert found.ks == pytest.approx(stats.ks_2samp(before, now).statistic, abs=1e-12)
        apart = stats.wasserstein_distance(before, now) / max(before.std(), 1e-3)
        assert found.wasserstein == pytest.approx(apart, rel=1e-9, abs=1e-9)


def test_levels_are_as_far_apart_as_scipy_says():
    rng = np.random.default_rng(1)
    before, now = rng.choice(list("abcd"), 900), rng.choice(list("abcde"), 800, p=[0.1, 0.2, 0.3, 0.3, 0.1])
    found = compare_columns(pl.Series("c", before), pl.Series("c", now))
    counts = np.array([[(side == level).sum() for level in "abcde"] for side in (before, now)])
    assert found.js == pytest.approx(distance.jensenshannon(counts[0], counts[1]), abs=1e-12)
    chi2 = stats.chi2_contingency(counts)
    assert (found.chi2, found.p) == (pytest.approx(chi2.statistic), pytest.approx(chi2.pvalue))


def test_files_are_read_column_by_column_and_missing_values_are_a_change(tmp_path):
    pl.DataFrame({"x": [1.0, None, 3.0, 4.0], "only": [1, 2, 3, 4]}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("x,y\n1.5,a\n2.5,b\n")
    found = compare_files(tmp_path / "a.parquet", tmp_path / "b.csv")
    assert list(found) == ["x"]
    assert found["x"].missing_change == -0.25
    with pytest.raises(UsageError, match=r"parquet or \.csv"):
        compare_files(tmp_path / "a.txt", tmp_path / "b.csv")
    pl.DataFrame({"z": [1]}).write_parquet(tmp_path / "c.parquet")
    with pytest.raises(DataError, match="in common"):
        compare_files(tmp_path / "c.parquet", tmp_path / "b.csv")


def test_benjamini_and_hochberg_as_scipy_has_it():
    rng = np.random.default_rng(2)
    for _ in range(20):
        p = rng.uniform(size=30) ** 3
        adjusted = stats.false_discovery_control(p)
        assert discovered(p.tolist(), 0.1).tolist() == (adjusted <= 0.1).tolist()
    assert discovered([], 0.1).tolist() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I cannot help with that request.", ("refusal",)),
        ("You cannot help but like it.", ()),
        ("word " * 60 + "and then", ("truncated", "repetitive")),
        ("a b c " * 20 + ".", ("repetitive",)),
        ("A short answer without an end", ()),
        (None, ("empty",)),
    ],
)
def test_signs_of_answers(text, expected):
    assert signs(text) == expected


def test_rows_of_one_kind_cannot_be_told_apart_and_those_of_two_can():
    rng = np.random.default_rng(3)
    kinds = {"x": "numeric", "c": "levels", "t": "text"}

    def rows(n, word):
        return [{"x": rng.normal(), "c": str(rng.integers(3)), "t": f"{word} {rng.integers(9)}"} for _ in range(n)]

    same, p_same, _ = separation(rows(400, "late"), rows(400, "late"), kinds)
    other, p_other, weights = separation(rows(400, "late"), rows(400, "refund"), kinds)
    assert (0.38 < same < 0.62, p_same > 1e-3) == (True, True)
    assert (other > 0.99, p_other < 1e-20, max(weights, key=lambda name: weights[name])) == (True, True, "t")


def test_halves_of_days_that_differ_by_themselves_are_not_two_findings():
    """Each half's classifier is asked for the other half: both say how alike the halves are."""
    days, likely = np.repeat(np.arange(6), 10), 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        now = 0.6 * rng.normal(size=(6, 4))[days] + 0.8 * rng.normal(size=(60, 4))
        likely += vector_separation(rng.normal(size=(150, 4)), now, days=days.tolist(), seed=seed)[1] < 0.1
    assert likely <= 40 * 0.1 + 2 * (40 * 0.1 * 0.9) ** 0.5
