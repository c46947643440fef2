"""Workers begin with what earlier ones of their kind have imported, and with nothing else of theirs."""

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from bakeoff.compute.fork_server import possible
from bakeoff.compute.local import IGNORED_VARIABLES, LocalCompute
from bakeoff.core.jobs import Job, Resources
from bakeoff.testing.memory import MemoryBlobs

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(not possible(), reason="workers are not forked here")


@pytest.fixture(autouse=True)
def _jobs_importable(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.syspath_prepend(str(tmp_path))


def imported(name, requires=()):
    from jobs import Number

    job = Job(name="a", function="jobs:imported", argument=Number(name=name), requires=requires)
    with tempfile.TemporaryDirectory() as folder:
        compute = LocalCompute(blobs=MemoryBlobs(), work=Path(folder), cache=Path(folder), workers=1)
        (result,) = compute.run([job], progress=lambda *_: None)
    assert result.error is None, result.traceback
    return result.value


def test_what_one_worker_imported_the_next_begins_with():
    assert not imported("wave", ("first",))["known"]
    assert imported("wave", ("first",))["known"]
    assert not imported("wave", ("second",))["known"]


def test_what_is_required_is_there_from_the_start():
    assert imported("sklearn", ("scikit-learn",))["known"]
    assert imported("polars", ("polars", "third"))["known"]
    assert not imported("onnxruntime", ("onnxruntime", "third"))["known"]  # it begins threads, which a fork would lose


def test_where_the_pool_of_polars_has_begun_nothing_is_forked(tmp_path):
    (tmp_path / "eager.py").write_text("import polars\npolars.DataFrame({'a': [1, 2]}).filter(polars.col('a') > 1)\n")
    assert imported("polars", ("eager",))["parent"] == os.getpid()


def test_forks_of_a_server_that_has_imported_polars_use_it():
    """Each has a pool of its own; one that waited for its parent's would never end."""
    from jobs import Number

    job = Job(name="a", function="jobs:sorted_in_parallel", argument=Number(), requires=("polars",))
    with tempfile.TemporaryDirectory() as folder:
        compute = LocalCompute(blobs=MemoryBlobs(), work=Path(folder), cache=Path(folder), workers=4)
        results = list(compute.run([replace(job, name=str(at)) for at in range(16)], progress=lambda *_: None))
    assert [each.value for each in results] == [{"first": 0, "rows": 50_000}] * 16


def test_workers_collect_garbage_though_their_server_does_not():
    from jobs import Number

    with tempfile.TemporaryDirectory() as folder:
        compute = LocalCompute(blobs=MemoryBlobs(), work=Path(folder), cache=Path(folder), workers=1)
        (result,) = compute.run([Job(name="a", function="jobs:collects", argument=Number())], progress=lambda *_: None)
    assert result.value["parent"] != os.getpid()  # a fork
    assert result.value["collects"]


def test_what_is_expected_is_imported_meanwhile(monkeypatch):
    monkeypatch.delenv("_RJEM_MALLOC_CONF", raising=False)
    with tempfile.TemporaryDirectory() as folder:
        compute = LocalCompute(blobs=MemoryBlobs(), work=Path(folder), cache=Path(folder), workers=1)
        compute.expect("wave:open", ("expected",), Resources())
    monkeypatch.setenv("_RJEM_MALLOC_CONF", "dirty_decay_ms:500")  # as polars does when it is imported meanwhile
    assert imported("wave", ("expected",))["known"]


def test_what_libraries_set_when_they_are_imported_meanwhile_makes_no_other_kind():
    """A second server would import everything again, and what the first one has imported would be for nothing."""
    script = """
import os
from bakeoff.compute.local import _kind
before = _kind(dict(os.environ), ("numpy",))
import duckdb, lightgbm, numpy, polars, scipy.optimize, sklearn, threadpoolctl
print(_kind(dict(os.environ), ("numpy",)) is before)
"""
    environ = {name: value for name, value in os.environ.items() if name not in IGNORED_VARIABLES}
    ended = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "True"


def test_a_worker_of_one_thread_begins_none_of_blas_and_one_of_two_has_two():
    from jobs import Number

    def worker(threads):
        job = Job(
            name="a",
            function="jobs:blas_threads",
            argument=Number(),
            requires=("numpy", "scipy"),
            modules=("numpy", "scipy.linalg", "threadpoolctl"),
            resources=Resources(threads=threads),
        )
        with tempfile.TemporaryDirectory() as folder:
            compute = LocalCompute(blobs=MemoryBlobs(), work=Path(folder), cache=Path(folder), workers=2, threads=1)
            (result,) = compute.run([job], progress=lambda *_: None)
        assert result.error is None, result.traceback
        return result.value

    watcher = 2  # the worker's own thread, and the one that waits for the parent's end
    assert worker(1) == {"blas": [1], "threads": watcher}
    assert worker(2)["blas"] == [2]


def test_families_whose_servers_would_import_the_same_share_one():
    assert imported("wave", ("numpy", "polars"))["parent"] == imported("wave", ("numpy",))["parent"]
    assert imported("wave", ("numpy", "unheard-of"))["parent"] != imported("wave", ("numpy",))["parent"]


def test_a_module_of_the_users_is_read_again(tmp_path):
    for value in (1, 2):
        (tmp_path / "theirs.py").write_text(f"VALUE = {value}  #{'x' * value}\n")
        found = imported("theirs", ("fourth",))
        assert (found["known"], found["value"]) == (False, value)


def test_another_environment_is_another_server(monkeypatch, tmp_path):
    before = imported("wave", ("fifth",))
    monkeypatch.setenv("HOME", str(tmp_path))
    after = imported("wave", ("fifth",))
    assert after["home"] == str(tmp_path)
    assert before["parent"] != after["parent"]


def test_after_a_server_was_killed_jobs_go_on():
    before = imported("wave", ("sixth",))
    os.kill(before["parent"], signal.SIGKILL)
    after = imported("wave", ("sixth",))
    assert after["parent"] != before["parent"]
    assert after["known"]
