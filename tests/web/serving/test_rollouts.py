"""Rollouts through engine, log and steerer, and under clients of a server: small parts of `make bench-rollouts`."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
import rollouts


@pytest.mark.parametrize("kind", [kind for kind in rollouts.KINDS if kind != "wrong answers"])
def test_bad_releases_are_rolled_back_within_fifty_of_their_calls(kind):
    assert rollouts.trial(kind, seed=1) <= 50


@pytest.mark.processes
def test_no_call_fails_while_releases_come_and_go():
    seen = rollouts.under_clients(5, 8, pause_s=0.1)
    assert seen.failures == []
    assert seen.rows > 20
    assert seen.streams > 5
    assert len(seen.releases) > 2


def test_canaries_as_good_as_the_live_release_stay():
    back, _ = rollouts.alike(300, 400, rates=(0.05, 0.05, 0.3), seed=2)
    assert back <= 3
