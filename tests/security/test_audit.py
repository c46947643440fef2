"""The audit log: whatever is edited, taken out or cut off is named."""

import json
import random
import threading

import pytest
from blake3 import blake3

from bakeoff.core.errors import StoreError, UsageError
from bakeoff.core.hashing import canonical_json
from bakeoff.core.records import DocumentChange
from bakeoff.security.audit import AuditHead, AuditLog, as_cef
from bakeoff.stores.records import open_records
from bakeoff.testing.memory import MemoryRecords

COUNT = 12


@pytest.fixture
def records():
    return MemoryRecords(lambda: 1_000)


@pytest.fixture
def log(records):
    log = AuditLog(records.documents, lambda: 1_700_000_000_000)
    for number in range(COUNT):
        log.add("route moved", f"endpoint {number % 3}", who="ada", before={"live": number}, after={"live": number + 1})
    return log


def test_what_was_written_is_read_and_whole(log):
    records = list(log.records())
    assert [each.number for each in records] == list(range(1, COUNT + 1))
    assert records[4].before == {"live": 4}
    assert records[4].to_json()["time"] == "2023-11-14T22:13:20+00:00"
    assert log.verify() == []
    assert log.verify(log.head()) == []


def test_every_edit_deletion_and_truncation_is_named(log, records):
    draw = random.Random(0)
    stored = {each.key: each.body for each in records.documents.find("audit")}
    head = records.documents.get("audit_head", "head").body
    for _ in range(1_000):
        number, kind = draw.randint(1, COUNT), draw.choice(("edit", "delete", "truncate"))
        key = f"{number:012}"
        if kind == "edit":
            field = draw.choice(
                (
                    "who",
                    "action",
                    "subject",
                    "origin",
                    "before",
                    "after",
                    "time_ms",
                    "previous",
                    "hash",
                    "content",
                    "salt",
                )
            )
            changes = [DocumentChange(collection="audit", key=key, body=stored[key] | {field: "mallory"})]
        else:
            gone = [key] if kind == "delete" else [each for each in stored if each >= key]
            changes = [DocumentChange(collection="audit", key=each, body=None) for each in gone]
        records.documents.apply(changes)
        faults = log.verify()
        assert any(f"record {number}" in fault for fault in faults), (kind, number, faults)
        records.documents.apply(
            [DocumentChange(collection="audit", key=key, body=body) for key, body in stored.items()]
        )
    assert log.verify() == []
    records.documents.apply([DocumentChange(collection="audit_head", key="head", body=head)])


def test_what_was_erased_is_named_by_a_later_record(log, records):
    log.add("route moved", "endpoint of zoe", who="ada", after={"note": ["zoe said so"]})
    assert log.erase(lambda value: "zoe" in str(value), who="bo") == 1
    assert log.erase(lambda value: "zoe" in str(value), who="bo") == 0
    *_, gone, named = log.records()
    assert (gone.subject, gone.before, gone.after, gone.who) == ("[erased]", None, None, "ada")
    assert (named.action, named.after, named.who) == ("audit content erased", {"numbers": [COUNT + 1]}, "bo")
    assert log.verify() == []
    body = dict(records.documents.get("audit", f"{3:012}").body)
    del body["salt"]
    hidden = body | {"subject": "[erased]", "before": None, "after": None}
    records.documents.apply([DocumentChange(collection="audit", key=f"{3:012}", body=hidden)])
    (fault,) = log.verify()
    assert "record 3 was edited" in fault


def test_records_of_before_are_verified_as_they_were_written(records):
    """Their hash was of all that they say."""
    fields = {
        "number": 1, "time_ms": 5, "who": "ada", "action": "a", "subject": "s", "origin": "", "before": None,
        "after": {"x": 1}, "previous": "0" * 64,
    }  # fmt: skip
    digest = blake3(canonical_json(fields)).hexdigest()
    records.documents.put("audit", f"{1:012}", {**fields, "hash": digest})
    records.documents.put("audit_head", "head", {"count": 1, "hash": digest})
    log = AuditLog(records.documents, lambda: 9)
    log.add("b", "t", who="bo")
    assert log.verify() == []
    assert log.erase(lambda _: True, who="bo") == 1  # of the new one alone
    records.documents.put("audit", f"{1:012}", {**fields, "after": {"x": 2}, "hash": digest})
    (fault,) = log.verify()
    assert "record 1 was edited" in fault


def test_a_log_that_is_cut_with_its_head_does_not_follow_one_kept_elsewhere(log, records):
    kept = AuditHead.parsed(str(log.head()))
    last = records.documents.get("audit", f"{COUNT:012}")
    before = records.documents.get("audit", f"{COUNT - 1:012}")
    records.documents.apply(
        [
            DocumentChange(collection="audit", key=last.key, body=None),
            DocumentChange(collection="audit_head", key="head", body={"count": COUNT - 1, "hash": before.body["hash"]}),
        ]
    )
    assert log.verify() == []
    (fault,) = log.verify(kept)
    assert f"record {COUNT}" in fault
    with pytest.raises(UsageError, match="head"):
        AuditHead.parsed("12")


def test_many_writers_make_one_chain(records):
    logs = [AuditLog(records.documents, lambda: 1) for _ in range(4)]

    def write(log):
        for _ in range(10):
            log.add("token created", "token a", who="ada")

    threads = [threading.Thread(target=write, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logs[0].head().count == 40
    assert logs[0].verify() == []


def test_the_common_event_format(log):
    record = log.add("token|made", "token a", who="a=b\nc", origin="10.0.0.1", after={"x": "="})
    line = as_cef(record, "0.1")
    assert line.startswith(r"CEF:0|bakeoff|bakeoff|0.1|token\|made|token\|made token a|3|rt=1700000000000 ")
    assert r"suser=a\=b\nc src=10.0.0.1" in line
    assert "\n" not in line
    assert json.loads(line.rpartition("cs2=")[2].replace(r"\=", "=")) == {"x": "="}


@pytest.mark.parametrize("body", [{}, [], "gone", {"number": "11"}])
def test_what_is_no_record_any_more_is_named(log, records, body):
    records.documents.apply([DocumentChange(collection="audit", key=f"{2:012}", body=body)])
    assert any("record 2 " in fault for fault in log.verify())
    with pytest.raises(StoreError, match="'bakeoff audit verify' names all"):
        list(log.records())


@pytest.mark.parametrize("body", [{}, {"count": "many", "hash": 1}])
def test_a_head_that_is_none_is_named_and_nothing_is_written_after_it(log, records, body):
    records.documents.apply([DocumentChange(collection="audit_head", key="head", body=body)])
    assert "head of the audit log" in log.verify()[0]
    with pytest.raises(StoreError, match="head of the audit log"):
        log.add("model alias moved", "model taxis", who="ada")


def test_records_that_cannot_be_read_are_named(log, records):
    class Damaged:
        """The records of a disk that has lost the text of two."""

        def find(self, collection):
            raise StoreError("expected JSON")

        def get(self, collection, key):
            if key in {f"{2:012}", f"{4:012}"}:
                raise StoreError("expected JSON")
            return records.documents.get(collection, key)

    faults = AuditLog(Damaged(), lambda: 0).verify()
    assert [fault[:9] for fault in faults if "says that it is None" in fault] == ["record 2 ", "record 4 "]


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_newest_records_are_the_last_of_all(kind, tmp_path):
    stores = {
        "memory": MemoryRecords,
        "sqlite": lambda clock: open_records("sqlite:///r.db", folder=tmp_path, clock=clock),
    }
    records = stores[kind](lambda: 1)
    log = AuditLog(records.documents, lambda: 1)
    assert log.last(3) == []
    for at in range(11):  # of one moment, and past where numbers of one digit end
        log.add("did", f"thing {at}", who="ada")
    assert log.last(3) == list(log.records())[-3:]
    assert [each.number for each in log.last(100)] == list(range(1, 12))
    records.close()


def test_the_record_of_an_erasure_is_not_erased(log):
    """A key may be a number that it names, or its subject."""
    for number in range(1_000, 1_003):
        log.add("route moved", f"endpoint {number}", who="ada", after={"live": number})
    numbers = [each.number for each in log.records() if each.subject in {"endpoint 1000", "endpoint 1001"}]
    assert log.erase(lambda value: "endpoint 1000" in value, who="ada") == 1
    assert log.erase(lambda value: "endpoint 1001" in value or "audit log" in value, who="ada") == 1
    assert log.erase(lambda value: {"numbers": numbers[:1]} in value, who="ada") == 0
    assert log.verify() == []
