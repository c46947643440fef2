"""What every `Compute` must do; derive from `ComputeConformance` and give the fixture `compute`.

    class TestMine(ComputeConformance):
        @pytest.fixture
        def compute(self):
            return MyCompute()

Set `isolates` to False for a backend whose jobs share the caller's process.
"""

# ruff: noqa: ARG001, D102  # jobs have two parameters; the names of the tests say what they do

import os
import signal
from collections.abc import Iterator, Mapping

import pytest

from bakeoff.core.protocols import Compute, Job, JobResult, Progress
from bakeoff.core.types import Json

__all__ = ["ComputeConformance", "double", "end", "fail"]


def double(argument: Mapping[str, int], progress: Progress) -> dict[str, Json]:
    """A job that works."""
    progress(f"doubling {argument['x']}")
    return {"y": argument["x"] * 2}


def fail(argument: Mapping[str, Json], progress: Progress) -> dict[str, Json]:
    """A job that raises."""
    raise ValueError("no such luck")


def end(argument: Mapping[str, Json], progress: Progress) -> dict[str, Json]:
    """A job whose process is killed, as by a lack of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("expected the process to end")


def _job(name: str, function: str, **argument: Json) -> Job:
    return Job(name=name, function=f"{__name__}:{function}", argument=argument)


class ComputeConformance:
    """The tests."""

    isolates = True
    """Whether a job that dies leaves the caller alive."""

    @pytest.fixture
    def compute(self) -> Compute:
        """The backend under test."""
        raise NotImplementedError

    def run(self, compute: Compute, *jobs: Job, exclusive: bool = False) -> dict[str, JobResult]:
        """Results by the name of their job."""
        results = list(compute.run(jobs, progress=lambda _name, _line: None, exclusive=exclusive))
        assert len(results) == len(jobs)
        return {result.name: result for result in results}

    def test_it_says_how_many_threads_a_job_may_use(self, compute: Compute) -> None:
        assert compute.threads > 0

    @pytest.mark.parametrize("exclusive", [False, True])
    def test_each_job_has_a_result(self, compute: Compute, *, exclusive: bool) -> None:
        jobs = [_job(f"job {x}", "double", x=x) for x in range(3)]
        results = self.run(compute, *jobs, exclusive=exclusive)
        assert [results[f"job {x}"].value for x in range(3)] == [{"y": 0}, {"y": 2}, {"y": 4}]
        assert all(result.error is None and result.seconds >= 0 for result in results.values())

    def test_progress_names_the_job(self, compute: Compute) -> None:
        lines: list[tuple[str, str]] = []
        jobs = [_job("a", "double", x=2), _job("b", "double", x=3)]
        list(compute.run(jobs, progress=lambda *line: lines.append(line)))
        assert sorted(lines) == [("a", "doubling 2"), ("b", "doubling 3")]

    def test_a_job_that_raises_is_a_result_and_the_others_go_on(self, compute: Compute) -> None:
        nowhere = Job(name="nowhere", function="bakeoff.testing.compute:no_such_function", argument={})
        results = self.run(compute, _job("fails", "fail"), nowhere, _job("fine", "double", x=1))
        assert results["fails"].value is None
        assert "no such luck" in str(results["fails"].error)
        assert "no such luck" in str(results["fails"].traceback)
        assert results["nowhere"].error is not None
        assert results["fine"].value == {"y": 2}

    def test_a_job_that_dies_is_a_result_and_the_others_go_on(self, compute: Compute) -> None:
        if not self.isolates:
            pytest.skip("jobs share the caller's process")
        results = self.run(compute, _job("dies", "end"), _job("fine", "double", x=1))
        assert results["dies"].value is None
        assert results["dies"].error
        assert results["fine"].value == {"y": 2}

    def test_a_job_may_be_made_of_the_result_before_it(self, compute: Compute) -> None:
        done: dict[str, JobResult] = {}

        def jobs() -> Iterator[Job]:
            yield _job("first", "double", x=1)
            yield _job("second", "double", x=len(done) + 10)

        for result in compute.run(jobs(), progress=lambda _name, _line: None, exclusive=True):
            done[result.name] = result
        assert {name: result.value for name, result in done.items()} == {"first": {"y": 2}, "second": {"y": 22}}

    def test_no_jobs(self, compute: Compute) -> None:
        assert self.run(compute) == {}
