"""Jobs as tasks of a Ray cluster of this machine; tests of several nodes are in `test_ray_nodes.py`."""

from pathlib import Path

import pytest

from bakeoff.compute import ray_cluster
from bakeoff.core.errors import UsageError
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
