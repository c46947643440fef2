import numpy as np
import polars as pl

from bakeoff.core.types import Column
from bakeoff.families.features.scaled import ScaledTable, alike


def column(name, kind="numeric"):
    return Column(name=name, kind=kind, dtype="Float64" if kind == "numeric" else "String")


def test_numbers_are_scaled_by_their_quartiles_and_clipped_smoothly():
    table = pl.DataFrame({"a": [0.0, 1.0, 2.0, 3.0, 1e9]})
    _, x_nd = ScaledTable.fit(table, (column("a"),), np.zeros((5, 1)), one_scale=False, seed=0)
    np.testing.assert_allclose(x_nd[2], 0)  # the median
    plain = 1.349 / 2
    np.testing.assert_allclose(x_nd[3, 0], plain / np.sqrt(1 + (plain / 3) ** 2))
    assert 2.99 < x_nd[4, 0] <= 3.0


def test_two_categories_are_two_spreads_apart_and_a_gap_is_a_place():
    table = pl.DataFrame({"c": ["x", "y"] * 5, "a": [None, *range(9)]}, schema={"c": pl.String, "a": pl.Float64})
    encoder, x_nd = ScaledTable.fit(
        table, (column("c", "categorical"), column("a")), np.zeros((10, 1)), one_scale=False, seed=0
    )
    np.testing.assert_allclose(np.linalg.norm(x_nd[2, 2:] - x_nd[3, 2:]), 2.0)
    assert x_nd[0, :2].tolist() == [0.0, 1.0]  # a middling number, and the flag
    np.testing.assert_array_equal(encoder(table), x_nd)


def test_one_scale_is_for_columns_of_one_kind():
    rng = np.random.default_rng(0)
    pixels = pl.DataFrame(rng.integers(0, 17, (50, 9)).astype(float), schema=[f"p{i}" for i in range(9)])
    columns = tuple(column(name) for name in pixels.columns)
    assert alike(pixels, columns)
    assert not alike(pixels.with_columns(pl.col("p0") * 100), columns)


def test_of_one_scale_a_column_without_numbers_takes_no_part():
    """Else its variance, which nobody knows, would leave every other column at 0."""
    table = pl.DataFrame({"a": [0.0, 2.0, 4.0], "b": [None, 1.0, 3.0], "c": [None] * 3}, schema_overrides={"c": float})
    columns = tuple(map(column, "abc"))
    _, x_nd = ScaledTable.fit(table, columns, np.zeros((3, 1)), one_scale=True, seed=0)
    spread = np.sqrt((8 / 3 + 1) / 2)  # of a and b
    np.testing.assert_allclose(x_nd[:, 0], np.array([-2.0, 0.0, 2.0]) / spread)
    np.testing.assert_allclose(x_nd[:, 1:3], [[0, 0], [-1 / spread, 0], [1 / spread, 0]])
    _, x_nd = ScaledTable.fit(table[["c"]], columns[2:], np.zeros((3, 1)), one_scale=True, seed=0)
    assert x_nd.tolist() == [[0.0, 1.0]] * 3  # nothing is known of it but that it is missing


def test_the_largest_number_is_far_away_and_not_in_the_middle():
    """Its square is no number, and it was taken for the median."""
    table = pl.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]})
    for one_scale, least in ((False, 2.99), (True, 1e99)):
        encoder, _ = ScaledTable.fit(table, (column("a"),), np.zeros((4, 1)), one_scale=one_scale, seed=0)
        far_nd = encoder(pl.DataFrame({"a": [1e308, -1e308]}))
        assert far_nd[0, 0] > least
        assert far_nd[1, 0] < -least
