"""Fixtures for whole projects: a third-party family, installed as a distribution, that fits in no time."""

import contextlib
import importlib.util
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import textwrap
import urllib.request
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from bakeoff import Project
from bakeoff.core import plugins
from bakeoff.stores import schema
from bakeoff.stores.records import open_records

FAMILY = '''
"""A family as a third party would write it: each class's share among rows with the same first word."""

import json
import os
from dataclasses import dataclass

import numpy as np
from bakeoff.core.errors import CorruptError
from bakeoff.core.types import Predictions, Signature


@dataclass(frozen=True)
class Params:
    smooth: float = 1.0
    crash: str = ""
    sleep_s: float = 0.0


class Model:
    def __init__(self, signature, column, counts, chosen):
        self.signature, self.column, self.counts, self.chosen = signature, column, counts, chosen

    def predict(self, table):
        k = len(self.signature.classes)
        known = self.counts
        rows = [known.get(_key(value), known[""]) for value in table[self.column].to_list()]
        shares = np.asarray(rows, dtype=np.float64).reshape(len(rows), k)
        return Predictions.of_probabilities(shares / shares.sum(axis=1, keepdims=True), self.signature.classes)

    def save(self, folder):
        import msgspec

        body = {"signature": msgspec.to_builtins(self.signature), "column": self.column, "counts": self.counts}
        (folder / "model.json").write_text(json.dumps(body | {"chosen": self.chosen}))


def _key(value):
    return str(value).split()[0] if value is not None and str(value).split() else ""


class FirstWordFamily:
    name = "firstword"
    tasks = frozenset({"classification"})
    params = Params
    requires = ("numpy",)
    extra = None

    def fit(self, job):
        import time

        if job.params.crash == "error":
            raise ValueError("made to fail")
        if job.params.crash == "kill":
            os.kill(os.getpid(), 9)
        job.progress("counting")
        time.sleep(job.params.sleep_s)
        column = (job.schema.of_kind("text") or job.schema.inputs)[0]
        classes = tuple(sorted(job.train[job.schema.target].unique()))
        counts = {"": [job.params.smooth] * len(classes)}
        for value, label in zip(job.train[column].to_list(), job.train[job.schema.target].to_list(), strict=True):
            row = counts.setdefault(_key(value), [job.params.smooth] * len(classes))
            row[classes.index(label)] += 1
        signature = Signature(
            task=job.task, inputs=tuple(job.schema.column(name) for name in job.schema.inputs), classes=classes
        )
        return Model(signature, column, counts, {"words": len(counts)})

    def load(self, folder, threads, cache=None):
        import msgspec

        try:
            body = json.loads((folder / "model.json").read_text())
        except (OSError, ValueError) as error:
            raise CorruptError(str(error)) from error
        return Model(msgspec.convert(body["signature"], Signature), body["column"], body["counts"], body["chosen"])
'''


@pytest.fixture(scope="session")
def third_party_path(tmp_path_factory):
    """A folder that holds an installed distribution `firstword`, with its entry point."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "firstword.py").write_text(textwrap.dedent(FAMILY))
    info = folder / "firstword-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: firstword\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bakeoff.families]\nfirstword = firstword:FirstWordFamily\n")
    return folder


@contextlib.contextmanager
def _installed(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(path))
        patch.setenv("PYTHONPATH", str(path))
        plugins._registered.cache_clear()
        yield path
    plugins._registered.cache_clear()
    sys.modules.pop("firstword", None)


@pytest.fixture(scope="session")
def family_installed(third_party_path):
    """`with family_installed():`, for fixtures of a module, which are made before `third_party` is."""
    return lambda: _installed(third_party_path)


@pytest.fixture
def third_party(third_party_path):
    """The distribution `firstword` on the path, for this process and those that it starts."""
    with _installed(third_party_path):
        yield third_party_path


@pytest.fixture
def register_family(monkeypatch):
    """Registers a family of a test's own, for this process: `register_family("name", "module:Class")`."""

    def register(name, place):
        point = EntryPoint(name, place, "bakeoff.families")
        monkeypatch.setitem(plugins._registered()["bakeoff.families"], name, point)

    return register


WORDS = {"yes": ["good", "great", "lovely"], "no": ["bad", "awful", "dull"]}


def films(rows=300, seed=1, *, flip=0.1):
    """CSV text: reviews whose first word mostly tells the label."""
    rng = random.Random(seed)
    lines = ["review,year,liked"]
    for number in range(rows):
        label = rng.choice(["yes", "no"])
        told = label if rng.random() > flip else {"yes": "no", "no": "yes"}[label]
        lines.append(f"{rng.choice(WORDS[told])} film number {number} with words,{rng.randint(1950, 2020)},{label}")
    return "\n".join(lines) + "\n"


TOML = """
[project]
name = "films"
[data]
source = "films.csv"
target = "liked"
text = ["review"]
numeric = ["year"]
[candidates.first]
family = "firstword"
[candidates.second]
family = "firstword"
smooth = 5.0
[decide]
resamples = 200
"""


def _films_into(folder: Path) -> Path:
    (folder / "films.csv").write_text(films())
    (folder / "bakeoff.toml").write_text(TOML)
    return folder


@pytest.fixture
def films_project(tmp_path, third_party) -> Path:
    """A project folder whose candidates fit in no time."""
    return _films_into(tmp_path)


@pytest.fixture
def few_fits(monkeypatch) -> None:
    """Runs, those in processes of their own too, fit each candidate once, and nothing for what is told beside it."""
    monkeypatch.setenv("BAKEOFF_SPLIT__FOLDS", "0")
    monkeypatch.setenv("BAKEOFF_COMBINE__BLENDS", "false")
    monkeypatch.setenv("BAKEOFF_COMBINE__CASCADES", "false")
    monkeypatch.setenv("BAKEOFF_DECIDE__EXPLAIN", "none")


@pytest.fixture(scope="session")
def new_films(tmp_path_factory):
    """A function that makes such a folder, for fixtures of a module."""
    return lambda: _films_into(tmp_path_factory.mktemp("films"))


@pytest.fixture(scope="session")
def films_run(new_films, family_installed) -> Path:
    """A project folder that was run once; for tests to copy."""
    folder = new_films()
    with pytest.MonkeyPatch.context() as patch, family_installed():
        patch.delenv("BAKEOFF_DECIDE__EXPLAIN", raising=False)  # `explained` may be there already
        with Project(folder) as project:
            project.run()
    return folder


@pytest.fixture(scope="session")
def workflow():
    """The class that runs a GitHub workflow here: `workflow(folder, repository, text).run("pull_request")`."""
    spec = importlib.util.spec_from_file_location("workflows", Path(__file__).with_name("workflows.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Workflow


@pytest.fixture
def ran(films_run, tmp_path, third_party, explained) -> Path:
    """A project folder with a finished run, the test's own. Its candidates are explained."""
    return shutil.copytree(films_run, tmp_path / "ran")


@pytest.fixture(scope="session")
def steady():
    """A function of a run's document: what two runs of the same thing must agree on, so no ids and timings."""
    return _steady


def _steady(document):
    kept = {
        candidate["name"]: {key: candidate.get(key) for key in ("status", "metrics", "chosen", "size_bytes")}
        for candidate in document["candidates"]
    }
    combined = [(each["name"], each["entered"]) for each in document["combinations"]]
    return kept, combined, document["verdict"]["winner"], document["dataset"]["version"]


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    """URL of a PostgreSQL server of our own, on a socket."""
    if shutil.which("postgres") is None or shutil.which("initdb") is None:
        pytest.skip("needs PostgreSQL's postgres and initdb on the PATH")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip('needs psycopg: pip install "bakeoff[postgres]"')
    folder = Path(tmp_path_factory.mktemp("postgresql"))
    # The server refuses to run as root; elsewhere it runs as who we are.
    other = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    if other:
        folder = Path(subprocess.check_output(["mktemp", "-d", "/tmp/bakeoff-pg-XXXXXX"], text=True, **other).strip())
    data = folder / "data"
    made = ["initdb", "-D", data, "-U", "bakeoff", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, cwd="/", **other)
    server = subprocess.Popen(
        ["postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        **other,
    )
    assert server.stderr is not None
    for line in server.stderr:
        if "ready to accept connections" in line:
            break
    yield f"postgresql://bakeoff@/postgres?host={folder}"
    server.send_signal(signal.SIGINT)  # does not wait for clients
    server.communicate(timeout=30)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postmaster(empty_postgresql) -> int:
    """The process id of the PostgreSQL server."""
    folder = Path(empty_postgresql.partition("host=")[2])
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


@pytest.fixture
def stopped():
    """Within `with stopped(pid):` a process and those that it started stand still."""

    def family(pid):
        pids = [pid]
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                pids.append(int(stat.parent.name))
        return pids

    @contextlib.contextmanager
    def still(pid):
        pids = family(pid)
        try:
            for each in pids:
                os.kill(each, signal.SIGSTOP)
            yield
        finally:
            for each in pids:
                os.kill(each, signal.SIGCONT)

    return still


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory):
    """The process and URL of an S3 server of our own; its keys stand in the environment."""
    if importlib.util.find_spec("moto") is None or importlib.util.find_spec("obstore") is None:
        pytest.skip('needs moto and obstore: pip install "bakeoff[dev]"')
    log = (tmp_path_factory.mktemp("s3") / "log").open("w")
    script = Path(__file__).with_name("s3_server.py")
    server = subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_ENDPOINT_URL", url)
        yield server, url
    server.kill()
    server.communicate()
    log.close()


@pytest.fixture
def bucket(s3_server):
    """The URL of an empty bucket."""
    name = f"bucket-{secrets.token_hex(6)}"
    request = urllib.request.Request(f"{s3_server[1]}/{name}", method="PUT")
    with urllib.request.urlopen(request, timeout=30):
        return f"s3://{name}"


@pytest.fixture
def empty_postgresql(postgresql, tmp_path):
    """Its URL, with tables in which nothing is."""
    open_records(postgresql, folder=tmp_path, clock=lambda: 1).close()
    engine = create_engine(postgresql.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        # To truncate a table makes new files of it, which takes longer than the few rows that are there.
        connection.execute(text("SET LOCAL session_replication_role = replica"))  # in whatever order
        connection.execute(text("; ".join(f"DELETE FROM {name}" for name in schema.metadata.tables)))
        numbers = "format('%I.%I', schemaname, sequencename)::regclass, start_value, false"
        connection.execute(text(f"SELECT setval({numbers}) FROM pg_sequences"))
        connection.execute(text("DROP TABLE IF EXISTS bakeoff_events, bakeoff_events_expired"))
    engine.dispose()
    return postgresql
