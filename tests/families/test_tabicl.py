"""The weights are random and tiny here: what is tested is the way of rows through the library, not how good it is."""

import sys
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CandidateError, CorruptError, MissingExtraError, NotFoundError
from bakeoff.families.tabicl import WEIGHTS, TabiclFamily, TabiclParams
from bakeoff.testing.families import FamilyConformance

pytest.importorskip("tabicl", reason="the extra tabicl is not installed")
torch = pytest.importorskip("torch", reason="the extra tabicl is not installed")

SMALL = {
    "embed_dim": 16,
    "col_num_blocks": 1,
    "col_nhead": 2,
    "col_num_inds": 8,
    "row_num_blocks": 1,
    "row_nhead": 2,
    "row_num_cls": 2,
    "icl_num_blocks": 1,
    "icl_nhead": 2,
}


def checkpoint(folder, *, classes=10):
    from tabicl._model.tabicl import TabICL

    torch.manual_seed(0)
    shape = {**SMALL, "max_classes": classes, "num_quantiles": 19}
    model = TabICL(**shape)
    for weight in model.parameters():  # residual branches begin as zeros: then nothing would depend on the rows
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.2)
    path = folder / f"{classes}.ckpt"
    torch.save({"config": shape, "state_dict": model.state_dict()}, path)
    return path


class TestTabicl(FamilyConformance):
    tolerance = 1e-5  # single precision

    @pytest.fixture
    def family(self) -> TabiclFamily:
        return TabiclFamily()

    @pytest.fixture(scope="class")
    @classmethod
    def params(cls, tmp_path_factory) -> TabiclParams:
        return TabiclParams(weights=str(checkpoint(tmp_path_factory.mktemp("weights"))), views=1)

    def job_of(self, task, params, folder, **how):
        if task == "regression":
            params = replace(params, weights=str(checkpoint(folder, classes=0)))
        return super().job_of(task, params, folder, **how)

    @pytest.mark.skip(reason="random weights, and nothing is trained")
    def test_it_predicts_better_than_chance(self):
        pass

    def test_regression(self, family, params, tmp_path):
        job = self.job_of("regression", params, tmp_path)
        predictions = family.fit(job).predict(self.held(job))
        assert predictions.values_n.shape == (40,)
        assert np.isfinite(predictions.values_n).all()

    def test_what_the_library_says_is_what_is_said(self, family, job):
        from tabicl import TabICLClassifier

        model = family.fit(replace(job, params=replace(job.params, balanced=False)))
        library = TabICLClassifier(
            n_estimators=1, model_path=job.params.weights, allow_auto_download=False, random_state=3, device="cpu"
        ).fit(model.state.row_md, model.state.value_m)
        x_nd = model.state.table(self.held(job).with_columns(pl.col("numeric").fill_null(0.0)))
        expected_nk = library.predict_proba(np.asarray(x_nd.toarray() if hasattr(x_nd, "toarray") else x_nd, "f4"))
        answers = model.predict(self.held(job).with_columns(pl.col("numeric").fill_null(0.0)))
        np.testing.assert_allclose(answers.probabilities_nk, expected_nk, atol=1e-5)
        assert answers.probabilities_nk.std(axis=0).max() > 1e-4  # it does depend on the row

    def test_balanced_classes_weigh_the_same(self, family, job):
        plain, even = (
            family.fit(replace(job, params=replace(job.params, balanced=each))).predict(self.held(job))
            for each in (False, True)
        )
        shares = pl.concat([job.train, job.validation])["target"].value_counts().sort("target")["count"].to_numpy()
        expected_nk = plain.probabilities_nk / shares
        expected_nk /= expected_nk.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(even.probabilities_nk, expected_nk, atol=1e-6)

    def test_a_part_of_many_rows_is_read_and_the_rest_counted(self, family, job):
        losses = []
        model = family.fit(replace(job, params=replace(job.params, max_rows=50), on_loss=losses.append))
        assert len(model.state.row_md) == 50
        assert [(loss.count, loss.of) for loss in losses] == [(150, 200)]

    def test_more_classes_than_the_weights_were_made_for(self, family, params, tmp_path):
        few = replace(params, weights=str(checkpoint(tmp_path, classes=3)))
        job = self.job_of("classification", few, tmp_path, classes=5)
        assert family.fit(job).predict(self.held(job)).probabilities_nk.shape == (40, 5)

    def test_what_is_no_checkpoint_is_refused(self, family, job, tmp_path):
        with pytest.raises(NotFoundError, match="found no file"):
            family.require(TabiclParams(weights=str(tmp_path / "none.ckpt")))
        (tmp_path / "words.ckpt").write_text("hello")
        for name, match in (
            ("words.ckpt", "cannot be read"),
            (checkpoint(tmp_path, classes=0).name, "is for regression"),
        ):
            with pytest.raises(CandidateError, match=match):
                family.fit(replace(job, params=replace(job.params, weights=str(tmp_path / name))))

    def test_without_the_library_it_names_its_extra(self, family, job, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(MissingExtraError, match=r"module 'torch': pip install \"bakeoff\[tabicl\]\""):
            family.fit(job)

    def test_a_checkpoint_with_code_in_it_runs_nothing(self, family, job, tmp_path):
        class Code:
            def __reduce__(self):
                return (print, ("ran",))

        torch.save({"config": SMALL, "state_dict": Code()}, tmp_path / "code.ckpt")
        with pytest.raises(CandidateError, match="cannot be read"):
            family.fit(replace(job, params=replace(job.params, weights=str(tmp_path / "code.ckpt"))))

    def test_weights_of_another_shape_are_found(self, family, job, tmp_path):
        model = family.fit(job)
        (tmp_path / "model").mkdir()
        replace(model, weights=family.fit(job).weights[:-4]).save(tmp_path / "model")
        with pytest.raises(CorruptError):
            family.load(tmp_path / "model", 1)
        assert WEIGHTS in {path.name for path in (tmp_path / "model").iterdir()}
