"""One training in several processes: the same steps as in one, and one error when a process fails."""

import dataclasses
import pickle
import shutil
from pathlib import Path

import pytest

from bakeoff.core.errors import BakeoffError
from bakeoff.core.jobs import Peer
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


class LostError(Exception):
    """A machine that loses its power."""


class Elsewhere:
    """Calls a function on machines of one process each, which share no folder; the first ones end when they keep."""

    def __init__(self, home: Path, machines: Path, lost: int) -> None:
        self.home, self.machines, self.lost, self.lines = home, machines, lost, []
        self.checkpoint: tuple[Path, bytes] | None = None

    def __call__(self, function, argument, *, size, needs):
        assert size == 2
        for number in range(9):
            cache = self.machines / str(number)
            for folder in needs:
                shutil.copytree(folder, cache / folder.relative_to(self.home))
            if self.checkpoint is not None:
                (cache / self.checkpoint[0]).parent.mkdir(parents=True)
                (cache / self.checkpoint[0]).write_bytes(self.checkpoint[1])

            def keep(file, cache=cache, number=number):
                self.checkpoint = file.relative_to(cache), file.read_bytes()
                if number < self.lost:
                    raise LostError

            peer = Peer(rank=0, size=1, device=0, cache=cache, progress=self.lines.append, keep=keep)
            try:
                folder, value = function(pickle.loads(pickle.dumps(argument)), peer)
            except LostError:
                shutil.rmtree(cache)
                continue
            shutil.copytree(folder, self.home / folder.relative_to(cache))
            return self.home / folder.relative_to(cache), value
        raise AssertionError("expected one of nine to last")


def test_a_training_goes_on_on_another_machine_from_what_was_kept(tiny: Path, tmp_path: Path) -> None:
    one = LoraFamily().fit(job_of(tiny, tmp_path / "one", checks=4))
    resumed: list[str] = []
    job = job_of(tiny, tmp_path / "two", checks=4, processes=2)
    elsewhere = Elsewhere(job.cache, tmp_path / "machines", lost=2)
    there = LoraFamily().fit(dataclasses.replace(job, spread=elsewhere, on_resumed=resumed.append))
    steps = [step for step, _ in one.chosen["validation_losses"]]
    assert resumed == [f"after step {step} of {one.chosen['planned_steps']}" for step in steps[:2]]
    assert sum("going on at step" in line for line in elsewhere.lines) == 2
    assert there.chosen == one.chosen
    held = job.validation.drop("target")
    assert there.predict(held).probabilities_nk == pytest.approx(one.predict(held).probabilities_nk, abs=1e-6)


def test_processes_with_other_checkpoints_begin_anew() -> None:
    class Pair(Group):
        def summed(self, *values):
            return [value + other for value, other in zip(values, (7.0, 49.0), strict=True)]

    assert Pair(size=2).agrees(7)
    assert not Pair(size=2).agrees(-1)
    assert Group().agrees(-1)
