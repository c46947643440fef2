"""After `forget`, no file of a project holds the planted string, in any form; what others have stays."""

import gzip
import io
import json
import shutil
import zipfile

import numpy as np
import polars as pl
import pytest

from bakeoff import Project
from bakeoff.actions.erased_content import erased, holds
from bakeoff.actions.forget import places
from bakeoff.chat.cache import ReplyCache
from bakeoff.core.erasure import ERASED, PersonKey
from bakeoff.core.errors import ConflictError, UsageError
from bakeoff.core.events import FeedbackEvent, PredictionEvent
from bakeoff.core.records import DocumentChange, RunChange
from bakeoff.project import lease, wiring

KEY = "zoë.quux@planted.example"
PERSON = PersonKey(KEY)


def planted(folder):
    """The planted string in the raw bytes of any file, or in a packed one."""
    return [path.name for path in folder.rglob("*") if path.is_file() and holds(PERSON, path)]


@pytest.fixture(scope="module")
def with_person(new_films, family_installed):
    """A project that was run on rows of a person, too."""
    folder = new_films()
    theirs = [f"good film number {n} says {KEY},1999,yes\n" for n in range(5)]
    with (folder / "films.csv").open("a") as source:
        source.writelines(theirs)
    with family_installed(), Project(folder) as project:
        project.run()
    return folder


@pytest.fixture
def project(with_person, tmp_path, third_party):
    with Project(shutil.copytree(with_person, tmp_path / "films")) as project:
        yield project


def leave_traces(project):
    mine = project.predict([{"review": f"great film of {KEY}", "year": 1999}] * 2)
    others = project.predict([{"review": "dull film", "year": 1980}])
    project.events.compact()
    project.feedback([{"id": mine[0].id, "label": "yes"}, {"id": others[0].id, "label": "no"}])
    project.feedback([{"id": others[0].id, "comment": f"told by {KEY}"}])
    documents = project.records.documents
    documents.apply([DocumentChange(collection="traces", key="tr-1", body={"trace_id": "tr-1", "tags": {}})])
    for trace, words in (("tr-1", f"ask {KEY}"), ("tr-2", "ask somebody")):
        documents.put("trace_spans", f"{trace}/s", {"inputs": words})
    documents.put("evaluation_records", "d-1/r", {"inputs": {"who": KEY, "note": "all of this row is theirs"}})
    documents.put("scorers", "s", {"text": f"as {KEY} said"})
    run = project.last().run_id
    project.records.runs.apply([RunChange(run_id=run, tags={"owner": KEY, "team": "films"}, params={KEY: "1"})])
    cache = project.folder / ".bakeoff" / "cache"
    ReplyCache(cache).keep("theirs", 0.1, {"text": KEY})
    ReplyCache(cache).keep("others", 0.1, {"text": "paid for"})
    (cache / "download.csv.gz").write_bytes(gzip.compress(f"a,{KEY}".encode()))
    project._back_up()
    return mine, others, run


def test_nothing_is_left_in_any_file_and_others_keep_theirs(project):
    mine, others, run = leave_traces(project)
    before = project.models()
    assert len(planted(project.folder)) > 6
    source = project.folder / "films.csv"
    assert project.forget(KEY).remaining == ("films.csv",)
    source.write_text("".join(line for line in source.read_text().splitlines(keepends=True) if KEY not in line))
    result = project.forget(KEY)
    assert (result.remaining, result.events) == ((), 0)
    assert planted(project.folder) == []
    assert list(project.events.read(FeedbackEvent)) == list(project.events.get(FeedbackEvent, [others[0].id]))
    assert [each.id for each in project.events.read(PredictionEvent)] == [others[0].id]
    assert project.events.get(PredictionEvent, [mine[0].id]) == []
    documents = project.records.documents
    assert documents.find("traces") == []
    assert [each.key for each in documents.find("trace_spans")] == ["tr-2/s"]
    assert documents.find("evaluation_records") == []
    assert documents.get("scorers", "s").body == {"text": f"as {ERASED} said"}
    left = project.records.runs.get(run)
    assert (left.tags["owner"], left.tags["team"]) == (ERASED, "films")
    assert KEY not in left.params
    assert set(ReplyCache(project.folder / ".bakeoff" / "cache").find(["theirs", "others"])) == {"others"}
    assert project.verify() == []
    assert project.audit.verify() == []
    assert [each.content for each in project.models()] == [each.content for each in before]
    assert project.predict([{"review": "great film", "year": 1999}])[0].label == "yes"
    assert not project.run().unchanged
    assert planted(project.folder) == []


@pytest.mark.slow
def test_a_log_in_a_database(project, empty_postgresql):
    with (project.folder / "bakeoff.toml").open("a") as toml:
        toml.write(f'\n[store]\nevents = "{empty_postgresql}"\n')
    with Project(project.folder) as shared:
        answers = shared.predict([{"review": f"great film of {who}", "year": 1999} for who in (KEY, "others", KEY)])
        shared.feedback([{"id": each.id, "label": "yes"} for each in answers])
        assert "2 events of the log" in shared.holding(KEY)
        assert shared.forget(KEY).events == 4
        assert shared.forget(KEY).remaining == ("films.csv",)
        assert [event.id for event in shared.events.read(PredictionEvent, FeedbackEvent)] == [answers[1].id] * 2
        assert shared.verify() == []


def test_models_that_learned_from_the_person_are_listed(project):
    result = project.forget(KEY)
    assert {each.version for each in result.models} == {f"films/{each.number}" for each in project.models()}
    assert sum(each.live for each in result.models) == 1
    assert not any(each.holds for each in result.models)
    assert result.datasets == ("films/1",)
    assert project.last().verdict.winner


def test_models_whose_files_hold_the_key_are_removed_when_that_is_wanted(films_project):
    """The family of this test counts first words: one that is a name stands in its file."""
    source, key = films_project / "films.csv", PersonKey("quuxington")
    source.write_text(source.read_text() + "quuxington film,1999,yes\n" * 9)
    with Project(films_project) as project:
        project.run()
        source.write_text("".join(f"{line}\n" for line in source.read_text().splitlines() if key.text not in line))
        first = project.forget(key.text)
        held = {each.version for each in first.models if each.holds}
        live = {each.version for each in first.models if each.live}
        assert held
        assert first.remaining
        project.run()
        second = project.forget(key.text, models=True)
        assert {each.version for each in second.models if each.removed} == held
        assert second.remaining == ()
        assert not live & {f"films/{each.number}" for each in project.models()}
        assert project.verify() == []


def test_another_writer_of_the_log_stops_it(project):
    project.predict([{"review": "great film", "year": 1999}])
    with Project(project.folder) as other, pytest.raises(ConflictError, match="stop servers"):
        other.forget(KEY)


def test_a_run_on_another_host_stops_it(tmp_path, monkeypatch):
    (tmp_path / "bakeoff.toml").write_text('[project]\nname = "p"\n[data]\nsource = "a.csv"\ntarget = "b"\n')
    monkeypatch.setattr(wiring, "sqlite_file", lambda loaded: None)  # as of records that hosts share

    def taken(*_, **__):
        raise ConflictError("one is on at elsewhere")

    monkeypatch.setattr(lease, "leased", taken)
    with Project(tmp_path) as project, pytest.raises(ConflictError, match="elsewhere"):
        project.forget(KEY)


def test_keys_that_others_would_share_are_refused():
    for text in ("ada", " ada@example.org"):
        with pytest.raises(UsageError, match="4 characters"):
            PersonKey(text)


def _parquet(table):
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def test_forms_of_content():
    rows = pl.DataFrame({"who": [KEY, "bo", None], "n": [1, 2, 3], "tags": [["a"], ["b"], [KEY]]})
    left = pl.read_parquet(io.BytesIO(erased(PERSON, _parquet(rows))))
    assert left.schema == rows.schema
    assert left.rows() == [(None, None, None), ("bo", 2, ["b"]), (None, None, None)]
    numbers = PersonKey("123456")
    table = pl.DataFrame({"id": [123456, 1234567], "price": ["0.123456", "123456"]})
    assert pl.read_parquet(io.BytesIO(erased(numbers, _parquet(table))))["id"].to_list() == [None, None]
    assert erased(numbers, _parquet(table[1:].with_columns(price=pl.lit("0.123456")))) is None
    buffer = io.BytesIO()
    np.savez(buffer, texts=np.array([KEY, "b"]), numbers=np.arange(2))
    arrays = np.load(io.BytesIO(erased(PERSON, buffer.getvalue())))
    assert (arrays["texts"].tolist(), arrays["numbers"].tolist()) == ([ERASED, "b"], [0, 1])
    for document in ({"a": [KEY, 1], KEY: None}, [f"by {KEY}"]):
        for spelled in (json.dumps(document), json.dumps(document, ensure_ascii=False)):
            assert json.loads(erased(PERSON, spelled.encode())) == PERSON.scrubbed(document)
    lines = f'{{"a": "{KEY}"}}\n{{"a": "b"}}\n'
    assert erased(PERSON, lines.encode()).decode() == f'{{"a": "{ERASED}"}}\n{{"a": "b"}}\n'
    assert gzip.decompress(erased(PERSON, gzip.compress(KEY.encode()))) == ERASED.encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", KEY * 2 + f" {KEY}")
    assert erased(PERSON, packed.getvalue()) == b""
    assert erased(PERSON, b"\xff\xfe" + KEY.encode()) == b""
    assert erased(PERSON, b"nothing of the kind") is None


def test_what_is_free_in_the_database_is_overwritten(project):
    documents = project.records.documents
    for number in range(200):
        documents.put("notes", f"n{number}", {"text": f"{number} {KEY} " + "x" * 2_000})
    for number in range(200):
        documents.delete("notes", f"n{number}")
    file = project.folder / ".bakeoff" / "records.db"
    assert any(PERSON.in_bytes(path.read_bytes()) for path in file.parent.glob("records.db*"))
    project.forget(KEY)
    assert not any(PERSON.in_bytes(path.read_bytes()) for path in file.parent.glob("records.db*"))
    assert project.verify() == []


def test_numbers_in_every_type_of_column_and_categories_are_found():
    person, number = PersonKey("Ada Lovelace"), PersonKey("12345")
    names = ["Ada Lovelace", "bo", None]
    for dtype in (pl.Categorical(), pl.Enum(["Ada Lovelace", "bo"]), pl.List(pl.Enum(["Ada Lovelace", "bo"]))):
        values = [None if name is None else [name] for name in names] if isinstance(dtype, pl.List) else names
        new = erased(person, _parquet(pl.DataFrame({"who": pl.Series(values, dtype=dtype), "n": [1, 2, 3]})))
        left = pl.read_parquet(io.BytesIO(new))
        assert left["n"].to_list() == [None, 2, 3]
        assert left["who"].to_list() == [None, *values[1:]]
        assert erased(person, new) is None
        assert "Ada" not in str(left.schema)
    unused = pl.DataFrame({"who": pl.Series(["bo"], dtype=pl.Enum(["Ada Lovelace", "bo"]))})
    assert pl.read_parquet(io.BytesIO(erased(person, _parquet(unused))))["who"].to_list() == ["bo"]
    for dtype in (pl.Float64, pl.Float32, pl.Int32, pl.UInt64, pl.Decimal(12, 2)):
        ids = pl.DataFrame({"id": pl.Series([12345, None, 99], dtype=dtype), "n": [1, 2, 3]})
        assert pl.read_parquet(io.BytesIO(erased(number, _parquet(ids))))["n"].to_list() == [None, 2, 3]
        assert erased(PersonKey("1234567890" * 3), _parquet(ids)) is None
    small = pl.DataFrame({"id": pl.Series([12, 99], dtype=pl.Int8)})
    assert erased(number, _parquet(small)) is None


def test_a_number_ends_at_a_full_stop_and_is_no_part_of_another():
    number = PersonKey("12345")
    for text in ("I am customer 12345.", "12345,", "id 12345.0;", "see 12345.00"):
        assert number.in_text(text), text
        assert number.in_content(text.encode()), text
        assert number.in_content(text.encode("utf-16-le")), text
        assert "12345" not in number.scrub(text)
    for text in ("0.12345", "12345.6", "12345.07", "912345", "12345a", "1.12345.2"):
        assert not number.in_text(text), text
        assert not number.in_content(text.encode()), text
        assert not number.in_content(text.encode("utf-16-le")), text
        assert number.scrub(text) == text
    assert number.in_value({"id": 12345.0})
    assert number.scrubbed({"id": 12345.0, "other": 12345.5}) == {"id": None, "other": 12345.5}
    assert json.loads(erased(number, b'{"id": 12345.0, "n": 1}')) == {"id": None, "n": 1}


def test_a_number_with_zeros_before_it_is_another_one():
    ids = _parquet(pl.DataFrame({"id": [123456, 7]}))
    key = PersonKey("00123456")
    assert (erased(key, ids), key.in_value(123456), key.in_text("0.00123456")) == (None, False, False)
    assert key.in_text("customer 00123456.")


def test_content_of_no_known_form_is_left_as_it_is_and_named(project):
    """A key within other bytes is nobody's; one that stands alone is for people to decide on."""
    others, theirs = b"\xff\xfe\x00n" + KEY.encode() + b"s", b"\xff\xfe\x00" + KEY.encode() + b"\x00"
    torn = b"PAR1garbage " + KEY.encode() + b" PAR1"
    assert erased(PERSON, others) is None
    assert erased(PERSON, b"PAR1garbage") is None
    assert (erased(PERSON, theirs), erased(PERSON, torn)) == (b"", b"")
    ids = [project.blobs.put(content) for content in (others, theirs, torn)]
    run = project.last().run_id
    project.records.runs.apply([RunChange(run_id=run, artifacts={f"a{n}": each for n, each in enumerate(ids)})])
    result = project.forget(KEY)
    assert [project.blobs.get(each) for each in ids] == [others, theirs, torn]
    assert {each for each in result.remaining if each.startswith("blob ")} == {f"blob {each}" for each in ids[1:]}


def test_a_snapshot_that_holds_the_key_is_named_though_no_file_shows_it(films_project):
    """Small files of a folder lie packed together, and are no tables there; pieces of large ones neither."""
    key = "moe@planted.example"
    folder = films_project / "people"
    folder.mkdir()
    words = [f"{chr(97 + n % 26)}{n * 7919 % 501}@planted.example" for n in range(500)]
    for number in range(20):
        pl.DataFrame({"who": [*words, key] if number == 3 else words, "n": number}).write_parquet(
            folder / f"{number}.p"
        )
    with Project(films_project) as project:
        taken = project.snapshots.take(folder)
        for file in folder.iterdir():
            file.unlink()
        assert list(places(PersonKey(key), films_project)) == []
        expected = [f"snapshot people/1: in tree {taken.content}"]
        assert project.holding(key) == expected
        assert project.forget(key).remaining == tuple(expected)
