from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits

from bakeoff.core.protocols import FitJob
from bakeoff.core.types import Column, Schema
from bakeoff.families.kernel import KernelFamily, KernelParams, _Encoded, _Likeness, _Machine
from bakeoff.testing.families import FamilyConformance


class TestKernel(FamilyConformance):
    columns = ("categorical", "numeric", "boolean", "datetime")

    @pytest.fixture
    def family(self) -> KernelFamily:
        return KernelFamily()


def digits_job(tmp_path, params):
    data = load_digits()
    names = tuple(f"pixel{i}" for i in range(64))
    order = np.random.default_rng(0).permutation(len(data.target))
    table = pl.DataFrame(data.data[order], schema=names).with_columns(
        pl.Series("target", [str(digit) for digit in data.target[order]])
    )
    columns = tuple(Column(name=name, kind="numeric", dtype="Float64") for name in names)
    target = Column(name="target", kind="categorical", dtype="String")
    job = FitJob(
        task="classification",
        schema=Schema(columns=(*columns, target), target="target", inputs=names),
        train=table[:500],
        validation=table[500:650],
        params=params,
        metric="accuracy",
        seed=0,
        threads=1,
        cache=tmp_path,
        progress=lambda _: None,
    )
    return job, table[650:]


def test_digits_are_read_as_well_as_by_a_support_vector_machine(tmp_path):
    job, held = digits_job(tmp_path, KernelParams())
    model = KernelFamily().fit(job)
    assert model.chosen["one_scale"] is True  # all columns are pixels
    predictions = model.predict(held)
    assert np.mean(predictions.values_n == held["target"].to_numpy()) >= 0.985
    chance_n = predictions.probabilities_nk[np.arange(len(held)), held["target"].cast(pl.Int64).to_numpy()]
    assert -np.log(chance_n).mean() < 0.06


def test_scores_by_a_fit_without_the_row_are_what_such_a_fit_gives(tmp_path):
    rng = np.random.default_rng(0)
    x_nd, wanted_nk = rng.normal(size=(25, 3)), rng.normal(size=(25, 1))
    likeness = _Likeness(landmark_md=x_nd, width=0.2, power=1.0)

    def machine(weight_n):
        return _Machine.of(_Encoded(None, x_nd, wanted_nk, weight_n), likeness)

    left_out_nk = machine(np.ones(25)).left_out(0.1)
    for row in (0, 7):
        without = machine(np.where(np.arange(25) == row, 1e-12, 1.0))
        coef_mk, intercept_k = without.flat(without.solved(0.1))
        np.testing.assert_allclose(left_out_nk[row], (likeness(x_nd[[row]]) @ coef_mk + intercept_k)[0], atol=1e-6)


def test_rows_beyond_the_most_are_reported(tmp_path):
    losses = []
    job, held = digits_job(tmp_path, KernelParams(max_rows=300, width=0.3, shape="smooth", one_scale=True))
    model = KernelFamily().fit(replace(job, on_loss=losses.append))
    assert [(loss.kind, loss.count, loss.of) for loss in losses] == [("row", 350, 650)]
    assert np.mean(model.predict(held).values_n == held["target"].to_numpy()) > 0.9
