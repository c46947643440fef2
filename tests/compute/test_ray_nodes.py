"""A cluster of two nodes: processes of Ray with a home and a scratch folder each, which share nothing but the blobs."""

import json
import os
import random
import runpy
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
from bakeoff.compute import ray_cluster
from bakeoff.core.jobs import Job, Resources
from bakeoff.core.queries import Query
from bakeoff.prepare.corpus import shards
from bakeoff.prepare.corpus.run import prepare_corpus
from bakeoff.prepare.corpus.shards import CorpusCompute
from bakeoff.stores.s3_blobs import open_blobs
from bakeoff.testing.clock import FakeClock

pytestmark = [
    pytest.mark.slow,
    pytest.mark.processes,
    # In a process that has had another cluster, progress of the second one does not always come: not known why.
    pytest.mark.skipif("BAKEOFF_CLUSTER" not in os.environ, reason="in a process of its own: make test-cluster"),
]

ray = pytest.importorskip("ray", reason='needs Ray: pip install "bakeoff[ray]"')
SETTLED = 'utility = "f1_macro"'
"""Of two candidates that are alike, the cheaper would win: whichever was faster."""
SEED, LONGEST_S = os.environ.get("BAKEOFF_KILL_SEED", "1"), float(os.environ.get("BAKEOFF_KILL_S", "0.3"))
"""Of the moment after the first fit at which a node is killed (make bench-nodes)."""
START_S = 300
PATIENT = "?timeout=60"
"""Of requests to the bucket: a machine with other work is no store that says nothing."""


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
        until = time.monotonic() + START_S
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
    text += f'[store]\nblobs = "{bucket}/{folder.name}{PATIENT}"\n'
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
            threading.Timer(random.Random(SEED).uniform(0.0, LONGEST_S), nodes.kill, [second]).start()

    with Project(
        project_at(tmp_path / "there", films_project, bucket, f"ray:{nodes.address}"), progress=progress
    ) as project:
        there = project.run()
    assert killed.is_set()
    assert there.failed == ()
    assert steady(there.to_json()) == steady(here.to_json())
    homes = [home for home in nodes.folder.iterdir() if list(home.glob("bakeoff-job-*"))]
    assert len(homes) <= 1  # what the killed node had, and nothing of the other


@pytest.fixture
def compute(nodes, bucket, tmp_path):
    """The backend on two nodes; the second is `nodes.started[1]`."""
    nodes.start()
    nodes.start()
    blobs = open_blobs(f"{bucket}{PATIENT}", folder=Path("/nowhere"), clock=FakeClock())
    where = f"ray:{nodes.address}"
    return ray_cluster.RayCompute(blobs=blobs, work=tmp_path / "work", cache=tmp_path / "cache", address=where), blobs


def test_a_corpus_on_two_nodes_is_the_same_to_the_byte_though_one_is_killed(compute, nodes, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 60_000)
    rng = random.Random(1)
    words = [f"word{number}" for number in range(500)]
    texts = [f"<p>{' '.join(rng.choices(words, k=60))}</p>" for _ in range(3000)]
    texts += rng.choices(texts, k=500)
    corpus = tmp_path / "c.jsonl"
    corpus.write_text("".join(json.dumps({"id": number, "text": text}) + "\n" for number, text in enumerate(texts)))
    given = {"steps": ["strip_html", "drop_near_duplicates", "squeeze_whitespace"], "block_bytes": 30_000}
    here = prepare_corpus([str(corpus)], tmp_path / "here.parquet", workers=1, **given)

    def progress(line):
        if "rows read" in line and nodes.started[1].poll() is None:
            nodes.kill(nodes.started[1])

    where = CorpusCompute(compute=compute[0], blobs=compute[1])
    there = prepare_corpus([str(corpus)], tmp_path / "there.parquet", compute=where, progress=progress, **given)
    assert nodes.started[1].poll() is not None
    assert (there.rows_in, there.rows_out) == (here.rows_in, here.rows_out) == (3500, here.rows_out)
    assert there.duplicates == here.duplicates
    assert (tmp_path / "there.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()


LORA = """
[project]
name = "tiny"
task = "classification"
[data]
source = "rows.csv"
target = "label"
text = ["text"]
[split]
near_duplicates = 0
[candidates.lora]
model = "{model}"
layers = 1
learning_rate = 0.003
epochs = 6
batch = 8
checks = 12
patience = 99
precision = "fp32"
processes = {processes}
[decide]
resamples = 200
findings = false
[combine]
blends = false
cascades = false
[store]
blobs = "{blobs}"
[compute]
backend = "{backend}"
threads = 1
"""


def test_a_fine_tuning_over_two_nodes_goes_on_when_one_is_killed(nodes, bucket, tmp_path):
    tiny = runpy.run_path(str(Path(__file__).parents[1] / "families" / "language" / "tiny.py"))
    model = tiny["write_tiny"](tmp_path)
    rng = random.Random(1)
    rows = [f"{' '.join(rng.choices('abcdefgh', k=8))} sign{number % 2},label{number % 2}" for number in range(240)]
    lines: list[str] = []

    def run(name, backend, processes):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "rows.csv").write_text("\n".join(["text,label", *rows]))
        text = LORA.format(model=model, processes=processes, backend=backend, blobs=f"{bucket}/{name}{PATIENT}")
        (folder / "bakeoff.toml").write_text(text)

        def progress(line):
            """Kill the second node when the third look at the validation loss has been told."""
            lines.append(line)
            looks = sum("validation loss" in each for each in lines)
            if backend != "local" and looks == 3 and nodes.started[1].poll() is None:
                nodes.kill(nodes.started[1])

        with Project(folder, progress=progress) as project:
            document = project.run().to_json()
            runs = project.records.runs.search(Query()).items
        if backend == "local":
            lines.clear()
        tags = [each.tags.get("bakeoff.resumed") for each in runs if each.name == "lora"]
        (candidate,) = [each for each in document["candidates"] if each["name"] == "lora"]
        return candidate, tags

    one, resumed = run("one", "local", 1)
    assert resumed == [None]
    nodes.start()
    nodes.start()
    two, resumed = run("two", f"ray:{nodes.address}", 2)
    assert nodes.started[1].poll() is not None
    assert any("training in 2 processes of the cluster" in line for line in lines)
    assert any("going on at step" in line for line in lines)
    assert resumed[0].startswith("after step ")
    losses = [dict(map(tuple, each["chosen"]["validation_losses"])) for each in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert two["status"] == one["status"]


def test_processes_over_two_nodes_together_and_an_error_of_one(compute, tmp_path):
    jobs = runpy.run_path(str(Path(__file__).with_name("jobs.py")))
    lines: list[tuple[str, str]] = []

    def asked(function):
        job = Job(
            name=function,
            function=f"tests.compute.jobs:{function}",
            argument=jobs["Marker"](),
            resources=Resources(processes=2),
        )
        return next(iter(compute[0].run([job], progress=lambda *line: lines.append(line))))

    result = asked("train_together")
    assert result.value == {"made": "of the base", "below": True, "value": 8.0}
    assert {line for _, line in lines} == {"rank 0 of 2", "rank 1 of 2"}
    assert asked("fail_together").error == "no memory for batches of 6 rows"


def test_a_cluster_that_is_not_there_is_told(films_project, bucket, tmp_path):
    from bakeoff.core.errors import StoreError

    folder = project_at(tmp_path / "there", films_project, bucket, "ray:127.0.0.1:1")
    with (
        Project(folder) as project,
        pytest.raises(StoreError, match=r"cannot reach the Ray cluster at ray:127.0.0.1:1"),
    ):
        project.run()


def test_the_desk_is_on_the_node_of_the_program(nodes):
    nodes.start()
    nodes.start()
    ray_cluster._connect(f"ray:{nodes.address}")

    class Place:
        def node(self):
            return ray.get_runtime_context().get_node_id()

    desks = [ray.remote(Place).options(num_cpus=0, **ray_cluster._beside()).remote() for _ in range(8)]
    own = ray.get_runtime_context().get_node_id()
    assert {ray.get(desk.node.remote()) for desk in desks} == {own}
