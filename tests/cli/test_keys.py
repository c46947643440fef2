"""A project whose blobs and events are encrypted, from its first key to its next, by the commands."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from bakeoff import Project
from bakeoff.config.sections import EncryptionConfig
from bakeoff.core.erasure import PersonKey
from bakeoff.core.errors import ConfigError, MissingKeyError, UsageError
from bakeoff.core.events import PredictionEvent
from bakeoff.project.encryption_keys import rotate_file
from bakeoff.stores.encryption import new_key, parse_keys

PLANTED = "zoe.quux@planted.example"


def set_keys(folder, line):
    file = folder / "bakeoff.toml"
    text = file.read_text().partition("\n[store.encryption]")[0]
    file.write_text(f"{text}\n[store.encryption]\n{line}\n" if line else text)


def stored(folder, *kinds):
    state = folder / ".bakeoff"
    return b"".join(path.read_bytes() for kind in kinds for path in sorted((state / kind).rglob("*")) if path.is_file())


def test_a_project_from_its_first_key_to_its_next(films_project, bakeoff, tmp_path_factory):
    folder, place = films_project, tmp_path_factory.mktemp("keys")
    set_keys(folder, f'key_file = "{place / "films"}"')
    assert bakeoff("keys", "list", "-C", folder).code == 2
    assert "keep a copy" in bakeoff("keys", "create", "-C", folder).out
    assert bakeoff("keys", "create", "-C", folder).code == 2
    assert (place / "films").stat().st_mode & 0o077 == 0
    with Project(folder) as project:
        project.run()
        ids = [answer.id for answer in project.predict([{"review": f"good film of {PLANTED}", "year": 1999}] * 3)]
        first = project.keyring.ids()
    key = (place / "films").read_text().strip()
    rotated = json.loads(bakeoff("keys", "rotate", "--json", "-C", folder).out)["id"]
    assert json.loads(bakeoff("keys", "list", "--json", "-C", folder).out)["keys"] == [rotated, *first]
    with Project(folder) as project:
        assert project.run().unchanged
        assert [event.id for event in project.events.read(PredictionEvent)] == ids
        assert project.verify() == []
        looked = project.encrypt(look=True)
        assert looked.objects > 3
        assert looked.events == 1
        done = project.encrypt()
        assert (done.objects, done.events, done.open, done.damaged) == (looked.objects, 1, 0, 0)
        assert project.encrypt().objects == 0
        assert project.collect().bytes >= 0
        actions = [record.action for record in project.audit.records()]
        assert {"encryption key created", "encryption key rotated", "stores encrypted"} <= {*actions}
    newest, _ = (place / "films").read_text().split()
    (place / "films").write_text(newest)
    with Project(folder) as project:
        assert project.run().unchanged
        assert project.predict([{"review": "good film", "year": 1999}])[0].label == "yes"
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert key.encode() not in everything
    assert newest.encode() not in everything
    assert PLANTED.encode() not in stored(folder, "blobs", "events")
    shown = bakeoff("config", "-C", folder).out + bakeoff("doctor", "-C", folder).out
    assert "key_file" in shown
    assert newest not in shown


def test_nothing_is_lost_without_the_key(films_project, tmp_path, monkeypatch):
    key = new_key()
    monkeypatch.setenv("FILMS_KEY", key)
    set_keys(films_project, 'key_env = "FILMS_KEY"')
    with Project(films_project) as project:
        project.run()
        project.predict([{"review": "good film", "year": 1999}])
        (key_id,) = project.keyring.ids()
    before = stored(films_project, "blobs", "events")
    monkeypatch.delenv("FILMS_KEY")
    with Project(films_project) as project, pytest.raises(ConfigError, match="FILMS_KEY"):
        project.verify(repair=True)
    monkeypatch.setenv("FILMS_KEY", new_key())
    for line in ('key_env = "FILMS_KEY"', ""):
        set_keys(films_project, line)
        with Project(films_project) as project:
            for call in (
                lambda p=project: p.verify(repair=True),
                lambda p=project: p.collect(delete=True),
                project.run,
            ):
                with pytest.raises(MissingKeyError, match=rf"key {key_id}, and \[store.encryption\]"):
                    call()
    assert stored(films_project, "blobs", "events") == before
    monkeypatch.setenv("FILMS_KEY", key)
    set_keys(films_project, 'key_env = "FILMS_KEY"')
    with Project(films_project) as project:
        assert project.run().unchanged
        assert project.verify() == []


def test_who_could_read_the_keys_can_after_a_rotation(films_project, tmp_path):
    place = tmp_path / "keys"
    place.write_text(new_key())
    place.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(place, 12345, 54321)
    before = place.stat()
    rotate_file(EncryptionConfig(key_file=str(place)), films_project)
    after = place.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert len(parse_keys(place.read_text(), source="")) == 2


def test_two_that_rotate_at_once_lose_no_key(films_project, tmp_path):
    (tmp_path / "keys").write_text(new_key() + "\n")
    config = EncryptionConfig(key_file=str(tmp_path / "keys"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: rotate_file(config, films_project), range(16)))
    assert len({*(tmp_path / "keys").read_text().split()}) == 17


def test_a_key_may_come_from_a_command(films_project, tmp_path):
    (tmp_path / "key").write_text(new_key())
    set_keys(films_project, f'key_command = ["cat", "{tmp_path / "key"}"]')
    with Project(films_project) as project:
        blob = project.blobs.put(b"something")
        assert project.blobs.get(blob) == b"something"
        with pytest.raises(UsageError, match="as the first line"):
            project.rotate_key()
    (tmp_path / "key").unlink()
    with Project(films_project) as project, pytest.raises(UsageError, match=r"key_command = 'cat .*it ended with 1"):
        project.blobs.get(blob)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("required = true", "one of key_file, key_env and key_command, found none"),
        ('key_env = "A"\nkey_file = "b"', "found key_file, key_env"),
        ('key = "secret"', "a known key"),
    ],
)
def test_what_says_no_place_of_keys_is_refused(films_project, line, message):
    set_keys(films_project, line)
    with pytest.raises(ConfigError, match=message):
        Project(films_project)


def test_a_key_beside_what_it_locks_is_refused(films_project):
    set_keys(films_project, 'key_file = ".bakeoff/key"')
    with Project(films_project) as project, pytest.raises(UsageError, match=r"outside of .bakeoff"):
        project.create_key()


def test_a_person_is_erased_and_looked_for_where_nothing_can_be_read(films_project, tmp_path, monkeypatch):
    source = films_project / "films.csv"
    source.write_text(source.read_text() + f"good film of {PLANTED},1999,yes\n")
    monkeypatch.setenv("FILMS_KEY", new_key())
    set_keys(films_project, 'key_env = "FILMS_KEY"')
    with Project(films_project) as project:
        project.run()
        project.predict([{"review": f"good film of {PLANTED}", "year": 1999}])
        assert any(place.startswith("blob ") for place in project.holding(PLANTED))
        assert "1 events of the log" in project.holding(PLANTED)
        assert project.forget(PLANTED).events == 1
        assert [place for place in project.holding(PLANTED) if place != "films.csv"] == []
        assert PersonKey(PLANTED).in_bytes(source.read_bytes())


def test_moving_to_encrypted_stores(films_project, tmp_path_factory, monkeypatch):
    place = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("FILMS_KEY", new_key())
    urls = {"records": f"sqlite:///{place}/r.db", "blobs": f"file://{place}/blobs", "events": f"file://{place}/events"}
    lines = "\n".join(f'{name} = "{url}"' for name, url in urls.items())
    (place / "bakeoff.toml").write_text(f'[store]\n{lines}\n[store.encryption]\nkey_env = "FILMS_KEY"\n')
    with Project(films_project) as project:
        project.run()
        project.predict([{"review": f"good film of {PLANTED}", "year": 1999}])
        moved = project.move(place)
        assert (moved.events, moved.blobs_already) == (1, 0)
        assert project.move(place).blobs_already == moved.blobs
    files = [path for kind in ("blobs", "events") for path in (place / kind).rglob("*") if path.is_file()]
    assert PLANTED.encode() not in b"".join(path.read_bytes() for path in files)
    assert b"good film number 0" not in b"".join(path.read_bytes() for path in files)
