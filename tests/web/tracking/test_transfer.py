"""Stores that MLflow made, brought over and taken back: everything, once, whenever it is interrupted."""

import itertools
import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from bakeoff.config.sections import StoreConfig
from bakeoff.core.errors import NotFoundError, StoreError, UsageError
from bakeoff.core.queries import Query, attribute, every
from bakeoff.core.records import RunChange, RunInput
from bakeoff.project import wiring
from bakeoff.web.server import Server, local_hosts
from bakeoff.web.tracking import exporting, importing
from bakeoff.web.tracking.app import create_tracking_app
from bakeoff.web.tracking.context import Tracking
from bakeoff.web.tracking.exporting import export_store
from bakeoff.web.tracking.importing import Moment, import_store
from bakeoff.web.tracking.mlflow_store import client_of, plain_uri
from bakeoff.web.tracking.traces import link_to_run

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.slow]
EXPECTED = {
    "experiments": 2, "runs": 4, "metric values": 21, "logged models": 1,
    "registered models": 2, "versions": 4, "traces": 2,
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def environment(tmp_path_factory):
    # MLflow imports it in a thread of its own, and SQLAlchemy is not safe to use while another thread does.
    import sqlalchemy.orm  # noqa: F401

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("working"))  # MLflow makes a database where it stands
        for name, value in (
            ("MLFLOW_DISABLE_TELEMETRY", "true"),
            ("MLFLOW_ALLOW_FILE_STORE", "true"),
            ("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false"),
            ("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false"),
        ):
            patch.setenv(name, value)
        yield


def fill(uri, folder):
    """A store with everything: a parent and its child, deleted things, files, versions with a gap, a prompt, traces."""
    import mlflow
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    mlflow.tracing.reset()
    client = MlflowClient()
    taxis = client.create_experiment("taxis", tags={"team": "a"})
    gone = client.create_experiment("gone")
    parent = client.create_run(taxis, start_time=1000, run_name="parent").info.run_id
    child = client.create_run(taxis, start_time=1500, run_name="child", tags={"mlflow.parentRunId": parent, "k": "ü"})
    run_id = child.info.run_id
    values = [Metric("loss", 1 / step, 1000 + step, step) for step in range(1, 20)]
    values += [Metric("loss", math.nan, 5, 30), Metric("acc", 0.5, 7, 0)]
    client.log_batch(run_id, metrics=values, params=[Param("depth", "3")])
    tags = [InputTag("mlflow.data.context", "test")]
    client.log_inputs(run_id, [DatasetInput(Dataset("d", "dig", "local", "src", schema="{}"), tags)])
    (folder / "model").mkdir()
    (folder / "model" / "w.txt").write_text("weights")
    (folder / "note.txt").write_text("note")
    client.log_artifacts(run_id, str(folder / "model"), "model")
    client.log_artifact(run_id, str(folder / "note.txt"))
    mlflow.set_experiment("taxis")

    @mlflow.trace
    def inner(x):
        return x

    @mlflow.trace
    def outer(x):
        return inner(x) + 1

    with mlflow.start_run(run_id=run_id):
        outer(3)
    mlflow.log_feedback(trace_id=mlflow.get_last_active_trace_id(), name="ok", value=True)
    outer(4)
    client.set_terminated(run_id, "FINISHED", 2000)
    client.set_terminated(parent, "FAILED", 2100)
    client.delete_run(client.create_run(taxis, start_time=1600, run_name="dead").info.run_id)
    client.create_run(gone, start_time=1700, run_name="lost")
    client.delete_experiment(gone)
    client.create_registered_model("films", tags={"x": "y"}, description="about")
    for number in range(3):
        client.create_model_version("films", f"{child.info.artifact_uri}/model", run_id, tags={"n": str(number)})
    client.delete_model_version("films", "2")
    client.set_registered_model_alias("films", "champion", "3")
    logged = client.create_logged_model(taxis, name="lm", source_run_id=run_id, params={"k": "v"})
    client.log_model_artifact(logged.model_id, str(folder / "note.txt"))
    client.finalize_logged_model(logged.model_id, "READY")
    client.create_model_version("films", logged.artifact_location, model_id=logged.model_id)
    client.register_prompt("hello", "Say {{ x }}", tags={"t": "u"})
    mlflow.set_tracking_uri(before)
    mlflow.set_registry_uri(before)
    mlflow.tracing.reset()
    return uri


def opened(folder, name="records.db"):
    folder.mkdir(exist_ok=True)
    ticks = itertools.count(5_000_000)
    moment = Moment(lambda: next(ticks))
    records, blobs = wiring.open_stores(folder, StoreConfig(records=f"sqlite:///{name}", blobs="file://blobs"), moment)
    (folder / "scratch").mkdir(exist_ok=True)
    tracking = Tracking(records=records, blobs=blobs, clock=moment, scratch=folder / "scratch")
    tracking.prepare()
    return tracking, moment


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """URIs of stores with everything, by kind: made when they are asked for."""
    made, servers = {}, []

    def source(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            uri = {"folder": (folder / "mlruns").as_uri(), "sqlite": f"sqlite:///{folder}/mlflow.db"}.get(kind)
            if uri is None:
                tracking, _ = opened(folder / "server")
                server = Server(create_tracking_app(tracking, hosts=local_hosts("127.0.0.1"))).__enter__()
                servers.append((server, tracking))
                uri = server.url
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                made[kind] = fill(uri, folder)
        return made[kind]

    yield source
    for server, tracking in servers:
        server.__exit__(None, None, None)
        tracking.records.close()


def bring(tracking, moment, uri):
    return import_store(tracking, uri, moment, lambda _: None)


def counted(done, what):
    return {each.kind: getattr(each, what) for each in done.counts}


def state(tracking):
    """All that is in the records, as far as it does not depend on when it was made."""
    records, blobs = tracking.records, tracking.blobs
    names = {each.experiment_id: each.name for each in every(records.experiments.search, Query(lifecycle=None))}
    runs = {}
    for run in every(records.runs.search, Query(lifecycle=None)):
        tags = {key: value for key, value in run.tags.items() if not key.startswith("bakeoff.")}
        values = {
            key: [(each.step, each.time_ms, str(each.value)) for each in records.runs.history(run.run_id, key).items]
            for key in run.metrics
        }
        files = {path: blobs.get(blob) for path, blob in run.artifacts.items()}
        about = (names[run.experiment_id], run.status, run.start_ms, run.end_ms, run.lifecycle)
        runs[run.name] = (about, run.params, tags, values, files, [(e.name, e.version, e.context) for e in run.inputs])
    versions = {
        (each.name, each.number): (each.run_id, each.aliases, each.tags)
        for each in every(records.versions.search, Query(where=attribute("kind", "=", "model")))
    }
    documents = {
        each.key: {key: each.body[key] for key in ("state", "start_ms", "end_ms", "spans")}
        | {"judged": [a["assessment_name"] for a in each.body["assessments"]]}
        for each in records.documents.find("traces")
    }
    return runs, versions, documents, len(records.documents.find("trace_spans"))


@pytest.mark.parametrize("kind", ["folder", "sqlite", "server"])
def test_everything_is_brought_once(sources, tmp_path, kind):
    uri = sources(kind)
    tracking, moment = opened(tmp_path)
    done = bring(tracking, moment, uri.removeprefix("file://"))
    assert done.left_out == []
    moved = counted(done, "moved")
    assert {key: moved[key] for key in EXPECTED} == EXPECTED
    assert moved["artifacts"] >= 3
    runs, versions, traces, spans = state(tracking)
    about, params, tags, values, files, inputs = runs["child"]
    assert about == ("taxis", "FINISHED", 1500, 2000, "active")
    assert (params, tags["k"], inputs) == ({"depth": "3"}, "ü", [("d", "dig", "test")])
    assert [step for step, *_ in values["loss"]] == [*range(1, 20), 30]
    assert values["loss"][-1] == (30, 5, "nan")
    assert files == {"model/w.txt": b"weights", "note.txt": b"note"}
    child = next(iter(every(tracking.records.runs.search, Query(where=attribute("name", "=", "child")))))
    assert tracking.records.runs.get(child.parent_id).name == "parent"
    assert (runs["parent"][0][1], runs["dead"][0][4], runs["lost"][0][4]) == ("FAILED", "deleted", "deleted")
    gone = tracking.records.experiments.search(Query(where=attribute("name", "=", "gone"), lifecycle="deleted")).items
    assert len(gone) == 1
    assert set(versions) == {("films", 1), ("films", 3), ("films", 4), ("hello", 1)}
    assert versions["films", 3][1] == ("champion",)
    assert versions["hello", 1][2]["mlflow.prompt.text"] == "Say {{ x }}"
    assert sorted(each["judged"] for each in traces.values()) == [[], ["ok"]]
    assert spans == 4
    again = bring(tracking, moment, uri)
    assert sum(each.moved for each in again.counts) == 0
    assert counted(again, "already")["runs"] == 4
    assert state(tracking) == (runs, versions, traces, spans)
    tracking.records.close()


def test_clients_find_what_was_brought(sources, tmp_path):
    import mlflow

    tracking, moment = opened(tmp_path)
    bring(tracking, moment, sources("folder"))
    with Server(create_tracking_app(tracking, hosts=local_hosts("127.0.0.1"))) as server:
        client, _ = client_of(server.url)
        version = client.get_model_version_by_alias("films", "champion")
        (tmp_path / "out").mkdir()
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(server.url)
        mlflow.set_registry_uri(server.url)
        local = mlflow.artifacts.download_artifacts("models:/films@champion", dst_path=str(tmp_path / "out"))
        mlflow.set_tracking_uri(before)
        mlflow.set_registry_uri(before)
        assert (Path(local) / "w.txt").read_text() == "weights"
        (model,) = client.search_logged_models([client.get_experiment_by_name("taxis").experiment_id])
        assert (model.name, model.params, model.status.name) == ("lm", {"k": "v"}, "READY")
        assert version.run_id == model.source_run_id
        traces = client.search_traces(locations=[client.get_experiment_by_name("taxis").experiment_id])
        assert sorted(span.name for trace in traces for span in trace.data.spans) == ["inner"] * 2 + ["outer"] * 2
    tracking.records.close()


class Killed(BaseException):
    """As a signal: nobody catches it."""


def test_an_import_that_is_killed_goes_on_without_duplicates(sources, tmp_path):
    uri = sources("folder")
    whole, moment = opened(tmp_path / "whole")
    bring(whole, moment, uri)
    expected = state(whole)
    whole.records.close()
    tracking, moment = opened(tmp_path / "killed")
    runs, documents, versions = (getattr(tracking.records, name) for name in ("runs", "documents", "versions"))
    left = 0

    def counting(function):
        def call(*args, **given):
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return function(*args, **given)

        return call

    for store in (runs, documents, versions):
        for name in ("apply", "start", "register"):
            if hasattr(store, name):
                setattr(store, name, counting(getattr(store, name)))
    for kills in itertools.count():  # a write more each time
        left = kills + 1
        try:
            done = bring(tracking, moment, uri)
        except Killed:
            assert kills < 100
        else:
            break
    assert kills > 5
    assert done.left_out == []
    assert state(tracking) == expected
    tracking.records.close()


def test_what_came_since_is_brought_by_the_next_import(tmp_path, environment):
    from mlflow import MlflowClient

    uri = (tmp_path / "mlruns").as_uri()
    client = MlflowClient(tracking_uri=uri)
    run = client.create_run("0", start_time=10, run_name="long")
    client.log_metric(run.info.run_id, "loss", 1.0, step=1, timestamp=11)
    tracking, moment = opened(tmp_path / "ours")
    bring(tracking, moment, str(tmp_path / "mlruns"))
    client.log_metric(run.info.run_id, "loss", 0.5, step=2, timestamp=12)
    client.log_param(run.info.run_id, "late", "yes")
    client.set_terminated(run.info.run_id, "FINISHED", 20)
    done = bring(tracking, moment, str(tmp_path / "mlruns"))
    assert (counted(done, "moved")["runs"], counted(done, "moved")["metric values"]) == (1, 1)
    ours = tracking.records.runs.get(run.info.run_id)
    assert (ours.status, ours.end_ms, ours.params) == ("FINISHED", 20, {"late": "yes"})
    assert [each.value for each in tracking.records.runs.history(run.info.run_id, "loss").items] == [1.0, 0.5]
    tracking.records.close()


def test_files_that_could_not_be_read_are_brought_by_the_next_import(tmp_path, environment):
    """The artifact store is away at first: its files are left out, and come once it is there again."""
    from mlflow import MlflowClient

    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "w.txt").write_text("weights")
    client = MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri(), registry_uri=(tmp_path / "mlruns").as_uri())
    logged = client.create_logged_model("0", name="lm")
    client.log_model_artifact(logged.model_id, str(tmp_path / "away" / "w.txt"))
    client.finalize_logged_model(logged.model_id, "READY")
    client.create_registered_model("films")
    client.create_model_version("films", (tmp_path / "store").as_uri())
    artifacts = Path(logged.artifact_location.removeprefix("file://"))
    artifacts.rename(tmp_path / "artifacts")
    tracking, moment = opened(tmp_path / "ours")
    done = bring(tracking, moment, str(tmp_path / "mlruns"))
    assert {each.name for each in done.left_out} == {logged.model_id, "films/1"}
    assert tracking.records.documents.find("artifact_files") == []
    (tmp_path / "artifacts").rename(artifacts)
    (tmp_path / "away").rename(tmp_path / "store")
    done = bring(tracking, moment, str(tmp_path / "mlruns"))
    assert (done.left_out, counted(done, "moved")["artifacts"]) == ([], 2)
    files = {each.key: each.body["file_blob"] for each in tracking.records.documents.find("artifact_files")}
    assert [each.endswith("w.txt") for each in files] == [True, True]
    assert {tracking.blobs.get(blob) for blob in files.values()} == {b"weights"}
    assert counted(bring(tracking, moment, str(tmp_path / "mlruns")), "moved")["artifacts"] == 0
    tracking.records.close()


@pytest.mark.parametrize(("status", "left_out"), [(503, ["of experiment Default"]), (404, [])])
def test_logged_models_that_cannot_be_listed_are_left_out(tmp_path, environment, monkeypatch, status, left_out):
    """Only a server that does not know of them has none."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException, get_error_code

    MlflowClient(tracking_uri=(tmp_path / "mlruns").as_uri()).create_run("0")

    def refused(*_, **__):
        raise MlflowException(f"status {status}", error_code=get_error_code(status))

    monkeypatch.setattr(MlflowClient, "search_logged_models", refused)
    tracking, moment = opened(tmp_path / "ours")
    done = bring(tracking, moment, str(tmp_path / "mlruns"))
    assert [each.name for each in done.left_out if each.kind == "logged models"] == left_out
    tracking.records.close()


def test_links_that_came_before_their_trace_do_not_end_an_import(sources, tmp_path):
    tracking, moment = opened(tmp_path)
    theirs, _ = client_of(sources("folder"))
    experiment = theirs.get_experiment_by_name("taxis").experiment_id
    trace_id = theirs.search_traces(locations=[experiment])[0].info.trace_id
    link_to_run(tracking, {"trace_ids": [trace_id], "run_id": "r1"})
    done = bring(tracking, moment, sources("folder"))
    assert (done.left_out, counted(done, "moved")["traces"]) == ([], 2)
    assert tracking.records.documents.get("traces", trace_id).body["runs"] == ["r1"]
    tracking.records.close()


def test_a_file_that_changed_is_taken_again(tmp_path, environment):
    """Also when its size is the same; what did not change is not."""
    from mlflow.artifacts import download_artifacts

    uri = (tmp_path / "mlruns").as_uri()
    tracking, _ = opened(tmp_path / "ours")
    ours = tracking.records.experiments.open("e").experiment_id
    run_id = tracking.records.runs.start(ours, "r").run_id

    def write(**files):
        blobs = {path: tracking.blobs.put(content.encode()) for path, content in files.items()}
        tracking.records.runs.apply([RunChange(run_id=run_id, artifacts=blobs)])

    def taken():
        moved = counted(export_store(tracking, uri, lambda _: None), "moved")["artifacts"]
        client, _ = client_of(uri)
        (there,) = client.search_runs([client.get_experiment_by_name("e").experiment_id])
        folder = Path(download_artifacts(run_id=there.info.run_id, tracking_uri=uri))
        return moved, {path.name: path.read_text() for path in folder.iterdir()}

    write(a="one", b="same")
    assert taken() == (2, {"a": "one", "b": "same"})
    write(a="two")
    assert taken()[1] == {"a": "two", "b": "same"}
    tracking.records.runs.apply([RunChange(run_id=run_id, params={"k": "v"})])
    assert taken() == (0, {"a": "two", "b": "same"})
    tracking.records.close()


def test_a_run_that_was_made_here_is_left_alone(tmp_path, environment):
    from mlflow import MlflowClient

    uri = (tmp_path / "mlruns").as_uri()
    theirs = MlflowClient(tracking_uri=uri).create_run("0", run_name="theirs").info.run_id
    tracking, moment = opened(tmp_path / "ours")
    ours = tracking.records.experiments.open("e").experiment_id
    tracking.records.runs.start(ours, "ours", run_id=theirs)
    done = bring(tracking, moment, str(tmp_path / "mlruns"))
    assert counted(done, "already")["runs"] == 1
    assert tracking.records.runs.get(theirs).name == "ours"
    tracking.records.close()


@pytest.mark.parametrize("kind", ["folder", "server"])
def test_what_is_taken_comes_back_the_same(sources, tmp_path, kind):
    """Over to bakeoff, from there to a new store of MLflow's, and back again."""
    tracking, moment = opened(tmp_path / "first")
    bring(tracking, moment, sources("sqlite"))
    other, _ = opened(tmp_path / "server")
    with Server(create_tracking_app(other, hosts=local_hosts("127.0.0.1"))) as server:
        uri = server.url if kind == "server" else (tmp_path / "mlruns").as_uri()
        done = export_store(tracking, uri, lambda _: None)
        assert done.left_out == []
        moved = counted(done, "moved")
        assert {key: moved[key] for key in EXPECTED} == EXPECTED
        assert moved["artifacts"] == 3
        again = export_store(tracking, uri, lambda _: None)
        assert sum(each.moved for each in again.counts) == 0
        back, moment = opened(tmp_path / "back")
        bring(back, moment, uri)
    runs, versions, traces, _ = state(tracking)
    runs_back, versions_back, traces_back, spans = state(back)
    for name, (about, params, tags, values, files, inputs) in runs.items():
        assert runs_back[name][:2] == (about, params)
        assert runs_back[name][3:] == (values, files, inputs)
        assert {key: runs_back[name][2].get(key) for key in tags if key != "mlflow.parentRunId"} == {
            key: value for key, value in tags.items() if key != "mlflow.parentRunId"
        }
    assert traces_back == traces
    assert spans == 4
    # Numbers of versions that were removed are not kept.
    assert set(versions_back) == {("films", 1), ("films", 2), ("films", 3), ("hello", 1)}
    assert versions_back["films", 2][1] == ("champion",)
    assert versions_back["films", 2][2] == {**versions["films", 3][2], "bakeoff.version": "3"}
    assert versions_back["hello", 1][2]["mlflow.prompt.text"] == "Say {{ x }}"
    (logged,), (logged_back,) = (each.records.documents.find("logged_models") for each in (tracking, back))
    assert {key: logged_back.body[key] for key in ("name", "params", "status")} == {
        "name": "lm",
        "params": {"k": "v"},
        "status": "LOGGED_MODEL_READY",
    }
    assert logged_back.body["tags"]["bakeoff.model_id"] == logged.key
    for each in (tracking, other, back):
        each.records.close()


def test_a_model_that_others_made_there_is_left_alone(tmp_path, environment):
    from mlflow import MlflowClient

    uri = (tmp_path / "mlruns").as_uri()
    MlflowClient(tracking_uri=uri, registry_uri=uri).create_registered_model("films", tags={"whose": "theirs"})
    tracking, _ = opened(tmp_path / "ours")
    tracking.records.versions.register("model", "films", "s3://bucket/m", lineage={"source": "s3://bucket/m"})
    done = export_store(tracking, uri, lambda _: None)
    assert [(each.kind, each.name) for each in done.left_out] == [("registered models", "films")]
    assert not MlflowClient(tracking_uri=uri, registry_uri=uri).search_model_versions("name = 'films'")
    done = import_store(tracking, uri, Moment(lambda: 5), lambda _: None)
    assert [each.reason for each in done.left_out] == ["a registered model of this name was made here"]
    tracking.records.close()


def test_models_of_bakeoff_are_taken_with_their_files(ran, tmp_path, environment):
    from bakeoff import Project

    uri = (tmp_path / "mlruns").as_uri()
    with Project(ran) as project:
        tracking = Tracking(records=project.records, blobs=project.blobs, clock=lambda: 5, scratch=tmp_path / "s")
        done = export_store(tracking, uri, lambda _: None)
        assert done.left_out == []
        last = project.last()
    client, _ = client_of(uri)
    runs = client.search_runs([client.get_experiment_by_name("films").experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["bake-off", "first", "second"]
    version = client.get_model_version_by_alias("films", "champion")
    run = client.get_run(version.run_id)
    assert run.data.tags["bakeoff.run_id"] == last.run_id
    assert version.source.endswith(f"/registered/films-{version.version}")
    assert client.list_artifacts(version.run_id, f"registered/films-{version.version}")
    child = next(each for each in runs if each.info.run_name == last.verdict.winner)
    assert child.data.tags["mlflow.parentRunId"] == version.run_id
    assert {each.path for each in client.list_artifacts(child.info.run_id)} >= {"model", "outcomes.parquet"}


def test_a_version_of_data_is_shorter_there_and_whole_when_it_comes_back(tmp_path):
    """MLflow's databases and servers take 36 characters of a digest, of which ours has 64."""
    from mlflow.utils.validation import _validate_dataset

    tracking, _ = opened(tmp_path)
    experiment = tracking.records.experiments.open("e").experiment_id
    run = tracking.records.runs.start(experiment, "bake-off")
    inputs = [RunInput(name="films", version="0123456789abcdef" * 4, context="training")]
    tracking.records.runs.apply([RunChange(run_id=run.run_id, inputs=inputs)])
    taken = exporting._inputs(tracking.records.runs.get(run.run_id))
    _validate_dataset(taken[0].dataset)
    (back,) = importing._inputs(SimpleNamespace(inputs=SimpleNamespace(dataset_inputs=taken)))
    assert (back.name, back.version, back.context) == ("films", "0123456789abcdef" * 4, "training")
    tracking.records.close()


def test_a_database_of_an_older_mlflow_stays_as_it_is(sources, tmp_path):
    """MLflow's client would upgrade it as soon as it opens it."""
    shutil.copy(sources("sqlite").removeprefix("sqlite:///"), tmp_path / "old.db")
    with closing(sqlite3.connect(tmp_path / "old.db")) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0584bdc529eb'")
        raw.commit()
        before = list(raw.iterdump())
    tracking, _ = opened(tmp_path / "ours")
    with pytest.raises(StoreError, match="mlflow db upgrade"):
        export_store(tracking, f"sqlite:///{tmp_path}/old.db", lambda _: None)
    with pytest.raises(StoreError, match="cannot be upgraded"):  # this one only says that it is old
        import_store(tracking, f"sqlite:///{tmp_path}/old.db", Moment(lambda: 5), lambda _: None)
    with closing(sqlite3.connect(tmp_path / "old.db")) as raw:
        assert list(raw.iterdump()) == before
    tracking.records.close()


def test_a_store_that_cannot_be_used_is_one_clear_error(tmp_path):
    with pytest.raises(UsageError, match="received 'ftp://a/b'"):
        client_of("ftp://a/b")
    with pytest.raises(NotFoundError, match="nothing at"):
        client_of(str(tmp_path / "nothing"))
    with pytest.raises(NotFoundError, match=r"meta\.yaml"):
        client_of(str(tmp_path))
    (tmp_path / "mlflow.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match="cannot use the MLflow store at sqlite"):
        client_of(f"sqlite:///{tmp_path}/mlflow.db")
    assert plain_uri("postgresql://me:secret@host/db") == "postgresql://me:…@host/db"
