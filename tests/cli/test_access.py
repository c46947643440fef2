"""Tokens, the audit log and certificates on the command line; servers that ask who calls."""

import io
import json
import os

import pytest

from bakeoff.security.audit import AuditLog
from bakeoff.stores.records import open_records

TOML = """
[project]
name = "reviews"
[data]
source = "a.csv"
target = "b"
[auth]
required = true
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "bakeoff.toml").write_text(TOML)
    return tmp_path


def test_a_token_is_made_listed_and_revoked(bakeoff, folder):
    made = bakeoff("tokens", "create", "nightly", "--role", "caller", "--scope", "endpoint:*", "-C", folder)
    assert (made.code, made.out.startswith("bkf_")) == (0, True)
    assert "shown this once" in made.err
    shown = bakeoff("tokens", "list", "-C", folder, "--json").document["tokens"]
    assert [(each["name"], each["scopes"]) for each in shown] == [("nightly", ["endpoint:*"])]
    assert made.out.strip() not in bakeoff("tokens", "list", "-C", folder).out
    assert "revoked" in bakeoff("tokens", "revoke", "nightly", "-C", folder).out
    assert "revoked" in bakeoff("tokens", "list", "-C", folder).out


def test_a_wrong_role_is_one_error_with_the_nearest(bakeoff, folder):
    ended = bakeoff("tokens", "create", "nightly", "--role", "caler", "-C", folder)
    assert ended.code == 2
    assert "Did you mean 'caller'?" in ended.errors[0]


def test_the_audit_log_names_what_was_edited(bakeoff, folder):
    bakeoff("tokens", "create", "nightly", "--role", "caller", "-C", folder)
    bakeoff("tokens", "revoke", "nightly", "-C", folder)
    assert "token revoked" in bakeoff("audit", "list", "-C", folder).out
    whole = bakeoff("audit", "verify", "-C", folder, "--json")
    assert (whole.code, whole.document["faults"]) == (0, [])
    assert whole.document["head"].startswith("2:")
    lines = bakeoff("audit", "export", "-C", folder).out.splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["token created", "token revoked"]
    assert bakeoff("audit", "export", "--format", "cef", "-C", folder).out.count("CEF:0|bakeoff|") == 2
    records = open_records(f"sqlite:///{folder}/.bakeoff/records.db", folder=folder, clock=lambda: 1)
    (first, _) = records.documents.find("audit")
    records.documents.put("audit", first.key, dict(first.body) | {"who": "nobody"})
    records.close()
    ended = bakeoff("audit", "verify", "-C", folder)
    assert (ended.code, ended.out.splitlines()[0]) == (3, "record 1 was edited: its hash is not that of its content")
    records = open_records(f"sqlite:///{folder}/.bakeoff/records.db", folder=folder, clock=lambda: 1)
    records.documents.put("audit_head", "head", {})
    records.close()
    ended = bakeoff("audit", "verify", "-C", folder)
    assert (ended.code, ended.out.splitlines()[-1]) == (3, "no head, 3 faults")
    assert bakeoff("audit", "verify", "-C", folder, "--json").document["head"] is None
    assert AuditLog.__doc__


def test_certificates_are_made_once(bakeoff, tmp_path):
    pytest.importorskip("cryptography")
    made = bakeoff("certs", "dev", tmp_path / "tls")
    assert made.out.startswith("[tls]\ncertificate = ")
    assert bakeoff("certs", "dev", tmp_path / "tls").code == 2


def test_state_is_its_owners_alone_and_passwords_are_not_shown(bakeoff, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    previous = os.umask(0o022)
    try:
        bakeoff("tokens", "create", "nightly", "--role", "caller", "-C", folder)
    finally:
        os.umask(previous)
    state = folder / ".bakeoff"
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in state.glob("records*")} == {
        "records.db": "0o0",
        "records.db.backup": "0o0",
    }
    (folder / "bakeoff.toml").write_text(TOML + '[store]\nrecords = "postgresql://me:sesame@127.0.0.1/db"\n')
    for how in ([], ["--json"]):
        shown = bakeoff("config", "-C", folder, *how).out
        assert "sesame" not in shown
        assert "postgresql://me:***@127.0.0.1/db" in shown
    (folder / "bakeoff.toml").write_text(TOML.replace('"a.csv"', '"postgresql://me:sesame@127.0.0.1/db#t"'))
    shown = bakeoff("config", "-C", folder).out
    assert "sesame" not in shown
    assert "postgresql://me:***@127.0.0.1/db#t" in shown  # a source is a list of them


def test_a_public_address_is_refused_without_a_certificate(bakeoff, folder):
    ended = bakeoff("serve", "--host", "0.0.0.0", "--port", "0", "-C", folder)
    assert ended.code == 1
    assert "bakeoff certs dev" in ended.errors[0]
    assert "tokens create" not in ended.errors[0]


def test_people_are_added_listed_and_removed(bakeoff, folder, monkeypatch):
    pytest.importorskip("argon2")
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    added = bakeoff("people", "add", "ada", "--role", "viewer", "-C", folder)
    assert (added.code, added.out) == (0, "ada may sign in as viewer\n")
    (ada,) = bakeoff("people", "list", "-C", folder, "--json").document["people"]
    assert (ada["name"], ada["roles"], "hash" in ada) == ("ada", ["viewer"], False)
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    short = bakeoff("people", "add", "bo", "--role", "viewer", "-C", folder)
    assert (short.code, "12 to 1024 characters, received 5" in short.errors[0]) == (2, True)
    assert bakeoff("people", "remove", "ada", "-C", folder).code == 0
    assert bakeoff("people", "remove", "ada", "-C", folder).code == 1
    actions = [each["action"] for each in bakeoff("audit", "list", "-C", folder, "--json").document["records"]]
    assert actions == ["person added", "person removed"]


def test_a_person_is_forgotten_from_the_command_line(bakeoff, folder):
    (folder / "a.csv").write_text("who,b\nzoe@planted.example,1\n")
    looked = bakeoff("forget", "zoe@planted.example", "--look", "-C", folder)
    assert (looked.code, looked.out) == (3, "still holds it: a.csv\n")
    (folder / "a.csv").unlink()
    ended = bakeoff("forget", "zoe@planted.example", "-C", folder)
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "no file of the project holds it")
    assert bakeoff("forget", "zoe@planted.example", "-C", folder, "--json").document["events"] == 0
    assert bakeoff("forget", "zoe", "-C", folder).code == 2


def test_scopes_of_people_are_written_as_those_of_tokens(bakeoff, folder, monkeypatch):
    pytest.importorskip("argon2")
    scoped = ("--scope", "endpoint:a,experiment:b", "--scope", "model:*")
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    bakeoff("people", "add", "zoe", "--role", "viewer", *scoped, "-C", folder)
    bakeoff("tokens", "create", "nightly", "--role", "viewer", *scoped, "-C", folder)
    zoe = bakeoff("people", "remove", "zoe", "-C", folder, "--json").document["person"]
    (token,) = bakeoff("tokens", "list", "-C", folder, "--json").document["tokens"]
    assert zoe["scopes"] == token["scopes"] == ["endpoint:a", "experiment:b", "model:*"]
