"""One training in several processes: the same steps as in one, and one error when a process fails."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from bakeoff.core.errors import BakeoffError
from bakeoff.families.language import finetune as tuning
from bakeoff.families.language.distributed import Group
from bakeoff.families.language.lora import LoraFamily, LoraParams
from bakeoff.testing.families import FamilyConformance

pytestmark = pytest.mark.slow


def job_of(tiny, folder, **given):
    params = LoraParams(model=str(tiny), layers=1, learning_rate=1e-2, epochs=2, batch=6, precision="fp32", **given)
    return FamilyConformance().job_of("classification", params, folder, columns=("text",))


def test_alone_everything_is_its_own() -> None:
    assert (Group().share([1, 2, 3]), Group().summed(0.1, 2.0), Group().device) == ([1, 2, 3], [0.1, 2.0], None)
    shares = [Group(rank=rank, size=3).share([5, 6, 7, 8]) for rank in range(3)]
    assert shares == [[5, 8], [6], [7]]


def test_two_processes_take_the_steps_of_one(tiny: Path, tmp_path: Path) -> None:
    one = LoraFamily().fit(job_of(tiny, tmp_path / "one", accumulate=2))
    told: list[str] = []
    job = dataclasses.replace(job_of(tiny, tmp_path / "two", accumulate=2, processes=2), progress=told.append)
    two = LoraFamily().fit(job)
    assert "training in 2 processes" in told
    assert sum("validation loss" in line for line in told) == len(one.chosen["validation_losses"])
    assert two.chosen["planned_steps"] == one.chosen["planned_steps"]
    assert dict(two.chosen["validation_losses"]) == pytest.approx(dict(one.chosen["validation_losses"]), rel=1e-4)
    held = job.validation.drop("target")
    assert two.predict(held).probabilities_nk == pytest.approx(one.predict(held).probabilities_nk, abs=1e-4)
    assert not list((tmp_path / "two").rglob(".meeting-*"))


def test_a_process_that_fails_ends_all_with_its_error(tiny: Path, tmp_path: Path, monkeypatch) -> None:
    spread = tuning.spread

    def without_base(function, argument, **given):
        shutil.rmtree(argument[0].base.folder)
        return spread(function, argument, **given)

    monkeypatch.setattr(tuning, "spread", without_base)
    with pytest.raises(BakeoffError, match="expected"):
        LoraFamily().fit(job_of(tiny, tmp_path, processes=2))
