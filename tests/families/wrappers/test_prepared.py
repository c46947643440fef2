"""A family behind steps that are fitted on training rows."""

import json
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import pytest

from bakeoff.core import plugins
from bakeoff.core.abilities import abilities_of
from bakeoff.core.errors import CandidateError, ConfigError, CorruptError
from bakeoff.core.families import weighs
from bakeoff.core.hashing import digest
from bakeoff.core.protocols import FitJob, Usage
from bakeoff.data.snapshot import row_hashes
from bakeoff.families.linear import LinearFamily
from bakeoff.families.wrappers.blend import BlendFamily, BlendParams
from bakeoff.families.wrappers.members import Member
from bakeoff.families.wrappers.prepared import PreparedFamily, PreparedParams, StepSpec
from bakeoff.testing.families import FamilyConformance

STEPS = (
    StepSpec(name="impute", version=1, params={}),
    StepSpec(name="group_rare", version=1, params={"min_rows": 3}),
    StepSpec(name="clip_outliers", version=1, params={"low": 0.05, "high": 0.95}),
    StepSpec(name="datetime_parts", version=1, params={"cyclic": True}),
    StepSpec(name="encode_target", version=1, params={}),
    StepSpec(name="scale", version=1, params={}),
)
PARAMS = PreparedParams(family="linear", params={"penalty": 1.0}, steps=STEPS)


def whole(job: FitJob) -> FitJob:
    """The job without the rows that have gaps (texts aside)."""
    names = [name for name in job.schema.inputs if name != "text"]
    return replace(job, train=job.train.drop_nulls(names), validation=job.validation.drop_nulls(names))


@dataclass(frozen=True)
class _Paying:
    """A model that pays for its answers."""

    model: Any

    @property
    def usage(self) -> Usage:
        return Usage(rows=7)

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "model"), name)


class TestPrepared(FamilyConformance):
    @pytest.fixture
    def family(self) -> PreparedFamily:
        return PreparedFamily()

    @pytest.fixture
    def params(self) -> PreparedParams:
        return PARAMS

    def test_a_gap_that_no_row_had_is_filled_with_the_middle(self, family, job, tmp_path):
        without = replace(job, params=replace(PARAMS, steps=STEPS[1:]))
        super().test_a_gap_that_no_row_had_is_filled_with_the_middle(family, without, tmp_path)

    def test_single_rows_take_the_short_way_to_the_same_features(self, family, job, tmp_path):
        short = ("impute", "group_rare", "encode_frequency", "drop_constant", "clip_outliers", "scale")
        steps = tuple(StepSpec(name=name, version=1, params={}) for name in short)
        family.fit(replace(job, params=replace(PARAMS, steps=steps))).save(tmp_path)
        model = family.load(tmp_path, threads=1)
        assert model.by_row is not None
        held = self.held(job)
        alone = pl.concat([model.features(held[at : at + 1]) for at in range(20)])
        assert alone.equals(model.features(held)[:20])
        assert PreparedFamily().fit(replace(job, params=PARAMS)).by_row is None

    def test_a_step_that_fills_gaps_goes_before_the_model(self, family, job):
        zero = StepSpec(name="impute", version=1, params={"numeric": "constant", "value": 0.0})
        model = family.fit(replace(whole(job), params=replace(PARAMS, steps=(zero,))))
        held = self.held(job)
        gaps = held.with_columns(pl.lit(None, pl.Float64).alias("numeric"))
        assert model.predict(gaps).probabilities_nk.tolist() == (
            model.predict(held.with_columns(numeric=0.0)).probabilities_nk.tolist()
        )

    def test_a_category_that_no_row_has_means_nothing(self, family, job):
        model = family.fit(replace(whole(job), params=replace(PARAMS, steps=STEPS[:1])))
        held = self.held(job)
        gaps = held.with_columns(pl.lit(None, pl.String).alias("categorical"))
        often = pl.concat([whole(job).train, whole(job).validation])["categorical"].mode().sort()[0]
        assert model.predict(gaps).probabilities_nk.tolist() == (
            model.predict(held.with_columns(categorical=pl.lit(often))).probabilities_nk.tolist()
        )

    def test_regression(self, family, params, tmp_path):
        job = self.job_of("regression", params, tmp_path)
        model = family.fit(job)
        assert len(model.predict(self.held(job))) == len(self.held(job))

    def test_the_model_within_sees_the_features_of_its_training_rows(self, family, job, monkeypatch):
        seen = {}

        def fit(self, job, real=LinearFamily.fit):
            seen["train"], seen["validation"], seen["schema"] = job.train, job.validation, job.schema
            return real(self, job)

        monkeypatch.setattr(LinearFamily, "fit", fit)
        steps = tuple(step for step in STEPS if step.name != "encode_target")
        model = family.fit(replace(job, params=replace(PARAMS, steps=steps)))
        for part in ("train", "validation"):
            rows = getattr(job, part)
            seen_n = row_hashes(seen[part].drop("target"))
            assert seen_n.tolist() == row_hashes(model.features(rows)).tolist()
            assert seen[part]["target"].equals(rows["target"])
        assert seen["schema"].inputs == tuple(model.features(job.train).columns)
        assert {column.name for column in seen["schema"].columns} == {*seen["schema"].inputs, "target"}

    def test_columns_that_a_step_drops_are_lost(self, family, job):
        losses = []
        steps = (StepSpec(name="drop_constant", version=1, params={}), *STEPS[:1])
        train = job.train.with_columns(categorical=pl.lit("one"))
        family.fit(replace(job, params=replace(PARAMS, steps=steps), train=train, on_loss=losses.append))
        assert [(loss.kind, loss.reason, loss.subject) for loss in losses] == [
            ("column", "step drop_constant", "categorical")
        ]
        losses.clear()
        family.fit(replace(job, on_loss=losses.append))  # columns that become others are not lost
        assert losses == []

    def test_steps_learn_from_training_rows_alone(self, family, job):
        model = family.fit(job)
        other = job.validation.with_columns(pl.col("numeric") * 1e6, categorical=pl.lit("elsewhere"))
        again = family.fit(replace(job, validation=other))
        assert [step.learned for step in again.state.steps] == [step.learned for step in model.state.steps]

    def test_the_size_of_converted_weights_is_told_through_the_steps(self, family, job):
        @dataclass(frozen=True)
        class Converting:
            weights_bytes: int

        model = family.fit(job)
        assert abilities_of(model).weights_bytes is None
        assert abilities_of(replace(model, model=Converting(7))).weights_bytes() == 7

    def test_inputs_are_those_before_the_steps(self, family, job):
        model = family.fit(job)
        assert tuple(column.name for column in model.signature.inputs) == job.schema.inputs
        assert set(model.features(self.held(job)).columns) != set(job.schema.inputs)

    def test_a_blend_may_have_prepared_members(self, job, tmp_path):
        own = {"family": "boosting", "params": {"trees": 5}, "steps": [{"name": "impute", "version": 1, "params": {}}]}
        members = (Member(name="a", family="prepared", params=own), Member(name="b", family="linear"))
        model = BlendFamily().fit(replace(job, params=BlendParams(members=members)))
        (tmp_path / "blend").mkdir()
        model.save(tmp_path / "blend")
        loaded = BlendFamily().load(tmp_path / "blend", 1)
        held = self.held(job)
        assert (loaded.predict(held).probabilities_nk == model.predict(held).probabilities_nk).all()

    def test_a_model_made_with_another_version_of_a_step_is_refused(self, family, job, tmp_path, monkeypatch):
        folder = tmp_path / "model"
        folder.mkdir()
        family.fit(job).save(folder)
        newer = replace(plugins.load("bakeoff.prepare", "scale"), version=2)
        monkeypatch.setattr("bakeoff.prepare.columns.numbers.scale", newer)
        with pytest.raises(CandidateError, match="'scale' in version 1, found 2"):
            family.load(folder, 1)

    def test_what_a_step_learned_is_checked_when_it_is_read(self, family, job, tmp_path):
        folder = tmp_path / "model"
        folder.mkdir()
        family.fit(job).save(folder)
        document = json.loads((folder / "model.json").read_text())
        document["steps"][2]["learned"] = {"limits": {"numeric": "none"}}
        (folder / "model.json").write_text(json.dumps(document))
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"]["model.json"] = digest((folder / "model.json").read_bytes())
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(CorruptError, match="what step 'clip_outliers' learned"):
            family.load(folder, 1)

    def test_wrong_parameters_are_named(self, family, job):
        with pytest.raises(ConfigError, match="Did you mean 'penalty'"):
            family.fit(replace(job, params=replace(PARAMS, params={"penlty": 1.0})))
        wrong = (StepSpec(name="scale", version=1, params={"by": "hand"}),)
        with pytest.raises(ConfigError, match=r"steps\.scale\.by"):
            family.fit(replace(job, params=replace(PARAMS, steps=wrong)))

    def test_steps_that_leave_no_column_are_told_of(self, family, job):
        only = replace(job, schema=replace(job.schema, inputs=("datetime",)))
        gone = (StepSpec(name="datetime_parts", version=1, params={"parts": []}),)
        with pytest.raises(CandidateError, match="at least one input column"):
            family.fit(replace(only, params=replace(PARAMS, steps=gone)))

    def test_usage_is_that_of_the_model_within(self, family, job, monkeypatch):
        assert abilities_of(family.fit(job)).usage is None
        real = LinearFamily.fit
        monkeypatch.setattr(LinearFamily, "fit", lambda self, job: _Paying(real(self, job)))
        model = family.fit(job)
        assert abilities_of(model).usage().rows == 7


def test_whether_it_weighs_is_that_of_the_family_within_however_deep():
    """The parameters of the family within were given to it as they are written, which it could not read."""
    inner = {"family": "linear", "params": {"penalty": 1.0}}
    assert weighs(PreparedFamily(), PreparedParams(family="prepared", params=inner))
    assert not weighs(PreparedFamily(), PreparedParams(family="prepared", params={"family": "neighbours"}))
    with pytest.raises(ConfigError, match="penalti"):
        weighs(PreparedFamily(), PreparedParams(family="linear", params={"penalti": 1.0}))
