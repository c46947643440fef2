"""The pytest plugin: the fixture `assert_not_worse`. What it needs is imported when a test asks for it."""

from collections.abc import Callable

import pytest

__all__ = ["assert_not_worse"]


@pytest.fixture(name="assert_not_worse")
def assert_not_worse() -> Callable[..., None]:
    """`bakeoff.project.assertions.assert_not_worse`."""
    from bakeoff.project import assertions

    return assertions.assert_not_worse
