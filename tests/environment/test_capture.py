import re
from importlib.metadata import distributions

from bakeoff.environment.capture import capture, versions_of


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
