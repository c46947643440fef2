"""A cluster of two nodes: processes of Ray with a home and a scratch folder each, which share nothing but the blobs."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from bakeoff import Project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    # In a process that has had another cluster, progress of the second one does not always come: not known why.
    pytest.mark.skipif("BAKEOFF_CLUSTER" not in os.environ, reason="in a process of its own: make test-cluster"),
]

ray = pytest.importorskip("ray", reason='needs Ray: pip install "bakeoff[ray]"')
SETTLED = 'utility = "f1_macro"'
"""Of two candidates that are alike, the cheaper would win: whichever was faster."""
CLI = Path(sys.executable).with_name("ray")


class Nodes:
    """Nodes of one cluster."""

    def __init__(self, folder):
        self.folder, self.started, self.scratch = folder, [], []
        self.address = None

    def start(self):
        """One more node of one processor; the first is the head."""
        number = len(self.started)
        home = self.folder / f"node-{number}"
        home.mkdir()
        self.scratch.append(tempfile.mkdtemp(prefix="b"))  # short: Ray's sockets are in it, and have short names
        environ = {**os.environ, "HOME": str(home), "TMPDIR": self.scratch[-1], "RAY_DISABLE_IMPORT_WARNING": "1"}
        where = ["--address", self.address] if self.address else ["--head", "--port", "0", "--include-dashboard=false"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *where, "--num-cpus", "1", "--block"]
        command += ["--node-ip-address", "127.0.0.1", "--disable-usage-stats", "--object-store-memory", "100000000"]
        with (home / "log").open("w") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, cwd=home, start_new_session=True)
        self.started.append(process)
        until = time.monotonic() + 90
        while time.monotonic() < until:
            text = (home / "log").read_text()
            if "Ray runtime started" in text:
                if self.address is None:
                    self.address = text.partition("--address='")[2].partition("'")[0]
                return process
            assert process.poll() is None, text
            time.sleep(0.2)
        raise AssertionError((home / "log").read_text())

    def kill(self, process):
        """As when a machine loses its power: all processes of the node at once."""
        for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        process.wait()

    def end(self):
        for process in self.started:
            if process.poll() is None:
                self.kill(process)
        for folder in self.scratch:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def nodes(s3_server, third_party, tmp_path_factory, monkeypatch):
    for name in [each for each in os.environ if each.startswith("RAY_")]:
        monkeypatch.delenv(name)  # a cluster that this process started before has left its secret there
    made = Nodes(tmp_path_factory.mktemp("nodes"))
    yield made
    ray.shutdown()
    made.end()


def project_at(folder, source, bucket, backend):
    folder.mkdir()
    shutil.copy(source / "films.csv", folder)
    text = (source / "bakeoff.toml").read_text().replace("[decide]", f"[decide]\n{SETTLED}")
    text += f'[store]\nblobs = "{bucket}/{folder.name}"\n'
    (folder / "bakeoff.toml").write_text(f'{text}[compute]\nbackend = "{backend}"\nworkers = 2\n')
    return folder


def test_a_bake_off_on_two_nodes_has_the_same_metrics_though_one_is_killed(
    films_project, bucket, nodes, steady, tmp_path
):
    with Project(project_at(tmp_path / "here", films_project, bucket, "local")) as project:
        here = project.run()
    nodes.start()
    second = nodes.start()
    killed = threading.Event()

    def progress(line):
        """Kill the second node at some moment after the first fit has begun."""
        if "counting" in line and not killed.is_set():
            killed.set()
            threading.Timer(random.Random(1).uniform(0.0, 0.3), nodes.kill, [second]).start()

    with Project(
        project_at(tmp_path / "there", films_project, bucket, f"ray:{nodes.address}"), progress=progress
    ) as project:
        there = project.run()
    assert killed.is_set()
    assert there.failed == ()
    assert steady(there.to_json()) == steady(here.to_json())
    homes = [home for home in nodes.folder.iterdir() if list(home.glob("bakeoff-job-*"))]
    assert len(homes) <= 1  # what the killed node had, and nothing of the other


def test_a_cluster_that_is_not_there_is_told(films_project, bucket, tmp_path):
    from bakeoff.core.errors import StoreError

    folder = project_at(tmp_path / "there", films_project, bucket, "ray:127.0.0.1:1")
    with (
        Project(folder) as project,
        pytest.raises(StoreError, match=r"cannot reach the Ray cluster at ray:127.0.0.1:1"),
    ):
        project.run()
