"""A release out of a package: opened over a state folder, with its tokens, by the newest package."""

import json

import pytest

from bakeoff import Project
from bakeoff.actions.packages.module import module_of, write_module
from bakeoff.core.errors import BakeoffError, UsageError
from bakeoff.project.packaged import PackagedRelease
from bakeoff.web.server import Server

ROWS = [{"review": "good film", "year": 2001}, {"review": "awful film", "year": 1999}]


def _written(project, folder):
    return write_module(project, module_of(project, "films", None), folder) / "release"


def test_what_is_packaged_later_answers_over_the_same_state(ran, tmp_path):
    with Project(ran) as project:
        first = _written(project, tmp_path / "first")
        live = project.release().model_version
        other = next(f"{each.name}/{each.number}" for each in project.models() if f"{each.name}/{each.number}" != live)
        expected = [each.probabilities for each in project.predict(ROWS)]
        project.endpoints.release(other)
        second = _written(project, tmp_path / "second")
    for folder, version in ((first, live), (first, live), (second, other), (first, live)):
        release = PackagedRelease(folder, tmp_path / "state")
        answers = release.predict(ROWS)
        assert {each.model_version for each in answers} == {release.model_version} == {version}
        if version == live:
            assert [each.probabilities for each in answers] == expected
        release.project.close()


def test_a_damaged_package_is_told_and_stays_as_it_is(ran, tmp_path):
    with Project(ran) as project:
        folder = _written(project, tmp_path)
    (model,) = (folder / "models").rglob("model.json")
    model.write_text(model.read_text() + " ")
    with pytest.raises(BakeoffError, match="expected a release on endpoint 'films', found none that works"):
        PackagedRelease(folder, tmp_path / "state").predict(ROWS)
    assert model.exists()
    (folder / "records.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(UsageError, match="expected a package of format 1 or older, received format 2"):
        PackagedRelease(folder)


def test_tokens_go_along_where_callers_are_asked(ran, tmp_path):
    file = ran / "bakeoff.toml"
    file.write_text(file.read_text() + "[auth]\nrequired = true\n")
    with Project(ran) as project:
        made, secret = project.create_token("caller", roles=["viewer"])
        folder = _written(project, tmp_path)
    packaged = PackagedRelease(folder, tmp_path / "state").project
    assert [each.id for each in packaged.tokens()] == [made.id]
    assert packaged.authenticator().principal(secret).name == "token caller"


def test_a_server_listens_everywhere_where_something_else_guards_it():
    async def app(scope, receive, send): ...

    with pytest.raises(BakeoffError, match="expected a loopback address"):
        Server(app, "0.0.0.0")
    Server(app, "0.0.0.0", trusted_network=True).stop()


def test_a_token_that_was_revoked_stays_so_whichever_package_opens_the_state(ran, tmp_path):
    file = ran / "bakeoff.toml"
    file.write_text(file.read_text() + "[auth]\nrequired = true\n")
    with Project(ran) as project:
        kept, _ = project.create_token("kept", roles=["viewer"])
        made, secret = project.create_token("caller", roles=["viewer"])
        first = _written(project, tmp_path / "first")
        project.revoke_token(made.id)
        second = _written(project, tmp_path / "second")
        project.records.documents.delete("tokens", made.id)
        third = _written(project, tmp_path / "third")
    for folder, valid in ((first, True), (second, False), (first, False)):
        packaged = PackagedRelease(folder, tmp_path / "state").project
        assert (packaged.authenticator().principal(secret) is not None) is valid
        packaged.close()
    fresh = PackagedRelease(first, tmp_path / "other").project
    fresh.close()
    packaged = PackagedRelease(third, tmp_path / "other").project  # which does not know it any more
    assert packaged.authenticator().principal(secret) is None
    assert {each.id: each.revoked_ms is None for each in packaged.tokens()} == {kept.id: True, made.id: False}
