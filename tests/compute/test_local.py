import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bakeoff.compute.local import LocalCompute
from bakeoff.core.jobs import Job, Resources
from bakeoff.testing.compute import ComputeConformance
from bakeoff.testing.memory import MemoryBlobs

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _jobs_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))


def job(name, function, threads=0, **argument):
    from jobs import Number

    resources = Resources(threads=threads)
    return Job(name=name, function=f"jobs:{function}", argument=Number(**argument), resources=resources)


def local(**options):
    folder = Path(tempfile.mkdtemp())
    return LocalCompute(blobs=MemoryBlobs(), work=folder / "work", cache=folder / "cache", **options)


def run(jobs, **options):
    lines = []
    results = {r.name: r for r in local(workers=2).run(jobs, progress=lambda *line: lines.append(line), **options)}
    return results, lines


def test_values_progress_and_measurements_come_back():
    results, lines = run([job("a", "double", x=2), job("b", "double", x=3)])
    assert results["a"].value["y"] == 4
    assert results["b"].value["y"] == 6
    assert ("a", "doubling 2") in lines
    assert results["a"].peak_memory_bytes > 1_000_000
    assert results["a"].seconds > 0


def test_a_crash_touches_only_its_own_job():
    results, _ = run([job("dies", "die"), job("fails", "fail"), job("quits", "quit_"), job("fine", "double", x=1)])
    assert "signal 9" in results["dies"].error
    assert results["fails"].error == "ValueError: no such luck"
    assert "test" not in results["fails"].error
    assert "no such luck" in results["fails"].traceback
    assert "SystemExit" in results["quits"].error
    assert results["fine"].value["y"] == 2


def test_an_error_without_words_still_says_something():
    results, _ = run([job("a", "fail_silently")])
    assert results["a"].error.startswith("expected data that fits into memory, received: MemoryError; ")


@pytest.mark.parametrize(("name", "advice"), [("fill_the_disk", "free space"), ("panic", "check the named column")])
def test_what_the_system_and_libraries_refuse_says_what_to_do(name, advice):
    results, _ = run([job("a", name)])
    assert advice in results["a"].error
    assert "Traceback" in results["a"].traceback


def test_what_libraries_print_does_not_break_the_protocol():
    results, _ = run([job("a", "chatter")])
    assert results["a"].value == {}


def test_exclusive_jobs_run_one_at_a_time():
    started = time.monotonic()
    run([job("a", "sleep", s=0.4), job("b", "sleep", s=0.4)], exclusive=True)
    assert time.monotonic() - started > 0.8


def test_leaving_early_ends_the_workers():
    pids = []
    jobs = [job("slow", "sleep", s=60), job("quick", "sleep", s=0.5)]
    results = local(workers=2).run(jobs, progress=lambda name, line: pids.append(int(line)) if name == "slow" else None)
    assert next(results).name == "quick"
    results.close()
    assert not _alive(pids[0])


def test_workers_end_when_the_parent_is_killed(tmp_path):
    code = (
        "import pathlib, sys; sys.path.insert(0, sys.argv[1]); folder = pathlib.Path(sys.argv[2])\n"
        "from bakeoff.compute.local import LocalCompute\n"
        "from bakeoff.core.jobs import Job\n"
        "from bakeoff.testing.memory import MemoryBlobs\n"
        "from jobs import Number\n"
        "job = Job(name='a', function='jobs:sleep', argument=Number(s=60))\n"
        "compute = LocalCompute(blobs=MemoryBlobs(), work=folder, cache=folder, workers=1)\n"
        "list(compute.run([job], progress=lambda n, line: print(line, flush=True)))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(HERE), str(tmp_path)], stdout=subprocess.PIPE)
    with parent:
        worker = int(parent.stdout.readline())
        os.kill(worker, 0)
        parent.send_signal(signal.SIGKILL)
    for _ in range(100):
        if not _alive(worker):
            return
        time.sleep(0.05)
    pytest.fail("the worker outlived its parent")


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TestLocal(ComputeConformance):
    @pytest.fixture
    def make_compute(self):
        return LocalCompute


def test_a_job_that_asks_for_all_cores_has_them_alone():
    both = [job("whole", "sleep", threads=2, s=0.3), job("half", "sleep", threads=1, s=0.3)]
    results = {r.name: r.value for r in local(workers=2, threads=1).run(both, progress=lambda *_: None)}
    whole, half = results["whole"], results["half"]
    assert whole["to"] <= half["from"] or half["to"] <= whole["from"]


def test_jobs_that_ask_for_one_core_each_share_the_machine():
    both = [job(name, "sleep", threads=1, s=0.5) for name in ("one", "other")]
    results = {r.name: r.value for r in local(workers=2, threads=1).run(both, progress=lambda *_: None)}
    assert results["one"]["from"] < results["other"]["to"]
    assert results["other"]["from"] < results["one"]["to"]


def test_threads_are_given_and_set_for_libraries():
    alone = next(iter(local(workers=2, threads=3).run([job("a", "double", threads=5, x=1)], progress=lambda *_: None)))
    assert alone.value["given"] == 5
    assert alone.value["threads"] == "5"
