"""The module of a package: its name hides no other module, and its packages are all that the release needs."""

from dataclasses import replace

import pytest

from bakeoff import Project
from bakeoff.actions.packages import environment, package
from bakeoff.actions.packages.module import module_of
from bakeoff.core.errors import UsageError


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        ("films", "films"),
        ("email", "email_model"),
        ("class", "class_model"),
        ("numpy", "numpy_model"),
        ("2024", "_2024"),
    ],
)
def test_a_default_name_hides_nothing(ran, endpoint, name):
    with Project(ran) as project:
        if endpoint != "films":
            project.endpoints.create(endpoint)
            project.endpoints.release("films/1", endpoint=endpoint)
        assert module_of(project, endpoint, None).name == name


@pytest.mark.parametrize("name", ["email", "class", "bakeoff", "polars", "Films", "1a"])
def test_a_name_that_is_taken_or_none_is_refused(ran, name):
    with Project(ran) as project, pytest.raises(UsageError, match="that no other module here has"):
        module_of(project, "films", name)


def test_what_steps_and_services_need_goes_along(ran):
    with Project(ran) as project:
        module = module_of(project, "films", None)
    assert "pystemmer" not in environment.needed(module)
    stemmed = replace(module, release=replace(module.release, steps=("stem",)))
    assert "pystemmer" in environment.needed(stemmed)
    remote = replace(module, release=replace(module.release, family="remote"))
    assert "httpx2" in environment.needed(remote)


@pytest.mark.parametrize(
    ("endpoint", "dns"), [("a" * 49 + "-b", "a" * 49), ("2024", "m-2024"), ("Films_2", "films-2"), ("---", "m")]
)
def test_names_in_dns(endpoint, dns):
    assert package._dns(endpoint) == dns
