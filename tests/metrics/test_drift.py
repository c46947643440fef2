import json

import numpy as np
import polars as pl
import pytest

from bakeoff.core.types import Column
from bakeoff.metrics.drift import compare, drifts, profile, tally

KINDS = {"number": "numeric", "zeros": "numeric", "level": "categorical", "flag": "boolean", "text": "text"}
COLUMNS = [Column(name=name, kind=kind, dtype="") for name, kind in KINDS.items()]
WORDS = np.array([f"w{i}" for i in range(3000)])
SHARES = 1 / np.arange(1, 3001) / (1 / np.arange(1, 3001)).sum()


def table(rng, n, *, shift=0.0, new_words=0.0):
    lengths = rng.poisson(8 * (1 + shift), n) + 1
    words = rng.choice(WORDS, lengths.sum(), p=SHARES)
    words = np.where(rng.random(len(words)) < new_words, "new", words)
    numbers = rng.normal(shift, 1, n)
    levels = 1 / np.arange(1, 201)
    return pl.DataFrame(
        {
            "number": pl.Series(np.where(rng.random(n) < 0.05, np.nan, numbers)).fill_nan(None),
            "zeros": np.where(rng.random(n) < 0.6, 0, rng.poisson(3 + 3 * shift, n)).astype(float),
            "level": rng.choice([f"l{i}" for i in range(200)], n, p=levels / levels.sum()),
            "flag": rng.random(n) < 0.3 + shift / 3,
            "text": [" ".join(part) for part in np.split(words, np.cumsum(lengths)[:-1])],
        }
    )


@pytest.fixture(scope="module")
def reference():
    return json.loads(json.dumps(profile(table(np.random.default_rng(0), 4000), COLUMNS)))


def test_small_windows_without_drift_stay_far_below_any_limit(reference):
    rng = np.random.default_rng(1)
    found = np.array([[d.psi for d in compare(reference, table(rng, 300))] for _ in range(30)])
    assert found.max() < 0.08
    assert found.mean(axis=0).max() < 0.02


def test_what_chance_gives_is_taken_off_the_psi(reference):
    rng = np.random.default_rng(2)
    raw = [compare(reference, table(rng, 300))[0].measures["psi_raw"] for _ in range(60)]
    assert np.mean(raw) == pytest.approx(10 * (1 / 300 + 1 / 4000), rel=0.2)


def test_shifts_are_seen_in_every_kind_of_column(reference):
    found = {d.column: d for d in compare(reference, table(np.random.default_rng(3), 1000, shift=1.0))}
    assert found["number"].psi > 0.5
    assert found["number"].measures["ks"] == pytest.approx(0.38, abs=0.05)  # Φ(½) − Φ(−½)
    assert found["zeros"].psi > 0.2
    assert found["flag"].psi > 0.2
    assert found["text"].measures["length_psi"] > 0.5
    assert found["level"].psi < 0.05


def test_new_words_are_seen(reference):
    found = compare(reference, table(np.random.default_rng(4), 500, new_words=0.3))[-1]
    assert found.measures["oov_change"] == pytest.approx(0.3, abs=0.05)
    assert found.psi > max(0.2, found.measures["length_psi"])


def test_unseen_levels_are_seen(reference):
    window = table(np.random.default_rng(5), 500).with_columns(level=pl.lit("never seen"))
    assert {d.column: d.psi for d in compare(reference, window)}["level"] > 1


def test_missing_columns_and_missing_values_are_drift(reference):
    window = table(np.random.default_rng(6), 300).drop("text").with_columns(number=None)
    found = {d.column: d for d in compare(reference, window)}
    assert found["number"].measures["missing_change"] == pytest.approx(0.95, abs=0.02)
    assert found["number"].psi > 1
    assert found["text"].psi > 1


def test_no_rows_is_no_drift(reference):
    assert {d.psi for d in compare(reference, table(np.random.default_rng(7), 10).head(0))} == {0.0}


def test_identifiers_do_not_drift():
    ids = [Column(name="id", kind="categorical", dtype="String")]
    known = profile(pl.DataFrame({"id": [f"a{i}" for i in range(1000)]}), ids)
    (found,) = compare(known, pl.DataFrame({"id": [f"b{i}" for i in range(300)]}))
    assert found.psi == 0.0


def test_empty_and_constant_references():
    columns = [Column(name=n, kind=k, dtype="") for n, k in (("x", "numeric"), ("t", "text"), ("d", "datetime"))]
    nothing = profile(pl.DataFrame({"x": [None, None], "t": [None, None], "d": [None, None]}), columns)
    assert set(nothing) == {"x", "t"}
    compare(nothing, pl.DataFrame({"x": [1.0, 2.0], "t": ["a b", None]}))
    constant = profile(pl.DataFrame({"x": [3.0] * 500, "t": ["same"] * 500}), columns[:2])
    moved = compare(constant, pl.DataFrame({"x": [4.0] * 500, "t": ["other words"] * 500}))
    assert min(d.psi for d in moved) > 1


def test_tallies_of_parts_add_up_to_the_tally_of_the_whole(reference):
    window = table(np.random.default_rng(10), 1000, shift=0.3, new_words=0.1)
    whole = tally(reference, window)
    parts = [tally(reference, window[start : start + 300]) for start in range(0, 1000, 300)]
    added = {name: sum((part[name] for part in parts[1:]), parts[0][name]) for name in whole}
    assert added == whole
    assert drifts(reference, added) == compare(reference, window)
