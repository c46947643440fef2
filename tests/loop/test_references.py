import json
import re
import shutil
import sqlite3
from contextlib import closing

import pytest

from bakeoff import Project
from bakeoff.core.errors import UsageError
from bakeoff.core.lineage import DatasetOrigin, ModelOrigin
from bakeoff.loop.references import references

pytestmark = pytest.mark.slow

ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


def ids_in_records(folder):
    """Every content id that stands anywhere in the records, with the table."""
    with closing(sqlite3.connect(folder / ".bakeoff" / "records.db")) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f"SELECT * FROM {table}"):
                yield from ((found, table) for value in row if isinstance(value, str) for found in ID.findall(value))


def lacking(folder):
    """Ids of stored blobs that records hold and no noun yields."""
    with Project(folder) as project:
        yielded = {each.blob for each in references(project.records)}
        return {(name, table) for name, table in ids_in_records(folder) if project.blobs.contains(name)} - {
            (name, table) for name, table in ids_in_records(folder) if name in yielded
        }


@pytest.fixture(scope="module")
def full_once(films_run, family_installed, tmp_path_factory):
    """Two runs with a contract, folds, a card, feedback that joined, and the champion's refit."""
    folder = shutil.copytree(films_run, tmp_path_factory.mktemp("full") / "films")
    file = folder / "bakeoff.toml"
    with family_installed():
        with Project(folder) as project:
            project.write_contract()
        file.write_text(
            file.read_text().replace("[data]\n", '[data]\ncontract = "contract.toml"\n') + "[split]\nfolds = 3\n"
        )
        with Project(folder) as project:
            project.run()
            project.data_card()
            answers = project.predict([{"review": f"good film {n}", "year": 1990 + n} for n in range(5)])
            project.feedback([{"id": answer.id, "label": "yes"} for answer in answers])
            project.take_in()
            project.check()
    return folder


@pytest.fixture
def full(full_once, tmp_path, third_party):
    return shutil.copytree(full_once, tmp_path / "full")


def test_no_content_id_in_records_is_yielded_by_no_noun(full):
    assert lacking(full) == set()
    with Project(full) as project:
        owners = {each.owner.split()[0] for each in references(project.records)}
    assert owners >= {"run", "dataset", "model", "release", "step", "the"}


def test_garbage_is_what_nothing_reaches(full):
    with Project(full) as project:
        wanted = {each.blob for each in references(project.records)}
        garbage = project.blobs.put(b"nobody needs this")
        freed = project.collect(grace_s=0)
        assert freed.deleted == 0
        assert freed.bytes >= len(b"nobody needs this")
        assert project.blobs.contains(garbage)  # a dry run
        assert project.collect(grace_s=3600, delete=True).bytes == 0  # it is young
        assert project.collect(grace_s=0, delete=True).deleted == freed.bytes
        assert not project.blobs.contains(garbage)
        assert all(project.blobs.intact(blob) for blob in wanted)
        assert project.verify() == []
        assert project.verify() == []


def test_nothing_is_collected_without_roots(tmp_path, films_project):
    with Project(films_project) as project:
        project.blobs.put(b"x")
        with pytest.raises(UsageError, match="root"):
            project.collect(grace_s=0, delete=True)


def test_origins_come_back_as_they_were(full):
    with Project(full) as project:
        for version in project.models():
            assert json.loads(json.dumps(ModelOrigin.from_json(version.lineage).to_json())) == version.lineage
        for version in project.datasets():
            assert json.loads(json.dumps(DatasetOrigin.from_json(version.lineage).to_json())) == version.lineage


def test_origins_of_before_lack_what_came_later():
    made = ModelOrigin.from_json({"candidate": "a", "rows": "all", "something": "of another version"})
    assert (made.rows, made.prompt, made.fold_trees, list(made.refs())) == ("all", None, (), [])
