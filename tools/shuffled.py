"""A pytest plugin: tests in another order. `PYTHONPATH=tools pytest -p shuffled`; SHUFFLE=seed repeats one."""

import os
import random

import pytest

SEED = os.environ.get("SHUFFLE") or str(random.SystemRandom().randrange(10**6))


def pytest_report_header() -> str:
    return f"shuffled with SHUFFLE={SEED}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in another order, and within each its tests: what a module's fixture holds is still made once."""
    draw = random.Random(SEED)
    files: dict[object, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    order = list(files.values())
    draw.shuffle(order)
    for tests in order:
        draw.shuffle(tests)
    items[:] = [item for tests in order for item in tests]
