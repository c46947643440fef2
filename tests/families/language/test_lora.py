import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bakeoff.core.errors import CandidateError
from bakeoff.core.types import Column, Schema
from bakeoff.families.language.lora import LoraFamily, LoraParams
from bakeoff.testing.families import FamilyConformance

pytestmark = pytest.mark.slow


class TestLora(FamilyConformance):
    tolerance = 1e-4

    @pytest.fixture
    def family(self) -> LoraFamily:
        return LoraFamily()

    @pytest.fixture
    def params(self, tiny: Path) -> LoraParams:
        return LoraParams(model=str(tiny), layers=1, learning_rate=2e-2, epochs=3, precision="fp32", max_tokens=64)

    def test_labels_as_tokens(self, family, job, params) -> None:
        own = dataclasses.replace(params, head="labels")
        with pytest.raises(CandidateError, match="first tokens differ"):
            family.fit(dataclasses.replace(job, params=own))
        renamed = [
            table.with_columns(pl.col("target").replace({"class 0": "no", "class 1": "yes"}))
            for table in (job.train, job.validation)
        ]
        model = family.fit(dataclasses.replace(job, params=own, train=renamed[0], validation=renamed[1]))
        assert set(model.predict(self.held(job)).values_n) <= {"no", "yes"}
        assert "Answer with one of: no, yes" in model.state.reading.prompt.instruction

    def test_rows_minutes_and_pieces(self, family, job, params) -> None:
        told: list[str] = []
        losses = []
        own = dataclasses.replace(params, max_train_rows=40, max_minutes=0.01, batch=4, accumulate=2, epochs=200)
        own = dataclasses.replace(own, max_tokens=1)
        made = dataclasses.replace(job, params=own, progress=told.append, on_loss=losses.append)
        model = family.fit(made)
        assert any("training on 40 of 160 rows" in line for line in told)
        assert model.chosen["rows"] == 40
        assert model.chosen["planned_steps"] < 1000
        rows, trained, held = losses
        assert (rows.kind, rows.reason, rows.count, rows.of) == ("row", "max_train_rows", 120, 160)
        assert (trained.of, held.of) == (40, len(job.validation))
        assert all(0 < texts.count <= texts.of for texts in (trained, held))

    def test_a_limit_ends_training_and_more_time_goes_on_where_it_ended(self, family, job) -> None:
        cuts: list[str] = []
        told: list[str] = []
        cut = family.fit(dataclasses.replace(job, limit_s=0.0, on_cut=cuts.append))
        planned = cut.chosen["planned_steps"]
        assert cuts == [f"1 of {planned} steps were trained; with more time it goes on there"]
        whole = family.fit(dataclasses.replace(job, progress=told.append))
        assert f"going on at step 1 of {planned}" in told
        fresh = family.fit(dataclasses.replace(job, cache=job.cache / "other"))
        assert whole.chosen == fresh.chosen
        held = self.held(job)
        assert (whole.predict(held).probabilities_nk == fresh.predict(held).probabilities_nk).all()

    def test_checkpointing_changes_nothing(self, family, job, params) -> None:
        own = dataclasses.replace(params, checkpointing=True, max_train_rows=32)
        plain = dataclasses.replace(own, checkpointing=False)
        losses = [
            family.fit(dataclasses.replace(job, params=p)).chosen["validation_losses"][-1][1] for p in (own, plain)
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4)

    def test_the_fit_without_validation_rows_is_taken_from_the_first(self, family, job) -> None:
        first = family.fit(job)
        told: list[str] = []
        again = family.fit(
            dataclasses.replace(job, validation=job.validation[:0], chosen=first.chosen, progress=told.append)
        )
        assert told == ["taking what an earlier fit trained on the same rows"]
        assert (again.predict(self.held(job)).probabilities_nk == first.predict(self.held(job)).probabilities_nk).all()

    def test_the_top_on_kept_states_learns_what_the_whole_does(self, family, job, params, monkeypatch) -> None:
        from bakeoff.families.language.network import Network

        kept = family.fit(job)
        monkeypatch.setattr(Network, "_splits_well", lambda self: False)
        other = dataclasses.replace(job, cache=job.cache.with_name("other"))
        whole = family.fit(other)
        assert whole.chosen["validation_losses"][-1][1] == pytest.approx(
            kept.chosen["validation_losses"][-1][1], rel=1e-3
        )

    def test_a_loaded_model_may_use_the_cache(self, family, job, tmp_path, monkeypatch) -> None:
        model = family.fit(job)
        (tmp_path / "model").mkdir()
        model.save(tmp_path / "model")
        expected = family.load(tmp_path / "model", 1, job.cache).predict(self.held(job)).probabilities_nk
        again = family.load(tmp_path / "model", 1, job.cache)
        monkeypatch.setattr(type(again.backbone), "hidden", None)
        assert (again.predict(self.held(job)).probabilities_nk == expected).all()

    def test_no_memory_is_one_error_that_names_what_to_change(self, family, job, monkeypatch) -> None:
        from bakeoff.families.language.network import Network

        def full(*_: object) -> None:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

        monkeypatch.setattr(Network, "hidden", full)
        with pytest.raises(CandidateError, match="set batch = 8 with accumulate = 2"):
            family.fit(job)

    def test_answers_are_generated(self, family, params, tmp_path: Path) -> None:
        questions = [f"{letter}{letter}ord" for letter in "abcdefgh"] * 8
        table = pl.DataFrame({"ask": questions, "say": [f"sign{i % 2}" for i in range(64)]})
        columns = (Column(name="ask", kind="text", dtype="String"), Column(name="say", kind="text", dtype="String"))
        own = dataclasses.replace(params, epochs=20, layers=0, max_new_tokens=6)
        job = dataclasses.replace(
            self.job_of("classification", own, tmp_path),
            task="generation",
            schema=Schema(columns=columns, target="say", inputs=("ask",)),
            train=table[:56],
            validation=table[56:],
        )
        said = family.fit(job).predict(table[56:]).values_n
        assert np.mean(said == table[56:]["say"].to_numpy()) > 0.7


FIT = """
import sys
from pathlib import Path
import bakeoff.families.language.training as training
training.SAVED_EVERY_S = 0.0
from bakeoff.families.language.lora import LoraFamily, LoraParams
from bakeoff.testing.families import FamilyConformance
params = LoraParams(model=sys.argv[1], layers=1, dropout=0.1, learning_rate=1e-2, epochs=6, precision="fp32")
LoraFamily().fit(FamilyConformance().job_of("classification", params, Path(sys.argv[2]), columns=("text",)))
"""


def test_a_killed_training_goes_on_to_the_same_loss(tiny: Path, tmp_path: Path) -> None:
    params = LoraParams(model=str(tiny), layers=1, dropout=0.1, learning_rate=1e-2, epochs=6, precision="fp32")
    said: list[str] = []

    def losses(folder: Path) -> dict[str, float]:
        job = FamilyConformance().job_of("classification", params, folder, columns=("text",))
        return dict(LoraFamily().fit(dataclasses.replace(job, progress=said.append)).chosen["validation_losses"])

    whole = losses(tmp_path / "whole")
    assert not any("going on" in line for line in said)
    with subprocess.Popen([sys.executable, "-c", FIT, str(tiny), str(tmp_path / "cut")]) as process:
        state = tmp_path / "cut" / "cache" / "language" / "training"
        while not list(state.glob("*/state.safetensors")):
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    again = losses(tmp_path / "cut")
    assert any("going on at step" in line for line in said)
    assert again == pytest.approx(whole, rel=1e-3)
    assert not list(state.iterdir())
