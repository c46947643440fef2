"""Families whose models are made of others."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CandidateError, ConfigError, CorruptError
from bakeoff.core.jobs import MODEL, JobContext
from bakeoff.families.linear import LinearFamily, LinearParams
from bakeoff.families.wrappers.blend import BlendFamily, BlendParams
from bakeoff.families.wrappers.calibrated import CalibratedFamily, CalibratedParams
from bakeoff.families.wrappers.cascade import CascadeFamily, CascadeParams
from bakeoff.families.wrappers.members import AssembleArgument, Member, assemble, member_input
from bakeoff.testing.families import FamilyConformance

QUICK = (
    Member(name="linear", family="linear", params={"penalty": 1.0, "features": False}),
    Member(name="trees", family="boosting", params={"trees": 20, "min_leaf_rows": 5}),
)


class TestBlend(FamilyConformance):
    @pytest.fixture
    def family(self) -> BlendFamily:
        return BlendFamily()

    @pytest.fixture
    def params(self) -> BlendParams:
        return BlendParams(members=QUICK, weights=(0.3, 0.7))

    def test_it_answers_with_the_weighted_mean(self, family, job):
        model = family.fit(job)
        held = self.held(job)
        parts = [member.predict(held).probabilities_nk for member in model.models]
        found = model.predict(held).probabilities_nk
        np.testing.assert_allclose(found, 0.3 * parts[0] + 0.7 * parts[1])

    def test_stacked_answers_are_a_logistic_regression_on_log_odds(self, family, job):
        params = BlendParams(members=QUICK, weights=(0.5, 1.5), log=True, biases={"class 1": 0.25})
        model = family.fit(replace(job, params=params))
        held = self.held(job)
        odds = [np.log(p[:, 1] / p[:, 0]) for p in (m.predict(held).probabilities_nk for m in model.models)]
        expected = 1 / (1 + np.exp(-(0.5 * odds[0] + 1.5 * odds[1] + 0.25)))
        np.testing.assert_allclose(model.predict(held).probabilities_nk[:, 1], expected)

    @pytest.mark.parametrize(
        "params",
        [
            BlendParams(members=QUICK, weights=(1.0,)),
            BlendParams(members=QUICK, weights=(0.9, 0.9)),
            BlendParams(members=QUICK[:1]),
            BlendParams(members=(QUICK[0], QUICK[0])),
        ],
    )
    def test_members_and_weights_must_fit(self, family, job, params):
        with pytest.raises(CandidateError, match="expected"):
            family.fit(replace(job, params=params))

    def test_a_wrong_parameter_of_a_member_is_named(self, family, job):
        wrong = Member(name="linear", family="linear", params={"penlty": 1.0})
        with pytest.raises(ConfigError, match="Did you mean 'penalty'"):
            family.fit(replace(job, params=BlendParams(members=(wrong, QUICK[1]))))

    def test_a_path_out_of_the_folder_is_refused(self, family, job, tmp_path):
        from bakeoff.core.hashing import digest

        folder = tmp_path / "model"
        folder.mkdir()
        family.fit(job).save(folder)
        document = json.loads((folder / "model.json").read_text())
        document["members"][0]["files"] = {"../../../outside": "0"}
        (folder / "model.json").write_text(json.dumps(document))
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"]["model.json"] = digest((folder / "model.json").read_bytes())
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(CorruptError, match="inside member"):
            family.load(folder, 1)


class TestCascade(FamilyConformance):
    @pytest.fixture
    def family(self) -> CascadeFamily:
        return CascadeFamily()

    @pytest.fixture
    def params(self) -> CascadeParams:
        return CascadeParams(members=QUICK)

    def test_only_unsure_rows_reach_the_next_member(self, family, job):
        model = family.fit(job)
        held = self.held(job)
        first, second = (member.predict(held).probabilities_nk for member in model.models)
        unsure = first.max(axis=1) < 0.8
        assert 0 < unsure.sum() < len(held)
        found = model.predict(held).probabilities_nk
        np.testing.assert_allclose(found[~unsure], first[~unsure])
        np.testing.assert_allclose(found[unsure], second[unsure])

    def test_doubted_classes_go_on_and_answers_are_pooled(self, family, job):
        params = CascadeParams(members=QUICK, thresholds=(0.0,), doubted=("class 1",), pooled=True)
        model = family.fit(replace(job, params=params))
        held = self.held(job)
        first, second = (member.predict(held).probabilities_nk for member in model.models)
        doubted = first.argmax(axis=1) == 1
        found = model.predict(held).probabilities_nk
        np.testing.assert_allclose(found[~doubted], first[~doubted])
        np.testing.assert_allclose(found[doubted], (first[doubted] + second[doubted]) / 2)

    def test_thresholds_must_fit(self, family, job):
        with pytest.raises(CandidateError, match="expected 1 thresholds"):
            family.fit(replace(job, params=CascadeParams(members=QUICK, thresholds=(0.5, 0.6))))


def test_assembled_from_saved_members_is_the_model_that_fitting_makes(tmp_path):
    suite = FamilyConformance()
    job = suite.job_of("classification", LinearParams(), tmp_path)
    folders = []
    members = (
        Member(name="a", family="linear", params={"penalty": 1.0, "features": False}),
        Member(name="b", family="linear", params={"penalty": 100.0, "features": False}),
    )
    for member in members:
        folder = tmp_path / member.name
        folder.mkdir()
        LinearFamily().fit(replace(job, params=LinearParams(**member.params))).save(folder)
        folders.append(folder)
    params = {"members": [{"name": m.name, "family": m.family, "params": m.params} for m in members]}
    context = JobContext(
        inputs={member_input(at): folder for at, folder in enumerate(folders)},
        outputs={MODEL: tmp_path / "out"},
        scratch=tmp_path / "scratch",
        cache=tmp_path / "cache",
        threads=1,
        progress=lambda _: None,
    )
    value = assemble(AssembleArgument(family="blend", params=params), context)
    fitted = BlendFamily().fit(replace(job, params=BlendParams(members=members)))
    held = suite.held(job)
    loaded = BlendFamily().load(tmp_path / "out", 1)
    assert tuple(value.signature["classes"]) == fitted.signature.classes
    np.testing.assert_array_equal(loaded.predict(held).probabilities_nk, fitted.predict(held).probabilities_nk)


def test_a_blend_of_numbers(tmp_path):
    suite = FamilyConformance()
    params = BlendParams(members=QUICK, weights=(0.25, 0.75))
    job = suite.job_of("regression", params, tmp_path)
    model = BlendFamily().fit(job)
    held: pl.DataFrame = suite.held(job)
    first, second = (member.predict(held).values_n for member in model.models)
    np.testing.assert_allclose(model.predict(held).values_n, 0.25 * first + 0.75 * second)


class TestCalibrated(FamilyConformance):
    @pytest.fixture
    def family(self) -> CalibratedFamily:
        return CalibratedFamily()

    @pytest.fixture
    def params(self) -> CalibratedParams:
        return CalibratedParams(members=QUICK[:1], temperature=2.0)

    def test_a_temperature_divides_log_odds(self, family, job):
        model = family.fit(job)
        held = self.held(job)
        raw, scaled = (each.predict(held).probabilities_nk for each in (model.models[0], model))
        odds = [np.log(p[:, 1] / p[:, 0]) for p in (raw, scaled)]
        np.testing.assert_allclose(odds[1], odds[0] / 2, atol=1e-6)

    def test_it_answers_what_costs_least(self, family, job):
        """Of class 0 is dear to miss: from a twentieth on it is answered."""
        params = CalibratedParams(members=QUICK[:1], costs=((0.0, 19.0), (1.0, 0.0)))
        model, held = family.fit(replace(job, params=params)), self.held(job)
        said = model.predict(held)
        first_n = model.models[0].predict(held).probabilities_nk[:, 0]
        np.testing.assert_allclose(said.probabilities_nk[:, 0], first_n)
        assert said.values_n.tolist() == np.where(first_n >= 0.05, "class 0", "class 1").tolist()
        assert (first_n[said.values_n == "class 0"] < 0.5).any()

    @pytest.mark.parametrize(
        "params",
        [
            CalibratedParams(members=QUICK),
            CalibratedParams(members=QUICK[:1], costs=((0.0, 1.0),)),
            CalibratedParams(members=QUICK[:1], x=((0.0, 1.0),), y=((0.1, 0.9),)),
            CalibratedParams(members=QUICK[:1], x=((0.0, 1.0), (0.0,)), y=((0.1, 0.9), ())),
        ],
    )
    def test_what_does_not_fit_is_refused(self, family, job, params):
        with pytest.raises(CandidateError, match="expected"):
            family.fit(replace(job, params=params))
