"""The router: right shares, the same release for the same caller, other callers for the next canary."""

import random

import pytest

from bakeoff.core.releases import Release
from bakeoff.serve.router import mirrored, pick


def route(name: str, status: str, share: float) -> Release:
    return Release(
        release_id=name, endpoint="e", model="m", number=1, family="f", blob_id="b", status=status, share=share
    )


LIVE = route("live", "live", 0.9)
CALLS = 20_000


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("keys", [False, True], ids=["no keys", "keys"])
def test_shares_are_right(share, keys):
    routes, draw = [LIVE, route("canary", "canary", share)], random.Random(1)
    met = sum(pick(routes, f"user-{i}" if keys else None, draw) is routes[1] for i in range(CALLS))
    deviation = (CALLS * share * (1 - share)) ** 0.5
    assert abs(met - CALLS * share) <= 4 * deviation


def test_a_caller_stays_where_it_is_also_when_the_share_grows():
    draw = random.Random(1)
    small, large = ([LIVE, route("canary", "canary", share)] for share in (0.1, 0.3))
    met = {f"user-{i}" for i in range(2000) if pick(small, f"user-{i}", draw) is small[1]}
    assert met == {f"user-{i}" for i in range(2000) if pick(small, f"user-{i}", draw) is small[1]}
    assert all(pick(large, key, draw) is large[1] for key in met)


def test_the_next_canary_meets_other_callers():
    draw = random.Random(1)
    first, second = ([LIVE, route(name, "canary", 0.5)] for name in ("one", "two"))
    both = sum(
        pick(first, f"u{i}", draw) is first[1] and pick(second, f"u{i}", draw) is second[1] for i in range(CALLS)
    )
    assert abs(both - CALLS / 4) <= 4 * (CALLS * 0.25 * 0.75) ** 0.5


def test_shadows_get_copies_and_never_answer():
    routes, draw = [LIVE, route("shadow", "shadow", 1.0)], random.Random(1)
    assert pick(routes, "key", draw) is LIVE
    assert mirrored(routes, "key", draw) == [routes[1]]
    assert mirrored([LIVE, route("shadow", "shadow", 0.0)], "key", draw) == []


def test_any_text_is_a_key():
    routes, draw = [LIVE, route("canary", "canary", 1.0)], random.Random(1)
    for key in ("", "\ud800", "k" * 100_000):
        assert pick(routes, key, draw) is routes[1]
