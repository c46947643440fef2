"""For all tests, those in docstrings included: how much Hypothesis tries, and cheap runs of projects."""

import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: how long an example takes depends on what else runs.
settings.register_profile("quick", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_spec = importlib.util.spec_from_file_location("in_process", Path(__file__).parent / "tests" / "in_process.py")
assert _spec is not None
assert _spec.loader is not None
in_process = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(in_process)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: begun last, one of them would run on alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _cheap_runs():
    """Runs of this process do their jobs in it, unless a test has the mark `processes`."""
    with pytest.MonkeyPatch.context() as patch:
        in_process.hurried(patch.setattr)
        # What is released is what was evaluated, but where a test is about the fit on all rows (`ships_all`).
        patch.setenv("BAKEOFF_LOOP__REFIT", "false")
        yield


@pytest.fixture
def ships_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The winner is fitted on all rows, as it is outside of tests."""
    monkeypatch.delenv("BAKEOFF_LOOP__REFIT")


@pytest.fixture(autouse=True)
def _whole_runs(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """For tests with the mark `processes`, all as it is outside of tests."""
    if request.node.get_closest_marker("processes"):
        in_process.as_it_is(monkeypatch.setattr)
