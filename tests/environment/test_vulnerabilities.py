"""Known vulnerabilities: records as the OSV schema has them, without a network."""

import json
import zipfile

import pytest

from bakeoff.core.errors import DataError, UsageError
from bakeoff.environment.vulnerabilities import audited


def record(name="lib", *, versions=(), events=(), kind="ECOSYSTEM", ecosystem="PyPI", **more):
    ranges = [{"type": kind, "events": list(events)}] if events else []
    affected = {"package": {"ecosystem": ecosystem, "name": name}, "versions": list(versions), "ranges": ranges}
    return {"id": "PYSEC-1", "aliases": ["CVE-1"], "summary": "a hole", "affected": [affected]} | more


def ids(folder, *records, **packages):
    for at, each in enumerate(records):
        (folder / f"{at}.json").write_text(json.dumps(each))
    return [each.id for each in audited(packages or {"lib": "1.5"}, folder).vulnerabilities]


GAPS = [{"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "2.0"}, {"fixed": "3.0"}]


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ("0.5", True),
        ("1.0", False),
        ("1.5", False),
        ("2.0rc1", False),
        ("2.0", True),
        ("3.0.dev1", True),
        ("3.0", False),
    ],
)
def test_ranges_of_events(tmp_path, version, affected):
    assert bool(ids(tmp_path, record(events=GAPS), lib=version)) is affected


def test_the_last_that_is_affected_is(tmp_path):
    events = [{"introduced": "1.0"}, {"last_affected": "1.5"}]
    assert ids(tmp_path, record(events=events), lib="1.5") == ["PYSEC-1"]
    assert ids(tmp_path, record(events=events), lib="1.5.1") == []


def test_names_versions_and_what_does_not_count(tmp_path):
    assert ids(tmp_path, record("My_Lib", versions=["1.5"]), **{"my-lib": "1.5"}) == ["PYSEC-1"]
    for other in (
        record(versions=["1.4"]),
        record(versions=["1.5"], withdrawn="2026-01-01T00:00:00Z"),
        record(versions=["1.5"], ecosystem="npm"),
        record(events=[{"introduced": "0"}], kind="GIT"),
    ):
        assert ids(tmp_path, other) == []


def test_a_zip_file_and_records_that_cannot_be_read(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.json", json.dumps(record(events=[{"introduced": "0"}, {"fixed": "2.0"}])))
        archive.writestr("b.json", "{")
        archive.writestr("c.json", json.dumps(record(events=[{"introduced": "junk"}])))
    result = audited({"lib": "1.5", "other": "1"}, path)
    assert (result.packages, result.records, result.unread) == (2, 1, 2)
    (found,) = result.vulnerabilities
    assert (found.package, found.version, found.aliases, found.fixed) == ("lib", "1.5", ("CVE-1",), ("2.0",))


def test_versions_that_cannot_be_compared_are_told(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(record(versions=["2024-odd"], events=[{"introduced": "0"}])))
    result = audited({"lib": "built by hand", "other": "2024-odd", "fine": "1.0"}, tmp_path)
    assert result.vulnerabilities == ()
    assert result.unreadable_versions == ("lib built by hand", "other 2024-odd")
    assert ids(tmp_path, lib="2024-odd") == ["PYSEC-1"]  # a list of versions says so as it is


def test_what_is_no_database(tmp_path):
    with pytest.raises(DataError, match="found 0"):
        audited({}, tmp_path)
    with pytest.raises(UsageError, match=r"all\.zip"):
        audited({}, tmp_path / "no.zip")


@pytest.mark.parametrize("installed", ["1.5", "1.5.0", "1.5+cpu", "1.05"])
def test_a_version_is_known_however_it_is_written_and_whatever_was_built_of_it(tmp_path, installed):
    assert ids(tmp_path, record(versions=["1.4", "1.5"]), lib=installed) == ["PYSEC-1"]
    assert ids(tmp_path, record(events=[{"introduced": "0"}, {"last_affected": "1.5"}]), lib=installed) == ["PYSEC-1"]
    assert ids(tmp_path, record(events=[{"introduced": "0"}, {"fixed": "1.5"}]), lib=installed) == []


@pytest.mark.parametrize("how", ["damaged", "encrypted", "method"])
def test_a_database_that_cannot_be_unpacked_is_refused_and_a_record_without_an_end_is_counted(tmp_path, how):
    place = tmp_path / "all.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", json.dumps(record()) + " " * 1000)
    content = bytearray(place.read_bytes())
    entry = content.index(b"PK\x01\x02")
    if how == "damaged":
        content[40] ^= 0xFF
    elif how == "encrypted":
        content[6] |= 1
        content[entry + 8] |= 1
    else:
        content[8] = content[entry + 10] = 99
    place.write_bytes(content)
    with pytest.raises(UsageError, match="expected a zip file or folder of OSV records"):
        audited({"lib": "1.5"}, place)
    place.unlink()
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "good.json").write_text(json.dumps(record(versions=["1.5"])))
    result = audited({"lib": "1.5"}, tmp_path)
    assert (len(result.vulnerabilities), result.unread) == (1, 1)
