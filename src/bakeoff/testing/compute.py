"""What every `Compute` must do; derive from `ComputeConformance` and give the fixture `make_compute`.

    class TestMine(ComputeConformance):
        @pytest.fixture
        def make_compute(self):
            return MyCompute

Set `isolates` to False for a backend whose jobs share the caller's process.
"""

# ruff: noqa: ARG001, D102  # jobs have two parameters; the names of the tests say what they do

import dataclasses
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from bakeoff.core import narrow
from bakeoff.core.jobs import OUTSIDE_KEY, Argument, Compute, Job, JobContext, JobResult, Resources
from bakeoff.core.refs import BlobRef
from bakeoff.testing.memory import MemoryBlobs

__all__ = ["ComputeConformance", "double", "end", "fail", "forget", "merge", "where"]


class Number(Argument, frozen=True, kw_only=True):
    """An argument for the jobs below; `remark` is no part of the key."""

    x: int = 0
    remark: Annotated[str, OUTSIDE_KEY] = ""


class Doubled(msgspec.Struct, frozen=True, kw_only=True):
    """What `double` gives."""

    y: int


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What `where` gives: what a job may use, and where its files are."""

    threads: int
    paths: list[str]


def double(argument: Number, context: JobContext) -> Doubled:
    """A job that works."""
    context.progress(f"doubling {argument.x}")
    return Doubled(y=argument.x * 2)


def fail(argument: Number, context: JobContext) -> Doubled:
    """A job that raises."""
    raise ValueError("no such luck")


def end(argument: Number, context: JobContext) -> Doubled:
    """A job whose process is killed, as by a lack of memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("expected the process to end")


def merge(argument: Number, context: JobContext) -> Doubled:
    """A job that reads a file and a folder, and leaves a file and a folder."""
    text = context.inputs["text"].read_text() + (context.inputs["folder"] / "deep" / "more").read_text()
    context.outputs["text"].write_text(text)
    context.outputs["folder"].mkdir()
    (context.outputs["folder"] / "length").write_text(str(len(text)))
    context.cache.mkdir(parents=True, exist_ok=True)
    (context.cache / "seen").write_text(text)
    return Doubled(y=len(text))


def forget(argument: Number, context: JobContext) -> Doubled:
    """A job that does not leave what it should."""
    return Doubled(y=0)


def where(argument: Number, context: JobContext) -> Place:
    """A job that says where its files are."""
    time.sleep(argument.x / 1000)
    paths = [str(path) for path in (*context.inputs.values(), *context.outputs.values(), context.cache)]
    for path in context.outputs.values():
        path.write_text("here")
    return Place(threads=context.threads, paths=paths)


def _job(
    name: str, function: str, inputs: dict[str, BlobRef] | None = None, outputs: tuple[str, ...] = (), x: int = 0
) -> Job:
    return Job(
        name=name,
        function=f"{__name__}:{function}",
        argument=Number(x=x),
        inputs=inputs or {},
        outputs=outputs,
    )


class ComputeConformance:
    """The tests."""

    isolates = True
    """Whether a job that dies leaves the caller alive."""

    @pytest.fixture
    def make_compute(self) -> Callable[..., Compute]:
        """What makes the backend under test (see `bakeoff.core.jobs.Compute`)."""
        raise NotImplementedError

    @pytest.fixture
    def blobs(self) -> MemoryBlobs:
        """All that the caller and the jobs share."""
        return MemoryBlobs()

    @pytest.fixture
    def compute(self, make_compute: Callable[..., Compute], blobs: MemoryBlobs, tmp_path: Path) -> Compute:
        """The backend, with folders that the caller does not know."""
        return make_compute(
            blobs=blobs, work=tmp_path / "there" / "work", cache=tmp_path / "there" / "cache", workers=2, jobs=2
        )

    def run(self, compute: Compute, *jobs: Job, exclusive: bool = False) -> dict[str, JobResult]:
        """Results by the name of their job."""
        results = list(compute.run(jobs, progress=lambda _name, _line: None, exclusive=exclusive))
        assert len(results) == len(jobs)
        return {result.name: result for result in results}

    def test_it_says_how_many_threads_a_job_may_use(self, compute: Compute) -> None:
        assert 0 < compute.threads <= compute.cores

    def test_what_is_expected_runs_as_any_other(self, compute: Compute) -> None:
        one = _job("one", "double", x=1)
        compute.expect(one.function, one.requires, one.resources)
        compute.expect("nowhere_at_all:none", ("no-such-distribution",), Resources(gpus=1000))  # and then nothing comes
        assert self.run(compute, one)[one.name].value == {"y": 2}

    def test_jobs_get_the_threads_that_they_ask_for_as_far_as_there_are_some(self, compute: Compute) -> None:
        wanted = {"share": 0, "one": 1, "all": compute.cores, "too many": 10_000}
        jobs = [
            dataclasses.replace(_job(name, "where"), resources=Resources(threads=threads))
            for name, threads in wanted.items()
        ]
        results = self.run(compute, *jobs)
        given = {name: (results[name].value or {})["threads"] for name in wanted}
        assert given == {"share": compute.threads, "one": 1, "all": compute.cores, "too many": compute.cores}

    def test_what_no_machine_has_is_an_error_and_the_others_go_on(self, compute: Compute) -> None:
        greedy = dataclasses.replace(_job("greedy", "double", x=1), resources=Resources(gpus=10_000))
        results = self.run(compute, greedy, _job("fine", "double", x=1))
        assert "10000 GPUs" in str(results["greedy"].error)
        assert results["fine"].value == {"y": 2}

    def test_inputs_and_outputs_are_blobs(self, compute: Compute, blobs: MemoryBlobs, tmp_path: Path) -> None:
        source = tmp_path / "source"
        (source / "deep").mkdir(parents=True)
        (source / "deep" / "more").write_text(" and more")
        inputs = {"text": BlobRef(blobs.put(b"some")), "folder": BlobRef(blobs.put_tree(source))}
        shutil.rmtree(source)
        jobs = [_job(name, "merge", inputs, ("text", "folder")) for name in ("a", "b")]
        results = self.run(compute, *jobs)
        for name in ("a", "b"):
            assert results[name].value == {"y": len("some and more")}, results[name].error
            assert blobs.get(results[name].outputs["text"]) == b"some and more"
            made = blobs.fetch(results[name].outputs["folder"], tmp_path / f"made-{name}")
            assert (made / "length").read_text() == "13"

    def test_no_path_is_shared_and_nothing_is_left_behind(
        self, compute: Compute, blobs: MemoryBlobs, tmp_path: Path
    ) -> None:
        job = _job("a", "where", {"text": BlobRef(blobs.put(b"some"))}, ("text",))
        value = self.run(compute, job)["a"].value
        assert value is not None
        there = [Path(str(path)) for path in narrow.texts(value["paths"])]
        assert not any(path.is_relative_to(tmp_path / "blobs") or path.is_relative_to(Path.cwd()) for path in there)
        assert not any(path.exists() for path in there)

    def test_an_output_that_is_not_there_is_an_error(self, compute: Compute) -> None:
        results = self.run(compute, _job("a", "forget", outputs=("model",)), _job("fine", "double", x=1))
        assert results["a"].value is None
        assert "to leave 'model'" in str(results["a"].error)
        assert results["fine"].value == {"y": 2}

    def test_an_argument_of_another_kind_is_an_error(self, compute: Compute) -> None:
        class Other(Argument, frozen=True, kw_only=True):
            z: int = 1

        wrong = dataclasses.replace(_job("wrong", "double"), argument=Other())
        assert "expected the JSON of a Number" in str(self.run(compute, wrong)["wrong"].error)

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
        nowhere = _job("nowhere", "no_such_function")
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
