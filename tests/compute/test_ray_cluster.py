"""Jobs as tasks of a Ray cluster of this machine; tests of several nodes are in `test_ray_nodes.py`."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from bakeoff.compute import ray_cluster
from bakeoff.compute.ray_desk import CheckpointFile, Checkpoints, Desk
from bakeoff.core.errors import MissingExtraError, StoreError, UsageError
from bakeoff.core.jobs import Job, Resources
from bakeoff.stores.s3_blobs import open_blobs
from bakeoff.testing.clock import FakeClock
from bakeoff.testing.compute import ComputeConformance
from bakeoff.testing.memory import MemoryBlobs

pytestmark = [pytest.mark.slow, pytest.mark.processes]

ray = pytest.importorskip("ray", reason='needs Ray: pip install "bakeoff[ray]"')


@pytest.fixture(scope="module")
def cluster(s3_server):
    """A cluster of this machine, which has two processors, whatever is said elsewhere."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


class TestRay(ComputeConformance):
    @pytest.fixture
    def make_compute(self, cluster):
        return ray_cluster.RayCompute

    @pytest.fixture
    def blobs(self, bucket):
        return open_blobs(bucket, folder=Path("/nowhere"), clock=FakeClock())


def made(**more):
    return ray_cluster.RayCompute(blobs=MemoryBlobs(), work=Path("/nowhere"), cache=Path("/nowhere"), **more)


def test_nodes_that_cannot_reach_the_blobs_are_told(cluster, monkeypatch):
    (node,) = ray_cluster._nodes()
    monkeypatch.setattr(ray_cluster, "_nodes", lambda: [node, node])
    with pytest.raises(UsageError, match=r"expected blobs that all 2 nodes of the cluster reach, such as s3://"):
        made()


def test_other_versions_are_told_before_anything_starts(cluster, monkeypatch):
    monkeypatch.setattr(ray_cluster, "_own_node", lambda: "another")
    nodes, here = ray_cluster._nodes(), ray_cluster._versions()
    ray_cluster._require_same_versions(nodes, here)
    with pytest.raises(UsageError, match=r"node \w+: expected bakeoff 9.9, as here, found .*; install the same"):
        ray_cluster._require_same_versions(nodes, {**here, "bakeoff": "9.9"})


_spec = importlib.util.spec_from_file_location("compute_jobs", Path(__file__).with_name("jobs.py"))
jobs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(jobs)


def test_a_job_that_is_begun_again_has_what_it_kept(cluster, bucket, tmp_path):
    cache = tmp_path / "cache"
    compute = ray_cluster.RayCompute(
        blobs=open_blobs(bucket, folder=Path("/nowhere"), clock=FakeClock()), work=tmp_path, cache=cache, workers=1
    )
    noted = cache / "ray-checkpoints.json"
    job = Job(name="a", function="tests.compute.jobs:survive", argument=jobs.Marker(noted=str(noted)))
    (result,) = compute.run([job], progress=lambda _name, _line: None)
    assert (result.value, result.error) == ({"went on from": "step 7"}, None)
    assert json.loads(noted.read_text()) == {}


def test_what_is_kept_is_known_by_the_next_program(tmp_path):
    desk = Desk(CheckpointFile(tmp_path / "new").read())
    desk.save("job", "training/state", "blob-1")
    desk.save("job", "training/state", "blob-2")
    desk.add("a", "step 2")
    lines, saved = desk.take()
    assert lines == [("a", "step 2")]
    assert desk.take() == ([], None)
    CheckpointFile(tmp_path / "new").write(saved)
    after = Desk(CheckpointFile(tmp_path / "new").read())
    assert after.saved("job") == {"training/state": "blob-2"}
    assert after.saved("another") == {}
    after.drop("job")
    assert after.take() == ([], {})
    (tmp_path / "new" / "ray-checkpoints.json").write_text("{half of")
    assert CheckpointFile(tmp_path / "new").read() == {}


def test_the_first_answer_of_a_training_counts():
    desk = Desk({})
    assert desk.answered("call") is None
    desk.answer("call", (None, "its error"))
    desk.answer("call", (None, "that of one that lost it"))
    assert desk.answered("call") == (None, "its error")


class Here:
    """A desk in this process, called as an actor is."""

    def __init__(self, desk):
        self._desk = desk

    def __getattr__(self, name):
        return type("Method", (), {"remote": staticmethod(getattr(self._desk, name))})


def test_checkpoints_are_put_into_the_blobs_now_and_then_and_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(ray, "get", lambda value, timeout: value)
    blobs, desk = MemoryBlobs(), Desk({})
    here, there = (Checkpoints(blobs, Here(desk), "job", tmp_path / place) for place in ("here", "there"))
    file = tmp_path / "here" / "training" / "state"
    file.parent.mkdir(parents=True)
    for step in ("step 1", "step 2"):
        file.write_text(step)
        here.keep(file)
        here._took_s, here._ended_s = 60.0, here._ended_s  # as of a large one: the next has to wait
    there.fetch()
    assert (tmp_path / "there" / "training" / "state").read_text() == "step 1"
    monkeypatch.setattr(blobs, "put", lambda _: (_ for _ in ()).throw(StoreError("the blobs are away")))
    here._ended_s = 0.0
    here.keep(file)  # and the training goes on
    assert list(desk.saved("job")) == ["training/state"]


def test_several_processes_without_what_they_need_are_refused_with_the_command(cluster, monkeypatch):
    compute = made()
    compute.expect("a:b", (), Resources())
    monkeypatch.setitem(sys.modules, "ray.train", None)
    with pytest.raises(MissingExtraError, match=r'needs the module \'ray.train\': pip install "bakeoff\[ray\]"'):
        compute.expect("a:b", (), Resources(processes=2))
    job = Job(name="a", function="tests.compute.jobs:double", argument=jobs.Number(), resources=Resources(processes=2))
    (result,) = compute.run([job], progress=lambda _name, _line: None)
    assert "pip install" in result.error
