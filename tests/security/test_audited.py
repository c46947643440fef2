"""Whatever changes through the wrapped records stands in the audit log: who, what, from where, before and after."""

import pytest

from bakeoff.core.errors import ConflictError, NotFoundError
from bakeoff.core.protocols import Reporting, Tabular
from bakeoff.core.records import DocumentChange, ExperimentChange, RegisteredChange, RunChange, VersionChange
from bakeoff.security.audit import AuditLog
from bakeoff.security.audited import acting, audited
from bakeoff.stores.records import open_records
from bakeoff.testing.memory import MemoryRecords
from bakeoff.testing.records import RecordStoreConformance

NOW = 1_700_000_000_000


@pytest.fixture
def store():
    return MemoryRecords(lambda: NOW)


@pytest.fixture
def records(store):
    return audited(store, lambda: NOW, who="ada", origin="10.0.0.7")


@pytest.fixture
def noted(store):
    """What was written into the log since it was asked last."""
    log, seen = AuditLog(store.documents, lambda: NOW), 0

    def since():
        nonlocal seen
        new = list(log.records())[seen:]
        seen += len(new)
        assert {(each.who, each.origin) for each in new} <= {("ada", "10.0.0.7")}
        assert log.verify() == []
        return [(each.action, each.subject, each.before, each.after) for each in new]

    return since


def test_names_versions_and_aliases(records, noted):
    versions = records.versions
    first = versions.register("model", "m", "c1", run_id="r1")
    versions.register("model", "m", "c1", run_id="r1")  # the same again is no change
    versions.register("model", "m", "c2", run_id="r1")
    versions.apply([RegisteredChange(kind="model", name="m", aliases={"champion": 1})])
    assert [each[:2] for each in noted()] == [
        ("model registered", "model m/1"),
        ("model registered", "model m/2"),
        ("model alias moved", "model m"),
    ]
    versions.apply([RegisteredChange(kind="model", name="m", aliases={"champion": 2, "old": 1})])
    assert noted() == [
        (
            "model alias moved",
            "model m",
            {"aliases": {"champion": 1, "old": None}},
            {"aliases": {"champion": 2, "old": 1}},
        )
    ]
    versions.apply([VersionChange(kind="model", name="m", number=1, stage="Production", tags={"a": "b" * 500})])
    ((action, subject, before, after),) = noted()
    assert (action, subject, before) == ("model changed", "model m/1", {"stage": "None", "tags": {"a": None}})
    assert after["stage"] == "Production"
    assert after["tags"]["a"].startswith("blake3:")
    versions.apply([VersionChange(kind="model", name="m", number=1, remove=True)])
    assert noted() == [
        ("model removed", "model m/1", {"content": first.content, "run_id": "r1", "aliases": ["old"]}, None)
    ]
    versions.apply([RegisteredChange(kind="model", name="m", remove=True)])
    assert noted() == [("model removed", "model m", {"versions": 2, "aliases": {"champion": 2}}, None)]


def test_experiments_and_runs(records, noted):
    experiment = records.experiments.create("e").experiment_id
    assert records.experiments.open("e").experiment_id == experiment
    run = records.runs.start(experiment, "r").run_id
    records.runs.apply([RunChange(run_id=run, params={"a": "1"}, tags={"t": "x"}, artifacts={"f": "blob"})])
    assert noted() == [("experiment created", "experiment e", None, {"name": "e"})]
    records.runs.apply([RunChange(run_id=run, remove_tags=("t",), artifacts={"f": None})])
    records.runs.apply([RunChange(run_id=run, lifecycle="deleted")])
    records.runs.apply([RunChange(run_id=run, lifecycle="active", name="better")])
    records.experiments.apply([ExperimentChange(experiment_id=experiment, lifecycle="deleted")])
    assert noted() == [
        (
            "run changed",
            f"run {run}",
            {"tags": {"t": "x"}, "artifacts": {"f": "blob"}},
            {"tags": {"t": None}, "artifacts": {"f": None}},
        ),
        ("run deleted", f"run {run}", {"lifecycle": "active"}, {"lifecycle": "deleted"}),
        (
            "run restored",
            f"run {run}",
            {"name": "r", "lifecycle": "deleted"},
            {"name": "better", "lifecycle": "active"},
        ),
        (
            "experiment deleted",
            f"experiment {experiment}",
            {"lifecycle": "active"},
            {"lifecycle": "deleted"},
        ),
    ]


def test_documents_that_are_declared_and_those_that_are_removed(records, noted):
    documents = records.documents
    documents.put("traces", "t1", {"said": "private"})
    documents.put("steps", "s", {})
    documents.delete("steps", "s")
    assert noted() == []
    documents.put("scorers", "s1", {"version": 1, "text": "y"})
    documents.apply([DocumentChange(collection="scorers", key="s1", body={"version": 2, "text": "y"})])
    documents.put("scorers", "s1", {"version": 2, "text": "y"})
    removed = [DocumentChange(collection="traces", key=f"t{number}", body=None) for number in range(30)]
    documents.apply(removed)
    written, again, gone = noted()
    assert written == ("scorers written", "scorers s1", {"version": None, "text": None}, {"version": 1, "text": "y"})
    assert again == ("scorers written", "scorers s1", {"version": 1}, {"version": 2})
    assert gone[:2] == ("traces removed", "traces t0 and 29 more")
    assert gone[2] == {"count": 30, "keys": [f"t{number}" for number in range(20)]}
    assert "private" not in str(noted())


def test_what_could_not_be_done_says_so(records, noted):
    records.versions.register("model", "m", "c")
    records.versions.register("model", "n", "c")
    noted()
    with pytest.raises(ConflictError):
        records.versions.apply([RegisteredChange(kind="model", name="m", rename="n")])
    assert noted() == [
        ("model changed", "model m", {"name": "m"}, {"name": "n"}),
        ("model changed: not done", "model m", None, {"reason": "ConflictError"}),
    ]
    with pytest.raises(NotFoundError):
        records.versions.apply([VersionChange(kind="model", name="m", number=9, stage="Staging")])
    assert noted() == []


def test_it_is_a_store_of_records_like_any_other(tmp_path):
    inner = open_records("sqlite:///r.db", folder=tmp_path, clock=lambda: NOW)
    wrapped = audited(audited(inner, lambda: NOW, who="ada"), lambda: NOW, who="bo")
    assert isinstance(wrapped, Tabular)
    assert not isinstance(audited(MemoryRecords(lambda: NOW), lambda: NOW, who="ada"), Tabular)
    assert wrapped.problem() is None
    assert isinstance(wrapped, Reporting)
    wrapped.experiments.create("once")
    assert [each.who for each in AuditLog(inner.documents, lambda: NOW).records()] == ["bo"]
    wrapped.close()


class TestAudited(RecordStoreConformance):
    """It keeps the port's promises."""

    @pytest.fixture
    def store(self, clock):
        return audited(MemoryRecords(clock), clock, who="ada")


def test_what_is_changed_for_a_caller_is_theirs(store, records):
    with acting("zoe", "10.0.0.9"):
        records.experiments.create("one")
    records.experiments.create("two")
    log = AuditLog(store.documents, lambda: NOW)
    assert [(each.who, each.origin) for each in log.records()] == [("zoe", "10.0.0.9"), ("ada", "10.0.0.7")]


def test_a_version_is_noted_before_it_is_there(store, records, noted, monkeypatch):
    def dies(*_, **__):
        raise KeyboardInterrupt

    records.versions.register("model", "m", "c1", run_id="r1")
    noted()
    monkeypatch.setattr(store.versions, "register", dies)
    with pytest.raises(KeyboardInterrupt):
        records.versions.register("model", "m", "c2", run_id="r1")
    assert [each[:2] for each in noted()] == [
        ("model registered", "model m/2"),
        ("model registered: not done", "model m/2"),
    ]


def test_silences_of_alerts_are_noted(records, noted):
    records.documents.put("alert_silences", "films", {"until_ms": 5})
    assert [each[:2] for each in noted()] == [("alert_silences written", "alert_silences films")]
