import numpy as np
import pytest

from bakeoff.core.types import Signature
from bakeoff.families.features.scaled import ScaledTable
from bakeoff.families.neighbours import NeighboursFamily, NeighboursModel, NeighboursParams, stretches
from bakeoff.testing.families import FamilyConformance


class TestNeighbours(FamilyConformance):
    columns = ("categorical", "numeric", "boolean", "datetime")

    @pytest.fixture
    def family(self) -> NeighboursFamily:
        return NeighboursFamily()


def model_of(value_m, classes=()):
    return NeighboursModel(
        signature=Signature(task="classification" if classes else "regression", inputs=(), classes=classes),
        chosen={},
        table=None,
        stretch_d=np.ones(1),
        row_md=np.zeros((len(value_m), 1)),
        value_m=np.asarray(value_m),
        weight_m=np.ones(len(value_m)),
    )


def test_near_rows_weigh_more_and_the_last_one_says_how_far_is_far():
    model = model_of([10.0, 20.0, 99.0])
    predictions = model.answer(np.array([[1.0, 3.0, 4.0]]), np.array([[0, 1, 2]]))
    np.testing.assert_allclose(predictions.values_n, [(0.75 * 10 + 0.25 * 20) / 1.0], rtol=1e-5)


def test_the_shares_of_classes_among_all_rows_count_for_half_a_neighbour():
    model = model_of([0.0, 0.0, 0.0, 1.0], classes=("a", "b"))
    predictions = model.answer(np.array([[0.0, 2.0]]), np.array([[3, 0]]))
    np.testing.assert_allclose(predictions.probabilities_nk, [[0.375 / 1.5, 1.125 / 1.5]], rtol=1e-5)


def test_a_column_of_noise_counts_less():
    rng = np.random.default_rng(0)
    class_n = np.repeat([0.0, 1.0], 200)
    x_nd = np.column_stack([class_n + 0.1 * rng.normal(size=400), rng.normal(size=400)])
    stretch_d = stretches(x_nd, class_n, 2, 1.0)
    assert stretch_d[0] == 1.0
    assert stretch_d[1] < 0.2


def test_columns_are_placed_once_for_all_emphases_and_a_loaded_model_is_ready(tmp_path, monkeypatch):
    placed, fit = [], ScaledTable.fit.__func__
    monkeypatch.setattr(
        ScaledTable,
        "fit",
        classmethod(lambda cls, table, *a, **k: placed.append(len(table)) or fit(cls, table, *a, **k)),
    )
    job = FamilyConformance().job_of("classification", NeighboursParams(), tmp_path, columns=("numeric",))
    model = NeighboursFamily().fit(job)
    assert placed == [160, 200]  # of four emphases on training rows, and of all rows
    (tmp_path / "model").mkdir()
    model.save(tmp_path / "model")
    assert "_tree" in vars(NeighboursFamily().load(tmp_path / "model", 1))
