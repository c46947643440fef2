import re
from importlib.metadata import distributions

from bakeoff.environment.capture import capture, versions_of
from bakeoff.environment.distributions import installed


def test_the_environment_names_packages_and_is_stable():
    first, second = capture(), capture()
    assert first == second
    assert first.packages["polars"]
    assert len(first.digest) == 64


def test_names_and_versions_are_those_of_the_whole_metadata():
    names: dict[str, str] = {}
    for each in distributions():
        names.setdefault(re.sub(r"[-_.]+", "-", each.name).lower(), each.version)
    assert capture().packages == dict(sorted(names.items()))


def test_versions_of_missing_distributions_are_none():
    found = versions_of(["polars", "no-such-thing-at-all"])
    assert found["polars"]
    assert found["no-such-thing-at-all"] is None
    assert found["python"].startswith("3.")


def test_what_a_stopped_installer_left_and_metadata_that_is_no_utf8_stop_nothing(tmp_path, monkeypatch):
    """An empty folder of a distribution, and one whose author's name is in Latin-1, as old packages have it."""
    (tmp_path / "left_behind-1.0.dist-info").mkdir()
    old = tmp_path / "Old_One-2.1.dist-info"
    old.mkdir()
    (old / "METADATA").write_bytes(b"Metadata-Version: 1.1\r\nName: Old.One\r\nVersion: 2.1\r\nAuthor: Caf\xe9\r\n\r\n")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert capture().packages == {"old-one": "2.1"}
    (package,) = installed()
    assert (package.name, package.version, package.terms) == ("old-one", "2.1", "unknown")
