"""A few malformed requests of each role to both servers; `make fuzz-roles` sends a thousand of each."""

import pytest

pytest.importorskip("schemathesis")

from tests.web import fuzz_roles

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = fuzz_roles.World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


def test_no_role_gets_a_5xx_or_what_it_may_not_have(world):
    faults = fuzz_roles.fuzzed(world, 8, number=1)
    assert (faults.errors, faults.leaks) == ([], [])
    assert {*faults.statuses} == {*fuzz_roles.ROLES, fuzz_roles.NOBODY}
    assert faults.statuses["viewer"][403] > 2
    assert faults.statuses[fuzz_roles.NOBODY][401] > 4
    assert faults.statuses["admin"][403] == 0


def test_what_a_role_may_not_have_is_seen(world):
    """The oracle is the routes' own permissions, and not what the server answers."""
    assert world.permission("tracking", "POST", "/api/2.0/mlflow/runs/create") == "track"
    assert world.permission("serving", "POST", "/predict/signs") == "predict"
    assert world.permission("tracking", "GET", "/nowhere") is None
    world.tokens["nobody"] = world.tokens["admin"]
    try:
        faults = fuzz_roles.Faults()
        world.fuzzed(fuzz_roles.NOBODY, "serving", 12, 2, faults)
    finally:
        world.tokens["nobody"] = None
    assert faults.leaks
